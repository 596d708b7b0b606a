//! Resumable uploads (tus 1.0.0): begin, go on, ask how far, end. What came whole goes the road of every other upload.
//!
//! Bytes lie in the account's staging folder, one row says what they are. Everything that changes an upload runs in a
//! task of its own, in the upload's turn: a client that closes its socket changes nothing but when the bytes end.

mod complete;
mod concatenate;
mod durable;
pub mod queries;
mod receive;
mod recover;
mod registry;
pub mod routes;
pub mod rules;

#[cfg(test)]
mod tests;

pub use durable::make_all_durable;
pub use recover::{list_unfinished, recover, survey_expired, sweep_expired};
pub use registry::Registry;

use axum::body::Body;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::claims::Claims;
use uuid::Uuid;

use super::{Origin, allowance};
use crate::accounts::native::Uploader;
use crate::auth::random_id;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::{broken_body, drain, stage_body, too_large, with_idle_limit};
use durable::make_durable;
use queries::Upload;
use receive::{End, expiry, receive};
use registry::{NoTurn, Turn};
use rules::{Checksum, Described};

/// Row kind of a file of its own.
const WHOLE: &str = "whole";
/// Row kind of a piece that is put together later.
const PARTIAL: &str = "partial";
/// Row kind of a file that was put together; such a row is always finished.
const FINAL: &str = "final";
/// Files up to this size are not resumed when they come with their creation.
pub const SMALL_BYTES: u64 = 64 * 1024;
/// Another device gets an upload of its own while this one received a byte so lately.
const BUSY_MS: i64 = 30_000;

/// What a client wants to begin.
pub struct Creation {
    /// Length of the whole file; `None` if it comes later.
    pub length_bytes: Option<u64>,
    /// `Upload-Metadata` as it was sent.
    pub metadata: String,
    /// What it says.
    pub described: Described,
    /// Whether it is a piece of a file.
    pub is_partial: bool,
}

/// Where some bytes belong.
pub struct Piece {
    /// `Upload-Offset`.
    pub offset: u64,
    /// `Upload-Length`, if it was deferred.
    pub length_bytes: Option<u64>,
    /// Of these bytes.
    pub checksum: Option<Checksum>,
    /// `Content-Length`; 0 if the body is chunked.
    pub declared_bytes: u64,
    /// Whether the body may be read and forgotten when it is refused; a client that waits to be asked is not asked.
    pub drains: bool,
}

/// How far an upload is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// What it is.
    pub upload: Upload,
    /// Bytes that are here.
    pub offset: u64,
}

impl Progress {
    fn finished(upload: Upload) -> Self {
        let offset = length_of(&upload).unwrap_or(0);
        Self { upload, offset }
    }
}

fn length_of(upload: &Upload) -> Option<u64> {
    upload.length_bytes.and_then(|length| u64::try_from(length).ok())
}

fn stored_length(length_bytes: u64) -> i64 {
    i64::try_from(length_bytes).unwrap_or(i64::MAX)
}

fn origin_of(upload: &Upload) -> Origin {
    let claims: Claims = serde_json::from_str(&upload.claims_json).unwrap_or_default();
    let device_id = Some(upload.device_id.clone()).filter(|id| !id.is_empty());
    Origin { device_id, claims }
}

impl From<NoTurn> for Error {
    fn from(no_turn: NoTurn) -> Self {
        match no_turn {
            NoTurn::Preempted => preempted(),
            NoTurn::Busy => Error::busy(),
        }
    }
}

fn preempted() -> Error {
    Error::new(ErrorCode::Preempted, "another request took this upload over; ask for its offset")
}

fn offset_mismatch(held_bytes: u64) -> Error {
    Error::new(ErrorCode::OffsetMismatch, "the upload goes on at another offset")
        .with("offset", held_bytes)
}

/// The upload, if it is this account's and its time is not over.
async fn get(app: &App, account: Uuid, id: &str) -> Result<Upload> {
    let missing = || Error::not_found("there is no such upload");
    if !rules::is_id(id) {
        return Err(missing());
    }
    let key = id.to_owned();
    let found = app.db.read(move |tx| queries::find_upload(tx, account, &key)).await?;
    let upload = found.ok_or_else(missing)?;
    if upload.expires_at_ms <= app.clock.now_ms() {
        return Err(Error::new(ErrorCode::Gone, "this upload has expired; begin again"));
    }
    Ok(upload)
}

/// Runs work on an upload so that it ends whatever the client does.
async fn owned<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = tokio::spawn(work).await;
    done.map_err(|source| Error::internal("work on an upload").caused_by(source))?
}

fn new_upload(app: &App, uploader: &Uploader, creation: &Creation) -> Result<Upload> {
    let described = &creation.described;
    let claims_json = claims_text(&described.claims)?;
    let name = match &described.name {
        Some(name) => name.clone(),
        None if creation.is_partial => String::new(),
        None => {
            let message = "the metadata of the upload has no filename";
            return Err(Error::new(ErrorCode::BadName, message));
        }
    };
    Ok(Upload {
        upload_id: random_id(),
        account_uuid: uploader.account,
        device_id: uploader.device_id.clone(),
        length_bytes: creation.length_bytes.map(stored_length),
        synced_bytes: 0,
        digest: described.digest.map(|digest| digest.0),
        name,
        claims_json,
        metadata: creation.metadata.clone(),
        kind: if creation.is_partial { PARTIAL } else { WHOLE }.to_owned(),
        parts: String::new(),
        asset_id: None,
        created_at_ms: app.clock.now_ms(),
        expires_at_ms: expiry(app),
    })
}

/// Begins an upload, or finds the one begun before with the same digest and length. Bytes that are held already make a
/// finished one. Without room on the disk nothing is begun.
pub async fn create(app: &App, uploader: &Uploader, creation: Creation) -> Result<Progress> {
    let upload = new_upload(app, uploader, &creation)?;
    if creation.length_bytes == Some(0) && !creation.is_partial {
        return Err(Error::new(ErrorCode::EmptyFile, "the file is empty; nothing was begun"));
    }
    if let (Some(digest), Some(length), false) =
        (upload.digest, upload.length_bytes, creation.is_partial)
        && let Some(known) = find_same(app, &upload, digest, length).await?
    {
        return Ok(known);
    }
    let (account, id) = (upload.account_uuid, upload.upload_id.clone());
    let declared = creation.length_bytes.unwrap_or(0);
    allowance::require_before(app, account, declared).await?;
    let app = app.clone();
    owned(async move {
        let open = app.originals.create_resumable(account, &id, declared).await?;
        let new = upload.clone();
        if let Err(error) = app.db.write(move |tx| queries::store(tx, &new)).await {
            // Nobody will ever ask for it; if this fails too, the next start sweeps it.
            let _ = app.originals.remove_resumable(account, &id).await;
            return Err(error.into());
        }
        if let Some(mut turn) = app.tus.try_idle(&id) {
            *turn.open = Some(open);
        }
        Ok(Progress { upload, offset: 0 })
    })
    .await
}

/// A small file that comes with its creation. Nothing of it is kept before it is whole, which saves one commit of
/// two; a cut costs [`SMALL_BYTES`] at most.
pub async fn create_small(
    app: &App,
    uploader: &Uploader,
    creation: Creation,
    body: Body,
) -> Result<Progress> {
    let upload = new_upload(app, uploader, &creation)?;
    let length = creation.length_bytes.unwrap_or(0);
    if let Some(digest) = upload.digest
        && let Some(known) = find_same(app, &upload, digest, stored_length(length)).await?
    {
        drain(body).await;
        return Ok(known);
    }
    let stage = super::begin(app, upload.account_uuid, length).await?;
    let app = app.clone();
    owned(async move {
        let staged = stage_body(&app, stage, body, length).await?;
        if upload.digest.is_some_and(|declared| declared != staged.digest) {
            return Err(complete::digest_mismatch());
        }
        let (done, _) = complete::store(&app, upload, staged, queries::store).await?;
        Ok(Progress::finished(done))
    })
    .await
}

/// An upload of the same bytes: a finished one if they are held, otherwise one that was begun and not ended.
async fn find_same(
    app: &App,
    upload: &Upload,
    digest: [u8; 32],
    length: i64,
) -> Result<Option<Progress>> {
    let (account, now_ms) = (upload.account_uuid, app.clock.now_ms());
    let held = super::find_held(app, account, digest, origin_of(upload)).await?;
    let same =
        app.db.read(move |tx| queries::list_same(tx, account, &digest, length, now_ms)).await?;
    if let Some(held) = held {
        app.metrics.duplicates.inc();
        let known = same.into_iter().find(|row| row.asset_id.as_ref() == Some(&held.asset_id));
        if let Some(known) = known {
            return Ok(Some(Progress::finished(known)));
        }
        let mut finished = upload.clone();
        finished.asset_id = Some(held.asset_id);
        finished.synced_bytes = length;
        finished.expires_at_ms = now_ms + complete::ANSWER_MS;
        let new = finished.clone();
        app.db.write(move |tx| queries::store(tx, &new)).await?;
        return Ok(Some(Progress::finished(finished)));
    }
    let is_free = |row: &Upload| {
        row.device_id == upload.device_id || !app.tus.is_receiving(&row.upload_id, now_ms - BUSY_MS)
    };
    let Some(begun) = same.iter().find(|row| row.asset_id.is_none() && is_free(row)) else {
        return Ok(None);
    };
    if begun.device_id == upload.device_id {
        add_claims(app, begun, origin_of(upload).claims).await?;
    }
    match look(app, account, &begun.upload_id).await {
        Ok(progress) => Ok(Some(progress)),
        // It ended in this very moment: a new one is right.
        Err(error) if matches!(error.code, ErrorCode::NotFound | ErrorCode::Gone) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds what the device that began an upload says when it begins it again: the same file may lie elsewhere by now.
async fn add_claims(app: &App, begun: &Upload, said: Claims) -> Result<()> {
    let mut claims = origin_of(begun).claims;
    // A place too many is no reason to refuse bytes.
    let _ = claims.add(said.clone());
    if claims == origin_of(begun).claims {
        return Ok(());
    }
    let (account, id) = (begun.account_uuid, begun.upload_id.clone());
    app.db
        .write(move |tx| -> Result<()> {
            let Some(now) = queries::find_upload(tx, account, &id)? else { return Ok(()) };
            let mut claims = origin_of(&now).claims;
            let _ = claims.add(said.clone());
            Ok(queries::set_claims(tx, &id, &claims_text(&claims)?)?)
        })
        .await
}

fn claims_text(claims: &Claims) -> Result<String> {
    serde_json::to_string(claims)
        .map_err(|source| Error::internal("write down a claim").caused_by(source))
}

/// How far an upload is. A request that still receives for it ends; an upload whose bytes are all here is completed
/// first, so that "all of it" always means "safe".
pub async fn look(app: &App, account: Uuid, id: &str) -> Result<Progress> {
    let upload = get(app, account, id).await?;
    if upload.asset_id.is_some() {
        return Ok(Progress::finished(upload));
    }
    let (app, id) = (app.clone(), id.to_owned());
    owned(async move {
        let mut turn = app.tus.look(&id).await?;
        let upload = get(&app, account, &id).await?;
        if upload.asset_id.is_some() {
            return Ok(Progress::finished(upload));
        }
        let offset = complete::open(&app, &upload, &mut turn).await?;
        if length_of(&upload) == Some(offset) {
            return complete::complete(&app, upload, turn).await;
        }
        Ok(Progress { upload, offset })
    })
    .await
}

/// Takes bytes at the end of an upload; the last ones complete it.
pub async fn append(
    app: &App,
    account: Uuid,
    id: &str,
    piece: Piece,
    body: Body,
) -> Result<Progress> {
    let (app, id) = (app.clone(), id.to_owned());
    owned(async move {
        let drains = piece.drains;
        match begin_piece(&app, account, &id, &piece).await {
            Ok(Begun::Takes(upload, turn)) => {
                take_piece(&app, *upload, turn, piece.checksum, body).await
            }
            Ok(Begun::Finished(progress)) if piece.declared_bytes == 0 => Ok(*progress),
            other => {
                if drains {
                    drain(body).await;
                }
                match other {
                    Err(error) => Err(error),
                    Ok(Begun::Finished(progress)) => Err(offset_mismatch(progress.offset)),
                    Ok(Begun::Takes(..)) => Err(Error::internal("take a piece")),
                }
            }
        }
    })
    .await
}

enum Begun {
    Takes(Box<Upload>, Turn),
    Finished(Box<Progress>),
}

/// Everything that can be refused before the first byte is read.
async fn begin_piece(app: &App, account: Uuid, id: &str, piece: &Piece) -> Result<Begun> {
    // Only its owner may end a request that receives. Once that is known, one look at the row is enough.
    if !app.tus.is_owner(id, account) {
        let upload = get(app, account, id).await?;
        if takes_nothing(&upload, piece)? {
            return Ok(Begun::Finished(Box::new(Progress::finished(upload))));
        }
    }
    let mut turn = app.tus.take_over(id).await?;
    let mut upload = get(app, account, id).await?;
    turn.entry.note_owner(account);
    if takes_nothing(&upload, piece)? {
        return Ok(Begun::Finished(Box::new(Progress::finished(upload))));
    }
    let offset = complete::open(app, &upload, &mut turn).await?;
    if !rules::continues(piece.offset, offset) {
        return Err(offset_mismatch(offset));
    }
    if let Some(length) = piece.length_bytes {
        set_length(app, &mut upload, length, offset).await?;
    }
    if let Some(room) = rules::room(length_of(&upload), offset)
        && piece.declared_bytes > room
    {
        return Err(too_large(room));
    }
    Ok(Begun::Takes(Box::new(upload), turn))
}

/// Whether an upload is finished, with this piece as its end. Refuses one that can take no such piece.
fn takes_nothing(upload: &Upload, piece: &Piece) -> Result<bool> {
    if upload.kind == FINAL {
        let message = "a concatenated upload takes no bytes of its own";
        return Err(Error::new(ErrorCode::Forbidden, message));
    }
    if upload.asset_id.is_none() {
        return Ok(false);
    }
    let offset = length_of(upload).unwrap_or(0);
    if rules::continues(piece.offset, offset) { Ok(true) } else { Err(offset_mismatch(offset)) }
}

/// Gives an upload its deferred length; naming the same one again changes nothing.
async fn set_length(app: &App, upload: &mut Upload, length_bytes: u64, held: u64) -> Result<()> {
    let length = stored_length(length_bytes);
    let is_other = upload.length_bytes.is_some_and(|known| known != length);
    if is_other || length_bytes < held {
        return Err(Error::bad_request("Upload-Length does not fit this upload"));
    }
    if upload.length_bytes.is_none() {
        app.originals.require_room(length_bytes - held).await?;
        let id = upload.upload_id.clone();
        app.db.write(move |tx| queries::set_length(tx, &id, length)).await?;
        upload.length_bytes = Some(length);
    }
    Ok(())
}

async fn take_piece(
    app: &App,
    upload: Upload,
    mut turn: Turn,
    checksum: Option<Checksum>,
    body: Body,
) -> Result<Progress> {
    let body = with_idle_limit(body, app.config.body_idle);
    let before = turn.open.as_ref().map_or(0, |open| open.length_bytes());
    let room = rules::room(length_of(&upload), before);
    let id = upload.upload_id.clone();
    let end = receive(app, &id, &mut turn, body, room, checksum).await?;
    let Some(open) = turn.open.as_ref() else { return Err(Error::internal("keep an upload open")) };
    let offset = open.length_bytes();
    if length_of(&upload) == Some(offset) && !matches!(end, End::Disk(_) | End::TooLong) {
        return complete::complete(app, upload, turn).await;
    }
    make_durable(app, &id, &turn.entry, open.handle(), offset);
    match end {
        End::Whole => {
            Ok(Progress { upload: Upload { expires_at_ms: expiry(app), ..upload }, offset })
        }
        End::Broken(error) => Err(broken_body(&error)),
        End::Preempted => Err(preempted()),
        End::TooLong => Err(too_large(room.unwrap_or(0))),
        End::Disk(error) => Err(error.into()),
        End::ChecksumMismatch => {
            let message = "the bytes do not have the checksum; none of them was kept";
            Err(Error::new(ErrorCode::ChecksumMismatch, message))
        }
    }
}

/// Ends an upload and forgets its bytes. What it became, if it is finished, stays.
pub async fn remove(app: &App, account: Uuid, id: &str) -> Result<()> {
    get(app, account, id).await?;
    let (app, id) = (app.clone(), id.to_owned());
    owned(async move {
        let mut turn = app.tus.take_over(&id).await?;
        let upload = get(&app, account, &id).await?;
        complete::discard(&app, &upload, &mut turn).await
    })
    .await
}

pub use concatenate::concatenate;
