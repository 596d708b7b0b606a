//! Objects that the disk does not have whole any more: they are not held until a client sends them again.

use std::io;

use uuid::Uuid;

use super::queries::objects;
use super::stripe_of_chunk;
use crate::blobs::Key;
use crate::boot::App;
use crate::error::{Error, Result};
use photosync_protocol::error::ErrorCode;

/// Notes that an object seemed missing or wrong, after reading it once more: good bytes may have come meanwhile. While
/// the storage is not there nothing is called missing. Whether it is missing or wrong now, and was not known to be.
pub async fn note(app: &App, account: Uuid, chunk_id: &str) -> Result<bool> {
    if app.relay_chunks.find_volume_id().await.is_none() {
        let message = "the storage of the relay is not there";
        return Err(Error::new(ErrorCode::StorageFailed, message).retry_after(60));
    }
    let digest = stripe_of_chunk(chunk_id);
    let _stripe = app.stripes.lock(account, &digest).await;
    let id = chunk_id.to_owned();
    let object = app.db.read(move |tx| objects::find_object(tx, account, &id)).await?;
    let Some(object) = object.filter(|object| !object.is_damaged) else { return Ok(false) };
    let key = Key::chunk(account, chunk_id);
    let size_bytes = u64::try_from(object.size_bytes).unwrap_or(0);
    match app.relay_chunks.holds(&key, &digest, size_bytes).await {
        Ok(true) => return Ok(false),
        Ok(false) => {}
        Err(error) if is_unreadable(&error.source) => {}
        Err(error) => return Err(error.into()),
    }
    tracing::error!(%account, chunk = chunk_id, "a sealed object is missing or damaged on disk; it is wanted again");
    let now_ms = app.clock.now_ms();
    let id = object.chunk_id;
    app.db.write(move |tx| objects::set_damaged(tx, account, &id, now_ms)).await?;
    Ok(true)
}

/// Whether a failure to read means that the bytes are gone: a sector that cannot be read.
fn is_unreadable(error: &io::Error) -> bool {
    /// `EIO` on every Unix.
    const UNREADABLE: i32 = 5;
    cfg!(unix) && error.raw_os_error() == Some(UNREADABLE)
}
