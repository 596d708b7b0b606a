//! An installed app: the product's client as a library, with a folder of photos and a profile on the disk, behind the
//! fault proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use photosync_client::backup;
use photosync_client::connection::Connection;
use photosync_client::error::{Error, Result};
use photosync_client::profile::Profile;
use photosync_client::report::{
    BackupSummary, Event, Quiet, Report, RestoreSummary, VerifySummary,
};
use photosync_client::restore;
use photosync_client::scan::Rules;
use photosync_client::signing_in::{First, reach, sign_in};
use photosync_client::verify;
use photosync_tests::proxy::FaultProxy;
use photosync_tests::seeded::SeededFile;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::device::Photo;
use crate::stand::PASSWORD;

/// Files on their way at once: so many may be held without the app having heard of it.
pub(super) const PARALLEL: usize = 2;

/// Some hundred to some thousand bytes; two photos each have the same length, so that one may replace the other without
/// its length giving it away.
pub(super) fn file_of(photo: Photo) -> SeededFile {
    SeededFile::new(photo, 200 + photo / 2 * 97)
}

/// How a run that loses its network ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It goes on until it is done or gives up.
    Waits,
    /// The person presses Ctrl-C at the first cut.
    Stopped,
    /// The program is killed at the first cut: nothing of it runs any more.
    Killed,
}

/// What a run did.
pub(super) struct Ran {
    /// `None` if it was killed.
    pub(super) ended: Option<Result<BackupSummary>>,
    /// What the app said of each photo: `sent`, `held`, `deleted`.
    pub(super) said: BTreeMap<&'static str, BTreeSet<Photo>>,
    /// Files the app could not back up, with the reason.
    pub(super) failed: Vec<String>,
}

impl Ran {
    /// Photos of which the app said this.
    pub(super) fn said(&self, how: &str) -> BTreeSet<Photo> {
        self.said.get(how).cloned().unwrap_or_default()
    }
}

/// A device with the app on it.
pub(super) struct App {
    url: String,
    fingerprint: String,
    email: String,
    home: TempDir,
    installed: u32,
    photos: BTreeMap<u64, Photo>,
}

impl App {
    /// A new device of that person.
    pub(super) fn install(url: &str, fingerprint: &str, email: &str) -> App {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(home.path().join("photos")).expect("a folder of photos");
        let (url, fingerprint, email) = (url.to_owned(), fingerprint.to_owned(), email.to_owned());
        let mut app = App { url, fingerprint, email, home, installed: 0, photos: BTreeMap::new() };
        app.reinstall().expect("a first sign-in");
        app
    }

    /// Everything the app knew is gone; it signs in as a device the server has not seen.
    pub(super) fn reinstall(&mut self) -> Result<()> {
        // What a removed app leaves behind must not matter; the folder has another name only to be new.
        let _ = fs::remove_dir_all(self.profile().folder());
        self.installed += 1;
        let profile = self.profile();
        runtime().block_on(async {
            let first = First { report: Arc::new(Quiet), stop: CancellationToken::new() };
            let known = Some(self.fingerprint.clone());
            let server = reach(&first, &self.url, known, &|_, _| Ok(false)).await?;
            sign_in(&server, &profile, &self.email, PASSWORD, "Test phone").await.map(|_| ())
        })
    }

    fn profile(&self) -> Profile {
        Profile::at(self.home.path().join(format!("profile-{}", self.installed)))
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("photos")
    }

    fn path_of(&self, slot: u64) -> PathBuf {
        // Two folders, and names that other devices use for other photos.
        self.folder()
            .join(["Camera", "Album"][usize::from(slot % 2 == 1)])
            .join(format!("IMG_{slot:02}.jpg"))
    }

    /// The photos that are on the device now.
    pub(super) fn photos(&self) -> BTreeSet<Photo> {
        self.photos.values().copied().collect()
    }

    /// A photo comes to a place, or replaces the one there: written over it, or renamed onto it.
    pub(super) fn put(&mut self, slot: u64, photo: Photo, in_place: bool) {
        let (path, bytes) = (self.path_of(slot), file_of(photo).to_vec());
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        if in_place {
            fs::write(&path, bytes).expect("a written photo");
        } else {
            let beside = self.home.path().join("incoming");
            fs::write(&beside, bytes).expect("a written photo");
            fs::rename(&beside, &path).expect("a renamed photo");
        }
        self.photos.insert(slot, photo);
    }

    /// The photo of a place goes.
    pub(super) fn delete(&mut self, slot: u64) {
        if self.photos.remove(&slot).is_some() {
            fs::remove_file(self.path_of(slot)).expect("a removed photo");
        }
    }

    /// The photo of a place gets another place; what was there is replaced.
    pub(super) fn rename(&mut self, from: u64, to: u64) {
        let Some(photo) = self.photos.remove(&from) else { return };
        let target = self.path_of(to);
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::rename(self.path_of(from), &target).expect("a renamed photo");
        self.photos.insert(to, photo);
    }

    /// Backs up. A cut is what the proxy makes of its plans; here only what the person or the system does then.
    pub(super) fn back_up(&self, proxy: &FaultProxy, patience: Patience) -> Ran {
        let watcher = Arc::new(Watcher::default());
        let (profile, report, stop) = (self.profile(), watcher.clone(), CancellationToken::new());
        let options = backup::Options {
            paths: vec![self.folder()],
            rules: Rules::new(&[], false).expect("no patterns"),
            parallel: PARALLEL,
            limit: None,
        };
        let before = proxy.passed().len();
        let cut = async {
            while proxy.passed()[before..].iter().all(|connection| !connection.ended) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let runtime = runtime();
        let ended = runtime.block_on(async {
            let run = async {
                let connection = Arc::new(Connection::signed_in(&profile, report, stop.clone())?);
                backup::run(connection, &profile, &options).await
            };
            match patience {
                Patience::Waits => Some(run.await),
                Patience::Stopped => {
                    tokio::pin!(run);
                    tokio::select! {
                        ended = &mut run => Some(ended),
                        () = cut => {
                            stop.cancel();
                            Some(run.await)
                        }
                    }
                }
                Patience::Killed => tokio::select! {
                    ended = run => Some(ended),
                    () = cut => None,
                },
            }
        });
        // Its tasks end where they are; what it does on the disk at this moment comes to an end.
        runtime.shutdown_timeout(Duration::from_secs(20));
        self.what_it_said(&watcher, ended)
    }

    fn what_it_said(&self, watcher: &Watcher, ended: Option<Result<BackupSummary>>) -> Ran {
        let told = watcher.told.lock().unwrap_or_else(PoisonError::into_inner);
        let by_path: BTreeMap<PathBuf, Photo> =
            self.photos.iter().map(|(slot, photo)| (self.path_of(*slot), *photo)).collect();
        let mut said: BTreeMap<&'static str, BTreeSet<Photo>> = BTreeMap::new();
        let mut failed = told.failed.clone();
        for (path, how) in &told.done {
            match by_path.get(Path::new(path)) {
                Some(photo) => _ = said.entry(how).or_default().insert(*photo),
                None => failed.push(format!("{path} is {how}, and there is no such file")),
            }
        }
        Ran { ended, said, failed }
    }

    /// Asks for receipts of everything.
    pub(super) fn verify(&self) -> Result<VerifySummary> {
        let profile = self.profile();
        runtime().block_on(async { verify::run(connected(&profile)?, &profile).await })
    }

    /// Brings the whole library into an empty folder; returns its files' bytes.
    pub(super) fn restore(&self) -> Result<(RestoreSummary, Vec<Vec<u8>>)> {
        let folder = self.home.path().join("restored");
        let options = restore::Options {
            folder: folder.clone(),
            parallel: PARALLEL,
            limit: None,
            device: None,
        };
        let summary = runtime()
            .block_on(async { restore::run(connected(&self.profile())?, &options).await })?;
        let files = crate::stand::files_below(&folder);
        let bytes = files.iter().map(|path| fs::read(path).expect("a readable file")).collect();
        fs::remove_dir_all(&folder).map_err(|cause| Error::unexpected(cause.to_string()))?;
        Ok((summary, bytes))
    }
}

fn connected(profile: &Profile) -> Result<Arc<Connection>> {
    // The server's own list would lead around the proxy, and with it around every fault.
    let _ = fs::remove_file(profile.endpoints_file());
    Connection::signed_in(profile, Arc::new(Quiet), CancellationToken::new()).map(Arc::new)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Notes what the app says of each file.
#[derive(Default)]
struct Watcher {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    done: Vec<(String, &'static str)>,
    failed: Vec<String>,
}

impl Report for Watcher {
    fn event(&self, event: &Event) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::FileDone { path, how, .. } => told.done.push((path.clone(), how)),
            Event::FileFailed { path, code, reason } => {
                told.failed.push(format!("{path}: {code}: {reason}"));
            }
            _ => {}
        }
    }
}
