//! The SQL of pictures that look alike, and of what a person said of them.

use uuid::Uuid;

use super::media::Findings;
use crate::db::{DbResult, Tx, find};
use crate::params;

/// Most bits in which two hashes differ that look alike: as the clients of old had it.
const MOST_BITS: u32 = 6;
/// A hash with fewer ones, or fewer zeros, is that of something flat: whatever is flat would look like it.
const LEAST_STRUCTURE: u32 = 6;
/// Hashes of one quarter that are compared. There are five in a library of 300,000; a thousand screenshots of one program have
/// more, and nobody needs all of their pairs.
const MAX_COMPARED: i64 = 2000;
/// The nearest ones that are noted of each picture.
const MAX_NOTED: usize = 20;

/// One of four indexes on two bytes of the hash: these two as they are, and with each of their bits turned.
macro_rules! quarter_query {
    ($index:literal, $first:literal) => {
        concat!(
            "SELECT f.rowid, f.dhash FROM asset_facts f INDEXED BY ",
            $index,
            " WHERE substr(dhash, ",
            $first,
            ", 2) IN (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
              AND dhash IS NOT NULL
              LIMIT ?18"
        )
    };
}

const QUARTERS: [&str; 4] = [
    quarter_query!("asset_facts_look_1", "1"),
    quarter_query!("asset_facts_look_2", "3"),
    quarter_query!("asset_facts_look_3", "5"),
    quarter_query!("asset_facts_look_4", "7"),
];

/// Notes which photos of the account look like this one, instead of those noted before. Those that are the same but for
/// their metadata are known already.
pub fn note(tx: &mut dyn Tx, found: &Findings) -> DbResult<()> {
    tx.execute("DELETE FROM alike WHERE asset_id = ?1", params![&found.asset_id])?;
    tx.execute("DELETE FROM alike WHERE other_id = ?1", params![&found.asset_id])?;
    let hash: Option<[u8; 8]> = found.dhash.as_deref().and_then(|hash| hash.try_into().ok());
    let Some(hash) = hash.filter(|hash| found.kind == "photo" && has_structure(*hash)) else {
        return Ok(());
    };
    let mut near = list_near(tx, hash)?;
    near.sort_unstable();
    near.dedup();
    let mut noted = 0;
    for (_, rowid) in near {
        let row = find(
            tx,
            "SELECT f.asset_id, f.payload_hash FROM asset_facts f JOIN assets a ON a.asset_id = f.asset_id
             WHERE f.rowid = ?1 AND f.account_uuid = ?2 AND f.asset_id <> ?3 AND a.kind = 'photo'",
            params![rowid, found.account, &found.asset_id],
        )?;
        let Some(row) = row else { continue };
        let (other_id, payload) = (row.text(0)?, row.find_bytes(1)?);
        if payload.is_some() && payload == found.payload_hash {
            continue;
        }
        let (first, second) = ordered(&found.asset_id, &other_id);
        tx.execute(
            "INSERT INTO alike (account_uuid, asset_id, other_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![found.account, first, second],
        )?;
        noted += 1;
        if noted == MAX_NOTED {
            break;
        }
    }
    Ok(())
}

fn has_structure(hash: [u8; 8]) -> bool {
    let ones = u64::from_be_bytes(hash).count_ones();
    (LEAST_STRUCTURE..=64 - LEAST_STRUCTURE).contains(&ones)
}

/// Distances and rows of hashes that differ in few bits. One of the four quarters differs in one bit at most.
fn list_near(tx: &mut dyn Tx, hash: [u8; 8]) -> DbResult<Vec<(u32, i64)>> {
    let whole = u64::from_be_bytes(hash);
    let mut near = Vec::new();
    for (index, sql) in QUARTERS.into_iter().enumerate() {
        let quarter = u16::from_be_bytes([hash[2 * index], hash[2 * index + 1]]);
        let turned = (0..16).map(|bit| quarter ^ (1 << bit));
        let values: Vec<[u8; 2]> =
            std::iter::once(quarter).chain(turned).map(u16::to_be_bytes).collect();
        let mut all: Vec<crate::db::Value> =
            values.iter().map(|value| crate::db::Value::from(&value[..])).collect();
        all.push(MAX_COMPARED.into());
        for row in tx.query(sql, &all)? {
            let other = row.find_bytes(1)?.and_then(|other| <[u8; 8]>::try_from(other).ok());
            let Some(other) = other else { continue };
            let bits = (u64::from_be_bytes(other) ^ whole).count_ones();
            if bits <= MOST_BITS && has_structure(other) {
                near.push((bits, row.integer(0)?));
            }
        }
    }
    Ok(near)
}

/// The smaller id first.
fn ordered<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    if one <= other { (one, other) } else { (other, one) }
}

/// Ids after this one that are the smaller one of a pair.
pub fn list_first(
    tx: &mut dyn Tx,
    account: Uuid,
    after: &str,
    limit: i64,
) -> DbResult<Vec<String>> {
    let rows = tx.query(
        "SELECT DISTINCT asset_id FROM alike
         WHERE account_uuid = ?1 AND asset_id > ?2
         ORDER BY asset_id
         LIMIT ?3",
        params![account, after, limit],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Shown photos that look like this one.
pub fn list_alike(tx: &mut dyn Tx, asset_id: &str) -> DbResult<Vec<String>> {
    let rows = tx.query(
        "SELECT p.other_id FROM alike p JOIN assets a ON a.asset_id = p.other_id
         WHERE p.asset_id = ?1 AND a.listed = 1 AND a.hidden = 0
         UNION
         SELECT p.asset_id FROM alike p JOIN assets a ON a.asset_id = p.asset_id
         WHERE p.other_id = ?1 AND a.listed = 1 AND a.hidden = 0
         LIMIT 200",
        params![asset_id],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Ids of which a person said that they are different from this one.
pub fn list_apart(tx: &mut dyn Tx, asset_id: &str) -> DbResult<Vec<String>> {
    let rows = tx.query(
        "SELECT other_id FROM told_apart WHERE asset_id = ?1
         UNION ALL
         SELECT asset_id FROM told_apart WHERE other_id = ?1
         LIMIT 1000",
        params![asset_id],
    )?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Notes that a person says that two assets are different, or not any more.
pub fn tell_apart(tx: &mut dyn Tx, one: &str, other: &str, different: bool) -> DbResult<()> {
    let (first, second) = ordered(one, other);
    let sql = match different {
        true => {
            "INSERT INTO told_apart (asset_id, other_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
        }
        false => "DELETE FROM told_apart WHERE asset_id = ?1 AND other_id = ?2",
    };
    tx.execute(sql, params![first, second])?;
    Ok(())
}
