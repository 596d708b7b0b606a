//! The SQL of looking after accounts.

use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// An account, as an administrator sees it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of table accounts, and what is counted for each")]
pub struct UserRow {
    pub account_uuid: Uuid,
    pub email: String,
    pub display_name: String,
    pub role: String,
    pub has_password: bool,
    pub disabled: bool,
    pub created_at_ms: i64,
    pub deleted_at_ms: Option<i64>,
    pub held_count: i64,
    pub held_bytes: i64,
    pub relay_bytes: i64,
    pub quota_bytes: Option<i64>,
    pub device_count: i64,
    pub last_seen_at_ms: Option<i64>,
    pub last_backup_at_ms: Option<i64>,
    pub last_arrival_at_ms: Option<i64>,
    pub link_until_ms: Option<i64>,
}

/// A query whose rows [`user`] reads, for sessions and links alive at `?1`: the columns stand here once.
macro_rules! user_query {
    ($rest:literal) => {
        concat!(
            "SELECT a.account_uuid, a.email, a.display_name, a.role, a.password_hash IS NOT NULL, a.disabled,
                    a.created_at_ms, a.deleted_at_ms, a.held_count, a.held_bytes, a.relay_bytes, a.quota_bytes,
                    (SELECT COUNT(DISTINCT COALESCE(s.device_id, s.legacy_uuid)) FROM sessions s
                     WHERE s.account_uuid = a.account_uuid AND s.kind = 'device'
                       AND s.revoked_at_ms IS NULL AND s.expires_at_ms > ?1),
                    (SELECT MAX(s.last_seen_at_ms) FROM sessions s
                     WHERE s.account_uuid = a.account_uuid),
                    (SELECT MAX(d.inventory_at_ms) FROM devices d
                     WHERE d.account_uuid = a.account_uuid),
                    (SELECT n.arrived_at_ms FROM assets n
                     WHERE n.account_uuid = a.account_uuid
                     ORDER BY n.seq DESC LIMIT 1),
                    (SELECT MAX(t.expires_at_ms) FROM one_time_tokens t
                     WHERE t.account_uuid = a.account_uuid AND t.purpose = 'password'
                       AND t.used_at_ms IS NULL AND t.expires_at_ms > ?1)
             FROM accounts a
             WHERE a.erased_at_ms IS NULL AND ",
            $rest
        )
    };
}

fn user(row: &Row) -> DbResult<UserRow> {
    Ok(UserRow {
        account_uuid: row.uuid(0)?,
        email: row.text(1)?,
        display_name: row.text(2)?,
        role: row.text(3)?,
        has_password: row.boolean(4)?,
        disabled: row.boolean(5)?,
        created_at_ms: row.integer(6)?,
        deleted_at_ms: row.find_integer(7)?,
        held_count: row.integer(8)?,
        held_bytes: row.integer(9)?,
        relay_bytes: row.integer(10)?,
        quota_bytes: row.find_integer(11)?,
        device_count: row.integer(12)?,
        last_seen_at_ms: row.find_integer(13)?,
        last_backup_at_ms: row.find_integer(14)?,
        last_arrival_at_ms: row.find_integer(15)?,
        link_until_ms: row.find_integer(16)?,
    })
}

/// All accounts whose bytes are still there, by e-mail. A server has at most some thousands.
pub fn list(tx: &mut dyn Tx, now_ms: i64) -> DbResult<Vec<UserRow>> {
    let rows = tx.query(user_query!("1 ORDER BY a.email, a.generation DESC"), params![now_ms])?;
    rows.iter().map(user).collect()
}

/// One account, also a deleted one whose bytes are still there.
pub fn find_user(tx: &mut dyn Tx, account: Uuid, now_ms: i64) -> DbResult<Option<UserRow>> {
    let row = find(tx, user_query!("a.account_uuid = ?2"), params![now_ms, account])?;
    row.as_ref().map(user).transpose()
}

/// How many other administrators can sign in.
pub fn count_other_admins(tx: &mut dyn Tx, account: Uuid) -> DbResult<i64> {
    let row = find(
        tx,
        "SELECT COUNT(*) FROM accounts
         WHERE role = 'admin' AND account_uuid <> ?1
           AND deleted_at_ms IS NULL AND disabled = 0 AND password_hash IS NOT NULL",
        params![account],
    )?;
    row.map_or(Ok(0), |row| row.integer(0))
}

/// How many other accounts are not deleted.
pub fn count_others(tx: &mut dyn Tx, account: Uuid) -> DbResult<i64> {
    let row = find(
        tx,
        "SELECT COUNT(*) FROM accounts WHERE account_uuid <> ?1 AND deleted_at_ms IS NULL",
        params![account],
    )?;
    row.map_or(Ok(0), |row| row.integer(0))
}

/// Gives an account another role.
pub fn set_role(tx: &mut dyn Tx, account: Uuid, role: &str) -> DbResult<()> {
    tx.execute("UPDATE accounts SET role = ?2 WHERE account_uuid = ?1", params![account, role])?;
    Ok(())
}

/// What the owner of an account is called.
pub fn set_name(tx: &mut dyn Tx, account: Uuid, name: &str) -> DbResult<()> {
    tx.execute(
        "UPDATE accounts SET display_name = ?2 WHERE account_uuid = ?1",
        params![account, name],
    )?;
    Ok(())
}

/// Most bytes of originals that an account may hold; `None`: as much as there is room for.
pub fn set_quota(tx: &mut dyn Tx, account: Uuid, quota_bytes: Option<i64>) -> DbResult<()> {
    tx.execute(
        "UPDATE accounts SET quota_bytes = ?2 WHERE account_uuid = ?1",
        params![account, quota_bytes],
    )?;
    Ok(())
}

/// What an account may still add.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table accounts")]
pub struct Allowance {
    pub role: String,
    pub held_bytes: i64,
    pub quota_bytes: Option<i64>,
}

/// The allowance of an account; `None` if there is no such account.
pub fn find_allowance(tx: &mut dyn Tx, account: Uuid) -> DbResult<Option<Allowance>> {
    let row = find(
        tx,
        "SELECT role, held_bytes, quota_bytes FROM accounts WHERE account_uuid = ?1",
        params![account],
    )?;
    let allowance = |row: Row| -> DbResult<Allowance> {
        Ok(Allowance {
            role: row.text(0)?,
            held_bytes: row.integer(1)?,
            quota_bytes: row.find_integer(2)?,
        })
    };
    row.map(allowance).transpose()
}
