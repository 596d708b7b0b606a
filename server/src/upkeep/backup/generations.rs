//! A folder of generations: which are whole, what each says of itself, and who works there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::blobs::write_durably;
use crate::clock::unix_ms;

/// Says that a folder is a whole generation; written last.
pub(super) const MARKER: &str = "photosync-backup.json";
/// A generation that is being made. The next backup goes on with it.
pub(super) const PARTIAL: &str = ".partial";
/// A generation that is being tried out.
pub(super) const TRIAL: &str = ".trial";
/// A generation that is being removed.
pub(super) const REMOVING: &str = ".removing";
pub(super) const LOCK: &str = ".lock";
/// Says whose folder of backups this is; written when the first one begins. A mount point without its disk has none.
const OWNER: &str = ".photosync-backups.json";
/// Says that a trial found something wrong: the next backup compares the bytes of what it would share.
pub(super) const COMPARE: &str = ".compare";

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

/// What a folder of backups says of itself.
#[derive(Serialize, Deserialize)]
struct Owner {
    format: String,
    server_id: String,
}

/// Whether a folder holds backups of this server, as far as it says. Refused if it says that they are another server's:
/// those would be taken for older ones of this one, and removed as such.
pub(super) fn is_own(target: &Path, server_id: &str) -> io::Result<bool> {
    let text = match std::fs::read(target.join(OWNER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let owner: Owner = serde_json::from_slice(&text)?;
    if owner.server_id == server_id {
        return Ok(true);
    }
    let message = format!("{} holds the backups of another server", target.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Makes a folder this server's.
pub(super) fn own(target: &Path, server_id: &str) -> io::Result<()> {
    if is_own(target, server_id)? {
        return Ok(());
    }
    let owner = Owner { format: "photosync-backups-1".into(), server_id: server_id.to_owned() };
    write_durably(&target.join(OWNER), &serde_json::to_vec_pretty(&owner)?)
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
    let generation = read_marker(&found);
    Ok((found, generation))
}

/// What a generation says of itself. A spoilt note must keep nobody from the photos: then it is of when it was written.
pub(super) fn read_marker(generation: &Path) -> Generation {
    let path = generation.join(MARKER);
    let read = || -> io::Result<Generation> { Ok(serde_json::from_slice(&std::fs::read(&path)?)?) };
    read().unwrap_or_else(|error| {
        tracing::warn!(file = %path.display(), %error, "what a backup says of itself cannot be read");
        let written = path.metadata().and_then(|found| found.modified());
        let made_at_ms = written.map_or(0, unix_ms);
        Generation { version: "unknown".into(), made_at_ms, files: 0, bytes: 0 }
    })
}
