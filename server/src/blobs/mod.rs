//! Where bytes live: one storage root with a folder per account.
//!
//! The only promise that matters is [`LocalStore::commit_new`]: when it returns, the bytes and their name survive
//! a power cut, and nothing that was there before is gone.

mod durable;
mod local;
mod probe;
mod publish;
mod resumable;
mod running_hash;
mod stage;
pub mod volume;

pub use durable::{sync_dir, sync_file};
pub use local::{
    CommitOutcome, LocalStore, append_durably, create_private_dir, free_bytes, hash_file,
    write_durably,
};
pub use probe::{Probe, probe};
pub use resumable::{Mark, RESUMABLE_PREFIX, Resumable, ResumableHandle};
pub use stage::{Stage, Staged};

use crate::error::{Context, Error};
use photosync_protocol::error::ErrorCode;
use std::path::PathBuf;
use uuid::Uuid;

/// Folder for bytes that are arriving, inside an account's folder.
pub const STAGING: &str = ".staging";
/// Folder for bytes that wait for the end of the trash period.
pub const TRASH: &str = ".trash";
/// Folder for bytes that are not what they should be.
pub const QUARANTINE: &str = ".quarantine";
/// Says whose folder it is.
pub const OWNER_FILE: &str = ".photosync.json";
/// Listed names that the disk could not keep, one JSON object a line.
pub const NAMES_FILE: &str = ".names.jsonl";
/// Which sealed object has which place in which chain, one JSON object a line, in the account's folder of the relay.
pub const CHAINS_FILE: &str = ".chains.jsonl";

/// A place in a storage root: an account's folder and a relative path made of safe parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    account: Uuid,
    parts: Vec<String>,
}

impl Key {
    /// An original under its stored name (made by `names::stored_name`, so it is no path).
    pub fn original(account: Uuid, stored_name: &str) -> Self {
        Self { account, parts: vec![stored_name.to_owned()] }
    }

    /// An original in the trash.
    pub fn trashed(account: Uuid, asset_id: &str) -> Self {
        Self { account, parts: vec![TRASH.into(), asset_id.into()] }
    }

    /// A damaged original that was set aside.
    pub fn quarantined(account: Uuid, asset_id: &str) -> Self {
        Self { account, parts: vec![QUARANTINE.into(), asset_id.into()] }
    }

    /// A relay chunk; 256 sub-folders keep directories small.
    pub fn chunk(account: Uuid, chunk_id: &str) -> Self {
        Self { account, parts: vec!["chunks".into(), chunk_id[..2].into(), chunk_id.into()] }
    }

    /// A relay manifest.
    pub fn manifest(account: Uuid, manifest_id: &str) -> Self {
        Self { account, parts: vec!["manifests".into(), format!("{manifest_id}.json")] }
    }

    /// The account whose folder this is in.
    pub fn account(&self) -> Uuid {
        self.account
    }

    /// Where it is below the root of its store.
    pub fn relative(&self) -> PathBuf {
        let mut path = PathBuf::from(self.account.to_string());
        path.extend(&self.parts);
        path
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.relative().display())
    }
}

/// What could not be done with which file, and why.
#[derive(Debug)]
pub struct BlobError {
    /// `write`, `sync`, `publish` …
    pub action: &'static str,
    /// What it was done to.
    pub subject: String,
    /// What the operating system said.
    pub source: std::io::Error,
    /// Free bytes of the disk, if it is full.
    pub free_bytes: Option<u64>,
}

impl BlobError {
    pub(crate) fn new(
        action: &'static str,
        subject: impl std::fmt::Display,
        source: std::io::Error,
    ) -> Self {
        Self { action, subject: subject.to_string(), source, free_bytes: None }
    }

    /// Whether the disk, or the owner's share of it, is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            std::io::ErrorKind::StorageFull
                | std::io::ErrorKind::QuotaExceeded
                | std::io::ErrorKind::FileTooLarge
        )
    }
}

impl std::fmt::Display for BlobError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "could not {} {}", self.action, self.subject)
    }
}

impl std::error::Error for BlobError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<BlobError> for Error {
    fn from(source: BlobError) -> Self {
        let error = if source.is_full() {
            Error::storage_full(source.free_bytes)
        } else {
            Error::new(ErrorCode::StorageFailed, "the server's disk failed; nothing was stored")
                .retry_after(30)
        };
        error.caused_by(Context(format!("{source}: {}", source.source)))
    }
}
