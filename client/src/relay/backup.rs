//! Backing up into a relay: what is new is sealed on every core, sent in batches, and then made part of the index.
//!
//! A file counts as safe when the segment that lists it is there, and that is written when everything it lists is.
//! A run may end at any point; sealed pieces that are there already are not sent again.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use photosync_protocol::digest::Digest;
use photosync_protocol::format::chunk::MAX_OBJECT_BYTES;
use photosync_protocol::format::segment::{Entry, FULL_BYTES, MAX_INLINE_CHUNKS, Segment};
use photosync_protocol::v2::relay::MAX_BATCH_OBJECTS;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::remote::LENGTH_BYTES;
use super::sealing::Sealed;
use super::store::{Object, Store};
use super::working::{Made, Work};
use super::{Held, Relay, refused};
use crate::backup::{Sidecars, blocking, newest_first};
use crate::cache::{Cache, Pending};
use crate::connection::now_ms;
use crate::delivery::Deliveries;
use crate::error::{Error, Result};
use crate::meter::Meter;
use crate::report::{BackupSummary, Event, Report};
use crate::scan::{self, Found, Looked, Root, Rules};

/// Sealed bytes of one batch, what is sent at once: two chunks, and never more than one request takes.
const BATCH_BYTES: usize = 2 * (MAX_OBJECT_BYTES + LENGTH_BYTES);
const _: () = assert!(BATCH_BYTES < super::remote::BATCH_BYTES);
/// Objects of one batch: one request.
const BATCH_OBJECTS: usize = MAX_BATCH_OBJECTS;
/// Sealed objects that wait for a batch: with chunks of 4 MiB this bounds the memory.
const WAITING: usize = 4;
/// Files in one segment, unless they fill it before.
const COMMIT_FILES: usize = 2000;
/// A segment is written at least this often, so that little is sealed again after an interruption.
const COMMIT_EVERY: Duration = Duration::from_secs(60);

/// What to back up, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// What is not looked at.
    pub rules: Rules,
    /// Batches on their way at once.
    pub parallel: usize,
    /// Bytes a second.
    pub limit: Option<u64>,
}

/// A file as it was read.
struct Read {
    file: Found,
    digest: Digest,
    read_at_ns: i64,
}

/// A file whose objects are on their way.
struct Waiting {
    sealed: Read,
    entry: Entry,
    /// Chunks of a manifest that the segment only names.
    chunks: Vec<Digest>,
}

struct Run<'a> {
    relay: &'a mut Relay,
    held: Held,
    cache: Arc<Cache>,
    meter: Arc<Meter>,
    summary: BackupSummary,
    parallel: usize,
    batch: Vec<Object>,
    batch_bytes: usize,
    sending: JoinSet<Result<()>>,
    sent: HashSet<Digest>,
    /// Manifests that the index lists already.
    listed: HashSet<Digest>,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    committed: Instant,
}

/// Backs up once. The summary is reported also when the run ends early, before the error is answered. A run that was
/// refused before it looked at anything has nothing to sum up.
pub async fn run(relay: &mut Relay, options: &Options) -> Result<BackupSummary> {
    let meter = Meter::new(options.limit);
    let held = greet(relay).await?;
    let (report, stop) = (relay.report.clone(), relay.stop.clone());
    let (paths, rules, looking) = (options.paths.clone(), options.rules.clone(), report.clone());
    let looked = blocking(move || scan::look(&paths, &rules, looking.as_ref(), &stop)).await?;
    let begun = begin(relay, held, options.parallel, meter, looked).await?;
    let (summary, ended) = begun.finish(None).await;
    report.event(&Event::BackupDone(summary.clone()));
    ended.map(|()| summary)
}

/// Makes sure that no other run is at work and that the place is the one this device knows, and takes in what others wrote.
pub(crate) async fn greet(relay: &mut Relay) -> Result<Held> {
    let held = relay.hold().await?;
    let look = relay.store.look().await?;
    relay.require_newest_keyring(&look).await?;
    relay.learn_from(look, Some(&held)).await?;
    Ok(held)
}

/// A run that knows what there is to do.
pub(crate) struct Begun<'a> {
    run: Run<'a>,
    roots: Vec<Root>,
    /// What no segment lists yet.
    pub pending: Vec<Pending>,
}

/// Compares what was found with what is known, after [`greet`].
pub(crate) async fn begin(
    relay: &mut Relay,
    held: Held,
    parallel: usize,
    meter: Meter,
    looked: Looked,
) -> Result<Begun<'_>> {
    let (cache_file, writer) = (relay.space.cache_file(), relay.space.writer.to_string());
    let mut summary = BackupSummary {
        sealed: true,
        files: looked.files,
        bytes: looked.bytes,
        skipped_files: looked.skipped,
        empty_files: looked.empty,
        ..BackupSummary::default()
    };
    for (path, error) in &looked.unreadable {
        fail(relay.report.as_ref(), &mut summary, path, error);
    }
    let roots = looked.roots.iter().map(|(root, _)| root.clone()).collect();
    let (cache, pending) = blocking(move || {
        let cache = Cache::open(&cache_file)?;
        cache.belong_to(&writer)?;
        let (unread, mut pending) = (looked.unread(), Vec::new());
        for (root, files) in looked.roots {
            pending.extend(cache.merge(&root, files, &unread)?.0);
        }
        Ok((Arc::new(cache), pending))
    })
    .await?;
    meter.expect(
        pending.len() as u64,
        pending.iter().map(|pending: &Pending| pending.file.size_bytes).sum(),
    );
    let run = Run {
        relay,
        held,
        cache,
        meter: Arc::new(meter),
        summary,
        parallel: parallel.max(1),
        batch: Vec::new(),
        batch_bytes: 0,
        sending: JoinSet::new(),
        sent: HashSet::new(),
        listed: HashSet::new(),
        waiting: Vec::new(),
        waiting_bytes: 0,
        committed: Instant::now(),
    };
    Ok(Begun { run, roots, pending })
}

impl Begun<'_> {
    /// Seals everything that is pending, and before that what is read for several (see [`crate::delivery`]). The
    /// summary is good also when the run ended early.
    pub(crate) async fn finish(self, shared: Option<Deliveries>) -> (BackupSummary, Result<()>) {
        let Self { mut run, roots, pending } = self;
        let (report, ticking) = (run.relay.report.clone(), run.meter.clone());
        let ticking = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                report.event(&Event::Progress(ticking.progress()));
            }
        });
        let ended = run.work(roots, pending, shared).await;
        ticking.abort();
        let mut summary = run.summary;
        summary.elapsed_ms = run.meter.elapsed_ms();
        summary.sent_bytes = run.meter.wire_bytes();
        summary.complete = ended.is_ok() && summary.failed_files == 0;
        run.relay.report.event(&Event::Progress(run.meter.progress()));
        (summary, ended)
    }
}

impl Run<'_> {
    async fn work(
        &mut self,
        roots: Vec<Root>,
        mut pending: Vec<Pending>,
        shared: Option<Deliveries>,
    ) -> Result<()> {
        let has_work = !pending.is_empty() || shared.is_some();
        // A server is asked only if something is sent: a backup on which nothing changed is one request.
        if has_work || matches!(*self.relay.store, Store::Folder(_)) {
            self.relay.put_back_segments().await?;
        }
        if !has_work {
            return Ok(());
        }
        pending.sort_unstable_by(|a, b| newest_first(&a.file, &b.file));
        let (manifests, _) = self.relay.manifests().await?;
        self.listed = manifests.into_keys().collect();
        let work = Arc::new(Work {
            keys: self.relay.space.keys.clone(),
            roots,
            sidecars: Sidecars::default(),
            shared: shared.map(Mutex::new),
            queue: Mutex::new(pending.into()),
            stop: self.relay.stop.clone(),
        });
        let (give, mut made) = mpsc::channel(WAITING);
        let threads = std::thread::available_parallelism().map_or(2, |count| count.get().min(4));
        let mut sealing = JoinSet::new();
        for _ in 0..threads {
            let (work, give) = (work.clone(), give.clone());
            sealing.spawn_blocking(move || work.seal_all(&give));
        }
        // When this run ends early, the threads are the last to know it; what is read for them must not wait for that.
        drop((give, work));
        while let Some(made) = made.recv().await {
            self.take(made).await?;
        }
        while let Some(sealed) = sealing.join_next().await {
            sealed.map_err(|cause| {
                Error::unexpected(format!("sealing ended unexpectedly: {cause}"))
            })??;
        }
        self.commit().await
    }

    async fn take(&mut self, made: Made) -> Result<()> {
        match made {
            Made::Object(object) => {
                if !self.sent.insert(object.1) {
                    return Ok(());
                }
                let bytes = object.2.len() + LENGTH_BYTES;
                let is_full = self.batch_bytes + bytes > BATCH_BYTES;
                if is_full || self.batch.len() >= BATCH_OBJECTS {
                    self.send_batch().await?;
                }
                self.batch_bytes += bytes;
                self.batch.push(object);
            }
            Made::File(sealed) => {
                self.meter.finish(sealed.file.size_bytes);
                let Sealed { file, read_at_ns, id, manifest } = *sealed;
                let sealed = Read { file, digest: manifest.digest, read_at_ns };
                let count = manifest.chunks.len();
                let is_inline = count <= MAX_INLINE_CHUNKS;
                let chunks = if is_inline { Vec::new() } else { manifest.chunks.clone() };
                // Ids are 64 letters and three of JSON, the rest is names and claims.
                self.waiting_bytes += 512 + if is_inline { count * 67 } else { 0 };
                let entry = Entry { id, manifest: is_inline.then_some(manifest) };
                self.waiting.push(Waiting { sealed, entry, chunks });
                let is_full =
                    self.waiting.len() >= COMMIT_FILES || self.waiting_bytes >= FULL_BYTES;
                if is_full || self.committed.elapsed() >= COMMIT_EVERY {
                    self.commit().await?;
                }
            }
            Made::Failed(file, error) => {
                self.cache.forget_file(&file.path)?;
                fail(self.relay.report.as_ref(), &mut self.summary, &file.path, &error);
            }
        }
        Ok(())
    }

    async fn send_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        while self.sending.len() >= self.parallel {
            self.join_one().await?;
        }
        let (store, meter) = (self.relay.store.clone(), self.meter.clone());
        self.sending.spawn(send(store, meter, batch));
        Ok(())
    }

    async fn join_one(&mut self) -> Result<()> {
        match self.sending.join_next().await {
            None => Ok(()),
            Some(sent) => sent.map_err(|cause| {
                Error::unexpected(format!("sending ended unexpectedly: {cause}"))
            })?,
        }
    }

    /// Waits until everything is there, then lists it.
    async fn commit(&mut self) -> Result<()> {
        self.send_batch().await?;
        while !self.sending.is_empty() {
            self.join_one().await?;
        }
        self.committed = Instant::now();
        self.waiting_bytes = 0;
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let (listed, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|one| self.listed.contains(&one.entry.id));
        for one in &listed {
            self.done(&one.sealed, "held")?;
            self.summary.held_files += 1;
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let chunks: Vec<Digest> =
            waiting.iter().flat_map(|one| one.chunks.iter().copied()).collect();
        let (entries, files): (Vec<Entry>, Vec<Read>) =
            waiting.into_iter().map(|one| (one.entry, one.sealed)).unzip();
        let live = Segment::live_ids(&entries, &chunks);
        let space = &mut self.relay.space;
        let head = space.chains.head(space.writer).copied();
        let others = space.chains.heads().iter().filter(|head| head.writer != space.writer);
        let segment = Segment {
            writer: space.writer,
            sequence: head.map_or(0, |head| head.sequence) + 1,
            previous: head.map(|head| head.id),
            written_at_ms: now_ms(),
            seen: others.copied().collect(),
            live: Segment::live_digest(&live),
            entries,
        };
        let refused = |bad| refused("the index", bad);
        let (id, object) = segment.seal(&space.keys).map_err(refused)?;
        self.relay.store.append(&segment, id, object.clone(), &live).await?;
        space.chains.extend(&segment, id).map_err(refused)?;
        space.mirror(&id, &object)?;
        space.save(&self.relay.store.name(), &self.held)?;
        for file in &files {
            self.done(file, "sent")?;
            self.summary.sent_files += 1;
        }
        Ok(())
    }

    /// Only now is the digest believed: a file with the same bytes under another name, listed or not, has none yet and
    /// is looked at by itself.
    fn done(&self, read: &Read, how: &'static str) -> Result<()> {
        let Read { file, digest, read_at_ns } = read;
        self.cache.record(file, *digest, *read_at_ns)?;
        self.cache.settle(&[*digest])?;
        let path = file.path.to_string_lossy().into_owned();
        self.relay.report.event(&Event::FileDone { path, how, bytes: file.size_bytes });
        Ok(())
    }
}

/// Sends what is not there yet.
async fn send(store: Arc<Store>, meter: Arc<Meter>, mut batch: Vec<Object>) -> Result<()> {
    let ids = batch.iter().map(|(kind, id, _)| (*kind, *id)).collect();
    let missing: HashSet<_> = store.missing(ids).await?.into_iter().collect();
    batch.retain(|(kind, id, _)| missing.contains(&(*kind, *id)));
    meter.pass(batch.iter().map(|(.., bytes)| bytes.len() as u64).sum()).await;
    store.put(batch).await
}

fn fail(report: &dyn Report, summary: &mut BackupSummary, path: &std::path::Path, error: &Error) {
    summary.failed_files += 1;
    report.event(&Event::FileFailed {
        path: path.to_string_lossy().into_owned(),
        code: error.code,
        reason: error.message.clone(),
    });
}
