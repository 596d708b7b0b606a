//! Everything the library tells of one picture, and of the account that asks.

use std::collections::BTreeMap;

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::Safety;
use photosync_protocol::v2::films::{Moving, Plays};
use photosync_protocol::v2::library::{AlbumName, Details, Kind, Place, PlaceName};
use photosync_protocol::v2::web::Me;
use uuid::Uuid;

use super::listing::claims_of;
use super::places;
use super::queries::{self, Asset, edits, tiles};
use crate::accounts::queries as account_queries;
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};
use crate::media::facts::ANIMATED;

/// What is told of an asset that is held or in the trash, as device `viewer` sees it.
pub async fn get(app: &App, account: Uuid, viewer: String, asset_id: &str) -> Result<Details> {
    let id = asset_id.to_owned();
    let found = app.db.read(move |tx| find(tx, account, &viewer, &id)).await?;
    found.ok_or_else(|| Error::not_found("there is no such file"))
}

fn find(tx: &mut dyn Tx, account: Uuid, viewer: &str, asset_id: &str) -> DbResult<Option<Details>> {
    let Some(asset) = queries::find_by_id(tx, account, asset_id)? else { return Ok(None) };
    // What a person emptied from the trash has no time there any more.
    if !asset.listed && asset.trashed_at_ms.is_none_or(|at_ms| at_ms <= 0) {
        return Ok(None);
    }
    let (Some(found), Some(shown)) =
        (tiles::find_tile(tx, account, asset_id)?, edits::find_shown(tx, account, asset_id)?)
    else {
        return Ok(None);
    };
    let plays = plays_of(&shown);
    let is_video = found.tile.kind == Kind::Video;
    let moving = match find_moving(tx, account, asset_id)? {
        None if shown.has_motion => Some(embedded(&asset, plays)),
        other => other,
    };
    let albums = edits::list_albums_of(tx, account, asset_id)?;
    let claims = claims_of(tx, asset_id, viewer)?;
    let degrees = |e7: i64| e7 as f64 / 1e7;
    let place = shown.latitude_e7.zip(shown.longitude_e7);
    let mut facts: BTreeMap<String, String> = shown
        .facts_json
        .as_deref()
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let animated = facts.remove(ANIMATED).is_some();
    Ok(Some(Details {
        tile: found.tile,
        safety: safety_of(&asset),
        name: asset.name,
        digest: Digest(asset.digest),
        size_bytes: asset.size_bytes,
        media_type: asset.media_type,
        arrived_at_ms: asset.arrived_at_ms,
        offset_minutes: shown.taken_offset_minutes,
        taken_source: shown.taken_source,
        verified_at_ms: asset.verified_at_ms,
        archived: shown.archived,
        rating: shown.rating,
        camera: shown.camera,
        lens: shown.lens,
        place_name: place.and_then(|(latitude_e7, longitude_e7)| {
            let found = places::find(latitude_e7, longitude_e7)?;
            Some(PlaceName { name: found.name.to_owned(), country: found.country.to_owned() })
        }),
        place: place
            .map(|(north, east)| Place { latitude: degrees(north), longitude: degrees(east) }),
        facts,
        media_error: shown.media_error,
        moving,
        plays: plays.filter(|_| is_video),
        codecs: shown.codecs.filter(|_| is_video),
        animated,
        albums: albums.into_iter().map(|(id, name)| AlbumName { id, name }).collect(),
        claims,
    }))
}

fn find_moving(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<Option<Moving>> {
    for id in edits::list_moving_ids(tx, account, asset_id)? {
        let asset = queries::find_by_id(tx, account, &id)?.filter(|asset| asset.listed);
        if let Some(Asset { asset_id: id, name, media_type, .. }) = asset {
            let shown = edits::find_shown(tx, account, &id)?;
            let plays = shown.as_ref().and_then(plays_of);
            let path = format!("/api/v2/library/assets/{id}/original");
            return Ok(Some(Moving { id, name, media_type, path, plays }));
        }
    }
    Ok(None)
}

/// The film inside of a picture.
fn embedded(still: &Asset, plays: Option<Plays>) -> Moving {
    let id = still.asset_id.clone();
    let stem = still.name.rsplit_once('.').map_or(still.name.as_str(), |(stem, _)| stem);
    Moving {
        name: format!("{stem}.mp4"),
        media_type: "video/mp4".into(),
        path: format!("/api/v2/library/assets/{id}/motion"),
        plays,
        id,
    }
}

fn plays_of(shown: &edits::Shown) -> Option<Plays> {
    match shown.plays.as_deref() {
        Some("everywhere") => Some(Plays::Everywhere),
        Some("some") => Some(Plays::Some),
        Some("nowhere") => Some(Plays::Nowhere),
        _ => None,
    }
}

/// The one vocabulary of receipts, without the signature.
fn safety_of(asset: &Asset) -> Safety {
    match (asset.listed, asset.verified_at_ms, asset.copied_at_ms) {
        (false, ..) => Safety::Known,
        (true, None, _) => Safety::Received,
        (true, Some(_), None) => Safety::Verified,
        (true, Some(_), Some(_)) => Safety::SecondCopy,
    }
}

/// The account of whoever asks.
pub async fn get_me(app: &App, account: Uuid) -> Result<Me> {
    let found = app
        .db
        .read(move |tx| -> DbResult<_> {
            let row = account_queries::find_by_uuid(tx, account)?;
            Ok(row.zip(Some(edits::count_waiting(tx, account)?)))
        })
        .await?;
    let (row, media_waiting) = found.ok_or_else(|| Error::not_found("there is no such account"))?;
    Ok(Me {
        account_uuid: account.to_string(),
        email: row.email,
        name: row.display_name,
        has_password: row.password_hash.is_some(),
        quota_bytes: row.quota_bytes,
        role: row.role,
        held_count: row.held_count,
        held_bytes: row.held_bytes,
        free_bytes: app.originals.free_bytes().await.ok(),
        media_waiting,
    })
}
