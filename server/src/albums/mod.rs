//! Albums: names for some pictures in an order. A picture is in as many as one likes; deleting an album deletes no picture,
//! and one that is in the trash stays an item and is seen again when it comes back.

pub mod queries;
pub mod routes;

use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::library::{
    Album, AlbumEdit, AlbumSort, Albums, MAX_ALBUM_NAME_CHARS, MAX_TILES, NewAlbum, Reorder,
    TilePage,
};
use uuid::Uuid;

use crate::auth::random_id;
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};
use crate::library::edits::{checked_text, distinct, require_few};
use crate::library::queries::{next_version, tiles};
use crate::library::rules::Place;
use crate::library::tiles::{no_cursor, page_of};
use queries::{AlbumRow, GAP};

/// Most albums of an account.
const MAX_ALBUMS: i64 = 1000;
/// Longest description of an album in characters.
const MAX_DESCRIPTION_CHARS: usize = 4000;
/// Items that one transaction adds, removes or moves.
const STEP_ITEMS: usize = 500;

fn no_album() -> Error {
    Error::not_found("there is no such album")
}

fn checked_name(name: &str) -> Result<String> {
    let name = checked_text(name, MAX_ALBUM_NAME_CHARS, "the name of an album")?;
    if name.is_empty() || name.contains('\n') {
        return Err(Error::bad_request("an album needs a name of one line"));
    }
    Ok(name)
}

/// Before the first item in this order.
fn start_of(sort: AlbumSort) -> Place {
    match sort {
        AlbumSort::Newest => Place::newest(),
        AlbumSort::Position | AlbumSort::Oldest => Place::first(),
    }
}

/// With its count and its cover: the chosen one if it is held, else the first.
fn tell(tx: &mut dyn Tx, account: Uuid, row: AlbumRow) -> DbResult<Album> {
    let chosen = match &row.cover_asset_id {
        Some(id) if queries::find_position(tx, &row.album_id, id)?.is_some() => {
            tiles::find_tile(tx, account, id)?.filter(|found| found.is_listed)
        }
        _ => None,
    };
    let cover = match chosen {
        Some(cover) => Some(cover),
        None => {
            let start = start_of(row.sort);
            queries::list_tiles(tx, &row.album_id, row.sort, &start, 1)?.pop()
        }
    };
    Ok(Album {
        count: queries::count(tx, &row.album_id)?,
        cover: cover.map(|found| found.tile),
        id: row.album_id,
        name: row.name,
        description: row.description,
        sort: row.sort,
        created_at_ms: row.created_at_ms,
        updated_at_ms: row.updated_at_ms,
    })
}

/// All albums of an account, last changed first.
pub async fn list(app: &App, account: Uuid) -> Result<Albums> {
    let rows = app.db.read(move |tx| queries::list(tx, account, MAX_ALBUMS)).await?;
    let mut albums = Vec::with_capacity(rows.len());
    // Each is counted by itself: one that is large keeps no snapshot open for the others.
    for row in rows {
        albums.push(app.db.read(move |tx| tell(tx, account, row)).await?);
    }
    Ok(Albums { albums })
}

/// One album.
pub async fn get(app: &App, account: Uuid, album_id: &str) -> Result<Album> {
    let id = album_id.to_owned();
    app.db
        .read(move |tx| -> Result<Album> {
            let row = queries::find_album(tx, account, &id)?.ok_or_else(no_album)?;
            Ok(tell(tx, account, row)?)
        })
        .await
}

/// Makes an album with these pictures in it, in this order; those that are not held are left out.
pub async fn create(app: &App, account: Uuid, new: NewAlbum) -> Result<Album> {
    require_few(&new.ids)?;
    let name = checked_name(&new.name)?;
    let (album_id, now_ms) = (random_id(), app.clock.now_ms());
    let id = album_id.clone();
    app.db
        .write(move |tx| -> Result<()> {
            if queries::list(tx, account, MAX_ALBUMS)?.len() as i64 >= MAX_ALBUMS {
                let message = "an account has at most 1,000 albums";
                return Err(Error::new(ErrorCode::TooLarge, message).with("maxAlbums", MAX_ALBUMS));
            }
            queries::store(tx, account, &id, &name, now_ms)?;
            next_version(tx, account)?;
            Ok(())
        })
        .await?;
    app.changes.publish(account);
    if !new.ids.is_empty() {
        add(app, account, &album_id, new.ids).await?;
    }
    get(app, account, &album_id).await
}

/// Changes what an album is called and how it is shown.
pub async fn edit(app: &App, account: Uuid, album_id: &str, edit: AlbumEdit) -> Result<Album> {
    let name = edit.name.as_deref().map(checked_name).transpose()?;
    let description = edit
        .description
        .as_deref()
        .map(|text| checked_text(text, MAX_DESCRIPTION_CHARS, "a description"))
        .transpose()?;
    let (id, now_ms) = (album_id.to_owned(), app.clock.now_ms());
    let (cover, sort) = (edit.cover, edit.sort);
    let album = app
        .db
        .write(move |tx| -> Result<Album> {
            let mut row = queries::find_album(tx, account, &id)?.ok_or_else(no_album)?;
            if let Some(cover) = &cover {
                if queries::find_position(tx, &id, cover)?.is_none() {
                    return Err(Error::bad_request("the cover must be a picture of the album"));
                }
                row.cover_asset_id = Some(cover.clone());
            }
            row.name = name.clone().unwrap_or(row.name);
            row.description = description.clone().unwrap_or(row.description);
            row.sort = sort.unwrap_or(row.sort);
            row.updated_at_ms = now_ms;
            queries::update(tx, &row)?;
            next_version(tx, account)?;
            Ok(tell(tx, account, row)?)
        })
        .await?;
    app.changes.publish(account);
    Ok(album)
}

/// Forgets an album. Its pictures stay.
pub async fn delete(app: &App, account: Uuid, album_id: &str) -> Result<()> {
    let id = album_id.to_owned();
    let gone = app
        .db
        .write(move |tx| -> DbResult<bool> {
            let gone = queries::remove(tx, account, &id)?;
            if gone {
                next_version(tx, account)?;
            }
            Ok(gone)
        })
        .await?;
    if !gone {
        return Err(no_album());
    }
    app.changes.publish(account);
    Ok(())
}

/// A page of an album in its order.
pub async fn list_tiles(
    app: &App,
    account: Uuid,
    album_id: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<TilePage> {
    let after = after.map(|text| Place::from_text(text).ok_or_else(no_cursor)).transpose()?;
    let (id, limit) = (album_id.to_owned(), limit.clamp(1, MAX_TILES));
    let found = app
        .db
        .read(move |tx| -> Result<_> {
            let row = queries::find_album(tx, account, &id)?.ok_or_else(no_album)?;
            let after = after.unwrap_or_else(|| start_of(row.sort));
            Ok(queries::list_tiles(tx, &id, row.sort, &after, limit + 1)?)
        })
        .await?;
    Ok(page_of(found, limit))
}

/// Adds held pictures at the end; returns how many were not in it before.
pub async fn add(app: &App, account: Uuid, album_id: &str, ids: Vec<String>) -> Result<usize> {
    let now_ms = app.clock.now_ms();
    in_steps(app, account, album_id, ids, move |tx, album_id, ids| {
        let mut position = queries::find_end(tx, album_id)?;
        let mut added = 0;
        for asset_id in ids {
            if queries::add_item(tx, account, album_id, asset_id, position + GAP, now_ms)? {
                position += GAP;
                added += 1;
            }
        }
        Ok(added)
    })
    .await
}

/// Takes pictures out of an album, whether they are held or in the trash; returns how many were in it.
pub async fn remove(app: &App, account: Uuid, album_id: &str, ids: Vec<String>) -> Result<usize> {
    in_steps(app, account, album_id, ids, |tx, album_id, ids| {
        let mut removed = 0;
        for asset_id in ids {
            removed += usize::from(queries::remove_item(tx, album_id, asset_id)?);
        }
        Ok(removed)
    })
    .await
}

/// Does something to some items of an album, a bounded number in each transaction.
async fn in_steps(
    app: &App,
    account: Uuid,
    album_id: &str,
    ids: Vec<String>,
    act: impl Fn(&mut dyn Tx, &str, &[String]) -> DbResult<usize> + Clone + Send + 'static,
) -> Result<usize> {
    require_few(&ids)?;
    get(app, account, album_id).await?;
    let mut changed = 0;
    for step in distinct(ids).chunks(STEP_ITEMS) {
        let (id, ids, act) = (album_id.to_owned(), step.to_vec(), act.clone());
        let now_ms = app.clock.now_ms();
        changed += app
            .db
            .write(move |tx| -> Result<usize> {
                queries::find_album(tx, account, &id)?.ok_or_else(no_album)?;
                let changed = act(tx, &id, &ids)?;
                if changed > 0 {
                    queries::touch(tx, &id, now_ms)?;
                    next_version(tx, account)?;
                }
                Ok(changed)
            })
            .await?;
    }
    if changed > 0 {
        app.changes.publish(account);
    }
    Ok(changed)
}

/// Puts pictures of an album before another one, or at the end; what is not in the album is left out. Returns how many
/// were moved. A request moves at most 500.
pub async fn reorder(app: &App, account: Uuid, album_id: &str, order: Reorder) -> Result<usize> {
    let ids = distinct(order.ids);
    if ids.len() > STEP_ITEMS {
        let message = "a request moves at most 500 pictures";
        return Err(Error::new(ErrorCode::TooLarge, message).with("maxIds", STEP_ITEMS));
    }
    if order.before.as_ref().is_some_and(|before| ids.contains(before)) {
        return Err(Error::bad_request("a picture cannot be put before itself"));
    }
    let (id, before, now_ms) = (album_id.to_owned(), order.before, app.clock.now_ms());
    let moved = app
        .db
        .write(move |tx| -> Result<usize> {
            queries::find_album(tx, account, &id)?.ok_or_else(no_album)?;
            let moved = move_items(tx, &id, &ids, before.as_deref())?;
            queries::touch(tx, &id, now_ms)?;
            next_version(tx, account)?;
            Ok(moved)
        })
        .await?;
    app.changes.publish(account);
    Ok(moved)
}

fn move_items(
    tx: &mut dyn Tx,
    album_id: &str,
    ids: &[String],
    before: Option<&str>,
) -> Result<usize> {
    let mut items = Vec::new();
    for id in ids {
        if queries::find_position(tx, album_id, id)?.is_some() {
            items.push(id);
        }
    }
    let count = items.len() as i64;
    let Some(before) = before else {
        let end = queries::find_end(tx, album_id)?;
        for (index, id) in (1..).zip(&items) {
            queries::move_item(tx, album_id, id, end + index * GAP)?;
        }
        return Ok(items.len());
    };
    let no_item = || Error::bad_request("`before` must be a picture of the album");
    let mut renumbered = false;
    loop {
        let to = queries::find_position(tx, album_id, before)?.ok_or_else(no_item)?;
        let place = Place { key: to, asset_id: before.to_owned() };
        // Those that are moved away leave room themselves.
        let nearest = queries::list_items_before(tx, album_id, &place, count + 1)?;
        let from = nearest.into_iter().find(|item| !ids.contains(&item.asset_id));
        let from = from.map_or(to - (count + 1) * GAP, |item| item.key);
        let step = (to - from) / (count + 1);
        if step > 0 {
            for (index, id) in (1..).zip(&items) {
                queries::move_item(tx, album_id, id, from + index * step)?;
            }
            return Ok(items.len());
        }
        if renumbered {
            return Err(Error::internal("find room between two items of an album"));
        }
        renumbered = true;
        queries::renumber(tx, album_id)?;
    }
}
