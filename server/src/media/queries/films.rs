//! The SQL of films in a version that every browser plays.

use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find as find_row};
use crate::media::facts::{Motion, Transfer};
use crate::params;

/// What there is of a playable version.
#[derive(Debug, Clone)]
pub struct Made {
    pub state: String,
    pub error: Option<String>,
    pub asked_at_ms: i64,
}

/// A held film, or a held picture with one inside.
#[derive(Debug, Clone)]
pub struct Film {
    /// Where it is inside of a picture.
    pub motion: Option<Motion>,
    /// Its playable version.
    pub made: Option<Made>,
}

/// The next film to make.
#[derive(Debug, Clone)]
pub struct Wish {
    pub asset_id: String,
    pub account: Uuid,
    pub asked_at_ms: i64,
    pub stored_name: String,
    pub duration_ms: Option<i64>,
    pub transfer: Option<Transfer>,
    pub copies: bool,
    pub motion: Option<Motion>,
}

fn motion(row: &Row, first: usize) -> DbResult<Option<Motion>> {
    let part = |index| -> DbResult<Option<u64>> {
        Ok(row.find_integer(index)?.and_then(|value| u64::try_from(value).ok()))
    };
    Ok(part(first)?.zip(part(first + 1)?).map(|(at, length)| Motion { at, length }))
}

/// A held film of this account.
pub fn find(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<Option<Film>> {
    let row = find_row(
        tx,
        "SELECT f.motion_at, f.motion_bytes, p.state, p.error, p.asked_at_ms
         FROM assets a
         LEFT JOIN asset_facts f ON f.asset_id = a.asset_id
         LEFT JOIN playables p ON p.asset_id = a.asset_id
         WHERE a.asset_id = ?2 AND a.account_uuid = ?1 AND a.listed = 1
           AND (a.kind = 'video' OR f.motion_at IS NOT NULL)",
        params![account, asset_id],
    )?;
    let Some(row) = row else { return Ok(None) };
    let made = match row.find_text(2)? {
        Some(state) => Some(Made { state, error: row.find_text(3)?, asked_at_ms: row.integer(4)? }),
        None => None,
    };
    Ok(Some(Film { motion: motion(&row, 0)?, made }))
}

/// Notes that somebody wants to see it; unless it `stays` as it is, it is made (again).
pub fn want(
    tx: &mut dyn Tx,
    account: Uuid,
    asset_id: &str,
    now_ms: i64,
    stays: bool,
) -> DbResult<()> {
    if stays {
        let sql = "UPDATE playables SET asked_at_ms = ?2 WHERE asset_id = ?1";
        tx.execute(sql, params![asset_id, now_ms])?;
        return Ok(());
    }
    tx.execute(
        "INSERT INTO playables (asset_id, account_uuid, state, asked_at_ms)
         SELECT asset_id, account_uuid, 'waiting', ?3 FROM assets WHERE asset_id = ?2 AND account_uuid = ?1
         ON CONFLICT (asset_id)
         DO UPDATE SET state = 'waiting', error = NULL, size_bytes = 0, asked_at_ms = excluded.asked_at_ms",
        params![account, asset_id, now_ms],
    )?;
    Ok(())
}

/// What an earlier run had begun waits again.
pub fn give_back(tx: &mut dyn Tx) -> DbResult<()> {
    tx.execute("UPDATE playables SET state = 'waiting' WHERE state = 'making'", &[])?;
    Ok(())
}

/// The next one to make: the last one asked for first.
pub fn find_next(tx: &mut dyn Tx) -> DbResult<Option<Wish>> {
    let row = find_row(
        tx,
        "SELECT p.asset_id, p.account_uuid, p.asked_at_ms, a.stored_name, a.duration_ms, f.transfer,
                COALESCE(f.copies, 0), f.motion_at, f.motion_bytes
         FROM playables p INDEXED BY playables_waiting
         JOIN assets a ON a.asset_id = p.asset_id
         LEFT JOIN asset_facts f ON f.asset_id = p.asset_id
         WHERE p.state = 'waiting' AND a.listed = 1
         ORDER BY p.asked_at_ms DESC
         LIMIT 1",
        &[],
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Wish {
        asset_id: row.text(0)?,
        account: row.uuid(1)?,
        asked_at_ms: row.integer(2)?,
        stored_name: row.text(3)?,
        duration_ms: row.find_integer(4)?,
        transfer: row.find_text(5)?.as_deref().and_then(Transfer::from_name),
        copies: row.boolean(6)?,
        motion: motion(&row, 7)?,
    }))
}

/// It is being made.
pub fn set_making(tx: &mut dyn Tx, asset_id: &str) -> DbResult<()> {
    tx.execute("UPDATE playables SET state = 'making' WHERE asset_id = ?1", params![asset_id])?;
    Ok(())
}

/// It is not being made any more, and still wanted.
pub fn set_waiting(tx: &mut dyn Tx, asset_id: &str) -> DbResult<()> {
    tx.execute("UPDATE playables SET state = 'waiting' WHERE asset_id = ?1", params![asset_id])?;
    Ok(())
}

/// It could not be made.
pub fn set_failed(tx: &mut dyn Tx, asset_id: &str, class: &str) -> DbResult<()> {
    tx.execute(
        "UPDATE playables SET state = 'failed', error = ?2, size_bytes = 0 WHERE asset_id = ?1",
        params![asset_id, class],
    )?;
    Ok(())
}

/// Its file is there. False if its asset is gone.
pub fn set_ready(tx: &mut dyn Tx, asset_id: &str, size_bytes: i64) -> DbResult<bool> {
    let changed = tx.execute(
        "UPDATE playables SET state = 'ready', error = NULL, size_bytes = ?2 WHERE asset_id = ?1",
        params![asset_id, size_bytes],
    )?;
    Ok(changed > 0)
}

/// Bytes of all that are ready.
pub fn count_bytes(tx: &mut dyn Tx) -> DbResult<u64> {
    let row = find_row(
        tx,
        "SELECT COALESCE(SUM(size_bytes), 0) FROM playables INDEXED BY playables_ready WHERE state = 'ready'",
        &[],
    )?;
    let bytes = row.map_or(Ok(0), |row| row.integer(0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// The one nobody looked at for longest, except this one.
pub fn find_oldest(tx: &mut dyn Tx, except: &str) -> DbResult<Option<(Uuid, String)>> {
    let row = find_row(
        tx,
        "SELECT account_uuid, asset_id FROM playables INDEXED BY playables_ready
         WHERE state = 'ready' AND asset_id <> ?1
         ORDER BY asked_at_ms
         LIMIT 1",
        params![except],
    )?;
    row.map(|row| Ok((row.uuid(0)?, row.text(1)?))).transpose()
}

/// There is none any more, and nobody wants one.
pub fn forget(tx: &mut dyn Tx, asset_id: &str) -> DbResult<()> {
    tx.execute("DELETE FROM playables WHERE asset_id = ?1", params![asset_id])?;
    Ok(())
}
