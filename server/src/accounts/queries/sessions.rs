//! The SQL of sessions and of the devices that hold them.

use uuid::Uuid;

use crate::auth::aliases::Alias;
use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// A session row, joined with what of its account decides whether it is alive.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table sessions, described in the schema")]
pub struct Session {
    pub session_id: String,
    pub account_uuid: Uuid,
    pub user_id: i64,
    pub email: String,
    pub role: String,
    pub alias: Option<String>,
    pub last_seen_at_ms: i64,
    pub scope: String,
    pub device_id: Option<String>,
}

/// A query whose rows [`session`] reads, alive at `?2`: the columns and the conditions stand here once.
macro_rules! live_session_query {
    ($rest:literal) => {
        concat!(
            "SELECT s.session_id, s.account_uuid, a.user_id, a.email, a.role, s.legacy_uuid, s.last_seen_at_ms,
                    s.scope, s.device_id
             FROM sessions s
             JOIN accounts a ON a.account_uuid = s.account_uuid
             WHERE s.revoked_at_ms IS NULL AND s.expires_at_ms > ?2
               AND a.deleted_at_ms IS NULL AND a.disabled = 0
               AND ",
            $rest
        )
    };
}

fn session(row: &Row) -> DbResult<Session> {
    Ok(Session {
        session_id: row.text(0)?,
        account_uuid: row.uuid(1)?,
        user_id: row.integer(2)?,
        email: row.text(3)?,
        role: row.text(4)?,
        alias: row.find_text(5)?,
        last_seen_at_ms: row.integer(6)?,
        scope: row.text(7)?,
        device_id: row.find_text(8)?,
    })
}

/// The session `session_id` if it still opens anything at `now_ms`.
pub fn find_live_session(
    tx: &mut dyn Tx,
    session_id: &str,
    now_ms: i64,
) -> DbResult<Option<Session>> {
    let row = find(tx, live_session_query!("s.session_id = ?1"), params![session_id, now_ms])?;
    row.as_ref().map(session).transpose()
}

/// The live upload-only session of a token's hash.
pub fn find_upload_session(
    tx: &mut dyn Tx,
    token_hash: &[u8; 32],
    now_ms: i64,
) -> DbResult<Option<Session>> {
    let row = find(
        tx,
        live_session_query!("s.token_hash = ?1 AND s.scope = 'upload_only'"),
        params![&token_hash[..], now_ms],
    )?;
    row.as_ref().map(session).transpose()
}

/// The live session of a browser's cookie, by its hash.
pub fn find_web_session(
    tx: &mut dyn Tx,
    token_hash: &[u8; 32],
    now_ms: i64,
) -> DbResult<Option<Session>> {
    let row = find(
        tx,
        live_session_query!("s.token_hash = ?1 AND s.kind = 'web' AND s.scope = 'full'"),
        params![&token_hash[..], now_ms],
    )?;
    row.as_ref().map(session).transpose()
}

/// The live session whose refresh token this is, or was until a moment ago.
pub fn find_refreshable(
    tx: &mut dyn Tx,
    token_hash: &[u8; 32],
    now_ms: i64,
) -> DbResult<Option<Session>> {
    let current = find(
        tx,
        live_session_query!("s.token_hash = ?1 AND s.kind = 'device' AND s.scope = 'full'"),
        params![&token_hash[..], now_ms],
    )?;
    let row = match current {
        Some(row) => Some(row),
        None => find(
            tx,
            live_session_query!(
                "s.previous_token_hash = ?1 AND s.previous_until_ms > ?2 AND s.scope = 'full'"
            ),
            params![&token_hash[..], now_ms],
        )?,
    };
    row.as_ref().map(session).transpose()
}

/// Replaces the refresh token `old` of a session by `new`; `old` works until `grace_until_ms`.
pub fn rotate_token(
    tx: &mut dyn Tx,
    session_id: &str,
    old: &[u8; 32],
    new: &[u8; 32],
    grace_until_ms: i64,
    expires_at_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions
         SET previous_until_ms = CASE WHEN token_hash = ?2 THEN ?4 ELSE previous_until_ms END,
             previous_token_hash = ?2, token_hash = ?3, expires_at_ms = ?5
         WHERE session_id = ?1",
        params![session_id, &old[..], &new[..], grace_until_ms, expires_at_ms],
    )?;
    Ok(())
}

/// A device row, as far as signing in needs it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table devices, described in the schema")]
pub struct KnownDevice {
    pub device_id: String,
    pub account_uuid: Uuid,
}

/// A device by its id, whosever it is.
pub fn find_device(tx: &mut dyn Tx, device_id: &str) -> DbResult<Option<KnownDevice>> {
    let row = find(
        tx,
        "SELECT device_id, account_uuid FROM devices WHERE device_id = ?1",
        params![device_id],
    )?;
    row.map(|row| Ok(KnownDevice { device_id: row.text(0)?, account_uuid: row.uuid(1)? }))
        .transpose()
}

/// A device that signs in.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table devices, described in the schema")]
pub struct NewDevice {
    pub device_id: String,
    pub account_uuid: Uuid,
    pub label: String,
    pub now_ms: i64,
}

/// Adds a device, or gives a known one its new label. The caller knows that a known one is the account's.
pub fn store_device(tx: &mut dyn Tx, new: &NewDevice) -> DbResult<()> {
    tx.execute(
        "INSERT INTO devices (device_id, account_uuid, label, created_at_ms, last_seen_at_ms, settled_sum)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5)
         ON CONFLICT (device_id) DO UPDATE SET label = excluded.label, last_seen_at_ms = excluded.last_seen_at_ms",
        params![&new.device_id, new.account_uuid, &new.label, new.now_ms, &[0_u8; 32][..]],
    )?;
    Ok(())
}

/// Notes that a device was seen.
pub fn touch_device(tx: &mut dyn Tx, device_id: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE devices SET last_seen_at_ms = ?2 WHERE device_id = ?1",
        params![device_id, now_ms],
    )?;
    Ok(())
}

/// The device of a session; an old client's has none until it speaks the native wire.
pub fn find_session_device(tx: &mut dyn Tx, session_id: &str) -> DbResult<Option<String>> {
    let row =
        find(tx, "SELECT device_id FROM sessions WHERE session_id = ?1", params![session_id])?;
    row.map_or(Ok(None), |row| row.find_text(0))
}

/// What a person calls the device of a session.
pub fn find_session_label(tx: &mut dyn Tx, session_id: &str) -> DbResult<Option<String>> {
    let row = find(tx, "SELECT label FROM sessions WHERE session_id = ?1", params![session_id])?;
    row.map(|row| row.text(0)).transpose()
}

/// Gives a session its device.
pub fn set_session_device(tx: &mut dyn Tx, session_id: &str, device_id: &str) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions SET device_id = ?2 WHERE session_id = ?1",
        params![session_id, device_id],
    )?;
    Ok(())
}

/// A session of the native wire.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table sessions, described in the schema")]
pub struct NewSession {
    pub session_id: String,
    pub account_uuid: Uuid,
    pub device_id: String,
    pub kind: &'static str,
    pub scope: &'static str,
    pub label: String,
    pub token_hash: [u8; 32],
    pub now_ms: i64,
    pub expires_at_ms: i64,
}

/// Adds a session of the native wire, and forgets those of the account that are over.
pub fn store_session(tx: &mut dyn Tx, new: &NewSession) -> DbResult<()> {
    tx.execute(
        "DELETE FROM sessions WHERE account_uuid = ?1 AND expires_at_ms <= ?2",
        params![new.account_uuid, new.now_ms],
    )?;
    tx.execute(
        "INSERT INTO sessions (session_id, account_uuid, kind, scope, label, token_hash, device_id, created_at_ms,
                               last_seen_at_ms, expires_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
        params![
            &new.session_id,
            new.account_uuid,
            new.kind,
            new.scope,
            &new.label,
            &new.token_hash[..],
            &new.device_id,
            new.now_ms,
            new.expires_at_ms
        ],
    )?;
    Ok(())
}

/// Ends one session.
pub fn revoke_session(tx: &mut dyn Tx, session_id: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions SET revoked_at_ms = ?2 WHERE session_id = ?1 AND revoked_at_ms IS NULL",
        params![session_id, now_ms],
    )?;
    Ok(())
}

/// Adds the session of an old client.
pub fn store_device_session(
    tx: &mut dyn Tx,
    session_id: &str,
    account_uuid: Uuid,
    label: &str,
    alias: &Alias,
    now_ms: i64,
    expires_at_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "DELETE FROM sessions WHERE account_uuid = ?1 AND expires_at_ms <= ?2",
        params![account_uuid, now_ms],
    )?;
    tx.execute(
        "INSERT INTO sessions (session_id, account_uuid, kind, scope, label, legacy_uuid, created_at_ms,
                               last_seen_at_ms, expires_at_ms)
         VALUES (?1, ?2, 'device', 'full', ?3, ?4, ?5, ?5, ?6)",
        params![session_id, account_uuid, label, alias.as_str(), now_ms, expires_at_ms],
    )?;
    Ok(())
}

/// Notes that a session was used.
pub fn touch_session(tx: &mut dyn Tx, session_id: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions SET last_seen_at_ms = ?2 WHERE session_id = ?1",
        params![session_id, now_ms],
    )?;
    Ok(())
}

/// Gives a browser's session another cookie.
pub fn set_cookie_hash(
    tx: &mut dyn Tx,
    session_id: &str,
    token_hash: &[u8; 32],
    now_ms: i64,
    expires_at_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions SET token_hash = ?2, last_seen_at_ms = ?3, expires_at_ms = ?4
         WHERE session_id = ?1 AND kind = 'web'",
        params![session_id, &token_hash[..], now_ms, expires_at_ms],
    )?;
    Ok(())
}

/// Ends the sessions of an account's browsers.
pub fn revoke_browsers(tx: &mut dyn Tx, account_uuid: Uuid, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE sessions SET revoked_at_ms = ?2
         WHERE account_uuid = ?1 AND kind = 'web' AND revoked_at_ms IS NULL",
        params![account_uuid, now_ms],
    )?;
    Ok(())
}

/// Ends the sessions of an account's browsers but for one; returns how many were alive.
pub fn revoke_other_browsers(
    tx: &mut dyn Tx,
    account_uuid: Uuid,
    kept: &str,
    now_ms: i64,
) -> DbResult<i64> {
    tx.execute(
        "UPDATE sessions SET revoked_at_ms = ?3
         WHERE account_uuid = ?1 AND session_id <> ?2 AND kind = 'web'
           AND revoked_at_ms IS NULL AND expires_at_ms > ?3",
        params![account_uuid, kept, now_ms],
    )
}

/// Ends every session of an account but for one; returns how many were alive.
pub fn revoke_others(
    tx: &mut dyn Tx,
    account_uuid: Uuid,
    kept: &str,
    now_ms: i64,
) -> DbResult<i64> {
    tx.execute(
        "UPDATE sessions SET revoked_at_ms = ?3
         WHERE account_uuid = ?1 AND session_id <> ?2
           AND revoked_at_ms IS NULL AND expires_at_ms > ?3",
        params![account_uuid, kept, now_ms],
    )
}

/// Ends every session of an account; returns how many were alive.
pub fn revoke_sessions(tx: &mut dyn Tx, account_uuid: Uuid, now_ms: i64) -> DbResult<i64> {
    tx.execute(
        "UPDATE sessions SET revoked_at_ms = ?2 WHERE account_uuid = ?1 AND revoked_at_ms IS NULL",
        params![account_uuid, now_ms],
    )
}
