//! Takes what is due and has it looked at, so many at a time. The row of an asset is its job: taking it moves it into the
//! future, so it comes back if this server dies; finishing it takes it out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use photosync_protocol::v2::claims::{Claims, PairRole, PairSource};

use super::facts::{Answer, Class, Facts, Film, Kind, Outcome, Plays, Transfer};
use super::process::{Failure, Workshop};
use super::queries::{self, Job};
use super::rules::{self, Witnesses};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::library::queries::media::{Findings, set_media};
use crate::library::queries::{Asset, find_by_id, pages};

/// Jobs taken at once.
const BATCH: i64 = 32;
/// When a job comes back that nobody finished: 10 min.
const BACK_MS: i64 = 10 * 60 * 1000;
/// Pauses before the second and the third try.
const RETRY_MS: [i64; 2] = [1000, 5000];
/// Tries after which an asset is left alone.
const MAX_ATTEMPTS: i64 = 3;
/// How often it is looked even if nobody asks.
const EVERY_MS: i64 = 60_000;

/// Names whose files may be pictures although their first bytes are not known to everybody.
const RARE_EXTENSIONS: &[&str] = &[
    "3g2", "3gp", "arw", "asf", "avi", "avif", "cr2", "cr3", "dng", "flv", "heic", "heif", "m2ts",
    "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "nef", "nrw", "orf", "pef", "raf", "rw2",
    "srw", "ts", "webm", "wmv",
];

/// Runs until it is dropped. Does nothing if it was told to be off.
pub async fn run(app: App) {
    let (Some(program), workers @ 1..) = (app.media.program.clone(), app.config.media_workers)
    else {
        return;
    };
    let workshop = Arc::new(Workshop {
        program,
        tools: app.media.tools.clone(),
        folder: app.media.renditions.work_folder(""),
    });
    if let Err(error) = begin(&app).await {
        tracing::error!(%error, causes = error.cause_chain(), "thumbnails cannot be made; it is tried again at the next start");
        return;
    }
    while !app.is_stopping() {
        match look_at_batch(&app, &workshop, workers).await {
            Ok(0) => rest(&app).await,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, causes = error.cause_chain(), "making thumbnails failed; it is tried again");
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
    }
}

async fn begin(app: &App) -> Result<()> {
    let owner = app.clone();
    super::blocking("prepare", move || owner.media.renditions.prepare()).await?;
    let (now_ms, has_tools) = (app.clock.now_ms(), app.media.tools.has_any());
    // A start without anything to do commits nothing.
    if !app.db.read(move |tx| queries::has_left(tx, now_ms, has_tools)).await? {
        return Ok(());
    }
    app.db
        .write(move |tx| -> Result<()> {
            queries::give_back(tx, now_ms)?;
            if has_tools {
                queries::retry_missing_tool(tx, now_ms)?;
            }
            Ok(())
        })
        .await
}

/// Until somebody asks, something is due, or a minute is over.
async fn rest(app: &App) {
    let next = app.db.read(queries::find_next_due).await.ok().flatten();
    let wait_ms = next.map_or(EVERY_MS, |due_ms| due_ms - app.clock.now_ms()).clamp(10, EVERY_MS);
    let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(1000));
    let _ = tokio::time::timeout(wait, app.media.wanted.notified()).await;
}

/// How many were taken.
async fn look_at_batch(app: &App, workshop: &Arc<Workshop>, workers: usize) -> Result<usize> {
    crate::library::require_storage(app).await?;
    let now_ms = app.clock.now_ms();
    if !app.db.read(move |tx| queries::has_due(tx, now_ms)).await? {
        return Ok(0);
    }
    let (owner, reserve_bytes) = (app.clone(), app.originals.reserve_bytes());
    let has_room = move || Ok(owner.media.renditions.has_room(reserve_bytes));
    if !super::blocking("look at the disk of", has_room).await? {
        tracing::warn!(
            "no thumbnails are made while the disk has no room beside storage.reserve_bytes"
        );
        let pause = Duration::from_millis(u64::try_from(EVERY_MS).unwrap_or(1000));
        tokio::select! {
            () = app.stop_wanted() => {}
            () = tokio::time::sleep(pause) => {}
        }
        return Ok(0);
    }
    let jobs = app.db.write(move |tx| queries::take(tx, now_ms, now_ms + BACK_MS, BATCH)).await?;
    let count = jobs.len();
    stream::iter(jobs)
        .for_each_concurrent(workers, |job| async move {
            let asset = job.asset_id.clone();
            if let Err(error) = look_at(app, workshop, job).await {
                tracing::warn!(asset, %error, causes = error.cause_chain(), "an original was not looked at; it is tried again");
            }
        })
        .await;
    Ok(count)
}

/// An asset with what devices said of it.
struct Subject {
    asset: Asset,
    claims: Vec<(String, Claims)>,
}

async fn look_at(app: &App, workshop: &Arc<Workshop>, job: Job) -> Result<()> {
    if app.is_stopping() {
        let now_ms = app.clock.now_ms();
        return put_back(app, &job, now_ms, job.attempts - 1).await;
    }
    let Some(subject) = find_subject(app, &job).await? else { return Ok(()) };
    if !may_be_a_picture(&subject.asset) {
        let facts = Facts::default();
        let outcome = Outcome::Failed(Class::Unsupported);
        return finish(app, subject, Answer::without_pictures(outcome, facts)).await;
    }
    let (stopping, workshop) = (app.clone(), workshop.clone());
    let workshop =
        Workshop { folder: workshop.folder.join(&job.asset_id), ..Workshop::clone(&workshop) };
    // Damaged ones are not our business: whoever reads them next finds out.
    let key = crate::blobs::Key::original(subject.asset.account_uuid, &subject.asset.stored_name);
    let Some((file, _)) = app.originals.open(&key).await? else {
        return put_back(app, &job, app.clock.now_ms() + BACK_MS, job.attempts).await;
    };
    let looked =
        tokio::task::spawn_blocking(move || workshop.look(file, &|| stopping.is_stopping()));
    let looked =
        looked.await.map_err(|source| Error::internal("look at an original").caused_by(source))?;
    match looked {
        Ok(answer) => finish(app, subject, answer).await,
        Err(Failure::Stopped) => put_back(app, &job, app.clock.now_ms(), job.attempts - 1).await,
        Err(Failure::NotStarted(source)) => {
            let due_ms = app.clock.now_ms() + EVERY_MS;
            put_back(app, &job, due_ms, job.attempts - 1).await?;
            Err(Error::internal("start a media worker").caused_by(source))
        }
        Err(Failure::Ended(class, why)) => {
            let pause =
                usize::try_from(job.attempts - 1).ok().and_then(|tries| RETRY_MS.get(tries));
            if let Some(pause_ms) = pause.filter(|_| job.attempts < MAX_ATTEMPTS) {
                let due_ms = app.clock.now_ms() + pause_ms;
                return put_back(app, &job, due_ms, job.attempts).await;
            }
            tracing::warn!(
                asset = job.asset_id,
                class = class.as_str(),
                why,
                "there will be no thumbnail of an original; the original is untouched"
            );
            let facts = Facts { kind: guess_kind(&subject.asset), ..Facts::default() };
            let outcome = Outcome::Failed(class);
            finish(app, subject, Answer::without_pictures(outcome, facts)).await
        }
    }
}

async fn put_back(app: &App, job: &Job, due_ms: i64, attempts: i64) -> Result<()> {
    let id = job.asset_id.clone();
    Ok(app.db.write(move |tx| queries::set_due(tx, &id, due_ms, attempts)).await?)
}

async fn find_subject(app: &App, job: &Job) -> Result<Option<Subject>> {
    let job = job.clone();
    app.db
        .read(move |tx| -> Result<Option<Subject>> {
            let Some(asset) = find_by_id(tx, job.account, &job.asset_id)? else { return Ok(None) };
            let rows = pages::list_claims(tx, &job.asset_id, "")?;
            // What an older server wrote and nobody can read any more says nothing.
            let read = |(device, json): (String, String)| {
                Some((device, serde_json::from_str::<Claims>(&json).ok()?))
            };
            let claims = rows.into_iter().filter_map(read).collect();
            Ok(Some(Subject { asset, claims }))
        })
        .await
}

fn may_be_a_picture(asset: &Asset) -> bool {
    let by_bytes = asset.media_type.starts_with("image/") || asset.media_type.starts_with("video/");
    let extension = asset.name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    by_bytes || extension.is_some_and(|extension| RARE_EXTENSIONS.contains(&extension.as_str()))
}

fn guess_kind(asset: &Asset) -> Kind {
    match asset.media_type.split_once('/') {
        Some(("image", _)) => Kind::Photo,
        Some(("video", _)) => Kind::Video,
        _ => Kind::File,
    }
}

/// Files first, the row afterwards: a row that says *done* has them.
async fn finish(app: &App, subject: Subject, answer: Answer) -> Result<()> {
    let Subject { asset, claims } = subject;
    let Answer { outcome, facts, renditions } = answer;
    if !renditions.is_empty() {
        let (owner, account, id) = (app.clone(), asset.account_uuid, asset.asset_id.clone());
        super::blocking("write", move || owner.media.renditions.store(account, &id, &renditions))
            .await?;
    }
    let said: Vec<Claims> = claims.iter().map(|(_, claims)| claims.clone()).collect();
    let times = facts.times();
    let taken = rules::taken(Witnesses {
        times: &times,
        claims: &said,
        name: &asset.name,
        arrived_at_ms: asset.arrived_at_ms,
    });
    let (pair_id, pair_is_guessed) = pair_of(&facts, &claims, &asset.asset_id);
    let Film { plays, codecs, transfer, copies } = facts.film.clone().unwrap_or(NO_FILM);
    // Of a video that nobody could read but ffmpeg it is known that browsers cannot either.
    let is_film = facts.film.is_some() || facts.kind == Kind::Video;
    let error = match outcome {
        Outcome::Done => None,
        Outcome::Failed(class) => Some(class.as_str()),
        Outcome::Needs(_) => Some(Class::MissingTool.as_str()),
    };
    let found = Findings {
        kind: facts.kind.as_str(),
        taken_ms: taken.ms,
        taken_offset_minutes: taken.offset_minutes,
        taken_source: taken.source,
        width: i64::from(facts.width),
        height: i64::from(facts.height),
        duration_ms: facts.duration_ms,
        placeholder: unhex(facts.placeholder.as_deref()),
        pair_id,
        pair_is_guessed,
        error,
        camera: facts.camera(),
        lens: facts.lens.clone(),
        latitude_e7: facts.latitude_e7,
        longitude_e7: facts.longitude_e7,
        payload_hash: unhex(facts.payload_hash.as_deref()),
        dhash: unhex(facts.dhash.as_deref()),
        facts_json: shown_json(&facts),
        times_json: serde_json::to_string(&times).unwrap_or_else(|_| "{}".into()),
        plays: is_film.then(|| name_of(plays)),
        codecs,
        transfer: transfer.map(Transfer::as_str),
        copies,
        motion: facts.motion.and_then(|motion| {
            Some((i64::try_from(motion.at).ok()?, i64::try_from(motion.length).ok()?))
        }),
        asset_id: asset.asset_id,
        account: asset.account_uuid,
    };
    app.db.write(move |tx| set_media(tx, &found)).await?;
    app.changes.publish(asset.account_uuid);
    app.media.films.wake();
    Ok(())
}

const NO_FILM: Film = Film { plays: Plays::Nowhere, codecs: None, transfer: None, copies: false };

/// As in column `asset_facts.plays`.
fn name_of(plays: Plays) -> &'static str {
    match plays {
        Plays::Everywhere => "everywhere",
        Plays::Some => "some",
        Plays::Nowhere => "nowhere",
    }
}

fn unhex(text: Option<&str>) -> Option<Vec<u8>> {
    text.and_then(|text| hex::decode(text).ok())
}

/// A flat object of texts.
fn shown_json(facts: &Facts) -> String {
    let shown: &BTreeMap<String, String> = &facts.shown;
    serde_json::to_string(shown).unwrap_or_else(|_| "{}".into())
}

/// What both halves of a pair have in common, the surest first: Apple's id in both files, one file for both, a device's photo
/// library, a guess by names.
fn pair_of(facts: &Facts, claims: &[(String, Claims)], asset_id: &str) -> (Option<String>, bool) {
    if let Some(id) = &facts.content_id {
        return (Some(format!("apple:{id}")), false);
    }
    if facts.motion.is_some() {
        return (Some(format!("embedded:{asset_id}")), false);
    }
    for wanted in [PairSource::Library, PairSource::Name] {
        let said =
            claims.iter().filter_map(|(device, claims)| Some((device, claims.pair.as_ref()?)));
        let fits = |role: PairRole| match facts.kind {
            Kind::Photo => role == PairRole::Still,
            Kind::Video => role == PairRole::Motion,
            Kind::File => false,
        };
        let mut said = said.filter(|(_, pair)| pair.source == wanted && fits(pair.role));
        if let Some((device, pair)) = said.next() {
            let is_guessed = wanted == PairSource::Name;
            return (Some(format!("{device}:{}", pair.id)), is_guessed);
        }
    }
    (None, false)
}
