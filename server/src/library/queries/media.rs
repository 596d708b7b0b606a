//! The SQL by which the media worker's findings get into an asset.

use uuid::Uuid;

use super::alike;
use super::next_version;
use super::search::index_words;
use super::timeline::mark_stale;
use crate::db::{DbResult, Tx, find};
use crate::params;

/// Furthest apart that both halves of a pair were taken which is only guessed by name: 3 s.
const GUESS_WITHIN_MS: i64 = 3000;

/// Longest film of which a playable version is made before anybody asks: 2 min.
const AHEAD_MS: i64 = 2 * 60 * 1000;

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
    pub times_json: String,
    pub plays: Option<&'static str>,
    pub codecs: Option<String>,
    pub transfer: Option<&'static str>,
    pub copies: bool,
    /// Where the film in a picture begins, and how long it is.
    pub motion: Option<(i64, i64)>,
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
    alike::note(tx, found)?;
    want_playable(tx, found)?;
    index_words(tx, found.account, &found.asset_id)?;
    join_pair(tx, found, new_ms)?;
    if !is_told {
        return Ok(());
    }
    set_changed(tx, found.account, &found.asset_id)?;
    mark_stale(tx, found.account, old_ms)?;
    mark_stale(tx, found.account, new_ms)
}

/// An original that was looked at, and when it was taken as far as anybody knows.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of assets and asset_facts, described in the schema")]
pub struct Timed {
    pub account: Uuid,
    pub name: String,
    pub arrived_at_ms: i64,
    pub taken_ms: i64,
    pub taken_offset_minutes: Option<i64>,
    pub taken_source: String,
    pub times_json: String,
}

/// An original that was looked at, if no person said when it was taken.
pub fn find_timed(tx: &mut dyn Tx, asset_id: &str) -> DbResult<Option<Timed>> {
    let row = find(
        tx,
        "SELECT a.account_uuid, a.name, a.arrived_at_ms, a.taken_ms, a.taken_offset_minutes, a.taken_source, f.times_json
         FROM assets a JOIN asset_facts f ON f.asset_id = a.asset_id
         WHERE a.asset_id = ?1 AND a.taken_source <> 'person'",
        params![asset_id],
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Timed {
        account: row.uuid(0)?,
        name: row.text(1)?,
        arrived_at_ms: row.integer(2)?,
        taken_ms: row.integer(3)?,
        taken_offset_minutes: row.find_integer(4)?,
        taken_source: row.text(5)?,
        times_json: row.text(6)?,
    }))
}

/// Moves an original to another time.
pub fn set_taken(
    tx: &mut dyn Tx,
    asset_id: &str,
    before: &Timed,
    taken: &crate::media::rules::Taken,
) -> DbResult<()> {
    tx.execute(
        "UPDATE assets SET taken_ms = ?2, taken_offset_minutes = ?3, taken_source = ?4 WHERE asset_id = ?1",
        params![asset_id, taken.ms, taken.offset_minutes, taken.source],
    )?;
    set_changed(tx, before.account, asset_id)?;
    mark_stale(tx, before.account, before.taken_ms)?;
    mark_stale(tx, before.account, taken.ms)
}

/// Looks at an original again, whatever was found in it; what is shown of it stays until then.
pub fn look_again(tx: &mut dyn Tx, asset_id: &str) -> DbResult<()> {
    tx.execute(
        "UPDATE assets SET media_due_at_ms = 0, media_attempts = 0 WHERE asset_id = ?1",
        params![asset_id],
    )?;
    Ok(())
}

/// Marks a new original as its device did.
pub fn mark_favourite(tx: &mut dyn Tx, asset_id: &str) -> DbResult<()> {
    tx.execute("UPDATE assets SET favourite = 1 WHERE asset_id = ?1", params![asset_id])?;
    Ok(())
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
                                  facts_json, plays, codecs, transfer, copies, motion_at, motion_bytes, times_json)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (asset_id)
         DO UPDATE SET camera = excluded.camera, lens = excluded.lens, latitude_e7 = excluded.latitude_e7,
                       longitude_e7 = excluded.longitude_e7, payload_hash = excluded.payload_hash,
                       dhash = excluded.dhash, facts_json = excluded.facts_json, plays = excluded.plays,
                       codecs = excluded.codecs, transfer = excluded.transfer, copies = excluded.copies,
                       motion_at = excluded.motion_at, motion_bytes = excluded.motion_bytes,
                       times_json = excluded.times_json",
        params![
            &found.asset_id,
            found.account,
            found.camera.as_ref(),
            found.lens.as_ref(),
            found.latitude_e7,
            found.longitude_e7,
            bytes(found.payload_hash.as_ref()),
            bytes(found.dhash.as_ref()),
            &found.facts_json,
            found.plays,
            found.codecs.as_ref(),
            found.transfer,
            found.copies,
            found.motion.map(|(at, _)| at),
            found.motion.map(|(_, length)| length),
            &found.times_json
        ],
    )?;
    Ok(())
}

/// A short film that not every browser plays gets a version that does, before anybody asks. Halves of Live Photos do not:
/// there are thousands of them, and making one takes no longer than asking for it.
fn want_playable(tx: &mut dyn Tx, found: &Findings) -> DbResult<()> {
    let is_short = found.duration_ms.is_some_and(|ms| ms <= AHEAD_MS);
    let is_wanted = found.kind == "video" && found.error.is_none() && found.pair_id.is_none();
    if !is_short || !is_wanted || found.plays == Some("everywhere") {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO playables (asset_id, account_uuid, state, asked_at_ms) VALUES (?1, ?2, 'waiting', 0)
         ON CONFLICT (asset_id) DO NOTHING",
        params![&found.asset_id, found.account],
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
