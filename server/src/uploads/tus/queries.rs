//! The SQL of resumable uploads.

use uuid::Uuid;

use crate::db::{DbResult, Row, Tx, find};
use crate::params;

/// A resumable upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table tus_uploads, described in the schema")]
pub struct Upload {
    pub upload_id: String,
    pub account_uuid: Uuid,
    pub device_id: String,
    pub length_bytes: Option<i64>,
    pub synced_bytes: i64,
    pub digest: Option<[u8; 32]>,
    pub name: String,
    pub claims_json: String,
    pub metadata: String,
    pub kind: String,
    pub parts: String,
    pub asset_id: Option<String>,
    pub created_at_ms: i64,
    pub expires_at_ms: i64,
}

/// A query whose rows [`upload`] reads: the columns stand here once.
macro_rules! upload_query {
    ($rest:literal) => {
        concat!(
            "SELECT upload_id, account_uuid, device_id, length_bytes, synced_bytes, digest, name, claims_json,
                    metadata, kind, parts, asset_id, created_at_ms, expires_at_ms, digest IS NULL
             FROM tus_uploads
             ",
            $rest
        )
    };
}

fn upload(row: &Row) -> DbResult<Upload> {
    Ok(Upload {
        upload_id: row.text(0)?,
        account_uuid: row.uuid(1)?,
        device_id: row.text(2)?,
        length_bytes: row.find_integer(3)?,
        synced_bytes: row.integer(4)?,
        digest: if row.boolean(14)? { None } else { Some(row.digest(5)?) },
        name: row.text(6)?,
        claims_json: row.text(7)?,
        metadata: row.text(8)?,
        kind: row.text(9)?,
        parts: row.text(10)?,
        asset_id: row.find_text(11)?,
        created_at_ms: row.integer(12)?,
        expires_at_ms: row.integer(13)?,
    })
}

/// Adds an upload.
pub fn store(tx: &mut dyn Tx, new: &Upload) -> DbResult<()> {
    tx.execute(
        "INSERT INTO tus_uploads (upload_id, account_uuid, device_id, length_bytes, synced_bytes, digest, name,
                                  claims_json, metadata, kind, parts, asset_id, created_at_ms, expires_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            &new.upload_id,
            new.account_uuid,
            &new.device_id,
            new.length_bytes,
            new.synced_bytes,
            new.digest.as_ref().map(|digest| &digest[..]),
            &new.name,
            &new.claims_json,
            &new.metadata,
            &new.kind,
            &new.parts,
            new.asset_id.as_ref(),
            new.created_at_ms,
            new.expires_at_ms
        ],
    )?;
    Ok(())
}

/// The upload with this id, if it is this account's.
pub fn find_upload(tx: &mut dyn Tx, account: Uuid, id: &str) -> DbResult<Option<Upload>> {
    let row = find(
        tx,
        upload_query!("WHERE upload_id = ?1 AND account_uuid = ?2"),
        params![id, account],
    )?;
    row.as_ref().map(upload).transpose()
}

/// Uploads of whole files with this digest and length, the newest first, finished or not.
pub fn list_same(
    tx: &mut dyn Tx,
    account: Uuid,
    digest: &[u8; 32],
    length_bytes: i64,
    now_ms: i64,
) -> DbResult<Vec<Upload>> {
    let rows = tx.query(
        upload_query!(
            "WHERE account_uuid = ?1 AND digest = ?2 AND length_bytes = ?3 AND kind = 'whole' AND expires_at_ms > ?4
             ORDER BY created_at_ms DESC
             LIMIT 16"
        ),
        params![account, &digest[..], length_bytes, now_ms],
    )?;
    rows.iter().map(upload).collect()
}

/// Writes what the device says about an upload's file.
pub fn set_claims(tx: &mut dyn Tx, id: &str, claims_json: &str) -> DbResult<()> {
    tx.execute(
        "UPDATE tus_uploads SET claims_json = ?2 WHERE upload_id = ?1 AND asset_id IS NULL",
        params![id, claims_json],
    )?;
    Ok(())
}

/// Gives an upload the length that was deferred; false if it has one already.
pub fn set_length(tx: &mut dyn Tx, id: &str, length_bytes: i64) -> DbResult<bool> {
    let changed = tx.execute(
        "UPDATE tus_uploads SET length_bytes = ?2 WHERE upload_id = ?1 AND length_bytes IS NULL",
        params![id, length_bytes],
    )?;
    Ok(changed == 1)
}

/// Notes that a prefix of the file is durable, and that somebody still works on it.
pub fn raise_synced(
    tx: &mut dyn Tx,
    id: &str,
    synced_bytes: i64,
    expires_at_ms: i64,
) -> DbResult<()> {
    tx.execute(
        "UPDATE tus_uploads
         SET synced_bytes = max(synced_bytes, ?2), expires_at_ms = ?3
         WHERE upload_id = ?1 AND asset_id IS NULL",
        params![id, synced_bytes, expires_at_ms],
    )?;
    Ok(())
}

/// Notes what an upload became: its asset, length and new end.
pub fn set_finished(tx: &mut dyn Tx, done: &Upload) -> DbResult<()> {
    tx.execute(
        "UPDATE tus_uploads
         SET asset_id = ?3, length_bytes = ?2, synced_bytes = ?2, expires_at_ms = ?4
         WHERE upload_id = ?1",
        params![&done.upload_id, done.length_bytes, done.asset_id.as_ref(), done.expires_at_ms],
    )?;
    Ok(())
}

/// Forgets an upload. Its asset, if it became one, stays.
pub fn remove(tx: &mut dyn Tx, id: &str) -> DbResult<()> {
    tx.execute("DELETE FROM tus_uploads WHERE upload_id = ?1", params![id])?;
    Ok(())
}

/// Uploads in order of ids after `after`, expired ones too.
pub fn list_all(tx: &mut dyn Tx, after: &str, limit: i64) -> DbResult<Vec<Upload>> {
    let rows = tx.query(
        upload_query!(
            "WHERE upload_id > ?1
             ORDER BY upload_id
             LIMIT ?2"
        ),
        params![after, limit],
    )?;
    rows.iter().map(upload).collect()
}

/// Uploads whose time is over, the oldest first.
pub fn list_expired(tx: &mut dyn Tx, now_ms: i64, limit: i64) -> DbResult<Vec<Upload>> {
    let rows = tx.query(
        upload_query!(
            "WHERE expires_at_ms <= ?1
             ORDER BY expires_at_ms
             LIMIT ?2"
        ),
        params![now_ms, limit],
    )?;
    rows.iter().map(upload).collect()
}
