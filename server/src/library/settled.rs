//! What each device has settled: which files it need not send any more, because they are held or a person deleted
//! them. The server keeps these sets with their counts and sums; equal ones cost one question, different ones are
//! reconciled at a cost of their difference.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::settled::{MAX_NEGENTROPY_BYTES, Presence, Tally};
use tokio::sync::Semaphore;

use super::STEP_ROWS;
use super::queries::settled::{self as queries, CurrentSet};
use crate::accounts::native::Uploader;
use crate::boot::App;
use crate::error::{Error, Result};

/// Digests that one transaction looks at or settles: others must not wait long behind it.
const STEP: usize = STEP_ROWS as usize;
/// An inventory date is written at most this often.
const INVENTORY_EVERY_MS: i64 = 60_000;
/// Digests that all cached sets have together at most; at 40 bytes each this is 16 MB.
const MAX_CACHED_DIGESTS: usize = 400_000;
/// Sets that are built at the same time.
const BUILDS_AT_ONCE: usize = 2;

/// Says for each digest, in order, whether it is here. What is held or deleted by a person is settled for the asking
/// device before the answer.
pub async fn find_missing(
    app: &App,
    caller: &Uploader,
    digests: &[Digest],
) -> Result<Vec<Presence>> {
    // In order of digests, as the indexes are: each page of the database is then read and written once.
    let mut order: Vec<usize> = (0..digests.len()).collect();
    order.sort_unstable_by_key(|index| digests[*index]);
    let mut answers = vec![Presence::Missing; digests.len()];
    for step in order.chunks(STEP) {
        let asked = step.iter().map(|index| digests[*index]).collect();
        let told = find_missing_step(app, caller, asked).await?;
        for (index, presence) in step.iter().zip(told) {
            answers[*index] = presence;
        }
    }
    Ok(answers)
}

async fn find_missing_step(
    app: &App,
    caller: &Uploader,
    step: Vec<Digest>,
) -> Result<Vec<Presence>> {
    let (account, device_id) = (caller.account, caller.device_id.clone());
    let (now_ms, wanted) = (app.clock.now_ms(), step.clone());
    let (mut answers, unsettled) = app
        .db
        .read(move |tx| -> Result<(Vec<Presence>, Vec<usize>)> {
            let set = queries::find_current(tx, &device_id)?.ok_or_else(no_device)?;
            let (mut answers, mut unsettled) = (Vec::with_capacity(wanted.len()), Vec::new());
            for (index, digest) in wanted.iter().enumerate() {
                let presence = queries::find_presence(tx, account, digest, now_ms)?;
                if presence.is_settled()
                    && !queries::is_settled(tx, &device_id, set.set_no, digest)?
                {
                    unsettled.push(index);
                }
                answers.push(presence);
            }
            Ok((answers, unsettled))
        })
        .await?;
    if unsettled.is_empty() {
        return Ok(answers);
    }
    let device_id = caller.device_id.clone();
    let asked: Vec<Digest> = unsettled.iter().map(|index| step[*index]).collect();
    let settled = app
        .db
        .write(move |tx| -> Result<Vec<Presence>> {
            // Asked again: damage or a purge may have come since, and what is settled must be true at its commit.
            let mut presences = Vec::with_capacity(asked.len());
            for digest in &asked {
                presences.push(queries::find_presence(tx, account, digest, now_ms)?);
            }
            let both = asked.iter().zip(&presences);
            let settled: Vec<Digest> =
                both.filter(|(_, now)| now.is_settled()).map(|(digest, _)| *digest).collect();
            queries::settle(tx, &device_id, &settled)?;
            Ok(presences)
        })
        .await?;
    for (index, presence) in unsettled.into_iter().zip(settled) {
        answers[index] = presence;
    }
    Ok(answers)
}

fn no_device() -> Error {
    Error::new(ErrorCode::Unauthorised, "this device was removed; please sign in again")
}

/// Compares what a device has with what is settled for it. `None`: they are equal, and the device's inventory date is
/// now (within a minute). Otherwise the server's tally.
pub async fn compare(app: &App, caller: &Uploader, theirs: Tally) -> Result<Option<Tally>> {
    let device_id = caller.device_id.clone();
    let set = app.db.read(move |tx| queries::find_current(tx, &device_id)).await?;
    let set = set.ok_or_else(no_device)?;
    if set.tally != theirs {
        return Ok(Some(set.tally));
    }
    let now_ms = app.clock.now_ms();
    if set.inventory_at_ms.is_none_or(|at| (now_ms - at).abs() >= INVENTORY_EVERY_MS) {
        let device_id = caller.device_id.clone();
        app.db.write(move |tx| queries::store_inventory(tx, &device_id, &set, now_ms)).await?;
    }
    Ok(None)
}

/// Takes digests that a device has no more out of its set. Nothing is deleted.
pub async fn forget(app: &App, caller: &Uploader, digests: &[Digest]) -> Result<()> {
    for step in digests.chunks(STEP) {
        let (device_id, step) = (caller.device_id.clone(), step.to_vec());
        app.db.write(move |tx| queries::unsettle(tx, &device_id, &step)).await?;
    }
    Ok(())
}

/// Answers one message of a device that reconciles its set. No state is kept between messages but a cached set.
pub async fn reconcile(app: &App, caller: &Uploader, message: Vec<u8>) -> Result<Vec<u8>> {
    let set = find_set(app, &caller.device_id).await?;
    let answer = tokio::task::spawn_blocking(move || {
        // Frames leave room for what is written after the limit was found to be reached.
        let limit = MAX_NEGENTROPY_BYTES as u64;
        Negentropy::borrowed(&*set, limit).and_then(|mut ours| ours.reconcile(&message))
    });
    answer.await.map_err(|source| Error::internal("reconcile two sets").caused_by(source))?.map_err(
        |source| {
            Error::bad_request("the message is not one of the negentropy protocol, version 1")
                .caused_by(source)
        },
    )
}

type Set = Arc<NegentropyStorageVector>;

/// Sets that were built lately, so that the rounds of one reconciliation build theirs once.
pub struct Sets {
    cached: Mutex<VecDeque<(String, CurrentSet, Set)>>,
    builds: Semaphore,
}

impl Default for Sets {
    fn default() -> Self {
        Self { cached: Mutex::default(), builds: Semaphore::new(BUILDS_AT_ONCE) }
    }
}

impl Sets {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(String, CurrentSet, Set)>> {
        match self.cached.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    fn find(&self, device_id: &str, wanted: &CurrentSet) -> Option<Set> {
        let cached = self.lock();
        let same = |(device, set, _): &&(String, CurrentSet, Set)| {
            device == device_id && (set.set_no, set.tally) == (wanted.set_no, wanted.tally)
        };
        cached.iter().find(same).map(|(_, _, set)| set.clone())
    }

    /// Keeps a set; older ones of the same device go, and the oldest of all until there is room.
    fn keep(&self, device_id: &str, current: CurrentSet, set: &Set) {
        let count_of = |set: &CurrentSet| usize::try_from(set.tally.count).unwrap_or(usize::MAX);
        let mut cached = self.lock();
        cached.retain(|(device, ..)| device != device_id);
        if count_of(&current) > MAX_CACHED_DIGESTS {
            return;
        }
        cached.push_back((device_id.to_owned(), current, set.clone()));
        let mut total: usize = cached.iter().map(|(_, set, _)| count_of(set)).sum();
        while total > MAX_CACHED_DIGESTS
            && let Some((_, oldest, _)) = cached.pop_front()
        {
            total -= count_of(&oldest);
        }
    }
}

async fn find_set(app: &App, device_id: &str) -> Result<Set> {
    let id = device_id.to_owned();
    let current = app.db.read(move |tx| queries::find_current(tx, &id)).await?;
    let current = current.ok_or_else(no_device)?;
    if let Some(set) = app.sets.find(device_id, &current) {
        return Ok(set);
    }
    let _permit = app.sets.builds.acquire().await.map_err(|_| Error::busy())?;
    let (set, tally) = build_set(app, device_id, current.set_no).await?;
    // A set that changed while it was read is good for this message: whatever it misses, the next one shows.
    if tally == current.tally {
        app.sets.keep(device_id, current, &set);
    }
    Ok(set)
}

/// Reads a set in steps; no snapshot outlives one.
async fn build_set(app: &App, device_id: &str, set_no: i64) -> Result<(Set, Tally)> {
    let unusable = |source| Error::internal("build a set to reconcile").caused_by(source);
    let (mut set, mut tally) = (NegentropyStorageVector::new(), Tally::default());
    let mut after: Vec<u8> = Vec::new();
    loop {
        let (id, start) = (device_id.to_owned(), after);
        let step = app
            .db
            .read(move |tx| queries::list_settled(tx, &id, set_no, &start, STEP_ROWS))
            .await?;
        for digest in &step {
            set.insert(0, Id::from_byte_array(digest.0)).map_err(unusable)?;
            tally.add(digest);
        }
        match step.last() {
            Some(last) if step.len() == STEP => after = last.0.to_vec(),
            _ => break,
        }
    }
    set.seal().map_err(unusable)?;
    Ok((Arc::new(set), tally))
}

/// Removes the rows of sets that were emptied, in steps.
pub async fn sweep(app: &App) -> Result<()> {
    // Looked for by reading: a transaction that writes nothing would still wake the disk.
    while let Some((device_id, set_no)) = app.db.read(queries::find_emptied).await? {
        app.db.write(move |tx| queries::sweep_emptied(tx, &device_id, set_no)).await?;
    }
    Ok(())
}
