//! The SQL of the relay: sealed manifests of version 1, device states and plans; emptying and restoring all of it.

pub mod chains;
pub mod objects;

use uuid::Uuid;

use crate::auth::aliases::Alias;
use crate::db::{DbResult, Tx, find};
use crate::params;

/// When a manifest outside the trash was stored.
pub fn find_manifest(tx: &mut dyn Tx, account: Uuid, manifest_id: &str) -> DbResult<Option<i64>> {
    let row = find(
        tx,
        "SELECT stored_at_ms FROM relay_manifests
         WHERE account_uuid = ?1 AND manifest_id = ?2 AND trashed_at_ms IS NULL",
        params![account, manifest_id],
    )?;
    row.map(|row| row.integer(0)).transpose()
}

/// Adds a manifest whose file is in place, replacing one of the same id in the trash.
pub fn store_manifest(
    tx: &mut dyn Tx,
    account: Uuid,
    manifest_id: &str,
    size_bytes: i64,
    now_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "INSERT INTO relay_manifests (account_uuid, manifest_id, size_bytes, stored_at_ms)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account_uuid, manifest_id) DO UPDATE
         SET trashed_at_ms = NULL, stored_at_ms = excluded.stored_at_ms, size_bytes = excluded.size_bytes",
        params![account, manifest_id, size_bytes, now_ms],
    )?;
    tx.execute(
        "UPDATE accounts SET relay_manifests = relay_manifests + 1 WHERE account_uuid = ?1",
        params![account],
    )?;
    Ok(())
}

/// The next manifest ids after `after`, in order.
pub fn list_manifests(
    tx: &mut dyn Tx,
    account: Uuid,
    after: &str,
    limit: i64,
) -> DbResult<Vec<String>> {
    let rows = tx.query(
        "SELECT manifest_id FROM relay_manifests
         WHERE account_uuid = ?1 AND trashed_at_ms IS NULL AND manifest_id > ?2
         ORDER BY manifest_id
         LIMIT ?3",
        params![account, after, limit],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// The next manifests of the whole server after (`account`, `after`), in order, with their lengths; not those in the trash,
/// nor those of accounts that are gone for good.
pub fn list_next_manifests(
    tx: &mut dyn Tx,
    account: &str,
    after: &str,
    limit: i64,
) -> DbResult<Vec<(Uuid, String, i64)>> {
    let rows = tx.query(
        "SELECT account_uuid, manifest_id, size_bytes FROM relay_manifests
         WHERE (account_uuid, manifest_id) > (?1, ?2) AND trashed_at_ms IS NULL
           AND account_uuid NOT IN (SELECT account_uuid FROM accounts WHERE erased_at_ms IS NOT NULL)
         ORDER BY account_uuid, manifest_id
         LIMIT ?3",
        params![account, after, limit],
    )?;
    rows.iter().map(|row| Ok((row.uuid(0)?, row.text(1)?, row.integer(2)?))).collect()
}

/// The manifest id before row `offset` (from 1) in order of ids.
pub fn find_manifest_at(tx: &mut dyn Tx, account: Uuid, offset: i64) -> DbResult<Option<String>> {
    let row = find(
        tx,
        "SELECT manifest_id FROM relay_manifests
         WHERE account_uuid = ?1 AND trashed_at_ms IS NULL
         ORDER BY manifest_id
         LIMIT 1 OFFSET ?2",
        params![account, offset - 1],
    )?;
    row.map(|row| row.text(0)).transpose()
}

/// Sealed bytes and number of manifests of an account.
pub fn find_usage(tx: &mut dyn Tx, account: Uuid) -> DbResult<(i64, i64)> {
    let row = find(
        tx,
        "SELECT relay_bytes, relay_manifests FROM accounts WHERE account_uuid = ?1",
        params![account],
    )?;
    row.map_or(Ok((0, 0)), |row| Ok((row.integer(0)?, row.integer(1)?)))
}

/// Moves everything of an account to the trash; returns how many chunks and manifests.
pub fn trash_all(tx: &mut dyn Tx, account: Uuid, now_ms: i64) -> DbResult<(i64, i64)> {
    let chunks = tx.execute(
        "UPDATE relay_chunks SET trashed_at_ms = ?2 WHERE account_uuid = ?1 AND trashed_at_ms IS NULL",
        params![account, now_ms],
    )?;
    let manifests = tx.execute(
        "UPDATE relay_manifests SET trashed_at_ms = ?2 WHERE account_uuid = ?1 AND trashed_at_ms IS NULL",
        params![account, now_ms],
    )?;
    chains::trash_all(tx, account, now_ms)?;
    tx.execute(
        "UPDATE accounts SET relay_bytes = 0, relay_manifests = 0 WHERE account_uuid = ?1",
        params![account],
    )?;
    Ok((chunks, manifests))
}

/// Brings everything back that went to the trash since `since_ms`; returns how many objects. What a person wants back is
/// never collected afterwards.
pub fn restore_trashed(tx: &mut dyn Tx, account: Uuid, since_ms: i64) -> DbResult<i64> {
    let chunks = tx.execute(
        "UPDATE relay_chunks SET trashed_at_ms = NULL, collectable = 0
         WHERE account_uuid = ?1 AND trashed_at_ms >= ?2",
        params![account, since_ms],
    )?;
    let manifests = tx.execute(
        "UPDATE relay_manifests SET trashed_at_ms = NULL WHERE account_uuid = ?1 AND trashed_at_ms >= ?2",
        params![account, since_ms],
    )?;
    chains::restore_trashed(tx, account, since_ms)?;
    tx.execute(
        "UPDATE accounts
         SET relay_bytes = (SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM relay_chunks
                            WHERE account_uuid = ?1 AND trashed_at_ms IS NULL),
             relay_manifests = (SELECT COUNT(*) FROM relay_manifests
                                WHERE account_uuid = ?1 AND trashed_at_ms IS NULL)
         WHERE account_uuid = ?1",
        params![account],
    )?;
    Ok(chunks + manifests)
}

/// Manifests whose trash period is over.
pub fn list_expired_manifests(
    tx: &mut dyn Tx,
    before_ms: i64,
) -> DbResult<Vec<(Uuid, String, i64)>> {
    let rows = tx.query(
        "SELECT account_uuid, manifest_id, size_bytes FROM relay_manifests WHERE trashed_at_ms < ?1 LIMIT 1000",
        params![before_ms],
    )?;
    rows.iter().map(|row| Ok((row.uuid(0)?, row.text(1)?, row.integer(2)?))).collect()
}

/// Forgets a manifest in the trash; false if it was brought back meanwhile.
pub fn remove_expired_manifest(
    tx: &mut dyn Tx,
    account: Uuid,
    manifest_id: &str,
    before_ms: i64,
) -> DbResult<bool> {
    let removed = tx.execute(
        "DELETE FROM relay_manifests WHERE account_uuid = ?1 AND manifest_id = ?2 AND trashed_at_ms < ?3",
        params![account, manifest_id, before_ms],
    )?;
    Ok(removed > 0)
}

/// Whether the file of a manifest is only one in the trash: then a new one of the same id may replace it.
pub fn is_manifest_trashed(tx: &mut dyn Tx, account: Uuid, manifest_id: &str) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM relay_manifests
         WHERE account_uuid = ?1 AND manifest_id = ?2 AND trashed_at_ms IS NOT NULL",
        params![account, manifest_id],
    )?;
    Ok(row.is_some())
}

/// The opaque state a device put, with the time.
pub fn find_device_state(
    tx: &mut dyn Tx,
    account: Uuid,
    device: &Alias,
) -> DbResult<Option<(String, i64)>> {
    let row = find(
        tx,
        "SELECT state_json, updated_at_ms FROM relay_device_states WHERE account_uuid = ?1 AND legacy_uuid = ?2",
        params![account, device.as_str()],
    )?;
    row.map(|row| Ok((row.text(0)?, row.integer(1)?))).transpose()
}

/// Keeps the opaque state of a device.
pub fn set_device_state(
    tx: &mut dyn Tx,
    account: Uuid,
    device: &Alias,
    state_json: &str,
    now_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "INSERT INTO relay_device_states (account_uuid, legacy_uuid, state_json, updated_at_ms)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account_uuid, legacy_uuid) DO UPDATE
         SET state_json = excluded.state_json, updated_at_ms = excluded.updated_at_ms",
        params![account, device.as_str(), state_json, now_ms],
    )?;
    Ok(())
}

/// A plan row.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the columns of table plans, described in the schema")]
pub struct Plan {
    pub plan_gb: Option<i64>,
    pub product_id: Option<String>,
    pub entitlement_id: Option<String>,
    pub status: String,
    pub expires_at_ms: Option<i64>,
    pub grace_until_ms: Option<i64>,
    pub trial_until_ms: Option<i64>,
    pub deleted_at_ms: Option<i64>,
}

/// The plan of an account.
pub fn find_plan(tx: &mut dyn Tx, account: Uuid) -> DbResult<Option<Plan>> {
    let row = find(
        tx,
        "SELECT plan_gb, product_id, entitlement_id, status, expires_at_ms, grace_until_ms, trial_until_ms,
                deleted_at_ms
         FROM plans
         WHERE account_uuid = ?1",
        params![account],
    )?;
    row.map(|row| {
        Ok(Plan {
            plan_gb: row.find_integer(0)?,
            product_id: row.find_text(1)?,
            entitlement_id: row.find_text(2)?,
            status: row.text(3)?,
            expires_at_ms: row.find_integer(4)?,
            grace_until_ms: row.find_integer(5)?,
            trial_until_ms: row.find_integer(6)?,
            deleted_at_ms: row.find_integer(7)?,
        })
    })
    .transpose()
}

/// Keeps a plan, without its customer id.
pub fn set_plan(tx: &mut dyn Tx, account: Uuid, plan: &Plan, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "INSERT INTO plans (account_uuid, plan_gb, product_id, entitlement_id, status, expires_at_ms,
                            grace_until_ms, trial_until_ms, deleted_at_ms, updated_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (account_uuid) DO UPDATE
         SET plan_gb = excluded.plan_gb, product_id = excluded.product_id,
             entitlement_id = excluded.entitlement_id, status = excluded.status,
             expires_at_ms = excluded.expires_at_ms, grace_until_ms = excluded.grace_until_ms,
             trial_until_ms = excluded.trial_until_ms, deleted_at_ms = excluded.deleted_at_ms,
             updated_at_ms = excluded.updated_at_ms",
        params![
            account,
            plan.plan_gb,
            plan.product_id.as_deref(),
            plan.entitlement_id.as_deref(),
            &plan.status,
            plan.expires_at_ms,
            plan.grace_until_ms,
            plan.trial_until_ms,
            plan.deleted_at_ms,
            now_ms
        ],
    )?;
    Ok(())
}

/// Notes under which id the subscription service knows the account: the device UUID of its last sign-in.
pub fn set_plan_customer(tx: &mut dyn Tx, account: Uuid, customer: &Alias) -> DbResult<()> {
    tx.execute(
        "UPDATE plans SET customer_id = ?2 WHERE account_uuid = ?1",
        params![account, customer.as_str()],
    )?;
    Ok(())
}

/// The account the subscription service calls `customer_id`.
pub fn find_by_customer(tx: &mut dyn Tx, customer: &Alias) -> DbResult<Option<Uuid>> {
    let row = find(
        tx,
        "SELECT account_uuid FROM plans WHERE customer_id = ?1 ORDER BY updated_at_ms DESC LIMIT 1",
        params![customer.as_str()],
    )?;
    row.map(|row| row.uuid(0)).transpose()
}
