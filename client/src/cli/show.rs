//! How events look: a progress bar on a terminal, quiet lines otherwise, one JSON object a line for programs.
//!
//! Results go to standard output, everything about the way there to standard error.

use std::collections::{HashMap, HashSet};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{HumanBytes, ProgressBar};
use photosync_client::report::{
    BackupSummary, Destination, Event, Progress, Report, RestoreSummary, VerifySummary,
};
use photosync_protocol::findings;
use serde::Serialize;

use super::account::ago;
use super::bar;

/// Files that failed and are shown one by one; the rest is counted.
const SHOWN_FAILURES: usize = 50;

/// One JSON object a line on standard output. Progress comes once a second, of each destination.
#[derive(Default)]
pub struct Json {
    last_progress: Mutex<HashMap<Option<Destination>, Instant>>,
}

/// An event with the destination it belongs to.
#[derive(Serialize)]
struct Addressed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Destination>,
    #[serde(flatten)]
    event: &'a Event,
}

impl Report for Json {
    fn event(&self, event: &Event) {
        self.print(None, event);
    }

    fn event_of(&self, destination: Destination, event: &Event) {
        self.print(Some(destination), event);
    }
}

impl Json {
    fn print(&self, to: Option<Destination>, event: &Event) {
        if matches!(event, Event::Progress(progress) if progress.files_total == 0) {
            return;
        }
        if matches!(event, Event::Progress(_) | Event::Scanning { .. }) {
            let mut last = self.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
            if last.get(&to).is_some_and(|at| at.elapsed() < Duration::from_secs(1)) {
                return;
            }
            last.insert(to, Instant::now());
        }
        if let Ok(line) = serde_json::to_string(&Addressed { to, event }) {
            line_to_stdout(&line);
        }
    }
}

/// A line on standard output; a reader that went away is nobody's error.
pub fn line_to_stdout(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Text for people.
pub struct Text {
    is_terminal: bool,
    /// Made when something moves: a command that only asks or tells needs none.
    bar: Mutex<Option<ProgressBar>>,
    failures: Mutex<usize>,
    /// How far each of two destinations is.
    both: Mutex<HashMap<Destination, Progress>>,
    /// Files that failed for one of them: one that cannot be read is missing in both, and is named once.
    said: Mutex<HashSet<String>>,
    moves: bool,
}

impl Text {
    /// With a bar, if the command `moves` or reads files and standard error is a terminal.
    pub fn new(moves: bool) -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            bar: Mutex::default(),
            failures: Mutex::default(),
            both: Mutex::default(),
            said: Mutex::default(),
            moves,
        }
    }

    fn find_bar(&self) -> Option<ProgressBar> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bar, if this is a terminal and the command moves anything.
    fn bar(&self) -> Option<ProgressBar> {
        if !self.is_terminal || !self.moves {
            return None;
        }
        let mut slot = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        Some(slot.get_or_insert_with(bar::new).clone())
    }

    fn say(&self, line: &str) {
        let line = fitting(&Term::stderr(), "", line);
        match self.find_bar() {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if *failures > SHOWN_FAILURES {
            eprintln!("… and {} more", number((*failures - SHOWN_FAILURES) as u64));
        }
        *failures = 0;
    }

    fn progress(&self, progress: &Progress) {
        if progress.files_total == 0 {
            return;
        }
        if let Some(bar) = self.bar() {
            bar::set(&bar, progress);
        }
    }
}

/// One bar for two destinations: a file is done when both have it.
fn together<'a>(both: impl Iterator<Item = &'a Progress> + Clone) -> Progress {
    let most = |of: fn(&Progress) -> u64| both.clone().map(of).max().unwrap_or(0);
    let files_total = most(|one| one.files_total);
    let bytes_total = most(|one| one.bytes_total);
    Progress {
        files_done: files_total - most(|one| one.files_total.saturating_sub(one.files_done)),
        files_total,
        bytes_done: bytes_total - most(|one| one.bytes_total.saturating_sub(one.bytes_done)),
        bytes_total,
        bytes_per_s: both.clone().map(|one| one.bytes_per_s).sum(),
        seconds_left: both.clone().filter_map(|one| one.seconds_left).max(),
        current: both.map(|one| one.current.clone()).next().unwrap_or_default(),
    }
}

impl Report for Text {
    fn event_of(&self, destination: Destination, event: &Event) {
        match event {
            Event::Progress(progress) => {
                let mut both = self.both.lock().unwrap_or_else(PoisonError::into_inner);
                both.insert(destination, progress.clone());
                self.progress(&together(both.values()));
            }
            Event::FileFailed { path, .. } => {
                let is_new = {
                    let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                    said.insert(path.clone())
                };
                if is_new {
                    self.event(event);
                }
            }
            Event::Failed { code, reason, hint } => {
                let place = match destination {
                    Destination::Server => "the server",
                    Destination::Relay => "the sealed backup",
                };
                let reason = format!("{place} does not have everything: {reason}");
                self.event(&Event::Failed { code, reason, hint: hint.clone() });
            }
            event => self.event(event),
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Scanning { files: count, .. } => {
                if let Some(bar) = self.bar() {
                    bar.set_message(format!("Looking … {}", files(*count)));
                }
            }
            Event::Scanned { files: count, bytes: length, .. } => {
                if let Some(bar) = self.bar() {
                    bar.set_message(format!("{}, {}", files(*count), bytes(*length)));
                }
            }
            Event::Progress(progress) => self.progress(progress),
            Event::FileDone { .. } => {}
            Event::FileFailed { path, reason, .. } => {
                let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                *failures += 1;
                if *failures <= SHOWN_FAILURES {
                    let line = match reason.contains(path.as_str()) {
                        true => format!("not done: {reason}"),
                        false => format!("not done: {path}: {reason}"),
                    };
                    self.say(&line);
                }
            }
            Event::Waiting { reason, wait_s } => {
                self.say(&format!("{reason}; next try in {wait_s:.0} s"));
            }
            Event::Note { text } => self.say(text),
            Event::BackupDone(summary) => {
                self.end();
                line_to_stdout(&backup_line(summary));
            }
            Event::RestoreDone(summary) => {
                self.end();
                line_to_stdout(&restore_line(summary));
            }
            Event::VerifyDone(summary) => {
                self.end();
                line_to_stdout(&verify_lines(summary));
            }
            Event::DuplicatesDone { files: count, bytes: length, .. } => {
                self.end();
                eprintln!(
                    "{}",
                    match count {
                        0 => "No two files are equal.".to_owned(),
                        _ => format!("{} too many, {}", files(*count), bytes(*length)),
                    }
                );
            }
            Event::Failed { reason, hint, .. } => {
                self.end();
                let screen = Term::stderr();
                eprintln!("{}", fitting(&screen, "photosync: ", reason));
                if !hint.is_empty() {
                    eprintln!("{}", fitting(&screen, "  ", hint));
                }
            }
        }
    }
}

fn backup_line(summary: &BackupSummary) -> String {
    let mut line = format!("{}, {}", files(summary.files), bytes(summary.bytes));
    let mut parts = Vec::new();
    if summary.sent_files > 0 {
        let (sent, took) = (summary.sent_bytes, time(summary.elapsed_ms));
        parts.push(format!("{} sent ({} in {took})", number(summary.sent_files), bytes(sent)));
    }
    if summary.held_files > 0 {
        parts.push(format!("{} were there already", number(summary.held_files)));
    }
    if summary.deleted_files > 0 {
        let count = number(summary.deleted_files);
        parts.push(format!("{count} deleted on the server and not sent again"));
    }
    if summary.empty_files > 0 {
        parts.push(format!("{} empty, not sent", number(summary.empty_files)));
    }
    if summary.failed_files > 0 {
        parts.push(format!("{} NOT backed up", number(summary.failed_files)));
    }
    if !parts.is_empty() {
        line = format!("{line}: {}", parts.join(", "));
    }
    let place = if summary.sealed { "in the sealed backup" } else { "on the server" };
    let end = match (summary.complete, parts.is_empty()) {
        (true, true) => format!("Nothing has changed; everything is {place}."),
        (true, false) => format!("Everything is {place}."),
        (false, _) => format!("Not everything is {place} yet; run it again."),
    };
    format!("{line}\n{end}")
}

fn restore_line(summary: &RestoreSummary) -> String {
    let mut parts = vec![format!(
        "{} restored ({} in {})",
        files(summary.restored_files),
        bytes(summary.received_bytes),
        time(summary.elapsed_ms)
    )];
    if summary.present_files > 0 {
        parts.push(format!("{} were there already", number(summary.present_files)));
    }
    if summary.failed_files > 0 {
        parts.push(format!("{} NOT restored", number(summary.failed_files)));
    }
    let done = summary.restored_files + summary.present_files + summary.failed_files;
    if done < summary.files {
        parts.push(format!("{} still to come; run it again", number(summary.files - done)));
    }
    parts.join(", ")
}

fn verify_lines(summary: &VerifySummary) -> String {
    if summary.files == 0 {
        return "Nothing was backed up from this computer yet.".to_owned();
    }
    let mut lines = vec![format!(
        "{} of {} verified: re-read from the server's disk, receipts kept",
        number(summary.verified),
        files(summary.files)
    )];
    if summary.second_copy > 0 {
        let since = summary.second_copy_since_ms.map_or(String::new(), ago);
        lines.push(format!(
            "{} with a second copy: found right in a backup of the server on another disk ({since} or later)",
            number(summary.second_copy)
        ));
    }
    if summary.received > 0 {
        lines.push(format!(
            "{} received whole and not re-read yet; ask again later, or with --wait",
            number(summary.received)
        ));
    }
    if summary.not_held > 0 {
        let count = number(summary.not_held);
        lines.push(format!("{count} NOT on the server; run photosync backup again"));
    }
    if summary.bad_receipts > 0 {
        lines.push(format!("{} with a receipt that is not genuine", number(summary.bad_receipts)));
    }
    lines.join("\n")
}

/// `text` after `begin`, broken between words so that it fits standard output, each further line below the first word.
/// Not broken where that is no terminal.
pub fn wrapped(begin: &str, text: &str) -> String {
    fitting(&Term::stdout(), begin, text)
}

/// Columns of standard output, if it is a terminal.
pub fn width() -> Option<usize> {
    let screen = Term::stdout();
    let (_, width) = screen.size_checked().filter(|_| screen.is_term())?;
    Some(width.into())
}

fn fitting(screen: &Term, begin: &str, text: &str) -> String {
    match screen.size_checked().filter(|_| screen.is_term()) {
        Some((_, width)) => findings::wrap(begin, text, width.into()),
        None => format!("{begin}{text}"),
    }
}

/// `1 file`, `2,345 files`.
pub fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{} files", number(count)) }
}

/// A length for people, in units of 1,024.
pub fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

/// A number with its thousands apart.
pub fn number(count: u64) -> String {
    indicatif::HumanCount(count).to_string()
}

fn time(ms: u64) -> String {
    if ms < 60_000 {
        return format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    }
    format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_never_calls_an_unfinished_backup_complete() {
        let all = BackupSummary { files: 2, bytes: 10, complete: true, ..BackupSummary::default() };
        assert!(backup_line(&all).ends_with("everything is on the server."));
        let some = BackupSummary { failed_files: 1, complete: false, ..all };
        let line = backup_line(&some);
        assert!(line.contains("1 NOT backed up") && line.contains("Not everything"), "{line}");
    }

    #[test]
    fn one_bar_stands_for_two_places_and_one_line_for_a_file_that_fails_in_both() {
        let server = Progress { files_done: 8, files_total: 10, ..Progress::default() };
        let relay = Progress { files_done: 30, files_total: 40, ..Progress::default() };
        let both = together([&server, &relay].into_iter());
        assert_eq!((both.files_done, both.files_total), (30, 40));
        let text = Text::new(false);
        for to in [Destination::Server, Destination::Relay] {
            let (path, reason) = ("/p/a.jpg".to_owned(), "could not read /p/a.jpg".to_owned());
            text.event_of(to, &Event::FileFailed { path, code: "unreadable", reason });
        }
        assert_eq!(*text.failures.lock().unwrap(), 1);
    }
}
