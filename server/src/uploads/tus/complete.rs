//! From "all bytes are here" to "safe": the end of an upload, and its beginning after a pause.
//!
//! Completion is a state that can be asked again: whatever is interrupted here is found by the next request, because
//! the row says nothing of an asset until the asset is committed.

use std::sync::Arc;

use photosync_protocol::error::ErrorCode;

use super::durable::make_durable;
use super::queries::{self, Upload};
use super::registry::Turn;
use super::{PARTIAL, Progress, length_of, origin_of, recover};
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};
use crate::uploads::{self, Also, Arrived, Staged, allowance};

/// A finished upload can be asked what it became for this long: 7 days.
pub const ANSWER_MS: i64 = 7 * DAY_MS;

/// Opens the file of an upload, if it is not open, and returns its length.
pub async fn open(app: &App, upload: &Upload, turn: &mut Turn) -> Result<u64> {
    let (account, id) = (upload.account_uuid, upload.upload_id.as_str());
    if turn.entry.is_damaged() {
        *turn.open = None;
        let _running = turn.entry.sync.running.lock().await;
        let durable = durable_bytes(app, upload).await?;
        app.originals.cut_resumable(account, id, durable).await?;
        turn.entry.sync.note_all(durable);
        turn.entry.clear_damage();
    }
    if turn.open.is_none() {
        let found = app.originals.open_resumable(account, id).await?;
        *turn.open = match found {
            // Only its name was lost in a power cut: nothing of it was promised.
            None if upload.synced_bytes == 0 => {
                Some(app.originals.create_resumable(account, id, 0).await?)
            }
            None => {
                discard(app, upload, turn).await?;
                return Err(Error::not_found("the bytes of this upload are gone; begin again"));
            }
            found => found,
        };
    }
    Ok(turn.open.as_ref().map_or(0, |open| open.length_bytes()))
}

/// How many bytes are durable by now.
async fn durable_bytes(app: &App, upload: &Upload) -> Result<u64> {
    let (account, id) = (upload.account_uuid, upload.upload_id.clone());
    let now = app.db.read(move |tx| queries::find_upload(tx, account, &id)).await?;
    Ok(now.and_then(|now| u64::try_from(now.synced_bytes).ok()).unwrap_or(0))
}

/// Ends an upload: row first, for bytes without a row are swept and a row without bytes would promise something.
pub async fn discard(app: &App, upload: &Upload, turn: &mut Turn) -> Result<()> {
    let id = upload.upload_id.clone();
    app.db.write(move |tx| queries::remove(tx, &id)).await?;
    *turn.open = None;
    app.originals.remove_resumable(upload.account_uuid, &upload.upload_id).await?;
    app.tus.forget(&upload.upload_id);
    Ok(())
}

/// Makes an asset of an upload whose bytes are all here. Others wait for the end.
pub async fn complete(app: &App, upload: Upload, mut turn: Turn) -> Result<Progress> {
    turn.begin_finishing();
    if upload.kind == PARTIAL {
        if let Some(open) = turn.open.as_ref() {
            make_durable(app, &upload.upload_id, &turn.entry, open.handle(), open.length_bytes());
        }
        let offset = length_of(&upload).unwrap_or(0);
        return Ok(Progress { upload, offset });
    }
    let Some(open) = turn.open.take() else { return Err(Error::internal("find the open upload")) };
    let staged = seal(app, &turn, open).await?;
    if upload.digest.is_some_and(|declared| declared != staged.digest) {
        discard(app, &upload, &mut turn).await?;
        return Err(digest_mismatch());
    }
    let stored = store(app, upload.clone(), staged, queries::set_finished).await;
    let (done, is_duplicate) = match stored {
        Err(error) if error.code == ErrorCode::EmptyFile || allowance::refused(&error) => {
            discard(app, &upload, &mut turn).await?;
            return Err(error);
        }
        other => other?,
    };
    if is_duplicate {
        // Otherwise the file has another name by now. If this fails, the next start sweeps it.
        let _ = app.originals.remove_resumable(done.account_uuid, &done.upload_id).await;
    }
    app.tus.forget(&done.upload_id);
    Ok(Progress::finished(done))
}

/// Makes the bytes durable, unless an earlier attempt at it failed: the disk says so only once.
pub async fn seal(app: &App, turn: &Turn, open: crate::blobs::Resumable) -> Result<Staged> {
    let _running = turn.entry.sync.running.lock().await;
    let sealed = app.originals.seal_resumable(open).await;
    if sealed.is_err() {
        turn.entry.note_damage();
        recover::distrust_files(app).await;
    }
    let staged = sealed?;
    turn.entry.sync.note_all(staged.size_bytes);
    if turn.entry.is_damaged() {
        let message = "the server's disk failed; part of the upload must be sent again";
        return Err(Error::new(ErrorCode::StorageFailed, message).retry_after(1));
    }
    Ok(staged)
}

/// The road of every upload, with what this one's device claims. `note` writes down in the same commit what the upload
/// became. The finished upload, and whether its bytes were held before.
pub async fn store(
    app: &App,
    upload: Upload,
    staged: Staged,
    note: impl Fn(&mut dyn Tx, &Upload) -> DbResult<()> + Send + Sync + 'static,
) -> Result<(Upload, bool)> {
    let size_bytes = super::stored_length(staged.size_bytes);
    let mut done = Upload {
        length_bytes: Some(size_bytes),
        synced_bytes: size_bytes,
        expires_at_ms: app.clock.now_ms() + ANSWER_MS,
        ..upload
    };
    let row = done.clone();
    let also: Also = Arc::new(move |tx, asset_id| {
        note(tx, &Upload { asset_id: Some(asset_id.to_owned()), ..row.clone() })
    });
    let arrived = Arrived {
        account: done.account_uuid,
        name: done.name.clone(),
        staged,
        arrived_at_ms: None,
        origin: origin_of(&done),
    };
    let finished = uploads::finish_with(app, arrived, Some(also)).await?;
    let counter = if finished.duplicate { &app.metrics.duplicates } else { &app.metrics.stored };
    counter.inc();
    done.asset_id = Some(finished.asset_id);
    Ok((done, finished.duplicate))
}

/// The error of a whole file that is not what was announced.
pub fn digest_mismatch() -> Error {
    let message = "the bytes that arrived do not have the declared digest; nothing was stored";
    Error::new(ErrorCode::DigestMismatch, message)
}
