//! The SQL of accounts, aliases and invitations, and the facts of the server.

pub mod sessions;

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
    pub display_name: String,
    pub quota_bytes: Option<i64>,
}

/// A query whose rows [`account`] reads: the columns stand here once.
macro_rules! account_query {
    ($rest:literal) => {
        concat!(
            "SELECT account_uuid, user_id, email, generation, role, password_hash, hardware_device_id, disabled,
                    created_at_ms, deleted_at_ms, held_count, held_bytes, relay_bytes, display_name, quota_bytes
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
        display_name: row.text(13)?,
        quota_bytes: row.find_integer(14)?,
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

/// E-mails of accounts that can sign in, the first `limit` of the alphabet.
pub fn list_active_emails(tx: &mut dyn Tx, limit: usize) -> DbResult<Vec<String>> {
    let rows = tx.query(
        "SELECT email FROM accounts
         WHERE deleted_at_ms IS NULL AND disabled = 0 AND password_hash IS NOT NULL
         ORDER BY email LIMIT ?1",
        params![i64::try_from(limit).unwrap_or(i64::MAX)],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
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
    tx.execute("DELETE FROM albums WHERE account_uuid = ?1", params![account_uuid])?;
    tx.execute("DELETE FROM timeline_days WHERE account_uuid = ?1", params![account_uuid])?;
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
