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
    pub is_browser: bool,
}

fn device(row: &Row) -> DbResult<Device> {
    Ok(Device {
        device_id: row.text(0)?,
        label: row.text(1)?,
        created_at_ms: row.integer(2)?,
        last_seen_at_ms: row.integer(3)?,
        inventory_at_ms: row.find_integer(4)?,
        has_upload_token: row.boolean(5)?,
        is_browser: row.boolean(6)?,
    })
}

/// The devices of an account with anything that still opens something, last seen first.
pub fn list_live(tx: &mut dyn Tx, account_uuid: Uuid, now_ms: i64) -> DbResult<Vec<Device>> {
    let rows = tx.query(
        "SELECT d.device_id, d.label, d.created_at_ms, d.last_seen_at_ms, d.inventory_at_ms,
                EXISTS (SELECT 1 FROM sessions u
                        WHERE u.device_id = d.device_id AND u.scope = 'upload_only'
                          AND u.revoked_at_ms IS NULL AND u.expires_at_ms > ?2),
                EXISTS (SELECT 1 FROM sessions b
                        WHERE b.device_id = d.device_id AND b.kind = 'web'
                          AND b.revoked_at_ms IS NULL AND b.expires_at_ms > ?2)
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

/// A device whose last sign of a complete backup is long ago.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table devices, described in the schema")]
pub struct Late {
    pub device_id: String,
    pub label: String,
    pub email: String,
    pub created_at_ms: i64,
    pub inventory_at_ms: Option<i64>,
}

/// Signed-in devices of accounts that can sign in, whose last complete inventory, or before the first one their first
/// sign-in, was before `before_ms`: the one longest ago first, at most `limit`.
pub fn list_late(tx: &mut dyn Tx, before_ms: i64, now_ms: i64, limit: i64) -> DbResult<Vec<Late>> {
    let rows = tx.query(
        "SELECT d.device_id, d.label, a.email, d.created_at_ms, d.inventory_at_ms
         FROM devices d JOIN accounts a ON a.account_uuid = d.account_uuid
         WHERE COALESCE(d.inventory_at_ms, d.created_at_ms) < ?1
           AND a.deleted_at_ms IS NULL AND a.disabled = 0
           AND EXISTS (SELECT 1 FROM sessions s
                       WHERE s.device_id = d.device_id AND s.kind <> 'web'
                         AND s.revoked_at_ms IS NULL AND s.expires_at_ms > ?2)
         ORDER BY COALESCE(d.inventory_at_ms, d.created_at_ms), d.device_id
         LIMIT ?3",
        params![before_ms, now_ms, limit],
    )?;
    let late = |row: &Row| -> DbResult<Late> {
        Ok(Late {
            device_id: row.text(0)?,
            label: row.text(1)?,
            email: row.text(2)?,
            created_at_ms: row.integer(3)?,
            inventory_at_ms: row.find_integer(4)?,
        })
    };
    rows.iter().map(late).collect()
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
