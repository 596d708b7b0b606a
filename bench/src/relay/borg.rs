//! borg, with `borg serve` at the other end of a pipe: what it does over SSH, without the cost of SSH.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::contest::{Contestant, Keeper, Run};
use super::tree::Tree;
use crate::Failure;
use crate::process::{clean_command, find_program, run_to_end};

/// Its name in tables.
pub const BORG: &str = "borg";

/// Stands for `ssh`: leaves the host out and runs the rest here.
const NO_SSH: &str = "sh -c 'shift; exec \"$@\"' sh";

/// The program.
pub struct Borg {
    borg: PathBuf,
}

impl Borg {
    /// The contestant, when the program is there.
    pub fn find() -> Option<Self> {
        Some(Self { borg: find_program("borg")? })
    }
}

impl Contestant for Borg {
    fn name(&self) -> &'static str {
        BORG
    }

    fn road(&self) -> String {
        "to borg serve through a pipe, synced at its end; without compression; a restored file is not synced; every command derives the keys from the password (PBKDF2)".into()
    }

    fn begin(&self, home: PathBuf) -> Result<Box<dyn Keeper>, Failure> {
        let keeper = BorgKeeper { borg: self.borg.clone(), home, archives: 0 };
        let mut init = keeper.command();
        init.args(["init", "--encryption", "repokey-blake2"]).arg(keeper.repository());
        run_to_end("borg-init", init, "", &keeper.home)?;
        Ok(Box::new(keeper))
    }
}

struct BorgKeeper {
    borg: PathBuf,
    home: PathBuf,
    /// Archives made so far; each has its number for a name.
    archives: u64,
}

impl BorgKeeper {
    fn command(&self) -> Command {
        let mut command = clean_command(&self.borg, &self.home);
        command.env("BORG_BASE_DIR", self.home.join("base"));
        command.envs([("BORG_PASSPHRASE", "bench"), ("BORG_RSH", NO_SSH)]);
        command
    }

    fn repository(&self) -> String {
        format!("ssh://bench{}", self.home.join("repository").display())
    }

    fn run(&self, name: &str, command: Command) -> Result<Run, Failure> {
        Run::with_its_server(name, command, &self.home)
    }
}

impl Keeper for BorgKeeper {
    fn back_up(&mut self, tree: &Tree) -> Result<Run, Failure> {
        self.archives += 1;
        let mut command = self.command();
        command.args(["create", "--json", "--compression", "none", "--list", "--filter", "AMCE"]);
        command.arg(format!("{}::{}", self.repository(), self.archives)).arg(&tree.path);
        let run = self.run("borg-create", command)?;
        // A file that it could not read is a warning, which ends it with another code than 0.
        if kept_files(&run.client.output) != Some(tree.files) {
            return Err(format!("borg backed up otherwise: {}", run.client.output).into());
        }
        Ok(run)
    }

    fn back_up_unchanged(&mut self, tree: &Tree) -> Result<Run, Failure> {
        let run = self.back_up(tree)?;
        // Its list goes to standard error.
        let log = self.home.join("borg-create.log");
        let listed = std::fs::read_to_string(&log)
            .map_err(|error| format!("could not read {}: {error}", log.display()))?;
        let count = |status| listed.lines().filter(|line| line.starts_with(status)).count() as u64;
        // It never remembers the newest files of a tree, as its manual says, and calls them added (A).
        let (changed, added) = (count("M ") + count("C ") + count("E "), count("A "));
        if changed > 0 || added * 20 > tree.files {
            return Err(format!("borg found {changed} files changed and {added} new").into());
        }
        Ok(run)
    }

    fn open(&self) -> Result<Option<Run>, Failure> {
        let mut command = self.command();
        command.arg("info").arg(self.repository());
        self.run("borg-open", command).map(Some)
    }

    fn restore(&mut self, _: &Tree, to: &Path) -> Result<Run, Failure> {
        let mut command = self.command();
        // It extracts to where it is.
        command.current_dir(to).arg("extract");
        command.arg(format!("{}::{}", self.repository(), self.archives));
        self.run("borg-extract", command)
    }

    fn stop(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

/// How many files the new archive has, as `borg create --json` says.
fn kept_files(output: &str) -> Option<u64> {
    let created: Value = serde_json::from_str(output).ok()?;
    created.pointer("/archive/stats/nfiles").and_then(Value::as_u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_files_is_that_of_the_archive_and_of_nothing_else() {
        let output =
            r#"{"archive": {"name": "1", "stats": {"nfiles": 562}}, "cache": {"nfiles": 3}}"#;
        assert_eq!(kept_files(output), Some(562));
        assert_eq!(kept_files(r#"{"archive": {"name": "1"}}"#), None);
        assert_eq!(kept_files(""), None);
    }
}
