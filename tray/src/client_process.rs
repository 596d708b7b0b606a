//! The client program `photosync`, which backs this computer up: a process for each task, heard through its JSON lines.
//!
//! It is not linked into the tray: the tray stays small, and neither takes the other down.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use photosync_protocol::process::Exit;
use photosync_protocol::v2::session::{PairingOffer, QrPayload};
use serde::Deserialize;

use crate::log::Log;
use crate::model::{Account, Event, Progress, RunEnd};

/// Files that could not be backed up and are named in the log, for each run.
const MOST_NAMED: u64 = 50;

/// The client program, and the run that is under way.
#[derive(Debug, Clone)]
pub struct Client {
    binary: PathBuf,
    log: Log,
    run: Arc<Mutex<Option<Child>>>,
}

/// A line of the program; `docs/CLIENT.md` lists them.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Status {
        url: String,
        email: String,
        #[serde(default)]
        fingerprint: String,
    },
    Progress {
        files_done: u64,
        files_total: u64,
        to: Option<String>,
    },
    BackupDone {
        files: u64,
        failed_files: u64,
        complete: bool,
    },
    FileFailed {
        path: String,
        reason: String,
    },
    Failed {
        reason: String,
        hint: String,
    },
    #[serde(other)]
    Other,
}

impl Client {
    /// The program in that file, whether or not it is there.
    pub fn new(binary: PathBuf, log: Log) -> Self {
        Self { binary, log, run: Arc::default() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--json").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C in the terminal of the tray is for the tray, which ends a run in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }

    /// Who is signed in. Waits for the program, which may ask its server.
    ///
    /// # Errors
    /// The program cannot be run, or says why it cannot tell: its own words.
    pub fn who(&self) -> io::Result<Option<Account>> {
        let output = self.command().arg("status").output()?;
        let lines = read_lines(&output.stdout);
        for line in &lines {
            if let Line::Status { url, email, fingerprint } = line {
                return Ok(Some(Account {
                    is_here: is_loopback(url),
                    is_sealed: self.is_sealed(),
                    url: url.clone(),
                    email: email.clone(),
                    fingerprint: fingerprint.clone(),
                }));
            }
        }
        if output.status.code() == Some(i32::from(Exit::SignInRefused.code())) {
            return Ok(None);
        }
        Err(io::Error::other(words(&lines)))
    }

    /// Whether this computer also has the keys of a sealed backup on that server. Asks nobody.
    fn is_sealed(&self) -> bool {
        let told = self.command().args(["relay", "status"]).output();
        told.is_ok_and(|output| output.status.success())
    }

    /// Signs in with an offer of the server at this port of this computer. The code goes by standard input: what stands
    /// on a command line is seen by every user of this computer.
    ///
    /// # Errors
    /// The offer cannot be read, the program cannot be run, or it was refused: its own words.
    pub fn sign_in(&self, offer: &PairingOffer, port: u16) -> io::Result<()> {
        let known: QrPayload = serde_json::from_str(&offer.qr)?;
        // A server that listens on one address of a network only is reached there.
        let own = format!("https://127.0.0.1:{port}");
        let others = known.urls.iter().map(|url| url.replacen("http://", "https://", 1));
        let mut last = io::Error::other("the server has no address");
        for url in std::iter::once(own).chain(others) {
            let mut command = self.command();
            command.args(["pair", &url, "--fingerprint", &known.fingerprint]).stdin(Stdio::piped());
            let mut child = command.spawn()?;
            if let Some(mut input) = child.stdin.take() {
                writeln!(input, "{}", offer.code)?;
            }
            let output = child.wait_with_output()?;
            if output.status.success() {
                return Ok(());
            }
            last = io::Error::other(words(&read_lines(&output.stdout)));
            if output.status.code() != Some(i32::from(Exit::Unreachable.code())) {
                break;
            }
        }
        Err(last)
    }

    /// Backs folders up and tells how far it is; at its end, how it ended. Waits for that.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn back_up(
        &self,
        folders: &[PathBuf],
        sealed: bool,
        mut said: impl FnMut(Event),
    ) -> io::Result<()> {
        // One that is not there, as on a disk that was taken out, must not keep the others back.
        let (there, missing): (Vec<_>, Vec<_>) =
            folders.iter().cloned().partition(|folder| folder.is_dir());
        let mut end = RunEnd { missing, ..RunEnd::default() };
        if there.is_empty() {
            said(Event::BackupEnded(end));
            return Ok(());
        }
        let mut command = self.command();
        command.arg("backup");
        if sealed {
            command.arg("--relay");
        }
        let mut child = command.arg("--").args(there).spawn()?;
        let output = child.stdout.take();
        *self.running() = Some(child);
        self.hear(
            output.into_iter().flat_map(|output| BufReader::new(output).lines()),
            &mut end,
            &mut said,
        );
        // It has said everything: it is ending.
        let child = self.running().take();
        end.code = child.and_then(|mut child| child.wait().ok()?.code());
        said(Event::BackupEnded(end));
        Ok(())
    }

    fn hear(
        &self,
        lines: impl Iterator<Item = io::Result<String>>,
        end: &mut RunEnd,
        said: &mut impl FnMut(Event),
    ) {
        let mut places: BTreeMap<Option<String>, (u64, u64)> = BTreeMap::new();
        let (mut named, mut incomplete, mut ended) = (0, false, false);
        for line in lines.map_while(Result::ok) {
            match serde_json::from_str(&line).unwrap_or(Line::Other) {
                Line::Progress { files_done, files_total, to } => {
                    places.insert(to, (files_done, files_total));
                    // Of two places the slower one counts.
                    let done_files = places.values().map(|(done, _)| *done).min().unwrap_or(0);
                    let total_files = places.values().map(|(_, total)| *total).max().unwrap_or(0);
                    said(Event::BackupSaid(Progress { done_files, total_files }));
                }
                Line::BackupDone { files, failed_files, complete } => {
                    ended = true;
                    incomplete |= !complete;
                    end.files = end.files.max(files);
                    end.failed_files = end.failed_files.max(failed_files);
                }
                Line::FileFailed { path, reason } => {
                    named += 1;
                    if named <= MOST_NAMED {
                        self.log.note(&format!("not backed up: {path}: {reason}"));
                    }
                }
                Line::Failed { reason, hint } => {
                    self.log.note(&format!("the backup failed: {reason} ({hint})"));
                    end.words = reason;
                }
                Line::Status { .. } | Line::Other => {}
            }
        }
        end.is_complete = ended && !incomplete;
    }

    /// Asks the run under way to end; what it did stays. Nothing happens if there is none.
    pub fn stop(&self) -> io::Result<()> {
        match self.running().as_mut() {
            Some(child) => ask_to_end(child),
            None => Ok(()),
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
fn ask_to_end(child: &mut Child) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
}

/// Where nothing can be asked it is ended: the next run goes on in the same way.
#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) -> io::Result<()> {
    child.kill()
}

fn read_lines(output: &[u8]) -> Vec<Line> {
    let text = String::from_utf8_lossy(output);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or(Line::Other)).collect()
}

/// What a program that failed said.
fn words(lines: &[Line]) -> String {
    let failed = lines.iter().rev().find_map(|line| match line {
        Line::Failed { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    failed.unwrap_or_else(|| "photosync ended without a word".to_owned())
}

/// Whether an address is one of this computer for itself.
fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "[::1]", "localhost"].iter().any(|own| host.starts_with(own))
}

/// The client program beside this one, or in that place.
pub fn beside(server: &Path) -> PathBuf {
    server.with_file_name(format!("photosync{}", std::env::consts::EXE_SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> (RunEnd, Vec<Event>) {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new("photosync".into(), Log::open(dir.path()).unwrap());
        let (mut end, mut events) = (RunEnd::default(), Vec::new());
        let lines = lines.iter().map(|line| Ok((*line).to_owned()));
        client.hear(lines, &mut end, &mut |event| events.push(event));
        (end, events)
    }

    #[test]
    fn a_run_to_two_places_is_as_far_as_the_slower_and_complete_if_both_are() {
        let (end, events) = heard(&[
            r#"{"event":"scanned","files":9,"bytes":1,"skipped":0,"empty":0}"#,
            r#"{"to":"server","event":"progress","files_done":5,"files_total":9,"bytes_done":1}"#,
            r#"{"to":"relay","event":"progress","files_done":2,"files_total":9}"#,
            r#"{"to":"server","event":"backup_done","files":9,"failed_files":0,"complete":true,"sealed":false}"#,
            r#"{"to":"relay","event":"backup_done","files":9,"failed_files":1,"complete":false,"sealed":true}"#,
            "no JSON",
        ]);
        let last = Progress { done_files: 2, total_files: 9 };
        assert_eq!(events.last(), Some(&Event::BackupSaid(last)));
        assert_eq!((end.files, end.failed_files, end.is_complete), (9, 1, false));
        let (end, _) =
            heard(&[r#"{"event":"backup_done","files":9,"failed_files":0,"complete":true}"#]);
        assert!(end.is_complete);
        let (end, _) = heard(&[r#"{"event":"failed","code":"x","reason":"no way","hint":""}"#]);
        assert_eq!((end.words.as_str(), end.is_complete), ("no way", false));
    }

    #[test]
    fn this_computer_is_told_from_others() {
        for (url, wanted) in [
            ("https://127.0.0.1:3000", true),
            ("http://localhost:3000", true),
            ("https://[::1]:3000", true),
            ("https://192.168.1.5:3000", false),
            ("https://nas.example", false),
        ] {
            assert_eq!(is_loopback(url), wanted, "{url}");
        }
    }
}
