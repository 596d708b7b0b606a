//! Backup: everything below some folders, newest first, until the server holds it.
//!
//! A run looks through the folders, reads only what is new (see [`crate::cache`]), asks the server about what it does
//! not know to be settled, sends what is missing, and tells where the rest lies. It may be stopped at any point: the next run goes on. One file
//! that cannot be done is reported and stands in nobody's way; a server that cannot be reached ends the run.

mod claiming;
mod coming;
mod pipeline;
mod reading;
mod telling;

pub(crate) use claiming::Sidecars;
pub use photosync_protocol::v2::claims::PATH_PREFIX;
pub(crate) use reading::{Hashed, Opened, changing};

use std::cmp::Ordering;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use photosync_protocol::digest::Digest;

use crate::cache::{Cache, Pending};
use crate::connection::{Connection, now_ms};
use crate::delivery::Deliveries;
use crate::error::{Error, Result};
use crate::meter::Meter;
use crate::profile::Profile;
use crate::report::{BackupSummary, Event};
use crate::scan::{self, Found, Looked, Root, Rules};
use crate::settling;

/// Fact in the cache: when a backup last found everything settled, Unix milliseconds.
pub const LAST_COMPLETE: &str = "last_complete_ms";
/// Fact in the cache: what was named at the last backup, one path a line.
pub const LAST_PATHS: &str = "last_paths";

/// Fact in the cache: every folder and file ever named, one path a line. A file that is sent again in a run that was
/// told of other folders still knows the folder it lies in.
pub(crate) const ALL_PATHS: &str = "all_paths";

/// Rounds of comparing and sending: the second sends what the server turned out to have lost, the third confirms.
const MAX_ROUNDS: usize = 3;

/// What to back up, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// What is not looked at.
    pub rules: Rules,
    /// Files on their way at once.
    pub parallel: usize,
    /// Bytes a second over the network.
    pub limit: Option<u64>,
}

/// A run.
pub(crate) struct Run {
    connection: Arc<Connection>,
    cache: Arc<Cache>,
    meter: Arc<Meter>,
    roots: Arc<Vec<Root>>,
    /// This run's, then those of earlier ones.
    all_roots: Vec<Root>,
    parallel: usize,
    sidecars: Sidecars,
    counts: std::sync::Mutex<BackupSummary>,
    /// Digests of files that failed: they are not tried twice in one run.
    failed: std::sync::Mutex<HashSet<Digest>>,
}

/// Runs a backup to its end. The summary is reported also when the run ends early, before the error is answered.
pub async fn run(
    connection: Arc<Connection>,
    profile: &Profile,
    options: &Options,
) -> Result<BackupSummary> {
    let meter = Meter::new(options.limit);
    let (report, stop) = (connection.report().clone(), connection.stop().clone());
    let (paths, rules) = (options.paths.clone(), options.rules.clone());
    let looked = blocking(move || scan::look(&paths, &rules, report.as_ref(), &stop)).await?;
    let begun = begin(connection, profile, options.parallel, meter, looked).await?;
    let report = begun.run.connection.report().clone();
    let (summary, ended) = begun.finish(None).await;
    report.event(&Event::BackupDone(summary.clone()));
    ended.map(|()| summary)
}

/// A run that knows what there is to do.
pub(crate) struct Begun {
    run: Arc<Run>,
    profile: Profile,
    /// What is not known to be settled.
    pub pending: Vec<Pending>,
}

/// Compares what was found with what is known. Asks the server nothing.
pub(crate) async fn begin(
    connection: Arc<Connection>,
    profile: &Profile,
    parallel: usize,
    meter: Meter,
    looked: Looked,
) -> Result<Begun> {
    let cache = open_cache(profile).await?;
    let credentials = connection.credentials().await?;
    cache.belong_to(&format!("{}/{}", credentials.account_uuid, credentials.device_id))?;
    let roots: Vec<Root> = looked.roots.iter().map(|(root, _)| root.clone()).collect();
    let all_roots = remember_roots(&cache, &roots)?;
    let run = Arc::new(Run {
        all_roots,
        connection,
        cache,
        meter: Arc::new(meter),
        roots: Arc::new(roots),
        parallel: parallel.max(1),
        sidecars: Sidecars::default(),
        counts: std::sync::Mutex::default(),
        failed: std::sync::Mutex::default(),
    });
    let merging = run.clone();
    let pending = blocking(move || merging.merge(looked)).await?;
    run.expect(&pending);
    Ok(Begun { run, profile: profile.clone(), pending })
}

impl Begun {
    /// Sends everything that is pending, and before that what is read for several (see [`crate::delivery`]). The
    /// summary is good also when the run ended early.
    pub(crate) async fn finish(self, shared: Option<Deliveries>) -> (BackupSummary, Result<()>) {
        let Self { run, profile, pending } = self;
        let ticking = run.clone().tick();
        let ended = run.work(pending, shared).await;
        ticking.abort();
        let mut summary = run.summary();
        summary.elapsed_ms = run.meter.elapsed_ms();
        summary.sent_bytes = run.meter.wire_bytes();
        summary.complete = matches!(ended, Ok(true)) && summary.failed_files == 0;
        if summary.sent_files > 0 {
            crate::endpoints::keep_fresh(&run.connection, &profile).await;
        }
        let noted = run.note_end(summary.complete);
        run.event(&Event::Progress(run.meter.progress()));
        (summary, ended.and(noted))
    }
}

impl Run {
    /// Answers whether the server holds everything that was read.
    async fn work(
        self: &Arc<Self>,
        mut pending: Vec<Pending>,
        shared: Option<Deliveries>,
    ) -> Result<bool> {
        if let Some(deliveries) = shared {
            self.clone().send_shared(deliveries).await?;
        }
        for _ in 0..MAX_ROUNDS {
            pending.sort_unstable_by(|a, b| newest_first(&a.file, &b.file));
            if !pending.is_empty() {
                self.clone().send_all(std::mem::take(&mut pending)).await?;
            }
            // Before the question whether all is safe: a place that is not told would not come back.
            self.tell_places().await?;
            match self.compare().await? {
                Compared::Equal => return Ok(true),
                Compared::Nothing => return Ok(false),
                Compared::Wanted(wanted) => {
                    self.expect(&wanted);
                    pending = wanted;
                }
            }
        }
        Ok(false)
    }

    /// There is this to do.
    fn expect(&self, pending: &[Pending]) {
        let bytes = pending.iter().map(|pending| pending.file.size_bytes).sum();
        self.meter.expect(pending.len() as u64, bytes);
    }

    /// Answers what is not known to be settled of what was found. Blocks.
    fn merge(&self, looked: Looked) -> Result<Vec<Pending>> {
        let unread = looked.unread();
        let mut pending = Vec::new();
        self.count(|counts| {
            (counts.files, counts.bytes) = (looked.files, looked.bytes);
            (counts.skipped_files, counts.empty_files) = (looked.skipped, looked.empty);
        });
        for (root, files) in looked.roots {
            let (more, _) = self.cache.merge(&root, files, &unread)?;
            pending.extend(more);
        }
        for (path, error) in looked.unreadable {
            self.fail(&path.to_string_lossy(), &error, None);
        }
        Ok(pending)
    }

    /// What `status` tells of this run.
    fn note_end(&self, is_complete: bool) -> Result<()> {
        if is_complete {
            self.cache.put_fact(LAST_COMPLETE, &now_ms().to_string())?;
        }
        let mut named = String::new();
        for root in self.roots.iter() {
            named.push_str(&root.start.to_string_lossy());
            named.push('\n');
        }
        self.cache.put_fact(LAST_PATHS, &named)
    }

    /// Asks whether everything is settled, and if not, what is wanted.
    async fn compare(self: &Arc<Self>) -> Result<Compared> {
        let cache = self.cache.clone();
        let ours = blocking(move || cache.tally()).await?;
        let mut asked = ours;
        // Files that failed are not safe. One that could not even be read has no digest: counting it all the same
        // keeps the server from noting that everything is, and changes nothing else.
        let failed = self.summary().failed_files;
        asked.count = asked.count.saturating_add(failed);
        let Some(theirs) = settling::compare(&self.connection, &asked).await? else {
            return Ok(Compared::Equal);
        };
        if theirs == ours {
            return Ok(Compared::Nothing);
        }
        let cache = self.cache.clone();
        let digests = blocking(move || cache.digests()).await?;
        let difference = settling::reconcile(&self.connection, &digests).await?;
        if !difference.only_there.is_empty() {
            settling::forget(&self.connection, &difference.only_there).await?;
        }
        self.cache.unsettle(&difference.only_here)?;
        let mut wanted = Vec::new();
        for digest in difference.only_here {
            let has_failed = self.failed.lock().is_ok_and(|failed| failed.contains(&digest));
            if let Some(file) = self.cache.find_file(&digest)?.filter(|_| !has_failed) {
                wanted.push(Pending { file, digest: Some(digest) });
            }
        }
        if wanted.is_empty() && failed > 0 {
            return Ok(Compared::Nothing);
        }
        // With nothing wanted the server only forgot what is gone: ask once more.
        Ok(Compared::Wanted(wanted))
    }

    fn event(&self, event: &Event) {
        self.connection.report().event(event);
    }

    fn count(&self, change: impl FnOnce(&mut BackupSummary)) {
        change(&mut self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    fn summary(&self) -> BackupSummary {
        self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// One file that cannot be done.
    fn fail(&self, path: &str, error: &Error, digest: Option<Digest>) {
        self.count(|counts| counts.failed_files += 1);
        let mut failed = self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.extend(digest);
        drop(failed);
        self.event(&Event::FileFailed {
            path: path.to_owned(),
            code: error.code,
            reason: error.message.clone(),
        });
    }

    /// Reports progress ten times a second until it is aborted.
    fn tick(self: Arc<Self>) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                self.event(&Event::Progress(self.meter.progress()));
            }
        })
    }
}

/// In which order files are done: the newest are the ones of which there is no other copy yet.
pub(crate) fn newest_first(a: &Found, b: &Found) -> Ordering {
    b.mtime_ns.cmp(&a.mtime_ns).then_with(|| a.path.cmp(&b.path))
}

/// What comparing said.
enum Compared {
    /// Everything is settled, and the server noted it.
    Equal,
    /// Nothing more can be done in this run.
    Nothing,
    /// These are to be sent (again).
    Wanted(Vec<Pending>),
}

/// Adds the roots of this run to those of earlier ones.
fn remember_roots(cache: &Cache, roots: &[Root]) -> Result<Vec<Root>> {
    let before = cache.find_fact(ALL_PATHS)?.unwrap_or_default();
    let mut all = roots.to_vec();
    // One that is gone, or on a disk that is not plugged in, has no files that could be sent.
    all.extend(before.lines().filter_map(|line| scan::roots(&[line.into()]).ok()).flatten());
    // This run's own come first: they decide what a folder is told relative to.
    let mut own: Vec<Root> = Vec::new();
    for root in all {
        if !own.iter().any(|known| known.start == root.start) {
            own.push(root);
        }
    }
    own.sort_by_key(|root| !roots.contains(root));
    let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
    for root in roots {
        let line = root.start.to_string_lossy().into_owned();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    cache.put_fact(ALL_PATHS, &lines.join("\n"))?;
    Ok(own)
}

/// Opens the cache of a profile.
pub async fn open_cache(profile: &Profile) -> Result<Arc<Cache>> {
    let profile = profile.clone();
    blocking(move || {
        profile.create()?;
        Cache::open(&profile.cache_file()).map(Arc::new)
    })
    .await
}

/// SHA-256 of a file that does not change meanwhile. Blocks.
pub(crate) fn hash_file(
    path: &std::path::Path,
    stop: &tokio_util::sync::CancellationToken,
) -> Result<Digest> {
    reading::hash(path, stop).map(|hashed| hashed.digest)
}

/// Runs blocking work beside the asynchronous tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::unexpected(format!("a task ended unexpectedly: {cause}")))?
}
