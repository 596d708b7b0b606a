//! What the doctor reads of a database.

use crate::db::{DbResult, Tx, find};

/// Whose database it is, and in which version: the ids of the program and of the schema.
pub fn kind(tx: &mut dyn Tx) -> DbResult<(i64, i64)> {
    let program = find(tx, "PRAGMA application_id", &[])?;
    let schema = find(tx, "PRAGMA user_version", &[])?;
    let number = |row: Option<crate::db::Row>| row.map_or(Ok(0), |row| row.integer(0));
    Ok((number(program)?, number(schema)?))
}

/// The first five disagreements that SQLite finds in its file; none in a whole one.
pub fn check(tx: &mut dyn Tx) -> DbResult<Vec<String>> {
    let rows = tx.query("PRAGMA quick_check(5)", &[])?;
    let lines: DbResult<Vec<String>> = rows.iter().map(|row| row.text(0)).collect();
    Ok(lines?.into_iter().filter(|line| line != "ok").collect())
}

/// The latest time this database knows of by the clock of this machine, Unix milliseconds.
pub fn newest_ms(tx: &mut dyn Tx) -> DbResult<Option<i64>> {
    let row = find(
        tx,
        "SELECT max(at_ms)
         FROM (SELECT max(created_at_ms) AS at_ms FROM sessions
               UNION ALL
               SELECT max(created_at_ms) FROM accounts
               UNION ALL
               SELECT max(applied_at_ms) FROM migrations)",
        &[],
    )?;
    row.map_or(Ok(None), |row| row.find_integer(0))
}
