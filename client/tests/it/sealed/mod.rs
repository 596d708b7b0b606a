//! Sealed backups with the program and the real server: what a person types, what comes back, what can be read on the
//! way, and what damage costs.

mod blind;
mod drill;
mod harm;
mod healing;
mod steps;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use photosync_tests::proxy::{FaultProxy, Plan};
use serde_json::Value;

use crate::real::{
    self, EMAIL, Server, add_account, binary, files_below, last_event, serve, server, spawn,
};

/// Opens the sealed backup; the server never hears of it.
const SECRET: &str = "four random words here";
/// The least that the format allows: tests guess no passwords.
const CHEAP: [&str; 2] = ["--password-memory", "64"];

/// A server behind one address that stays, whatever becomes of the server, and a folder for its computers.
struct Home {
    folder: tempfile::TempDir,
    data: PathBuf,
    server: Option<Server>,
    proxy: FaultProxy,
}

impl Home {
    fn new() -> Self {
        Self::with(Plan::pass)
    }

    /// With a plan for every connection between the computers and the server.
    fn with(plan: impl Fn() -> Plan + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        add_account(&binary(), &data);
        let server = start(&data);
        let proxy = FaultProxy::start(server.address, move |_| plan()).unwrap();
        Self { folder, data, server: Some(server), proxy }
    }

    fn stop(&mut self) {
        self.server = None;
    }

    /// Starts a server on a data folder; the computers find it where the last one was.
    fn start_on(&mut self, data: &Path) {
        self.server = None;
        let server = start(data);
        self.proxy.set_target(server.address);
        self.server = Some(server);
    }

    /// A computer that knows nothing yet.
    fn stranger(&self, name: &str) -> Computer {
        let at = self.folder.path().join(name);
        let computer = Computer { profile: at.join("profile"), photos: at.join("photos"), at };
        fs::create_dir_all(&computer.photos).unwrap();
        computer
    }

    /// A computer that is signed in.
    fn computer(&self, name: &str) -> Computer {
        let computer = self.stranger(name);
        computer.login(self);
        computer
    }

    /// The folder with the account's sealed objects.
    fn sealed(&self) -> PathBuf {
        let accounts = fs::read_dir(self.data.join("relay")).unwrap();
        let mut accounts = accounts.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let found = accounts.find(|path| path.join("chunks").is_dir());
        found.expect("one account has sealed objects")
    }

    /// Every sealed object by name.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |path: PathBuf| (name_of(&path), fs::read(&path).unwrap());
        files_below(&self.sealed().join("chunks")).into_iter().map(read).collect()
    }
}

fn start(data: &Path) -> Server {
    let log = fs::File::options().create(true).append(true).open(data.with_extension("log"));
    let mut command = server(&binary(), data);
    command.env("PHOTOSYNC_AUTH_THROTTLE_MAX", "100000").stderr(log.unwrap());
    serve(&mut command)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

struct Computer {
    at: PathBuf,
    profile: PathBuf,
    photos: PathBuf,
}

impl Computer {
    /// Signs in without encryption on the way, so that what passes can be looked at: it never leaves this machine.
    fn login(&self, home: &Home) {
        let url = format!("http://{}", home.proxy.address());
        let output = self.type_in(&["login", &url, EMAIL], &[real::PASSWORD]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }

    /// Runs the program; `lines` is what a person types.
    fn type_in(&self, arguments: &[&str], lines: &[&str]) -> Output {
        let mut child = spawn(&self.profile, arguments);
        let typed: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // A program that asks for less than there is closes its end.
        let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// `photosync relay …`, whatever comes of it.
    fn try_relay(&self, arguments: &[&str], lines: &[&str]) -> Output {
        self.type_in(&[&["relay", "--json"], arguments].concat(), lines)
    }

    /// `photosync relay …` that ends well; the last event.
    fn relay(&self, arguments: &[&str], lines: &[&str]) -> Value {
        let output = self.try_relay(arguments, lines);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", shown(&output));
        last_event(&output)
    }

    /// `photosync relay …` that is refused; the code of the reason.
    fn refused(&self, arguments: &[&str], lines: &[&str]) -> String {
        let output = self.try_relay(arguments, lines);
        let event = last_event(&output);
        assert_eq!(event["event"], "failed", "{arguments:?}: {}", shown(&output));
        event["code"].as_str().unwrap().to_owned()
    }

    /// Begins in `place` (a folder, or the server) and answers the 24 words.
    fn begin(&self, place: &[&str]) -> String {
        let begun = self.relay(&[place, &["init"], &CHEAP].concat(), &[SECRET]);
        let words = begun["words"].as_str().unwrap().to_owned();
        assert_eq!(words.split(' ').count(), 24);
        words
    }

    fn backup(&self, place: &[&str]) -> Value {
        self.relay(&[place, &["backup", self.photos.to_str().unwrap()]].concat(), &[])
    }

    /// Restores everything into a new folder, and must bring back all of it.
    fn restore(&self, place: &[&str], into: &str) -> PathBuf {
        let back = self.at.join(into);
        let done = self.relay(&[place, &["restore", back.to_str().unwrap()]].concat(), &[]);
        assert_eq!(done["failed_files"], 0, "{done}");
        back
    }
}

/// Every event of a run.
fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What it said, without the noise of progress.
fn shown(output: &Output) -> String {
    let events = events(output);
    let said = events.iter().filter(|event| event["event"] != "progress").map(Value::to_string);
    said.collect::<Vec<_>>().join("\n") + &String::from_utf8_lossy(&output.stderr)
}

/// Copies a folder with everything in it.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match path.is_dir() {
            true => copy_tree(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}
