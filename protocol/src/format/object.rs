//! What every sealed object looks like: a clear head that says what it is, then one box.
//!
//! The nonce is a keyed hash of head and plaintext (a synthetic nonce, as in SIV): the same bytes under the same key
//! are the same object, which is how equal photos meet; different bytes have different nonces; and a reader that
//! computes it again knows that the clear head is the one that was sealed.

use sha2::{Digest as _, Sha256};

use super::keys::{DeviceKeys, SealingKeys, WRAP_BYTES, Wrap};
use super::padding::bucket;
use super::{Bad, keyring};
use crate::crypto::{self, NONCE_BYTES, Nonce, PLAIN_AT, TAG_BYTES};
use crate::digest::Digest;

/// Every object begins with this, then its kind and a line break.
pub const MAGIC: &[u8; 6] = b"PSYNC2";
/// Magic, kind, line break, epoch.
pub const HEAD_BYTES: usize = 12;
/// The length that every plaintext begins with.
pub const LENGTH_BYTES: usize = 4;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A piece of an original.
    Chunk,
    /// What one original is called and made of.
    Manifest,
    /// A batch of manifests in the chain of a device.
    Segment,
    /// The master key, wrapped.
    Keyring,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Chunk, Self::Manifest, Self::Segment, Self::Keyring];

    /// Its byte in the head.
    pub fn letter(self) -> u8 {
        match self {
            Self::Chunk => b'C',
            Self::Manifest => b'M',
            Self::Segment => b'S',
            Self::Keyring => b'K',
        }
    }

    /// Bytes of the largest object of this kind.
    pub fn max_bytes(self) -> usize {
        match self {
            Self::Chunk => super::chunk::MAX_OBJECT_BYTES,
            Self::Manifest | Self::Segment => MAX_DOCUMENT_OBJECT_BYTES,
            Self::Keyring => keyring::MAX_OBJECT_BYTES,
        }
    }
}

/// Bytes of the largest sealed document: the manifest of a file of 1 TiB.
pub const MAX_DOCUMENT_OBJECT_BYTES: usize = 24 << 20;
/// Where the nonce of a manifest or segment stands: behind the recovery wrap.
const DOCUMENT_NONCE_AT: usize = HEAD_BYTES + WRAP_BYTES;

/// The name of an object: SHA-256 of all its bytes.
pub fn id_of(object: &[u8]) -> Digest {
    Digest(Sha256::digest(object).into())
}

/// Compares an object with its id. Always before anything else is done with it.
pub fn require_id(object: &[u8], id: &Digest) -> Result<(), Bad> {
    if id_of(object) == *id { Ok(()) } else { Err(Bad::WrongId) }
}

/// What an object says it is, in clear; nothing of it is proved.
pub fn peek(object: &[u8]) -> Result<Kind, Bad> {
    if object.len() < MAGIC.len() + 2 {
        return Err(Bad::Truncated);
    }
    let (magic, rest) = object.split_at(MAGIC.len());
    let kind = Kind::ALL.into_iter().find(|kind| kind.letter() == rest[0]);
    let kind = kind.filter(|_| magic == MAGIC && rest[1] == b'\n').ok_or(Bad::Unknown)?;
    if object.len() > kind.max_bytes() { Err(Bad::TooLong) } else { Ok(kind) }
}

/// [`peek`] of an object that should be of this kind; its epoch.
pub(super) fn epoch_of(object: &[u8], wanted: Kind) -> Result<u32, Bad> {
    if peek(object)? != wanted {
        return Err(Bad::WrongKind);
    }
    let bytes = object.get(HEAD_BYTES - 4..HEAD_BYTES).ok_or(Bad::Truncated)?;
    Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| Bad::Truncated)?))
}

/// Magic, kind, line break, epoch.
pub(super) fn head(kind: Kind, epoch: u32) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..6].copy_from_slice(MAGIC);
    head[6] = kind.letter();
    head[7] = b'\n';
    head[8..].copy_from_slice(&epoch.to_le_bytes());
    head
}

/// Seals a document behind a clear head: nonce and box follow the head.
pub(super) fn seal_behind(head: &[u8], document: &[u8], keys: &SealingKeys) -> Vec<u8> {
    let plain_bytes = LENGTH_BYTES + bucket(document.len());
    let boxed_at = head.len() + NONCE_BYTES;
    let mut object = vec![0; boxed_at + TAG_BYTES + plain_bytes];
    object[..head.len()].copy_from_slice(head);
    let plain = &mut object[boxed_at + PLAIN_AT..][..plain_bytes];
    let length = u32::try_from(document.len()).expect("documents are far shorter than 4 GiB");
    plain[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    plain[LENGTH_BYTES..][..document.len()].copy_from_slice(document);
    let nonce = crypto::keyed_hash(&keys.nonce_key, &[head, plain]);
    object[head.len()..boxed_at].copy_from_slice(&nonce);
    crypto::seal_in_place(&mut object[boxed_at..], &nonce, &keys.box_key);
    object
}

/// Opens what [`seal_behind`] sealed behind a head of `head_bytes`; the head is proved too.
pub(super) fn open_behind(
    object: &[u8],
    head_bytes: usize,
    keys: &SealingKeys,
) -> Result<Vec<u8>, Bad> {
    let boxed_at = head_bytes + NONCE_BYTES;
    if object.len() < boxed_at + TAG_BYTES + LENGTH_BYTES {
        return Err(Bad::Truncated);
    }
    let head = &object[..head_bytes];
    let nonce: &Nonce = object[head_bytes..boxed_at].try_into().map_err(|_| Bad::Truncated)?;
    let mut plain = crypto::open(&object[boxed_at..], nonce, &keys.box_key)?;
    if crypto::keyed_hash(&keys.nonce_key, &[head, &plain]) != *nonce {
        return Err(Bad::Forged);
    }
    let range = unpad(&plain, bucket)?;
    plain.truncate(range.end);
    plain.drain(..range.start);
    Ok(plain)
}

/// Where the contents of an opened plaintext lie. Exactly one padding is right.
pub(super) fn unpad(
    plain: &[u8],
    bucket: impl Fn(usize) -> usize,
) -> Result<std::ops::Range<usize>, Bad> {
    let (length, rest) = plain.split_first_chunk::<LENGTH_BYTES>().ok_or(Bad::Truncated)?;
    let length = u32::from_le_bytes(*length) as usize;
    let padding = rest.get(length..).ok_or(Bad::BadPadding)?;
    if bucket(length) != rest.len() || padding.iter().any(|byte| *byte != 0) {
        return Err(Bad::BadPadding);
    }
    Ok(LENGTH_BYTES..LENGTH_BYTES + length)
}

/// Seals a manifest or a segment in the current epoch.
pub(super) fn seal_document(kind: Kind, document: &[u8], keys: &DeviceKeys) -> Vec<u8> {
    let (epoch, epoch_keys) = keys.current();
    let head = [&head(kind, epoch)[..], &keys.recovery_wrap].concat();
    let sealing = if kind == Kind::Manifest { &epoch_keys.manifest } else { &epoch_keys.segment };
    seal_behind(&head, document, sealing)
}

/// Opens a manifest or a segment.
pub(super) fn open_document(
    kind: Kind,
    object: &[u8],
    id: &Digest,
    keys: &DeviceKeys,
) -> Result<Vec<u8>, Bad> {
    require_id(object, id)?;
    let epoch_keys = keys.of(epoch_of(object, kind)?)?;
    let sealing = if kind == Kind::Manifest { &epoch_keys.manifest } else { &epoch_keys.segment };
    open_behind(object, DOCUMENT_NONCE_AT, sealing)
}

/// The recovery wrap that a manifest, segment or keyring carries in clear: with the 24 words it opens the master key,
/// also when every keyring is lost.
pub fn recovery_wrap(object: &[u8]) -> Result<Wrap, Bad> {
    let at = match peek(object)? {
        Kind::Manifest | Kind::Segment => HEAD_BYTES,
        Kind::Keyring => keyring::RECOVERY_WRAP_AT,
        Kind::Chunk => return Err(Bad::WrongKind),
    };
    let wrap = object.get(at..at + WRAP_BYTES).ok_or(Bad::Truncated)?;
    wrap.try_into().map_err(|_| Bad::Truncated)
}

/// The epoch a manifest or segment says it was sealed in; for an object without a keyring, how far to unlock.
pub fn claimed_epoch(object: &[u8]) -> Result<u32, Bad> {
    epoch_of(object, peek(object)?)
}
