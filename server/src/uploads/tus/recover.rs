//! Uploads across restarts and weeks: what may still be relied on at start, and what nobody comes back for.

use std::collections::HashSet;

use super::complete;
use super::queries::{self, Upload};
use crate::accounts::queries::{find_fact, set_fact};
use crate::blobs::LocalStore;
use crate::boot::App;
use crate::db::{Db, DbError};
use crate::error::Result;
use crate::library::queries::find_by_digest;
use crate::upkeep::sweep::Amount;

/// Fact: under which boot of the machine uploads were received last.
const BOOT_FACT: &str = "tus:boot";
/// Rows looked at in one step.
const STEP_ROWS: i64 = 500;

/// The boot of this machine; `None` where it cannot be told, which counts as another one every time.
fn boot_id() -> Option<String> {
    crate::fault::point("boot_id").ok()?;
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// After a failure of the disk the files of unfinished uploads may show bytes that are not on it, and another process
/// would not hear of it: the next start goes by what is durable, as after a power cut.
pub async fn distrust_files(app: &App) {
    let noted = app.db.write::<_, DbError, _>(|tx| set_fact(tx, BOOT_FACT, "")).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "that the disk failed could not be noted");
    }
}

/// Before the first request: cuts every upload to what is certain, ends those whose bytes are gone, and returns the
/// ids whose files must stay.
///
/// A killed process leaves its files as they are. After a power cut only the synced prefix counts: a file system may
/// have kept the length and lost the bytes.
pub async fn recover(db: &Db, originals: &LocalStore) -> Result<HashSet<String>> {
    let boot = boot_id();
    let known: Option<String> = db.read::<_, DbError, _>(|tx| find_fact(tx, BOOT_FACT)).await?;
    let same_boot = boot.is_some() && boot == known;
    let (mut kept, mut after) = (HashSet::new(), String::new());
    loop {
        let start = after.clone();
        let page = db.read(move |tx| queries::list_all(tx, &start, STEP_ROWS)).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.upload_id);
        for upload in page.into_iter().filter(|upload| upload.asset_id.is_none()) {
            let id = upload.upload_id.clone();
            if recover_one(db, originals, upload, same_boot).await? {
                kept.insert(id);
            }
        }
    }
    if !same_boot {
        let boot = boot.unwrap_or_default();
        db.write::<_, DbError, _>(move |tx| set_fact(tx, BOOT_FACT, &boot)).await?;
    }
    Ok(kept)
}

/// Whether the upload goes on.
async fn recover_one(
    db: &Db,
    originals: &LocalStore,
    upload: Upload,
    same_boot: bool,
) -> Result<bool> {
    let durable = u64::try_from(upload.synced_bytes).unwrap_or(0);
    let most_bytes = if same_boot { u64::MAX } else { durable };
    let (account, id) = (upload.account_uuid, upload.upload_id.clone());
    let found = originals.cut_resumable(account, &id, most_bytes).await?;
    // With nothing durable there was nothing to lose, not even the file's name.
    if found.unwrap_or(0) >= durable {
        return Ok(true);
    }
    // A crash between the name and the commit: the bytes have their name already, and were adopted.
    let asset = match upload.digest {
        Some(digest) => db.read(move |tx| find_by_digest(tx, account, &digest)).await?,
        None => None,
    };
    match asset.filter(|asset| asset.listed) {
        Some(asset) => {
            let done = Upload {
                length_bytes: Some(asset.size_bytes),
                expires_at_ms: upload.expires_at_ms.max(upload.created_at_ms + complete::ANSWER_MS),
                asset_id: Some(asset.asset_id),
                ..upload
            };
            db.write(move |tx| queries::set_finished(tx, &done)).await?;
        }
        None => {
            tracing::warn!(
                upload = id,
                "the bytes of an unfinished upload are gone; it must begin again"
            );
            db.write(move |tx| queries::remove(tx, &id)).await?;
        }
    }
    Ok(false)
}

/// The ids of uploads that may still go on.
pub async fn list_unfinished(app: &App) -> Result<HashSet<String>> {
    let (mut found, mut after) = (HashSet::new(), String::new());
    loop {
        let start = after.clone();
        let page = app.db.read(move |tx| queries::list_all(tx, &start, STEP_ROWS)).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after.clone_from(&last.upload_id);
        let unfinished = page.into_iter().filter(|upload| upload.asset_id.is_none());
        found.extend(unfinished.map(|upload| upload.upload_id));
    }
}

/// What [`sweep_expired`] would end now.
pub async fn survey_expired(app: &App) -> Result<Amount> {
    let now_ms = app.clock.now_ms();
    let expired = app.db.read(move |tx| queries::list_expired(tx, now_ms, i64::MAX)).await?;
    let mut found = Amount::default();
    for upload in expired.into_iter().filter(|upload| upload.asset_id.is_none()) {
        found.add(app.originals.resumable_bytes(upload.account_uuid, &upload.upload_id).await?);
    }
    Ok(found)
}

/// Ends uploads whose time is over, with their bytes; finished ones lose only the memory of what they became, and do not
/// count. One that somebody works on right now is left for the next round. Returns what was removed.
pub async fn sweep_expired(app: &App) -> Result<Amount> {
    let mut swept = Amount::default();
    loop {
        let now_ms = app.clock.now_ms();
        let page = app.db.read(move |tx| queries::list_expired(tx, now_ms, STEP_ROWS)).await?;
        let mut ended = 0;
        for upload in page {
            let Some(mut turn) = app.tus.try_idle(&upload.upload_id) else { continue };
            let (account, id) = (upload.account_uuid, upload.upload_id.clone());
            let now = app.db.read(move |tx| queries::find_upload(tx, account, &id)).await?;
            let Some(now) = now.filter(|now| now.expires_at_ms <= now_ms) else { continue };
            let bytes = app.originals.resumable_bytes(account, &now.upload_id).await?;
            complete::discard(app, &now, &mut turn).await?;
            if now.asset_id.is_none() {
                swept.add(bytes);
            }
            ended += 1;
        }
        if ended == 0 {
            return Ok(swept);
        }
    }
}
