//! The SQL by which the media worker's findings get into an asset.

use uuid::Uuid;

use super::next_version;
use super::search::index_words;
use super::timeline::mark_stale;
use crate::db::{DbResult, Tx, find};
use crate::params;

/// Furthest apart that both halves of a pair were taken which is only guessed by name: 3 s.
const GUESS_WITHIN_MS: i64 = 3000;

/// What was found out about an asset.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of assets and asset_facts, described in the schema")]
pub struct Findings {
    pub asset_id: String,
    pub account: Uuid,
    pub kind: &'static str,
    pub taken_ms: i64,
    pub taken_offset_minutes: Option<i64>,
    pub taken_source: &'static str,
    pub width: i64,
    pub height: i64,
    pub duration_ms: Option<i64>,
    pub placeholder: Option<Vec<u8>>,
    pub pair_id: Option<String>,
    /// The pair is only guessed by names: then both must have been taken at the same moment.
    pub pair_is_guessed: bool,
    /// `None`: renditions are there.
    pub error: Option<&'static str>,
    pub camera: Option<String>,
    pub lens: Option<String>,
    pub latitude_e7: Option<i64>,
    pub longitude_e7: Option<i64>,
    pub payload_hash: Option<Vec<u8>>,
    pub dhash: Option<Vec<u8>>,
    pub facts_json: String,
}

fn bytes(value: Option<&Vec<u8>>) -> Option<&[u8]> {
    value.map(Vec::as_slice)
}

/// Stores the findings; the job is done. What a person said of the time stays. Does nothing if the asset is gone.
pub fn set_media(tx: &mut dyn Tx, found: &Findings) -> DbResult<()> {
    let row = find(
        tx,
        "SELECT taken_ms, taken_source, kind FROM assets WHERE asset_id = ?1",
        params![&found.asset_id],
    )?;
    let Some(row) = row else { return Ok(()) };
    let (old_ms, by_person) = (row.integer(0)?, row.text(1)? == "person");
    let new_ms = if by_person { old_ms } else { found.taken_ms };
    // What is no picture looks as before, unless its day changes: nobody has to be told.
    let is_told = found.kind != "file" || row.text(2)? != "file" || new_ms != old_ms;
    tx.execute(
        "UPDATE assets
         SET kind = ?2, width = ?3, height = ?4, duration_ms = ?5, placeholder = ?6, pair_id = ?7, media_state = ?8,
             media_error = ?9, media_due_at_ms = NULL, media_attempts = 0, hidden = 0
         WHERE asset_id = ?1",
        params![
            &found.asset_id,
            found.kind,
            found.width,
            found.height,
            found.duration_ms,
            bytes(found.placeholder.as_ref()),
            found.pair_id.as_ref(),
            if found.error.is_some() { "failed" } else { "done" },
            found.error
        ],
    )?;
    if !by_person {
        tx.execute(
            "UPDATE assets SET taken_ms = ?2, taken_offset_minutes = ?3, taken_source = ?4 WHERE asset_id = ?1",
            params![
                &found.asset_id,
                found.taken_ms,
                found.taken_offset_minutes,
                found.taken_source
            ],
        )?;
    }
    store_facts(tx, found)?;
    index_words(tx, found.account, &found.asset_id)?;
    join_pair(tx, found, new_ms)?;
    if !is_told {
        return Ok(());
    }
    set_changed(tx, found.account, &found.asset_id)?;
    mark_stale(tx, found.account, old_ms)?;
    mark_stale(tx, found.account, new_ms)
}

fn set_changed(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<()> {
    let version = next_version(tx, account)?;
    tx.execute(
        "UPDATE assets SET changed_version = ?2 WHERE asset_id = ?1",
        params![asset_id, version],
    )?;
    Ok(())
}

fn store_facts(tx: &mut dyn Tx, found: &Findings) -> DbResult<()> {
    tx.execute(
        "INSERT INTO asset_facts (asset_id, account_uuid, camera, lens, latitude_e7, longitude_e7, payload_hash, dhash,
                                  facts_json)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (asset_id)
         DO UPDATE SET camera = excluded.camera, lens = excluded.lens, latitude_e7 = excluded.latitude_e7,
                       longitude_e7 = excluded.longitude_e7, payload_hash = excluded.payload_hash,
                       dhash = excluded.dhash, facts_json = excluded.facts_json",
        params![
            &found.asset_id,
            found.account,
            found.camera.as_ref(),
            found.lens.as_ref(),
            found.latitude_e7,
            found.longitude_e7,
            bytes(found.payload_hash.as_ref()),
            bytes(found.dhash.as_ref()),
            &found.facts_json
        ],
    )?;
    Ok(())
}

/// Hides the moving half when both are there. Exactly one still and one film have an id; with a second of either nobody
/// knows which belong together, and all are shown.
fn join_pair(tx: &mut dyn Tx, found: &Findings, taken_ms: i64) -> DbResult<()> {
    let Some(pair_id) = &found.pair_id else { return Ok(()) };
    let others = tx.query(
        "SELECT asset_id, kind, taken_ms FROM assets
         WHERE account_uuid = ?1 AND pair_id = ?2 AND asset_id <> ?3 AND listed = 1
         LIMIT 2",
        params![found.account, pair_id, &found.asset_id],
    )?;
    let [other] = others.as_slice() else { return Ok(()) };
    let (other_id, other_kind, other_ms) = (other.text(0)?, other.text(1)?, other.integer(2)?);
    if found.pair_is_guessed && (other_ms - taken_ms).abs() > GUESS_WITHIN_MS {
        return Ok(());
    }
    let moving = match (found.kind, other_kind.as_str()) {
        ("photo", "video") => &other_id,
        ("video", "photo") => &found.asset_id,
        _ => return Ok(()),
    };
    tx.execute("UPDATE assets SET hidden = 1 WHERE asset_id = ?1", params![moving])?;
    // The still is shown as a Live Photo from now on, and the film no more.
    set_changed(tx, found.account, &other_id)?;
    mark_stale(tx, found.account, other_ms)
}
