//! The SQL of how sure the server is of a file: what was read back, and what waits for it.

use uuid::Uuid;

use super::{Asset, asset, asset_query};
use crate::db::{DbResult, Tx, find};
use crate::params;
use crate::upkeep::check::Compared;

/// Notes that the bytes of a held asset were read back and are right. Nothing happens if its row has changed since
/// `asset` was read: other bytes may have taken their place.
pub fn set_verified(tx: &mut dyn Tx, asset: &Asset, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE assets SET verified_at_ms = ?2 WHERE asset_id = ?1 AND listed = 1 AND changed_version = ?3",
        params![&asset.asset_id, now_ms, asset.changed_version],
    )?;
    Ok(())
}

/// Notes of assets whether their bytes were found right in a backup on another disk. The last trial that looked counts: one
/// that found them missing or wrong takes the note of an earlier one back. An asset has the same bytes for ever, so that a
/// note stays right when it is healed or comes back from the trash.
pub fn note_copies(tx: &mut dyn Tx, compared: &[Compared], now_ms: i64) -> DbResult<()> {
    for one in compared {
        tx.execute(
            "UPDATE assets SET copied_at_ms = ?3 WHERE asset_id = ?1 AND digest = ?2",
            params![&one.asset_id, &one.digest[..], one.is_right.then_some(now_ms)],
        )?;
    }
    Ok(())
}

/// Asks for assets to be read back. One that waits already keeps its place.
pub fn queue(tx: &mut dyn Tx, account: Uuid, asset_ids: &[String], now_ms: i64) -> DbResult<()> {
    for asset_id in asset_ids {
        // Selected, so that one removed meanwhile is no broken reference.
        tx.execute(
            "INSERT INTO verify_queue (account_uuid, asset_id, requested_at_ms)
             SELECT account_uuid, asset_id, ?3 FROM assets WHERE account_uuid = ?1 AND asset_id = ?2
             ON CONFLICT DO NOTHING",
            params![account, asset_id, now_ms],
        )?;
    }
    Ok(())
}

/// The asset that waits longest to be read back, whatever its state is by now.
pub fn find_queued(tx: &mut dyn Tx) -> DbResult<Option<Asset>> {
    let row = find(
        tx,
        asset_query!(
            "WHERE asset_id = (SELECT asset_id FROM verify_queue ORDER BY requested_at_ms, asset_id LIMIT 1)"
        ),
        &[],
    )?;
    row.as_ref().map(asset).transpose()
}

/// The held asset after an arrival number of an account, or the first one of the next account.
pub fn find_next(tx: &mut dyn Tx, account: &str, after_seq: i64) -> DbResult<Option<Asset>> {
    let row = find(
        tx,
        asset_query!(
            "WHERE (account_uuid, seq) > (?1, ?2) AND listed = 1 ORDER BY account_uuid, seq LIMIT 1"
        ),
        params![account, after_seq],
    )?;
    row.as_ref().map(asset).transpose()
}

/// Assets that were set aside and are not in the trash, by id, after one of them.
pub fn list_quarantined(tx: &mut dyn Tx, after: &str, limit: i64) -> DbResult<Vec<Asset>> {
    let rows = tx.query(
        asset_query!(
            "WHERE quarantined_at_ms IS NOT NULL AND trashed_at_ms IS NULL AND asset_id > ?1 ORDER BY asset_id LIMIT ?2"
        ),
        params![after, limit],
    )?;
    rows.iter().map(asset).collect()
}

/// An asset need not be read back any more.
pub fn dequeue(tx: &mut dyn Tx, asset_id: &str) -> DbResult<()> {
    tx.execute("DELETE FROM verify_queue WHERE asset_id = ?1", params![asset_id])?;
    Ok(())
}

/// An asset that could not be read back goes to the end of the queue.
pub fn requeue(tx: &mut dyn Tx, asset_id: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE verify_queue SET requested_at_ms = ?2 WHERE asset_id = ?1",
        params![asset_id, now_ms],
    )?;
    Ok(())
}
