//! Whole files without a row belong to the account that owns the folder: a crash between publishing and committing
//! leaves them, and so does a person with a file manager. They are taken in, never swept.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use photosync_protocol::names::fold_key;
use uuid::Uuid;

use crate::accounts::{self, owner_file, queries as account_queries};
use crate::auth::random_id;
use crate::blobs::{BlobError, Key, NAMES_FILE, OWNER_FILE, hash_file, sync_dir, sync_file};
use crate::boot::App;
use crate::db::DbResult;
use crate::error::{Error, Result};
use crate::library::queries::{self, NewAsset};
use crate::uploads::ingest::{keep_lost_name, media_type, reserve};
use crate::uploads::reservations::NameGuard;

/// What became of files without a row.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Files that are held now.
    pub files: u64,
    /// One sentence for each that is not, and why.
    pub left: Vec<String>,
}

/// Adopts in every live account's folder; returns how many files. What cannot be read is logged and left.
pub async fn adopt_all(app: &App) -> Result<u64> {
    Ok(adopt_settled(app, i64::MIN).await?.files)
}

/// As [`adopt_all`], but only files that were last changed at least so many milliseconds ago.
pub async fn adopt_settled(app: &App, least_age_ms: i64) -> Result<Adopted> {
    crate::library::require_storage(app).await?;
    let accounts = accounts::list(app).await?;
    let before_ms = app.clock.now_ms().saturating_sub(least_age_ms);
    let mut adopted = Adopted::default();
    for account in accounts.into_iter().filter(|account| account.deleted_at_ms.is_none()) {
        // A crash during registration leaves a row without its folder or the folder without its owner.
        let owner = app.originals.account_folder(account.account_uuid).join(OWNER_FILE);
        if !blocking(move || owner.try_exists()).await? {
            owner_file::ensure_folder(app, &account).await?;
        }
        let done = adopt_in(app, account.account_uuid, before_ms).await?;
        adopted.files += done.files;
        for left in done.left {
            tracing::warn!(left, "a file without an entry in the index was left alone");
            adopted.left.push(left);
        }
    }
    Ok(adopted)
}

/// Adopts in one account's folder, oldest file first. A file that cannot be read stops nobody else's.
pub async fn adopt_folder(app: &App, account: Uuid) -> Result<Adopted> {
    adopt_in(app, account, i64::MAX).await
}

/// Files that were changed after `before_ms` are left for later.
async fn adopt_in(app: &App, account: Uuid, before_ms: i64) -> Result<Adopted> {
    let folder = app.originals.account_folder(account);
    let (files, names) = blocking(move || Ok((list_files(&folder)?, lost_names(&folder)))).await?;
    let on_disk: HashSet<String> = files.iter().map(|file| file.name.clone()).collect();
    let mut done = Adopted::default();
    for file in files.into_iter().filter(|file| file.modified_ms <= before_ms) {
        let shown = format!("{account}/{}", file.name);
        match adopt_file(app, account, file, &names, &on_disk).await {
            Ok(true) => done.files += 1,
            Ok(false) => {}
            Err(error) => done.left.push(format!("{shown}: {}", error.cause_chain())),
        }
    }
    Ok(done)
}

struct Found {
    name: String,
    path: PathBuf,
    size_bytes: u64,
    modified_ms: i64,
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let failed = |source| BlobError::new("look through", "an account's folder", source);
    let done = tokio::task::spawn_blocking(work)
        .await
        .map_err(|source| failed(std::io::Error::other(source)))?;
    Ok(done.map_err(failed)?)
}

/// Regular files whose names do not begin with a dot, oldest first. A missing folder has none.
fn list_files(folder: &Path) -> std::io::Result<Vec<Found>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 was not made by us; `check` names it.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let metadata = entry.metadata()?;
        if name.starts_with('.') || !metadata.is_file() || metadata.len() == 0 {
            continue;
        }
        let modified =
            metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let modified_ms = i64::try_from(modified.as_millis()).unwrap_or(0);
        files.push(Found { name, path: entry.path(), size_bytes: metadata.len(), modified_ms });
    }
    files.sort_by(|a, b| (a.modified_ms, &a.name).cmp(&(b.modified_ms, &b.name)));
    Ok(files)
}

/// Listed names that the disk could not keep, by stored name.
fn lost_names(folder: &Path) -> HashMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Line {
        stored: String,
        name: String,
    }
    let text = std::fs::read_to_string(folder.join(NAMES_FILE)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.map(|line| (line.stored, line.name)).collect()
}

async fn adopt_file(
    app: &App,
    account: Uuid,
    file: Found,
    names: &HashMap<String, String>,
    on_disk: &HashSet<String>,
) -> Result<bool> {
    let stored_fold = fold_key(&file.name);
    let fold = stored_fold.clone();
    let known = app.db.read(move |tx| queries::find_by_stored_fold(tx, account, &fold)).await?;
    // A row of another case may still mean this file: on a disk that does not tell them apart, or after a person
    // renamed it. Only when both names are on the disk is this one without a row.
    let is_another =
        |row: &queries::Asset| row.stored_name != file.name && on_disk.contains(&row.stored_name);
    if known.is_some_and(|row| !is_another(&row)) {
        return Ok(false);
    }
    let path = file.path.clone();
    let (digest, size_bytes, head) = blocking(move || {
        let (digest, size_bytes) = hash_file(&path)?;
        let mut head = Vec::new();
        std::io::Read::read_to_end(
            &mut std::io::Read::take(std::fs::File::open(&path)?, 512),
            &mut head,
        )?;
        Ok((digest, size_bytes, head))
    })
    .await?;
    // An upload that is just being committed holds the stripe: afterwards its row is there.
    let _stripe = app.stripes.lock(account, &digest).await;
    let still_there = app.originals.find_size(&Key::original(account, &file.name)).await?;
    if size_bytes != file.size_bytes || still_there != Some(size_bytes) {
        return Ok(false);
    }
    // Nobody may have synced it yet: its row must not be more durable than its bytes.
    let path = file.path.clone();
    blocking(move || {
        sync_file(&path)?;
        path.parent().map_or(Ok(()), sync_dir)
    })
    .await?;
    let name = names.get(&file.name).cloned().unwrap_or_else(|| file.name.clone());
    let mut new = NewAsset {
        asset_id: random_id(),
        account_uuid: account,
        digest,
        size_bytes: i64::try_from(size_bytes).unwrap_or(i64::MAX),
        name_fold: fold_key(&name),
        name,
        stored_name: file.name,
        stored_fold,
        media_type: media_type(&head),
        arrived_at_ms: file.modified_ms,
        taken: None,
    };
    // Without the reservation, an upload that was promised this name, in another case, would fail at its row.
    let mut guard = app.names.try_reserve(account, &new.name_fold, &new.stored_fold);
    let (name_fold, stored_fold) = (new.name_fold.clone(), new.stored_fold.clone());
    let (known, taken) = app
        .db
        .read(move |tx| -> DbResult<_> {
            let known = queries::find_by_digest(tx, account, &digest)?;
            Ok((known, queries::is_name_taken(tx, account, &name_fold, &stored_fold)?))
        })
        .await?;
    // Held under another name: `check` names the spare copy. In the trash: what was put back by hand stays there.
    if known.is_some() {
        return Ok(false);
    }
    if taken || guard.is_none() {
        drop(guard);
        guard = move_to_free_name(app, &mut new).await?;
    }
    let Some(_guard) = guard else { return Ok(false) };
    app.db
        .write(move |tx| -> Result<bool> {
            if queries::is_name_taken(tx, account, &new.name_fold, &new.stored_fold)? {
                return Ok(false);
            }
            queries::store(tx, &new)?;
            Ok(true)
        })
        .await
}

/// Renames a file without a row whose name a row has got meanwhile: a crash left `a.jpg`, and then `A.JPG` came.
/// `None` if the file is gone. The guard keeps the new name until the row is committed.
async fn move_to_free_name(app: &App, new: &mut NewAsset) -> Result<Option<NameGuard>> {
    let from = Key::original(new.account_uuid, &new.stored_name);
    let mut number = 2;
    loop {
        let (candidate, guard) = reserve(app, new.account_uuid, &new.name, number).await?;
        let to = Key::original(new.account_uuid, &candidate.stored_name);
        match app.originals.relocate(&from, &to).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) if error.source.kind() == std::io::ErrorKind::AlreadyExists => {
                number = candidate.number + 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        new.name_fold = fold_key(&candidate.name);
        new.name = candidate.name;
        new.stored_fold = fold_key(&candidate.stored_name);
        new.stored_name = candidate.stored_name;
        keep_lost_name(app, new).await?;
        return Ok(Some(guard));
    }
}

/// Marks a new database as knowing this account, from its folder: used by `rebuild`.
pub async fn adopt_account(app: &App, account: account_queries::Account) -> Result<()> {
    app.db.write(move |tx| account_queries::store(tx, &account)).await.map_err(Error::from)
}
