//! Pictures of what is stored: facts, thumbnails, placeholders, posters of videos. What is made here can be made again,
//! and no original is ever changed, moved or called damaged here.
//!
//! [`queue`] takes assets whose rows say that they are due, [`process`] starts a worker for each file, [`worker`] is that
//! process, [`rules`] says when a picture was taken, [`renditions`] are the files.

pub mod facts;
pub mod films;
mod process;
mod queries;
pub mod queue;
pub mod renditions;
pub mod routes;
pub mod rules;
pub mod times;
mod tools;
mod transcode;
pub mod worker;

use std::fs::File;
use std::path::{Path, PathBuf};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::blobs::BlobError;
use crate::boot::App;
use crate::clock::{system_time, unix_ms};
use crate::config::Config;
use crate::error::{Error, Result};
pub use renditions::Recipe;
use renditions::Renditions;
use tools::Tools;

/// Writing a rendition takes no longer than this, whatever the disk does: 1 h.
const UNFINISHED_MS: i64 = 60 * 60 * 1000;

/// What the capability needs of the server; one per process.
pub struct Media {
    program: Option<PathBuf>,
    tools: Tools,
    renditions: Renditions,
    wanted: Notify,
    films: films::Films,
}

impl Media {
    /// With the program to start as a worker; without one nothing is looked at.
    pub fn new(config: &Config, program: Option<PathBuf>) -> Self {
        Self {
            program,
            tools: Tools::find(&config.media_ffmpeg, &config.media_heif),
            renditions: Renditions::of(&config.data_dir),
            wanted: Notify::new(),
            films: films::Films::default(),
        }
    }

    /// This program, if it may be started as a worker.
    pub fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// Something is due.
    pub fn wake(&self) {
        self.wanted.notify_one();
    }
}

/// What has to be looked at, and what could not be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Assets that wait for the worker.
    pub waiting: i64,
    /// Pictures and videos without renditions, by class of the failure.
    pub failed: Vec<(String, i64)>,
}

/// Counts what waits and what failed.
pub async fn count(app: &App) -> Result<Counts> {
    let (waiting, failed) = app.db.read(queries::count).await?;
    Ok(Counts { waiting, failed })
}

/// Tries those again that could not be shown, of one class of failures or of all. Returns how many.
pub async fn retry_failed(app: &App, class: Option<String>) -> Result<i64> {
    let now_ms = app.clock.now_ms();
    let count = app.db.write(move |tx| queries::retry_failed(tx, class.as_deref(), now_ms)).await?;
    app.wake_media();
    Ok(count)
}

/// Programs that are not there: what each is for, and its Debian package. Looks now.
pub fn missing_tools(config: &Config) -> Vec<(&'static str, &'static str)> {
    Tools::find(&config.media_ffmpeg, &config.media_heif).missing()
}

/// A rendition that is there.
#[derive(Debug)]
pub struct Shown {
    /// The open file.
    pub file: File,
    /// Its length.
    pub size_bytes: u64,
    /// When it was made, Unix milliseconds.
    pub made_at_ms: i64,
    /// Its type.
    pub media_type: &'static str,
}

/// A rendition of an asset, also of one in the trash. One whose file is gone is made again; until then there is none.
pub async fn get_rendition(
    app: &App,
    account: Uuid,
    asset_id: &str,
    recipe: Recipe,
) -> Result<Shown> {
    let missing = || Error::not_found("there is no such picture (yet)");
    let id = asset_id.to_owned();
    let state = app.db.read(move |tx| queries::find_state(tx, account, &id)).await?;
    if state.as_deref() != Some("done") {
        return Err(missing());
    }
    let (owner, id) = (app.clone(), asset_id.to_owned());
    let opened = blocking("read", move || {
        let Some((file, media_type)) = owner.media.renditions.open(account, &id, recipe)? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        let made_at_ms = metadata.modified().map_or(0, unix_ms);
        Ok(Some(Shown { file, size_bytes: metadata.len(), made_at_ms, media_type }))
    });
    if let Some(shown) = opened.await? {
        return Ok(shown);
    }
    let (id, now_ms) = (asset_id.to_owned(), app.clock.now_ms());
    app.db.write(move |tx| queries::set_due(tx, &id, now_ms, 0)).await?;
    app.wake_media();
    Err(missing())
}

/// Removes the renditions of an asset that is removed for good.
pub async fn forget(app: &App, account: Uuid, asset_id: &str) -> Result<()> {
    let (owner, id) = (app.clone(), asset_id.to_owned());
    blocking("remove", move || owner.media.renditions.remove(account, &id)).await
}

/// Removes the renditions of an account that is erased.
pub async fn forget_account(app: &App, account: Uuid) -> Result<()> {
    let owner = app.clone();
    blocking("remove", move || owner.media.renditions.remove_account(account)).await
}

/// Removes renditions without an asset in one of the 256 parts of every account: each hour another one.
pub async fn sweep(app: &App) -> Result<u64> {
    let part = u8::try_from((app.clock.now_ms() / 3_600_000).rem_euclid(256)).unwrap_or(0);
    sweep_part(app, part).await
}

/// [`sweep`] of every part.
pub async fn sweep_all(app: &App) -> Result<u64> {
    let mut swept = 0;
    for part in 0..=u8::MAX {
        swept += sweep_part(app, part).await?;
    }
    Ok(swept)
}

async fn sweep_part(app: &App, part: u8) -> Result<u64> {
    let owner = app.clone();
    let accounts = blocking("list", move || owner.media.renditions.list_accounts()).await?;
    let mut swept = 0;
    let begun_before = system_time(app.clock.now_ms() - UNFINISHED_MS);
    for account in accounts {
        let owner = app.clone();
        let unfinished =
            move || owner.media.renditions.sweep_unfinished(account, part, begun_before);
        blocking("sweep", unfinished).await?;
        let owner = app.clone();
        let ids = move || owner.media.renditions.list_assets(account, part);
        for id in blocking("list", ids).await? {
            let asked = id.clone();
            if !app.db.read(move |tx| queries::is_known(tx, account, &asked)).await? {
                forget(app, account, &id).await?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let failed = move |source| BlobError::new(action, "thumbnails", source);
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|source| failed(std::io::Error::other(source)))?.map_err(failed)?)
}
