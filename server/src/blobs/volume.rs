//! Which storage root is which: a marker file with an id in every root, and an exclusive lock while a server runs.
//!
//! A disk that is not mounted looks like an empty folder. Without the marker the server would begin a new, empty
//! library there and call every photo missing; with it, it says what is wrong and stops.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::local::{create_private_dir, write_durably};
use crate::auth::random_id;

const MARKER: &str = "volume.json";
const LOCK: &str = ".lock";

/// Why a storage root cannot be used.
#[derive(Debug)]
pub enum VolumeError {
    /// The marker is missing, although the database knows this root.
    Missing(PathBuf),
    /// The marker is of another root.
    Other(PathBuf),
    /// Another server holds it.
    Held(PathBuf),
    /// The disk failed.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for VolumeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(root) => write!(
                f,
                "{} has no {MARKER}: is the disk mounted? Nothing was written there",
                root.display()
            ),
            Self::Other(root) => write!(
                f,
                "{} is not the storage this database belongs to (its {MARKER} has another id)",
                root.display()
            ),
            Self::Held(root) => write!(f, "another server holds {}", root.display()),
            Self::Io(root, error) => write!(f, "could not use {}: {error}", root.display()),
        }
    }
}

impl std::error::Error for VolumeError {}

#[derive(Serialize, Deserialize)]
struct Marker {
    format: String,
    id: String,
}

/// Holds a root for as long as it lives.
#[derive(Debug)]
pub struct VolumeLock {
    _file: File,
}

/// Takes the exclusive lock of a root, creating the folder if there is none.
pub fn lock(root: &Path) -> Result<VolumeLock, VolumeError> {
    let failed = |error| VolumeError::Io(root.to_owned(), error);
    create_private_dir(root).map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(root.join(LOCK))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(VolumeLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(VolumeError::Held(root.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Whether a server holds a root. Makes nothing, and keeps nothing.
pub fn is_held(root: &Path) -> Result<bool, VolumeError> {
    let failed = |error| VolumeError::Io(root.to_owned(), error);
    let file = match File::open(root.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The id of a root, if it has one.
pub fn find_id(root: &Path) -> Result<Option<String>, VolumeError> {
    match std::fs::read(root.join(MARKER)) {
        Ok(bytes) => serde_json::from_slice::<Marker>(&bytes)
            .map(|marker| Some(marker.id))
            .map_err(|error| VolumeError::Io(root.to_owned(), error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(VolumeError::Io(root.to_owned(), error)),
    }
}

/// Compares a root with what the database knows (`None`: nothing yet) and returns its id, which is made if the
/// root is new to both.
pub fn require(root: &Path, known: Option<&str>) -> Result<String, VolumeError> {
    match (find_id(root)?, known) {
        (Some(found), Some(known)) if found != known => Err(VolumeError::Other(root.to_owned())),
        (Some(found), _) => Ok(found),
        (None, Some(_)) => Err(VolumeError::Missing(root.to_owned())),
        (None, None) => {
            let id = random_id();
            mark(root, id.clone()).map_err(|error| VolumeError::Io(root.to_owned(), error))?;
            Ok(id)
        }
    }
}

/// Gives a root an id: a new one, or the one that a restored database knows it by.
pub fn mark(root: &Path, id: String) -> io::Result<()> {
    let marker = Marker { format: "photosync-volume-1".into(), id };
    write_durably(&root.join(MARKER), &serde_json::to_vec_pretty(&marker)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unmounted_or_swapped_root_is_refused_and_left_empty() {
        let dir = tempfile::tempdir().unwrap();
        let id = require(dir.path(), None).unwrap();
        assert_eq!(require(dir.path(), Some(&id)).unwrap(), id);
        assert!(matches!(require(dir.path(), Some("other")), Err(VolumeError::Other(_))));
        let unmounted = tempfile::tempdir().unwrap();
        assert!(matches!(require(unmounted.path(), Some(&id)), Err(VolumeError::Missing(_))));
        assert_eq!(std::fs::read_dir(unmounted.path()).unwrap().count(), 0);
    }

    #[test]
    fn two_servers_cannot_hold_one_root() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_held(dir.path()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "asking makes no lock");
        let held = lock(dir.path()).unwrap();
        assert!(matches!(lock(dir.path()), Err(VolumeError::Held(_))));
        assert!(is_held(dir.path()).unwrap());
        drop(held);
        assert!(!is_held(dir.path()).unwrap());
        lock(dir.path()).unwrap();
    }
}
