//! Every statement of the cache. Paths are the bytes of absolute paths; digests are 32 bytes.

use photosync_protocol::digest::Digest;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::Known;

/// Version of the layout below, as `user_version`. Layout 1 is brought here; another one is thrown away: it is a cache.
pub const LAYOUT: i32 = 2;

const SCHEMA: &str = "
CREATE TABLE files (
    -- One row for each file of the last look at its folder.
    path BLOB NOT NULL PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    -- SHA-256 of the bytes that had this size, time and inode; NULL until they were read.
    digest BLOB,
    -- 1: the server was told that these bytes lie here.
    told INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX files_by_digest ON files (digest) WHERE digest IS NOT NULL;
CREATE INDEX files_untold ON files (path) WHERE told = 0 AND digest IS NOT NULL;
-- Digests of which the server said that this device has nothing more to do.
CREATE TABLE settled (digest BLOB NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
-- Files that were found in another place of the same folder, until the server was told: same inode, length and time.
CREATE TABLE moves (
    to_path BLOB NOT NULL PRIMARY KEY,
    from_path BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
-- Signed statements to keep, as the JSON the server sent.
CREATE TABLE receipts (
    account_uuid TEXT NOT NULL,
    digest BLOB NOT NULL,
    verified_at_ms INTEGER NOT NULL,
    receipt TEXT NOT NULL,
    PRIMARY KEY (account_uuid, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE facts (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

/// Layout 1 knew nothing of places. To throw it away would read every file again.
const FROM_LAYOUT_1: &str = "
ALTER TABLE files ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX files_untold ON files (path) WHERE told = 0 AND digest IS NOT NULL;
CREATE TABLE moves (
    to_path BLOB NOT NULL PRIMARY KEY,
    from_path BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Opens the layout, making it if the file is new. `false` if the file has another layout.
pub fn prepare(db: &Connection) -> Result<bool> {
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "cache_size", -4096)?;
    db.busy_timeout(std::time::Duration::from_secs(20))?;
    let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        LAYOUT => Ok(true),
        0 => make(db, 0, SCHEMA),
        1 => make(db, 1, FROM_LAYOUT_1),
        _ => Ok(false),
    }
}

fn make(db: &Connection, from: i32, statements: &str) -> Result<bool> {
    let tx = rusqlite::Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have made it while this one waited.
    let now: i32 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if now == from {
        tx.execute_batch(statements)?;
        tx.pragma_update(None, "user_version", LAYOUT)?;
    }
    tx.commit()?;
    Ok(true)
}

fn digest_of(row: &Row<'_>, column: usize) -> Result<Option<Digest>> {
    row.get::<_, Option<[u8; 32]>>(column).map(|bytes| bytes.map(Digest))
}

/// Files at or below a path in the order of their path's bytes.
pub fn each_file_below(db: &Connection, start: &[u8], mut each: impl FnMut(Known)) -> Result<()> {
    let (from, to) = range_below(start);
    let mut statement = db.prepare_cached(
        "SELECT path, size_bytes, mtime_ns, inode, files.digest, settled.digest IS NOT NULL
         FROM files LEFT JOIN settled ON settled.digest = files.digest
         WHERE path = ?1 OR (path > ?2 AND path < ?3)
         ORDER BY path",
    )?;
    let mut rows = statement.query(params![start, from, to])?;
    while let Some(row) = rows.next()? {
        each(Known {
            path: row.get(0)?,
            size_bytes: row.get::<_, i64>(1)?.cast_unsigned(),
            mtime_ns: row.get(2)?,
            inode: row.get::<_, i64>(3)?.cast_unsigned(),
            digest: digest_of(row, 4)?,
            is_settled: row.get(5)?,
        });
    }
    Ok(())
}

/// Exclusive bounds of all paths inside a folder: `/` follows its name, and `0` follows `/`.
fn range_below(folder: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let separator = std::path::MAIN_SEPARATOR as u8;
    let bare = folder.strip_suffix(&[separator]).unwrap_or(folder);
    ([bare, &[separator]].concat(), [bare, &[separator + 1]].concat())
}

/// Writes what a file is now. The server has not been told of it.
pub fn put_file(db: &Connection, file: &Known) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO files (path, size_bytes, mtime_ns, inode, digest) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (path) DO UPDATE SET size_bytes = ?2, mtime_ns = ?3, inode = ?4, digest = ?5, told = 0",
    )?
    .execute(params![
        file.path,
        file.size_bytes.cast_signed(),
        file.mtime_ns,
        file.inode.cast_signed(),
        file.digest.map(|digest| digest.0)
    ])?;
    Ok(())
}

/// Takes a file out.
pub fn remove_file(db: &Connection, path: &[u8]) -> Result<()> {
    db.prepare_cached("DELETE FROM files WHERE path = ?1")?.execute([path])?;
    Ok(())
}

/// Every different digest of this device, in order.
pub fn each_digest(db: &Connection, mut each: impl FnMut(Digest)) -> Result<()> {
    let mut statement = db.prepare_cached(
        "SELECT DISTINCT digest FROM files WHERE digest IS NOT NULL ORDER BY digest",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(digest) = digest_of(row, 0)? {
            each(digest);
        }
    }
    Ok(())
}

/// Path and length of one file with that digest, if there is one.
pub fn find_file(db: &Connection, digest: &Digest) -> Result<Option<Known>> {
    db.prepare_cached(
        "SELECT path, size_bytes, mtime_ns, inode FROM files WHERE digest = ?1 ORDER BY mtime_ns DESC LIMIT 1",
    )?
    .query_row([digest.0], |row| {
        Ok(Known {
            path: row.get(0)?,
            size_bytes: row.get::<_, i64>(1)?.cast_unsigned(),
            mtime_ns: row.get(2)?,
            inode: row.get::<_, i64>(3)?.cast_unsigned(),
            digest: Some(*digest),
            is_settled: false,
        })
    })
    .optional()
}

/// What is known of a path.
pub fn find_known(db: &Connection, path: &[u8]) -> Result<Option<Known>> {
    db.prepare_cached("SELECT size_bytes, mtime_ns, inode, digest FROM files WHERE path = ?1")?
        .query_row([path], |row| {
            Ok(Known {
                path: path.to_vec(),
                size_bytes: row.get::<_, i64>(0)?.cast_unsigned(),
                mtime_ns: row.get(1)?,
                inode: row.get::<_, i64>(2)?.cast_unsigned(),
                digest: digest_of(row, 3)?,
                is_settled: false,
            })
        })
        .optional()
}

/// Remembers that nothing more is to be done for a digest.
pub fn settle(db: &Connection, digest: &Digest) -> Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO settled (digest) VALUES (?1)")?.execute([digest.0])?;
    Ok(())
}

/// The opposite. A server that lost the bytes has lost what it was told of them.
pub fn unsettle(db: &Connection, digest: &Digest) -> Result<()> {
    db.prepare_cached("DELETE FROM settled WHERE digest = ?1")?.execute([digest.0])?;
    db.prepare_cached("UPDATE files SET told = 0 WHERE digest = ?1 AND told = 1")?
        .execute([digest.0])?;
    Ok(())
}

/// Forgets everything the server said and was told: another account or device signed in.
pub fn unsettle_all(db: &Connection) -> Result<()> {
    db.execute("DELETE FROM settled", [])?;
    db.execute("UPDATE files SET told = 0 WHERE told = 1", []).map(|_| ())
}

/// Files that the server holds and of whose place it was not told, in order of their path's bytes after `after`.
pub fn list_untold(db: &Connection, after: &[u8], limit: usize) -> Result<Vec<Known>> {
    db.prepare_cached(
        "SELECT path, size_bytes, mtime_ns, inode, files.digest
         FROM files JOIN settled ON settled.digest = files.digest
         WHERE told = 0 AND files.digest IS NOT NULL AND path > ?1
         ORDER BY path
         LIMIT ?2",
    )?
    .query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(Known {
            path: row.get(0)?,
            size_bytes: row.get::<_, i64>(1)?.cast_unsigned(),
            mtime_ns: row.get(2)?,
            inode: row.get::<_, i64>(3)?.cast_unsigned(),
            digest: digest_of(row, 4)?,
            is_settled: true,
        })
    })?
    .collect()
}

/// A file that was in one place and is in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Bytes of the path where it was.
    pub from: Vec<u8>,
    /// Bytes of the path where it is.
    pub to: Vec<u8>,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// Remembers a move. One that went on from the end of another, of which the server does not know yet, began where that
/// one did.
pub fn put_move(db: &Connection, moved: &Moved) -> Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO moves (to_path, from_path, digest)
         VALUES (?1, coalesce((SELECT from_path FROM moves WHERE to_path = ?2 AND digest = ?3), ?2), ?3)",
    )?
    .execute(params![moved.to, moved.from, moved.digest.0])?;
    Ok(())
}

/// Forgets the move that ended at a path.
pub fn remove_move(db: &Connection, to_path: &[u8]) -> Result<()> {
    db.prepare_cached("DELETE FROM moves WHERE to_path = ?1")?.execute([to_path])?;
    Ok(())
}

/// Forgets moves from where there is a file again: it lies in both places.
pub fn remove_undone_moves(db: &Connection) -> Result<()> {
    db.execute("DELETE FROM moves WHERE from_path IN (SELECT path FROM files)", []).map(|_| ())
}

/// Moves to places that the server was told and that still have these bytes.
pub fn list_moves(db: &Connection, limit: usize) -> Result<Vec<Moved>> {
    db.prepare_cached(
        "SELECT from_path, to_path, moves.digest
         FROM moves JOIN files ON files.path = to_path AND files.digest = moves.digest
         WHERE told = 1
         LIMIT ?1",
    )?
    .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(Moved { from: row.get(0)?, to: row.get(1)?, digest: Digest(row.get(2)?) })
    })?
    .collect()
}

/// Remembers that the server was told where these bytes lie, if they still lie there.
pub fn set_told(db: &Connection, path: &[u8], digest: &Digest) -> Result<()> {
    db.prepare_cached("UPDATE files SET told = 1 WHERE path = ?1 AND digest = ?2")?
        .execute(params![path, digest.0])?;
    Ok(())
}

/// Different digests, those that are settled, all files and their bytes.
pub fn counts(db: &Connection) -> Result<(u64, u64, u64, u64)> {
    let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned);
    Ok((
        one("SELECT count(DISTINCT digest) FROM files")?,
        one("SELECT count(*) FROM settled WHERE digest IN (SELECT digest FROM files)")?,
        one("SELECT count(*) FROM files")?,
        one("SELECT coalesce(sum(size_bytes), 0) FROM files")?,
    ))
}

/// Keeps a receipt.
pub fn put_receipt(
    db: &Connection,
    account_uuid: &str,
    digest: &Digest,
    verified_at_ms: i64,
    receipt: &str,
) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO receipts (account_uuid, digest, verified_at_ms, receipt) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account_uuid, digest) DO UPDATE SET verified_at_ms = ?3, receipt = ?4
         WHERE excluded.verified_at_ms >= verified_at_ms",
    )?
    .execute(params![account_uuid, digest.0, verified_at_ms, receipt])?;
    Ok(())
}

/// The kept receipt, as JSON.
pub fn find_receipt(
    db: &Connection,
    account_uuid: &str,
    digest: &Digest,
) -> Result<Option<String>> {
    db.prepare_cached("SELECT receipt FROM receipts WHERE account_uuid = ?1 AND digest = ?2")?
        .query_row(params![account_uuid, digest.0], |row| row.get(0))
        .optional()
}

/// How many receipts are kept for an account.
pub fn count_receipts(db: &Connection, account_uuid: &str) -> Result<u64> {
    db.query_row("SELECT count(*) FROM receipts WHERE account_uuid = ?1", [account_uuid], |row| {
        row.get::<_, i64>(0)
    })
    .map(i64::cast_unsigned)
}

/// A remembered fact.
pub fn find_fact(db: &Connection, name: &str) -> Result<Option<String>> {
    db.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Remembers a fact.
pub fn put_fact(db: &Connection, name: &str, value: &str) -> Result<()> {
    db.execute(
        "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
        [name, value],
    )
    .map(|_| ())
}
