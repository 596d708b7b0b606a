//! The SQL of looking after what is stored: sums of what a sweep would remove.

use super::sweep::Amount;
use crate::db::{DbResult, Row, Tx, find};
use crate::params;

fn amount(row: Option<Row>) -> DbResult<Amount> {
    let Some(row) = row else { return Ok(Amount::default()) };
    let positive = |index| -> DbResult<u64> { Ok(u64::try_from(row.integer(index)?).unwrap_or(0)) };
    Ok(Amount { count: positive(0)?, bytes: positive(1)? })
}

/// Originals that went to the trash before.
pub fn sum_expired_originals(tx: &mut dyn Tx, before_ms: i64) -> DbResult<Amount> {
    amount(find(
        tx,
        "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM assets WHERE trashed_at_ms < ?1",
        params![before_ms],
    )?)
}

/// Sealed objects and manifests that went to the trash before.
pub fn sum_expired_sealed(tx: &mut dyn Tx, before_ms: i64) -> DbResult<Amount> {
    let mut sum = amount(find(
        tx,
        "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM relay_chunks WHERE trashed_at_ms < ?1",
        params![before_ms],
    )?)?;
    sum += amount(find(
        tx,
        "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM relay_manifests WHERE trashed_at_ms < ?1",
        params![before_ms],
    )?)?;
    Ok(sum)
}

/// Sealed objects that came by version 2 before, and that no segment names.
pub fn sum_unnamed(tx: &mut dyn Tx, before_ms: i64) -> DbResult<Amount> {
    amount(find(
        tx,
        "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM relay_chunks
         WHERE collectable = 1 AND live_at_ms IS NULL AND trashed_at_ms IS NULL AND stored_at_ms < ?1",
        params![before_ms],
    )?)
}
