//! One run to a server and into a sealed folder: every byte is read once, both places give everything back, and what is
//! wrong with one does not keep the other from being completed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use photosync_protocol::process::Exit;
use serde_json::Value;

use crate::real::{self, Server, binary, last_event, login, spawn, start};
use crate::stand::{noise, write_old};

pub const PASSWORD: &str = "four random words here";

/// A computer that is signed in on a real server and has keys to a folder of sealed objects.
struct Computer {
    folder: tempfile::TempDir,
    server: Server,
}

impl Computer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&binary(), &folder.path().join("data"));
        let computer = Self { folder, server };
        login(&computer.server, &computer.at("profile"));
        computer
    }

    fn with_relay() -> Self {
        let computer = Self::new();
        let begun = computer.relay(&["init", "--password-memory", "64"], &format!("{PASSWORD}\n"));
        assert_eq!(code(&begun), 0, "{begun:?}");
        computer
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Small files, one of exactly two chunks, and a film that is no multiple of anything.
    fn fill(&self) {
        let photos = self.at("photos");
        write_old(&photos.join("2024/a.jpg"), &noise(5000, 1), 1);
        write_old(&photos.join("2024/copy of a.jpg"), &noise(5000, 1), 2);
        write_old(&photos.join("b.jpg"), &noise(70_000, 2), 3);
        write_old(&photos.join("c.jpg"), &noise((4 << 20) + 1, 3), 4);
        write_old(&photos.join("even.mov"), &noise(8 << 20, 4), 5);
        write_old(&photos.join("odd.mov"), &noise((13 << 20) + 77, 5), 6);
    }

    fn both(&self) -> Output {
        run(self.backup(&["--json"]))
    }

    fn backup(&self, more: &[&str]) -> Command {
        let mut command = program(&self.at("profile"));
        command.arg("backup").arg(self.at("photos")).arg("--relay");
        command.arg("--dir").arg(self.at("sealed")).args(more);
        command
    }

    fn relay(&self, arguments: &[&str], line: &str) -> Output {
        let sealed = self.at("sealed");
        let all = [&["relay", "--dir", sealed.to_str().unwrap()], arguments].concat();
        let mut child = spawn(&self.at("profile"), &all);
        let _ = child.stdin.take().unwrap().write_all(line.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn restored_from_server(&self) -> BTreeMap<String, Vec<u8>> {
        let back = tempfile::tempdir_in(self.folder.path()).unwrap();
        let to = back.path().join("back");
        let output = real::run(&self.at("profile"), &["restore", to.to_str().unwrap()]);
        assert_eq!(code(&output), 0, "{output:?}");
        tree(&to)
    }

    fn restored_from_relay(&self) -> BTreeMap<String, Vec<u8>> {
        let back = tempfile::tempdir_in(self.folder.path()).unwrap();
        let to = back.path().join("back");
        let output = self.relay(&["restore", to.to_str().unwrap()], "");
        assert_eq!(code(&output), 0, "{output:?}");
        tree(&to)
    }

    fn photos(&self) -> BTreeMap<String, Vec<u8>> {
        tree(&self.at("photos"))
    }
}

fn program(profile: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_photosync"));
    command.env("PHOTOSYNC_CLIENT_DIR", profile);
    command.envs([("PHOTOSYNC_DISCOVERY", "off"), ("PHOTOSYNC_CLIENT_KEYSTORE", "off")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(mut command: Command) -> Output {
    command.output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The last event of that name for a destination.
fn event(output: &Output, to: &str, name: &str) -> Value {
    let events = events(output);
    let found = events.iter().rfind(|event| event["to"] == to && event["event"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// Bytes that a traced run read of every file below a folder, by path.
fn bytes_read(trace: &Path, below: &Path) -> BTreeMap<PathBuf, u64> {
    let mut read = BTreeMap::new();
    let text = fs::read_to_string(trace).unwrap();
    // A call that another thread interrupts stands on two lines, and only the first one names the file.
    let mut begun: BTreeMap<&str, PathBuf> = BTreeMap::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let path = match call.strip_prefix("<... ") {
            Some(_) => begun.remove(thread),
            None => {
                let named = call.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                named.map(|(path, _)| PathBuf::from(path))
            }
        };
        let Some(path) = path.filter(|path| path.starts_with(below) && path.is_file()) else {
            continue;
        };
        assert!(!call.starts_with("mmap"), "read without a call that says how much: {call}");
        if call.ends_with("<unfinished ...>") {
            begun.insert(thread, path);
        } else if let Some(count) = call.rsplit("= ").next().and_then(|count| count.parse().ok()) {
            *read.entry(path).or_insert(0) += count_of(count);
        }
    }
    read
}

fn count_of(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn traced(computer: &Computer) -> (Output, BTreeMap<PathBuf, u64>) {
    let has_strace =
        Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    assert!(has_strace, "strace is not installed: apt-get install strace");
    let trace = computer.at("trace");
    let backup = computer.backup(&["--json"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "0", "-o"]).arg(&trace);
    command.args(["-e", "trace=read,pread64,readv,preadv,preadv2,mmap,sendfile,copy_file_range"]);
    command.arg(backup.get_program()).args(backup.get_args());
    command.envs(backup.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = run(command);
    (output, bytes_read(&trace, &computer.at("photos")))
}

#[cfg(target_os = "linux")]
#[test]
fn a_first_run_reads_every_byte_once_both_places_give_it_back_and_the_next_run_reads_nothing() {
    let computer = Computer::with_relay();
    computer.fill();
    let photos = computer.photos();
    let (first, read) = traced(&computer);
    assert_eq!(code(&first), 0, "{first:?}");
    let lengths: BTreeMap<PathBuf, u64> = photos
        .iter()
        .map(|(name, bytes)| (computer.at("photos").join(name), bytes.len() as u64))
        .collect();
    assert_eq!(read, lengths);
    for to in ["server", "relay"] {
        let done = event(&first, to, "backup_done");
        assert_eq!(
            (&done["files"], &done["complete"], &done["failed_files"]),
            (&6.into(), &true.into(), &0.into()),
            "{first:?}"
        );
    }
    assert!(computer.restored_from_server() == photos);
    assert!(computer.restored_from_relay() == photos);

    let (again, read) = traced(&computer);
    assert_eq!(code(&again), 0, "{again:?}");
    assert_eq!(read, BTreeMap::new());
    for to in ["server", "relay"] {
        let done = event(&again, to, "backup_done");
        assert_eq!((&done["sent_files"], &done["complete"]), (&0.into(), &true.into()), "{done}");
    }
    // What was backed up together is known to each alone.
    let photos = computer.at("photos");
    let alone = real::run(&computer.at("profile"), &["backup", "--json", photos.to_str().unwrap()]);
    assert_eq!(last_event(&alone)["hashed_files"], 0, "{alone:?}");
    let alone = computer.relay(&["backup", "--json", photos.to_str().unwrap()], "");
    assert_eq!(last_event(&alone)["sent_files"], 0, "{alone:?}");
}

#[test]
fn what_one_place_has_already_goes_only_to_the_other() {
    let computer = Computer::with_relay();
    computer.fill();
    let photos = computer.at("photos");
    let alone = computer.relay(&["backup", "--json", photos.to_str().unwrap()], "");
    assert_eq!(code(&alone), 0, "{alone:?}");
    write_old(&photos.join("new.jpg"), &noise(900, 9), 0);
    let output = computer.both();
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(event(&output, "relay", "backup_done")["sent_files"], 1, "{output:?}");
    assert_eq!(event(&output, "server", "backup_done")["hashed_files"], 7, "{output:?}");
    assert!(computer.restored_from_server() == computer.photos());
    assert!(computer.restored_from_relay() == computer.photos());
}

#[test]
fn a_computer_that_is_signed_out_still_seals_everything_and_says_which_place_lacks_it() {
    let computer = Computer::with_relay();
    computer.fill();
    assert_eq!(code(&real::run(&computer.at("profile"), &["logout"])), 0);
    let output = computer.both();
    assert_eq!(code(&output), i32::from(Exit::SignInRefused.code()), "{output:?}");
    assert_eq!(event(&output, "server", "failed")["code"], "sign_in", "{output:?}");
    assert_eq!(event(&output, "server", "backup_done"), Value::Null);
    assert_eq!(event(&output, "relay", "backup_done")["complete"], true, "{output:?}");
    assert_eq!(event(&output, "relay", "failed"), Value::Null);
    assert!(computer.restored_from_relay() == computer.photos());

    let text = run(computer.backup(&[]));
    let said = String::from_utf8(text.stderr).unwrap();
    assert!(said.starts_with("photosync: the server does not have everything: "), "{said}");
    let out = String::from_utf8(text.stdout).unwrap();
    assert!(out.ends_with("Nothing has changed; everything is in the sealed backup.\n"), "{out}");

    login(&computer.server, &computer.at("profile"));
    assert_eq!(code(&computer.both()), 0);
    assert!(computer.restored_from_server() == computer.photos());
}

#[test]
fn a_relay_without_keys_or_that_takes_nothing_leaves_the_server_with_everything() {
    let computer = Computer::new();
    computer.fill();
    let output = computer.both();
    assert_eq!(code(&output), i32::from(Exit::SignInRefused.code()), "{output:?}");
    assert_eq!(event(&output, "relay", "failed")["code"], "locked", "{output:?}");
    assert_eq!(event(&output, "server", "backup_done")["complete"], true, "{output:?}");

    // In the middle of a run: the folder takes no chunks.
    let computer = Computer::with_relay();
    computer.fill();
    let chunks = computer.at("sealed/chunks");
    fs::write(&chunks, "in the way").unwrap();
    let output = computer.both();
    assert_eq!(code(&output), i32::from(Exit::Storage.code()), "{output:?}");
    assert_eq!(event(&output, "relay", "backup_done")["complete"], false, "{output:?}");
    assert_eq!(event(&output, "relay", "failed")["event"], "failed", "{output:?}");
    assert_eq!(event(&output, "server", "backup_done")["complete"], true, "{output:?}");
    assert!(computer.restored_from_server() == computer.photos());
    fs::remove_file(&chunks).unwrap();
    let output = computer.both();
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(event(&output, "server", "backup_done")["hashed_files"], 0, "{output:?}");
    assert!(computer.restored_from_relay() == computer.photos());
}

#[cfg(unix)]
#[test]
fn a_run_that_was_interrupted_in_a_film_is_completed_by_the_next_one_in_both_places() {
    let computer = Computer::with_relay();
    computer.fill();
    // Newest first: when the first file is there, the films are still to come.
    let mut child = computer.backup(&["--json", "--limit-rate", "6M"]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_even = |line: &String| line.contains("file_done") && line.contains("even.mov");
    assert!(lines.map_while(Result::ok).any(|line| is_even(&line)), "no film ever arrived");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), i32::from(Exit::Interrupted.code()), "{output:?}");

    let output = computer.both();
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(computer.restored_from_server() == computer.photos());
    assert!(computer.restored_from_relay() == computer.photos());
}
