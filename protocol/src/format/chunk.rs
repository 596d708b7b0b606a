//! A piece of an original: up to 4 MiB, sealed so that the same piece is the same object within one account and epoch.

use zeroize::Zeroize;

use super::Bad;
use super::keys::{DeviceKeys, EpochKeys};
use super::object::{HEAD_BYTES, Kind, LENGTH_BYTES, epoch_of, head, id_of, require_id, unpad};
use super::padding::bucket;
use crate::crypto::{self, NONCE_BYTES, Nonce, PLAIN_AT, TAG_BYTES};
use crate::digest::Digest;

/// Bytes of an original in every chunk but its last. Fixed: photos and videos do not shift, and pieces cut by their
/// content would tell a relay which contents they are.
pub const CHUNK_BYTES: usize = 4 << 20;
/// Bytes of the largest sealed chunk.
pub const MAX_OBJECT_BYTES: usize = BOX_AT + TAG_BYTES + LENGTH_BYTES + CHUNK_BYTES;

const BOX_AT: usize = HEAD_BYTES + NONCE_BYTES;
const DATA_AT: usize = BOX_AT + PLAIN_AT + LENGTH_BYTES;

/// Chunks of a file of this size.
pub fn count(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(CHUNK_BYTES as u64)
}

/// Data bytes a chunk is padded to.
fn padded(length: usize) -> usize {
    bucket(length).min(CHUNK_BYTES)
}

/// A buffer that a piece is read into and sealed in, again and again: 4 MiB and a little, never more.
pub struct Sealer {
    buffer: Vec<u8>,
}

impl Default for Sealer {
    fn default() -> Self {
        Self { buffer: vec![0; MAX_OBJECT_BYTES] }
    }
}

/// A sealed chunk, for as long as its buffer is not used again.
#[derive(Debug)]
pub struct SealedChunk<'a> {
    /// SHA-256 of `bytes`.
    pub id: Digest,
    /// The object.
    pub bytes: &'a [u8],
}

impl Sealer {
    /// Where the next piece is read to: [`CHUNK_BYTES`].
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[DATA_AT..DATA_AT + CHUNK_BYTES]
    }

    /// Seals the first `length` bytes of [`Self::data_mut`], at least one.
    pub fn seal(&mut self, length: usize, epoch: u32, keys: &EpochKeys) -> SealedChunk<'_> {
        debug_assert!((1..=CHUNK_BYTES).contains(&length));
        let data_bytes = padded(length);
        let object_bytes = BOX_AT + TAG_BYTES + LENGTH_BYTES + data_bytes;
        let (clear, boxed) = self.buffer[..object_bytes].split_at_mut(BOX_AT);
        clear[..HEAD_BYTES].copy_from_slice(&head(Kind::Chunk, epoch));
        let plain = &mut boxed[PLAIN_AT..][..LENGTH_BYTES + data_bytes];
        let count = u32::try_from(length).expect("a chunk is far shorter than 4 GiB");
        plain[..LENGTH_BYTES].copy_from_slice(&count.to_le_bytes());
        plain[LENGTH_BYTES + length..].fill(0);
        let nonce = crypto::keyed_hash(&keys.chunk.nonce_key, &[&clear[..HEAD_BYTES], plain]);
        clear[HEAD_BYTES..].copy_from_slice(&nonce);
        crypto::seal_in_place(boxed, &nonce, &keys.chunk.box_key);
        let bytes = &self.buffer[..object_bytes];
        SealedChunk { id: id_of(bytes), bytes }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

/// Opens a chunk in the buffer it was received in; the data are the part of it that is returned.
pub fn open<'a>(object: &'a mut [u8], id: &Digest, keys: &DeviceKeys) -> Result<&'a [u8], Bad> {
    require_id(object, id)?;
    let epoch_keys = keys.of(epoch_of(object, Kind::Chunk)?)?;
    if object.len() < BOX_AT + TAG_BYTES + LENGTH_BYTES {
        return Err(Bad::Truncated);
    }
    let (clear, boxed) = object.split_at_mut(BOX_AT);
    let nonce: &Nonce = clear[HEAD_BYTES..].as_ref().try_into().map_err(|_| Bad::Truncated)?;
    crypto::open_in_place(boxed, nonce, &epoch_keys.chunk.box_key)?;
    let plain = &boxed[PLAIN_AT..][..boxed.len() - TAG_BYTES];
    let range = unpad(plain, padded)?;
    if range.is_empty() { Err(Bad::BadContents) } else { Ok(&plain[range]) }
}
