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

/// Read at once to compute a digest: 256 KiB.
const PIECE_BYTES: usize = 256 * 1024;

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
    let mut opened = Opened::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        if opened.fill(&mut piece)? < piece.len() {
            break;
        }
    }
    opened.finish()
}

/// A file that is read once from its beginning to its end, and hashed on the way. Blocks.
pub struct Opened {
    found: Found,
    source: File,
    hasher: sha2::Sha256,
    length: u64,
    read_at_ns: i64,
}

impl Opened {
    /// Opens a file; what is none any more is an error.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |cause: std::io::Error| Error::file("read", path, &cause);
        let source = File::open(path).map_err(failed)?;
        let before = source.metadata().map_err(failed)?;
        if !before.is_file() {
            return Err(Error::file("read", path, &"it is no file any more"));
        }
        let found = Found::of(path.to_owned(), &before);
        Ok(Self { found, source, hasher: sha2::Sha256::new(), length: 0, read_at_ns: now_ns() })
    }

    /// The file as it was when it was opened.
    pub fn file(&self) -> &Found {
        &self.found
    }

    /// Reads until the buffer is full or the file ends; answers how many bytes.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            match self.source.read(&mut buffer[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(Error::file("read", &self.found.path, &cause)),
            }
        }
        self.hasher.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }

    /// What was read; `None` if the file changed meanwhile.
    pub fn finish(self) -> Result<Option<Hashed>> {
        let path = &self.found.path;
        let after = std::fs::metadata(path).map_err(|cause| Error::file("read", path, &cause))?;
        if self.length != self.found.size_bytes || !self.found.is_unchanged(&after) {
            return Ok(None);
        }
        let digest = Digest(self.hasher.finalize().into());
        Ok(Some(Hashed { file: self.found, digest, read_at_ns: self.read_at_ns }))
    }
}

/// Nanoseconds since 1970.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
