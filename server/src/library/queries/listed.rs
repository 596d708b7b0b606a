//! The SQL of listings by the order of arrival, as clients of old ask for them, and of how much there is.

use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// One row of a listing.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table assets, described in the schema")]
pub struct Listed {
    pub seq: i64,
    pub name: String,
    pub size_bytes: i64,
    pub arrived_at_ms: i64,
}

fn listed(row: &Row) -> DbResult<Listed> {
    Ok(Listed {
        seq: row.integer(0)?,
        name: row.text(1)?,
        size_bytes: row.integer(2)?,
        arrived_at_ms: row.integer(3)?,
    })
}

/// The next held assets after arrival number `after_seq`.
pub fn list_after(
    tx: &mut dyn Tx,
    account: Uuid,
    after_seq: i64,
    limit: i64,
) -> DbResult<Vec<Listed>> {
    let rows = tx.query(
        "SELECT seq, name, size_bytes, arrived_at_ms
         FROM assets
         WHERE account_uuid = ?1 AND listed = 1 AND seq > ?2
         ORDER BY seq
         LIMIT ?3",
        params![account, after_seq, limit],
    )?;
    rows.iter().map(listed).collect()
}

/// The arrival number of the `offset`th held asset (from 1), for a client that jumps into the middle.
pub fn find_seq_at(tx: &mut dyn Tx, account: Uuid, offset: i64) -> DbResult<Option<i64>> {
    let row = find(
        tx,
        "SELECT seq FROM assets WHERE account_uuid = ?1 AND listed = 1 ORDER BY seq LIMIT 1 OFFSET ?2",
        params![account, offset - 1],
    )?;
    row.map(|row| row.integer(0)).transpose()
}

/// How many assets a listing shows, and the version of the library at that moment.
pub fn find_totals(tx: &mut dyn Tx, account: Uuid) -> DbResult<(i64, i64)> {
    let row = find(
        tx,
        "SELECT held_count, library_version FROM accounts WHERE account_uuid = ?1",
        params![account],
    )?;
    row.map_or(Ok((0, 0)), |row| Ok((row.integer(0)?, row.integer(1)?)))
}
