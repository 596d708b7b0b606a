//! The SQL of looking after devices: listing them, and ending what they were given.

use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// A device that is signed in.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table devices, described in the schema")]
pub struct Device {
    pub device_id: String,
    pub label: String,
    pub created_at_ms: i64,
    pub last_seen_at_ms: i64,
    pub inventory_at_ms: Option<i64>,
    pub has_upload_token: bool,
}

fn device(row: &Row) -> DbResult<Device> {
    Ok(Device {
        device_id: row.text(0)?,
        label: row.text(1)?,
        created_at_ms: row.integer(2)?,
        last_seen_at_ms: row.integer(3)?,
        inventory_at_ms: row.find_integer(4)?,
        has_upload_token: row.boolean(5)?,
    })
}

/// The devices of an account with anything that still opens something, last seen first.
pub fn list_live(tx: &mut dyn Tx, account_uuid: Uuid, now_ms: i64) -> DbResult<Vec<Device>> {
    let rows = tx.query(
        "SELECT d.device_id, d.label, d.created_at_ms, d.last_seen_at_ms, d.inventory_at_ms,
                EXISTS (SELECT 1 FROM sessions u
                        WHERE u.device_id = d.device_id AND u.scope = 'upload_only'
                          AND u.revoked_at_ms IS NULL AND u.expires_at_ms > ?2)
         FROM devices d
         WHERE d.account_uuid = ?1
           AND EXISTS (SELECT 1 FROM sessions s
                       WHERE s.device_id = d.device_id
                         AND s.revoked_at_ms IS NULL AND s.expires_at_ms > ?2)
         ORDER BY d.last_seen_at_ms DESC, d.device_id",
        params![account_uuid, now_ms],
    )?;
    rows.iter().map(device).collect()
}

/// What a person calls a device of the account; `None` if the account has no such device.
pub fn find_label(
    tx: &mut dyn Tx,
    account_uuid: Uuid,
    device_id: &str,
) -> DbResult<Option<String>> {
    let row = find(
        tx,
        "SELECT label FROM devices WHERE device_id = ?1 AND account_uuid = ?2",
        params![device_id, account_uuid],
    )?;
    row.map(|row| row.text(0)).transpose()
}

/// Ends every session and token of a device.
pub fn revoke_all(tx: &mut dyn Tx, device_id: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions SET revoked_at_ms = ?2 WHERE device_id = ?1 AND revoked_at_ms IS NULL",
        params![device_id, now_ms],
    )?;
    Ok(())
}

/// Ends the upload-only tokens of a device.
pub fn revoke_upload_tokens(tx: &mut dyn Tx, device_id: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions SET revoked_at_ms = ?2
         WHERE device_id = ?1 AND scope = 'upload_only' AND revoked_at_ms IS NULL",
        params![device_id, now_ms],
    )?;
    Ok(())
}
