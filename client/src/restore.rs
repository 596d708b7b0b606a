//! Restore: every original back into a folder, under its own name, with its own time, proved by its digest.
//!
//! A file appears under its name only when all its bytes are on disk and hashed. What is there already is skipped if it
//! has the right bytes, and never touched if it has others: the restored one gets a number then. A run may be stopped
//! at any point; half-received files are gone on with. A photo that lay in several places is received once and copied.
//! The listing is read twice: first to learn which paths there will be, then to write them.

pub(crate) mod placing;
pub(crate) mod planning;
mod receiving;
pub(crate) mod side_by_side;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use photosync_protocol::v2::AssetRow;
use tokio::task::JoinSet;

use crate::backup::blocking;
use crate::connection::Connection;
use crate::error::{Error, Kind, Result};
use crate::listing::Pages;
use crate::meter::Meter;
use crate::report::{Event, RestoreSummary};
use placing::Target;
use planning::Plan;
use side_by_side::{Done, ended_unexpectedly};

/// Where to restore to, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder. Made if it is not there.
    pub folder: PathBuf,
    /// In the folders of this device instead of this computer's own, by id or name.
    pub device: Option<String>,
    /// Files on their way at once.
    pub parallel: usize,
    /// Bytes a second over the network.
    pub limit: Option<u64>,
}

struct Run {
    connection: Arc<Connection>,
    meter: Meter,
    folder: PathBuf,
    counts: Mutex<RestoreSummary>,
    /// Held while a name is chosen and taken.
    naming: tokio::sync::Mutex<()>,
}

/// Restores the whole library. The summary is reported also when the run ends early, before the error is answered.
pub async fn run(connection: Arc<Connection>, options: &Options) -> Result<RestoreSummary> {
    let folder = options.folder.clone();
    let folder = blocking(move || {
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::canonicalize(&folder))
            .map_err(|cause| Error::storage("make the folder", &folder, &cause))
    })
    .await?;
    let run = Arc::new(Run {
        connection,
        meter: Meter::new(options.limit),
        folder,
        counts: Mutex::default(),
        naming: tokio::sync::Mutex::default(),
    });
    let ticking = run.clone().tick();
    let ended = run.clone().work(options.device.as_deref(), options.parallel.max(1)).await;
    ticking.abort();
    let mut summary = run.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    summary.elapsed_ms = run.meter.elapsed_ms();
    summary.received_bytes = run.meter.wire_bytes();
    run.event(&Event::Progress(run.meter.progress()));
    run.event(&Event::RestoreDone(summary.clone()));
    ended.map(|()| summary)
}

/// Fetches one original into a file that must not be there yet.
pub async fn fetch(connection: Arc<Connection>, row: &AssetRow, target: &Path) -> Result<()> {
    let meter = Meter::new(None);
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let partial = placing::partial_path(folder, &row.digest);
    receiving::receive(&connection, &meter, row, &partial).await?;
    let (target, modified_ms) = (target.to_owned(), row.claims.modified_ms);
    let taken = Error::new(Kind::File, format!("{} is there already", target.display()))
        .coded("exists")
        .hint("name another file with --output");
    let placed = blocking(move || placing::place(&partial, &target, modified_ms)).await?;
    if placed { Ok(()) } else { Err(taken) }
}

impl Run {
    async fn work(self: Arc<Self>, device: Option<&str>, parallel: usize) -> Result<()> {
        let connection = self.connection.clone();
        let mut plan = Plan::default();
        let mut pages = Pages::new(&connection, device);
        while let Some(page) = pages.next().await? {
            page.assets.iter().for_each(|row| plan.add(row));
        }
        self.counts().files = plan.files;
        self.meter.expect(plan.files, plan.bytes);
        let plan = Arc::new(plan);
        let mut pages = Pages::new(&connection, device);
        let mut receiving: JoinSet<Vec<Done>> = JoinSet::new();
        while let Some(page) = pages.next().await? {
            for row in page.assets {
                while receiving.len() >= parallel {
                    self.join_one(&mut receiving).await?;
                }
                let (run, plan) = (self.clone(), plan.clone());
                receiving.spawn(async move { run.restore_all(&plan, &row).await });
            }
        }
        while !receiving.is_empty() {
            self.join_one(&mut receiving).await?;
        }
        Ok(())
    }

    async fn join_one(&self, receiving: &mut JoinSet<Vec<Done>>) -> Result<()> {
        let Some(joined) = receiving.join_next().await else { return Ok(()) };
        for done in joined.map_err(ended_unexpectedly)? {
            done.tell(&self.meter, self.connection.report().as_ref(), &mut self.counts())?;
        }
        Ok(())
    }

    /// Every place of an asset. What is there already is looked for first: it saves receiving the bytes.
    async fn restore_all(&self, plan: &Arc<Plan>, row: &AssetRow) -> Vec<Done> {
        let (mut all, mut missing, mut source) = (Vec::new(), Vec::new(), None);
        let done = |path: &Path, how| Done { path: path.to_owned(), bytes: row.size_bytes, how };
        for target in placing::targets(row) {
            match self.find_present(plan, row, &target).await {
                Ok(Some(present)) => {
                    all.push(done(&target.path, Ok("present")));
                    source.get_or_insert(present);
                }
                Ok(None) => missing.push(target),
                Err(error) => all.push(done(&target.path, Err(error))),
            }
        }
        for target in missing {
            let restored = self.restore_one(plan, row, &target, source.as_deref()).await;
            let is_over = restored.as_ref().is_err_and(|error| error.kind != Kind::File);
            let how = restored.map(|placed| {
                source.get_or_insert(placed);
                "restored"
            });
            all.push(done(&target.path, how));
            if is_over {
                break;
            }
        }
        all
    }

    async fn find_present(
        &self,
        plan: &Arc<Plan>,
        row: &AssetRow,
        target: &Target,
    ) -> Result<Option<PathBuf>> {
        let (plan, folder, stop) =
            (plan.clone(), self.folder.clone(), self.connection.stop().clone());
        let (row, target) = (row.clone(), target.clone());
        blocking(move || {
            placing::find_present(plan.names(&folder, &target, &row.digest), &row, &stop)
        })
        .await
    }

    /// Writes one file, from `source` if there is one; answers where it got its name.
    async fn restore_one(
        &self,
        plan: &Arc<Plan>,
        row: &AssetRow,
        target: &Target,
        source: Option<&Path>,
    ) -> Result<PathBuf> {
        if self.connection.stop().is_cancelled() {
            return Err(Error::interrupted());
        }
        let folder = self.folder.join(target.path.parent().unwrap_or(Path::new("")));
        let partial = placing::partial_path(&folder, &row.digest);
        let (source, into) = (source.map(Path::to_owned), partial.clone());
        blocking(move || {
            std::fs::create_dir_all(&folder).map_err(|cause| {
                Error::file("make the folder", &folder, &cause).coded("unwritable")
            })?;
            if let Some(source) = source {
                // Where it fails, or somebody changed the source, the bytes come from the server after all.
                let _ = placing::copy(&source, &into);
            }
            Ok(())
        })
        .await?;
        receiving::receive(&self.connection, &self.meter, row, &partial).await?;
        let naming = self.naming.lock().await;
        let (plan, folder) = (plan.clone(), self.folder.clone());
        let (digest, target) = (row.digest, target.clone());
        let placed = blocking(move || {
            let names = plan.names(&folder, &target, &digest);
            placing::place_first(&partial, names, target.modified_ms)
        })
        .await;
        drop(naming);
        placed
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, RestoreSummary> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, event: &Event) {
        self.connection.report().event(event);
    }

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
