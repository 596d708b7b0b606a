//! Searching: by words, days, kind, mark, place and camera, or by the SHA-256 of a file. Also the map.
//!
//! Words are the beginnings of folded words. The rarest one decides the way: if few pictures have it, those are looked at;
//! otherwise the pictures themselves, newest first, for a bounded time, and the answer says where to go on.

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::library::{MAX_QUERY_BYTES, MAX_TILES, MapPoints, TilePage};
use uuid::Uuid;

pub use super::queries::search::Filters;

use super::queries::tiles::Found;
use super::queries::{find_by_digest, search};
use super::rules::Place;
use super::tiles::{page_of, read_place};
use super::{STEP_ROWS, words};
use crate::boot::App;
use crate::clock::{DAY_MS, Stopwatch};
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};

/// Most words of a search; more narrow nothing.
const MAX_WORDS: usize = 8;
/// A word that at most so many pictures have is rare.
const RARE: i64 = STEP_ROWS;
/// Milliseconds after which a search answers with what it has, and where it goes on.
const MAX_MS: u64 = 250;
/// Points of one page of the map.
const MAX_POINTS: i64 = 10_000;

/// Pictures that have all these words and pass the filters, newest first. A page may be short, or empty, and there may be a
/// next one all the same.
pub async fn find(
    app: &App,
    account: Uuid,
    text: &str,
    filters: Filters,
    after: Option<&str>,
    limit: i64,
) -> Result<TilePage> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(Error::bad_request("a search is at most 256 bytes long"));
    }
    let after = read_place(after)?;
    let limit = limit.clamp(1, MAX_TILES);
    if let Some(digest) = Digest::from_hex(text.trim()) {
        let found = app.db.read(move |tx| -> DbResult<_> {
            let id = find_by_digest(tx, account, &digest.0)?.map(|asset| asset.asset_id);
            look_at(tx, account, id.into_iter().collect(), &[], &filters, &after, limit + 1)
        });
        return Ok(page_of(found.await?, limit));
    }
    let words: Vec<String> = words::fold(text).into_iter().take(MAX_WORDS).collect();
    if words.is_empty() && !text.trim().is_empty() {
        // Nothing but signs: nothing is called so.
        return Ok(TilePage { tiles: Vec::new(), next: None });
    }
    let asked = words.clone();
    if let Some(rare) = app.db.read(move |tx| find_rare(tx, account, &asked)).await? {
        let found = app
            .db
            .read(move |tx| look_at(tx, account, rare, &words, &filters, &after, limit + 1))
            .await?;
        return Ok(page_of(found, limit));
    }
    walk(app, account, words, filters, after, limit).await
}

/// The pictures of a word that is rare, if one is.
fn find_rare(tx: &mut dyn Tx, account: Uuid, words: &[String]) -> DbResult<Option<Vec<String>>> {
    // The longest first: it is probably the rarest.
    let mut by_length: Vec<&String> = words.iter().collect();
    by_length.sort_by_key(|word| std::cmp::Reverse(word.len()));
    for word in by_length {
        let mut ids = search::list_with_word(tx, account, word, RARE + 1)?;
        if ids.len() as i64 <= RARE {
            ids.sort_unstable();
            ids.dedup();
            return Ok(Some(ids));
        }
    }
    Ok(None)
}

/// Of these pictures the next that have all words and pass.
fn look_at(
    tx: &mut dyn Tx,
    account: Uuid,
    ids: Vec<String>,
    words: &[String],
    filters: &Filters,
    after: &Place,
    limit: i64,
) -> DbResult<Vec<Found>> {
    let mut all = Vec::new();
    for id in ids {
        if search::has_words(tx, &id, words)?
            && let Some(found) = search::find_filtered(tx, account, filters, &id)?
            && (found.key, &found.tile.id) < (after.key, &after.asset_id)
        {
            all.push(found);
        }
    }
    all.sort_by(|a, b| (b.key, &b.tile.id).cmp(&(a.key, &a.tile.id)));
    all.truncate(usize::try_from(limit).unwrap_or(0));
    Ok(all)
}

/// Looks at pictures one after the other, newest first, a step at a time.
async fn walk(
    app: &App,
    account: Uuid,
    words: Vec<String>,
    filters: Filters,
    mut after: Place,
    limit: i64,
) -> Result<TilePage> {
    let watch = Stopwatch::start();
    // Later ones are of no interest, and are not looked at.
    if let Some(before_ms) = filters.before_ms
        && before_ms < after.key
    {
        after = Place { key: before_ms, asset_id: String::new() };
    }
    let mut page: Vec<Found> = Vec::new();
    loop {
        let (from, words, filters) = (after.clone(), words.clone(), filters.clone());
        let (found, last, is_end) = app
            .db
            .read(move |tx| -> DbResult<_> {
                let step = search::list_filtered(tx, account, &filters, &from, STEP_ROWS)?;
                let last = step.last().map_or(from, |(found, _)| found.place());
                let is_end = (step.len() as i64) < STEP_ROWS;
                let mut kept = Vec::new();
                for (found, _) in step.into_iter().filter(|(_, passes)| *passes) {
                    if search::has_words(tx, &found.tile.id, &words)? {
                        kept.push(found);
                    }
                }
                Ok((kept, last, is_end))
            })
            .await?;
        page.extend(found);
        if page.len() as i64 > limit || is_end {
            return Ok(page_of(page, limit));
        }
        after = last;
        if watch.elapsed_ms() >= MAX_MS {
            let mut told = page_of(page, limit);
            told.next = Some(after.to_text());
            return Ok(told);
        }
    }
}

/// Where pictures were taken that are in the timeline, in order of ids.
pub async fn list_points(app: &App, account: Uuid, after: Option<&str>) -> Result<MapPoints> {
    let mut after = after.unwrap_or_default().to_owned();
    let mut points = Vec::new();
    while (points.len() as i64) < MAX_POINTS {
        let from = after.clone();
        let step =
            app.db.read(move |tx| search::list_points(tx, account, &from, STEP_ROWS)).await?;
        let is_end = (step.len() as i64) < STEP_ROWS;
        after = step.last().map_or(after, |(id, _)| id.clone());
        points.extend(step.into_iter().filter_map(|(id, point)| {
            let point = point?;
            Some((id, point.north_e7, point.east_e7, point.taken_ms.div_euclid(DAY_MS)))
        }));
        if is_end {
            return Ok(MapPoints { points, next: None });
        }
    }
    Ok(MapPoints { points, next: Some(after) })
}

/// [`make_old_words`], as a task of upkeep: beside the others, because a large library takes its time.
pub async fn index_old(app: App) {
    if let Err(error) = make_old_words(&app).await {
        tracing::error!(%error, causes = error.cause_chain(), "making words to search by failed; the next start does it");
    }
}

/// Makes the words of assets that are from before there were words, or of an older way of folding; a step at a time, once.
async fn make_old_words(app: &App) -> Result<()> {
    let version = words::WORDS_VERSION.to_string();
    if app.db.read(search::find_version).await?.as_deref() == Some(version.as_str()) {
        return Ok(());
    }
    let mut after = String::new();
    let mut count = 0;
    loop {
        let from = after.clone();
        let step = app.db.read(move |tx| search::list_ids(tx, &from, WORDS_STEP)).await?;
        let Some((_, last)) = step.last() else { break };
        after.clone_from(last);
        count += step.len();
        app.db
            .write(move |tx| {
                step.iter().try_for_each(|(account, id)| search::index_words(tx, *account, id))
            })
            .await?;
        if app.is_stopping() {
            return Ok(());
        }
    }
    app.db.write(move |tx| search::set_version(tx, &version)).await?;
    if count > 0 {
        tracing::info!(count, "the words of files that were here before are made");
    }
    Ok(())
}

/// Assets whose words one transaction makes.
const WORDS_STEP: i64 = 200;
