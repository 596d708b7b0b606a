//! The sealed relay: the client `photosync` and a server, over HTTP on loopback.
//!
//! Unlocking is not measured: it happens once on a computer, and takes the memory that it is meant to take. restic and borg
//! derive their keys in every command; what that takes is measured by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::contest::{Contestant, Keeper, Run};
use super::tree::Tree;
use crate::Failure;
use crate::contestant::OURS;
use crate::photosync::{self, PhotoSync, Ready};
use crate::process::{clean_command, run_to_end};

/// Both of our programs.
pub struct Ours {
    server: PhotoSync,
    client: PathBuf,
}

impl Ours {
    /// The contestant, when both programs are there.
    pub fn find(server: Option<&Path>, client: Option<&Path>) -> Result<Self, Failure> {
        let server = PhotoSync::find(server)
            .ok_or("photosync-server was not found; name it with --server")?;
        let client = client.and_then(|client| client.canonicalize().ok());
        let client = client.ok_or("the client photosync was not found; name it with --client")?;
        Ok(Self { server, client })
    }
}

impl Contestant for Ours {
    fn name(&self) -> &'static str {
        OURS
    }

    fn road(&self) -> String {
        "over HTTP; the server answers after every object is synced; a restored file is synced, then named; its keys lie unwrapped on the device".into()
    }

    fn begin(&self, home: PathBuf) -> Result<Box<dyn Keeper>, Failure> {
        let server = self.server.start_bare(&home)?;
        photosync::register(server.address)?;
        let keeper = OurKeeper { client: self.client.clone(), home, server };
        let url = format!("http://{}", keeper.server.address);
        let mut login = keeper.command();
        login.args(["login", &url, photosync::EMAIL]);
        run_to_end("login", login, &format!("{}\n", photosync::PASSWORD), &keeper.home)?;
        let mut init = keeper.command();
        init.args(["--json", "relay", "init"]);
        run_to_end("relay-init", init, "a password of the bench\n", &keeper.home)?;
        Ok(Box::new(keeper))
    }
}

struct OurKeeper {
    client: PathBuf,
    home: PathBuf,
    server: Ready,
}

impl OurKeeper {
    fn command(&self) -> Command {
        let mut command = clean_command(&self.client, &self.home);
        command.env("PHOTOSYNC_CLIENT_DIR", self.home.join("profile"));
        command.envs([("PHOTOSYNC_DISCOVERY", "off"), ("PHOTOSYNC_CLIENT_KEYSTORE", "off")]);
        command
    }

    /// Runs `relay` with these arguments; answers also the event that sums up.
    fn run(&self, name: &str, path: &Path, event: &str) -> Result<(Run, Value), Failure> {
        let mut command = self.command();
        command.args(["--json", "relay", name]).arg(path);
        let run =
            Run::against(&self.server.process, &format!("relay-{name}"), command, &self.home)?;
        let mut events =
            run.client.output.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
        let is_wanted = |found: &Value| found.get("event").and_then(Value::as_str) == Some(event);
        let summary = events.find(is_wanted);
        let summary = summary.ok_or_else(|| format!("the client did not say {event}"))?;
        drop(events);
        Ok((run, summary))
    }
}

fn number(summary: &Value, key: &str) -> Option<u64> {
    summary.get(key).and_then(Value::as_u64)
}

impl Keeper for OurKeeper {
    fn back_up(&mut self, tree: &Tree) -> Result<Run, Failure> {
        let (run, summary) = self.run("backup", &tree.path, "backup_done")?;
        let is_complete = summary.get("complete").and_then(Value::as_bool) == Some(true);
        if !is_complete || number(&summary, "files") != Some(tree.files) {
            return Err(format!("the backup ended otherwise: {summary}").into());
        }
        Ok(run)
    }

    fn back_up_unchanged(&mut self, tree: &Tree) -> Result<Run, Failure> {
        let (run, summary) = self.run("backup", &tree.path, "backup_done")?;
        let is_same = number(&summary, "files") == Some(tree.files)
            && number(&summary, "sent_files") == Some(0)
            && number(&summary, "sent_bytes") == Some(0);
        if !is_same {
            return Err(format!("the client found changes: {summary}").into());
        }
        Ok(run)
    }

    fn open(&self) -> Result<Option<Run>, Failure> {
        Ok(None)
    }

    fn restore(&mut self, tree: &Tree, to: &Path) -> Result<Run, Failure> {
        let (run, summary) = self.run("restore", to, "restore_done")?;
        if number(&summary, "restored_files") != Some(tree.files) {
            return Err(format!("the restore ended otherwise: {summary}").into());
        }
        Ok(run)
    }

    fn stop(self: Box<Self>) -> Result<(), Failure> {
        self.server.process.stop()
    }
}
