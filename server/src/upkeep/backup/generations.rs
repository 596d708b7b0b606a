//! A folder of generations: which are whole, what each says of itself, and who works there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Says that a folder is a whole generation; written last.
pub(super) const MARKER: &str = "photosync-backup.json";
/// A generation that is being made. The next backup goes on with it.
pub(super) const PARTIAL: &str = ".partial";
/// A generation that is being tried out.
pub(super) const TRIAL: &str = ".trial";
/// A generation that is being removed.
pub(super) const REMOVING: &str = ".removing";
pub(super) const LOCK: &str = ".lock";

/// What a generation says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Version of the server that made it.
    pub version: String,
    /// When it began, Unix milliseconds; later than every older one, also if a clock was set back.
    pub made_at_ms: i64,
    /// Files in it.
    pub files: u64,
    /// Their bytes, shared ones too.
    pub bytes: u64,
}

/// One backup or trial at a time in a folder, of whatever process.
pub(super) fn lock(target: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).open(target.join(LOCK))?;
    file.try_lock().map_err(|_| {
        let message = format!("another backup or trial is at work in {}", target.display());
        io::Error::new(io::ErrorKind::ResourceBusy, message)
    })?;
    Ok(file)
}

/// The whole generations in a folder, oldest first.
pub(super) fn list(target: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(target)? {
        let entry = entry?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden && entry.path().join(MARKER).is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The generation that a folder is, or the newest in it.
pub(super) fn find(folder: &Path) -> io::Result<(PathBuf, Generation)> {
    let folder = folder.canonicalize()?;
    let is_one = folder.join(MARKER).is_file();
    let found = if is_one { Some(folder.clone()) } else { list(&folder)?.pop() };
    let none = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no backup in {}", folder.display()),
        )
    };
    let found = found.ok_or_else(none)?;
    let generation = read_marker(&found)?;
    Ok((found, generation))
}

pub(super) fn read_marker(generation: &Path) -> io::Result<Generation> {
    Ok(serde_json::from_slice(&std::fs::read(generation.join(MARKER))?)?)
}
