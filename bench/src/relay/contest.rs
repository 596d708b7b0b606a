//! What every program that keeps sealed backups looks like to the bench.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::tree::Tree;
use crate::Failure;
use crate::process::{Finished, Memory, Running, run_to_end};

/// A program that may take part.
pub trait Contestant {
    /// Its name in tables and of its folder.
    fn name(&self) -> &'static str;

    /// What it does on the way, in a line.
    fn road(&self) -> String;

    /// Begins an empty place for backups in this empty folder.
    fn begin(&self, home: PathBuf) -> Result<Box<dyn Keeper>, Failure>;
}

/// An empty or filled place for backups, ready.
pub trait Keeper {
    /// Backs the tree up; an error unless every file of it is kept, or was.
    fn back_up(&mut self, tree: &Tree) -> Result<Run, Failure>;

    /// As [`Self::back_up`]; an error if anything was found changed.
    fn back_up_unchanged(&mut self, tree: &Tree) -> Result<Run, Failure>;

    /// What opening the place takes, keys derived and no file looked at; none for who has no such step in its commands.
    fn open(&self) -> Result<Option<Run>, Failure>;

    /// Brings everything back below this empty folder.
    fn restore(&mut self, tree: &Tree, to: &Path) -> Result<Run, Failure>;

    /// Ends whatever still runs.
    fn stop(self: Box<Self>) -> Result<(), Failure>;
}

/// One command that came to its end.
#[derive(Debug)]
pub struct Run {
    /// The client.
    pub client: Finished,
    /// The server's memory, if it is a process of its own.
    pub server: Option<Memory>,
    /// Processor time of client and server together, in seconds. What the server still does afterwards is left out.
    pub cpu_seconds: f64,
}

impl Run {
    /// Runs a client to its end, as [`run_to_end`], against a server that was there before.
    pub fn against(
        server: &Running,
        name: &str,
        command: Command,
        home: &Path,
    ) -> Result<Self, Failure> {
        server.reset_peak()?;
        let server_cpu_before = server.cpu_seconds();
        let client = run_to_end(name, command, "", home)?;
        let cpu_seconds = client.cpu_seconds + server.cpu_seconds() - server_cpu_before;
        Ok(Self { client, server: Some(server.memory()), cpu_seconds })
    }

    /// Runs a client to its end that starts its own server and waits for its end.
    pub fn with_its_server(name: &str, command: Command, home: &Path) -> Result<Self, Failure> {
        let client = run_to_end(name, command, "", home)?;
        // The server is a child of the client: its processor time is counted with it, its peak cannot be told.
        let cpu_seconds = client.cpu_seconds;
        Ok(Self { client, server: None, cpu_seconds })
    }
}
