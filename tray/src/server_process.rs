//! The server that the tray starts: another program, with a life of its own.
//!
//! It writes its log itself and is in no group of the tray's, so it outlives a tray that crashes; the next tray finds
//! it through its control listener.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
#[cfg(not(unix))]
use std::time::Instant;

use photosync_protocol::process::Ready;

use crate::log::Log;
use crate::model::{Ended, Event};
use crate::quiet;
use crate::updater;

/// Between two questions whether it has ended, or can be asked to.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How the server is started.
#[derive(Debug, Clone)]
pub struct Program {
    /// The binary.
    pub binary: PathBuf,
    /// Its data folder.
    pub data_dir: PathBuf,
    /// Its log.
    pub log: Log,
}

/// A server that was started.
#[derive(Debug, Clone)]
pub struct Started {
    pid: u32,
    child: Arc<Mutex<Child>>,
}

impl Program {
    /// Starts the server. `Ready` and `Exited` follow.
    pub fn start(&self, events: &Sender<Event>) -> io::Result<Started> {
        self.log.turn()?;
        updater::settle(self);
        let from_bytes = self.log.length_bytes();
        let mut command = quiet::command(&self.binary);
        command.arg("serve").arg("--data").arg(&self.data_dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.log.file()?);
        // Ctrl-C in the terminal of the tray is for the tray.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|source| {
            io::Error::new(source.kind(), format!("{}: {source}", self.binary.display()))
        })?;
        let (pid, output) = (child.id(), child.stdout.take());
        let started = Started { pid, child: Arc::new(Mutex::new(child)) };
        let (events, log, watched) = (events.clone(), self.log.clone(), started.clone());
        std::thread::Builder::new()
            .name("server".into())
            .spawn(move || watch(&watched, output, &events, &log, from_bytes))?;
        Ok(started)
    }
}

/// Tells of the ready line and of the end. The end of the tray is the end of telling.
fn watch(
    started: &Started,
    output: Option<ChildStdout>,
    events: &Sender<Event>,
    log: &Log,
    from_bytes: u64,
) {
    for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let Ok(line) = line else { break };
        if let Some(ready) = Ready::from_line(&line) {
            let _ = events.send(Event::Ready(ready));
        }
    }
    // Its output is closed, so it has ended or is about to. Whoever waits for it holds it; asking lets it be ended.
    let code = loop {
        match started.child().try_wait() {
            Ok(Some(status)) => break status.code(),
            Ok(None) => std::thread::sleep(ASK_EVERY),
            Err(_) => break None,
        }
    };
    let last_words = log.last_words(from_bytes);
    let _ = events.send(Event::Exited(Ended { code, last_words }));
}

impl Started {
    /// Asks it to stop: SIGTERM, which it hears from its first moment on. Nothing is asked of a server that has ended,
    /// and so of no other program that got its number.
    #[cfg(unix)]
    pub fn ask_to_stop(&self, _data_dir: &Path) -> io::Result<()> {
        if self.child().try_wait()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
    }

    /// Asks it to stop through its control listener: without a console there are no signals. A server that starts has
    /// no listener yet and is asked again until it has one; for up to the time it has for stopping.
    #[cfg(not(unix))]
    pub fn ask_to_stop(&self, data_dir: &Path) -> io::Result<()> {
        let until = Instant::now() + Duration::from_millis(crate::model::STOP_GRACE_MS);
        loop {
            let Err(error) = crate::control::stop_process(data_dir, self.pid) else {
                return Ok(());
            };
            if self.child().try_wait()?.is_some() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(error);
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Ends it at once. Nothing happens to one that has ended.
    pub fn kill(&self) -> io::Result<()> {
        self.child().kill()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server program beside this one.
pub fn beside_this_program() -> io::Result<PathBuf> {
    let name = format!("photosync-server{}", std::env::consts::EXE_SUFFIX);
    Ok(std::env::current_exe()?.with_file_name(name))
}
