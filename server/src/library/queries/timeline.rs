//! The SQL of the timeline: its days, which of them are stale, and what they are made of.

use photosync_protocol::v2::library::{SECTION_TILES, byte_of};
use uuid::Uuid;

use super::next_version;
use crate::clock::DAY_MS;
use crate::db::{DbResult, Row, Tx, find};
use crate::library::rules::Place;
use crate::params;

/// The day of a picture that was taken at this wall clock changed: it is made again before somebody is told of it.
pub fn mark_stale(tx: &mut dyn Tx, account: Uuid, taken_ms: i64) -> DbResult<()> {
    tx.execute(
        "INSERT INTO timeline_days (account_uuid, day) VALUES (?1, ?2)
         ON CONFLICT (account_uuid, day) DO UPDATE SET stale = stale + 1",
        params![account, taken_ms.div_euclid(DAY_MS)],
    )?;
    Ok(())
}

/// Every day changed.
pub fn mark_all_stale(tx: &mut dyn Tx, account: Uuid) -> DbResult<()> {
    tx.execute(
        "UPDATE timeline_days SET stale = stale + 1 WHERE account_uuid = ?1",
        params![account],
    )?;
    Ok(())
}

/// A day that has to be made again, as it was seen. Both numbers together tell whether it changed since.
#[derive(Debug, Clone)]
pub struct StaleDay {
    /// Days since 1970 on the wall.
    pub day: i64,
    /// How often it was marked.
    pub stale: i64,
    /// Version of when it was last made.
    pub changed_version: i64,
}

fn stale_day(row: &Row) -> DbResult<StaleDay> {
    Ok(StaleDay { day: row.integer(0)?, stale: row.integer(1)?, changed_version: row.integer(2)? })
}

/// Stale days before day `before`, newest first.
pub fn list_stale(
    tx: &mut dyn Tx,
    account: Uuid,
    before: i64,
    limit: i64,
) -> DbResult<Vec<StaleDay>> {
    let rows = tx.query(
        "SELECT day, stale, changed_version FROM timeline_days
         WHERE account_uuid = ?1 AND stale > 0 AND day < ?2
         ORDER BY day DESC
         LIMIT ?3",
        params![account, before, limit],
    )?;
    rows.iter().map(stale_day).collect()
}

/// Whether any day is stale.
pub fn has_stale(tx: &mut dyn Tx, account: Uuid) -> DbResult<bool> {
    let row = find(
        tx,
        "SELECT 1 FROM timeline_days WHERE account_uuid = ?1 AND stale > 0 LIMIT 1",
        params![account],
    )?;
    Ok(row.is_some())
}

/// A day while it is made.
#[derive(Debug, Clone)]
pub struct MadeDay {
    /// Which one, as it was seen before.
    pub seen: StaleDay,
    /// A byte for each picture so far, newest first.
    pub shape: Vec<u8>,
    /// Cursors of every 500th.
    pub starts: Vec<String>,
    /// The last picture so far; before the first, the end of the day.
    pub at: Place,
}

impl MadeDay {
    /// Begins to make a day.
    pub fn begin(seen: StaleDay) -> Self {
        let at = Place::end_of_day(seen.day);
        Self { seen, shape: Vec::new(), starts: Vec::new(), at }
    }
}

/// Adds up to `limit` more pictures to a day; true if there may be more.
pub fn continue_day(
    tx: &mut dyn Tx,
    account: Uuid,
    made: &mut MadeDay,
    limit: i64,
) -> DbResult<bool> {
    let rows = tx.query(
        "SELECT taken_ms, asset_id, width, height FROM assets INDEXED BY assets_timeline
         WHERE account_uuid = ?1 AND listed = 1 AND hidden = 0 AND archived = 0 AND taken_ms >= ?2
           AND (taken_ms, asset_id) < (?3, ?4)
         ORDER BY taken_ms DESC, asset_id DESC
         LIMIT ?5",
        params![account, made.seen.day * DAY_MS, made.at.key, &made.at.asset_id, limit],
    )?;
    for row in &rows {
        // The cursor of a section is the picture before it.
        if !made.shape.is_empty() && made.shape.len().is_multiple_of(SECTION_TILES) {
            made.starts.push(made.at.to_text());
        }
        let size = |index| -> DbResult<u32> { Ok(u32::try_from(row.integer(index)?).unwrap_or(0)) };
        made.shape.push(byte_of(size(2)?, size(3)?));
        made.at = Place { key: row.integer(0)?, asset_id: row.text(1)? };
    }
    Ok(rows.len() as i64 == limit)
}

/// Keeps days that were made, under a version of their own, so that whoever asks what changed since an earlier one is told.
/// A day that was marked meanwhile stays stale; one that somebody else made meanwhile is left alone.
pub fn store_days(tx: &mut dyn Tx, account: Uuid, made: &[MadeDay]) -> DbResult<()> {
    let version = next_version(tx, account)?;
    for day in made {
        tx.execute(
            "UPDATE timeline_days
             SET stale = stale - ?4, changed_version = ?5, count = ?6, shape = ?7, starts = ?8
             WHERE account_uuid = ?1 AND day = ?2 AND changed_version = ?3 AND stale >= ?4",
            params![
                account,
                day.seen.day,
                day.seen.changed_version,
                day.seen.stale,
                version,
                day.shape.len() as i64,
                &day.shape[..],
                day.starts.join(" "),
            ],
        )?;
    }
    Ok(())
}

/// One day as it was last made.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns of table timeline_days, described in the schema")]
pub struct DayRow {
    pub day: i64,
    pub count: i64,
    pub shape: Vec<u8>,
    pub starts: String,
}

fn day_row(row: &Row) -> DbResult<DayRow> {
    Ok(DayRow {
        day: row.integer(0)?,
        count: row.integer(1)?,
        shape: row.find_bytes(2)?.unwrap_or_default(),
        starts: row.text(3)?,
    })
}

/// Days that have pictures, newest first, before day `before`.
pub fn list_days(tx: &mut dyn Tx, account: Uuid, before: i64, limit: i64) -> DbResult<Vec<DayRow>> {
    let rows = tx.query(
        "SELECT day, count, shape, starts FROM timeline_days
         WHERE account_uuid = ?1 AND day < ?2 AND count > 0
         ORDER BY day DESC
         LIMIT ?3",
        params![account, before, limit],
    )?;
    rows.iter().map(day_row).collect()
}

/// Days that were made after a version, whether they have pictures or not, newest first, before day `before`.
pub fn list_changed_days(
    tx: &mut dyn Tx,
    account: Uuid,
    since: i64,
    before: i64,
    limit: i64,
) -> DbResult<Vec<DayRow>> {
    let rows = tx.query(
        "SELECT day, count, shape, starts FROM timeline_days
         WHERE account_uuid = ?1 AND changed_version > ?2 AND day < ?3
         ORDER BY day DESC
         LIMIT ?4",
        params![account, since, before, limit],
    )?;
    rows.iter().map(day_row).collect()
}

/// Pictures in all days.
pub fn count_all(tx: &mut dyn Tx, account: Uuid) -> DbResult<i64> {
    let row = find(
        tx,
        "SELECT COALESCE(SUM(count), 0) FROM timeline_days WHERE account_uuid = ?1",
        params![account],
    )?;
    row.map_or(Ok(0), |row| row.integer(0))
}
