//! The server that the tray starts: another program, with a life of its own.
//!
//! It writes its log itself and is in no group of the tray's, so it outlives a tray that crashes; the next tray finds
//! it through its control listener.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;

use photosync_protocol::process::Ready;

use crate::log::Log;
use crate::model::{Ended, Event};

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

/// Process id of a server that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pid(u32);

impl Program {
    /// Starts the server. `Ready` and `Exited` follow.
    pub fn start(&self, events: &Sender<Event>) -> io::Result<Pid> {
        self.log.turn()?;
        let from_bytes = self.log.length_bytes();
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--data").arg(&self.data_dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.log.file()?);
        // Ctrl-C in the terminal of the tray is for the tray.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|source| {
            io::Error::new(source.kind(), format!("{}: {source}", self.binary.display()))
        })?;
        let pid = child.id();
        let (events, log) = (events.clone(), self.log.clone());
        std::thread::Builder::new()
            .name("server".into())
            .spawn(move || watch(child, &events, &log, from_bytes))?;
        Ok(Pid(pid))
    }
}

/// Tells of the ready line and of the end. The end of the tray is the end of telling.
fn watch(mut child: Child, events: &Sender<Event>, log: &Log, from_bytes: u64) {
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(ready) = Ready::from_line(&line) {
                let _ = events.send(Event::Ready(ready));
            }
        }
    }
    let code = child.wait().ok().and_then(|status| status.code());
    let last_words = log.last_words(from_bytes);
    let _ = events.send(Event::Exited(Ended { code, last_words }));
}

impl Pid {
    /// Asks it to stop: SIGTERM. Where there is none, through its control listener.
    #[cfg(unix)]
    pub fn ask_to_stop(self, _data_dir: &Path) -> io::Result<()> {
        self.signal(rustix::process::Signal::TERM)
    }

    /// Asks it to stop: SIGTERM. Where there is none, through its control listener.
    #[cfg(not(unix))]
    pub fn ask_to_stop(self, data_dir: &Path) -> io::Result<()> {
        crate::control::stop(data_dir)
    }

    /// Ends it at once.
    #[cfg(unix)]
    pub fn kill(self) -> io::Result<()> {
        self.signal(rustix::process::Signal::KILL)
    }

    /// Ends it at once.
    #[cfg(not(unix))]
    pub fn kill(self) -> io::Result<()> {
        let status = Command::new("taskkill").args(["/F", "/PID", &self.0.to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("it could not be ended")) }
    }

    #[cfg(unix)]
    fn signal(self, signal: rustix::process::Signal) -> io::Result<()> {
        let pid = i32::try_from(self.0).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }
}

/// The server program beside this one.
pub fn beside_this_program() -> io::Result<PathBuf> {
    let name = format!("photosync-server{}", std::env::consts::EXE_SUFFIX);
    Ok(std::env::current_exe()?.with_file_name(name))
}
