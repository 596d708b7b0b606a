//! What native clients read: held assets page by page, one asset, its bytes, and what changed since they last asked.

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::claims::Claims;
use photosync_protocol::v2::{AssetPage, AssetRow, Change, ChangeKind, Changes};
use uuid::Uuid;

use super::queries::{self, Asset, pages};
use super::rules::{Cursor, Said, merge_claims};
use super::{Original, open};
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};

/// A page ends early when the copies of its rows take so much: 4 MiB. One row may go beyond.
const MAX_PAGE_COPIES_BYTES: usize = 4 * 1024 * 1024;

/// Whose places a listing tells, where it has said one.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The device that asks.
    pub asking: String,
    /// The one it asks for instead, by id or name.
    pub instead: Option<String>,
}

impl Viewer {
    fn find(&self, tx: &mut dyn Tx, account: Uuid) -> Result<String> {
        let Some(wanted) = &self.instead else { return Ok(self.asking.clone()) };
        pages::find_teller(tx, account, wanted, &self.asking)?
            .ok_or_else(|| Error::not_found("there is no device of this id or name"))
    }
}

/// Held assets after a cursor, in order of arrival; `limit` is at most a step of the database.
pub async fn list_assets(
    app: &App,
    account: Uuid,
    viewer: Viewer,
    after: Option<&str>,
    limit: i64,
) -> Result<AssetPage> {
    let after_seq: i64 = match after {
        None => 0,
        Some(text) => text.parse().map_err(|_| no_cursor())?,
    };
    app.db
        .read(move |tx| -> Result<AssetPage> {
            let viewer = viewer.find(tx, account)?;
            let (total, _) = queries::listed::find_totals(tx, account)?;
            let mut rows = pages::list_held(tx, account, after_seq, limit + 1)?;
            let mut more = rows.len() as i64 > limit;
            rows.truncate(usize::try_from(limit).unwrap_or(0));
            let (mut assets, mut last_seq, mut copies_bytes) = (Vec::new(), 0, 0);
            for asset in rows {
                if copies_bytes > MAX_PAGE_COPIES_BYTES {
                    more = true;
                    break;
                }
                last_seq = asset.seq;
                let row = row_of(tx, asset, &viewer)?;
                copies_bytes += row.claims.copies_bytes();
                assets.push(row);
            }
            Ok(AssetPage { assets, total, next: more.then(|| last_seq.to_string()) })
        })
        .await
}

fn no_cursor() -> Error {
    Error::bad_request("the cursor is not one that this server gave; begin again without it")
}

fn no_asset() -> Error {
    Error::not_found("there is no such file")
}

/// One held asset, as [`list_assets`] tells it.
pub async fn get_asset(
    app: &App,
    account: Uuid,
    viewer: String,
    asset_id: &str,
) -> Result<AssetRow> {
    let id = asset_id.to_owned();
    app.db
        .read(move |tx| -> Result<AssetRow> {
            let asset = queries::find_by_id(tx, account, &id)?.filter(|asset| asset.listed);
            Ok(row_of(tx, asset.ok_or_else(no_asset)?, &viewer)?)
        })
        .await
}

/// Opens a held asset; see [`open`] for damaged ones.
pub async fn open_by_id(app: &App, account: Uuid, asset_id: &str) -> Result<Original> {
    let id = asset_id.to_owned();
    let found = app.db.read(move |tx| queries::find_by_id(tx, account, &id)).await?;
    open(app, found.filter(|asset| asset.listed).ok_or_else(no_asset)?).await
}

/// What devices say about an asset, put together for one of them.
pub fn claims_of(tx: &mut dyn Tx, asset_id: &str, viewer: &str) -> DbResult<Claims> {
    let rows = pages::list_claims(tx, asset_id, viewer)?;
    // Written by this server; what an older one wrote and nobody can read any more says nothing.
    let read = |(device_id, json): (String, String)| {
        let claims = serde_json::from_str::<Claims>(&json).ok()?;
        Some(Said { device_id, claims })
    };
    let said: Vec<Said> = rows.into_iter().filter_map(read).collect();
    Ok(merge_claims(&said, viewer))
}

fn row_of(tx: &mut dyn Tx, asset: Asset, viewer: &str) -> DbResult<AssetRow> {
    Ok(AssetRow {
        claims: claims_of(tx, &asset.asset_id, viewer)?,
        id: asset.asset_id,
        digest: Digest(asset.digest),
        size_bytes: u64::try_from(asset.size_bytes).unwrap_or(0),
        name: asset.name,
        media_type: asset.media_type,
        arrived_at_ms: asset.arrived_at_ms,
        verified_at_ms: asset.verified_at_ms,
    })
}

/// What changed since a cursor, at most `limit` changes, oldest first. Without a cursor: everything that is held.
pub async fn list_changes(
    app: &App,
    account: Uuid,
    since: Option<&str>,
    limit: i64,
) -> Result<Changes> {
    let (_, version) = app.db.read(move |tx| queries::listed::find_totals(tx, account)).await?;
    let mut cursor = match since {
        // A version that is still to come is from before the database was put back to an older state.
        Some(text) => Cursor::from_text(text)
            .filter(|cursor| cursor.version <= version)
            .ok_or_else(no_cursor)?,
        None => Cursor::fresh(version),
    };
    loop {
        let from = cursor.clone();
        let step = app.db.read(move |tx| list_step(tx, account, &from, limit)).await?;
        cursor = step.to;
        // A step in which everything was of no interest to a fresh client is not worth an answer.
        if !step.changes.is_empty() || !step.more {
            return Ok(Changes { changes: step.changes, next: cursor.to_text(), more: step.more });
        }
    }
}

/// One step of a feed: what is told, and how far it went.
struct Step {
    changes: Vec<Change>,
    to: Cursor,
    more: bool,
}

fn list_step(tx: &mut dyn Tx, account: Uuid, from: &Cursor, limit: i64) -> DbResult<Step> {
    let after = (from.version, from.asset_id.as_str());
    let at = |version, id: &str| Cursor { version, asset_id: id.to_owned(), ..from.clone() };
    let mut all: Vec<(Change, Cursor)> = Vec::new();
    for asset in pages::list_changed(tx, account, after, limit + 1)? {
        let cursor = at(asset.changed_version, &asset.asset_id);
        all.push((change_of(asset), cursor));
    }
    for removed in pages::list_removed(tx, account, after, limit + 1)? {
        let cursor = at(removed.changed_version, &removed.asset_id);
        let change = Change {
            id: removed.asset_id,
            digest: Digest(removed.digest),
            kind: ChangeKind::Removed,
            name: String::new(),
            size_bytes: 0,
        };
        all.push((change, cursor));
    }
    all.sort_by(|(_, a), (_, b)| (a.version, &a.asset_id).cmp(&(b.version, &b.asset_id)));
    let more = all.len() as i64 > limit;
    all.truncate(usize::try_from(limit).unwrap_or(0));
    let is_told = |(change, cursor): &(Change, Cursor)| {
        change.kind == ChangeKind::Held || cursor.version > from.began_at
    };
    let to = all.last().map_or_else(|| from.clone(), |(_, cursor)| cursor.clone());
    let changes = all.into_iter().filter(is_told).map(|(change, _)| change).collect();
    Ok(Step { changes, to, more })
}

fn change_of(asset: Asset) -> Change {
    let kind = match (asset.trashed_at_ms, asset.quarantined_at_ms) {
        (Some(_), _) => ChangeKind::Trashed,
        (None, Some(_)) => ChangeKind::Wanted,
        (None, None) => ChangeKind::Held,
    };
    Change {
        id: asset.asset_id,
        digest: Digest(asset.digest),
        kind,
        name: asset.name,
        size_bytes: u64::try_from(asset.size_bytes).unwrap_or(0),
    }
}
