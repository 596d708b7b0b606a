//! The first start of a version that was installed: what it notes in the data folder, what of the database is put back if it
//! goes, and when it has proved itself. Called by `boot` and by whoever serves.
//!
//! The one rule: until it has proved itself, a version stores nothing that a rollback could lose.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use photosync_protocol::process::Exit;
use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, Update};
use super::rules::Progress;
use super::{Programs, UpdateError, running_version};
use crate::blobs::write_durably;
use crate::boot::{App, BootError};
use crate::db;
use crate::upkeep;

/// In the data folder.
const FILE: &str = "update-trial.json";
/// A trial file is small; whoever reads it may be root, and must not be kept busy.
const MAX_BYTES: u64 = 64 * 1024;
/// Looks in a row that must find the server healthy, a second apart.
const LOOKS: u32 = 3;

/// An update that this program came by.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Id of the update.
    pub id: String,
    /// The version before.
    pub from: String,
    /// Whether it is known to work on some data, perhaps others.
    pub is_proven: bool,
}

impl Candidate {
    /// The update that the running program came by, if it came by one. An error means that nobody knows.
    pub fn find(programs: &Programs) -> Result<Option<Self>, UpdateError> {
        let ledger = Ledger::read(programs)?;
        Ok(ledger.update_to(running_version()).map(Self::of))
    }

    fn of(update: &Update) -> Self {
        Self { id: update.id.clone(), from: update.from.clone(), is_proven: update.is_proven() }
    }
}

/// What a start has to know of the update that the program came by.
#[derive(Clone)]
pub struct Attempt {
    /// The update.
    pub candidate: Candidate,
    /// Told when the migration is done, by who serves; a command tries nothing.
    pub serving: Option<Sender<()>>,
}

/// `<data>/update-trial.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Trial {
    id: String,
    from: String,
    to: String,
    progress: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// File name of the database as it was before the migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copy: Option<String>,
}

impl Trial {
    /// Reads it without being kept busy by what may be there in its place.
    fn read(data: &Path) -> Option<Self> {
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            i32::try_from((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits())
                .ok()?,
        );
        let file = options.open(data.join(FILE)).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return None;
        }
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_BYTES), &mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write(&self, data: &Path) -> std::io::Result<()> {
        write_durably(&data.join(FILE), &serde_json::to_vec(self)?)
    }
}

/// What the version of update `id` has said of itself in `data`.
pub fn find_progress(data: &Path, id: &str) -> Option<Progress> {
    Trial::read(data).filter(|trial| trial.id == id).map(|trial| trial.progress)
}

/// Notes how far the version of update `id` got. Nothing if it is not the one that is tried, or has proved itself.
pub fn note(
    data: &Path,
    id: &str,
    progress: Progress,
    reason: Option<&str>,
) -> std::io::Result<()> {
    let Some(trial) = Trial::read(data) else { return Ok(()) };
    if trial.id != id || trial.progress == Progress::Proven {
        return Ok(());
    }
    Trial { progress, reason: reason.map(str::to_owned), ..trial }.write(data)
}

/// A trial that has begun.
#[derive(Debug, Clone)]
pub struct Running {
    data: PathBuf,
    id: String,
    /// The version before.
    pub from: String,
}

impl Running {
    /// Notes how it ended, or that it was stopped before it could.
    pub fn note(&self, progress: Progress) -> std::io::Result<()> {
        note(&self.data, &self.id, progress, None)
    }

    /// Id of the update.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Before the database is opened, with the data locked: puts back what another version has changed and did not prove itself
/// with, then begins the trial of this one. `None`: nothing is tried.
pub fn begin(
    data: &Path,
    database: &Path,
    attempt: Option<&Attempt>,
) -> Result<Option<Running>, BootError> {
    let unwritable = |error: std::io::Error| {
        let text =
            format!("could not note the trial of a new version in {}: {error}", data.display());
        BootError { exit: Exit::Storage, message: text }
    };
    let mut known = Trial::read(data);
    if let Some(trial) = known.take_if(|trial| trial.to != running_version()) {
        if trial.progress != Progress::Proven {
            restore(data, database, &trial).map_err(unwritable)?;
        }
        std::fs::remove_file(data.join(FILE)).map_err(unwritable)?;
    }
    let Some(Attempt { candidate, serving }) = attempt else { return Ok(None) };
    known = known.filter(|trial| trial.id == candidate.id);
    let is_proven = known.as_ref().is_some_and(|trial| trial.progress == Progress::Proven);
    // Nothing is there that could be lost.
    if is_proven || !database.exists() {
        return Ok(None);
    }
    if serving.is_none() {
        return match db::needs_migration(database) {
            true => Err(BootError {
                exit: Exit::Storage,
                message: format!(
                    "version {} was just installed and has not served these data yet: start the server, then try again",
                    running_version()
                ),
            }),
            false => Ok(None),
        };
    }
    let trial = Trial {
        id: candidate.id.clone(),
        from: candidate.from.clone(),
        to: running_version().to_owned(),
        progress: Progress::Trying,
        reason: None,
        // A second try finds the database migrated already.
        copy: known.and_then(|trial| trial.copy),
    };
    trial.write(data).map_err(unwritable)?;
    tracing::info!(
        from = trial.from,
        "version {} is started for the first time: uploads wait some seconds",
        trial.to
    );
    Ok(Some(Running { data: data.to_owned(), id: trial.id, from: trial.from }))
}

/// Notes the copy that was made of the database, before that is changed.
pub fn note_copy(running: Option<&Running>, copy: &Path) -> std::io::Result<()> {
    File::open(copy)?.sync_all()?;
    super::ledger::sync_folder(copy)?;
    let Some(running) = running else { return Ok(()) };
    let Some(trial) = Trial::read(&running.data) else { return Ok(()) };
    let name = copy.file_name().map(|name| name.to_string_lossy().into_owned());
    Trial { copy: name, ..trial }.write(&running.data)
}

/// Puts the database back as it was before `trial` migrated it. Until the trial file is removed, a crash only means that
/// this is done again.
fn restore(data: &Path, database: &Path, trial: &Trial) -> std::io::Result<()> {
    let Some(name) = trial.copy.as_deref().filter(|name| !name.contains(['/', '\\'])) else {
        tracing::warn!(
            reason = trial.reason,
            "version {} was tried and did not prove itself; the database is as it was",
            trial.to
        );
        return Ok(());
    };
    let folder = database.parent().unwrap_or(data);
    let half = folder.join(format!("{name}.restoring"));
    std::fs::copy(folder.join(name), &half)?;
    File::open(&half)?.sync_all()?;
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.as_os_str().to_owned();
        beside.push(suffix);
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(&half, database)?;
    super::ledger::sync_folder(database)?;
    tracing::warn!(
        copy = name,
        reason = trial.reason,
        "version {} was tried and did not prove itself; the database is back as it was before",
        trial.to
    );
    Ok(())
}

/// Looks until the server answers three times in a row, then lets it store things. `probe` asks it over the network.
pub async fn prove<P, F>(app: &App, programs: &Programs, probe: P) -> std::io::Result<()>
where
    P: Fn() -> F,
    F: Future<Output = bool>,
{
    let Some(running) = app.trial() else { return Ok(()) };
    let mut healthy = 0;
    while healthy < LOOKS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let is_healthy = upkeep::require_ready(app).await.is_ok()
            && crate::fault::point("update.healthy").is_ok()
            && probe().await;
        healthy = if is_healthy { healthy + 1 } else { 0 };
    }
    running.note(Progress::Proven)?;
    app.end_trial().await;
    super::settle::note_proof(programs, running.id(), &running.data);
    tracing::info!(
        "version {} has proved itself; {} is kept beside it",
        running_version(),
        running.from
    );
    Ok(())
}
