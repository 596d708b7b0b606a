//! A server as a child process that may die at any moment, before it is ready too.
//!
//! `photosync_tests::server` calls a server that ends before it is ready an error; here it is one of the outcomes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A debug build starts in 15 ms; this is for a machine that does something else.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const POLL_EVERY: Duration = Duration::from_millis(1);

/// `binary serve` on a data folder, with the settings of every test and none of the caller's.
pub fn serve_command(binary: &Path, data_dir: &Path) -> Command {
    let mut command = clean_command(binary);
    command.arg("serve").arg("--data").arg(data_dir);
    command.envs([
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("PHOTOSYNC_METRICS_LISTEN", "127.0.0.1:0"),
        ("PHOTOSYNC_REGISTRATION_MODE", "open"),
        // Their commits would be among those that are counted.
        ("PHOTOSYNC_MEDIA_WORKERS", "0"),
    ]);
    command
}

/// A command that inherits nothing but `PATH`.
pub fn clean_command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("PHOTOSYNC_DISCOVERY", "off").env("PHOTOSYNC_UPDATE_CHECK", "off");
    command
}

/// A server that said it is ready. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
    /// The process that serves: the child, or what the child runs.
    pub pid: u32,
    log: PathBuf,
    _stdout: BufReader<ChildStdout>,
}

/// What became of a start.
#[derive(Debug)]
pub enum Started {
    /// It answers.
    Ready(Running),
    /// It ended before it was ready.
    Ended {
        /// How.
        status: ExitStatus,
        /// What it wrote on standard error.
        log: String,
    },
}

impl Started {
    /// The running server; its end before it was ready is an error.
    pub fn ready(self) -> Result<Running, String> {
        match self {
            Started::Ready(running) => Ok(running),
            Started::Ended { status, log } => {
                Err(format!("the server ended before it was ready ({status}):\n{log}"))
            }
        }
    }
}

/// Starts a server whose log goes to the file `log`, and waits until it is ready or gone.
pub fn start(mut command: Command, log: &Path) -> Result<Started, String> {
    // A folder is started on many times; the log of an earlier run is what explains its failure.
    let opened = File::options().create(true).append(true).open(log);
    let stderr = opened.map_err(|error| format!("make {}: {error}", log.display()))?;
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn();
    let mut child = spawned.map_err(|error| format!("start {command:?}: {error}"))?;
    let Some(stdout) = child.stdout.take() else { return Err("no standard output".into()) };
    let (first_line, ready) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = stdout.read_line(&mut line);
        // The receiver is gone only after the deadline, when the child is killed.
        let _ = first_line.send(read.map(|_| (line, stdout)));
    });
    let read_log = || std::fs::read_to_string(log).unwrap_or_default();
    let (line, stdout) = match ready.recv_timeout(READY_WITHIN) {
        Ok(Ok(read)) => read,
        _ => {
            end(&mut child);
            return Err(format!("the server was neither ready nor gone in time:\n{}", read_log()));
        }
    };
    if line.is_empty() {
        let status = child.wait().map_err(|error| format!("wait for the server: {error}"))?;
        return Ok(Started::Ended { status, log: read_log() });
    }
    let parsed = parse_ready(&line);
    let Some((address, pid)) = parsed else {
        end(&mut child);
        return Err(format!("not a ready line: {line}"));
    };
    Ok(Started::Ready(Running { child, address, pid, log: log.to_owned(), _stdout: stdout }))
}

fn parse_ready(line: &str) -> Option<(SocketAddr, u32)> {
    let json = line.strip_prefix("PHOTOSYNC-READY ")?;
    let json: serde_json::Value = serde_json::from_str(json).ok()?;
    let address = json["listen"][0].as_str()?.parse().ok()?;
    Some((address, u32::try_from(json["pid"].as_u64()?).ok()?))
}

impl Running {
    /// SIGKILL. Returns when the process is gone.
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// Waits until it ends by itself; `None` if it still runs after the deadline.
    pub fn wait_for_end(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let mut ended = None;
        wait_until(deadline, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some()
        });
        ended
    }

    /// SIGTERM; anything but a clean end within 15 s is an error.
    pub fn stop(mut self) -> Result<(), String> {
        let number = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = number.ok_or("the server has no process number")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| format!("could not stop the server: {error}"))?;
        match self.wait_for_end(Duration::from_secs(15)) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("the server stopped with {status}:\n{}", self.log())),
            None => Err(format!("the server did not stop:\n{}", self.log())),
        }
    }

    /// What it wrote on standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Whether SIGKILL ended the process.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

fn end(child: &mut Child) {
    // Both fail only when the process is gone already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

/// Looks at a condition until it holds; false after the deadline.
pub fn wait_until(deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(POLL_EVERY);
    }
}

/// `check --read` on a data folder no server holds; any disagreement is an error.
pub fn check(binary: &Path, data_dir: &Path) -> Result<(), String> {
    let output = clean_command(binary)
        .args(["check", "--read", "--data"])
        .arg(data_dir)
        .output()
        .map_err(|error| format!("start check: {error}"))?;
    match output.status.code() {
        Some(0) => Ok(()),
        _ => Err(format!(
            "check --read ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
