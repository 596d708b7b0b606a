//! Sealed objects on the native wire: keeping them one by one or many at once, saying which are held, reading them.

use std::io::{self, Read};

use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{Stream, StreamExt};
use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::relay::{
    HELD, MAX_BATCH_OBJECTS, MAX_OBJECT_BYTES, MISSING, RelayObject, RelayObjects, RelayStored,
};
use sha2::Digest as _;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::frames::Frames;
use super::plans::{self, Gate};
use super::queries::objects as queries;
use super::{Arrived, Opened, damage, keep, keep_batch, rules};
use crate::blobs::{BlobError, Stage, Staged};
use crate::boot::App;
use crate::db::DbResult;
use crate::error::{Error, Result};
use crate::http::body::too_large;

/// Rows that one read looks at.
const STEP: usize = 1000;
/// Objects of a batch that are being made durable while the next ones arrive; each has at most 1 MiB in memory.
const SEALS_AT_ONCE: usize = 16;
/// Whether the disk has room is asked again after so many bytes of a batch: 16 MiB.
const ROOM_CHECK_BYTES: u64 = 16 << 20;
/// What stands for the length of an object that is missing or damaged.
const ABSENT: u32 = u32::MAX;
/// Objects read ahead of the client in a fetch; at most this many are in memory beside the one being sent.
const READ_AHEAD: usize = 2;

/// Begins an upload of `declared_bytes` (0 if unknown). Refused before the body is read when the account may not
/// upload, the disk has no room, or it is too much.
pub async fn begin(app: &App, account: Uuid, declared_bytes: u64) -> Result<Stage> {
    if declared_bytes > MAX_OBJECT_BYTES {
        return Err(too_large(MAX_OBJECT_BYTES));
    }
    plans::require_uploadable(app, account, 0).await?;
    Ok(app.relay_chunks.stage(account, declared_bytes).await?)
}

/// An object that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of its bytes.
    pub id: Digest,
    /// Whether it was there, whole, before.
    pub known: bool,
}

/// Keeps one object, which must have the id `claimed` if one is given.
pub async fn store(
    app: &App,
    account: Uuid,
    claimed: Option<Digest>,
    staged: Staged,
) -> Result<Kept> {
    let id = Digest(staged.digest);
    let kind = require_sealed(&staged)?;
    if claimed.is_some_and(|claimed| claimed != id) {
        let message = "the object's bytes do not have its id; nothing was stored";
        let error = Error::new(ErrorCode::DigestMismatch, message);
        return Err(error.with("received", id.to_string()));
    }
    let arrived = Arrived { staged, kind: Some(kind), collectable: true };
    let known = keep(app, account, arrived, Some(Gate::now(app))).await?;
    let counter = if known { &app.metrics.duplicates } else { &app.metrics.stored };
    counter.inc();
    Ok(Kept { id, known })
}

/// The letter of an object. Bytes that do not even say that they are sealed are not for this store: a client with a
/// mistake must not leave pictures here in clear.
pub(super) fn require_sealed(staged: &Staged) -> Result<char> {
    if staged.size_bytes == 0 {
        return Err(Error::new(ErrorCode::EmptyFile, "the object is empty"));
    }
    rules::kind_of(&staged.head)
        .ok_or_else(|| Error::bad_request("the body is no sealed object of version 2"))
}

/// Keeps every object of a batch of `declared_bytes` (0 if unknown): each after its length, an unsigned 32-bit little-endian number. All are whole before
/// the first gets its name: a batch that breaks off stores nothing.
pub async fn store_batch(
    app: &App,
    account: Uuid,
    declared_bytes: u64,
    frames: &mut Frames<impl Stream<Item = io::Result<Bytes>> + Unpin>,
) -> Result<RelayStored> {
    plans::require_uploadable(app, account, 0).await?;
    // Tasks that live on when this one is dropped: each removes its own file, and only after it was written.
    let mut seals: FuturesUnordered<JoinHandle<Result<(usize, Staged)>>> = FuturesUnordered::new();
    let mut stages = app.relay_chunks.stages(account, declared_bytes).await?;
    let (mut staged, mut staged_bytes, mut count) = (Vec::new(), 0, 0);
    while let Some(length) = frames.read_u32(app).await? {
        let bytes = u64::from(length);
        if count == MAX_BATCH_OBJECTS {
            return Err(broken_batch(count, "the batch has too many objects"));
        }
        if bytes == 0 || bytes > MAX_OBJECT_BYTES {
            return Err(broken_batch(count, "an object has 1 byte to 24 MiB"));
        }
        if staged_bytes >= ROOM_CHECK_BYTES {
            staged_bytes = 0;
            stages = app.relay_chunks.stages(account, bytes).await?;
        }
        staged_bytes += bytes;
        let mut stage = stages.begin();
        frames.stage(app, &mut stage, bytes).await?;
        let index = count;
        seals.push(tokio::spawn(async move {
            let staged = stage.seal().await?;
            require_sealed(&staged).map_err(|error| error.with("index", index))?;
            Ok((index, staged))
        }));
        count += 1;
        if seals.len() >= SEALS_AT_ONCE {
            staged.extend(next_sealed(&mut seals).await?);
        }
    }
    while let Some(next) = next_sealed(&mut seals).await? {
        staged.push(next);
    }
    // From here on the client may go away.
    let task = tokio::spawn(keep_all(app.clone(), account, staged));
    task.await.map_err(|source| Error::internal("store a batch").caused_by(source))?
}

/// The next object that is durable; `None` when none is left.
async fn next_sealed<T>(seals: &mut FuturesUnordered<JoinHandle<Result<T>>>) -> Result<Option<T>> {
    let Some(joined) = seals.next().await else { return Ok(None) };
    joined.map_err(|source| Error::internal("stage a batch").caused_by(source))?.map(Some)
}

fn broken_batch(index: usize, message: &str) -> Error {
    Error::bad_request(format!("{message}; nothing was stored")).with("index", index)
}

/// Gives staged objects names and rows, all in one order to the disk and one transaction.
async fn keep_all(
    app: App,
    account: Uuid,
    mut staged: Vec<(usize, Staged)>,
) -> Result<RelayStored> {
    if staged.is_empty() {
        return Ok(RelayStored { ids: Vec::new(), known: 0 });
    }
    // In order of ids, as the index is: each of its pages is then changed once.
    staged.sort_unstable_by_key(|(_, staged)| staged.digest);
    let (mut places, mut batch) = (Vec::new(), Vec::new());
    for (index, staged) in staged {
        places.push((index, Digest(staged.digest)));
        let kind = rules::kind_of(&staged.head);
        batch.push(Arrived { staged, kind, collectable: true });
    }
    let known = keep_batch(&app, account, batch, Some(Gate::now(&app))).await?;
    let known = known.into_iter().filter(|known| *known).count();
    app.metrics.duplicates.inc_by(known as u64);
    app.metrics.stored.inc_by((places.len() - known) as u64);
    places.sort_unstable();
    Ok(RelayStored { ids: places.into_iter().map(|(_, id)| id).collect(), known })
}

/// Says for each id, in order, whether it is held whole: [`HELD`] or [`MISSING`]. No file is looked at.
pub async fn find_held(app: &App, account: Uuid, ids: &[Digest]) -> Result<Vec<u8>> {
    // In order of ids, as the index is: each page of the database is then read once.
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_unstable_by_key(|index| ids[*index]);
    let mut answers = vec![MISSING; ids.len()];
    for step in order.chunks(STEP) {
        let asked: Vec<String> = step.iter().map(|index| ids[*index].to_string()).collect();
        let told: Vec<bool> = app
            .db
            .read(move |tx| -> DbResult<Vec<bool>> {
                asked.iter().map(|id| queries::is_held(tx, account, id)).collect()
            })
            .await?;
        for (index, _) in step.iter().zip(told).filter(|(_, is_held)| *is_held) {
            answers[*index] = HELD;
        }
    }
    Ok(answers)
}

/// Opens an object whose bytes were just compared with its id.
pub async fn open(app: &App, account: Uuid, id: Digest) -> Result<Opened> {
    plans::require_readable(app, account).await?;
    super::open(app, account, &id.to_string()).await
}

/// Held objects after `after`, in order of ids.
pub async fn list(
    app: &App,
    account: Uuid,
    after: Option<Digest>,
    limit: i64,
) -> Result<RelayObjects> {
    plans::require_readable(app, account).await?;
    let mut after = after.map(|id| id.to_string()).unwrap_or_default();
    let mut objects = Vec::new();
    while (objects.len() as i64) < limit {
        let wanted = (limit - objects.len() as i64).min(STEP as i64);
        let step = app.db.read(move |tx| queries::list_held(tx, account, &after, wanted)).await?;
        let is_last = (step.len() as i64) < wanted;
        after = step.last().map(|object| object.chunk_id.clone()).unwrap_or_default();
        objects.extend(step.into_iter().filter_map(|object| {
            let id = Digest::from_hex(&object.chunk_id)?;
            let size_bytes = u64::try_from(object.size_bytes).ok()?;
            Some(RelayObject { id, size_bytes, kind: object.kind })
        }));
        if is_last {
            break;
        }
    }
    Ok(RelayObjects { objects })
}

/// Objects one after the other as a client asks for them, each after its length; [`ABSENT`] stands for one that is not
/// here whole, or is longer than any of version 2.
pub async fn fetch(
    app: &App,
    account: Uuid,
    ids: Vec<Digest>,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    plans::require_readable(app, account).await?;
    let app = app.clone();
    let read = move |id: Digest| {
        let app = app.clone();
        async move {
            let found = read_whole(&app, account, id).await.map_err(io::Error::other)?;
            let length = found.as_ref().and_then(|bytes| u32::try_from(bytes.len()).ok());
            let length = Bytes::copy_from_slice(&length.unwrap_or(ABSENT).to_le_bytes());
            Ok::<_, io::Error>((length, found.unwrap_or_default()))
        }
    };
    let found = stream::iter(ids).map(read).buffered(READ_AHEAD);
    Ok(found.flat_map(|found| match found {
        Ok((length, bytes)) if bytes.is_empty() => stream::iter(vec![Ok(length)]),
        Ok((length, bytes)) => stream::iter(vec![Ok(length), Ok(bytes)]),
        Err(error) => stream::iter(vec![Err(error)]),
    }))
}

/// All bytes of an object, compared with its id in memory; `None` if they are not here whole.
async fn read_whole(app: &App, account: Uuid, id: Digest) -> Result<Option<Bytes>> {
    let chunk_id = id.to_string();
    let text = chunk_id.clone();
    let object = app.db.read(move |tx| queries::find_object(tx, account, &text)).await?;
    let max_bytes = i64::try_from(MAX_OBJECT_BYTES).unwrap_or(i64::MAX);
    if object.is_none_or(|object| object.size_bytes > max_bytes) {
        return Ok(None);
    }
    let key = crate::blobs::Key::chunk(account, &chunk_id);
    if let Some((file, _)) = app.relay_chunks.open(&key).await? {
        let read = tokio::task::spawn_blocking(move || {
            crate::fault::point("read")?;
            let mut bytes = Vec::new();
            file.take(MAX_OBJECT_BYTES + 1).read_to_end(&mut bytes)?;
            let is_right = sha2::Sha256::digest(&bytes).as_slice() == id.0;
            Ok::<_, io::Error>(is_right.then(|| Bytes::from(bytes)))
        });
        let read =
            read.await.map_err(|source| Error::internal("read an object").caused_by(source))?;
        match read {
            Ok(Some(bytes)) => return Ok(Some(bytes)),
            Ok(None) => {}
            Err(source) => {
                tracing::warn!(error = %BlobError::new("read", &key, source), "a sealed object could not be read")
            }
        }
    }
    damage::note(app, account, &chunk_id).await?;
    Ok(None)
}
