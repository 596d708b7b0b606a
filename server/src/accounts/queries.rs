//! The SQL of accounts, aliases, sessions and invitations.

use uuid::Uuid;

use crate::auth::aliases::Alias;
use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// An account row, as far as signing in and looking after it need it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table accounts, described in the schema")]
pub struct Account {
    pub account_uuid: Uuid,
    pub user_id: i64,
    pub email: String,
    pub generation: i64,
    pub role: String,
    pub password_hash: Option<String>,
    pub hardware_device_id: Option<String>,
    pub disabled: bool,
    pub created_at_ms: i64,
    pub deleted_at_ms: Option<i64>,
    pub held_count: i64,
    pub held_bytes: i64,
    pub relay_bytes: i64,
}

/// A query whose rows [`account`] reads: the columns stand here once.
macro_rules! account_query {
    ($rest:literal) => {
        concat!(
            "SELECT account_uuid, user_id, email, generation, role, password_hash, hardware_device_id, disabled,
                    created_at_ms, deleted_at_ms, held_count, held_bytes, relay_bytes
             FROM accounts
             ",
            $rest
        )
    };
}

fn account(row: &Row) -> DbResult<Account> {
    Ok(Account {
        account_uuid: row.uuid(0)?,
        user_id: row.integer(1)?,
        email: row.text(2)?,
        generation: row.integer(3)?,
        role: row.text(4)?,
        password_hash: row.find_text(5)?,
        hardware_device_id: row.find_text(6)?,
        disabled: row.boolean(7)?,
        created_at_ms: row.integer(8)?,
        deleted_at_ms: row.find_integer(9)?,
        held_count: row.integer(10)?,
        held_bytes: row.integer(11)?,
        relay_bytes: row.integer(12)?,
    })
}

/// The live account of a normalised e-mail.
pub fn find_by_email(tx: &mut dyn Tx, email: &str) -> DbResult<Option<Account>> {
    let row =
        find(tx, account_query!("WHERE email = ?1 AND deleted_at_ms IS NULL"), params![email])?;
    row.as_ref().map(account).transpose()
}

/// An account by its UUID, also a deleted one.
pub fn find_by_uuid(tx: &mut dyn Tx, account_uuid: Uuid) -> DbResult<Option<Account>> {
    let row = find(tx, account_query!("WHERE account_uuid = ?1"), params![account_uuid])?;
    row.as_ref().map(account).transpose()
}

/// All accounts, deleted ones too, by e-mail. A server has at most some thousands.
pub fn list(tx: &mut dyn Tx) -> DbResult<Vec<Account>> {
    let rows = tx.query(account_query!("ORDER BY email, generation"), &[])?;
    rows.iter().map(account).collect()
}

/// How many accounts can sign in.
pub fn count_active(tx: &mut dyn Tx) -> DbResult<i64> {
    let counted = find(
        tx,
        "SELECT COUNT(*) FROM accounts
         WHERE deleted_at_ms IS NULL AND disabled = 0 AND password_hash IS NOT NULL",
        &[],
    )?;
    counted.map_or(Ok(0), |row| row.integer(0))
}

/// Adds an account.
pub fn store(tx: &mut dyn Tx, new: &Account) -> DbResult<()> {
    tx.execute(
        "INSERT INTO accounts (account_uuid, user_id, email, generation, role, password_hash, hardware_device_id,
                               created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            new.account_uuid,
            new.user_id,
            &new.email,
            new.generation,
            &new.role,
            new.password_hash.as_deref(),
            new.hardware_device_id.as_deref(),
            new.created_at_ms
        ],
    )?;
    Ok(())
}

/// Whether any live admin can sign in.
pub fn has_admin(tx: &mut dyn Tx) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM accounts WHERE role = 'admin' AND deleted_at_ms IS NULL AND disabled = 0 LIMIT 1",
        &[],
    )?;
    Ok(row.is_some())
}

/// Sets a new password hash.
pub fn set_password_hash(tx: &mut dyn Tx, account_uuid: Uuid, hash: &str) -> DbResult<()> {
    tx.execute(
        "UPDATE accounts SET password_hash = ?2 WHERE account_uuid = ?1",
        params![account_uuid, hash],
    )?;
    Ok(())
}

/// Lets an account sign in, or not.
pub fn set_disabled(tx: &mut dyn Tx, account_uuid: Uuid, disabled: bool) -> DbResult<()> {
    tx.execute(
        "UPDATE accounts SET disabled = ?2 WHERE account_uuid = ?1",
        params![account_uuid, disabled],
    )?;
    Ok(())
}

/// Marks an account deleted: its e-mail is free again, its UUID never.
pub fn set_deleted(tx: &mut dyn Tx, account_uuid: Uuid, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE accounts SET deleted_at_ms = ?2 WHERE account_uuid = ?1 AND deleted_at_ms IS NULL",
        params![account_uuid, now_ms],
    )?;
    tx.execute("DELETE FROM aliases WHERE account_uuid = ?1", params![account_uuid])?;
    Ok(())
}

/// Brings a deleted account back, locked out of nothing but its old sessions.
pub fn clear_deleted(tx: &mut dyn Tx, account_uuid: Uuid) -> DbResult<()> {
    tx.execute(
        "UPDATE accounts SET deleted_at_ms = NULL WHERE account_uuid = ?1",
        params![account_uuid],
    )?;
    Ok(())
}

/// Accounts whose trash period is over and whose bytes are still there.
pub fn list_to_erase(tx: &mut dyn Tx, deleted_before_ms: i64) -> DbResult<Vec<Uuid>> {
    let rows = tx.query(
        "SELECT account_uuid FROM accounts WHERE deleted_at_ms < ?1 AND erased_at_ms IS NULL LIMIT 100",
        params![deleted_before_ms],
    )?;
    rows.iter().map(|row| row.uuid(0)).collect()
}

/// Forgets everything of an account that was deleted before `deleted_before_ms`; false, and nothing changes, if it was
/// brought back meanwhile. The row itself stays: its UUID must never be given to somebody else.
pub fn set_erased(
    tx: &mut dyn Tx,
    account_uuid: Uuid,
    deleted_before_ms: i64,
    now_ms: i64,
) -> DbResult<bool> {
    let erased = tx.execute(
        "UPDATE accounts
         SET erased_at_ms = ?3, password_hash = NULL, hardware_device_id = NULL, held_count = 0, held_bytes = 0,
             relay_bytes = 0, relay_manifests = 0
         WHERE account_uuid = ?1 AND deleted_at_ms < ?2 AND erased_at_ms IS NULL",
        params![account_uuid, deleted_before_ms, now_ms],
    )?;
    if erased == 0 {
        return Ok(false);
    }
    tx.execute("DELETE FROM assets WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM relay_chunks WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM relay_manifests WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM relay_device_states WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM plans WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM sessions WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM pairings WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM tus_uploads WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM removed_assets WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM devices WHERE account_uuid = ?1", params![account_uuid])?;
    Ok(true)
}

/// The latest deleted account of an e-mail whose bytes are still there.
pub fn find_deleted_by_email(tx: &mut dyn Tx, email: &str) -> DbResult<Option<Account>> {
    let row = find(
        tx,
        account_query!(
            "WHERE email = ?1 AND deleted_at_ms IS NOT NULL AND erased_at_ms IS NULL
         ORDER BY generation DESC
         LIMIT 1"
        ),
        params![email],
    )?;
    row.as_ref().map(account).transpose()
}

/// The account a legacy device UUID names.
pub fn find_alias(tx: &mut dyn Tx, alias: &Alias) -> DbResult<Option<Uuid>> {
    let row = find(
        tx,
        "SELECT account_uuid FROM aliases WHERE legacy_uuid = ?1",
        params![alias.as_str()],
    )?;
    row.map(|row| row.uuid(0)).transpose()
}

/// Binds a UUID that the server derived from a verified password: it takes the alias from anyone who merely
/// presented it.
pub fn bind_derived(
    tx: &mut dyn Tx,
    alias: &Alias,
    account_uuid: Uuid,
    now_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "INSERT INTO aliases (legacy_uuid, account_uuid, derived, created_at_ms)
         VALUES (?1, ?2, 1, ?3)
         ON CONFLICT (legacy_uuid) DO UPDATE SET account_uuid = excluded.account_uuid, derived = 1",
        params![alias.as_str(), account_uuid, now_ms],
    )?;
    Ok(())
}

/// Binds a UUID that a client presented, on first use; false if it belongs to another account.
pub fn bind_presented(
    tx: &mut dyn Tx,
    alias: &Alias,
    account_uuid: Uuid,
    now_ms: i64,
) -> DbResult<bool> {
    match find_alias(tx, alias)? {
        Some(owner) => Ok(owner == account_uuid),
        None => {
            tx.execute(
                "INSERT INTO aliases (legacy_uuid, account_uuid, derived, created_at_ms) VALUES (?1, ?2, 0, ?3)",
                params![alias.as_str(), account_uuid, now_ms],
            )?;
            Ok(true)
        }
    }
}

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

/// The live session whose refresh token this is, or was until a moment ago.
pub fn find_refreshable(
    tx: &mut dyn Tx,
    token_hash: &[u8; 32],
    now_ms: i64,
) -> DbResult<Option<Session>> {
    let current = find(
        tx,
        live_session_query!("s.token_hash = ?1 AND s.scope = 'full'"),
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
         VALUES (?1, ?2, 'device', ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
        params![
            &new.session_id,
            new.account_uuid,
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

/// Ends every session of an account; returns how many were alive.
pub fn revoke_sessions(tx: &mut dyn Tx, account_uuid: Uuid, now_ms: i64) -> DbResult<i64> {
    tx.execute(
        "UPDATE sessions SET revoked_at_ms = ?2 WHERE account_uuid = ?1 AND revoked_at_ms IS NULL",
        params![account_uuid, now_ms],
    )
}

/// Invites an e-mail; inviting twice changes nothing.
pub fn store_invite(tx: &mut dyn Tx, email: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "INSERT INTO invites (email, created_at_ms) VALUES (?1, ?2) ON CONFLICT (email) DO NOTHING",
        params![email, now_ms],
    )?;
    Ok(())
}

/// Whether an e-mail is invited.
pub fn is_invited(tx: &mut dyn Tx, email: &str) -> DbResult<bool> {
    Ok(find(tx, "SELECT 1 FROM invites WHERE email = ?1", params![email])?.is_some())
}

/// An invitation is used up by registering.
pub fn remove_invite(tx: &mut dyn Tx, email: &str) -> DbResult<()> {
    tx.execute("DELETE FROM invites WHERE email = ?1", params![email])?;
    Ok(())
}

/// A fact about this database.
pub fn find_fact(tx: &mut dyn Tx, name: &str) -> DbResult<Option<String>> {
    find(tx, "SELECT value FROM facts WHERE name = ?1", params![name])?
        .map(|row| row.text(0))
        .transpose()
}

/// Notes a fact.
pub fn set_fact(tx: &mut dyn Tx, name: &str, value: &str) -> DbResult<()> {
    tx.execute(
        "INSERT INTO facts (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}
