//! Why a server cannot start, for people and for whoever started it.

use photosync_protocol::process::Exit;

use crate::blobs::volume::VolumeError;
use crate::db::{DbError, MigrateError};
use crate::error::Error;

/// Why a server cannot start, with the code it exits with.
#[derive(Debug)]
pub struct BootError {
    /// Exit code.
    pub exit: Exit,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl BootError {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl std::fmt::Display for BootError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BootError {}

impl From<VolumeError> for BootError {
    fn from(source: VolumeError) -> Self {
        let exit =
            if matches!(source, VolumeError::Held(_)) { Exit::DataHeld } else { Exit::Storage };
        Self::new(exit, source.to_string())
    }
}

impl From<MigrateError> for BootError {
    fn from(source: MigrateError) -> Self {
        Self::new(Exit::Storage, format!("the database cannot be used: {source}"))
    }
}

impl From<DbError> for BootError {
    fn from(source: DbError) -> Self {
        Self::new(Exit::Storage, format!("the database cannot be used: {source}"))
    }
}

impl From<Error> for BootError {
    fn from(source: Error) -> Self {
        Self::new(Exit::Storage, format!("{source}: {}", source.cause_chain()))
    }
}
