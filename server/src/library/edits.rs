//! What a person does to pictures: marking, describing, archiving, putting them into the trash and taking them back.
//!
//! Nothing here touches bytes; the trash is emptied by upkeep.

use futures_util::{StreamExt, TryStreamExt, stream};
use photosync_protocol::calendar::read_wall;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::library::{Edit, MAX_CAPTION_CHARS, MAX_CHOSEN};
use uuid::Uuid;

use super::queries::{self, Asset, edits};
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};
use crate::upkeep::trash;

/// Assets that one transaction changes.
const STEP_ASSETS: usize = 500;
/// Originals that come back from the trash at the same time: their commits share a sync.
const RESTORED_AT_ONCE: usize = 16;

/// Refuses requests that name more assets than one may.
pub fn require_few(ids: &[String]) -> Result<()> {
    if ids.len() <= MAX_CHOSEN {
        return Ok(());
    }
    let message = "a request names at most 10,000 files";
    Err(Error::new(ErrorCode::TooLarge, message).with("maxIds", MAX_CHOSEN))
}

/// Each id once, in the order they came.
pub fn distinct(ids: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

/// Text for people: without control characters other than line ends, and of bounded length.
pub fn checked_text(text: &str, max_chars: usize, what: &str) -> Result<String> {
    let text = text.trim();
    let is_plain = !text.chars().any(|c| c.is_control() && c != '\n');
    if is_plain && text.chars().count() <= max_chars {
        return Ok(text.to_owned());
    }
    Err(Error::bad_request(format!("{what} must be at most {max_chars} characters of plain text")))
}

/// Notes what a person says of held assets; returns how many there are.
pub async fn edit(app: &App, account: Uuid, edit: Edit) -> Result<usize> {
    require_few(&edit.ids)?;
    let caption = edit.caption.as_deref();
    let caption =
        caption.map(|text| checked_text(text, MAX_CAPTION_CHARS, "a caption")).transpose()?;
    if edit.rating.is_some_and(|rating| !(0..=5).contains(&rating)) {
        return Err(Error::bad_request("rating must be 0 to 5"));
    }
    let no_time = || Error::bad_request("taken must be a time as 2024-05-12T18:30:05");
    let taken_ms =
        edit.taken.as_deref().map(|text| read_wall(text).ok_or_else(no_time)).transpose()?;
    let say = edits::Say {
        favourite: edit.favourite,
        archived: edit.archived,
        rating: edit.rating,
        caption,
        taken_ms,
    };
    let mut changed = 0;
    for step in distinct(edit.ids).chunks(STEP_ASSETS) {
        let (ids, say) = (step.to_vec(), say.clone());
        changed += app.db.write(move |tx| edits::say(tx, account, &ids, &say)).await?;
        app.changes.publish(account);
    }
    Ok(changed)
}

/// Moves held assets to the trash because a person said so, the moving halves with their stills; returns how many of the
/// chosen ones were held. Devices that ask are told that they were deleted, and do not send them again by themselves.
pub async fn trash(app: &App, account: Uuid, ids: Vec<String>) -> Result<usize> {
    require_few(&ids)?;
    let mut changed = 0;
    for step in distinct(ids).chunks(STEP_ASSETS) {
        let (ids, now_ms) = (step.to_vec(), app.clock.now_ms());
        changed += app.db.write(move |tx| trash_here(tx, account, &ids, now_ms)).await?;
        app.changes.publish(account);
    }
    if changed > 0 {
        tracing::info!(%account, changed, "a person put files into the trash");
        app.wake_upkeep();
    }
    Ok(changed)
}

fn trash_here(tx: &mut dyn Tx, account: Uuid, ids: &[String], now_ms: i64) -> DbResult<usize> {
    let mut changed = 0;
    for id in ids {
        // Asked before its still goes: which halves belong to it.
        let halves = edits::list_moving_ids(tx, account, id)?;
        if !trash_one(tx, account, id, now_ms)? {
            continue;
        }
        changed += 1;
        for half in halves {
            trash_one(tx, account, &half, now_ms)?;
        }
    }
    Ok(changed)
}

fn trash_one(tx: &mut dyn Tx, account: Uuid, id: &str, now_ms: i64) -> DbResult<bool> {
    match queries::find_by_id(tx, account, id)? {
        Some(asset) => queries::trash_by_person(tx, &asset, now_ms),
        None => Ok(false),
    }
}

/// Takes assets back out of the trash, the moving halves with their stills; returns how many of the chosen ones came back.
pub async fn restore(app: &App, account: Uuid, ids: Vec<String>) -> Result<usize> {
    require_few(&ids)?;
    let mut changed = 0;
    for step in distinct(ids).chunks(STEP_ASSETS) {
        let ids = step.to_vec();
        let found = app.db.read(move |tx| list_trashed(tx, account, &ids)).await?;
        let counted: Vec<usize> = stream::iter(found)
            .map(|(asset, is_chosen)| async move {
                let came_back = trash::restore_one(app, asset).await?;
                Ok::<usize, Error>(usize::from(came_back && is_chosen))
            })
            .buffer_unordered(RESTORED_AT_ONCE)
            .try_collect()
            .await?;
        changed += counted.into_iter().sum::<usize>();
    }
    Ok(changed)
}

/// The chosen ones that are in the trash and not emptied from it, with the halves that went there with them.
fn list_trashed(tx: &mut dyn Tx, account: Uuid, ids: &[String]) -> DbResult<Vec<(Asset, bool)>> {
    let is_there = |asset: &Asset| asset.trashed_at_ms.is_some_and(|at_ms| at_ms > 0);
    let mut found = Vec::new();
    for id in ids {
        let Some(asset) = queries::find_by_id(tx, account, id)?.filter(is_there) else { continue };
        for half in edits::list_moving_ids(tx, account, id)? {
            let half = queries::find_by_id(tx, account, &half)?.filter(is_there);
            found.extend(half.filter(|half| !ids.contains(&half.asset_id)).map(|h| (h, false)));
        }
        found.push((asset, true));
    }
    Ok(found)
}

/// Lets upkeep remove for good what a person put into the trash; returns how many files that are.
pub async fn empty_trash(app: &App, account: Uuid) -> Result<usize> {
    let mut emptied = 0;
    loop {
        let limit = STEP_ASSETS as i64;
        let step = app.db.write(move |tx| edits::empty_trash(tx, account, limit)).await?;
        emptied += usize::try_from(step).unwrap_or(0);
        if step < limit {
            break;
        }
    }
    if emptied > 0 {
        tracing::warn!(%account, emptied, "a person emptied the trash; its files are removed for good");
        app.changes.publish(account);
        app.wake_upkeep();
    }
    Ok(emptied)
}
