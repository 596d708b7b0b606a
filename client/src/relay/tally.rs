//! How much a sealed backup lists, without opening the whole index: what each segment adds is noted once.
//!
//! The note is a cache. Without it, or with a wrong one for a segment that is gone, segments are opened again.

use std::collections::BTreeMap;
use std::fs;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::object::{claimed_epoch, id_of};
use photosync_protocol::format::segment::{Segment, Writer};
use serde::{Deserialize, Serialize};

use super::Space;
use crate::error::{Error, Result};

/// What this device knows of a sealed backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files that its segments list; a file that was sealed again counts again.
    pub files: u64,
    /// Segments of all chains.
    pub segments: u64,
    /// Computers that wrote any.
    pub computers: u64,
}

/// What is noted of a segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noted {
    writer: Writer,
    sequence: u64,
    epoch: u32,
    entries: u64,
}

impl Space {
    /// Counts what is known. Opens only segments that came since it was last called. Blocks.
    pub fn tally(&self) -> Result<Tally> {
        let path = self.folder().join("tally.json");
        let text = fs::read(&path).unwrap_or_default();
        let before: BTreeMap<Digest, Noted> = serde_json::from_slice(&text).unwrap_or_default();
        let mut noted = BTreeMap::new();
        for id in self.segment_ids()? {
            match before.get(&id) {
                Some(known) => drop(noted.insert(id, known.clone())),
                // A damaged copy is fetched again by whatever needs it.
                None => noted.extend(self.note(&id).map(|new| (id, new))),
            }
        }
        if !noted.keys().eq(before.keys()) {
            let text = serde_json::to_vec(&noted);
            let text = text.map_err(|cause| Error::unexpected(cause.to_string()))?;
            self.write(&path, &text)?;
        }
        let counted = noted.values().filter(|one| self.counts(one.writer, one.sequence, one.epoch));
        Ok(Tally {
            files: counted.map(|one| one.entries).sum(),
            segments: self.chains.heads().iter().map(|head| head.sequence).sum(),
            computers: self.chains.heads().len() as u64,
        })
    }

    fn note(&self, id: &Digest) -> Option<Noted> {
        let object = fs::read(self.mirror_path(id)).ok().filter(|object| id_of(object) == *id)?;
        let segment = Segment::open(&object, id, &self.keys).ok()?;
        let Segment { writer, sequence, .. } = segment;
        let entries = segment.entries.len() as u64;
        Some(Noted { writer, sequence, epoch: claimed_epoch(&object).ok()?, entries })
    }
}
