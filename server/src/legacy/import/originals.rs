//! Originals of all of a user's old device folders, merged into the account through the normal ingest.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use photosync_protocol::names::parse_wire_name;
use uuid::Uuid;

use super::blocking;
use super::report::Imported;
use crate::blobs::{Key, Staged, hash_file};
use crate::boot::App;
use crate::error::Result;
use crate::library::queries;
use crate::uploads::ingest::{Arrived, Origin, finish};

/// Files that are read and copied while an earlier one gets its name: names are given in order of arrival.
const AHEAD: usize = 4;
/// A line in the log after so many files.
const PROGRESS_FILES: u64 = 1000;

/// A file of an old device folder.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) size_bytes: u64,
    pub(super) modified_ms: i64,
}

impl Found {
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What the file is to be listed as. The old server stored names as they came over the wire.
    fn listed_name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        parse_wire_name(name.as_encoded_bytes()).unwrap_or_else(|_| self.name())
    }
}

/// What was found out about a file while it was copied.
enum Prepared {
    New(Staged, Found),
    Known,
    Trashed,
    Unusable(String),
}

/// Imports the files of `folders`, oldest first.
pub(super) async fn import(
    app: &App,
    account: Uuid,
    folders: Vec<PathBuf>,
    report: &mut Imported,
) -> Result<()> {
    let mut files = Vec::new();
    for folder in folders {
        files.extend(scan(folder, report).await?);
    }
    files.sort_by(|a, b| {
        (a.modified_ms, a.path.file_name()).cmp(&(b.modified_ms, b.path.file_name()))
    });
    let total = files.len();
    let mut done = 0;
    let mut prepared =
        stream::iter(files).map(|file| prepare(app.clone(), account, file)).buffered(AHEAD);
    while let Some(file) = prepared.next().await {
        match file? {
            Prepared::Known => report.tally(account, "").duplicates += 1,
            Prepared::Trashed => report.tally(account, "").trashed += 1,
            Prepared::Unusable(why) => report.left.push(why),
            Prepared::New(staged, file) => {
                let (name, arrived_at_ms) = (file.listed_name(), Some(file.modified_ms));
                let finished = finish(
                    app,
                    Arrived { account, name, staged, arrived_at_ms, origin: Origin::default() },
                )
                .await?;
                let tally = report.tally(account, "");
                if finished.duplicate {
                    tally.duplicates += 1;
                } else {
                    tally.files += 1;
                    tally.file_bytes += file.size_bytes;
                }
            }
        }
        done += 1;
        if done % PROGRESS_FILES == 0 {
            tracing::info!(%account, done, total, "importing originals");
        }
    }
    Ok(())
}

/// Reads a file; copies it if the account does not hold its bytes. Reading first costs little (the copy then comes
/// from memory), saves writing what is known, and shows whether the copy is what the file was.
async fn prepare(app: App, account: Uuid, file: Found) -> Result<Prepared> {
    let (path, shown) = (file.path.clone(), file.path.display().to_string());
    let hashed = blocking("read a file of the old server", move || hash_file(&path)).await?;
    let (digest, size_bytes) = match hashed {
        Ok(read) => read,
        Err(error) => {
            return Ok(Prepared::Unusable(format!("{shown}: could not be read: {error}")));
        }
    };
    let known = app.db.read(move |tx| queries::find_by_digest(tx, account, &digest)).await?;
    if let Some(asset) = known {
        let key = Key::original(account, &asset.stored_name);
        let on_disk = app.originals.find_size(&key).await?;
        if asset.trashed_at_ms.is_some() {
            return Ok(Prepared::Trashed);
        }
        if asset.listed && on_disk == Some(size_bytes) {
            return Ok(Prepared::Known);
        }
    }
    let stage = app.originals.stage(account, size_bytes).await?;
    let staged = stage.seal_copy(file.path.clone()).await?;
    if staged.digest != digest {
        return Ok(Prepared::Unusable(format!(
            "{shown}: changed while it was copied; stop the old server, then import again"
        )));
    }
    Ok(Prepared::New(staged, file))
}

/// The whole files of an old folder. Everything else in it is named in the report.
pub(super) async fn scan(folder: PathBuf, report: &mut Imported) -> Result<Vec<Found>> {
    let (files, notes, left) =
        blocking("look through an old folder", move || look(&folder)).await?;
    report.notes.extend(notes);
    report.left.extend(left);
    Ok(files)
}

fn look(folder: &Path) -> (Vec<Found>, Vec<String>, Vec<String>) {
    let (mut files, mut notes, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let unreadable =
        |error: std::io::Error| format!("{}: could not be read: {error}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return (files, notes, vec![unreadable(error)]),
    };
    for entry in entries {
        let found = entry.and_then(|entry| {
            let metadata = entry.path().symlink_metadata()?;
            Ok((entry.path(), metadata))
        });
        let (path, metadata) = match found {
            Ok(found) => found,
            Err(error) => {
                left.push(unreadable(error));
                continue;
            }
        };
        let (name, shown) =
            (path.file_name().unwrap_or_default().to_string_lossy(), path.display());
        if name.starts_with('.') {
            notes.push(format!("{shown}: hidden"));
        } else if !metadata.is_file() {
            left.push(format!("{shown}: is no regular file"));
        } else if name.ends_with(".uploading") {
            notes.push(format!("{shown}: an upload that never became whole"));
        } else if metadata.len() == 0 {
            notes.push(format!("{shown}: empty"));
        } else {
            let modified = metadata
                .modified()
                .ok()
                .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let modified_ms = modified.map_or(0, |at| i64::try_from(at.as_millis()).unwrap_or(0));
            files.push(Found { path, size_bytes: metadata.len(), modified_ms });
        }
    }
    notes.sort();
    left.sort();
    (files, notes, left)
}
