//! Restore: every original back into a folder, under its own name, with its own time, proved by its digest.
//!
//! A file appears under its name only when all its bytes are on disk and hashed. What is there already is skipped if it
//! has the right bytes, and never touched if it has others: the restored one gets a number then. A run may be stopped
//! at any point; half-received files are gone on with.

pub(crate) mod placing;
mod receiving;

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

/// Where to restore to, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder. Made if it is not there.
    pub folder: PathBuf,
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
    let ended = run.clone().work(options.parallel.max(1)).await;
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
    async fn work(self: Arc<Self>, parallel: usize) -> Result<()> {
        let connection = self.connection.clone();
        let mut pages = Pages::new(&connection);
        let mut receiving: JoinSet<(AssetRow, Result<&'static str>)> = JoinSet::new();
        let mut is_first = true;
        while let Some(page) = pages.next().await? {
            if is_first {
                let total = u64::try_from(page.total).unwrap_or(0);
                self.counts().files = total;
                self.meter.expect(total, 0);
                is_first = false;
            }
            self.meter.expect(0, page.assets.iter().map(|row| row.size_bytes).sum());
            for row in page.assets {
                while receiving.len() >= parallel {
                    self.join_one(&mut receiving).await?;
                }
                let run = self.clone();
                receiving.spawn(async move {
                    let restored = run.restore_one(&row).await;
                    (row, restored)
                });
            }
        }
        while !receiving.is_empty() {
            self.join_one(&mut receiving).await?;
        }
        Ok(())
    }

    async fn join_one(
        &self,
        receiving: &mut JoinSet<(AssetRow, Result<&'static str>)>,
    ) -> Result<()> {
        let Some(joined) = receiving.join_next().await else { return Ok(()) };
        let (row, restored) = joined
            .map_err(|cause| Error::unexpected(format!("restoring ended unexpectedly: {cause}")))?;
        let path = placing::shown(&row);
        match restored {
            Ok(how) => {
                self.meter.finish(row.size_bytes);
                match how {
                    "present" => self.counts().present_files += 1,
                    _ => self.counts().restored_files += 1,
                }
                self.event(&Event::FileDone { path, how, bytes: row.size_bytes });
            }
            Err(error) if error.kind == Kind::File => {
                self.counts().failed_files += 1;
                self.event(&Event::FileFailed { path, code: error.code, reason: error.message });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// `present` if it was there, `restored` if it is there now.
    async fn restore_one(&self, row: &AssetRow) -> Result<&'static str> {
        let wanted = placing::wanted_path(&self.folder, row);
        let (search, copy, stop) = (wanted.clone(), row.clone(), self.connection.stop().clone());
        let found = blocking(move || placing::find_present(&search, &copy, &stop)).await?;
        if found.is_some() {
            return Ok("present");
        }
        let folder = wanted.parent().unwrap_or(&self.folder).to_owned();
        let made = folder.clone();
        blocking(move || {
            std::fs::create_dir_all(&made)
                .map_err(|cause| Error::file("make the folder", &made, &cause).coded("unwritable"))
        })
        .await?;
        let partial = placing::partial_path(&folder, &row.digest);
        receiving::receive(&self.connection, &self.meter, row, &partial).await?;
        let naming = self.naming.lock().await;
        let modified_ms = row.claims.modified_ms;
        let placed =
            blocking(move || placing::place_numbered(&partial, &wanted, modified_ms)).await;
        drop(naming);
        placed.map(|_| "restored")
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
