//! What every program that keeps sealed backups looks like to the bench.

use std::path::{Path, PathBuf};

use super::tree::Tree;
use crate::Failure;
use crate::process::{Finished, Memory};

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
    /// The server, if it is a process of its own.
    pub server: Option<Memory>,
}
