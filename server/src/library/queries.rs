//! The SQL of assets: their rows and every change of their state.

pub mod alike;
pub mod downloads;
pub mod edits;
pub mod listed;
pub mod media;
pub mod pages;
pub mod safety;
pub mod search;
pub mod settled;
pub mod tiles;
pub mod timeline;

use photosync_protocol::digest::Digest;
use photosync_protocol::names::fold_key;
use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

use super::rules::{self, Taken};
use super::words;

/// An asset row.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table assets, described in the schema")]
pub struct Asset {
    pub asset_id: String,
    pub account_uuid: Uuid,
    pub seq: i64,
    pub digest: [u8; 32],
    pub size_bytes: i64,
    pub name: String,
    pub stored_name: String,
    pub media_type: String,
    pub arrived_at_ms: i64,
    pub trashed_at_ms: Option<i64>,
    pub quarantined_at_ms: Option<i64>,
    pub listed: bool,
    pub verified_at_ms: Option<i64>,
    pub changed_version: i64,
    pub copied_at_ms: Option<i64>,
}

/// A query whose rows [`asset`] reads: the columns stand here once.
macro_rules! asset_query {
    ($rest:literal) => {
        concat!(
            "SELECT asset_id, account_uuid, seq, digest, size_bytes, name, stored_name, media_type, arrived_at_ms,
                    trashed_at_ms, quarantined_at_ms, listed, verified_at_ms, changed_version,
                    copied_at_ms
             FROM assets
             ",
            $rest
        )
    };
}

use asset_query;

fn asset(row: &Row) -> DbResult<Asset> {
    Ok(Asset {
        asset_id: row.text(0)?,
        account_uuid: row.uuid(1)?,
        seq: row.integer(2)?,
        digest: row.digest(3)?,
        size_bytes: row.integer(4)?,
        name: row.text(5)?,
        stored_name: row.text(6)?,
        media_type: row.text(7)?,
        arrived_at_ms: row.integer(8)?,
        trashed_at_ms: row.find_integer(9)?,
        quarantined_at_ms: row.find_integer(10)?,
        listed: row.boolean(11)?,
        verified_at_ms: row.find_integer(12)?,
        changed_version: row.integer(13)?,
        copied_at_ms: row.find_integer(14)?,
    })
}

/// The asset with these bytes, whatever its state.
pub fn find_by_digest(
    tx: &mut dyn Tx,
    account: Uuid,
    digest: &[u8; 32],
) -> DbResult<Option<Asset>> {
    let row = find(
        tx,
        asset_query!("WHERE account_uuid = ?1 AND digest = ?2"),
        params![account, &digest[..]],
    )?;
    row.as_ref().map(asset).transpose()
}

/// The held asset whose listed name folds to this key; at most one does.
pub fn find_listed_by_name(
    tx: &mut dyn Tx,
    account: Uuid,
    name_fold: &str,
) -> DbResult<Option<Asset>> {
    let row = find(
        tx,
        asset_query!(
            "WHERE account_uuid = ?1 AND name_fold = ?2 AND trashed_at_ms IS NULL AND listed = 1"
        ),
        params![account, name_fold],
    )?;
    row.as_ref().map(asset).transpose()
}

/// The asset of this id, whatever its state.
pub fn find_by_id(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<Option<Asset>> {
    let row = find(
        tx,
        asset_query!("WHERE asset_id = ?2 AND account_uuid = ?1"),
        params![account, asset_id],
    )?;
    row.as_ref().map(asset).transpose()
}

/// Whether the asset is held at this moment.
pub fn is_listed(tx: &mut dyn Tx, asset_id: &str) -> DbResult<bool> {
    let row =
        find(tx, "SELECT 1 FROM assets WHERE asset_id = ?1 AND listed = 1", params![asset_id])?;
    Ok(row.is_some())
}

/// Whether any asset outside the trash uses this listed or stored name.
pub fn is_name_taken(
    tx: &mut dyn Tx,
    account: Uuid,
    name_fold: &str,
    stored_fold: &str,
) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM assets
                                WHERE account_uuid = ?1 AND name_fold = ?2 AND trashed_at_ms IS NULL)
                     OR EXISTS (SELECT 1 FROM assets
                                WHERE account_uuid = ?1 AND stored_fold = ?3 AND trashed_at_ms IS NULL)",
        params![account, name_fold, stored_fold],
    )?;
    Ok(row.is_some())
}

/// The asset outside the trash with this stored name.
pub fn find_by_stored_fold(
    tx: &mut dyn Tx,
    account: Uuid,
    stored_fold: &str,
) -> DbResult<Option<Asset>> {
    let row = find(
        tx,
        asset_query!("WHERE account_uuid = ?1 AND stored_fold = ?2 AND trashed_at_ms IS NULL"),
        params![account, stored_fold],
    )?;
    row.as_ref().map(asset).transpose()
}

/// A new asset, before it has an arrival number.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table assets, described in the schema")]
pub struct NewAsset {
    pub asset_id: String,
    pub account_uuid: Uuid,
    pub digest: [u8; 32],
    pub size_bytes: i64,
    pub name: String,
    pub stored_name: String,
    pub name_fold: String,
    pub stored_fold: String,
    pub media_type: String,
    pub arrived_at_ms: i64,
    pub taken: Option<Taken>,
}

impl Asset {
    /// What [`set_held`] needs to keep it under the names it has.
    pub fn draft(&self) -> NewAsset {
        NewAsset {
            asset_id: self.asset_id.clone(),
            account_uuid: self.account_uuid,
            digest: self.digest,
            size_bytes: self.size_bytes,
            name: self.name.clone(),
            stored_name: self.stored_name.clone(),
            name_fold: fold_key(&self.name),
            stored_fold: fold_key(&self.stored_name),
            media_type: self.media_type.clone(),
            arrived_at_ms: self.arrived_at_ms,
            taken: None,
        }
    }
}

/// Adds a held asset and counts it.
pub fn store(tx: &mut dyn Tx, new: &NewAsset) -> DbResult<()> {
    let row = find(
        tx,
        "UPDATE accounts
         SET next_seq = next_seq + 1, library_version = library_version + 1,
             held_count = held_count + 1, held_bytes = held_bytes + ?2
         WHERE account_uuid = ?1
         RETURNING next_seq - 1, library_version",
        params![new.account_uuid, new.size_bytes],
    )?;
    let (seq, version) =
        row.map_or(Ok((0, 0)), |row| -> DbResult<_> { Ok((row.integer(0)?, row.integer(1)?)) })?;
    let arrival = Taken { wall_ms: new.arrived_at_ms, offset_minutes: None, source: "arrival" };
    let taken = new.taken.as_ref().unwrap_or(&arrival);
    tx.execute(
        "INSERT INTO assets (asset_id, account_uuid, seq, digest, size_bytes, name, stored_name, name_fold,
                             stored_fold, media_type, retention, arrived_at_ms, changed_version, kind, taken_ms,
                             taken_offset_minutes, taken_source)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'keep', ?11, ?12, ?13, ?14, ?15, ?16)",
        params![
            &new.asset_id,
            new.account_uuid,
            seq,
            &new.digest[..],
            new.size_bytes,
            &new.name,
            &new.stored_name,
            &new.name_fold,
            &new.stored_fold,
            &new.media_type,
            new.arrived_at_ms,
            version,
            rules::kind_of(&new.media_type),
            taken.wall_ms,
            taken.offset_minutes,
            taken.source,
        ],
    )?;
    timeline::mark_stale(tx, new.account_uuid, taken.wall_ms)?;
    search::add_words(tx, new.account_uuid, &new.asset_id, &words::of_name(&new.name))?;
    forget_removed(tx, new.account_uuid, &new.digest)
}

/// A digest that is held again was not removed for good.
fn forget_removed(tx: &mut dyn Tx, account: Uuid, digest: &[u8; 32]) -> DbResult<()> {
    tx.execute(
        "DELETE FROM removed_assets WHERE account_uuid = ?1 AND digest = ?2",
        params![account, &digest[..]],
    )?;
    Ok(())
}

/// The version of the library that the change being made gets.
pub fn next_version(tx: &mut dyn Tx, account: Uuid) -> DbResult<i64> {
    let row = find(
        tx,
        "UPDATE accounts SET library_version = library_version + 1 WHERE account_uuid = ?1 RETURNING library_version",
        params![account],
    )?;
    row.map_or(Ok(0), |row| row.integer(0))
}

/// Keeps what a device says about an asset; what it said before is replaced, and keeps its rank among the devices.
pub fn store_claims(
    tx: &mut dyn Tx,
    asset_id: &str,
    device_id: &str,
    claims_json: &str,
    now_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "INSERT INTO claims (asset_id, device_id, claims_json, claimed_at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (asset_id, device_id)
         DO UPDATE SET claims_json = excluded.claims_json",
        params![asset_id, device_id, claims_json, now_ms],
    )?;
    Ok(())
}

/// Makes an asset held again, under this name, whatever its state was.
pub fn set_held(tx: &mut dyn Tx, asset: &Asset, new: &NewAsset) -> DbResult<()> {
    // Read here, not from `asset`: a purge may have come in between.
    let sql = "SELECT listed, taken_ms FROM assets WHERE asset_id = ?1";
    let row = find(tx, sql, params![&asset.asset_id])?;
    let (was_listed, taken_ms) =
        row.map_or(Ok((0, 0)), |row| -> DbResult<_> { Ok((row.integer(0)?, row.integer(1)?)) })?;
    let version = next_version(tx, asset.account_uuid)?;
    tx.execute(
        "UPDATE assets
         SET name = ?2, stored_name = ?3, name_fold = ?4, stored_fold = ?5, trashed_at_ms = NULL,
             trashed_by_person = 0, quarantined_at_ms = NULL, verified_at_ms = NULL, retention = 'keep', listed = 1,
             changed_version = ?6,
             media_due_at_ms = CASE media_state WHEN 'done' THEN media_due_at_ms ELSE 0 END, media_attempts = 0
         WHERE asset_id = ?1",
        params![
            &asset.asset_id,
            &new.name,
            &new.stored_name,
            &new.name_fold,
            &new.stored_fold,
            version
        ],
    )?;
    tx.execute(
        "UPDATE accounts
         SET held_count = held_count + 1 - ?2, held_bytes = held_bytes + (1 - ?2) * ?3
         WHERE account_uuid = ?1",
        params![asset.account_uuid, was_listed, asset.size_bytes],
    )?;
    timeline::mark_stale(tx, asset.account_uuid, taken_ms)?;
    search::index_words(tx, asset.account_uuid, &asset.asset_id)?;
    forget_removed(tx, asset.account_uuid, &asset.digest)
}

/// Sets a held asset aside because its bytes are missing or wrong: it is wanted again, and no device of the account
/// counts it as settled. Nothing happens if its row has changed since `asset` was read: what was looked at then may
/// have been moved or healed.
pub fn set_quarantined(tx: &mut dyn Tx, asset: &Asset, now_ms: i64) -> DbResult<()> {
    let changed = tx.execute(
        "UPDATE assets SET quarantined_at_ms = ?2, listed = 0
         WHERE asset_id = ?1 AND listed = 1 AND changed_version = ?3",
        params![&asset.asset_id, now_ms, asset.changed_version],
    )?;
    if changed == 0 {
        return Ok(());
    }
    leave_listing(tx, asset)?;
    settled::unsettle_everywhere(tx, asset.account_uuid, &Digest(asset.digest))
}

/// Counts an asset out that was listed until now, and notes the change.
fn leave_listing(tx: &mut dyn Tx, asset: &Asset) -> DbResult<()> {
    let version = next_version(tx, asset.account_uuid)?;
    let row = find(
        tx,
        "UPDATE assets SET changed_version = ?2 WHERE asset_id = ?1 RETURNING taken_ms",
        params![&asset.asset_id, version],
    )?;
    if let Some(row) = row {
        timeline::mark_stale(tx, asset.account_uuid, row.integer(0)?)?;
    }
    tx.execute(
        "UPDATE accounts SET held_count = held_count - 1, held_bytes = held_bytes - ?2 WHERE account_uuid = ?1",
        params![asset.account_uuid, asset.size_bytes],
    )?;
    Ok(())
}

/// Moves a held asset to the trash because a person said so: devices are told not to send it again by themselves, so
/// it stays settled. False if it is not held.
pub fn trash_by_person(tx: &mut dyn Tx, asset: &Asset, now_ms: i64) -> DbResult<bool> {
    let changed = tx.execute(
        "UPDATE assets SET trashed_at_ms = ?2, trashed_by_person = 1, listed = 0 WHERE asset_id = ?1 AND listed = 1",
        params![&asset.asset_id, now_ms],
    )?;
    if changed == 0 {
        return Ok(false);
    }
    leave_listing(tx, asset)?;
    Ok(true)
}

/// Moves every held asset of an account to the trash; returns how many. Nothing is settled any more.
pub fn trash_all(tx: &mut dyn Tx, account: Uuid, now_ms: i64) -> DbResult<i64> {
    let version = next_version(tx, account)?;
    let trashed = tx.execute(
        "UPDATE assets SET trashed_at_ms = ?2, listed = 0, changed_version = ?3 WHERE account_uuid = ?1 AND listed = 1",
        params![account, now_ms, version],
    )?;
    tx.execute(
        "UPDATE accounts SET held_count = 0, held_bytes = 0 WHERE account_uuid = ?1",
        params![account],
    )?;
    timeline::mark_all_stale(tx, account)?;
    settled::empty_all(tx, account)?;
    Ok(trashed)
}

/// A page of trashed assets in order of ids after `after`.
pub fn list_trashed(
    tx: &mut dyn Tx,
    trashed_before_ms: i64,
    after: &str,
    limit: i64,
) -> DbResult<Vec<Asset>> {
    let rows = tx.query(
        asset_query!(
            "WHERE trashed_at_ms < ?1 AND asset_id > ?2
         ORDER BY asset_id
         LIMIT ?3"
        ),
        params![trashed_before_ms, after, limit],
    )?;
    rows.iter().map(asset).collect()
}

/// Forgets an asset whose trash period is over. What stays is that it was there, and whether a person deleted it.
pub fn remove(tx: &mut dyn Tx, asset: &Asset, now_ms: i64) -> DbResult<()> {
    let row = find(
        tx,
        "SELECT trashed_by_person FROM assets WHERE asset_id = ?1 AND trashed_at_ms IS NOT NULL",
        params![&asset.asset_id],
    )?;
    let Some(row) = row else { return Ok(()) };
    let by_person = row.boolean(0)?;
    tx.execute("DELETE FROM assets WHERE asset_id = ?1", params![&asset.asset_id])?;
    let version = next_version(tx, asset.account_uuid)?;
    tx.execute(
        "INSERT INTO removed_assets (account_uuid, digest, asset_id, by_person, changed_version, removed_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (account_uuid, digest)
         DO UPDATE SET asset_id = excluded.asset_id, by_person = excluded.by_person,
                       changed_version = excluded.changed_version, removed_at_ms = excluded.removed_at_ms",
        params![
            asset.account_uuid,
            &asset.digest[..],
            &asset.asset_id,
            by_person,
            version,
            now_ms
        ],
    )?;
    if by_person {
        return Ok(());
    }
    settled::unsettle_everywhere(tx, asset.account_uuid, &Digest(asset.digest))
}

/// Every asset after `after` in order of ids, whatever its state: for `check`.
pub fn list_all(tx: &mut dyn Tx, after: &str, limit: i64) -> DbResult<Vec<Asset>> {
    let rows = tx.query(
        asset_query!(
            "WHERE asset_id > ?1
         ORDER BY asset_id
         LIMIT ?2"
        ),
        params![after, limit],
    )?;
    rows.iter().map(asset).collect()
}

/// Whether a trashed asset had this stored name.
pub fn is_stored_name_trashed(tx: &mut dyn Tx, account: Uuid, stored_name: &str) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM assets
         WHERE account_uuid = ?1 AND trashed_at_ms IS NOT NULL AND stored_name = ?2
         LIMIT 1",
        params![account, stored_name],
    )?;
    Ok(row.is_some())
}

/// Trashed assets of one account since `since_ms`, in order of ids after `after`.
pub fn list_trashed_of(
    tx: &mut dyn Tx,
    account: Uuid,
    since_ms: i64,
    after: &str,
    limit: i64,
) -> DbResult<Vec<Asset>> {
    let rows = tx.query(
        asset_query!(
            "WHERE account_uuid = ?1 AND trashed_at_ms >= ?2 AND asset_id > ?3
         ORDER BY asset_id
         LIMIT ?4"
        ),
        params![account, since_ms, after, limit],
    )?;
    rows.iter().map(asset).collect()
}
