//! The SQL of the timeline's days.

use uuid::Uuid;

use crate::db::{DbResult, Tx};
use crate::params;

/// Milliseconds of a day on the wall.
const DAY_MS: i64 = 86_400_000;

/// The day of this wall clock is made again before it is told the next time.
pub fn mark_stale(tx: &mut dyn Tx, account: Uuid, taken_ms: i64) -> DbResult<()> {
    tx.execute(
        "INSERT INTO timeline_days (account_uuid, day) VALUES (?1, ?2)
         ON CONFLICT (account_uuid, day) DO UPDATE SET stale = 1",
        params![account, taken_ms.div_euclid(DAY_MS)],
    )?;
    Ok(())
}
