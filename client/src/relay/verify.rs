//! Whether everything that the index lists is still there, and with `read` whether it still opens.

use std::collections::{HashMap, HashSet};

use photosync_protocol::digest::Digest;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, id_of};
use photosync_protocol::format::{Bad, chunk};
use serde::Serialize;

use super::{Relay, refused};
use crate::backup::blocking;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::meter::Meter;
use crate::report::Event;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Photos of the index.
    pub files: u64,
    /// Different objects they are made of.
    pub objects: u64,
    /// Objects that were read and opened.
    pub read: u64,
    /// Photos of which something is missing or damaged. Each was reported.
    pub lost_files: u64,
}

/// Looks for every object of every photo; with `read` also reads and opens it. Photos that are not whole are sealed
/// again at the next backup.
pub async fn verify(relay: &mut Relay, read: bool) -> Result<Verified> {
    relay.learn().await?;
    if read {
        mend_segments(relay).await?;
    }
    relay.put_back_segments().await?;
    let (manifests, damaged) = relay.manifests().await?;
    let chunks = manifests.values().flat_map(|manifest| manifest.chunks.iter());
    let objects: HashSet<(Kind, Digest)> = chunks
        .map(|id| (Kind::Chunk, *id))
        .chain(manifests.keys().map(|id| (Kind::Manifest, *id)))
        .collect();
    let mut found = Verified {
        files: (manifests.len() + damaged.len()) as u64,
        objects: objects.len() as u64,
        ..Verified::default()
    };
    if !damaged.is_empty() {
        // Which files these were is not known any more.
        relay.space.forget_settled()?;
    }
    for (id, bad) in damaged {
        found.lost_files += 1;
        relay.store.set_aside(Kind::Manifest, id).await?;
        let error = refused("its manifest", bad);
        let (path, reason) = (format!("photo {id}"), error.message);
        relay.report.event(&Event::FileFailed { path, code: error.code, reason });
    }
    let mut lost: HashMap<Digest, Bad> = HashMap::new();
    for (_, id) in relay.store.missing(objects.iter().copied().collect()).await? {
        lost.insert(id, Bad::Truncated);
    }
    if read {
        read_all(relay, &objects, &mut lost, &mut found).await?;
    }
    let cache_file = relay.space.cache_file();
    let cache = blocking(move || Cache::open(&cache_file)).await?;
    for (id, manifest) in &manifests {
        let Some(bad) = reason(id, manifest, &lost) else { continue };
        found.lost_files += 1;
        cache.unsettle(&[manifest.digest])?;
        let error = refused("what it is made of", bad);
        let (path, reason) = (manifest.name.clone(), error.message);
        relay.report.event(&Event::FileFailed { path, code: error.code, reason });
    }
    Ok(found)
}

/// Puts a good copy in the place of every segment whose bytes are not those of its id. The damaged one stays beside it. A server
/// finds such objects itself when it reads them, and takes them again.
async fn mend_segments(relay: &Relay) -> Result<()> {
    for id in relay.space.segment_ids()? {
        let there = relay.store.get(Kind::Segment, id).await?;
        let copy = std::fs::read(relay.space.mirror_path(&id)).ok();
        let copy = copy.filter(|copy| id_of(copy) == id);
        if let Some(copy) = copy.filter(|_| there.is_some_and(|there| id_of(&there) != id)) {
            relay.store.set_aside(Kind::Segment, id).await?;
            relay.store.put(vec![(Kind::Segment, id, copy)]).await?;
            let text =
                format!("the index entry {id} was damaged and was put back from the copy here");
            relay.report.event(&Event::Note { text });
        }
    }
    Ok(())
}

fn reason(id: &Digest, manifest: &Manifest, lost: &HashMap<Digest, Bad>) -> Option<Bad> {
    std::iter::once(id).chain(&manifest.chunks).find_map(|id| lost.get(id)).copied()
}

async fn read_all(
    relay: &Relay,
    objects: &HashSet<(Kind, Digest)>,
    lost: &mut HashMap<Digest, Bad>,
    found: &mut Verified,
) -> Result<()> {
    let meter = Meter::new(None);
    meter.expect(objects.len() as u64, objects.len() as u64);
    for (kind, id) in objects {
        if relay.stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        if lost.contains_key(id) {
            continue;
        }
        let bad = match kind {
            Kind::Manifest => relay.manifest(*id).await?.err(),
            _ => match relay.store.get(*kind, *id).await? {
                None => Some(Bad::Truncated),
                Some(mut object) => {
                    let (id, keys) = (*id, relay.space.keys.clone());
                    blocking(move || Ok(chunk::open(&mut object, &id, &keys).err())).await?
                }
            },
        };
        if let Some(bad) = bad {
            lost.insert(*id, bad);
            relay.store.set_aside(*kind, *id).await?;
        }
        found.read += 1;
        meter.finish(1);
        relay.report.event(&Event::Progress(meter.progress()));
    }
    Ok(())
}
