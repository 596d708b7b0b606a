//! The simulator must find what is broken, and nothing in what is right: small programs that keep
//! their promises, or break them in one named way, are recorded and cut at every position.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod files;
mod recorder;
mod sqlite;

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use photosync_powercut_replay::{Cut, Recording, launch};
use tempfile::TempDir;

/// Random cuts tried at every position, besides the strict one.
const SEEDS: u64 = 20;

/// A finished run of a victim under the recorder.
struct Run {
    folder: TempDir,
    output: Output,
}

impl Run {
    /// Runs a victim as `PROGRAM MODE ROOT ADDRESS …` and takes what it says on its sockets.
    fn of(program: &str, mode: &str, rest: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let run = Self { folder, output: Command::new("true").output().unwrap() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
            }
        });
        let mut victim = Command::new(program);
        victim.arg(mode).arg(run.root()).arg(address.to_string()).args(rest);
        launch::record(&mut victim, &run.root(), &run.log()).unwrap();
        let output = victim.output().unwrap();
        Self { output, ..run }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("run.powercut")
    }

    /// The recording of a run that went well.
    fn recording(&self) -> Recording {
        assert!(self.output.status.success(), "{:?}", self.output);
        Recording::open(&self.log()).unwrap()
    }
}

/// What `check` finds at every position after every cut, on two threads.
fn findings(
    recording: &Recording,
    check: impl Fn(usize, &std::path::Path) -> Vec<String> + Sync,
) -> Vec<String> {
    let check_some = |first: usize| {
        let mut recording = recording.clone();
        let folder = tempfile::tempdir().unwrap();
        let mut found = Vec::new();
        for position in (first..=recording.len()).step_by(2) {
            for cut in std::iter::once(Cut::Strict).chain((0..SEEDS).map(Cut::Random)) {
                let left = folder.path().join("left");
                recording.materialise(position, &cut, &left).unwrap();
                let problems = check(position, &left);
                found.extend(problems.into_iter().map(|problem| {
                    format!("{cut:?} after {}: {problem}", recording.describe(position))
                }));
                std::fs::remove_dir_all(&left).unwrap();
            }
        }
        found
    };
    std::thread::scope(|scope| {
        let even = scope.spawn(|| check_some(0));
        let mut found = check_some(1);
        found.extend(even.join().unwrap());
        found
    })
}
