//! What devices say about assets. Only ever added to, by whichever way it comes, but for files that a device moved: see
//! `protocol::v2::places`.

use std::collections::BTreeMap;

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::claims::Claims;
use photosync_protocol::v2::places::{DigestClaims, Move, Told};
use uuid::Uuid;

use super::queries::{self, media, pages, search};
use super::words;
use crate::accounts::native::{Member, Uploader};
use crate::boot::App;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::media::facts::Times;
use crate::media::rules::{self as media_rules, Witnesses};

/// Adds what a device says about an asset to what it said before. False if a place is not kept because it told too
/// many. Writes only if something is new.
pub fn add(
    tx: &mut dyn Tx,
    asset_id: &str,
    device_id: &str,
    said: Claims,
    now_ms: i64,
) -> Result<bool> {
    if said == Claims::default() {
        return Ok(true);
    }
    let before = pages::find_claims(tx, asset_id, device_id)?;
    // Written by this server; what nobody can read any more says nothing.
    let known: Claims =
        before.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let mut claims = known.clone();
    let is_kept = claims.add(said);
    if claims != known {
        store(tx, asset_id, device_id, &claims, now_ms)?;
        // Claims are only added to here, and so are their words.
        search::add_claimed_words(tx, asset_id, &words::of_claims(&claims))?;
        if (&claims.captured, claims.modified_ms) != (&known.captured, known.modified_ms) {
            time_again(tx, asset_id)?;
        }
    }
    Ok(is_kept)
}

/// Weighs what devices say against what the original says, once more, if the worker has looked at it already; else it will.
fn time_again(tx: &mut dyn Tx, asset_id: &str) -> Result<()> {
    let Some(before) = media::find_timed(tx, asset_id)? else { return Ok(()) };
    let times: Times = serde_json::from_str(&before.times_json).unwrap_or_default();
    let rows = pages::list_claims(tx, asset_id, "")?;
    let said: Vec<Claims> =
        rows.iter().filter_map(|(_, json)| serde_json::from_str(json).ok()).collect();
    let taken = media_rules::taken(Witnesses {
        times: &times,
        claims: &said,
        name: &before.name,
        arrived_at_ms: before.arrived_at_ms,
    });
    let known = (before.taken_ms, before.taken_offset_minutes, before.taken_source.as_str());
    if (taken.ms, taken.offset_minutes, taken.source) != known {
        media::set_taken(tx, asset_id, &before, &taken)?;
    }
    Ok(())
}

fn store(
    tx: &mut dyn Tx,
    asset_id: &str,
    device_id: &str,
    claims: &Claims,
    now_ms: i64,
) -> Result<()> {
    let json = serde_json::to_string(claims)
        .map_err(|source| Error::internal("write down a claim").caused_by(source))?;
    Ok(queries::store_claims(tx, asset_id, device_id, &json, now_ms)?)
}

/// Takes places away that the device left by moving files, where the new place is known. One transaction; the caller
/// bounds the number. Other devices' places stay.
pub async fn leave(app: &App, caller: &Member, moves: Vec<Move>) -> Result<()> {
    let (account, device_id) = (caller.account, caller.device_id.clone());
    let now_ms = app.clock.now_ms();
    app.db
        .write(move |tx| {
            moves.iter().try_for_each(|gone| leave_one(tx, account, &device_id, gone, now_ms))
        })
        .await
}

fn leave_one(
    tx: &mut dyn Tx,
    account: Uuid,
    device_id: &str,
    gone: &Move,
    now_ms: i64,
) -> Result<()> {
    let Some(asset) = queries::find_by_digest(tx, account, &gone.digest.0)? else { return Ok(()) };
    let before = pages::find_claims(tx, &asset.asset_id, device_id)?;
    let known = before.and_then(|json| serde_json::from_str::<Claims>(&json).ok());
    let Some(known) = known else { return Ok(()) };
    let mut claims = known.clone();
    claims.leave(&gone.from, &gone.to);
    if claims != known {
        store(tx, &asset.asset_id, device_id, &claims, now_ms)?;
        search::index_words(tx, account, &asset.asset_id)?;
    }
    Ok(())
}

/// Adds what a device says about files that are here already, and says of each entry what became of it. One
/// transaction; the caller bounds the number of entries. Nothing but claims changes.
pub async fn tell(app: &App, caller: &Uploader, told: Vec<DigestClaims>) -> Result<Vec<Told>> {
    let (account, device_id) = (caller.account, caller.device_id.clone());
    let now_ms = app.clock.now_ms();
    app.db.write(move |tx| tell_here(tx, account, &device_id, &told, now_ms)).await
}

fn tell_here(
    tx: &mut dyn Tx,
    account: Uuid,
    device_id: &str,
    told: &[DigestClaims],
    now_ms: i64,
) -> Result<Vec<Told>> {
    let mut answers = vec![Told::Unknown; told.len()];
    // In order of digests, as the index is; a photo with many places is read and written once.
    let mut by_digest: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
    for (index, entry) in told.iter().enumerate() {
        by_digest.entry(entry.digest).or_default().push(index);
    }
    for (digest, indexes) in by_digest {
        let Some(asset) = queries::find_by_digest(tx, account, &digest.0)? else { continue };
        let mut all = Claims::default();
        for index in &indexes {
            answers[*index] =
                if all.add(told[*index].claims.clone()) { Told::Known } else { Told::Full };
        }
        if !add(tx, &asset.asset_id, device_id, all, now_ms)? {
            // Which of these did not fit is told by asking for each what a second time would change.
            let kept = pages::find_claims(tx, &asset.asset_id, device_id)?.unwrap_or_default();
            let kept: Claims = serde_json::from_str(&kept).unwrap_or_default();
            for index in indexes {
                let fits = kept.clone().add(told[index].claims.clone());
                answers[index] = if fits { Told::Known } else { Told::Full };
            }
        }
    }
    Ok(answers)
}
