//! Restoring from a relay: with a server or from a bare folder, with an index or without.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::keys::DeviceKeys;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::{Kind, id_of};
use photosync_protocol::format::{Bad, chunk};
use photosync_protocol::v2::AssetRow;
use sha2::Digest as _;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::store::Store;
use super::{Relay, io, refused};
use crate::backup::blocking;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::meter::Meter;
use crate::report::{Event, RestoreSummary};
use crate::restore::placing::Target;
use crate::restore::planning::Plan;
use crate::restore::side_by_side::{Done, restore_all};
use crate::restore::{Options, placing};

/// One file to restore.
struct Planned {
    row: AssetRow,
    target: Target,
    manifest: Manifest,
}

/// What one file's task needs.
struct Work {
    plan: Arc<Plan>,
    store: Arc<Store>,
    keys: DeviceKeys,
    folder: PathBuf,
    meter: Meter,
    /// Held while a name is chosen and taken.
    naming: Mutex<()>,
    stop: CancellationToken,
}

/// Restores everything. The summary is reported also when the run ends early, before the error is answered.
pub async fn restore(relay: &mut Relay, options: &Options) -> Result<RestoreSummary> {
    let folder = options.folder.clone();
    let folder = blocking(move || {
        let made = std::fs::create_dir_all(&folder).and_then(|()| std::fs::canonicalize(&folder));
        io("make the folder", &folder, made)
    })
    .await?;
    let (manifests, mut summary) = relay.everything().await?;
    let (plan, files) = plan(manifests);
    let work = Arc::new(Work {
        plan: Arc::new(plan),
        store: relay.store.clone(),
        keys: relay.space.keys.clone(),
        folder,
        meter: Meter::new(options.limit),
        naming: Mutex::default(),
        stop: relay.stop.clone(),
    });
    work.meter.expect(work.plan.files, work.plan.bytes);
    summary.files += work.plan.files;
    let (ticking, report) = (work.clone(), relay.report.clone());
    let ticking = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            report.event(&Event::Progress(ticking.meter.progress()));
        }
    });
    let one = |file: Planned| {
        let work = work.clone();
        async move {
            let how = work.restore_one(&file).await;
            Done { path: file.target.path, bytes: file.row.size_bytes, how }
        }
    };
    let (files, parallel, report) =
        (files.into_iter().map(one), options.parallel.max(1), &relay.report);
    let ended = restore_all(files, parallel, &work.meter, report.as_ref(), &mut summary).await;
    ticking.abort();
    summary.elapsed_ms = work.meter.elapsed_ms();
    summary.received_bytes = work.meter.wire_bytes();
    relay.report.event(&Event::Progress(work.meter.progress()));
    relay.report.event(&Event::RestoreDone(summary.clone()));
    ended.map(|()| summary)
}

/// Where each file goes. The same file sealed in two epochs is one.
fn plan(manifests: Vec<(Digest, Manifest)>) -> (Plan, Vec<Planned>) {
    let planned = |(id, manifest): (Digest, Manifest)| {
        let row = row_of(id, &manifest);
        let targets = placing::targets(&row);
        let one = move |target| Planned { row: row.clone(), target, manifest: manifest.clone() };
        targets.into_iter().map(one).collect::<Vec<_>>()
    };
    let mut files: Vec<Planned> = manifests.into_iter().flat_map(planned).collect();
    files.sort_by(|a, b| {
        (&a.target.path, a.row.digest, &a.row.id).cmp(&(&b.target.path, b.row.digest, &b.row.id))
    });
    files.dedup_by(|a, b| a.target.path == b.target.path && a.row.digest == b.row.digest);
    let mut plan = Plan::default();
    files.iter().for_each(|file| plan.add(&file.row));
    (plan, files)
}

impl Relay {
    /// Every manifest there is. One that cannot be opened, or not be found, is reported and counted as failed; where the
    /// index has holes, manifests are looked for one by one.
    async fn everything(&mut self) -> Result<(Vec<(Digest, Manifest)>, RestoreSummary)> {
        let mut summary = RestoreSummary::default();
        // Who only reads need not wait for a run that writes, and then notes nothing for later.
        let held = match self.hold().await {
            Ok(held) => Some(held),
            Err(error) if error.code == "busy" => None,
            Err(error) => return Err(error),
        };
        let learned = self.learn(held.as_ref()).await;
        drop(held);
        let listed = match learned {
            Ok(()) => self.manifests().await,
            Err(error) => Err(error),
        };
        let (mut manifests, damaged) = match listed {
            Ok(listed) => listed,
            // What the index no longer lists may be there all the same.
            Err(error) if matches!(error.code, "damaged" | "rolled_back" | "unreadable") => {
                self.note(format!("the index is damaged ({error}); looking for photos one by one"));
                (HashMap::new(), Vec::new())
            }
            Err(error) => return Err(error),
        };
        let is_whole = !manifests.is_empty() && damaged.is_empty();
        for (id, error) in damaged {
            self.failed(&format!("photo {id}"), &error, &mut summary);
        }
        // A bare folder may hold manifests that no segment lists any more. What a stolen device listed stays out.
        if !is_whole || matches!(*self.store, Store::Folder(_)) {
            let disowned = self.space.disowned()?;
            let there = match self.store.list(Kind::Manifest).await {
                // A folder that cannot be looked through takes nothing from what the index lists.
                Err(error) if is_whole && error.kind == ErrorKind::Storage => {
                    self.failed("what the index does not list", &error, &mut summary);
                    Vec::new()
                }
                there => there?,
            };
            let mut unreadable = Vec::new();
            for id in there {
                if manifests.contains_key(&id) || disowned.contains(&id) {
                    continue;
                }
                match self.manifest(id).await? {
                    Ok(manifest) => drop(manifests.insert(id, manifest)),
                    Err(error) if error.code == "unreadable" => unreadable.push((id, error)),
                    Err(error) => self.failed(&format!("photo {id}"), &error, &mut summary),
                }
            }
            // It may be a piece: nobody sees that it is no manifest, and its photos are named for it.
            unreadable.retain(|(id, _)| !is_piece(&manifests, id));
            for (id, error) in unreadable {
                self.failed(&format!("photo {id}"), &error, &mut summary);
            }
        }
        Ok((manifests.into_iter().collect(), summary))
    }

    fn note(&self, text: String) {
        self.report.event(&Event::Note { text });
    }

    fn failed(&self, path: &str, error: &Error, summary: &mut RestoreSummary) {
        summary.files += 1;
        summary.failed_files += 1;
        let (path, reason) = (path.to_owned(), error.message.clone());
        self.report.event(&Event::FileFailed { path, code: error.code, reason });
    }
}

/// Whether any of these is made of that piece.
fn is_piece(manifests: &HashMap<Digest, Manifest>, id: &Digest) -> bool {
    manifests.values().any(|manifest| manifest.chunks.contains(id))
}

/// Where a photo goes, below the folder that is restored to: what it is called in everything that is said of it.
pub(super) fn paths(id: Digest, manifest: &Manifest) -> Vec<PathBuf> {
    let targets = placing::targets(&row_of(id, manifest));
    targets.into_iter().map(|target| target.path).collect()
}

/// As the library lists it, so that files are named by the same rules.
fn row_of(id: Digest, manifest: &Manifest) -> AssetRow {
    AssetRow {
        id: id.to_string(),
        digest: manifest.digest,
        size_bytes: manifest.size_bytes,
        name: manifest.name.clone(),
        media_type: String::new(),
        arrived_at_ms: 0,
        verified_at_ms: None,
        claims: manifest.claims.clone(),
    }
}

impl Work {
    /// `present` if it was there, `restored` if it is there now.
    async fn restore_one(&self, file: &Planned) -> Result<&'static str> {
        let (plan, folder, stop) = (self.plan.clone(), self.folder.clone(), self.stop.clone());
        let (row, target) = (file.row.clone(), file.target.clone());
        let found = blocking(move || {
            placing::find_present(plan.names(&folder, &target, &row.digest), &row, &stop)
        });
        if found.await?.is_some() {
            return Ok("present");
        }
        let folder = self.folder.join(file.target.path.parent().unwrap_or(Path::new("")));
        let made = tokio::fs::create_dir_all(&folder).await;
        made.map_err(|cause| Error::file("make the folder", &folder, &cause).coded("unwritable"))?;
        // Two names of the same bytes are received at once: each has a partial file of its own.
        let partial = placing::partial_path(&folder, &id_of(file.row.id.as_bytes()));
        if let Err(error) = self.receive(&file.manifest, &partial).await {
            // What cannot be whole is not left lying about; after anything else the next run goes on from it.
            if error.kind == ErrorKind::File {
                let _ = tokio::fs::remove_file(&partial).await;
            }
            return Err(error);
        }
        let (settled, modified_ms) = (partial.clone(), file.target.modified_ms);
        blocking(move || placing::settle(&settled, modified_ms)).await?;
        // Only names are taken one after the other; the disk is waited for side by side.
        let naming = self.naming.lock().await;
        let (plan, folder) = (self.plan.clone(), self.folder.clone());
        let (digest, target) = (file.row.digest, file.target.clone());
        let named =
            blocking(move || placing::name_first(&partial, plan.names(&folder, &target, &digest)))
                .await;
        drop(naming);
        let named = named?;
        blocking(move || placing::sync_folder(&named)).await?;
        Ok("restored")
    }

    /// Makes `partial` hold exactly the original's bytes, going on where an earlier run stopped.
    async fn receive(&self, manifest: &Manifest, partial: &Path) -> Result<()> {
        let flight = self.meter.flight(&manifest.name);
        for begins_anew in [false, true] {
            let (path, size_bytes) = (partial.to_owned(), manifest.size_bytes);
            let begun = blocking(move || Receiving::begin(path, size_bytes, begins_anew)).await?;
            let (mut receiving, whole) = begun;
            for (index, id) in manifest.chunks.iter().enumerate().skip(whole) {
                if self.stop.is_cancelled() {
                    return Err(Error::interrupted());
                }
                let object = self.store.get(Kind::Chunk, *id).await?;
                let missing = || Error::new(ErrorKind::File, format!("piece {id} is missing"));
                let object = object.ok_or_else(|| missing().coded("missing"))?;
                self.meter.pass(object.len() as u64).await;
                let (id, keys, wanted) = (*id, self.keys.clone(), manifest.chunk_bytes(index));
                receiving = blocking(move || receiving.take(object, &id, &keys, wanted)).await?;
                flight.advance(wanted);
            }
            if Digest(receiving.hasher.finalize().into()) == manifest.digest {
                return Ok(());
            }
            flight.move_to(0);
        }
        let text = format!("{} is not what it was when it was sealed", manifest.name);
        Err(Error::new(ErrorKind::File, text).coded("damaged"))
    }
}

/// A file that is filled piece by piece, hashed as it grows. Its methods block.
struct Receiving {
    partial: PathBuf,
    file: File,
    hasher: sha2::Sha256,
}

impl Receiving {
    /// Goes on behind the whole chunks that the file holds, or begins anew. Answers also how many those are.
    fn begin(partial: PathBuf, size_bytes: u64, begins_anew: bool) -> Result<(Self, usize)> {
        let mut hasher = sha2::Sha256::new();
        let mut begun = || {
            let mut options = File::options();
            options.create(true).read(true).write(true).truncate(begins_anew);
            let mut file = options.open(&partial)?;
            let whole = hash_whole_chunks(&mut file, size_bytes, &mut hasher)?;
            Ok((file, whole))
        };
        let begun: std::io::Result<(File, usize)> = begun();
        let (file, whole) = begun.map_err(|cause| unwritable(&partial, &cause))?;
        Ok((Self { partial, file, hasher }, whole))
    }

    /// Opens a sealed piece, which must hold `wanted` bytes, and adds it.
    fn take(
        mut self,
        mut object: Vec<u8>,
        id: &Digest,
        keys: &DeviceKeys,
        wanted: u64,
    ) -> Result<Self> {
        let named = |bad| refused(format!("piece {id}"), bad);
        let data = chunk::open(&mut object, id, keys).map_err(named)?;
        if data.len() as u64 != wanted {
            return Err(named(Bad::BadContents));
        }
        self.hasher.update(data);
        self.file.write_all(data).map_err(|cause| unwritable(&self.partial, &cause))?;
        Ok(self)
    }
}

fn unwritable(path: &Path, cause: &std::io::Error) -> Error {
    Error::file("write", path, cause).coded("unwritable")
}

/// Hashes the whole chunks that a partial file holds, cuts off the rest, and stands behind them.
fn hash_whole_chunks(
    file: &mut File,
    size_bytes: u64,
    hasher: &mut sha2::Sha256,
) -> std::io::Result<usize> {
    let length = file.metadata()?.len().min(size_bytes);
    let whole = length / chunk::CHUNK_BYTES as u64;
    let bytes = whole * chunk::CHUNK_BYTES as u64;
    let mut piece = vec![0; 256 * 1024];
    let mut left = bytes;
    while left > 0 {
        let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut piece[..most])?;
        hasher.update(&piece[..most]);
        left -= most as u64;
    }
    file.set_len(bytes)?;
    Ok(usize::try_from(whole).unwrap_or(usize::MAX))
}
