//! The SQL of pairing.

use photosync_protocol::v2::session::PAIRING_TRIES;
use uuid::Uuid;

use super::Fate;
use crate::db::{DbResult, Tx, find};
use crate::params;

/// An offer to add a device.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table pairings, described in the schema")]
pub struct NewPairing {
    pub pairing_id: String,
    pub account_uuid: Uuid,
    pub code_hash: [u8; 32],
    pub secret_hash: [u8; 32],
    pub now_ms: i64,
    pub expires_at_ms: i64,
}

/// Adds an offer, forgets every dead one, and of the account's live ones all but the `keep` newest.
pub fn store(tx: &mut dyn Tx, new: &NewPairing, keep: i64) -> DbResult<()> {
    tx.execute(
        "DELETE FROM pairings WHERE expires_at_ms <= ?1 OR used_at_ms IS NOT NULL OR wrong_tries >= ?2",
        params![new.now_ms, PAIRING_TRIES],
    )?;
    tx.execute(
        "INSERT INTO pairings (pairing_id, account_uuid, code_hash, secret_hash, created_at_ms, expires_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            &new.pairing_id,
            new.account_uuid,
            &new.code_hash[..],
            &new.secret_hash[..],
            new.now_ms,
            new.expires_at_ms
        ],
    )?;
    tx.execute(
        "DELETE FROM pairings
         WHERE account_uuid = ?1
           AND pairing_id NOT IN (SELECT pairing_id FROM pairings WHERE account_uuid = ?1
                                  ORDER BY created_at_ms DESC, pairing_id = ?3 DESC, pairing_id
                                  LIMIT ?2)",
        params![new.account_uuid, keep, &new.pairing_id],
    )?;
    Ok(())
}

/// What became of the newest offer with this code.
pub fn fate(tx: &mut dyn Tx, code_hash: &[u8; 32], now_ms: i64) -> DbResult<Fate> {
    let row = find(
        tx,
        "SELECT used_at_ms IS NOT NULL, expires_at_ms > ?2 AND wrong_tries < ?3
         FROM pairings
         WHERE code_hash = ?1
         ORDER BY created_at_ms DESC
         LIMIT 1",
        params![&code_hash[..], now_ms, PAIRING_TRIES],
    )?;
    let Some(row) = row else { return Ok(Fate::Over) };
    Ok(match (row.boolean(0)?, row.boolean(1)?) {
        (true, _) => Fate::Used,
        (false, true) => Fate::Open,
        (false, false) => Fate::Over,
    })
}

/// A query for the live offer at `?2`, with at most `?3` wrong tries less one: the conditions stand here once.
macro_rules! live_pairing_query {
    ($key:literal) => {
        concat!(
            "SELECT p.pairing_id, p.account_uuid
             FROM pairings p
             JOIN accounts a ON a.account_uuid = p.account_uuid
             WHERE p.used_at_ms IS NULL AND p.expires_at_ms > ?2 AND p.wrong_tries < ?3
               AND a.deleted_at_ms IS NULL AND a.disabled = 0
               AND ",
            $key,
            " = ?1
             ORDER BY p.created_at_ms DESC
             LIMIT 1"
        )
    };
}

/// What opens an offer.
#[derive(Debug, Clone, Copy)]
pub enum KeyHash {
    /// Of the typed code.
    Code([u8; 32]),
    /// Of the QR code's secret.
    Secret([u8; 32]),
}

/// Uses up the live offer of a key; returns whose it was. `None` if there is none.
pub fn take(tx: &mut dyn Tx, key: KeyHash, now_ms: i64) -> DbResult<Option<Uuid>> {
    let row = match key {
        KeyHash::Code(hash) => {
            find(tx, live_pairing_query!("p.code_hash"), params![&hash[..], now_ms, PAIRING_TRIES])?
        }
        KeyHash::Secret(hash) => find(
            tx,
            live_pairing_query!("p.secret_hash"),
            params![&hash[..], now_ms, PAIRING_TRIES],
        )?,
    };
    let Some(row) = row else { return Ok(None) };
    let (pairing_id, account_uuid) = (row.text(0)?, row.uuid(1)?);
    tx.execute(
        "UPDATE pairings SET used_at_ms = ?2 WHERE pairing_id = ?1",
        params![&pairing_id, now_ms],
    )?;
    Ok(Some(account_uuid))
}

/// Counts a wrong code: nobody knows which offer it was meant for, so it counts against all that live.
pub fn count_wrong_try(tx: &mut dyn Tx, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE pairings SET wrong_tries = wrong_tries + 1 WHERE used_at_ms IS NULL AND expires_at_ms > ?1",
        params![now_ms],
    )?;
    Ok(())
}

/// Ends every offer of an account.
pub fn remove_all(tx: &mut dyn Tx, account_uuid: Uuid) -> DbResult<()> {
    tx.execute("DELETE FROM pairings WHERE account_uuid = ?1", params![account_uuid])?;
    Ok(())
}
