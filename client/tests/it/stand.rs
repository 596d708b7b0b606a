//! What the tests have in common: a profile, a folder of photos, a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use photosync_client::backup::{self, Options};
use photosync_client::connection::Connection;
use photosync_client::credentials::Trust;
use photosync_client::error::Result;
use photosync_client::profile::Profile;
use photosync_client::report::{BackupSummary, Event, Report};
use photosync_client::scan::Rules;
use photosync_client::signing_in::{First, reach, sign_in};
use photosync_client::{restore, verify};
use tokio_util::sync::CancellationToken;

use crate::fake::{EMAIL, Fake, PASSWORD};

/// Keeps the events of a run.
#[derive(Default)]
pub struct Kept(pub Mutex<Vec<Event>>);

impl Report for Kept {
    fn event(&self, event: &Event) {
        if !matches!(event, Event::Progress(_) | Event::Scanning { .. }) {
            self.0.lock().unwrap().push(event.clone());
        }
    }
}

/// A signed-in client with a folder of photos.
pub struct Stand {
    pub fake: Arc<Fake>,
    pub folder: tempfile::TempDir,
    pub profile: Profile,
    pub kept: Arc<Kept>,
    pub stop: CancellationToken,
}

impl Stand {
    pub async fn new() -> Self {
        Self::on(Fake::start().await).await
    }

    pub async fn on(fake: Arc<Fake>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::at(folder.path().join("profile"));
        let kept = Arc::new(Kept::default());
        let stop = CancellationToken::new();
        let first = First { report: kept.clone(), stop: stop.clone() };
        let known = fake.is_tls.then(|| fake.fingerprint());
        let server = reach(&first, &fake.url(), known, &|_, _| Ok(false)).await.unwrap();
        assert_eq!(server.trust, if fake.is_tls { Trust::Key } else { Trust::Nothing });
        sign_in(&server, &profile, EMAIL, PASSWORD, "desk").await.unwrap();
        fs::create_dir(folder.path().join("photos")).unwrap();
        fake.take_asked();
        Self { fake, folder, profile, kept, stop }
    }

    pub fn photos(&self) -> PathBuf {
        self.folder.path().join("photos")
    }

    /// Writes a photo that is an hour old plus `age_s`, so that its digest is believed at the next run.
    pub fn photo(&self, name: &str, bytes: &[u8], age_s: u64) -> PathBuf {
        let path = self.photos().join(name);
        write_old(&path, bytes, age_s);
        path
    }

    pub fn connection(&self) -> Arc<Connection> {
        let (kept, stop) = (self.kept.clone(), self.stop.clone());
        Arc::new(Connection::signed_in(&self.profile, kept, stop).unwrap())
    }

    pub fn options(&self) -> Options {
        Options {
            paths: vec![self.photos()],
            rules: Rules::new(&[], false).unwrap(),
            parallel: 4,
            limit: None,
        }
    }

    pub async fn backup(&self) -> Result<BackupSummary> {
        backup::run(self.connection(), &self.profile, &self.options()).await
    }

    pub async fn restore(&self, folder: &Path) -> photosync_client::report::RestoreSummary {
        let options =
            restore::Options { folder: folder.to_owned(), device: None, parallel: 4, limit: None };
        restore::run(self.connection(), &options).await.unwrap()
    }

    pub async fn verify(&self) -> photosync_client::report::VerifySummary {
        verify::run(self.connection(), &self.profile).await.unwrap()
    }

    /// Lines for people so far.
    pub fn notes(&self) -> Vec<String> {
        let events = self.kept.0.lock().unwrap();
        let note = |event: &Event| match event {
            Event::Note { text } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(note).collect()
    }

    /// Failures of files so far: name and code.
    pub fn failures(&self) -> Vec<(String, &'static str)> {
        let events = self.kept.0.lock().unwrap();
        let failure = |event: &Event| match event {
            Event::FileFailed { path, code, .. } => {
                let name = Path::new(path).file_name().unwrap_or_default();
                Some((name.to_string_lossy().into_owned(), *code))
            }
            _ => None,
        };
        events.iter().filter_map(failure).collect()
    }
}

/// Writes a file whose last change is an hour and `age_s` seconds ago.
pub fn write_old(path: &Path, bytes: &[u8], age_s: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    let then = SystemTime::now() - Duration::from_secs(3600 + age_s);
    fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

/// Bytes nobody can compress, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Paths of requests, with method.
pub fn routes(asked: &[crate::fake::Asked]) -> Vec<String> {
    asked
        .iter()
        .map(|(method, path, _)| format!("{method} {}", path.replace("/api/v2", "")))
        .collect()
}
