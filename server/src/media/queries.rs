//! The SQL of the media worker's queue, which is a column of the assets.

pub mod films;

use uuid::Uuid;

use crate::db::{DbResult, Tx, find};
use crate::params;

/// An original to look at.
#[derive(Debug, Clone)]
pub struct Job {
    /// Which one.
    pub asset_id: String,
    /// Whose.
    pub account: Uuid,
    /// Tries, this one included.
    pub attempts: i64,
}

/// Takes jobs that are due, those that arrived last first: they come back at `back_at_ms` if nobody finishes them.
pub fn take(tx: &mut dyn Tx, now_ms: i64, back_at_ms: i64, limit: i64) -> DbResult<Vec<Job>> {
    let rows = tx.query(
        "SELECT asset_id, account_uuid, media_attempts FROM assets
         WHERE media_due_at_ms <= ?1 AND listed = 1
         ORDER BY media_due_at_ms DESC, rowid DESC
         LIMIT ?2",
        params![now_ms, limit],
    )?;
    let mut jobs = Vec::new();
    for row in &rows {
        let job =
            Job { asset_id: row.text(0)?, account: row.uuid(1)?, attempts: row.integer(2)? + 1 };
        tx.execute(
            "UPDATE assets SET media_due_at_ms = ?2, media_attempts = ?3 WHERE asset_id = ?1",
            params![&job.asset_id, back_at_ms, job.attempts],
        )?;
        jobs.push(job);
    }
    Ok(jobs)
}

/// Whether anything is due.
pub fn has_due(tx: &mut dyn Tx, now_ms: i64) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM assets WHERE media_due_at_ms <= ?1 AND listed = 1 LIMIT 1",
        params![now_ms],
    )?;
    Ok(row.is_some())
}

/// When the next one is due.
pub fn find_next_due(tx: &mut dyn Tx) -> DbResult<Option<i64>> {
    let row = find(
        tx,
        "SELECT MIN(media_due_at_ms) FROM assets WHERE media_due_at_ms IS NOT NULL AND listed = 1",
        &[],
    )?;
    row.map_or(Ok(None), |row| row.find_integer(0))
}

/// Looks at an asset (again) from `due_at_ms` on; `attempts` were made.
pub fn set_due(tx: &mut dyn Tx, asset_id: &str, due_at_ms: i64, attempts: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE assets SET media_due_at_ms = ?2, media_attempts = ?3, media_state = 'waiting', media_error = NULL
         WHERE asset_id = ?1",
        params![asset_id, due_at_ms, attempts],
    )?;
    Ok(())
}

/// Whether an earlier run took something and did not finish it, or something may be tried again now that there are programs.
pub fn has_left(tx: &mut dyn Tx, now_ms: i64, has_tools: bool) -> DbResult<bool> {
    let taken =
        find(tx, "SELECT 1 FROM assets WHERE media_due_at_ms > ?1 LIMIT 1", params![now_ms])?;
    let sql = "SELECT 1 FROM assets WHERE media_error = 'missing_tool' LIMIT 1";
    Ok(taken.is_some() || has_tools && find(tx, sql, &[])?.is_some())
}

/// Gives back what an earlier run took and did not finish. Nobody else looks at this data.
pub fn give_back(tx: &mut dyn Tx, now_ms: i64) -> DbResult<()> {
    tx.execute(
        "UPDATE assets SET media_due_at_ms = ?1 WHERE media_due_at_ms > ?1",
        params![now_ms],
    )?;
    Ok(())
}

/// Tries those again that wanted a program which was not there.
pub fn retry_missing_tool(tx: &mut dyn Tx, now_ms: i64) -> DbResult<i64> {
    tx.execute(
        "UPDATE assets
         SET media_due_at_ms = ?1, media_attempts = 0, media_state = 'waiting', media_error = NULL
         WHERE media_error = 'missing_tool'",
        params![now_ms],
    )
}

/// Tries those again that failed, of one class or of all.
pub fn retry_failed(tx: &mut dyn Tx, class: Option<&str>, now_ms: i64) -> DbResult<i64> {
    tx.execute(
        "UPDATE assets
         SET media_due_at_ms = ?1, media_attempts = 0, media_state = 'waiting', media_error = NULL
         WHERE media_error IS NOT NULL AND kind <> 'file' AND listed = 1 AND (?2 IS NULL OR media_error = ?2)",
        params![now_ms, class],
    )
}

/// How far the worker got with an asset; `None` if there is no such asset.
pub fn find_state(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<Option<String>> {
    let row = find(
        tx,
        "SELECT media_state FROM assets WHERE asset_id = ?1 AND account_uuid = ?2",
        params![asset_id, account],
    )?;
    row.map(|row| row.text(0)).transpose()
}

/// Whether there is a row of this id, in whatever state.
pub fn is_known(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<bool> {
    Ok(find_state(tx, account, asset_id)?.is_some())
}

/// How many wait, and how many failed by class. Files that are no pictures count as neither.
pub fn count(tx: &mut dyn Tx) -> DbResult<(i64, Vec<(String, i64)>)> {
    let row = find(
        tx,
        "SELECT COUNT(*) FROM assets WHERE media_due_at_ms IS NOT NULL AND listed = 1",
        &[],
    )?;
    let waiting = row.map_or(Ok(0), |row| row.integer(0))?;
    let rows = tx.query(
        "SELECT media_error, COUNT(*) FROM assets
         WHERE media_error IS NOT NULL AND kind <> 'file'
         GROUP BY media_error
         ORDER BY media_error
         LIMIT 20",
        &[],
    )?;
    let failed = rows.iter().map(|row| Ok((row.text(0)?, row.integer(1)?)));
    Ok((waiting, failed.collect::<DbResult<_>>()?))
}
