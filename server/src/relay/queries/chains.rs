//! The SQL of what puts sealed objects in order: the chains of segments, and the keyrings.

use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// A place in a chain, or a keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whose chain, 32 hex digits; empty for a keyring.
    pub writer: String,
    /// Its number, from 1.
    pub sequence: i64,
    /// The object.
    pub chunk_id: String,
}

fn link(row: &Row) -> DbResult<Link> {
    Ok(Link { writer: row.text(0)?, sequence: row.integer(1)?, chunk_id: row.text(2)? })
}

/// The segment with this number.
pub fn find_segment(
    tx: &mut dyn Tx,
    account: Uuid,
    writer: &str,
    sequence: i64,
) -> DbResult<Option<Link>> {
    let row = find(
        tx,
        "SELECT writer, sequence, chunk_id FROM relay_segments
         WHERE account_uuid = ?1 AND writer = ?2 AND sequence = ?3 AND trashed_at_ms IS NULL",
        params![account, writer, sequence],
    )?;
    row.as_ref().map(link).transpose()
}

/// The newest segment of a chain.
pub fn find_head(tx: &mut dyn Tx, account: Uuid, writer: &str) -> DbResult<Option<Link>> {
    let row = find(
        tx,
        "SELECT writer, sequence, chunk_id FROM relay_segments
         WHERE account_uuid = ?1 AND writer = ?2 AND trashed_at_ms IS NULL
         ORDER BY sequence DESC
         LIMIT 1",
        params![account, writer],
    )?;
    row.as_ref().map(link).transpose()
}

/// The writer of the first chain after `after`.
fn find_writer(tx: &mut dyn Tx, account: Uuid, after: &str) -> DbResult<Option<String>> {
    let row = find(
        tx,
        "SELECT MIN(writer) FROM relay_segments
         WHERE account_uuid = ?1 AND writer > ?2 AND trashed_at_ms IS NULL",
        params![account, after],
    )?;
    row.map_or(Ok(None), |row| row.find_text(0))
}

/// The newest segment of every chain, in order of writers: two seeks for each, however long the chains are.
pub fn list_heads(tx: &mut dyn Tx, account: Uuid) -> DbResult<Vec<Link>> {
    let mut heads = Vec::new();
    let mut after = String::new();
    while let Some(writer) = find_writer(tx, account, &after)? {
        heads.extend(find_head(tx, account, &writer)?);
        after = writer;
    }
    Ok(heads)
}

/// How many chains there are.
pub fn count_chains(tx: &mut dyn Tx, account: Uuid) -> DbResult<usize> {
    let (mut count, mut after) = (0, String::new());
    while let Some(writer) = find_writer(tx, account, &after)? {
        count += 1;
        after = writer;
    }
    Ok(count)
}

/// The next segments of a chain after number `after`, oldest first.
pub fn list_segments(
    tx: &mut dyn Tx,
    account: Uuid,
    writer: &str,
    after: i64,
    limit: i64,
) -> DbResult<Vec<Link>> {
    let rows = tx.query(
        "SELECT writer, sequence, chunk_id FROM relay_segments
         WHERE account_uuid = ?1 AND writer = ?2 AND sequence > ?3 AND trashed_at_ms IS NULL
         ORDER BY sequence
         LIMIT ?4",
        params![account, writer, after, limit],
    )?;
    rows.iter().map(link).collect()
}

/// Puts a segment at its place, which is free.
pub fn store_segment(
    tx: &mut dyn Tx,
    account: Uuid,
    new: &Link,
    device_id: &str,
    now_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "INSERT INTO relay_segments (account_uuid, writer, sequence, chunk_id, device_id, stored_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![account, &new.writer, new.sequence, &new.chunk_id, device_id, now_ms],
    )?;
    Ok(())
}

/// The newest keyring.
pub fn find_keyring(tx: &mut dyn Tx, account: Uuid) -> DbResult<Option<Link>> {
    let row = find(
        tx,
        "SELECT '', sequence, chunk_id FROM relay_keyrings
         WHERE account_uuid = ?1 AND trashed_at_ms IS NULL
         ORDER BY sequence DESC
         LIMIT 1",
        params![account],
    )?;
    row.as_ref().map(link).transpose()
}

/// Makes a keyring the newest; its number is free.
pub fn store_keyring(
    tx: &mut dyn Tx,
    account: Uuid,
    new: &Link,
    device_id: &str,
    now_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "INSERT INTO relay_keyrings (account_uuid, sequence, chunk_id, device_id, stored_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![account, new.sequence, &new.chunk_id, device_id, now_ms],
    )?;
    Ok(())
}

/// Moves all chains and keyrings of an account to the trash.
pub fn trash_all(tx: &mut dyn Tx, account: Uuid, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE relay_segments SET trashed_at_ms = ?2 WHERE account_uuid = ?1 AND trashed_at_ms IS NULL",
        params![account, now_ms],
    )?;
    tx.execute(
        "UPDATE relay_keyrings SET trashed_at_ms = ?2 WHERE account_uuid = ?1 AND trashed_at_ms IS NULL",
        params![account, now_ms],
    )?;
    Ok(())
}

/// Brings back what went to the trash since `since_ms`, unless something newer is in its place: a chain that was begun
/// again, a keyring that was made since. Of several in the trash the latest counts.
pub fn restore_trashed(tx: &mut dyn Tx, account: Uuid, since_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE relay_segments SET trashed_at_ms = NULL
         WHERE account_uuid = ?1 AND trashed_at_ms >= ?2
           AND trashed_at_ms = (SELECT MAX(latest.trashed_at_ms) FROM relay_segments latest
                                WHERE latest.account_uuid = ?1 AND latest.writer = relay_segments.writer)
           AND NOT EXISTS (SELECT 1 FROM relay_segments newer
                           WHERE newer.account_uuid = ?1 AND newer.writer = relay_segments.writer
                             AND newer.trashed_at_ms IS NULL)",
        params![account, since_ms],
    )?;
    tx.execute(
        "UPDATE relay_keyrings SET trashed_at_ms = NULL
         WHERE account_uuid = ?1 AND trashed_at_ms >= ?2
           AND trashed_at_ms = (SELECT MAX(latest.trashed_at_ms) FROM relay_keyrings latest
                                WHERE latest.account_uuid = ?1)
           AND NOT EXISTS (SELECT 1 FROM relay_keyrings newer
                           WHERE newer.account_uuid = ?1 AND newer.trashed_at_ms IS NULL)",
        params![account, since_ms],
    )?;
    Ok(())
}

/// Whether [`remove_expired`] would find anything.
pub fn has_expired(tx: &mut dyn Tx, before_ms: i64) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM relay_segments WHERE trashed_at_ms < ?1
         UNION ALL SELECT 1 FROM relay_keyrings WHERE trashed_at_ms < ?1
         LIMIT 1",
        params![before_ms],
    )?;
    Ok(row.is_some())
}

/// Forgets chains and keyrings whose trash period is over.
pub fn remove_expired(tx: &mut dyn Tx, before_ms: i64) -> DbResult<()> {
    tx.execute("DELETE FROM relay_segments WHERE trashed_at_ms < ?1", params![before_ms])?;
    tx.execute("DELETE FROM relay_keyrings WHERE trashed_at_ms < ?1", params![before_ms])?;
    Ok(())
}

/// Places whose object is not there any more, at most 1,000 of each kind; the writer of a keyring is empty.
pub fn list_dangling(tx: &mut dyn Tx) -> DbResult<Vec<(Uuid, Link)>> {
    let segments = tx.query(
        "SELECT writer, sequence, chunk_id, account_uuid FROM relay_segments
         WHERE trashed_at_ms IS NULL
           AND NOT EXISTS (SELECT 1 FROM relay_chunks
                           WHERE relay_chunks.account_uuid = relay_segments.account_uuid
                             AND relay_chunks.chunk_id = relay_segments.chunk_id
                             AND relay_chunks.trashed_at_ms IS NULL)
         LIMIT 1000",
        params![],
    )?;
    let keyrings = tx.query(
        "SELECT '', sequence, chunk_id, account_uuid FROM relay_keyrings
         WHERE trashed_at_ms IS NULL
           AND NOT EXISTS (SELECT 1 FROM relay_chunks
                           WHERE relay_chunks.account_uuid = relay_keyrings.account_uuid
                             AND relay_chunks.chunk_id = relay_keyrings.chunk_id
                             AND relay_chunks.trashed_at_ms IS NULL)
         LIMIT 1000",
        params![],
    )?;
    segments.iter().chain(&keyrings).map(|row| Ok((row.uuid(3)?, link(row)?))).collect()
}
