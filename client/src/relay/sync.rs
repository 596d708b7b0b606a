//! Learning what others wrote: new segments are fetched, opened, and appended to the chains this device knows.

use std::collections::HashMap;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, id_of};
use photosync_protocol::format::segment::Segment;

use super::store::Look;
use super::{Held, Relay, refused};
use crate::backup::blocking;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::report::Event;

impl Relay {
    /// Takes in everything that is new. Refused if anything that was seen before is missing or different. Noted for the next
    /// run only by who holds the place; another run notes it by itself.
    pub(super) async fn learn(&mut self, held: Option<&Held>) -> Result<()> {
        let look = self.store.look().await?;
        self.learn_from(look, held).await
    }

    /// As [`Self::learn`], from what the place just said.
    pub(super) async fn learn_from(&mut self, look: Look, held: Option<&Held>) -> Result<()> {
        let known = self.space.segment_ids()?;
        let mut fresh = Vec::new();
        for id in self.store.news(look, &self.space.chains).await? {
            if !known.contains(&id) {
                let (segment, object) = self.open_segment(id).await?;
                fresh.push((id, segment, object));
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        fresh.sort_by_key(|(_, segment, _)| (segment.writer, segment.sequence));
        for (id, segment, object) in &fresh {
            let named = |bad| refused(format!("segment {id}"), bad);
            self.space.chains.extend(segment, *id).map_err(named)?;
            self.space.mirror(id, object)?;
        }
        // Who wrote a segment knew these heads: a relay that hides them is found out.
        for (id, segment, _) in &fresh {
            let kept = segment.seen.iter().all(|seen| {
                self.space
                    .chains
                    .head(seen.writer)
                    .is_some_and(|head| head.sequence >= seen.sequence)
            });
            if !kept {
                return Err(refused(format!("what segment {id} names"), Bad::RolledBack));
            }
        }
        held.map_or(Ok(()), |held| self.space.save(&self.store.name(), held))
    }

    async fn open_segment(&self, id: Digest) -> Result<(Segment, Vec<u8>)> {
        let named = |bad| refused(format!("segment {id}"), bad);
        let object = self.store.get(Kind::Segment, id).await?;
        let object = object.ok_or_else(|| named(Bad::RolledBack))?;
        let segment = Segment::open(&object, &id, &self.space.keys).map_err(named)?;
        Ok((segment, object))
    }

    /// Fetches a segment of a known chain again, and all before it that are missing here.
    async fn fetch_segment(&self, id: Digest) -> Result<()> {
        let mut next = Some(id);
        while let Some(id) = next {
            let (segment, object) = self.open_segment(id).await?;
            self.space.mirror(&id, &object)?;
            next = segment.previous;
        }
        Ok(())
    }

    /// Every manifest of every segment that counts, by id. Those a segment only names are fetched. Damaged ones are in
    /// the second answer, with the reason.
    pub(super) async fn manifests(
        &self,
    ) -> Result<(HashMap<Digest, Manifest>, Vec<(Digest, Error)>)> {
        let (mut segments, lost) = self.space.segments()?;
        if !lost.is_empty() {
            for id in lost {
                self.fetch_segment(id).await?;
            }
            (segments, _) = self.space.segments()?;
        }
        let (mut found, mut damaged) = (HashMap::new(), Vec::new());
        let mut promised: Vec<(Digest, Digest, Vec<Digest>)> = Vec::new();
        for mirrored in segments.into_iter().filter(|mirrored| mirrored.counts) {
            let listed = mirrored.segment.entries.iter().map(|entry| entry.id).collect();
            promised.push((mirrored.id, mirrored.segment.live, listed));
            for entry in mirrored.segment.entries {
                match entry.manifest {
                    Some(manifest) => drop(found.insert(entry.id, manifest)),
                    None if found.contains_key(&entry.id) => {}
                    None => match self.manifest(entry.id).await? {
                        Ok(manifest) => drop(found.insert(entry.id, manifest)),
                        Err(error) => damaged.push((entry.id, error)),
                    },
                }
            }
        }
        for (id, live, listed) in promised {
            if says_otherwise(&found, &listed, live) {
                let text = format!(
                    "the index entry {id} told the relay to keep other pieces than its photos are made of; photosync relay \
                     verify looks whether all are there"
                );
                self.report.event(&Event::Note { text });
            }
        }
        Ok((found, damaged))
    }

    /// Puts segments back that this device has a copy of and the place has lost: without them nobody could begin to read
    /// a chain. Only after [`Self::learn`], which refuses a place that went back to an older state.
    pub(super) async fn put_back_segments(&self) -> Result<u64> {
        let known = self.space.segment_ids()?.into_iter().map(|id| (Kind::Segment, id)).collect();
        let mut objects = Vec::new();
        for (kind, id) in self.store.missing(known).await? {
            let copy = std::fs::read(self.space.mirror_path(&id)).ok();
            objects.extend(copy.filter(|copy| id_of(copy) == id).map(|copy| (kind, id, copy)));
        }
        let count = objects.len() as u64;
        if count > 0 {
            self.store.put(objects).await?;
            let what = if count == 1 { "a piece".to_owned() } else { format!("{count} pieces") };
            let text =
                format!("{what} of the index had been lost and was put back from the copy here");
            self.report.event(&Event::Note { text });
        }
        Ok(count)
    }

    /// Fetches and opens a manifest. The inner error is one of this manifest alone.
    pub(super) async fn manifest(&self, id: Digest) -> Result<Result<Manifest>> {
        let named = move |bad| refused(format!("its manifest {id}"), bad);
        let object = match self.store.get(Kind::Manifest, id).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(Err(named(Bad::Truncated))),
            Err(error) if error.kind == ErrorKind::File => return Ok(Err(error)),
            Err(error) => return Err(error),
        };
        let keys = self.space.keys.clone();
        blocking(move || Ok(Manifest::open(&object, &id, &keys).map_err(named))).await
    }
}

/// Whether a segment promised other live ids than those of what it lists. Not known while a manifest is missing.
fn says_otherwise(found: &HashMap<Digest, Manifest>, listed: &[Digest], live: Digest) -> bool {
    let manifests: Option<Vec<&Manifest>> = listed.iter().map(|id| found.get(id)).collect();
    let Some(manifests) = manifests else { return false };
    let chunks = manifests.iter().flat_map(|manifest| manifest.chunks.iter());
    let mut ids: Vec<Digest> = listed.iter().chain(chunks).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    Segment::live_digest(&ids) != live
}
