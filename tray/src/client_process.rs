//! The client program `photosync`, which backs this computer up: a process for each task, heard through its JSON lines.
//!
//! It is not linked into the tray: the tray stays small, and neither takes the other down.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use photosync_protocol::process::Exit;
use photosync_protocol::v2::session::{PairingOffer, QrPayload};
use serde::Deserialize;

use crate::log::Log;
use crate::model::{Account, Event, Progress, RunEnd};
use crate::task::Task;

/// Files that could not be backed up and are named in the log, for each run.
const MOST_NAMED: u64 = 50;

/// The client program, and the run that is under way.
#[derive(Debug, Clone)]
pub struct Client {
    binary: PathBuf,
    log: Log,
    run: Arc<Task>,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedIn {
    /// This account.
    As(Account),
    /// Nobody, and there is nothing of an account that was.
    Nobody,
    /// An account whose credentials are gone: the program's own words.
    Lost(String),
}

/// How the program says that nobody is signed in; it has no code of its own for that. What it says otherwise is an account
/// that somebody has to sign in to again.
const NOBODY: &str = "nobody is signed in";
/// Code of the program for a computer that has no keys of a sealed backup.
const NO_KEYS: &str = "locked";

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
        to: Option<String>,
        #[serde(default)]
        code: String,
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
        let mut command = crate::quiet::command(&self.binary);
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
    pub fn who(&self) -> io::Result<SignedIn> {
        let output = self.command().arg("status").output()?;
        let lines = read_lines(&output.stdout);
        for line in &lines {
            if let Line::Status { url, email, fingerprint } = line {
                return Ok(SignedIn::As(Account {
                    is_here: is_loopback(url),
                    is_sealed: self.is_sealed(),
                    url: url.clone(),
                    email: email.clone(),
                    fingerprint: fingerprint.clone(),
                }));
            }
        }
        without_account(output.status.code(), &lines)
    }

    /// Whether this computer also keeps a sealed backup on that server. Only a clear no is one: a sealed backup that is
    /// left out for any other reason would be missed by nobody, while a run says what stands in its way.
    fn is_sealed(&self) -> bool {
        let told = self.command().args(["relay", "status"]).output();
        told.map_or(true, |output| !has_no_keys(output.status.code(), &read_lines(&output.stdout)))
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
        if let Err(error) = self.run.hold(child, ask_to_end) {
            self.log.note(&format!("the backup could not be stopped: {error}"));
        }
        self.hear(
            output.into_iter().flat_map(|output| BufReader::new(output).lines()),
            &mut end,
            &mut said,
        );
        // It has said everything: it is ending.
        let (child, asked_to_stop) = self.run.take();
        let code = child.and_then(|mut child| child.wait().ok()?.code());
        end.code = code_of_end(code, asked_to_stop);
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
        let (mut plain_failed, mut sealed_failed) = (false, false);
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
                Line::Failed { to, reason, hint, .. } => {
                    self.log.note(&format!("the backup failed: {reason} ({hint})"));
                    let of_sealed = to.as_deref() == Some("relay");
                    // Without a place it is the run.
                    if !of_sealed || !plain_failed {
                        end.words = reason;
                    }
                    plain_failed |= !of_sealed;
                    sealed_failed |= of_sealed;
                }
                Line::Status { .. } | Line::Other => {}
            }
        }
        end.is_complete = ended && !incomplete;
        end.is_sealed_part_only = sealed_failed && !plain_failed;
    }

    /// Says that a run begins: from now on it can be stopped. Before [`Self::back_up`].
    pub fn prepare(&self) {
        self.run.prepare();
    }

    /// Asks the run under way to end; what it did stays. Nothing happens if there is none.
    ///
    /// # Errors
    /// It could not be asked.
    pub fn stop(&self) -> io::Result<()> {
        self.run.stop(ask_to_end)
    }
}

/// What a program that named no account means.
fn without_account(code: Option<i32>, lines: &[Line]) -> io::Result<SignedIn> {
    let words = words(lines);
    match code.and_then(Exit::from_code) {
        Some(Exit::SignInRefused) if words.starts_with(NOBODY) => Ok(SignedIn::Nobody),
        Some(Exit::SignInRefused) => Ok(SignedIn::Lost(words)),
        _ => Err(io::Error::other(words)),
    }
}

/// Whether the program says for sure that this computer has no keys of a sealed backup. Keys that are lost or out of date
/// are a backup all the same.
fn has_no_keys(code: Option<i32>, lines: &[Line]) -> bool {
    let is_no = |line: &Line| matches!(line, Line::Failed { code, .. } if code == NO_KEYS);
    code.and_then(Exit::from_code) == Some(Exit::SignInRefused) && lines.iter().any(is_no)
}

/// A run that was asked to stop is an interrupted one, also where it could only be ended, or was before it could listen.
fn code_of_end(code: Option<i32>, asked_to_stop: bool) -> Option<i32> {
    let was_ended = code.is_none() || (cfg!(not(unix)) && code != Some(0));
    if asked_to_stop && was_ended { Some(Exit::Interrupted.code().into()) } else { code }
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
        assert!(!end.is_sealed_part_only);
    }

    #[test]
    fn a_failure_of_the_sealed_part_alone_is_told_from_one_of_the_account() {
        const SEALED: &str =
            r#"{"to":"relay","event":"failed","code":"new_epoch","reason":"old keys","hint":""}"#;
        const PLAIN: &str =
            r#"{"to":"server","event":"failed","code":"sign_in","reason":"signed out","hint":""}"#;
        for (lines, only, words) in [
            (&[SEALED][..], true, "old keys"),
            (&[PLAIN, SEALED], false, "signed out"),
            (&[SEALED, PLAIN], false, "signed out"),
            (&[], false, ""),
        ] {
            let (end, _) = heard(lines);
            assert_eq!((end.is_sealed_part_only, end.words.as_str()), (only, words), "{lines:?}");
        }
    }

    #[test]
    fn nobody_is_told_from_an_account_without_credentials_and_both_from_a_question_that_failed() {
        let failed = |reason: &str| {
            read_lines(
                format!(r#"{{"event":"failed","code":"x","reason":"{reason}","hint":""}}"#)
                    .as_bytes(),
            )
        };
        let told = |code, reason| without_account(code, &failed(reason)).ok();
        let nobody = Some(SignedIn::Nobody);
        assert_eq!(told(Some(77), "nobody is signed in on this computer"), nobody);
        let gone = "the key store of the system has no credentials of this device any more";
        assert_eq!(told(Some(77), gone), Some(SignedIn::Lost(gone.into())));
        assert_eq!(told(Some(74), "the key store cannot be used"), None);
        assert_eq!(told(None, "nobody is signed in on this computer"), None);
    }

    #[test]
    fn only_a_clear_no_means_that_there_is_no_sealed_backup() {
        let no_keys = |code, word: &str| {
            let line =
                format!(r#"{{"event":"failed","code":"{word}","reason":"no","hint":"type this"}}"#);
            has_no_keys(code, &read_lines(line.as_bytes()))
        };
        assert!(no_keys(Some(77), "locked"));
        for (code, word) in
            [(Some(77), "key_store"), (Some(74), "storage"), (Some(68), "locked"), (None, "")]
        {
            assert!(!no_keys(code, word), "{code:?} {word}");
        }
        assert!(!has_no_keys(Some(0), &[]));
    }

    #[test]
    fn a_run_that_was_asked_to_stop_is_no_failure_and_one_that_was_done_before_is_done() {
        let interrupted = Some(i32::from(Exit::Interrupted.code()));
        assert_eq!(code_of_end(None, true), interrupted);
        assert_eq!(code_of_end(Some(0), true), Some(0));
        assert_eq!(code_of_end(None, false), None);
        assert_eq!(code_of_end(Some(77), false), Some(77));
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
