//! Starts programs of others and reads what they say.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The folder of the scripts.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign")
}

/// Node: that of the environment, installed there when the system's is too old.
pub(crate) fn node() -> PathBuf {
    let own = folder().join("venv/bin/node");
    if own.is_file() { own } else { PathBuf::from("node") }
}

/// Fails with the line to run when something is not installed.
fn require(there: bool, what: &str) {
    assert!(there, "{what} is not installed; run this, then try again: scripts/need-foreign");
}

/// A script that runs. It ends with the value.
pub(crate) struct Program {
    child: Child,
    /// Kept open: the scripts that serve end with their input.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    shown: String,
}

impl Program {
    /// Runs a script of `tests/foreign` with Node.
    pub(crate) fn node(script: &str, words: &[&str]) -> Program {
        require(folder().join("node_modules/tus-js-client").is_dir(), "tests/foreign/node_modules");
        let mut command = Command::new(node());
        command.arg(script).args(words);
        Self::spawn(command, "node")
    }

    /// Runs a script of `tests/foreign` with the Python of its own environment.
    pub(crate) fn python(script: &str, words: &[&str]) -> Program {
        let python = folder().join("venv/bin/python");
        require(python.is_file(), "tests/foreign/venv");
        let mut command = Command::new(python);
        command.arg(script).args(words);
        Self::spawn(command, "python")
    }

    /// Runs any program.
    pub(crate) fn spawn(mut command: Command, name: &str) -> Program {
        command.current_dir(folder());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let shown = format!("{command:?}");
        let started = command.spawn();
        require(started.is_ok(), name);
        let mut child = started.expect("a started program");
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("a pipe");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens any more; the pipe is still emptied.
                let _ = sender.send(line);
            }
        });
        let stdin = child.stdin.take();
        Program { child, stdin, lines, shown }
    }

    /// Runs a script of the web app's browser tests with Node.
    pub(crate) fn browser(script: &str, words: &[&str]) -> Program {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
        let there = web.join("node_modules/playwright-core").is_dir();
        assert!(there, "the web app is not built; run this, then try again: scripts/web");
        let mut command = Command::new(node());
        command.arg(web.join("browser").join(script)).args(words);
        Self::spawn(command, "node")
    }

    /// Gives a script that waits a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("a script that listens");
    }

    /// The next line, as JSON.
    pub(crate) fn next(&mut self, within: Duration) -> Value {
        let line = self.lines.recv_timeout(within);
        let line = line.unwrap_or_else(|_| panic!("no line from {} in {within:?}", self.shown));
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{} said {line:?}", self.shown))
    }

    /// Lines up to the first that has the key; returns that one.
    pub(crate) fn next_with(&mut self, key: &str, within: Duration) -> Value {
        let end = Instant::now() + within;
        loop {
            let line = self.next(end.saturating_duration_since(Instant::now()));
            if line.get(key).is_some() {
                return line;
            }
            assert!(line.get("failed").is_none(), "{}: {line}", self.shown);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `@tus/server` with its files in a temporary folder.
pub(crate) struct TusServer {
    _program: Program,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl TusServer {
    /// Where uploads are created.
    pub(crate) const PATH: &str = "/files";

    pub(crate) fn start() -> TusServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut program =
            Program::node("tus_server.mjs", &[folder.path().to_str().expect("a plain path")]);
        let ready = program.next_with("listening", Duration::from_secs(60));
        let port = ready["listening"].as_u64().and_then(|port| u16::try_from(port).ok());
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("a port")));
        TusServer { _program: program, address, folder }
    }

    /// Where it keeps the bytes of an upload.
    pub(crate) fn file_of(&self, upload: &str) -> PathBuf {
        self.folder.path().join(upload.rsplit('/').next().expect("a name"))
    }
}
