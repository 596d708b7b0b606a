//! The SQL of tiles: pages of pictures in every order that people look at them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_protocol::calendar::wall_text;
use photosync_protocol::v2::library::{Kind, MediaState, Tile};
use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::library::rules::Place;
use crate::params;

/// A tile, and the number that orders it in the listing it came from.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is told.
    pub tile: Tile,
    /// Wall clock, arrival number, time in the trash or position.
    pub key: i64,
    /// Whether it is held.
    pub is_listed: bool,
}

impl Found {
    /// Where a page goes on after it.
    pub fn place(&self) -> Place {
        Place { key: self.key, asset_id: self.tile.id.clone() }
    }
}

/// A query whose rows [`found`] reads: what orders it, and the rest.
macro_rules! tile_query {
    ($key:literal, $rest:literal) => {
        concat!(
            "SELECT a.asset_id, a.kind, a.taken_ms, a.width, a.height, a.placeholder, a.duration_ms, a.favourite,
                    a.pair_id IS NOT NULL, a.media_state, a.caption, a.trashed_at_ms, a.listed, ",
            $key,
            " ",
            $rest
        )
    };
}

pub(crate) use tile_query;

/// Reads a row of a [`tile_query`].
pub(crate) fn found(row: &Row) -> DbResult<Found> {
    let size = |index| -> DbResult<u32> { Ok(u32::try_from(row.integer(index)?).unwrap_or(0)) };
    let tile = Tile {
        id: row.text(0)?,
        kind: match row.text(1)?.as_str() {
            "photo" => Kind::Photo,
            "video" => Kind::Video,
            _ => Kind::File,
        },
        taken: wall_text(row.integer(2)?),
        width: size(3)?,
        height: size(4)?,
        placeholder: row.find_bytes(5)?.map(|bytes| STANDARD.encode(bytes)),
        duration_ms: row.find_integer(6)?,
        favourite: row.boolean(7)?,
        live: row.boolean(8)?,
        media: match row.text(9)?.as_str() {
            "done" => MediaState::Done,
            "failed" => MediaState::Failed,
            _ => MediaState::Waiting,
        },
        caption: row.text(10)?,
        trashed_at_ms: row.find_integer(11)?,
    };
    Ok(Found { tile, is_listed: row.boolean(12)?, key: row.integer(13)? })
}

/// What is listed, and so in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The timeline: everything but the archive, newest picture first.
    Timeline,
    /// Marked by a person.
    Favourites,
    /// Videos of the timeline.
    Videos,
    /// Out of the timeline.
    Archive,
    /// In the trash, last one first.
    Trash,
    /// As they arrived, last one first.
    Recent,
    /// What the media worker cannot show.
    MissingMedia,
}

impl View {
    /// By its name in a query.
    pub fn from_text(text: &str) -> Option<Self> {
        Some(match text {
            "timeline" => Self::Timeline,
            "favourites" => Self::Favourites,
            "videos" => Self::Videos,
            "archive" => Self::Archive,
            "trash" => Self::Trash,
            "recent" => Self::Recent,
            "missing_media" => Self::MissingMedia,
            _ => return None,
        })
    }
}

/// The next tiles of a view after a place.
pub fn list_view(
    tx: &mut dyn Tx,
    account: Uuid,
    view: View,
    after: &Place,
    limit: i64,
) -> DbResult<Vec<Found>> {
    let sql = match view {
        View::Timeline => tile_query!(
            "a.taken_ms",
            "FROM assets a INDEXED BY assets_timeline
             WHERE a.account_uuid = ?1 AND a.listed = 1 AND a.hidden = 0 AND a.archived = 0
               AND (a.taken_ms, a.asset_id) < (?2, ?3)
             ORDER BY a.taken_ms DESC, a.asset_id DESC
             LIMIT ?4"
        ),
        View::Favourites => tile_query!(
            "a.taken_ms",
            "FROM assets a INDEXED BY assets_favourite
             WHERE a.account_uuid = ?1 AND a.listed = 1 AND a.hidden = 0 AND a.favourite = 1
               AND (a.taken_ms, a.asset_id) < (?2, ?3)
             ORDER BY a.taken_ms DESC, a.asset_id DESC
             LIMIT ?4"
        ),
        View::Videos => tile_query!(
            "a.taken_ms",
            "FROM assets a INDEXED BY assets_video
             WHERE a.account_uuid = ?1 AND a.listed = 1 AND a.archived = 0 AND a.hidden = 0 AND a.kind = 'video'
               AND (a.taken_ms, a.asset_id) < (?2, ?3)
             ORDER BY a.taken_ms DESC, a.asset_id DESC
             LIMIT ?4"
        ),
        View::Archive => tile_query!(
            "a.taken_ms",
            "FROM assets a INDEXED BY assets_archived
             WHERE a.account_uuid = ?1 AND a.listed = 1 AND a.hidden = 0 AND a.archived = 1
               AND (a.taken_ms, a.asset_id) < (?2, ?3)
             ORDER BY a.taken_ms DESC, a.asset_id DESC
             LIMIT ?4"
        ),
        // What a person emptied has no time any more and waits to be removed.
        View::Trash => tile_query!(
            "a.trashed_at_ms",
            "FROM assets a INDEXED BY assets_in_trash
             WHERE a.account_uuid = ?1 AND a.trashed_at_ms > 0 AND a.hidden = 0
               AND (a.trashed_at_ms, a.asset_id) < (?2, ?3)
             ORDER BY a.trashed_at_ms DESC, a.asset_id DESC
             LIMIT ?4"
        ),
        View::Recent => tile_query!(
            "a.seq",
            "FROM assets a INDEXED BY assets_listed
             WHERE a.account_uuid = ?1 AND a.listed = 1 AND a.hidden = 0 AND a.seq < ?2 AND ?3 = ?3
             ORDER BY a.seq DESC
             LIMIT ?4"
        ),
        View::MissingMedia => tile_query!(
            "a.taken_ms",
            "FROM assets a INDEXED BY assets_unshowable
             WHERE a.account_uuid = ?1 AND a.listed = 1 AND a.hidden = 0 AND a.media_state = 'failed'
               AND (a.taken_ms, a.asset_id) < (?2, ?3)
             ORDER BY a.taken_ms DESC, a.asset_id DESC
             LIMIT ?4"
        ),
    };
    let rows = tx.query(sql, params![account, after.key, &after.asset_id, limit])?;
    rows.iter().map(found).collect()
}

/// The tile of one asset, whatever its state.
pub fn find_tile(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<Option<Found>> {
    let row = find(
        tx,
        tile_query!("a.taken_ms", "FROM assets a WHERE a.asset_id = ?2 AND a.account_uuid = ?1"),
        params![account, asset_id],
    )?;
    row.as_ref().map(found).transpose()
}
