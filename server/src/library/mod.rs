//! The library: which originals an account holds, listing them, reading them, and the trash.
//!
//! Held = whole, not in the trash, not quarantined. Listings show held assets and nothing else.

pub mod claims;
pub mod cursors;
pub mod details;
pub mod downloads;
pub mod duplicates;
pub mod edits;
pub mod events;
pub mod listing;
pub mod places;
pub mod queries;
pub mod receipts;
pub mod routes;
pub mod rules;
pub mod search;
pub mod settled;
#[cfg(test)]
mod tests;
pub mod tiles;
pub mod timeline;
pub mod words;
pub mod zip;

use std::fs::File;

use photosync_protocol::error::ErrorCode;
use photosync_protocol::names::{decode_wire_text, fold_key};
use uuid::Uuid;

use crate::blobs::Key;
use crate::boot::App;
use crate::db::Tx;
use crate::error::{Error, Result};
use queries::Asset;
pub use queries::listed::Listed;

/// Rows that one read takes from the database: bounded, so that a listing never holds a snapshot open while a
/// slow client reads.
pub const STEP_ROWS: i64 = 1000;

/// Longest page; the unpaged listing is streamed instead and has no limit.
pub const MAX_PAGE_ROWS: i64 = 10_000;

/// A page of a listing.
#[derive(Debug)]
pub struct Page {
    /// Held assets in order of arrival.
    pub rows: Vec<Listed>,
    /// All held assets.
    pub total: i64,
}

/// Rows `offset..offset+limit` of the held assets, at most [`STEP_ROWS`] at a time for the database.
pub async fn list_page(app: &App, account: Uuid, offset: i64, limit: i64) -> Result<Page> {
    let (total, version) = app.db.read(move |tx| queries::listed::find_totals(tx, account)).await?;
    let limit = limit.min(MAX_PAGE_ROWS);
    let mut after = find_start(app, account, version, offset).await?;
    let mut rows = Vec::new();
    while let Some(start) = after {
        let wanted = (limit - rows.len() as i64).min(STEP_ROWS);
        if wanted <= 0 {
            break;
        }
        let mut step = list_step(app, account, start, wanted).await?;
        after = step.last().map(|row| row.seq);
        rows.append(&mut step);
    }
    if let Some(last) = rows.last() {
        app.pages.remember(account, version, offset + rows.len() as i64, last.seq);
    }
    Ok(Page { rows, total })
}

/// The next `limit` held assets after arrival number `after_seq`.
pub async fn list_step(
    app: &App,
    account: Uuid,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<Listed>> {
    Ok(app.db.read(move |tx| queries::listed::list_after(tx, account, after_seq, limit)).await?)
}

/// How many held assets there are.
pub async fn count(app: &App, account: Uuid) -> Result<i64> {
    Ok(app.db.read(move |tx| queries::listed::find_totals(tx, account)).await?.0)
}

/// The arrival number before row `offset`; `None` if the listing is shorter.
async fn find_start(app: &App, account: Uuid, version: i64, offset: i64) -> Result<Option<i64>> {
    if offset <= 0 {
        return Ok(Some(0));
    }
    if let Some(seq) = app.pages.find(account, version, offset) {
        return Ok(Some(seq));
    }
    Ok(app.db.read(move |tx| queries::listed::find_seq_at(tx, account, offset)).await?)
}

/// Whole bytes of a held asset, open for reading.
#[derive(Debug)]
pub struct Original {
    /// The row.
    pub asset: Asset,
    /// Its file; exactly `asset.size_bytes` long.
    pub file: File,
}

/// Opens the held asset a client asks for by the last segment of a path, percent-encoded as it came.
///
/// The decoded name is tried first, then the name as it came: a library of the reference server lists names that
/// are percent-encoded themselves.
pub async fn open_by_segment(app: &App, account: Uuid, segment: &[u8]) -> Result<Original> {
    let leniently: Vec<u8> = percent_encoding::percent_decode(segment).collect();
    let plain = String::from_utf8_lossy(segment).into_owned();
    // A phone escapes a blank but not a percent sign: `100% sure.jpg` comes as `100%%20sure.jpg`.
    let mixed = String::from_utf8_lossy(&leniently).into_owned();
    for name in [decode_wire_text(segment), plain, mixed] {
        let fold = fold_key(&name);
        let found = app.db.read(move |tx| queries::find_listed_by_name(tx, account, &fold)).await?;
        if let Some(asset) = found.filter(|asset| asset.name == name) {
            return open(app, asset).await;
        }
    }
    Err(Error::not_found("there is no file of this name"))
}

/// Opens an asset. One whose bytes are missing or have another length is set aside, so that its owner's next
/// backup sends it again, and the answer says so.
pub async fn open(app: &App, asset: Asset) -> Result<Original> {
    let original = Key::original(asset.account_uuid, &asset.stored_name);
    let trashed = Key::trashed(asset.account_uuid, &asset.asset_id);
    // Between this row's reading and now it may have been trashed and moved.
    for key in [original, trashed] {
        if let Some((file, size_bytes)) = app.originals.open(&key).await? {
            if i64::try_from(size_bytes) == Ok(asset.size_bytes) {
                return Ok(Original { asset, file });
            }
            break;
        }
    }
    quarantine(app, asset).await?;
    Err(Error::new(
        ErrorCode::Damaged,
        "the stored file is damaged; the next backup of its device replaces it",
    ))
}

/// Refuses to go on while the storage of the originals is not there, as when a disk is not mounted.
pub async fn require_storage(app: &App) -> Result<()> {
    if app.originals.find_volume_id().await.is_some() {
        return Ok(());
    }
    let message = "the storage of the originals is not there";
    Err(Error::new(ErrorCode::StorageFailed, message).retry_after(60))
}

/// Sets a held asset aside: its row is no longer listed, its bytes (if any) stay where they are.
///
/// On a root without its marker (a disk that is not mounted) nothing may be called missing.
pub async fn quarantine(app: &App, asset: Asset) -> Result<()> {
    require_storage(app).await?;
    tracing::error!(account = %asset.account_uuid, asset = %asset.asset_id, "an original is missing or damaged; it is wanted again");
    let now_ms = app.clock.now_ms();
    let account = asset.account_uuid;
    app.db.write(move |tx| queries::set_quarantined(tx, &asset, now_ms)).await?;
    app.changes.publish(account);
    Ok(())
}

/// Takes an original back that was set aside and whose bytes were found right since `asset` was read. Whether it was: its
/// row may have changed.
pub async fn take_back(app: &App, asset: Asset) -> Result<bool> {
    let account = asset.account_uuid;
    let held = move |tx: &mut dyn Tx| {
        let now = queries::find_by_id(tx, account, &asset.asset_id)?;
        let is_as_read = now.is_some_and(|now| now.changed_version == asset.changed_version);
        if is_as_read {
            queries::set_held(tx, &asset, &asset.draft())?;
            // What was read in the bytes that were wrong may be wrong.
            queries::media::look_again(tx, &asset.asset_id)?;
        }
        Ok::<_, Error>(is_as_read)
    };
    let is_back = app.db.write(held).await?;
    if is_back {
        app.wake_media();
        app.changes.publish(account);
    }
    Ok(is_back)
}

/// Moves every held asset to the trash, where it stays for the trash period. One statement, whatever the size; the
/// files follow.
pub async fn purge(app: &App, account: Uuid) -> Result<i64> {
    let now_ms = app.clock.now_ms();
    let files = app.db.write(move |tx| queries::trash_all(tx, account, now_ms)).await?;
    let days = app.config.trash_days;
    tracing::warn!(%account, files, days, "a device emptied its library; `trash restore` brings it back until the trash period is over");
    app.changes.publish(account);
    app.wake_upkeep();
    Ok(files)
}

/// Moves held assets to the trash by their listed names, all of them or, if one is not there, none. Returns how many.
pub async fn delete_names(app: &App, account: Uuid, names: &[String]) -> Result<usize> {
    let mut found = std::collections::BTreeSet::new();
    for name in names {
        let fold = fold_key(name);
        let asset = app.db.read(move |tx| queries::find_listed_by_name(tx, account, &fold)).await?;
        let Some(asset) = asset.filter(|asset| asset.name == *name) else {
            return Err(Error::not_found(format!(
                "there is no file of the name {name}; nothing was deleted"
            )));
        };
        found.insert(asset.asset_id);
    }
    for asset_id in &found {
        delete_by_person(app, account, asset_id).await?;
    }
    Ok(found.len())
}

/// Moves one held asset to the trash because a person said so. Devices that ask are told that it was deleted, and do
/// not send it again by themselves; bytes that arrive all the same make it held again.
pub async fn delete_by_person(app: &App, account: Uuid, asset_id: &str) -> Result<()> {
    let (id, now_ms) = (asset_id.to_owned(), app.clock.now_ms());
    let deleted = app
        .db
        .write(move |tx| -> Result<bool> {
            let Some(asset) = queries::find_by_id(tx, account, &id)? else { return Ok(false) };
            Ok(queries::trash_by_person(tx, &asset, now_ms)?)
        })
        .await?;
    if !deleted {
        return Err(Error::not_found("there is no such file"));
    }
    tracing::info!(%account, asset = asset_id, "a person deleted a file; `trash-restore` brings it back until the trash period is over");
    app.changes.publish(account);
    app.wake_upkeep();
    Ok(())
}
