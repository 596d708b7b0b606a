//! What the menu says of this computer's own backup.

use std::path::Path;

use crate::model::{Account, Backup, Progress, RunEnd, Who, Work};
use crate::moment::Moment;

/// Menu entries.
#[expect(missing_docs, reason = "each is the text of the entry of its name")]
pub mod entry {
    pub const BACKUP: &str = "Back up this computer";
    pub const NOW: &str = "Back up now";
    pub const STOP: &str = "Stop this backup";
    pub const ADD: &str = "Add a folder …";
    pub const REMOVE: &str = "Remove from the backup (nothing is deleted)";
    pub const PAIR_FIRST: &str = "Nobody has an account here yet: pair a phone first";
}

/// Title of the dialog for folders.
pub const CHOOSE: &str = "Folders to back up with PhotoSync";

/// What happens, or when everything was safe last.
pub fn state(backup: &Backup, today: i64) -> String {
    match (backup.work, &backup.last) {
        (Work::Running(Progress { total_files: 0, .. }), _) => {
            "Looking for new photos …".to_owned()
        }
        (Work::Running(Progress { done_files, total_files }), _) => {
            format!("Backing up: {} of {} …", number(done_files), files(total_files))
        }
        (Work::Resting, Some(last)) => {
            let at: Moment = last.at;
            format!("Last backup: {}, {}", at.told_on(today), files(last.files))
        }
        (Work::Resting, None) => match (&backup.who, backup.folders.is_empty()) {
            (_, true) => "No folder is backed up".to_owned(),
            (Who::Asking, false) => "Signing in …".to_owned(),
            (_, false) => "Not backed up yet".to_owned(),
        },
    }
}

/// Where the backup goes.
pub fn destination(Account { email, url, is_here, is_sealed, .. }: &Account) -> String {
    let place = if *is_here { "this computer's server" } else { url.as_str() };
    let sealed = if *is_sealed { ", and sealed" } else { "" };
    format!("To {place}, as {email}{sealed}")
}

/// Offers a usual folder.
pub fn add(folder: &Path) -> String {
    format!("Add {}", folder.file_name().unwrap_or(folder.as_os_str()).display())
}

/// Offers an account.
pub fn sign_in_as(email: &str) -> String {
    format!("Back up as {email}")
}

/// Why a run left something.
pub fn incomplete(end: &RunEnd) -> String {
    if let [first, ..] = end.missing.as_slice() {
        return format!("{} is not there", first.display());
    }
    match (end.failed_files, end.words.as_str()) {
        (0, "") => "The backup ended before everything was safe; the log says more".to_owned(),
        (0, words) => words.to_owned(),
        (1, _) => "1 file could not be backed up; the log names it".to_owned(),
        (some, _) => format!("{} could not be backed up; the log names them", files(some)),
    }
}

/// What stands in the way, in the menu.
pub fn trouble(words: &str) -> String {
    format!("⚠ {}", super::short(words))
}

fn files(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "file" } else { "files" })
}

/// With a comma for each thousand.
fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_one_file_is_no_files() {
        for (count, wanted) in [
            (0, "0 files"),
            (1, "1 file"),
            (999, "999 files"),
            (1_204, "1,204 files"),
            (1_000_000, "1,000,000 files"),
        ] {
            assert_eq!(files(count), wanted);
        }
    }
}
