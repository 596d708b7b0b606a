//! The SQL of what an administrator sees of the whole server.

use crate::db::{DbResult, Tx, find};

/// What all accounts hold together.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "sums of columns of these names")]
pub struct Sums {
    pub held_count: i64,
    pub held_bytes: i64,
    pub relay_bytes: i64,
    pub trash_count: i64,
    pub trash_bytes: i64,
}

/// Sums of all accounts, and of what is in the trash.
pub fn sum_up(tx: &mut dyn Tx) -> DbResult<Sums> {
    let held = find(
        tx,
        "SELECT COALESCE(SUM(held_count), 0), COALESCE(SUM(held_bytes), 0), COALESCE(SUM(relay_bytes), 0)
         FROM accounts",
        &[],
    )?;
    let trash = find(
        tx,
        "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM assets WHERE trashed_at_ms IS NOT NULL",
        &[],
    )?;
    let mut sums = Sums::default();
    if let Some(row) = held {
        (sums.held_count, sums.held_bytes) = (row.integer(0)?, row.integer(1)?);
        sums.relay_bytes = row.integer(2)?;
    }
    if let Some(row) = trash {
        (sums.trash_count, sums.trash_bytes) = (row.integer(0)?, row.integer(1)?);
    }
    Ok(sums)
}
