//! The built server as a child process: started on a free port, awaited through its ready line, stopped or
//! killed, and never left behind. The subcommands are run through [`run_command`].
//!
//! A started server inherits no setting of the calling environment, so that a developer's own configuration
//! cannot change what a test proves.

mod log;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use log::LogTail;

/// Names the binary to test; otherwise the one in the build folder of the running program.
pub const SERVER_BIN_VARIABLE: &str = "PHOTOSYNC_SERVER_BIN";

/// What the one line on the server's standard output begins with.
const READY_PREFIX: &str = "PHOTOSYNC-READY ";

/// A first start makes keys and migrates; even a debug build on a busy machine is done in a fraction of this.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The server promises to stop within 10 s of SIGTERM; the rest is for a loaded machine.
#[cfg(unix)]
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Subcommands may read every file of a data folder.
const COMMAND_WITHIN: Duration = Duration::from_secs(300);

/// Settings the server reads under names without our prefix.
const UNPREFIXED_SETTINGS: &[&str] = &[
    "HOST",
    "PORT",
    "HTTPS_PORT",
    "ENABLE_HTTPS",
    "FORCE_HTTPS_REDIRECT",
    "TLS_KEY_PATH",
    "TLS_CERT_PATH",
    "JWT_SECRET",
    "UPLOAD_DIR",
    "DB_PATH",
    "CLOUD_DIR",
    "CHUNKS_DIR",
    "CAPACITY_JSON_PATH",
    "AUTH_RATE_LIMIT_WINDOW_MS",
    "AUTH_RATE_LIMIT_MAX",
];

/// Every server under test: loopback, free ports, open registration, no word to the outside.
const TEST_SETTINGS: &[(&str, &str)] = &[
    ("HOST", "127.0.0.1"),
    ("PORT", "0"),
    ("PHOTOSYNC_METRICS_LISTEN", "127.0.0.1:0"),
    ("PHOTOSYNC_REGISTRATION_MODE", "open"),
    ("PHOTOSYNC_DISCOVERY", "off"),
    ("PHOTOSYNC_UPDATE_CHECK", "off"),
    // Thumbnails cost time and change rows by themselves: only tests of them want some.
    ("PHOTOSYNC_MEDIA_WORKERS", "0"),
];

/// Why a server or a subcommand could not be used.
#[derive(Debug)]
pub enum ServerError {
    /// No built binary where one is looked for.
    NoBinary(String),
    /// The operating system refused.
    System(String, io::Error),
    /// The process ended, or said nothing, before it was ready.
    NotReady {
        /// What was waited for and what happened.
        what: String,
        /// The last lines of its log.
        log_tail: String,
    },
    /// It was told to end and did not; it has been killed.
    DidNotEnd {
        /// What was waited for.
        what: String,
        /// The last lines of its log.
        log_tail: String,
    },
}

impl fmt::Display for ServerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::NoBinary(what) => write!(out, "{what}"),
            ServerError::System(what, source) => write!(out, "could not {what}: {source}"),
            ServerError::NotReady { what, log_tail }
            | ServerError::DidNotEnd { what, log_tail } => {
                write!(out, "{what}\n--- last lines of its log ---\n{log_tail}")
            }
        }
    }
}

impl std::error::Error for ServerError {}

/// What the ready line says.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Version of the server.
    pub version: String,
    /// Its process number, as it sees it.
    pub pid: u32,
    /// Every address it accepts requests on.
    pub listen: Vec<SocketAddr>,
    /// The same for people.
    pub urls: Vec<String>,
    /// Where its metrics are, when they are served.
    pub metrics: Option<SocketAddr>,
}

impl Ready {
    fn parse(line: &str) -> Result<Ready, String> {
        let Some(json) = line.strip_prefix(READY_PREFIX) else {
            return Err(format!("standard output began with {line:?}, not with the ready line"));
        };
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|error| format!("ready line {json}: {error}"))?;
        let texts = |key: &str| -> Vec<String> {
            let list = value[key].as_array().cloned().unwrap_or_default();
            list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let listen = texts("listen")
            .iter()
            .map(|text| text.parse().map_err(|_| format!("ready line: address {text:?}")))
            .collect::<Result<Vec<SocketAddr>, String>>()?;
        if listen.is_empty() {
            return Err(format!("ready line without an address: {json}"));
        }
        Ok(Ready {
            version: value["version"].as_str().unwrap_or_default().to_owned(),
            pid: value["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default(),
            listen,
            urls: texts("urls"),
            metrics: value["metrics"].as_str().and_then(|text| text.parse().ok()),
        })
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    ready: Ready,
    data_dir: PathBuf,
    log: LogTail,
    more_stdout: Receiver<String>,
}

impl ServerProcess {
    /// Starts the binary on `data_dir` with the settings of every test plus `settings`, which win, and waits
    /// until it is ready.
    pub fn start(data_dir: &Path, settings: &[(&str, &str)]) -> Result<Self, ServerError> {
        Self::start_within(data_dir, settings, READY_WITHIN)
    }

    /// As [`ServerProcess::start`], with another deadline for the ready line. A server that misses it is killed.
    pub fn start_within(
        data_dir: &Path,
        settings: &[(&str, &str)],
        deadline: Duration,
    ) -> Result<Self, ServerError> {
        Self::start_program(&find_binary()?, data_dir, settings, deadline)
    }

    /// As [`ServerProcess::start_within`], with a program of the test's own.
    pub fn start_program(
        binary: &Path,
        data_dir: &Path,
        settings: &[(&str, &str)],
        deadline: Duration,
    ) -> Result<Self, ServerError> {
        let mut command = clean_command(binary);
        command.arg("serve").arg("--data").arg(data_dir);
        command.envs(TEST_SETTINGS.iter().copied()).envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|source| ServerError::System(format!("start {}", binary.display()), source))?;
        let mut log = LogTail::default();
        if let Some(stderr) = child.stderr.take() {
            log.follow(stderr);
        }
        let (lines, stdout) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            thread::spawn(move || {
                let mut all = BufReader::new(pipe).lines();
                while let Some(Ok(line)) = all.next() {
                    // Nobody listens any more; the pipe is still emptied so that the server never blocks on it.
                    let _ = lines.send(line);
                }
            });
        }
        let first = stdout.recv_timeout(deadline);
        let parsed = match first {
            Ok(line) => Ready::parse(&line),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("the server was not ready after {} s", deadline.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("the server ended before it was ready: {}", describe_end(&mut child)))
            }
        };
        match parsed {
            Ok(ready) => {
                let data_dir = data_dir.to_owned();
                Ok(ServerProcess { child, ready, data_dir, log, more_stdout: stdout })
            }
            Err(what) => {
                end_child(&mut child);
                log.finish();
                Err(ServerError::NotReady { what, log_tail: log.last_lines(40) })
            }
        }
    }

    /// The address to send requests to: the first one of the ready line.
    pub fn address(&self) -> SocketAddr {
        self.ready.listen[0]
    }

    /// `http://<address>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.ready.metrics
    }

    /// The whole ready line.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The process number of the child.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The data folder it was started on.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Lines on standard output after the ready line. A correct server has none.
    pub fn extra_stdout(&self) -> Vec<String> {
        self.more_stdout.try_iter().collect()
    }

    /// The end of its log (standard error), at most 256 KiB.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until the log contains `text`; false when the deadline passes or the server ends first.
    pub fn wait_for_log(&mut self, text: &str, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        loop {
            let running = matches!(self.child.try_wait(), Ok(None));
            if !running {
                self.log.finish();
            }
            if self.log.text().contains(text) {
                return true;
            }
            if !running || Instant::now() >= end {
                return false;
            }
            thread::sleep(POLL_EVERY);
        }
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM, then waits for the end; returns the exit code. After 15 s it is killed and that is an error.
    #[cfg(unix)]
    pub fn stop(mut self) -> Result<i32, ServerError> {
        self.signal(rustix::process::Signal::TERM)?;
        self.wait_for_end(STOP_WITHIN)
    }

    /// Waits for a server that ends by itself; returns the exit code (128 + signal when a signal ended it).
    pub fn wait_for_end(&mut self, deadline: Duration) -> Result<i32, ServerError> {
        match wait_within(&mut self.child, deadline) {
            Some(status) => {
                self.log.finish();
                Ok(exit_code(status))
            }
            None => {
                end_child(&mut self.child);
                self.log.finish();
                let what = format!("the server did not end within {} s", deadline.as_secs());
                Err(ServerError::DidNotEnd { what, log_tail: self.log.last_lines(40) })
            }
        }
    }

    /// SIGKILL: the server gets no chance to tidy up. Returns when the process is gone.
    pub fn kill(mut self) {
        end_child(&mut self.child);
    }

    /// Sends any signal.
    #[cfg(unix)]
    pub fn signal(&mut self, signal: rustix::process::Signal) -> Result<(), ServerError> {
        let failed = |source: io::Error| ServerError::System("signal the server".into(), source);
        if !self.is_running() {
            return Ok(());
        }
        let number = i32::try_from(self.child.id()).ok();
        let pid = number.and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        rustix::process::kill_process(pid, signal).map_err(|errno| failed(errno.into()))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        end_child(&mut self.child);
    }
}

/// What a subcommand left.
#[derive(Clone, Debug)]
pub struct CommandOutcome {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `photosync-server ARGUMENTS` with `stdin` as its whole standard input, for at most 300 s.
pub fn run_command<A: AsRef<OsStr>>(
    arguments: &[A],
    stdin: &[u8],
) -> Result<CommandOutcome, ServerError> {
    run_program(&find_binary()?, arguments, stdin, &[])
}

/// As [`run_command`], with a program of the test's own and settings.
pub fn run_program<A: AsRef<OsStr>>(
    binary: &Path,
    arguments: &[A],
    stdin: &[u8],
    settings: &[(&str, &str)],
) -> Result<CommandOutcome, ServerError> {
    let mut command = clean_command(binary);
    command.args(arguments);
    command.env("PHOTOSYNC_DISCOVERY", "off").env("PHOTOSYNC_UPDATE_CHECK", "off");
    command.envs(settings.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown: Vec<String> =
        arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
    let shown = format!("photosync-server {}", shown.join(" "));
    let mut child =
        command.spawn().map_err(|source| ServerError::System(format!("start {shown}"), source))?;
    // Pipes are served by threads, so that no order of reading and writing can block.
    let stdin = stdin.to_vec();
    if let Some(mut pipe) = child.stdin.take() {
        // A command that does not read its input closes the pipe; that is its right.
        thread::spawn(move || pipe.write_all(&stdin));
    }
    let stdout = child.stdout.take().map(read_in_background);
    let stderr = child.stderr.take().map(read_in_background);
    let ended = wait_within(&mut child, COMMAND_WITHIN);
    end_child(&mut child);
    let text_of = |reader: Option<thread::JoinHandle<String>>| {
        reader.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    let (stdout, stderr) = (text_of(stdout), text_of(stderr));
    match ended {
        Some(status) => Ok(CommandOutcome { code: exit_code(status), stdout, stderr }),
        None => {
            let what = format!("{shown} did not end within {} s", COMMAND_WITHIN.as_secs());
            Err(ServerError::DidNotEnd { what, log_tail: stderr })
        }
    }
}

/// The binary under test: the variable, else the build folder of this program, else the other profile's.
pub fn find_binary() -> Result<PathBuf, ServerError> {
    if let Some(named) = std::env::var_os(SERVER_BIN_VARIABLE) {
        let path = PathBuf::from(named);
        return match path.is_file() {
            true => Ok(path),
            false => Err(ServerError::NoBinary(format!(
                "{SERVER_BIN_VARIABLE} names {}, which is not a file",
                path.display()
            ))),
        };
    }
    let program = std::env::current_exe()
        .map_err(|source| ServerError::System("find the running program".into(), source))?;
    let name = format!("photosync-server{}", std::env::consts::EXE_SUFFIX);
    // target/<profile>/program, or target/<profile>/deps/program for tests.
    let folders: Vec<&Path> = program.ancestors().skip(1).take(2).collect();
    let siblings = folders.iter().filter_map(|folder| folder.parent());
    let others = siblings.flat_map(|parent| [parent.join("debug"), parent.join("release")]);
    let near = folders.iter().map(|folder| folder.to_path_buf());
    let mut candidates = near.chain(others).map(|folder| folder.join(&name));
    candidates.find(|candidate| candidate.is_file()).ok_or_else(|| {
        ServerError::NoBinary(format!(
            "no {name} near {}: run `cargo build -p photosync-server` or set {SERVER_BIN_VARIABLE}",
            program.display()
        ))
    })
}

/// How often a state is looked at while waiting for it.
const POLL_EVERY: Duration = Duration::from_millis(5);

fn clean_command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let ours = name.to_string_lossy().starts_with("PHOTOSYNC_");
        if ours || UNPREFIXED_SETTINGS.iter().any(|setting| name == *setting) {
            command.env_remove(&name);
        }
    }
    command
}

fn wait_within(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + deadline;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => thread::sleep(POLL_EVERY),
            _ => return None,
        }
    }
}

fn end_child(child: &mut Child) {
    // Both fail only when the process is gone already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

fn describe_end(child: &mut Child) -> String {
    match wait_within(child, Duration::from_secs(5)) {
        Some(status) => status.to_string(),
        None => "its standard output was closed, but the process runs on".to_owned(),
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            return 128 + signal;
        }
    }
    status.code().unwrap_or(-1)
}

fn read_in_background(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // Whatever came before a broken pipe is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read_whole() {
        let line = r#"PHOTOSYNC-READY {"version":"0.1.0","pid":7,"listen":["127.0.0.1:40123"],"urls":["http://127.0.0.1:40123"],"metrics":"127.0.0.1:40124"}"#;
        let ready = Ready::parse(line).expect("a ready line");
        assert_eq!(ready.listen, ["127.0.0.1:40123".parse().expect("an address")]);
        assert_eq!(ready.metrics, "127.0.0.1:40124".parse().ok());
        assert_eq!((ready.pid, ready.version.as_str()), (7, "0.1.0"));
    }

    #[test]
    fn anything_before_the_ready_line_is_an_error() {
        assert!(Ready::parse("listening on 3000").is_err());
        assert!(Ready::parse("PHOTOSYNC-READY {\"listen\":[]}").is_err());
    }
}
