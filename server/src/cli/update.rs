//! `check-update` and `update`, and what surrounds the first start of a version that was installed: a clock that gives it a
//! minute, and the way back.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use photosync_protocol::process::Exit;
use photosync_server::boot::{App, BootError};
use photosync_server::config::Config;
use photosync_server::db;
use photosync_server::fault;
use photosync_server::updates::install::Updater;
use photosync_server::updates::ledger::InstallerList;
use photosync_server::updates::rules::Progress;
use photosync_server::updates::trial::{self, Attempt, Candidate};
use photosync_server::updates::{Programs, UpdateError, running_version, settle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::arguments::UpdateArgs;
use super::{complain, failed, say};

/// From the end of the migration until a new version must have proved itself.
const MINUTE: Duration = Duration::from_secs(60);
/// What a migration may take: as long as the unit gives it (`TimeoutStartSec`).
const MIGRATION: Duration = Duration::from_secs(15 * 60);
/// For one answer of the server to itself.
const ANSWER: Duration = Duration::from_secs(5);

/// The programs beside this one.
fn programs() -> Result<Programs, BootError> {
    let unknown = |why: String| {
        failed(Exit::Unexpected, format!("where this program is, is not known: {why}"))
    };
    let exe = std::env::current_exe().map_err(|error| unknown(error.to_string()))?;
    Programs::beside(&exe).ok_or_else(|| unknown(exe.display().to_string()))
}

/// The list of install.sh, where the same account would have written it.
fn installer_list() -> InstallerList {
    const NAME: &str = "photosync-installer/installed";
    #[cfg(target_os = "linux")]
    if rustix::process::geteuid().is_root() {
        return InstallerList(Path::new("/var/lib").join(NAME));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    InstallerList(home.join(".local/share").join(NAME))
}

fn refusal(error: UpdateError) -> BootError {
    let exit = match error {
        UpdateError::Unavailable(_) => Exit::Configuration,
        UpdateError::Refused(_) | UpdateError::Failed(_) => Exit::Unexpected,
    };
    failed(exit, error.to_string())
}

fn updater(config: &Config) -> Result<Updater, BootError> {
    Ok(Updater { programs: programs()?, list: installer_list(), url: config.update_url.clone() })
}

/// `check-update`.
pub fn check(config: &Config, as_json: bool) -> Result<Exit, BootError> {
    let answer = updater(config)?.check().map_err(refusal)?;
    let json = || serde_json::to_string(&answer).unwrap_or_default();
    say(&if as_json { json() } else { answer.text.clone() });
    Ok(Exit::Success)
}

/// `update`.
pub fn update(config: &Config, wanted: &UpdateArgs) -> Result<Exit, BootError> {
    let updater = updater(config)?;
    let said = match wanted.rollback {
        true => updater.roll_back(),
        false => updater.update(wanted.to.as_deref()),
    };
    say(&said.map_err(refusal)?);
    Ok(Exit::Success)
}

/// `update --settle`: before a start, by who may replace the programs. Never a reason not to start.
pub fn settle_before_start(data: &Path) -> Result<Exit, BootError> {
    match settle::before_start(&programs()?, &installer_list(), data) {
        Ok(None) => {}
        Ok(Some(done)) => complain(&done),
        Err(error) => complain(&error.to_string()),
    }
    Ok(Exit::Success)
}

/// What a command must know that opens the data itself: it does not migrate them for a version that may go again.
pub fn attempt_of_a_command() -> Option<Attempt> {
    let candidate = match Candidate::find(&programs().ok()?) {
        Ok(candidate) => candidate?,
        // Nobody knows: then it does not migrate either.
        Err(_) => Candidate { id: String::new(), from: String::new(), is_proven: false },
    };
    Some(Attempt { candidate, serving: None })
}

/// A start of a version that has yet to prove itself.
pub struct Trying {
    candidate: Candidate,
    programs: Programs,
    steps: Sender<()>,
}

impl Trying {
    /// Looks whether the running program came by an update, and starts the clock if it did. If it had its try, the version
    /// before is put back: then the error says so, with [`Exit::Restart`].
    pub fn prepare(config: &Config) -> Result<Option<Self>, BootError> {
        let (programs, data) = (programs()?, config.data_dir.as_path());
        let candidate = match Candidate::find(&programs) {
            Ok(candidate) => candidate,
            // Without a migration there is nothing that a way back would need.
            Err(error) if !db::needs_migration(&config.database) => {
                tracing::warn!(
                    "whether this version was installed by an update is not known: {error}"
                );
                None
            }
            Err(error) => return Err(failed(Exit::Storage, error.to_string())),
        };
        let Some(candidate) = candidate else { return Ok(None) };
        match trial::find_progress(data, &candidate.id) {
            Some(Progress::Proven) => return Ok(None),
            Some(Progress::Trying | Progress::Failed) if settle::may_replace(&programs) => {
                let done =
                    settle::before_start(&programs, &installer_list(), data).map_err(refusal)?;
                if let Some(done) = done {
                    return Err(failed(Exit::Restart, done));
                }
            }
            Some(Progress::Trying | Progress::Failed) => tracing::warn!(
                "version {} has not proved itself yet, and is tried again: its folder cannot be written. To go back, as who \
                 has installed it: photosync-server update --rollback",
                running_version()
            ),
            Some(Progress::Stopped) | None => {}
        }
        let (steps, clock) = channel();
        let (owned, id) = (data.to_owned(), candidate.id.clone());
        let watched = programs.clone();
        std::thread::Builder::new()
            .name("trial".into())
            .spawn(move || watch(&clock, &watched, &id, &owned))
            .map_err(|error| {
                failed(Exit::Unexpected, format!("could not start a thread: {error}"))
            })?;
        Ok(Some(Self { candidate, programs, steps }))
    }

    /// For `boot`.
    pub fn attempt(&self) -> Attempt {
        Attempt { candidate: self.candidate.clone(), serving: Some(self.steps.clone()) }
    }

    /// Waits until the version has proved itself on `app`, which answers at `address`.
    pub async fn prove(self, app: &App, address: Option<std::net::SocketAddr>) {
        let probe = || async move {
            let Some(address) = address else { return true };
            matches!(tokio::time::timeout(ANSWER, answers(address)).await, Ok(Ok(true)))
        };
        if let Err(error) = trial::prove(app, &self.programs, probe).await {
            // The clock goes on, and ends this.
            tracing::error!(%error, "could not note that this version has proved itself");
            return std::future::pending().await;
        }
        self.over();
    }

    /// Stops the clock.
    fn over(self) {
        let _ = self.steps.send(());
    }
}

/// Whether the server answers a request over the network.
async fn answers(address: std::net::SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut begin = [0; 10];
    stream.read_exact(&mut begin).await?;
    // A redirect to HTTPS is an answer, too.
    Ok(begin.starts_with(b"HTTP/1.1 2") || begin.starts_with(b"HTTP/1.1 3"))
}

/// Ends the process if a version does not become healthy in time. A thread of its own, so that nothing the version does can
/// hold it up.
fn watch(clock: &Receiver<()>, programs: &Programs, id: &str, data: &Path) {
    let shortened = fault::value("TRIAL_MS").and_then(|ms| ms.parse().ok());
    let minute = shortened.map_or(MINUTE, Duration::from_millis);
    for (step, limit) in [("move the database", MIGRATION), ("become healthy", minute)] {
        match clock.recv_timeout(limit) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let reason = format!("it did not {step} within {} s", limit.as_secs());
                let said = give_up(programs, id, data, &reason);
                complain(&said);
                std::process::exit(i32::from(Exit::Restart.code()));
            }
        }
    }
}

/// Notes that the version failed, and puts the one before back if this process may. Says what was done.
fn give_up(programs: &Programs, id: &str, data: &Path, reason: &str) -> String {
    if let Err(error) = trial::note(data, id, Progress::Failed, Some(reason)) {
        complain(&format!("could not note it in {}: {error}", data.display()));
    }
    let version = running_version();
    if !settle::may_replace(programs) {
        return format!(
            "version {version} was tried and goes: {reason}. The next start puts the version before back; without the unit \
             of the release, run: sudo {}.previous update --rollback",
            programs.server().display()
        );
    }
    match settle::decide(programs, &installer_list(), data) {
        Ok(Some(done)) => format!("{done} ({reason}). Start the server again"),
        Ok(None) => format!("version {version} was tried and goes: {reason}"),
        Err(error) => format!("version {version} was tried and goes: {reason}; but {error}"),
    }
}

/// What a start that failed means for the version that was tried, if one was: the code to end with.
pub fn after_failed_start(data: Option<&Path>, error: BootError) -> BootError {
    let (Some(data), Ok(programs)) = (data, programs()) else { return error };
    let Ok(Some(candidate)) = Candidate::find(&programs) else { return error };
    let said = trial::find_progress(data, &candidate.id);
    match (error.exit, said) {
        // Another server has the data or the port, or the way back was taken already: nothing against the version.
        (Exit::DataHeld | Exit::Restart, _) | (_, Some(Progress::Proven)) => error,
        (Exit::PortTaken, Some(_)) => {
            let _ = trial::note(data, &candidate.id, Progress::Stopped, None);
            error
        }
        // Not even the settings could be read: who watches from outside has seen the start.
        (_, None) if candidate.is_proven => error,
        (_, None) => BootError { exit: Exit::Restart, ..error },
        (_, Some(_)) => {
            let said = give_up(&programs, &candidate.id, data, &error.message);
            failed(Exit::Restart, format!("{}\n{said}", error.message))
        }
    }
}
