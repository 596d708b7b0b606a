//! restic, over HTTP on loopback to `rclone serve restic`: its own rest-server is not packaged by Debian.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::contest::{Contestant, Keeper, Run};
use super::tree::Tree;
use crate::Failure;
use crate::contestant::free_port;
use crate::http::Connection;
use crate::process::{Running, clean_command, find_program, run_to_end};

/// Its name in tables.
pub const RESTIC: &str = "restic";

/// Longest wait for the first answer of rclone: 30 s.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Both programs.
pub struct Restic {
    restic: PathBuf,
    rclone: PathBuf,
}

impl Restic {
    /// The contestant, when both programs are there.
    pub fn find() -> Option<Self> {
        Some(Self { restic: find_program("restic")?, rclone: find_program("rclone")? })
    }
}

impl Contestant for Restic {
    fn name(&self) -> &'static str {
        RESTIC
    }

    fn road(&self) -> String {
        "over HTTP to rclone serve restic, which syncs nothing; without compression; a restored file is not synced; every command derives the keys from the password (scrypt)".into()
    }

    fn begin(&self, home: PathBuf) -> Result<Box<dyn Keeper>, Failure> {
        let (repository, port) = (home.join("repository"), free_port()?);
        let mut command = clean_command(&self.rclone, &home);
        command.args(["serve", "restic", "--log-level", "ERROR", "--config"]);
        command.arg(home.join("rclone.conf")).arg("--addr").arg(format!("127.0.0.1:{port}"));
        command.arg(&repository).stdout(Stdio::null());
        let mut server = Running::start("rclone", command, &home)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        server.wait_until(READY_LIMIT, || Connection::new(address).get("/", "").is_ok())?;
        let keeper = ResticKeeper { restic: self.restic.clone(), home, server, port };
        let mut init = keeper.command();
        init.arg("init");
        run_to_end("restic-init", init, "", &keeper.home)?;
        Ok(Box::new(keeper))
    }
}

struct ResticKeeper {
    restic: PathBuf,
    home: PathBuf,
    server: Running,
    port: u16,
}

impl ResticKeeper {
    fn command(&self) -> Command {
        let mut command = clean_command(&self.restic, &self.home);
        command.env("RESTIC_PASSWORD", "bench");
        command.args(["--compression", "off", "--repo"]);
        command.arg(format!("rest:http://127.0.0.1:{}/", self.port));
        command.arg("--cache-dir").arg(self.home.join("cache"));
        command
    }

    fn run(&self, name: &str, command: Command) -> Result<Run, Failure> {
        Run::against(&self.server, name, command, &self.home)
    }

    fn require(&self, tree: &Tree, words: &str) -> Result<Run, Failure> {
        let mut command = self.command();
        command.arg("backup").arg(&tree.path);
        let run = self.run("restic-backup", command)?;
        if !run.client.output.contains(&format!("{} {words}", tree.files)) {
            return Err(format!("restic backed up otherwise: {}", run.client.output).into());
        }
        Ok(run)
    }
}

impl Keeper for ResticKeeper {
    fn back_up(&mut self, tree: &Tree) -> Result<Run, Failure> {
        self.require(tree, "new")
    }

    fn back_up_unchanged(&mut self, tree: &Tree) -> Result<Run, Failure> {
        self.require(tree, "unmodified")
    }

    fn open(&self) -> Result<Option<Run>, Failure> {
        let mut command = self.command();
        command.args(["cat", "config"]);
        self.run("restic-open", command).map(Some)
    }

    fn restore(&mut self, _: &Tree, to: &Path) -> Result<Run, Failure> {
        let mut command = self.command();
        command.args(["restore", "latest", "--target"]).arg(to);
        self.run("restic-restore", command)
    }

    fn stop(self: Box<Self>) -> Result<(), Failure> {
        self.server.stop()
    }
}
