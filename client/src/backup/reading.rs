//! Reads files to compute their digests, and notices when one changes meanwhile.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use photosync_protocol::digest::Digest;
use sha2::Digest as _;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::scan::Found;

/// A digest, and the file it belongs to as the file system described it before and after reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// The file as it is now.
    pub file: Found,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// When reading began, nanoseconds since 1970.
    pub read_at_ns: i64,
}

/// Reads a file whole. Retries once if it changes meanwhile. Blocks.
pub fn hash(path: &Path, stop: &CancellationToken) -> Result<Hashed> {
    for _ in 0..2 {
        if let Some(hashed) = hash_once(path, stop)? {
            return Ok(hashed);
        }
    }
    Err(changing(path))
}

/// The error for a file that is being written right now.
pub fn changing(path: &Path) -> Error {
    let text = format!("{} changes while it is being read", path.display());
    Error::new(Kind::File, text).coded("changing").hint("it is tried again at the next backup")
}

fn hash_once(path: &Path, stop: &CancellationToken) -> Result<Option<Hashed>> {
    let failed = |cause: std::io::Error| Error::file("read", path, &cause);
    let mut file = File::open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() {
        return Err(Error::file("read", path, &"it is no file any more"));
    }
    let found = Found::of(path.to_owned(), &before);
    let read_at_ns = now_ns();
    let mut hasher = sha2::Sha256::new();
    let mut piece = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        if stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        let count = file.read(&mut piece).map_err(failed)?;
        if count == 0 {
            break;
        }
        hasher.update(&piece[..count]);
        length += count as u64;
    }
    let after = std::fs::metadata(path).map_err(failed)?;
    if length != found.size_bytes || !found.is_unchanged(&after) {
        return Ok(None);
    }
    Ok(Some(Hashed { file: found, digest: Digest(hasher.finalize().into()), read_at_ns }))
}

/// Nanoseconds since 1970.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
