//! The SQL of what goes into an archive.

use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// An original that goes into an archive.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "columns of table assets, described in the schema")]
pub struct ToPack {
    pub asset_id: String,
    pub stored_name: String,
    pub size_bytes: i64,
    pub taken_ms: i64,
    pub seq: i64,
}

fn to_pack(row: &Row) -> DbResult<ToPack> {
    Ok(ToPack {
        asset_id: row.text(0)?,
        stored_name: row.text(1)?,
        size_bytes: row.integer(2)?,
        taken_ms: row.integer(3)?,
        seq: row.integer(4)?,
    })
}

/// One held original.
pub fn find_to_pack(tx: &mut dyn Tx, account: Uuid, asset_id: &str) -> DbResult<Option<ToPack>> {
    let row = find(
        tx,
        "SELECT asset_id, stored_name, size_bytes, taken_ms, seq FROM assets
         WHERE asset_id = ?2 AND account_uuid = ?1 AND listed = 1",
        params![account, asset_id],
    )?;
    row.as_ref().map(to_pack).transpose()
}

/// The next held originals in order of arrival.
pub fn list_to_pack(
    tx: &mut dyn Tx,
    account: Uuid,
    after_seq: i64,
    limit: i64,
) -> DbResult<Vec<ToPack>> {
    let rows = tx.query(
        "SELECT asset_id, stored_name, size_bytes, taken_ms, seq FROM assets
         WHERE account_uuid = ?1 AND listed = 1 AND seq > ?2
         ORDER BY seq
         LIMIT ?3",
        params![account, after_seq, limit],
    )?;
    rows.iter().map(to_pack).collect()
}
