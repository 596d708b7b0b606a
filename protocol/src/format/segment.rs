//! A batch of manifests in the chain of a device: how 100,000 photos are listed with a handful of objects, and how a
//! relay that hides or takes back some of them is found out.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::Bad;
use super::keys::DeviceKeys;
use super::manifest::Manifest;
use super::object::{Kind, id_of, open_document, seal_document};
use crate::digest::Digest;

/// Most entries of one segment.
pub const MAX_ENTRIES: usize = 10_000;
/// A writer starts another segment when the next manifest would make it longer than this.
pub const FULL_BYTES: usize = 4 << 20;
/// A manifest longer than this is named by a segment, not repeated in it.
pub const MAX_INLINE_CHUNKS: usize = 512;
/// Most devices whose heads a segment repeats.
pub const MAX_SEEN: usize = 1000;

/// A device of the account, as its chain is called: 16 random bytes, 32 hexadecimal digits in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer(pub [u8; 16]);

impl std::fmt::Display for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Writer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Writer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let mut bytes = [0; 16];
        let read = hex::decode_to_slice(text.as_bytes(), &mut bytes);
        let wanted = "a writer is 32 hexadecimal digits";
        read.map(|()| Self(bytes)).map_err(|_| serde::de::Error::custom(wanted))
    }
}

/// The newest segment of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose chain.
    pub writer: Writer,
    /// Number of the segment in it, from 1.
    pub sequence: u64,
    /// Its id.
    pub id: Digest,
}

/// One original in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Id of its manifest.
    pub id: Digest,
    /// What the manifest says; absent if it has more than [`MAX_INLINE_CHUNKS`] chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
}

/// The contents of a segment. Readers ignore keys they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The device that wrote it.
    pub writer: Writer,
    /// Its number in the writer's chain, from 1.
    pub sequence: u64,
    /// Id of the one before; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// When it was written, Unix milliseconds, by the writer's clock.
    pub written_at_ms: i64,
    /// The heads of the other chains when it was written: who reads this one knows how long those must be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<Head>,
    /// SHA-256 of the sorted ids it makes live, as the relay got them in clear.
    pub live: Digest,
    /// What was backed up.
    pub entries: Vec<Entry>,
}

impl Segment {
    /// The ids a segment with these entries makes live, sorted, each once: manifests, and the chunks of the manifests
    /// it repeats. `chunks` are those of manifests that it only names.
    pub fn live_ids(entries: &[Entry], chunks: &[Digest]) -> Vec<Digest> {
        let inline = entries.iter().filter_map(|entry| entry.manifest.as_ref());
        let inline = inline.flat_map(|manifest| manifest.chunks.iter());
        let manifests = entries.iter().map(|entry| &entry.id);
        let mut ids: Vec<Digest> = manifests.chain(inline).chain(chunks).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What `live` is for these ids.
    pub fn live_digest(ids: &[Digest]) -> Digest {
        let mut hasher = Sha256::new();
        ids.iter().for_each(|id| hasher.update(id.0));
        Digest(hasher.finalize().into())
    }

    /// Seals it in the current epoch; its id and the object.
    pub fn seal(&self, keys: &DeviceKeys) -> Result<(Digest, Vec<u8>), Bad> {
        self.check()?;
        let document = serde_json::to_vec(self).map_err(|_| Bad::BadContents)?;
        let object = seal_document(Kind::Segment, &document, keys);
        if object.len() > Kind::Segment.max_bytes() {
            return Err(Bad::TooLong);
        }
        Ok((id_of(&object), object))
    }

    /// Opens the segment of this id.
    pub fn open(object: &[u8], id: &Digest, keys: &DeviceKeys) -> Result<Self, Bad> {
        let document = open_document(Kind::Segment, object, id, keys)?;
        let segment: Self = serde_json::from_slice(&document).map_err(|_| Bad::BadContents)?;
        segment.check()?;
        Ok(segment)
    }

    /// Whether it can be true at all.
    fn check(&self) -> Result<(), Bad> {
        let starts = (self.sequence == 1) == self.previous.is_none();
        let bounded = self.entries.len() <= MAX_ENTRIES && self.seen.len() <= MAX_SEEN;
        if !(starts && bounded && self.sequence > 0) {
            return Err(Bad::BadContents);
        }
        self.entries
            .iter()
            .filter_map(|entry| entry.manifest.as_ref())
            .try_for_each(Manifest::check)
    }

    /// Its place in its chain.
    pub fn head(&self, id: Digest) -> Head {
        Head { writer: self.writer, sequence: self.sequence, id }
    }
}

/// What a client knows of all chains: it only ever grows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Chains {
    heads: Vec<Head>,
}

impl Chains {
    /// The newest known segment of a writer.
    pub fn head(&self, writer: Writer) -> Option<&Head> {
        self.heads.iter().find(|head| head.writer == writer)
    }

    /// The newest known segment of everybody.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Takes the next segment of a chain in. [`Bad::RolledBack`] if it is not the successor of what is known.
    pub fn extend(&mut self, segment: &Segment, id: Digest) -> Result<(), Bad> {
        let known = self.head(segment.writer);
        // A head comes from other devices too: nothing follows the largest number there is.
        let next = known.map_or(0, |head| head.sequence).checked_add(1);
        let follows =
            next == Some(segment.sequence) && known.map(|head| head.id) == segment.previous;
        if !follows {
            return Err(Bad::RolledBack);
        }
        let head = segment.head(id);
        match self.heads.iter_mut().find(|known| known.writer == segment.writer) {
            Some(known) => *known = head,
            None => self.heads.push(head),
        }
        Ok(())
    }

    /// Whether heads that a relay shows could be true: none is behind what is known, none differs at the same number.
    /// `seen` are heads that segments of other writers named.
    pub fn require_not_behind(&self, shown: &[Head]) -> Result<(), Bad> {
        let is_kept = |known: &Head| {
            shown.iter().any(|head| {
                head.writer == known.writer && (head.sequence > known.sequence || head == known)
            })
        };
        if self.heads.iter().all(is_kept) { Ok(()) } else { Err(Bad::RolledBack) }
    }
}
