//! The SQL of searching: the words of assets, and pages of what they and other filters find.

use photosync_protocol::v2::claims::Claims;
use uuid::Uuid;

use super::tiles::{Found, found, tile_query};
use crate::db::{DbResult, Tx, find};
use crate::library::rules::Place;
use crate::library::{places, words};
use crate::params;

/// Adds words to those by which an asset is found.
pub fn add_words(tx: &mut dyn Tx, account: Uuid, asset_id: &str, words: &[String]) -> DbResult<()> {
    for word in words {
        tx.execute(
            "INSERT INTO search_words (account_uuid, word, asset_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![account, word, asset_id],
        )?;
    }
    Ok(())
}

/// [`add_words`], for whoever knows the asset only.
pub fn add_claimed_words(tx: &mut dyn Tx, asset_id: &str, words: &[String]) -> DbResult<()> {
    if words.is_empty() {
        return Ok(());
    }
    let sql = "SELECT account_uuid FROM assets WHERE asset_id = ?1";
    let Some(row) = find(tx, sql, params![asset_id])? else { return Ok(()) };
    add_words(tx, row.uuid(0)?, asset_id, words)
}

/// Makes the words of an asset again from everything that is known of it: its name, its caption, its camera, and what devices
/// say. Does nothing if it is not there.
pub fn index_words(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<()> {
    let row = find(
        tx,
        "SELECT a.name, a.caption, f.camera, f.lens, f.latitude_e7, f.longitude_e7 FROM assets a LEFT JOIN asset_facts f ON f.asset_id = a.asset_id
         WHERE a.asset_id = ?2 AND a.account_uuid = ?1",
        params![account, asset_id],
    )?;
    let Some(row) = row else { return Ok(()) };
    let mut found = words::of_name(&row.text(0)?);
    found.extend(words::fold(&row.text(1)?));
    for index in [2, 3] {
        found.extend(words::fold(&row.find_text(index)?.unwrap_or_default()));
    }
    if let Some((latitude_e7, longitude_e7)) = row.find_integer(4)?.zip(row.find_integer(5)?) {
        let place = places::find(latitude_e7, longitude_e7);
        found.extend(place.iter().flat_map(places::words));
    }
    for (_, json) in super::pages::list_claims(tx, asset_id, "")? {
        let claims = serde_json::from_str::<Claims>(&json).unwrap_or_default();
        found.extend(words::of_claims(&claims));
    }
    let sql = "SELECT word FROM search_words INDEXED BY search_words_asset WHERE asset_id = ?1";
    for row in tx.query(sql, params![asset_id])? {
        let word = row.text(0)?;
        if !found.contains(&word) {
            tx.execute(
                "DELETE FROM search_words WHERE account_uuid = ?1 AND word = ?2 AND asset_id = ?3",
                params![account, &word, asset_id],
            )?;
        }
    }
    add_words(tx, account, asset_id, &found)
}

/// The next assets after an id, of all accounts, for whoever makes words once.
pub fn list_ids(tx: &mut dyn Tx, after: &str, limit: i64) -> DbResult<Vec<(Uuid, String)>> {
    let rows = tx.query(
        "SELECT account_uuid, asset_id FROM assets WHERE asset_id > ?1 ORDER BY asset_id LIMIT ?2",
        params![after, limit],
    )?;
    rows.iter().map(|row| Ok((row.uuid(0)?, row.text(1)?))).collect()
}

/// What a person looks for, besides words. Folded and checked.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Taken at this wall clock or later.
    pub from_ms: Option<i64>,
    /// Taken before this wall clock.
    pub before_ms: Option<i64>,
    /// Column `kind`.
    pub kind: Option<&'static str>,
    /// Marked, or not.
    pub favourite: Option<bool>,
    /// With a place, or without.
    pub located: Option<bool>,
    /// Of this camera.
    pub camera: Option<String>,
}

/// Ids of assets that have a word with this beginning, at most `limit`; an id may come twice.
pub fn list_with_word(
    tx: &mut dyn Tx,
    account: Uuid,
    prefix: &str,
    limit: i64,
) -> DbResult<Vec<String>> {
    let rows = tx.query(
        "SELECT asset_id FROM search_words WHERE account_uuid = ?1 AND word >= ?2 AND word < ?3 LIMIT ?4",
        params![account, prefix, words::end_of(prefix), limit],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Whether an asset has words with all these beginnings.
pub fn has_words(tx: &mut dyn Tx, asset_id: &str, prefixes: &[String]) -> DbResult<bool> {
    for prefix in prefixes {
        let row = find(
            tx,
            "SELECT 1 FROM search_words INDEXED BY search_words_asset
             WHERE asset_id = ?1 AND word >= ?2 AND word < ?3
             LIMIT 1",
            params![asset_id, prefix, words::end_of(prefix)],
        )?;
        if row.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A query whose last column says whether the filters let a row through.
macro_rules! filtered {
    ($rest:literal) => {
        tile_query!(
            "a.taken_ms,
            (a.taken_ms >= ?2 AND a.taken_ms < ?3 AND (?4 IS NULL OR a.kind = ?4)
             AND (?5 IS NULL OR a.favourite = ?5)
             AND (?6 IS NULL OR ?6 = EXISTS (SELECT 1 FROM asset_facts f
                                             WHERE f.asset_id = a.asset_id AND f.latitude_e7 IS NOT NULL))
             AND (?7 IS NULL OR EXISTS (SELECT 1 FROM asset_facts f
                                        WHERE f.asset_id = a.asset_id AND f.camera = ?7)))",
            $rest
        )
    };
}

/// The next `limit` pictures after a place, newest first, each with whether the filters let it through: a filter that finds
/// little looks at no more rows than one that finds much.
pub fn list_filtered(
    tx: &mut dyn Tx,
    account: Uuid,
    filters: &Filters,
    after: &Place,
    limit: i64,
) -> DbResult<Vec<(Found, bool)>> {
    let rows = tx.query(
        filtered!(
            "FROM assets a INDEXED BY assets_timeline
             WHERE a.account_uuid = ?1 AND a.listed = 1 AND a.hidden = 0 AND (a.taken_ms, a.asset_id) < (?8, ?9)
               AND a.taken_ms >= ?2
             ORDER BY a.taken_ms DESC, a.asset_id DESC
             LIMIT ?10"
        ),
        params![
            account,
            filters.from_ms.unwrap_or(i64::MIN),
            filters.before_ms.unwrap_or(i64::MAX),
            filters.kind,
            filters.favourite,
            filters.located,
            filters.camera.clone(),
            after.key,
            &after.asset_id,
            limit,
        ],
    )?;
    rows.iter().map(|row| Ok((found(row)?, row.boolean(14)?))).collect()
}

/// One held picture, if the filters let it through.
pub fn find_filtered(
    tx: &mut dyn Tx,
    account: Uuid,
    filters: &Filters,
    asset_id: &str,
) -> DbResult<Option<Found>> {
    let row = find(
        tx,
        filtered!(
            "FROM assets a
             WHERE a.asset_id = ?8 AND a.account_uuid = ?1 AND a.listed = 1 AND a.hidden = 0"
        ),
        params![
            account,
            filters.from_ms.unwrap_or(i64::MIN),
            filters.before_ms.unwrap_or(i64::MAX),
            filters.kind,
            filters.favourite,
            filters.located,
            filters.camera.clone(),
            asset_id,
        ],
    )?;
    let Some(row) = row else { return Ok(None) };
    row.boolean(14)?.then(|| found(&row)).transpose()
}

/// Where and when a picture was taken.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Degrees north times 10^7.
    pub north_e7: i64,
    /// Degrees east times 10^7.
    pub east_e7: i64,
    /// Wall clock, milliseconds.
    pub taken_ms: i64,
}

/// The next places after an id, in order of ids; `None` for a picture that is not in the timeline.
pub fn list_points(
    tx: &mut dyn Tx,
    account: Uuid,
    after: &str,
    limit: i64,
) -> DbResult<Vec<(String, Option<Point>)>> {
    let rows = tx.query(
        "SELECT f.asset_id, f.latitude_e7, f.longitude_e7, a.listed = 1 AND a.hidden = 0 AND a.archived = 0, a.taken_ms
         FROM asset_facts f INDEXED BY asset_facts_place JOIN assets a ON a.asset_id = f.asset_id
         WHERE f.account_uuid = ?1 AND f.latitude_e7 IS NOT NULL AND f.asset_id > ?2
         ORDER BY f.asset_id
         LIMIT ?3",
        params![account, after, limit],
    )?;
    rows.iter()
        .map(|row| {
            let place = row.find_integer(1)?.zip(row.find_integer(2)?);
            let taken_ms = row.integer(4)?;
            let point = place.map(|(north_e7, east_e7)| Point { north_e7, east_e7, taken_ms });
            Ok((row.text(0)?, point.filter(|_| row.boolean(3).unwrap_or(false))))
        })
        .collect()
}

/// Hashes of pictures without their metadata that several held originals have, after a hash.
pub fn list_same(
    tx: &mut dyn Tx,
    account: Uuid,
    after: &[u8],
    limit: i64,
) -> DbResult<Vec<Vec<u8>>> {
    let rows = tx.query(
        "SELECT f.payload_hash
         FROM asset_facts f INDEXED BY asset_facts_payload JOIN assets a ON a.asset_id = f.asset_id
         WHERE f.account_uuid = ?1 AND f.payload_hash IS NOT NULL AND f.payload_hash > ?2
           AND a.listed = 1 AND a.hidden = 0
         GROUP BY f.payload_hash
         HAVING COUNT(*) > 1
         ORDER BY f.payload_hash
         LIMIT ?3",
        params![account, after, limit],
    )?;
    rows.iter().map(|row| Ok(row.find_bytes(0)?.unwrap_or_default())).collect()
}

/// Held pictures with this hash, oldest arrival first.
pub fn list_with_payload(
    tx: &mut dyn Tx,
    account: Uuid,
    hash: &[u8],
    limit: i64,
) -> DbResult<Vec<String>> {
    let rows = tx.query(
        "SELECT a.asset_id FROM asset_facts f INDEXED BY asset_facts_payload JOIN assets a ON a.asset_id = f.asset_id
         WHERE f.account_uuid = ?1 AND f.payload_hash = ?2 AND a.listed = 1 AND a.hidden = 0
         ORDER BY a.seq
         LIMIT ?3",
        params![account, hash, limit],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// By which way of folding all words were made; `None`: not yet.
pub fn find_version(tx: &mut dyn Tx) -> DbResult<Option<String>> {
    let row = find(tx, "SELECT value FROM facts WHERE name = 'search_words'", &[])?;
    row.map(|row| row.text(0)).transpose()
}

/// Notes by which way of folding all words were made.
pub fn set_version(tx: &mut dyn Tx, version: &str) -> DbResult<()> {
    tx.execute(
        "INSERT INTO facts (name, value) VALUES ('search_words', ?1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![version],
    )?;
    Ok(())
}
