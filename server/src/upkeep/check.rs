//! Compares the index with the disk and names every disagreement. Changes nothing.

use std::collections::HashSet;

use photosync_protocol::names::fold_key;
use uuid::Uuid;

use crate::accounts;
use crate::blobs::{Key, OWNER_FILE, hash_file};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::library::queries;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Assets looked at.
    pub assets: u64,
    /// Files looked at.
    pub files: u64,
    /// One sentence each.
    pub disagreements: Vec<String>,
    /// Files without an entry whose bytes are held under another name: nothing is wrong with them. A crash between
    /// publishing and committing leaves one when the same bytes are sent again under another name before adoption.
    pub spares: Vec<String>,
}

/// Compares every row with its file (length always, bytes if `read_bytes`) and every file with its row.
pub async fn check(app: &App, read_bytes: bool) -> Result<Report> {
    let mut report = Report::default();
    check_rows(app, read_bytes, &mut report).await?;
    check_folders(app, &mut report).await?;
    Ok(report)
}

async fn check_rows(app: &App, read_bytes: bool, report: &mut Report) -> Result<()> {
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = app.db.read(move |tx| queries::list_all(tx, &start, 1000)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.asset_id);
        for asset in page {
            report.assets += 1;
            let original = Key::original(asset.account_uuid, &asset.stored_name);
            let trashed = Key::trashed(asset.account_uuid, &asset.asset_id);
            let in_trash = asset.trashed_at_ms.is_some();
            let found = [original, trashed]
                .into_iter()
                .take(if in_trash { 2 } else { 1 })
                .find_map(|key| {
                    app.originals.find_size(&key).ok().flatten().map(|size_bytes| (key, size_bytes))
                });
            let Some((key, size_bytes)) = found else {
                report.disagreements.push(format!(
                    "missing: {}/{} ({} bytes) is in the index, but not on disk",
                    asset.account_uuid, asset.name, asset.size_bytes
                ));
                continue;
            };
            if i64::try_from(size_bytes) != Ok(asset.size_bytes) {
                report.disagreements.push(format!(
                    "damaged: {key} has {size_bytes} bytes, the index says {}",
                    asset.size_bytes
                ));
                continue;
            }
            if asset.quarantined_at_ms.is_some() {
                report
                    .disagreements
                    .push(format!("wanted: {key} was found damaged and waits to be sent again"));
            }
            if read_bytes {
                let path = app.originals.path(&key);
                let hashed = tokio::task::spawn_blocking(move || hash_file(&path)).await;
                match hashed.map_err(std::io::Error::other).and_then(|result| result) {
                    Ok((digest, _)) if digest == asset.digest => {}
                    Ok(_) => report
                        .disagreements
                        .push(format!("damaged: the bytes of {key} have changed")),
                    Err(error) => report.disagreements.push(format!("unreadable: {key}: {error}")),
                }
            }
        }
    }
}

async fn check_folders(app: &App, report: &mut Report) -> Result<()> {
    let accounts = accounts::list(app).await?;
    let known: HashSet<String> =
        accounts.iter().map(|account| account.account_uuid.to_string()).collect();
    let unreadable =
        |error: std::io::Error| Error::internal("look through the uploads").caused_by(error);
    for entry in std::fs::read_dir(app.originals.root()).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.path().is_dir() || name.starts_with('.') {
            continue;
        }
        if !known.contains(&name) {
            report.disagreements.push(format!("unknown: the folder {name} belongs to no account"));
            continue;
        }
        let Ok(account) = Uuid::try_parse(&name) else { continue };
        if !entry.path().join(OWNER_FILE).exists() {
            report.disagreements.push(format!("unmarked: the folder {name} has no {OWNER_FILE}"));
        }
        for file in std::fs::read_dir(entry.path()).map_err(unreadable)? {
            let file = file.map_err(unreadable)?;
            let shown = file.file_name().to_string_lossy().into_owned();
            if shown.starts_with('.') {
                continue;
            }
            report.files += 1;
            let is_known = match (file.file_name().into_string(), file.file_type()) {
                (Ok(stored), Ok(kind)) if kind.is_file() => {
                    let fold = fold_key(&stored);
                    let row = app
                        .db
                        .read(move |tx| queries::find_by_stored_fold(tx, account, &fold))
                        .await?;
                    row.is_some_and(|asset| asset.stored_name == stored)
                        || is_being_trashed(app, account, &shown).await?
                }
                _ => false,
            };
            if is_known {
                continue;
            }
            if let Some(held) = find_same_bytes(app, account, &file.path()).await? {
                report.spares.push(format!(
                    "spare: {name}/{shown} has the bytes of {held}, and may be removed"
                ));
            } else {
                report.disagreements.push(format!(
                    "without entry: {name}/{shown} is on disk, but not in the index"
                ));
            }
        }
    }
    Ok(())
}

/// The listed name under which the bytes of a file without an entry are held anyway.
async fn find_same_bytes(
    app: &App,
    account: Uuid,
    file: &std::path::Path,
) -> Result<Option<String>> {
    let path = file.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash_file(&path)).await;
    let Ok(Ok((digest, _))) = hashed else { return Ok(None) };
    let found = app.db.read(move |tx| queries::find_by_digest(tx, account, &digest)).await?;
    Ok(found.filter(|asset| asset.listed).map(|asset| asset.name))
}

/// Whether the file belongs to a trashed asset that has not been moved yet.
async fn is_being_trashed(app: &App, account: Uuid, stored: &str) -> Result<bool> {
    let stored = stored.to_owned();
    Ok(app.db.read(move |tx| queries::is_stored_name_trashed(tx, account, &stored)).await?)
}
