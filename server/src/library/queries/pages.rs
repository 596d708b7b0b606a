//! The SQL of native listings: held assets page by page with what devices say about them, and what changed.

use uuid::Uuid;

use super::{Asset, asset, asset_query};
use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// Devices whose claims about one asset are read; more than that never say anything new.
const MAX_CLAIMANTS: i64 = 32;

/// The next held assets after arrival number `after_seq`, whole rows.
pub fn list_held(
    tx: &mut dyn Tx,
    account: Uuid,
    after_seq: i64,
    limit: i64,
) -> DbResult<Vec<Asset>> {
    let rows = tx.query(
        asset_query!(
            "WHERE account_uuid = ?1 AND listed = 1 AND seq > ?2
         ORDER BY seq
         LIMIT ?3"
        ),
        params![account, after_seq, limit],
    )?;
    rows.iter().map(asset).collect()
}

/// What devices say about an asset, as (device, JSON), the device that spoke first first. `viewer` is among them, if it
/// said anything, however many others did.
pub fn list_claims(
    tx: &mut dyn Tx,
    asset_id: &str,
    viewer: &str,
) -> DbResult<Vec<(String, String)>> {
    let rows = tx.query(
        "SELECT device_id, claims_json
         FROM (SELECT device_id, claims_json, claimed_at_ms FROM claims
               WHERE asset_id = ?1
               ORDER BY device_id = ?3 DESC, claimed_at_ms, device_id
               LIMIT ?2)
         ORDER BY claimed_at_ms, device_id",
        params![asset_id, MAX_CLAIMANTS, viewer],
    )?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

/// The device of an account that is meant by its id or by the name a person gave it, signed out or not. Of several with
/// that name, first not the one that asks, then the one seen last: a computer that was set up anew has its old name.
pub fn find_teller(
    tx: &mut dyn Tx,
    account: Uuid,
    id_or_label: &str,
    asking: &str,
) -> DbResult<Option<String>> {
    let row = find(
        tx,
        "SELECT device_id FROM devices
         WHERE account_uuid = ?1 AND (device_id = ?2 OR label = ?2)
         ORDER BY device_id = ?2 DESC, device_id = ?3, last_seen_at_ms DESC, device_id
         LIMIT 1",
        params![account, id_or_label, asking],
    )?;
    row.map(|row| row.text(0)).transpose()
}

/// What one device says about an asset, as JSON.
pub fn find_claims(tx: &mut dyn Tx, asset_id: &str, device_id: &str) -> DbResult<Option<String>> {
    let row = find(
        tx,
        "SELECT claims_json FROM claims WHERE asset_id = ?1 AND device_id = ?2",
        params![asset_id, device_id],
    )?;
    row.map(|row| row.text(0)).transpose()
}

/// An asset that is gone for good.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table removed_assets, described in the schema")]
pub struct Removed {
    pub asset_id: String,
    pub digest: [u8; 32],
    pub changed_version: i64,
}

fn removed(row: &Row) -> DbResult<Removed> {
    Ok(Removed { asset_id: row.text(0)?, digest: row.digest(1)?, changed_version: row.integer(2)? })
}

/// The next assets in order of their last change, whatever their state, after that of (version, id).
pub fn list_changed(
    tx: &mut dyn Tx,
    account: Uuid,
    after: (i64, &str),
    limit: i64,
) -> DbResult<Vec<Asset>> {
    let rows = tx.query(
        asset_query!(
            "WHERE account_uuid = ?1 AND (changed_version, asset_id) > (?2, ?3)
         ORDER BY changed_version, asset_id
         LIMIT ?4"
        ),
        params![account, after.0, after.1, limit],
    )?;
    rows.iter().map(asset).collect()
}

/// The next assets that are gone for good, in order of their removal, after that of (version, id).
pub fn list_removed(
    tx: &mut dyn Tx,
    account: Uuid,
    after: (i64, &str),
    limit: i64,
) -> DbResult<Vec<Removed>> {
    let rows = tx.query(
        "SELECT asset_id, digest, changed_version FROM removed_assets
         WHERE account_uuid = ?1 AND (changed_version, asset_id) > (?2, ?3)
         ORDER BY changed_version, asset_id
         LIMIT ?4",
        params![account, after.0, after.1, limit],
    )?;
    rows.iter().map(removed).collect()
}
