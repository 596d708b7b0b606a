//! Films in a version that every browser plays. One is made at a time: first what somebody waits for, the last one asked for
//! first; then, when there is nothing else to look at, short films that not every browser plays. They have a room of their
//! own (`media.playable_bytes`), in which the one that nobody looked at for longest makes room.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use photosync_protocol::v2::films::{Playable, PlayableState};
use tokio::sync::Notify;
use uuid::Uuid;

use super::facts::{Class, Motion};
use super::process::{Failure, Workshop};
use super::queries::films::{self, Wish};
use super::transcode::Order;
use super::{Shown, queries};
use crate::blobs::Key;
use crate::boot::App;
use crate::clock::unix_ms;
use crate::error::{Error, Result};

/// How often it is looked even if nobody asks.
const EVERY: Duration = Duration::from_secs(60);
/// While thumbnails are made, films nobody asked for wait so long.
const BUSY: Duration = Duration::from_secs(5);
/// A film that is looked at stays looked at for so long, before that is written down again: 1 h.
const LOOKED_AT_MS: i64 = 60 * 60 * 1000;
/// The class of a film for which the disk has no room.
const NO_ROOM: &str = "no_room";

/// How far the film is that is being made.
struct Making {
    asset_id: String,
    done_ms: i64,
    whole_ms: Option<i64>,
}

/// What is wanted, and what is being made.
#[derive(Default)]
pub struct Films {
    wanted: Notify,
    /// Somebody waits: what is made ahead can wait.
    is_asked: AtomicBool,
    making: Mutex<Option<Making>>,
}

impl Films {
    /// A film may be due.
    pub fn wake(&self) {
        self.wanted.notify_one();
    }

    fn set_making(&self, making: Option<Making>) {
        *self.making.lock().unwrap_or_else(PoisonError::into_inner) = making;
    }

    fn set_done(&self, done_ms: i64) {
        if let Some(making) = &mut *self.making.lock().unwrap_or_else(PoisonError::into_inner) {
            making.done_ms = done_ms;
        }
    }

    fn progress_of(&self, asset_id: &str) -> Option<f64> {
        let making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let making = making.as_ref().filter(|making| making.asset_id == asset_id)?;
        let whole_ms = making.whole_ms.filter(|ms| *ms > 0)?;
        Some((making.done_ms as f64 / whole_ms as f64).clamp(0.0, 1.0))
    }
}

fn is_on(app: &App) -> bool {
    app.config.media_workers > 0
        && app.config.media_playable_bytes > 0
        && app.media.program.is_some()
        && app.media.tools.program(super::facts::Tool::Ffmpeg).is_some()
}

fn told(state: PlayableState) -> Playable {
    Playable { state, progress: None, error: None }
}

fn no_film() -> Error {
    Error::not_found("there is no such film")
}

/// How far the playable version of a held film is.
pub async fn get(app: &App, account: Uuid, asset_id: &str) -> Result<Playable> {
    let id = asset_id.to_owned();
    let film = app.db.read(move |tx| films::find(tx, account, &id)).await?.ok_or_else(no_film)?;
    if !is_on(app) {
        return Ok(told(PlayableState::Off));
    }
    let Some(made) = film.made else { return Ok(told(PlayableState::None)) };
    Ok(match made.state.as_str() {
        "waiting" => told(PlayableState::Waiting),
        "making" => Playable {
            progress: app.media.films.progress_of(asset_id),
            ..told(PlayableState::Making)
        },
        "ready" if is_there(app, account, asset_id).await? => told(PlayableState::Ready),
        "ready" => told(PlayableState::None),
        _ => Playable { error: made.error, ..told(PlayableState::Failed) },
    })
}

async fn is_there(app: &App, account: Uuid, asset_id: &str) -> Result<bool> {
    let (owner, id) = (app.clone(), asset_id.to_owned());
    let opened =
        super::blocking("read", move || owner.media.renditions.open_playable(account, &id));
    Ok(opened.await?.is_some())
}

/// Wants the playable version of a held film; says how far it is.
pub async fn want(app: &App, account: Uuid, asset_id: &str) -> Result<Playable> {
    let found = get(app, account, asset_id).await?;
    let is_final = |error: Option<&str>| {
        let later = ["timeout", "out_of_memory", "crashed", "missing_tool", NO_ROOM];
        !error.is_some_and(|error| later.contains(&error))
    };
    match found.state {
        PlayableState::Off => return Ok(found),
        PlayableState::Failed if is_final(found.error.as_deref()) => return Ok(found),
        _ => {}
    }
    // One that is ready or being made stays so, and is only noted as looked at.
    let stays = matches!(found.state, PlayableState::Ready | PlayableState::Making);
    let (id, now_ms) = (asset_id.to_owned(), app.clock.now_ms());
    app.db.write(move |tx| films::want(tx, account, &id, now_ms, stays)).await?;
    if !stays {
        app.media.films.is_asked.store(true, Ordering::Relaxed);
        app.media.films.wake();
    }
    get(app, account, asset_id).await
}

/// The playable version, if it is ready.
pub async fn open(app: &App, account: Uuid, asset_id: &str) -> Result<Shown> {
    let missing = || Error::not_found("there is no such film (yet)");
    let id = asset_id.to_owned();
    let film = app.db.read(move |tx| films::find(tx, account, &id)).await?.ok_or_else(missing)?;
    let made = film.made.filter(|made| made.state == "ready").ok_or_else(missing)?;
    let (owner, id) = (app.clone(), asset_id.to_owned());
    let opened = super::blocking("read", move || {
        let Some(file) = owner.media.renditions.open_playable(account, &id)? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        let made_at_ms = metadata.modified().map_or(0, unix_ms);
        let size_bytes = metadata.len();
        Ok(Some(Shown { file, size_bytes, made_at_ms, media_type: "video/mp4" }))
    });
    let shown = opened.await?.ok_or_else(missing)?;
    let now_ms = app.clock.now_ms();
    if now_ms - made.asked_at_ms > LOOKED_AT_MS {
        let id = asset_id.to_owned();
        app.db.write(move |tx| films::want(tx, account, &id, now_ms, true)).await?;
    }
    Ok(shown)
}

/// Runs until it is dropped. Does nothing where none are made.
pub async fn run(app: App) {
    if !is_on(&app) {
        return;
    }
    if let Err(error) = app.db.write(films::give_back).await {
        let error = Error::from(error);
        tracing::error!(%error, causes = error.cause_chain(), "playable versions of films cannot be made; it is tried again at the next start");
        return;
    }
    while !app.is_stopping() {
        let pause = match make_next(&app).await {
            Ok(None) => continue,
            Ok(Some(pause)) => pause,
            Err(error) => {
                tracing::error!(%error, causes = error.cause_chain(), "making a playable version of a film failed; it is tried again");
                EVERY
            }
        };
        let _ = tokio::time::timeout(pause, app.media.films.wanted.notified()).await;
    }
}

/// Makes the next one; how long to rest if there is nothing to do.
async fn make_next(app: &App) -> Result<Option<Duration>> {
    app.media.films.is_asked.store(false, Ordering::Relaxed);
    let Some(wish) = app.db.read(films::find_next).await? else { return Ok(Some(EVERY)) };
    crate::library::require_storage(app).await?;
    let is_ahead = wish.asked_at_ms == 0;
    let now_ms = app.clock.now_ms();
    if is_ahead && app.db.read(move |tx| queries::has_due(tx, now_ms)).await? {
        return Ok(Some(BUSY));
    }
    let key = Key::original(wish.account, &wish.stored_name);
    let Some((file, metadata)) = app.originals.open(&key).await? else {
        set_failed(app, &wish, Class::Corrupt.as_str()).await?;
        return Ok(None);
    };
    let most_bytes = app.config.media_playable_bytes;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let order = Order {
        duration_ms: wish.duration_ms,
        transfer: wish.transfer,
        copies: wish.copies,
        motion: wish.motion,
        // Whoever waits gets what thumbnails get; one ahead gets what is left.
        threads: if is_ahead { 1 } else { app.config.media_workers.min(processors) },
        most_bytes,
    };
    let expected_bytes = order.expected_bytes(metadata);
    if is_ahead {
        let used_bytes = app.db.read(films::count_bytes).await?;
        if used_bytes.saturating_add(expected_bytes) > most_bytes / 2 {
            // What somebody asked for is worth more than what nobody has asked for yet.
            return Ok(Some(EVERY));
        }
    }
    if !has_room(app, expected_bytes).await? {
        if is_ahead {
            return Ok(Some(EVERY));
        }
        set_failed(app, &wish, NO_ROOM).await?;
        return Ok(None);
    }
    make(app, wish, file, order).await?;
    Ok(None)
}

async fn has_room(app: &App, bytes: u64) -> Result<bool> {
    let (owner, reserve_bytes) = (app.clone(), app.originals.reserve_bytes());
    let has_room = move || Ok(owner.media.renditions.has_room(reserve_bytes.saturating_add(bytes)));
    super::blocking("look at the disk of", has_room).await
}

async fn make(app: &App, wish: Wish, file: std::fs::File, order: Order) -> Result<()> {
    let (id, account) = (wish.asset_id.clone(), wish.account);
    app.db.write(move |tx| films::set_making(tx, &id)).await?;
    app.media.films.set_making(Some(Making {
        asset_id: wish.asset_id.clone(),
        done_ms: 0,
        whole_ms: wish.duration_ms,
    }));
    let Some(program) = app.media.program.clone() else { return Ok(()) };
    let folder = app.media.renditions.work_folder(&format!("{}.playable", wish.asset_id));
    let workshop = Workshop { program, tools: app.media.tools.clone(), folder: folder.clone() };
    let (owner, is_ahead) = (app.clone(), wish.asked_at_ms == 0);
    let made = tokio::task::spawn_blocking(move || {
        let films = &owner.media.films;
        let is_over = || owner.is_stopping() || is_ahead && films.is_asked.load(Ordering::Relaxed);
        workshop.make_playable(file, &order, &|done_ms| films.set_done(done_ms), &is_over)
    })
    .await;
    app.media.films.set_making(None);
    let made = made.map_err(|source| Error::internal("make a film").caused_by(source))?;
    let outcome = match made {
        Ok(path) => keep(app, &wish, path).await,
        Err(Failure::Stopped) => {
            let id = wish.asset_id.clone();
            app.db.write(move |tx| films::set_waiting(tx, &id)).await.map_err(Error::from)
        }
        Err(Failure::NotStarted(source)) => {
            let id = wish.asset_id.clone();
            app.db.write(move |tx| films::set_waiting(tx, &id)).await?;
            Err(Error::internal("start a media worker").caused_by(source))
        }
        Err(Failure::Ended(class, why)) => {
            tracing::warn!(
                asset = wish.asset_id,
                class = class.as_str(),
                why,
                "there is no playable version of a film; the original is untouched"
            );
            set_failed(app, &wish, class.as_str()).await
        }
    };
    // What stays is swept at the next start.
    let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
    app.changes.publish(account);
    outcome
}

async fn set_failed(app: &App, wish: &Wish, class: &'static str) -> Result<()> {
    let id = wish.asset_id.clone();
    Ok(app.db.write(move |tx| films::set_failed(tx, &id, class)).await?)
}

/// The file first, the row afterwards; then others make room.
async fn keep(app: &App, wish: &Wish, path: std::path::PathBuf) -> Result<()> {
    let (owner, account, id) = (app.clone(), wish.account, wish.asset_id.clone());
    let store = move || owner.media.renditions.store_playable(account, &id, &path);
    let size_bytes = super::blocking("write", store).await?;
    let (id, size) = (wish.asset_id.clone(), i64::try_from(size_bytes).unwrap_or(i64::MAX));
    if !app.db.write(move |tx| films::set_ready(tx, &id, size)).await? {
        // Its original was removed meanwhile.
        return super::forget(app, account, &wish.asset_id).await;
    }
    loop {
        if app.db.read(films::count_bytes).await? <= app.config.media_playable_bytes {
            return Ok(());
        }
        let kept = wish.asset_id.clone();
        let oldest = app.db.read(move |tx| films::find_oldest(tx, &kept)).await?;
        let Some((account, asset_id)) = oldest else { return Ok(()) };
        let (owner, id) = (app.clone(), asset_id.clone());
        super::blocking("remove", move || owner.media.renditions.remove_playable(account, &id))
            .await?;
        app.db.write(move |tx| films::forget(tx, &asset_id)).await?;
    }
}

/// The part of a held picture that is its film.
pub async fn find_motion(app: &App, account: Uuid, asset_id: &str) -> Result<Motion> {
    let id = asset_id.to_owned();
    let film = app.db.read(move |tx| films::find(tx, account, &id)).await?;
    film.and_then(|film| film.motion).ok_or_else(no_film)
}
