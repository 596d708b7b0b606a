//! Pages of tiles: the timeline from a day or a cursor on, the views beside it, searches, the map, and what is there twice.

use photosync_protocol::calendar::read_day;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::library::{MAX_TILES, TilePage};
use uuid::Uuid;

use super::queries::search::{self, Filters};
use super::queries::tiles::{self, Found, View};
use super::rules::Place;
use crate::boot::App;
use crate::db::DbResult;
use crate::error::{Error, Result};

/// The error of a cursor that no page ended with.
pub fn no_cursor() -> Error {
    Error::bad_request("the cursor is not one that this server gave; begin again without it")
}

/// Reads the place after which a page begins; absent: the beginning.
pub fn read_place(text: Option<&str>) -> Result<Place> {
    match text {
        None => Ok(Place::newest()),
        Some(text) => Place::from_text(text).ok_or_else(no_cursor),
    }
}

/// Tiles of the timeline from a day (its newest picture) or a cursor on, newest first, across days.
pub async fn list_from(
    app: &App,
    account: Uuid,
    from: Option<&str>,
    limit: i64,
) -> Result<TilePage> {
    let after = match from.and_then(read_day) {
        Some(day) => Place::end_of_day(day),
        None => read_place(from)?,
    };
    list_after(app, account, View::Timeline, after, limit).await
}

/// A page of a view.
pub async fn list_view(
    app: &App,
    account: Uuid,
    view: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<TilePage> {
    let view = View::from_text(view).ok_or_else(|| {
        Error::bad_request(
            "view must be timeline, favourites, videos, archive, trash, recent or missing_media",
        )
    })?;
    list_after(app, account, view, read_place(after)?, limit).await
}

/// Tiles of these pictures, newest first. Those that are not held (any more) are left out, which is no error.
pub async fn list_chosen(app: &App, account: Uuid, ids: Vec<String>) -> Result<TilePage> {
    if ids.len() as i64 > MAX_TILES {
        let message = format!("tiles of at most {MAX_TILES} pictures are told at once");
        return Err(Error::new(ErrorCode::TooLarge, message).with("maxIds", MAX_TILES));
    }
    let mut found = app
        .db
        .read(move |tx| -> DbResult<Vec<Found>> {
            let mut all = Vec::new();
            for id in ids {
                all.extend(search::find_filtered(tx, account, &Filters::default(), &id)?);
            }
            Ok(all)
        })
        .await?;
    found.sort_by(|a, b| (b.key, &b.tile.id).cmp(&(a.key, &a.tile.id)));
    found.dedup_by(|a, b| a.tile.id == b.tile.id);
    Ok(TilePage { tiles: found.into_iter().map(|found| found.tile).collect(), next: None })
}

async fn list_after(
    app: &App,
    account: Uuid,
    view: View,
    after: Place,
    limit: i64,
) -> Result<TilePage> {
    let limit = limit.clamp(1, MAX_TILES);
    let found =
        app.db.read(move |tx| tiles::list_view(tx, account, view, &after, limit + 1)).await?;
    Ok(page_of(found, limit))
}

/// A page of at most `limit` of these; there is a next one if there are more.
pub fn page_of(mut found: Vec<Found>, limit: i64) -> TilePage {
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.place().to_text());
    TilePage { tiles: found.into_iter().map(|found| found.tile).collect(), next }
}
