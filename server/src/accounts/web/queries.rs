//! The SQL of browsers: links that work once, and how long a session goes on.

use uuid::Uuid;

use crate::db::{DbResult, Tx, find};
use crate::params;

/// Whether nobody has an account.
pub fn has_no_account(tx: &mut dyn Tx) -> DbResult<bool> {
    Ok(find(tx, "SELECT 1 FROM accounts WHERE deleted_at_ms IS NULL LIMIT 1", &[])?.is_none())
}

/// Keeps the hash of a link, and forgets those that are over.
pub fn store_link(
    tx: &mut dyn Tx,
    token_hash: &[u8; 32],
    purpose: &str,
    account: Uuid,
    now_ms: i64,
    expires_at_ms: i64,
) -> DbResult<()> {
    tx.execute("DELETE FROM one_time_tokens WHERE expires_at_ms <= ?1", params![now_ms])?;
    tx.execute(
        "INSERT INTO one_time_tokens (token_hash, purpose, account_uuid, created_at_ms, expires_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![&token_hash[..], purpose, account, now_ms, expires_at_ms],
    )?;
    Ok(())
}

/// Whose a link is, if it is still good.
pub fn find_link(
    tx: &mut dyn Tx,
    token_hash: &[u8; 32],
    purpose: &str,
    now_ms: i64,
) -> DbResult<Option<Uuid>> {
    let row = find(
        tx,
        "SELECT account_uuid FROM one_time_tokens
         WHERE token_hash = ?1 AND purpose = ?2 AND used_at_ms IS NULL AND expires_at_ms > ?3",
        params![&token_hash[..], purpose, now_ms],
    )?;
    row.map(|row| row.uuid(0)).transpose()
}

/// Uses a link up; whose it is, if it was still good.
pub fn use_link(
    tx: &mut dyn Tx,
    token_hash: &[u8; 32],
    purpose: &str,
    now_ms: i64,
) -> DbResult<Option<Uuid>> {
    let row = find(
        tx,
        "UPDATE one_time_tokens
         SET used_at_ms = ?2
         WHERE token_hash = ?1 AND purpose = ?3 AND used_at_ms IS NULL AND expires_at_ms > ?2
         RETURNING account_uuid",
        params![&token_hash[..], now_ms, purpose],
    )?;
    row.map(|row| row.uuid(0)).transpose()
}

/// Ends every link of an account.
pub fn remove_links(tx: &mut dyn Tx, account: Uuid) -> DbResult<()> {
    tx.execute("DELETE FROM one_time_tokens WHERE account_uuid = ?1", params![account])?;
    Ok(())
}

/// Ends the links of an account for one purpose.
pub fn remove_links_for(tx: &mut dyn Tx, account: Uuid, purpose: &str) -> DbResult<()> {
    tx.execute(
        "DELETE FROM one_time_tokens WHERE account_uuid = ?1 AND purpose = ?2",
        params![account, purpose],
    )?;
    Ok(())
}

/// A browser was used: its session goes on from now.
pub fn prolong(tx: &mut dyn Tx, session_id: &str, now_ms: i64, expires_at_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions SET last_seen_at_ms = ?2, expires_at_ms = ?3 WHERE session_id = ?1",
        params![session_id, now_ms, expires_at_ms],
    )?;
    Ok(())
}
