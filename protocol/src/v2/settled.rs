//! What is missing, what is settled, and receipts.
//!
//! A digest is *settled* for a device when the server holds the file, or a person deleted it: in both cases the device
//! has nothing more to do. The server keeps the settled digests of each device with their count and sum, so that a
//! device on which nothing changed asks one question of 100 bytes and gets an empty answer, however many photos there
//! are. Only where count or sum differ do both sides reconcile their sets (negentropy), at a cost that grows with the
//! difference.

use serde::{Deserialize, Serialize};

use super::Safety;
use crate::digest::Digest;

/// Media type of bodies that are digests, 32 bytes each.
pub const DIGESTS_TYPE: &str = "application/vnd.photosync.digests";
/// Media type of bodies that are messages of the negentropy protocol, version 1 (`0x61`), with every timestamp 0 and
/// the digest as id.
pub const NEGENTROPY_TYPE: &str = "application/vnd.photosync.negentropy";
/// Largest negentropy message either side sends, in bytes: more differences take more rounds.
pub const MAX_NEGENTROPY_BYTES: usize = 512 * 1024;

/// Answer for one digest of `POST /api/v2/library/missing`: N × 32 bytes in, N bytes out, same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Presence {
    /// Held: nothing to do. Settles the digest for the asking device.
    Held = 0,
    /// Not here: please send it.
    Missing = 1,
    /// A person deleted it: do not send it by yourself. Settles the digest too.
    Deleted = 2,
    /// It was here and is damaged: please send it again.
    Wanted = 3,
    /// A part of it is here: go on by tus.
    Partial = 4,
}

impl Presence {
    /// Reads one byte of an answer.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Held, Self::Missing, Self::Deleted, Self::Wanted, Self::Partial]
            .into_iter()
            .find(|presence| *presence as u8 == byte)
    }

    /// Whether the device has nothing more to do.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Held | Self::Deleted)
    }
}

/// Count and sum of a set of digests: equal sets have equal ones, and different sets differ except by an accident
/// nobody will see (the sum is of 256-bit numbers, modulo 2²⁵⁶).
///
/// It is no defence against a device that lies: it could only hide its own photos from its own backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their sum as big-endian numbers.
    pub sum: Sum,
}

/// 256-bit number that wraps around.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
pub struct Sum(pub [u8; 32]);

impl Tally {
    /// Counts a digest that was not in the set.
    pub fn add(&mut self, digest: &Digest) {
        self.count += 1;
        let mut carry = 0;
        for (sum, byte) in self.sum.0.iter_mut().zip(digest.0).rev() {
            let total = u16::from(*sum) + u16::from(byte) + carry;
            *sum = (total & 0xFF) as u8;
            carry = total >> 8;
        }
    }

    /// Takes out a digest that was in the set.
    pub fn remove(&mut self, digest: &Digest) {
        self.count = self.count.saturating_sub(1);
        let mut borrow = 0;
        for (sum, byte) in self.sum.0.iter_mut().zip(digest.0).rev() {
            let total = i16::from(*sum) - i16::from(byte) - borrow;
            *sum = (total & 0xFF) as u8;
            borrow = i16::from(total < 0);
        }
    }

    /// Of a whole set.
    pub fn of<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Self {
        let mut tally = Self::default();
        for digest in digests {
            tally.add(digest);
        }
        tally
    }
}

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Sum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Digest(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Digest::deserialize(deserializer).map(|digest| Self(digest.0))
    }
}

/// `POST /api/v2/library/receipts`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptsRequest {
    /// At most [`super::MAX_DIGESTS`].
    pub digests: Vec<Digest>,
}

/// Its answer, in the order of the request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipts {
    /// One for each digest.
    pub receipts: Vec<FileSafety>,
    /// How many of them wait to be re-read; ask again later.
    pub queued: u64,
}

/// How sure the server is of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileSafety {
    /// Which file.
    pub digest: Digest,
    /// How sure.
    pub state: Safety,
    /// For [`Safety::Verified`] and better: a statement to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// When the server last restored a backup on another disk on trial and found these bytes right there, Unix milliseconds;
    /// `None` if it never did, or found them missing or wrong. A statement about the past, which no signature covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_copy_at_ms: Option<i64>,
}

/// A signed statement about the past: at `verified_at_ms` the server read these bytes back from its disk and their
/// hash was right. The client judges how old is too old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// Fingerprint of the server's identity key.
    pub fingerprint: String,
    /// Whose library.
    pub account_uuid: String,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// When it was read back.
    pub verified_at_ms: i64,
    /// When this was signed.
    pub issued_at_ms: i64,
    /// The identity key's 32 public bytes, base64url without padding.
    pub public_key: String,
    /// Ed25519 over [`Receipt::signed_bytes`], base64url without padding.
    pub signature: String,
}

impl Receipt {
    /// What is signed: a domain, then every field with a fixed length or a length before it (32-bit big-endian).
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"photosync-receipt-v1\0".to_vec();
        for text in [&self.fingerprint, &self.account_uuid] {
            bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(self.digest.0);
        bytes.extend(self.size_bytes.to_be_bytes());
        bytes.extend(self.verified_at_ms.to_be_bytes());
        bytes.extend(self.issued_at_ms.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tally_forgets_order_and_what_was_taken_out(mut bytes in prop::collection::vec(any::<[u8; 32]>(), 0..40)) {
            let digests: Vec<Digest> = bytes.iter().copied().map(Digest).collect();
            let all = Tally::of(&digests);
            bytes.reverse();
            let mut backwards = Tally::of(&bytes.iter().copied().map(Digest).collect::<Vec<_>>());
            prop_assert_eq!(all, backwards);
            for digest in &digests {
                backwards.remove(digest);
            }
            prop_assert_eq!(backwards, Tally::default());
        }
    }

    #[test]
    fn the_sum_wraps_around() {
        let mut tally = Tally::of(&[Digest([0xFF; 32])]);
        let mut one = [0; 32];
        one[31] = 1;
        tally.add(&Digest(one));
        assert_eq!(tally, Tally { count: 2, sum: Sum([0; 32]) });
    }

    #[test]
    fn a_tally_is_small_on_the_wire() {
        let text = serde_json::to_string(&Tally::of(&[Digest([7; 32])])).unwrap();
        assert!(text.len() < 100, "{text}");
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap().count, 1);
    }
}
