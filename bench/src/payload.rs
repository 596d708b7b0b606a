//! What is uploaded: one random buffer, made before any clock starts, and a number per file.
//!
//! No two files of a run are alike, so no server can answer "already here" or skip a write, and the
//! client spends no time on making bytes. A file is its number (8 bytes) followed by the buffer,
//! repeated as often as its length needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Bytes of the random buffer: 4 MiB, more than a photo and cheap to hold.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of the number at the start of every file.
const NUMBER_BYTES: usize = 8;

/// Shared source of file contents.
#[derive(Debug, Clone)]
pub struct Payload {
    buffer: Arc<[u8]>,
    next_number: Arc<AtomicU64>,
}

/// One file to be sent or written: unlike any other of this run.
#[derive(Debug, Clone)]
pub struct Content {
    buffer: Arc<[u8]>,
    number: [u8; NUMBER_BYTES],
    /// Where this part of the file begins; 0 for a whole file.
    start: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl Payload {
    /// A buffer filled from a seed taken from the clock, so that two runs differ too.
    pub fn new() -> Self {
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self::seeded(since_epoch.as_nanos() as u64)
    }

    /// A buffer filled from this seed: the same files in the same order in every run.
    pub fn seeded(seed: u64) -> Self {
        let mut state = seed;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        while buffer.len() < BUFFER_BYTES {
            buffer.extend_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        let next_number = Arc::new(AtomicU64::new(split_mix(&mut state)));
        Self { buffer: buffer.into(), next_number }
    }

    /// A file of this length that no other call of this run returns.
    pub fn content(&self, bytes: u64) -> Content {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        Content { buffer: Arc::clone(&self.buffer), number: number.to_le_bytes(), start: 0, bytes }
    }
}

impl Content {
    /// The file's name, unique in this run.
    pub fn name(&self) -> String {
        format!("IMG_{:020}.jpg", u64::from_le_bytes(self.number))
    }

    /// The part that begins at `offset` and is `bytes` long, or shorter at the end.
    pub fn part(&self, offset: u64, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes.saturating_sub(offset));
        Self { start: self.start + offset, bytes, ..self.clone() }
    }

    /// The bytes from `offset` that lie together in memory, at most `limit`; empty at the end.
    pub fn piece(&self, offset: u64, limit: usize) -> &[u8] {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let limit = limit.min(left);
        let offset = self.start + offset;
        if offset < NUMBER_BYTES as u64 {
            let number = &self.number[offset as usize..];
            return &number[..limit.min(number.len())];
        }
        let start = ((offset - NUMBER_BYTES as u64) % self.buffer.len() as u64) as usize;
        let rest = &self.buffer[start..];
        &rest[..limit.min(rest.len())]
    }
}

/// The SplitMix64 step: fast, and good enough that no compressing file system gains from it.
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(content: &Content, limit: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let piece = content.piece(bytes.len() as u64, limit);
            if piece.is_empty() {
                return bytes;
            }
            bytes.extend_from_slice(piece);
        }
    }

    #[test]
    fn two_files_differ_and_the_size_of_pieces_changes_nothing() {
        let payload = Payload::seeded(1);
        let (first, second) = (payload.content(50_000), payload.content(50_000));
        assert_eq!(whole(&first, 999), whole(&first, usize::MAX));
        assert_eq!(whole(&first, 999).len(), 50_000);
        assert_ne!(whole(&first, 999), whole(&second, 999));
        assert_ne!(first.name(), second.name());
    }

    #[test]
    fn the_parts_of_a_file_make_the_file() {
        let file = Payload::seeded(1).content(50_000);
        let parts = [file.part(0, 5), file.part(5, 20_000), file.part(20_005, 99_999)];
        let joined: Vec<u8> = parts.iter().flat_map(|part| whole(part, 999)).collect();
        assert_eq!(joined, whole(&file, usize::MAX));
    }

    #[test]
    fn a_file_longer_than_the_buffer_has_its_whole_length() {
        let bytes = 2 * BUFFER_BYTES as u64 + 5;
        assert_eq!(whole(&Payload::seeded(1).content(bytes), usize::MAX).len() as u64, bytes);
    }
}
