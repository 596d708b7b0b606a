//! The SQL of sealed objects: version-1 chunks and all kinds of version 2. *Held* is what is neither in the trash nor
//! known to be damaged.

use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// An object outside the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Hex SHA-256 of its bytes.
    pub chunk_id: String,
    /// Its length.
    pub size_bytes: i64,
    /// The letter of its clear head; `None` for one of version 1.
    pub kind: Option<char>,
    /// Whether the disk was seen not to have it whole.
    pub is_damaged: bool,
}

fn object(row: &Row) -> DbResult<Object> {
    Ok(Object {
        chunk_id: row.text(0)?,
        size_bytes: row.integer(1)?,
        kind: row.find_text(2)?.and_then(|kind| kind.chars().next()),
        is_damaged: row.find_integer(3)?.is_some(),
    })
}

/// An object outside the trash.
pub fn find_object(tx: &mut dyn Tx, account: Uuid, chunk_id: &str) -> DbResult<Option<Object>> {
    let row = find(
        tx,
        "SELECT chunk_id, size_bytes, kind, damaged_at_ms FROM relay_chunks
         WHERE account_uuid = ?1 AND chunk_id = ?2 AND trashed_at_ms IS NULL",
        params![account, chunk_id],
    )?;
    row.as_ref().map(object).transpose()
}

/// Whether an object is held.
pub fn is_held(tx: &mut dyn Tx, account: Uuid, chunk_id: &str) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM relay_chunks
         WHERE account_uuid = ?1 AND chunk_id = ?2 AND trashed_at_ms IS NULL AND damaged_at_ms IS NULL",
        params![account, chunk_id],
    )?;
    Ok(row.is_some())
}

/// The next held objects after `after`, in order of ids.
pub fn list_held(tx: &mut dyn Tx, account: Uuid, after: &str, limit: i64) -> DbResult<Vec<Object>> {
    let rows = tx.query(
        "SELECT chunk_id, size_bytes, kind, damaged_at_ms FROM relay_chunks
         WHERE account_uuid = ?1 AND chunk_id > ?2 AND trashed_at_ms IS NULL AND damaged_at_ms IS NULL
         ORDER BY chunk_id
         LIMIT ?3",
        params![account, after, limit],
    )?;
    rows.iter().map(object).collect()
}

/// An object whose file is in place.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Whose it is.
    pub account: Uuid,
    /// Hex SHA-256 of its bytes.
    pub chunk_id: String,
    /// Its length.
    pub size_bytes: i64,
    /// The letter of its clear head; `None` for one of version 1.
    pub kind: Option<char>,
    /// Whether it may be collected if no segment ever names it.
    pub collectable: bool,
    /// Now, in Unix milliseconds.
    pub stored_at_ms: i64,
}

/// Adds an object, brings it back from the trash, or notes that it is whole again. Its bytes are counted by
/// [`count_bytes`]. What was sent by version 1 once stays uncollectable.
pub fn store(tx: &mut dyn Tx, new: &NewObject) -> DbResult<()> {
    tx.execute(
        "INSERT INTO relay_chunks (account_uuid, chunk_id, size_bytes, stored_at_ms, kind, collectable)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (account_uuid, chunk_id) DO UPDATE
         SET trashed_at_ms = NULL, damaged_at_ms = NULL, stored_at_ms = excluded.stored_at_ms,
             kind = COALESCE(excluded.kind, relay_chunks.kind),
             collectable = CASE WHEN excluded.collectable = 0 THEN 0 ELSE relay_chunks.collectable END",
        params![
            new.account,
            &new.chunk_id,
            new.size_bytes,
            new.stored_at_ms,
            new.kind.map(String::from),
            new.collectable
        ],
    )?;
    Ok(())
}

/// Counts bytes of objects that an account did not have outside the trash before.
pub fn count_bytes(tx: &mut dyn Tx, account: Uuid, more_bytes: i64) -> DbResult<()> {
    if more_bytes == 0 {
        return Ok(());
    }
    tx.execute(
        "UPDATE accounts SET relay_bytes = relay_bytes + ?2 WHERE account_uuid = ?1",
        params![account, more_bytes],
    )?;
    Ok(())
}

/// Notes that the disk does not have an object whole: it is not held until it is sent again.
pub fn set_damaged(tx: &mut dyn Tx, account: Uuid, chunk_id: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE relay_chunks SET damaged_at_ms = ?3
         WHERE account_uuid = ?1 AND chunk_id = ?2 AND damaged_at_ms IS NULL",
        params![account, chunk_id, now_ms],
    )?;
    Ok(())
}

/// Marks objects as live. Returns those that are not held, which stay as they are.
pub fn mark_live(
    tx: &mut dyn Tx,
    account: Uuid,
    chunk_ids: &[String],
    now_ms: i64,
) -> DbResult<Vec<String>> {
    let mut missing = Vec::new();
    for chunk_id in chunk_ids {
        let marked = tx.execute(
            "UPDATE relay_chunks SET live_at_ms = ?3
             WHERE account_uuid = ?1 AND chunk_id = ?2 AND live_at_ms IS NULL
               AND trashed_at_ms IS NULL AND damaged_at_ms IS NULL",
            params![account, chunk_id, now_ms],
        )?;
        if marked == 0 && !is_held(tx, account, chunk_id)? {
            missing.push(chunk_id.clone());
        }
    }
    Ok(missing)
}

/// Whether an object is in the trash.
pub fn is_trashed(tx: &mut dyn Tx, account: Uuid, chunk_id: &str) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM relay_chunks
         WHERE account_uuid = ?1 AND chunk_id = ?2 AND trashed_at_ms IS NOT NULL",
        params![account, chunk_id],
    )?;
    Ok(row.is_some())
}

/// Moves up to `limit` objects to the trash that came by version 2 before `before_ms` and that nothing finished uses.
/// Returns the length of each.
pub fn collect(tx: &mut dyn Tx, before_ms: i64, now_ms: i64, limit: i64) -> DbResult<Vec<i64>> {
    let rows = tx.query(
        "SELECT account_uuid, chunk_id, size_bytes FROM relay_chunks
         WHERE collectable = 1 AND live_at_ms IS NULL AND trashed_at_ms IS NULL AND stored_at_ms < ?1
         ORDER BY stored_at_ms
         LIMIT ?2",
        params![before_ms, limit],
    )?;
    for row in &rows {
        let account = row.uuid(0)?;
        tx.execute(
            "UPDATE relay_chunks SET trashed_at_ms = ?3 WHERE account_uuid = ?1 AND chunk_id = ?2",
            params![account, row.text(1)?, now_ms],
        )?;
        tx.execute(
            "UPDATE accounts SET relay_bytes = relay_bytes - ?2 WHERE account_uuid = ?1",
            params![account, row.integer(2)?],
        )?;
    }
    rows.iter().map(|row| row.integer(2)).collect()
}

/// Whether [`collect`] would find anything.
pub fn has_collectable(tx: &mut dyn Tx, before_ms: i64) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM relay_chunks
         WHERE collectable = 1 AND live_at_ms IS NULL AND trashed_at_ms IS NULL AND stored_at_ms < ?1
         LIMIT 1",
        params![before_ms],
    )?;
    Ok(row.is_some())
}

/// Objects whose trash period is over.
pub fn list_expired(tx: &mut dyn Tx, before_ms: i64) -> DbResult<Vec<(Uuid, String, i64)>> {
    let rows = tx.query(
        "SELECT account_uuid, chunk_id, size_bytes FROM relay_chunks WHERE trashed_at_ms < ?1 LIMIT 1000",
        params![before_ms],
    )?;
    rows.iter().map(|row| Ok((row.uuid(0)?, row.text(1)?, row.integer(2)?))).collect()
}

/// Forgets an object in the trash; false if it was brought back meanwhile.
pub fn remove_expired(
    tx: &mut dyn Tx,
    account: Uuid,
    chunk_id: &str,
    before_ms: i64,
) -> DbResult<bool> {
    let removed = tx.execute(
        "DELETE FROM relay_chunks WHERE account_uuid = ?1 AND chunk_id = ?2 AND trashed_at_ms < ?3",
        params![account, chunk_id, before_ms],
    )?;
    Ok(removed > 0)
}

/// Whether there is a row, in the trash or not.
pub fn has_row(tx: &mut dyn Tx, account: Uuid, chunk_id: &str) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM relay_chunks WHERE account_uuid = ?1 AND chunk_id = ?2",
        params![account, chunk_id],
    )?;
    Ok(row.is_some())
}

/// The next objects of the whole server after (`account`, `after`), in order; not those in the trash, nor those of
/// accounts that are gone for good.
pub fn list_next(
    tx: &mut dyn Tx,
    account: &str,
    after: &str,
    limit: i64,
) -> DbResult<Vec<(Uuid, Object)>> {
    let rows = tx.query(
        "SELECT chunk_id, size_bytes, kind, damaged_at_ms, account_uuid FROM relay_chunks
         WHERE (account_uuid, chunk_id) > (?1, ?2) AND trashed_at_ms IS NULL
           AND account_uuid NOT IN (SELECT account_uuid FROM accounts WHERE erased_at_ms IS NOT NULL)
         ORDER BY account_uuid, chunk_id
         LIMIT ?3",
        params![account, after, limit],
    )?;
    rows.iter().map(|row| Ok((row.uuid(4)?, object(row)?))).collect()
}
