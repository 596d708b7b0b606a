//! The SQL of what a person says of pictures, and of what a single picture is shown with.

use uuid::Uuid;

use super::{next_version, search, timeline};
use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// What a person says; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Say {
    /// Marks it.
    pub favourite: Option<bool>,
    /// Takes it out of the timeline.
    pub archived: Option<bool>,
    /// 0 to 5.
    pub rating: Option<i64>,
    /// Checked text.
    pub caption: Option<String>,
    /// The clock on the wall in milliseconds.
    pub taken_ms: Option<i64>,
}

/// Notes what a person says of held assets; returns how many there are. Their days are marked where it moves them.
pub fn say(tx: &mut dyn Tx, account: Uuid, ids: &[String], say: &Say) -> DbResult<usize> {
    let mut changed = 0;
    for id in ids {
        let before = find(
            tx,
            "SELECT taken_ms, archived FROM assets WHERE asset_id = ?2 AND account_uuid = ?1 AND listed = 1",
            params![account, id],
        )?;
        let Some(before) = before else { continue };
        let (taken_ms, archived) = (before.integer(0)?, before.boolean(1)?);
        tx.execute(
            "UPDATE assets
             SET favourite = COALESCE(?3, favourite), archived = COALESCE(?4, archived), rating = COALESCE(?5, rating),
                 caption = COALESCE(?6, caption), taken_ms = COALESCE(?7, taken_ms),
                 taken_source = CASE WHEN ?7 IS NULL THEN taken_source ELSE 'person' END,
                 taken_offset_minutes = CASE WHEN ?7 IS NULL THEN taken_offset_minutes END
             WHERE asset_id = ?2 AND account_uuid = ?1",
            params![
                account,
                id,
                say.favourite,
                say.archived,
                say.rating,
                say.caption.clone(),
                say.taken_ms
            ],
        )?;
        changed += 1;
        if say.caption.is_some() {
            search::index_words(tx, account, id)?;
        }
        let is_elsewhere = say.taken_ms.is_some_and(|now| now != taken_ms);
        if is_elsewhere || say.archived.is_some_and(|now| now != archived) {
            timeline::mark_stale(tx, account, taken_ms)?;
            timeline::mark_stale(tx, account, say.taken_ms.unwrap_or(taken_ms))?;
        }
    }
    if changed > 0 {
        next_version(tx, account)?;
    }
    Ok(changed)
}

/// Ids of the moving halves that belong to an asset, if that one is a still.
pub fn list_moving_ids(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<Vec<String>> {
    let rows = tx.query(
        "SELECT m.asset_id FROM assets s JOIN assets m ON m.account_uuid = s.account_uuid AND m.pair_id = s.pair_id
         WHERE s.asset_id = ?2 AND s.account_uuid = ?1 AND s.hidden = 0 AND m.hidden = 1
         LIMIT 16",
        params![account, asset_id],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// What a person put into the trash becomes due for removal now; returns how many pictures that are. Nobody is told of them
/// any more: they have no time in the trash.
pub fn empty_trash(tx: &mut dyn Tx, account: Uuid, limit: i64) -> DbResult<i64> {
    let emptied = tx.execute(
        "UPDATE assets SET trashed_at_ms = 0
         WHERE asset_id IN (SELECT asset_id FROM assets
                            WHERE account_uuid = ?1 AND trashed_at_ms > 0 AND trashed_by_person = 1
                            LIMIT ?2)",
        params![account, limit],
    )?;
    if emptied > 0 {
        next_version(tx, account)?;
    }
    Ok(emptied)
}

/// What is shown of one asset besides its tile and its row.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of assets and asset_facts, described in the schema")]
pub struct Shown {
    pub taken_offset_minutes: Option<i64>,
    pub taken_source: String,
    pub archived: bool,
    pub rating: i64,
    pub media_error: Option<String>,
    pub camera: Option<String>,
    pub lens: Option<String>,
    pub latitude_e7: Option<i64>,
    pub longitude_e7: Option<i64>,
    pub facts_json: Option<String>,
    pub plays: Option<String>,
    pub codecs: Option<String>,
    pub has_motion: bool,
}

fn shown(row: &Row) -> DbResult<Shown> {
    Ok(Shown {
        taken_offset_minutes: row.find_integer(0)?,
        taken_source: row.text(1)?,
        archived: row.boolean(2)?,
        rating: row.integer(3)?,
        media_error: row.find_text(4)?,
        camera: row.find_text(5)?,
        lens: row.find_text(6)?,
        latitude_e7: row.find_integer(7)?,
        longitude_e7: row.find_integer(8)?,
        facts_json: row.find_text(9)?,
        plays: row.find_text(10)?,
        codecs: row.find_text(11)?,
        has_motion: row.boolean(12)?,
    })
}

/// What is shown of one asset of this account.
pub fn find_shown(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<Option<Shown>> {
    let row = find(
        tx,
        "SELECT a.taken_offset_minutes, a.taken_source, a.archived, a.rating, a.media_error, f.camera, f.lens,
                f.latitude_e7, f.longitude_e7, f.facts_json, f.plays, f.codecs, f.motion_at IS NOT NULL
         FROM assets a LEFT JOIN asset_facts f ON f.asset_id = a.asset_id
         WHERE a.asset_id = ?2 AND a.account_uuid = ?1",
        params![account, asset_id],
    )?;
    row.as_ref().map(shown).transpose()
}

/// Albums that an asset is in, as (id, name), by name.
pub fn list_albums_of(
    tx: &mut dyn Tx,
    account: Uuid,
    asset_id: &str,
) -> DbResult<Vec<(String, String)>> {
    let rows = tx.query(
        "SELECT b.album_id, b.name FROM album_items i JOIN albums b ON b.album_id = i.album_id
         WHERE i.asset_id = ?2 AND b.account_uuid = ?1 AND b.kind = 'manual'
         ORDER BY b.name, b.album_id
         LIMIT 100",
        params![account, asset_id],
    )?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

/// Originals that the media worker has not looked at yet.
pub fn count_waiting(tx: &mut dyn Tx, account: Uuid) -> DbResult<i64> {
    let row = find(
        tx,
        "SELECT COUNT(*) FROM assets INDEXED BY assets_waiting
         WHERE account_uuid = ?1 AND listed = 1 AND media_state = 'waiting'",
        params![account],
    )?;
    row.map_or(Ok(0), |row| row.integer(0))
}
