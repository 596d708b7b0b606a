//! The SQL of albums and of what is in them.

use photosync_protocol::v2::library::AlbumSort;
use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::library::queries::tiles::{Found, found, tile_query};
use crate::library::rules::Place;
use crate::params;

/// Between two items that were put side by side: so many fit in between before all get new positions.
pub const GAP: i64 = 1 << 20;

/// A row of albums.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table albums, described in the schema")]
pub struct AlbumRow {
    pub album_id: String,
    pub name: String,
    pub description: String,
    pub cover_asset_id: Option<String>,
    pub sort: AlbumSort,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
}

/// A query whose rows [`album`] reads: the columns stand here once.
macro_rules! album_query {
    ($rest:literal) => {
        concat!(
            "SELECT album_id, name, description, cover_asset_id, sort, created_at_ms, updated_at_ms FROM albums ",
            $rest
        )
    };
}

fn album(row: &Row) -> DbResult<AlbumRow> {
    Ok(AlbumRow {
        album_id: row.text(0)?,
        name: row.text(1)?,
        description: row.text(2)?,
        cover_asset_id: row.find_text(3)?,
        sort: match row.text(4)?.as_str() {
            "oldest" => AlbumSort::Oldest,
            "newest" => AlbumSort::Newest,
            _ => AlbumSort::Position,
        },
        created_at_ms: row.integer(5)?,
        updated_at_ms: row.integer(6)?,
    })
}

/// How an order is written down.
pub fn sort_text(sort: AlbumSort) -> &'static str {
    match sort {
        AlbumSort::Position => "position",
        AlbumSort::Oldest => "oldest",
        AlbumSort::Newest => "newest",
    }
}

/// Albums of an account, last changed first.
pub fn list(tx: &mut dyn Tx, account: Uuid, limit: i64) -> DbResult<Vec<AlbumRow>> {
    let rows = tx.query(
        album_query!(
            "WHERE account_uuid = ?1 AND kind = 'manual' ORDER BY updated_at_ms DESC, album_id LIMIT ?2"
        ),
        params![account, limit],
    )?;
    rows.iter().map(album).collect()
}

/// One album of an account.
pub fn find_album(tx: &mut dyn Tx, account: Uuid, album_id: &str) -> DbResult<Option<AlbumRow>> {
    let row = find(
        tx,
        album_query!("WHERE album_id = ?2 AND account_uuid = ?1 AND kind = 'manual'"),
        params![account, album_id],
    )?;
    row.as_ref().map(album).transpose()
}

/// Makes an empty album.
pub fn store(
    tx: &mut dyn Tx,
    account: Uuid,
    album_id: &str,
    name: &str,
    now_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "INSERT INTO albums (album_id, account_uuid, kind, name, created_at_ms, updated_at_ms)
         VALUES (?1, ?2, 'manual', ?3, ?4, ?4)",
        params![album_id, account, name, now_ms],
    )?;
    Ok(())
}

/// Writes down an album that was changed.
pub fn update(tx: &mut dyn Tx, changed: &AlbumRow) -> DbResult<()> {
    tx.execute(
        "UPDATE albums SET name = ?2, description = ?3, cover_asset_id = ?4, sort = ?5, updated_at_ms = ?6
         WHERE album_id = ?1",
        params![
            &changed.album_id,
            &changed.name,
            &changed.description,
            changed.cover_asset_id.clone(),
            sort_text(changed.sort),
            changed.updated_at_ms,
        ],
    )?;
    Ok(())
}

/// Notes that what is in an album changed.
pub fn touch(tx: &mut dyn Tx, album_id: &str, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE albums SET updated_at_ms = ?2 WHERE album_id = ?1",
        params![album_id, now_ms],
    )?;
    Ok(())
}

/// Forgets an album and what was in it; no picture.
pub fn remove(tx: &mut dyn Tx, account: Uuid, album_id: &str) -> DbResult<bool> {
    let gone = tx.execute(
        "DELETE FROM albums WHERE album_id = ?2 AND account_uuid = ?1 AND kind = 'manual'",
        params![account, album_id],
    )?;
    Ok(gone > 0)
}

/// Pictures of an album that are held.
pub fn count(tx: &mut dyn Tx, album_id: &str) -> DbResult<i64> {
    let row = find(
        tx,
        "SELECT COUNT(*) FROM album_items i JOIN assets a ON a.asset_id = i.asset_id
         WHERE i.album_id = ?1 AND a.listed = 1 AND a.hidden = 0",
        params![album_id],
    )?;
    row.map_or(Ok(0), |row| row.integer(0))
}

/// The next tiles of an album in its order, after a place.
pub fn list_tiles(
    tx: &mut dyn Tx,
    album_id: &str,
    sort: AlbumSort,
    after: &Place,
    limit: i64,
) -> DbResult<Vec<Found>> {
    let sql = match sort {
        AlbumSort::Position => tile_query!(
            "i.position",
            "FROM album_items i JOIN assets a ON a.asset_id = i.asset_id
             WHERE i.album_id = ?1 AND (i.position, i.asset_id) > (?2, ?3) AND a.listed = 1 AND a.hidden = 0
             ORDER BY i.position, i.asset_id
             LIMIT ?4"
        ),
        AlbumSort::Oldest => tile_query!(
            "a.taken_ms",
            "FROM album_items i JOIN assets a ON a.asset_id = i.asset_id
             WHERE i.album_id = ?1 AND (a.taken_ms, a.asset_id) > (?2, ?3) AND a.listed = 1 AND a.hidden = 0
             ORDER BY a.taken_ms, a.asset_id
             LIMIT ?4"
        ),
        AlbumSort::Newest => tile_query!(
            "a.taken_ms",
            "FROM album_items i JOIN assets a ON a.asset_id = i.asset_id
             WHERE i.album_id = ?1 AND (a.taken_ms, a.asset_id) < (?2, ?3) AND a.listed = 1 AND a.hidden = 0
             ORDER BY a.taken_ms DESC, a.asset_id DESC
             LIMIT ?4"
        ),
    };
    let rows = tx.query(sql, params![album_id, after.key, &after.asset_id, limit])?;
    rows.iter().map(found).collect()
}

/// Where an item stands; `None` if the picture is not in the album.
pub fn find_position(tx: &mut dyn Tx, album_id: &str, asset_id: &str) -> DbResult<Option<i64>> {
    let row = find(
        tx,
        "SELECT position FROM album_items WHERE album_id = ?1 AND asset_id = ?2",
        params![album_id, asset_id],
    )?;
    row.map(|row| row.integer(0)).transpose()
}

/// Where the last item stands; 0 in an empty album.
pub fn find_end(tx: &mut dyn Tx, album_id: &str) -> DbResult<i64> {
    let row = find(
        tx,
        "SELECT COALESCE(MAX(position), 0) FROM album_items WHERE album_id = ?1",
        params![album_id],
    )?;
    row.map_or(Ok(0), |row| row.integer(0))
}

/// The items directly before a place, the nearest first.
pub fn list_items_before(
    tx: &mut dyn Tx,
    album_id: &str,
    before: &Place,
    limit: i64,
) -> DbResult<Vec<Place>> {
    let rows = tx.query(
        "SELECT position, asset_id FROM album_items
         WHERE album_id = ?1 AND (position, asset_id) < (?2, ?3)
         ORDER BY position DESC, asset_id DESC
         LIMIT ?4",
        params![album_id, before.key, &before.asset_id, limit],
    )?;
    rows.iter().map(|row| Ok(Place { key: row.integer(0)?, asset_id: row.text(1)? })).collect()
}

/// Adds a held picture of the account at a position; false if it is not there, or in the album already.
pub fn add_item(
    tx: &mut dyn Tx,
    account: Uuid,
    album_id: &str,
    asset_id: &str,
    position: i64,
    now_ms: i64,
) -> DbResult<bool> {
    let added = tx.execute(
        "INSERT INTO album_items (album_id, asset_id, position, added_by, added_at_ms)
         SELECT ?2, asset_id, ?4, ?1, ?5 FROM assets
         WHERE asset_id = ?3 AND account_uuid = ?1 AND listed = 1
         ON CONFLICT DO NOTHING",
        params![account, album_id, asset_id, position, now_ms],
    )?;
    Ok(added > 0)
}

/// Takes a picture out of an album.
pub fn remove_item(tx: &mut dyn Tx, album_id: &str, asset_id: &str) -> DbResult<bool> {
    let gone = tx.execute(
        "DELETE FROM album_items WHERE album_id = ?1 AND asset_id = ?2",
        params![album_id, asset_id],
    )?;
    Ok(gone > 0)
}

/// Puts an item at a position.
pub fn move_item(tx: &mut dyn Tx, album_id: &str, asset_id: &str, position: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE album_items SET position = ?3 WHERE album_id = ?1 AND asset_id = ?2",
        params![album_id, asset_id, position],
    )?;
    Ok(())
}

/// Gives all items new positions in their order, with gaps. One statement.
pub fn renumber(tx: &mut dyn Tx, album_id: &str) -> DbResult<()> {
    tx.execute(
        "UPDATE album_items
         SET position = ranked.place * ?2
         FROM (SELECT asset_id, ROW_NUMBER() OVER (ORDER BY position, asset_id) AS place
               FROM album_items
               WHERE album_id = ?1) AS ranked
         WHERE album_items.album_id = ?1 AND album_items.asset_id = ranked.asset_id",
        params![album_id, GAP],
    )?;
    Ok(())
}
