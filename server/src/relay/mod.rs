//! The relay: a blind store of sealed chunks and sealed manifests. It can read none of them, and nothing here may
//! name a function that could.
//!
//! An object's id is the SHA-256 of its sealed bytes, verified on every write and every read. Version 1 knows chunks,
//! and manifests under names of their own, whose first writer wins. Version 2 keeps everything as objects
//! ([`objects`]) and puts them in order by chains of segments ([`chains`]).

mod chains;
pub mod damage;
mod frames;
pub mod journal;
pub mod objects;
pub mod plans;
pub mod queries;
pub mod routes;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v1::Manifest;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::auth::random_id;
use crate::blobs::{BlobError, CommitOutcome, Key, Stage, Staged, hash_file};
use crate::boot::App;
use crate::clock::iso_utc;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};
use plans::Gate;
use queries::objects::{self as objects_sql, NewObject};
pub use rules::kind_of;

/// Longest manifest id kept, in characters.
const MAX_MANIFEST_ID_CHARS: usize = 128;

/// The id of a chunk in lower case, or nothing if it is no SHA-256 in hex.
pub fn parse_chunk_id(text: &str) -> Option<String> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| text.to_ascii_lowercase())
}

/// A manifest id as it is kept: letters, digits, `_` and `-`, at most 128.
pub fn sanitise_manifest_id(text: &str) -> String {
    let keep = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    text.chars().filter(keep).take(MAX_MANIFEST_ID_CHARS).collect()
}

/// What decides about a chunk is serialised by: its hash, like that of any other bytes.
pub fn stripe_of_chunk(chunk_id: &str) -> [u8; 32] {
    let mut digest = [0; 32];
    // An id that is no hash has no chunk: any stripe will do.
    let _ = hex::decode_to_slice(chunk_id, &mut digest);
    digest
}

/// What decides about a manifest is serialised by.
pub fn stripe_of_manifest(manifest_id: &str) -> [u8; 32] {
    Sha256::digest(manifest_id.as_bytes()).into()
}

/// Begins the upload of a sealed chunk of `declared_bytes` (0 if the client did not say). Refused before its body is
/// read when the account may not upload or the disk has no room.
pub async fn begin_chunk(app: &App, account: Uuid, declared_bytes: u64) -> Result<Stage> {
    plans::require_uploadable(app, account, 0).await?;
    Ok(app.relay_chunks.stage(account, declared_bytes).await?)
}

/// Keeps a sealed chunk under the hash of its bytes. `claimed`: what the client says it is; without it the hash of
/// the bytes counts. The same chunk twice is one chunk; a damaged one is replaced by the good bytes.
pub async fn store_chunk(
    app: &App,
    account: Uuid,
    claimed: Option<String>,
    staged: Staged,
) -> Result<String> {
    if staged.size_bytes == 0 {
        return Err(Error::new(ErrorCode::EmptyFile, "the chunk is empty"));
    }
    let chunk_id = hex::encode(staged.digest);
    if claimed.is_some_and(|claimed| claimed != chunk_id) {
        return Err(
            Error::bad_request("the chunk's bytes do not have its id").with("received", chunk_id)
        );
    }
    let arrived = Arrived { staged, kind: None, collectable: false };
    keep(app, account, arrived, Some(Gate::now(app))).await?;
    Ok(chunk_id)
}

/// Keeps a chunk that an old server held already, whatever the plan: what was paid for once is never left behind.
pub async fn import_chunk(app: &App, account: Uuid, staged: Staged) -> Result<String> {
    let chunk_id = hex::encode(staged.digest);
    keep(app, account, Arrived { staged, kind: None, collectable: false }, None).await?;
    Ok(chunk_id)
}

/// Whole sealed bytes, and all the relay may know of them.
struct Arrived {
    staged: Staged,
    /// The letter of the clear head; `None` for version 1.
    kind: Option<char>,
    /// Whether it may be collected if no segment ever names it.
    collectable: bool,
}

impl Arrived {
    fn size_bytes(&self) -> i64 {
        i64::try_from(self.staged.size_bytes).unwrap_or(i64::MAX)
    }
}

/// [`keep_batch`] of one.
async fn keep(app: &App, account: Uuid, arrived: Arrived, gate: Option<Gate>) -> Result<bool> {
    let kept = keep_batch(app, account, vec![arrived], gate).await?;
    kept.into_iter().next().ok_or_else(|| Error::internal("store a sealed object"))
}

/// The one road by which sealed bytes are kept under their hash, durably: bytes, name, row, in this order; names in one
/// order to the disk, rows in one transaction. For each, in order: true if it was there already; a damaged file is
/// replaced by these good bytes. After an error, those whose file got its name are kept, unless the account may not
/// keep them: then none is. `gate` says whether it may; `None` asks nobody. Runs in a task of its own: a client that goes away now changes nothing any more.
async fn keep_batch(
    app: &App,
    account: Uuid,
    batch: Vec<Arrived>,
    gate: Option<Gate>,
) -> Result<Vec<bool>> {
    let app = app.clone();
    let task = tokio::spawn(async move { keep_here(&app, account, batch, gate).await });
    task.await.map_err(|source| Error::internal("store a sealed object").caused_by(source))?
}

/// A sealed object whose file has its name.
struct Named {
    row: NewObject,
    is_new_file: bool,
    was_whole: bool,
}

async fn keep_here(
    app: &App,
    account: Uuid,
    batch: Vec<Arrived>,
    gate: Option<Gate>,
) -> Result<Vec<bool>> {
    let _stripes = app.stripes.lock_all(account, batch.iter().map(|one| one.staged.digest)).await;
    if let Some(gate) = gate.clone().filter(|_| app.config.plans.enabled) {
        // Most refusals are found here, before a file gets its name; the transaction below decides.
        let sizes: Vec<(String, i64)> =
            batch.iter().map(|one| (hex::encode(one.staged.digest), one.size_bytes())).collect();
        let ask = move |tx: &mut dyn Tx| require_new(tx, account, &sizes, Some(&gate)).map(drop);
        app.db.read::<(), Error, _>(ask).await?;
    }
    let (named, failed) = name_all(app, account, batch).await?;
    let rows: Vec<NewObject> = named.iter().map(|one| one.row.clone()).collect();
    let stored = app.db.write(move |tx| store_rows(tx, account, &rows, gate.as_ref())).await;
    let known = match stored {
        Ok(known) => known,
        Err(error) => {
            // A refusal means that the rows are certainly not there: give files of ours up too. After a failure
            // nobody knows, and a row without bytes would be worse than bytes without a row.
            if is_refusal(&error) {
                give_up(app, account, &named).await?;
            }
            return Err(error);
        }
    };
    if let Some(error) = failed {
        return Err(error.into());
    }
    Ok(known.into_iter().zip(&named).map(|(known, one)| known && one.was_whole).collect())
}

/// Removes the files that this batch brought and that no row names. A file that came back to a row stays.
async fn give_up(app: &App, account: Uuid, named: &[Named]) -> Result<()> {
    let brought: Vec<String> =
        named.iter().filter(|one| one.is_new_file).map(|one| one.row.chunk_id.clone()).collect();
    let without_row = move |tx: &mut dyn Tx| -> DbResult<Vec<String>> {
        let mut without = Vec::new();
        for id in brought {
            if objects_sql::find_object(tx, account, &id)?.is_none() {
                without.push(id);
            }
        }
        Ok(without)
    };
    for id in app.db.read(without_row).await? {
        let _ = app.relay_chunks.remove(&Key::chunk(account, &id)).await;
    }
    Ok(())
}

/// Gives every file its name, durably. Answers those that have it, and the first error of the others.
async fn name_all(
    app: &App,
    account: Uuid,
    batch: Vec<Arrived>,
) -> Result<(Vec<Named>, Option<BlobError>)> {
    let stored_at_ms = app.clock.now_ms();
    let (mut files, mut rows) = (Vec::new(), Vec::new());
    for arrived in batch {
        let (chunk_id, size_bytes) = (hex::encode(arrived.staged.digest), arrived.size_bytes());
        let Arrived { staged, kind, collectable } = arrived;
        files.push((staged, Key::chunk(account, &chunk_id)));
        rows.push(NewObject { account, chunk_id, size_bytes, kind, collectable, stored_at_ms });
    }
    // It reads bytes that are there already and compares them with their hash.
    let outcomes = app.relay_chunks.commit_new_batch(files).await?;
    let (mut named, mut failed) = (Vec::new(), None);
    for (row, outcome) in rows.into_iter().zip(outcomes) {
        let (is_new_file, was_whole) = match outcome {
            Ok(CommitOutcome::Stored) => (true, false),
            Ok(CommitOutcome::AlreadyStored) => (false, true),
            Ok(CommitOutcome::Taken(staged)) => {
                tracing::error!(%account, chunk = %row.chunk_id, "a damaged chunk was replaced by the bytes that were sent again");
                let key = Key::chunk(account, &row.chunk_id);
                match app.relay_chunks.heal(staged, &key).await {
                    Ok(()) => (false, false),
                    Err(error) => {
                        failed.get_or_insert(error);
                        continue;
                    }
                }
            }
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        named.push(Named { row, is_new_file, was_whole });
    }
    Ok((named, failed))
}

/// Bytes of those objects that the account does not have yet. Refused when it may not keep them all together.
fn require_new(
    tx: &mut dyn Tx,
    account: Uuid,
    sizes: &[(String, i64)],
    gate: Option<&Gate>,
) -> Result<i64> {
    let (mut new, mut more_bytes) = (HashSet::new(), 0);
    for (chunk_id, size_bytes) in sizes {
        let is_known = objects_sql::find_object(tx, account, chunk_id)?.is_some();
        if !is_known && new.insert(chunk_id) {
            more_bytes += size_bytes;
        }
    }
    if let Some(gate) = gate.filter(|_| !new.is_empty()) {
        gate.require(tx, account, more_bytes)?;
    }
    Ok(more_bytes)
}

/// Rows of objects whose files are in place, all or none. For each: whether it was held before.
fn store_rows(
    tx: &mut dyn Tx,
    account: Uuid,
    rows: &[NewObject],
    gate: Option<&Gate>,
) -> Result<Vec<bool>> {
    let sizes: Vec<(String, i64)> =
        rows.iter().map(|row| (row.chunk_id.clone(), row.size_bytes)).collect();
    let more_bytes = require_new(tx, account, &sizes, gate)?;
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        let before = objects_sql::find_object(tx, account, &row.chunk_id)?;
        objects_sql::store(tx, row)?;
        known.push(before.is_some_and(|before| !before.is_damaged));
    }
    objects_sql::count_bytes(tx, account, more_bytes)?;
    Ok(known)
}

/// Whether an error of the writing transaction says that nothing was written.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error.code,
        ErrorCode::QuotaExceeded
            | ErrorCode::SubscriptionExpired
            | ErrorCode::TrialExpired
            | ErrorCode::SubscriptionRequired
            | ErrorCode::SubscriptionDeleted
            | ErrorCode::StorageFull
    )
}

/// An object whose bytes were just compared with its id.
pub struct Opened {
    /// The open file.
    pub file: File,
    /// Its length.
    pub size_bytes: u64,
    /// When it was written, in Unix milliseconds.
    pub modified_ms: i64,
}

/// Opens an object. One whose file is gone or has other bytes is [`ErrorCode::Damaged`], never wrong bytes, and is not
/// held any more.
pub async fn open(app: &App, account: Uuid, chunk_id: &str) -> Result<Opened> {
    let missing = || Error::not_found("there is no such object");
    let id = chunk_id.to_owned();
    let object = app.db.read(move |tx| objects_sql::find_object(tx, account, &id)).await?;
    let object = object.ok_or_else(missing)?;
    let key = Key::chunk(account, chunk_id);
    let opened = app.relay_chunks.open(&key).await?;
    // Old phones give up a whole restore over one wrong chunk, and the id says what is right: chunks are small, so
    // the second read comes from memory.
    let path = app.relay_chunks.path(&key);
    let hashed = tokio::task::spawn_blocking(move || hash_file(&path)).await;
    let is_whole = matches!(hashed, Ok(Ok((digest, _))) if hex::encode(digest) == chunk_id);
    match opened {
        Some((file, found)) if is_whole && i64::try_from(found) == Ok(object.size_bytes) => {
            let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
            let modified_ms = modified
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
            Ok(Opened { file, size_bytes: found, modified_ms })
        }
        _ => {
            damage::note(app, account, chunk_id).await?;
            let message = "the stored object is missing or damaged; it is asked for again";
            Err(Error::new(ErrorCode::Damaged, message))
        }
    }
}

/// Opens a chunk for an old client, which knows only that there is one or not.
pub async fn open_chunk(app: &App, account: Uuid, chunk_id: &str) -> Result<Opened> {
    open(app, account, chunk_id).await.map_err(|error| match error.code {
        ErrorCode::NotFound | ErrorCode::Damaged => Error::not_found("there is no such chunk"),
        _ => error,
    })
}

/// Keeps a sealed manifest; false if its id was there already (the first writer wins).
pub async fn store_manifest(
    app: &App,
    account: Uuid,
    manifest_id: String,
    encrypted_manifest: String,
) -> Result<bool> {
    plans::require_uploadable(app, account, 0).await?;
    let app = app.clone();
    let created_at = iso_utc(app.clock.now_ms());
    let manifest = Manifest { manifest_id, encrypted_manifest, created_at };
    let task = tokio::spawn(async move { import_manifest(&app, account, manifest).await });
    task.await.map_err(|source| Error::internal("store a manifest").caused_by(source))?
}

/// [`store_manifest`] without asking for a plan, and with the time at which an old server got it.
pub async fn import_manifest(app: &App, account: Uuid, manifest: Manifest) -> Result<bool> {
    let manifest_id = manifest.manifest_id.clone();
    let _stripe = app.stripes.lock(account, &stripe_of_manifest(&manifest_id)).await;
    let id = manifest_id.clone();
    let known = app.db.read(move |tx| queries::find_manifest(tx, account, &id)).await?;
    if known.is_some() {
        return Ok(false);
    }
    let now_ms = app.clock.now_ms();
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|source| Error::internal("write a manifest").caused_by(source))?;
    let size_bytes = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let mut stage = app.relay.stage(account, bytes.len() as u64).await?;
    stage.push(bytes.into()).await?;
    let staged = stage.seal().await?;
    let key = Key::manifest(account, &manifest_id);
    if let CommitOutcome::Taken(staged) = app.relay.commit_new(staged, &key).await? {
        // Without a live row, the file in the way is from the trash, and a person may still want it: it is set aside.
        // Or a crash cut its upload off before anybody was told that it was stored: then it is replaced.
        let id = manifest_id.clone();
        if app.db.read(move |tx| queries::is_manifest_trashed(tx, account, &id)).await? {
            app.relay.relocate(&key, &Key::quarantined(account, &random_id())).await?;
        }
        app.relay.heal(staged, &key).await?;
    }
    app.db
        .write(move |tx| queries::store_manifest(tx, account, &manifest_id, size_bytes, now_ms))
        .await?;
    Ok(true)
}

/// Reads a manifest.
pub async fn get_manifest(app: &App, account: Uuid, manifest_id: &str) -> Result<Manifest> {
    let missing = || Error::not_found("there is no such manifest");
    let id = manifest_id.to_owned();
    app.db.read(move |tx| queries::find_manifest(tx, account, &id)).await?.ok_or_else(missing)?;
    let opened = app.relay.open(&Key::manifest(account, manifest_id)).await?;
    let (mut file, _) = opened.ok_or_else(missing)?;
    let read = tokio::task::spawn_blocking(move || -> std::io::Result<Manifest> {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut file, &mut text)?;
        Ok(serde_json::from_str(&text)?)
    });
    let damaged = || Error::new(ErrorCode::Damaged, "the stored manifest is damaged");
    read.await
        .map_err(|source| Error::internal("read a manifest").caused_by(source))?
        .map_err(|source| damaged().caused_by(source))
}

/// Ids `offset..offset+limit` in order of ids (`limit` 0: all), and how many there are.
pub async fn list_manifests(
    app: &App,
    account: Uuid,
    offset: i64,
    limit: i64,
) -> Result<(Vec<String>, i64)> {
    const STEP_ROWS: i64 = 1000;
    let (_, total) = app.db.read(move |tx| queries::find_usage(tx, account)).await?;
    let (offset, limit) = if limit == 0 { (0, i64::MAX) } else { (offset, limit) };
    let mut after = Some(String::new());
    if offset > 0 {
        after = app.db.read(move |tx| queries::find_manifest_at(tx, account, offset)).await?;
    }
    let mut ids: Vec<String> = Vec::new();
    while let Some(start) = after {
        let wanted = (limit - ids.len() as i64).min(STEP_ROWS);
        if wanted <= 0 {
            break;
        }
        let mut step =
            app.db.read(move |tx| queries::list_manifests(tx, account, &start, wanted)).await?;
        after = step.last().cloned();
        ids.append(&mut step);
    }
    Ok((ids, total))
}

/// Moves all chunks and manifests of an account to the trash.
pub async fn purge(app: &App, account: Uuid) -> Result<(i64, i64)> {
    let now_ms = app.clock.now_ms();
    let (chunks, manifests) =
        app.db.write(move |tx| queries::trash_all(tx, account, now_ms)).await?;
    if let Err(error) = journal::note_emptied(app, account).await {
        // Only a `rebuild` would miss it, and bring chains back that had been given up.
        tracing::error!(%account, %error, causes = error.cause_chain(), "emptying the relay was not noted beside the objects");
    }
    let days = app.config.trash_days;
    tracing::warn!(%account, chunks, manifests, days, "a device emptied its relay space; `trash restore` brings it back until the trash period is over");
    Ok((chunks, manifests))
}

/// The opaque state of a device.
pub async fn find_device_state(
    app: &App,
    account: Uuid,
    legacy_uuid: &str,
) -> Result<Option<(serde_json::Value, i64)>> {
    let device = app.aliases.of(legacy_uuid);
    let found = app.db.read(move |tx| queries::find_device_state(tx, account, &device)).await?;
    found
        .map(|(text, at_ms)| {
            let state = serde_json::from_str(&text)
                .map_err(|source| Error::internal("read a device state").caused_by(source))?;
            Ok((state, at_ms))
        })
        .transpose()
}

/// Keeps the opaque state of a device; returns the time.
pub async fn set_device_state(
    app: &App,
    account: Uuid,
    legacy_uuid: &str,
    state: &serde_json::Value,
) -> Result<i64> {
    let (device, text, now_ms) =
        (app.aliases.of(legacy_uuid), state.to_string(), app.clock.now_ms());
    app.db.write(move |tx| queries::set_device_state(tx, account, &device, &text, now_ms)).await?;
    Ok(now_ms)
}
