//! Copies of everything on another disk, made while uploads run.
//!
//! A backup is a folder of *generations*, each a whole data folder as it was at one moment. A file that has not changed
//! since the generation before it is a hard link to that one's copy, never to a live file. First the files are copied, then
//! the database in one snapshot, then what that names and came in between: so every row has its bytes, and nothing that was
//! acknowledged before the backup began is missing. What the server itself has lost since the generation before comes from
//! there, and is named. A generation gets its name when all of it is durable.

mod copying;
mod generations;
mod restoring;

use std::io;
use std::path::{Path, PathBuf};

use photosync_protocol::error::ErrorCode;

pub use generations::Generation;
pub use restoring::{Tried, prove, restore};

use super::check;
use crate::accounts::queries::find_fact;
use crate::blobs::Key;
use crate::boot::App;
use crate::db::{self, Db, DbSettings};
use crate::error::{Error, Result};
use crate::library::queries::list_all;
use crate::relay::queries::objects::list_next;
use copying::Copying;

/// The fact that says of when the newest backup is whose restore was proved.
const PROVED_FACT: &str = "backup_proved";
const DATABASE: &str = "photosync.db";
const VOLUME: &str = "volume.json";

/// Rows that one transaction looks at.
const STEP_ROWS: i64 = 1000;

/// What a backup came to.
#[derive(Debug)]
pub struct Made {
    /// The new generation.
    pub folder: PathBuf,
    /// What it says of itself.
    pub generation: Generation,
    /// Bytes that were copied; the rest is shared with the generation before.
    pub copied_bytes: u64,
    /// What the server itself does not have whole, and whether it was kept from the generation before.
    pub missing: Vec<String>,
    /// Older generations that were removed.
    pub removed: usize,
    /// Whether it lies on the disk of the originals, with which it would be lost.
    pub is_same_disk: bool,
}

/// Makes a new generation in `target`, and then removes the oldest beyond `keep`, if that is given and nothing is missing.
pub async fn make(app: &App, target: PathBuf, keep: Option<usize>) -> Result<Made> {
    let volumes = require_storage(app).await?;
    let config = app.config.clone();
    let mut trees = vec![
        (config.uploads.clone(), "uploads"),
        (config.relay.clone(), "relay"),
        (config.data_dir.join("secrets"), "secrets"),
    ];
    trees.extend(
        config
            .relay_chunks
            .clone()
            .filter(|root| *root != config.relay)
            .map(|root| (root, "relay")),
    );
    let now_ms = app.clock.now_ms();
    let prepared = move || Copying::begin(&target, trees, &config, now_ms);
    let mut copying = blocking("begin a backup", prepared).await?;
    copying = blocking("copy the files", move || copying.copy_trees()).await?;

    let (live, copy) = (app.config.database.clone(), copying.partial.join(DATABASE));
    let marker = app.config.data_dir.join(VOLUME);
    let snapshot = move || -> io::Result<Copying> {
        // The one of a backup that broke off.
        remove_file_if_there(&copy)?;
        db::snapshot(&live, &copy).map_err(io::Error::other)?;
        copying.copy(&marker, Path::new(VOLUME))?;
        Ok(copying)
    };
    let mut copying = blocking("copy the database", snapshot).await?;
    complete(app, &mut copying).await?;
    // A disk that went away meanwhile looks like one without photos.
    if require_storage(app).await? != volumes {
        return Err(Error::new(
            ErrorCode::StorageFailed,
            "the storage is another one than when the backup began",
        ));
    }
    blocking("end a backup", move || copying.end(keep)).await
}

/// The ids of the disks that everything lies on. Refused while one is not there.
async fn require_storage(app: &App) -> Result<[String; 3]> {
    let mut ids = [const { String::new() }; 3];
    for (id, store) in ids.iter_mut().zip([&app.originals, &app.relay, &app.relay_chunks]) {
        *id = store.find_volume_id().await.ok_or_else(|| {
            let message = format!(
                "the storage {} is not there; nothing is backed up",
                store.root().display()
            );
            Error::new(ErrorCode::StorageFailed, message)
        })?;
    }
    Ok(ids)
}

/// Sees to it that every row of the copied database has its file: from the server if the first walk did not find it, from
/// the generation before if the server does not have it whole any more.
async fn complete(app: &App, copying: &mut Copying) -> Result<()> {
    let db = Db::start(&DbSettings {
        path: copying.partial.join(DATABASE),
        readers: 1,
        queue_wait: app.config.queue_wait,
    })?;
    let mut after = String::new();
    loop {
        let start = after.clone();
        let page = db.read(move |tx| list_all(tx, &start, STEP_ROWS)).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.asset_id);
        for asset in page {
            let keys = check::places_of(&asset);
            let name = format!("{}/{}", asset.account_uuid, asset.name);
            copying.require(&app.originals, "uploads", &keys, asset.size_bytes, name)?;
        }
    }
    let (mut account, mut after) = (String::new(), String::new());
    loop {
        let (from, start) = (account.clone(), after.clone());
        let page = db.read(move |tx| list_next(tx, &from, &start, STEP_ROWS)).await?;
        let Some((last_account, last)) = page.last() else { break };
        account = last_account.to_string();
        after.clone_from(&last.chunk_id);
        for (account, object) in page {
            let keys = [Key::chunk(account, &object.chunk_id)];
            let name = format!("{account}, sealed object {}", object.chunk_id);
            copying.require(&app.relay_chunks, "relay", &keys, object.size_bytes, name)?;
        }
    }
    db.close().await;
    Ok(())
}

/// When the newest backup was made whose restore was proved, Unix milliseconds; `None` if none was.
pub async fn proved_made_at_ms(app: &App) -> Result<Option<i64>> {
    let text: Option<String> = app.db.read(|tx| find_fact(tx, PROVED_FACT)).await?;
    Ok(text.and_then(|text| text.parse().ok()))
}

fn remove_file_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_tree_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Does work with files where it holds up nobody.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.flatten().map_err(|source| match source.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::ResourceBusy | io::ErrorKind::NotFound => {
            Error::bad_request(source.to_string())
        }
        io::ErrorKind::StorageFull => {
            let message = format!("could not {what}: the disk of the backup is full");
            Error::new(ErrorCode::StorageFull, message)
        }
        _ => Error::internal(what).caused_by(source),
    })
}
