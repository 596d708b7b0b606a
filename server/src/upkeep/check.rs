//! Compares the index with the disk and names every disagreement. Changes nothing.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{DirEntry, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

use photosync_protocol::names::fold_key;
use tokio::sync::mpsc::Sender;
use uuid::Uuid;

use super::verify::{hash_from_disk, is_unasked, read_back};
use crate::accounts;
use crate::blobs::{Key, LocalStore, OWNER_FILE, hash_file};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::library::queries::{self, Asset};

/// Rows that one transaction looks at.
const STEP_ROWS: i64 = 1000;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Assets looked at.
    pub assets: u64,
    /// Sealed objects looked at.
    pub sealed: u64,
    /// Files looked at.
    pub files: u64,
    /// One sentence each.
    pub disagreements: Vec<String>,
    /// Files without an entry whose bytes are held under another name: nothing is wrong with them. A crash between
    /// publishing and committing leaves one when the same bytes are sent again under another name before adoption.
    pub spares: Vec<String>,
}

/// Visible files without an entry, one sentence each; and folders that belong to nobody.
pub async fn list_without_entry(app: &App) -> Result<Vec<String>> {
    let mut report = Report::default();
    check_folders(app, &mut report).await?;
    report.disagreements.append(&mut report.spares);
    Ok(report.disagreements)
}

/// What comparing the hash of an asset came to.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Which asset.
    pub asset_id: String,
    /// Its SHA-256, as the index says.
    pub digest: [u8; 32],
    /// Whether its file has it.
    pub is_right: bool,
}

/// Compares every row with its file (length always, bytes if `read_bytes`) and every file with its row.
pub async fn check(app: &App, read_bytes: bool) -> Result<Report> {
    check_telling(app, read_bytes, None).await
}

/// As [`check`]; if bytes are read, it is also told of every asset what that came to, at most [`STEP_ROWS`] at once. Goes on
/// if nobody listens.
pub async fn check_telling(
    app: &App,
    read_bytes: bool,
    told: Option<Sender<Vec<Compared>>>,
) -> Result<Report> {
    let mut report = Report::default();
    check_rows(app, read_bytes, told, &mut report).await?;
    check_folders(app, &mut report).await?;
    super::sealed::check(app, read_bytes, &mut report).await?;
    Ok(report)
}

async fn check_rows(
    app: &App,
    read_bytes: bool,
    told: Option<Sender<Vec<Compared>>>,
    report: &mut Report,
) -> Result<()> {
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = app.db.read(move |tx| queries::list_all(tx, &start, STEP_ROWS)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.asset_id);
        let store = app.originals.clone();
        let looked_at = blocking(move || {
            let look = |asset| (find_file(&store, &asset), asset);
            Ok(page.into_iter().map(look).collect::<Vec<_>>())
        });
        let mut compared = Vec::new();
        for (found, asset) in looked_at.await.map_err(unreadable)? {
            report.assets += 1;
            let whole =
                found.as_ref().filter(|(_, size)| i64::try_from(*size) == Ok(asset.size_bytes));
            if let Some((key, _)) = whole.filter(|_| asset.quarantined_at_ms.is_some()) {
                report
                    .disagreements
                    .push(format!("wanted: {key} was found damaged and waits to be sent again"));
            }
            let wrong = find_wrong(app, found, &asset, read_bytes).await;
            let (asset_id, digest) = (asset.asset_id, asset.digest);
            compared.push(Compared { asset_id, digest, is_right: wrong.is_none() });
            report.disagreements.extend(wrong);
        }
        if let Some(told) = told.as_ref().filter(|_| read_bytes) {
            let _ = told.send(compared).await;
        }
    }
}

/// What is wrong with the file of an asset, in a sentence.
async fn find_wrong(
    app: &App,
    found: Option<(Key, u64)>,
    asset: &Asset,
    read_bytes: bool,
) -> Option<String> {
    let Some((key, size_bytes)) = found else {
        return Some(format!(
            "missing: {}/{} ({} bytes) is in the index, but not on disk",
            asset.account_uuid, asset.name, asset.size_bytes
        ));
    };
    if i64::try_from(size_bytes) != Ok(asset.size_bytes) {
        return Some(format!(
            "damaged: {key} has {size_bytes} bytes, the index says {}",
            asset.size_bytes
        ));
    }
    if !read_bytes {
        return None;
    }
    let path = app.originals.path(&key);
    let read = match is_unasked() {
        true => read_back(path).await,
        false => blocking(move || hash_from_disk(&path)).await,
    };
    match read {
        Ok((digest, _)) if digest == asset.digest => None,
        Ok(_) => Some(format!("damaged: the bytes of {key} have changed")),
        Err(error) => Some(format!("unreadable: {key}: {error}")),
    }
}

/// Where the file of an asset is, and how long; a trashed one may not have been moved yet. Its name may belong to a
/// newer file once it was, so that the trash is looked into first.
fn find_file(store: &LocalStore, asset: &Asset) -> Option<(Key, u64)> {
    places_of(asset).into_iter().find_map(|key| {
        let size_bytes = store.find_size_here(&key).ok().flatten()?;
        Some((key, size_bytes))
    })
}

/// Where the file of an asset may be, the likelier place first.
pub(super) fn places_of(asset: &Asset) -> Vec<Key> {
    let original = Key::original(asset.account_uuid, &asset.stored_name);
    let trashed = Key::trashed(asset.account_uuid, &asset.asset_id);
    asset.trashed_at_ms.is_some().then_some(trashed).into_iter().chain([original]).collect()
}

/// As [`places_of`], also where the file was before, or comes when it is moved.
pub(super) fn all_places_of(asset: &Asset) -> Vec<Key> {
    let both = [
        Key::original(asset.account_uuid, &asset.stored_name),
        Key::trashed(asset.account_uuid, &asset.asset_id),
    ];
    if asset.trashed_at_ms.is_some() { both.into_iter().rev().collect() } else { both.into() }
}

/// Does work with files where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn unreadable(error: io::Error) -> Error {
    Error::internal("look through the uploads").caused_by(error)
}

async fn check_folders(app: &App, report: &mut Report) -> Result<()> {
    let accounts = accounts::list(app).await?;
    let known: HashSet<String> =
        accounts.iter().map(|account| account.account_uuid.to_string()).collect();
    let root = app.originals.root().to_owned();
    for folder in blocking(move || list_folders(&root)).await.map_err(unreadable)? {
        let name = folder.name;
        if !known.contains(&name) {
            report.disagreements.push(format!("unknown: the folder {name} belongs to no account"));
            continue;
        }
        let Ok(account) = Uuid::try_parse(&name) else { continue };
        if !folder.is_marked {
            report.disagreements.push(format!("unmarked: the folder {name} has no {OWNER_FILE}"));
        }
        check_files(app, account, folder.path, report).await?;
    }
    Ok(())
}

/// A folder among the accounts'.
struct Folder {
    name: String,
    path: PathBuf,
    is_marked: bool,
}

fn list_folders(root: &Path) -> io::Result<Vec<Folder>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        // A disk of its own has a folder of the file system.
        if path.is_dir() && !name.starts_with('.') && name != "lost+found" {
            let is_marked = path.join(OWNER_FILE).exists();
            folders.push(Folder { name, path, is_marked });
        }
    }
    Ok(folders)
}

/// The next entries of a folder: name, path and whether it is a regular file.
fn read_some(entries: &mut ReadDir) -> io::Result<Vec<(OsString, PathBuf, bool)>> {
    /// Bounds memory, not time.
    const AT_ONCE: usize = 1000;
    let look = |entry: io::Result<DirEntry>| {
        let entry = entry?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        Ok((entry.file_name(), entry.path(), is_file))
    };
    entries.take(AT_ONCE).map(look).collect()
}

async fn check_files(app: &App, account: Uuid, folder: PathBuf, report: &mut Report) -> Result<()> {
    let mut entries = blocking(move || std::fs::read_dir(folder)).await.map_err(unreadable)?;
    loop {
        let read = move || read_some(&mut entries).map(|files| (entries, files));
        let (rest, files) = blocking(read).await.map_err(unreadable)?;
        if files.is_empty() {
            return Ok(());
        }
        entries = rest;
        for (name, path, is_file) in files {
            let shown = name.to_string_lossy().into_owned();
            if shown.starts_with('.') {
                continue;
            }
            report.files += 1;
            let is_known = match name.into_string() {
                Ok(stored) if is_file => has_entry(app, account, stored).await?,
                _ => false,
            };
            if is_known {
                continue;
            }
            if let Some(held) = find_same_bytes(app, account, path).await? {
                report.spares.push(format!(
                    "spare: {account}/{shown} has the bytes of {held}, and may be removed"
                ));
            } else {
                report.disagreements.push(format!(
                    "without entry: {account}/{shown} is on disk, but not in the index"
                ));
            }
        }
    }
}

/// Whether an asset means the file of this name, or a trashed one whose file has not been moved yet does.
async fn has_entry(app: &App, account: Uuid, stored: String) -> Result<bool> {
    let fold = fold_key(&stored);
    let row = app.db.read(move |tx| queries::find_by_stored_fold(tx, account, &fold)).await?;
    if row.is_some_and(|asset| asset.stored_name == stored) {
        return Ok(true);
    }
    Ok(app.db.read(move |tx| queries::is_stored_name_trashed(tx, account, &stored)).await?)
}

/// The listed name under which the bytes of a file without an entry are held anyway.
async fn find_same_bytes(app: &App, account: Uuid, path: PathBuf) -> Result<Option<String>> {
    let Ok((digest, _)) = blocking(move || hash_file(&path)).await else { return Ok(None) };
    let found = app.db.read(move |tx| queries::find_by_digest(tx, account, &digest)).await?;
    Ok(found.filter(|asset| asset.listed).map(|asset| asset.name))
}
