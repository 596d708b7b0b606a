//! Whether everything that the index lists is still there, and with `read` whether it still opens. The index itself is
//! mended at once: this device has a copy of it.

use std::collections::{HashMap, HashSet};

use photosync_protocol::digest::Digest;
use photosync_protocol::format::chunk;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, id_of};
use serde::Serialize;

use super::restore::paths;
use super::{Relay, refused};
use crate::backup::blocking;
use crate::cache::Cache;
use crate::error::{Error, Kind as ErrorKind, Result};
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
    /// Objects of the index that were missing or damaged and are there again, from this device's copy.
    pub mended: u64,
}

/// It is not there, or a server that looked at it found it damaged.
fn missing(kind: Kind, id: &Digest) -> Error {
    let what = match kind {
        Kind::Manifest => "its manifest",
        _ => "piece",
    };
    Error::new(ErrorKind::File, format!("{what} {id} is missing")).coded("missing")
}

/// Looks for every object of every photo; with `read` also reads and opens it. Photos that are not whole are sealed
/// again at the next backup, also if this run ends early. `busy` while another run writes: what it has sent and not listed yet looks as if it were lost.
pub async fn verify(relay: &mut Relay, read: bool) -> Result<Verified> {
    let held = relay.hold().await?;
    relay.learn(Some(&held)).await?;
    let mended = mend_index(relay, read).await?;
    let (manifests, damaged) = relay.manifests().await?;
    let chunks = manifests.values().flat_map(|manifest| manifest.chunks.iter());
    let objects: HashSet<(Kind, Digest)> = chunks
        .map(|id| (Kind::Chunk, *id))
        .chain(manifests.keys().map(|id| (Kind::Manifest, *id)))
        .collect();
    let mut found = Verified {
        files: (manifests.len() + damaged.len()) as u64,
        objects: objects.len() as u64,
        mended,
        ..Verified::default()
    };
    if !damaged.is_empty() {
        // Which files these were is not known any more.
        relay.space.forget_settled()?;
    }
    // What ends this run early must not keep what it found from being told and sealed again.
    let mut ended = Ok(());
    for (id, error) in damaged {
        found.lost_files += 1;
        let (path, reason) = (format!("photo {id}"), error.message);
        relay.report.event(&Event::FileFailed { path, code: error.code, reason });
        ended = ended.and(relay.store.set_aside(Kind::Manifest, id).await);
    }
    let mut lost: HashMap<Digest, Error> = HashMap::new();
    for (kind, id) in relay.store.missing(objects.iter().copied().collect()).await? {
        lost.insert(id, missing(kind, &id));
    }
    let cache_file = relay.space.cache_file();
    let cache = blocking(move || Cache::open(&cache_file)).await?;
    if read {
        let all = read_all(relay, &manifests, &objects, &cache, &mut lost, &mut found).await;
        ended = ended.and(all);
    }
    for (id, manifest) in &manifests {
        let Some(error) = reason(id, manifest, &lost) else { continue };
        found.lost_files += 1;
        cache.unsettle(&[manifest.digest])?;
        for path in paths(*id, manifest) {
            let (path, reason) = (path.to_string_lossy().into_owned(), error.message.clone());
            relay.report.event(&Event::FileFailed { path, code: error.code, reason });
        }
    }
    ended.map(|()| found)
}

/// The first thing that is wrong with a photo.
fn reason<'a>(
    id: &Digest,
    manifest: &Manifest,
    lost: &'a HashMap<Digest, Error>,
) -> Option<&'a Error> {
    std::iter::once(id).chain(&manifest.chunks).find_map(|id| lost.get(id))
}

/// Puts segments and the keyring back that are missing, or with `read` damaged, from the copies that this device keeps.
/// Without segments nobody finds out that something was taken away; without keyring a password opens nothing. Answers how
/// many.
async fn mend_index(relay: &Relay, read: bool) -> Result<u64> {
    let mut all: Vec<_> =
        relay.space.segment_ids()?.into_iter().map(|id| (Kind::Segment, id)).collect();
    all.extend(relay.space.keyring.map(|id| (Kind::Keyring, id)));
    let missing: HashSet<_> = relay.store.missing(all.clone()).await?.into_iter().collect();
    let mut mended = 0;
    for (kind, id) in all {
        let is_whole = match missing.contains(&(kind, id)) {
            true => false,
            false if read => match relay.store.get(kind, id).await {
                Err(error) if error.kind == ErrorKind::File => false,
                got => got?.is_some_and(|object| id_of(&object) == id),
            },
            false => true,
        };
        let copy = relay.space.copy_of(kind, &id)?;
        if is_whole && copy.is_none() && kind == Kind::Keyring {
            let got = relay.store.get(kind, id).await.ok().flatten();
            if let Some(object) = got.filter(|object| id_of(object) == id) {
                relay.space.keep_keyring(&object)?;
            }
        }
        let Some(copy) = copy.filter(|_| !is_whole) else { continue };
        relay.store.set_aside(kind, id).await?;
        relay.store.put(vec![(kind, id, copy)]).await?;
        mended += 1;
        let what = if kind == Kind::Keyring { "the keyring" } else { "a segment of the index" };
        let text = format!(
            "{what} ({id}) was missing or damaged; it is there again, from this computer's copy"
        );
        relay.report.event(&Event::Note { text });
    }
    Ok(mended)
}

/// Reads and opens every object that is not known to be lost, and sets aside what it refuses. What cannot be set aside is
/// the error at the end.
async fn read_all(
    relay: &Relay,
    manifests: &HashMap<Digest, Manifest>,
    objects: &HashSet<(Kind, Digest)>,
    cache: &Cache,
    lost: &mut HashMap<Digest, Error>,
    found: &mut Verified,
) -> Result<()> {
    let meter = Meter::new(None);
    meter.expect(objects.len() as u64, objects.len() as u64);
    let mut ended = Ok(());
    for (kind, id) in objects {
        if relay.stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        if lost.contains_key(id) {
            continue;
        }
        let bad = match kind {
            Kind::Manifest => relay.manifest(*id).await?.err(),
            _ => match relay.store.get(*kind, *id).await {
                Err(error) if error.kind == ErrorKind::File => Some(error),
                Err(error) => return ended.and(Err(error)),
                Ok(None) => Some(missing(*kind, id)),
                Ok(Some(mut object)) => {
                    let (own, keys) = (*id, relay.space.keys.clone());
                    let opened =
                        blocking(move || Ok(chunk::open(&mut object, &own, &keys).err())).await?;
                    opened.map(|bad| refused(format!("piece {id}"), bad))
                }
            },
        };
        if let Some(bad) = bad {
            lost.insert(*id, bad);
            // First the photos count as not sealed: a piece that is gone, of photos that do, nobody would seal again.
            let made_of_it = manifests.iter().filter(|(manifest_id, manifest)| {
                *manifest_id == id || manifest.chunks.contains(id)
            });
            let digests: Vec<Digest> = made_of_it.map(|(_, manifest)| manifest.digest).collect();
            cache.unsettle(&digests)?;
            ended = ended.and(relay.store.set_aside(*kind, *id).await);
        }
        found.read += 1;
        meter.finish(1);
        relay.report.event(&Event::Progress(meter.progress()));
    }
    ended
}
