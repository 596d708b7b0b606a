//! Restoring from a relay: with a server or from a bare folder, with an index or without.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::chunk;
use photosync_protocol::format::keys::DeviceKeys;
use photosync_protocol::format::manifest::Manifest;
use photosync_protocol::format::object::Kind;
use photosync_protocol::v2::AssetRow;
use sha2::Digest as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::store::Store;
use super::{Relay, io, refused};
use crate::backup::blocking;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::meter::Meter;
use crate::report::{Event, RestoreSummary};
use crate::restore::{Options, placing};

/// What one file's task needs.
struct Work {
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
    let work = Arc::new(Work {
        store: relay.store.clone(),
        keys: relay.space.keys.clone(),
        folder,
        meter: Meter::new(options.limit),
        naming: Mutex::default(),
        stop: relay.stop.clone(),
    });
    let total = manifests.iter().map(|(_, manifest)| manifest.size_bytes).sum();
    work.meter.expect(manifests.len() as u64, total);
    summary.files += manifests.len() as u64;
    let (ticking, report) = (work.clone(), relay.report.clone());
    let ticking = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            report.event(&Event::Progress(ticking.meter.progress()));
        }
    });
    let ended = run(relay, &work, manifests, options.parallel.max(1), &mut summary).await;
    ticking.abort();
    summary.elapsed_ms = work.meter.elapsed_ms();
    summary.received_bytes = work.meter.wire_bytes();
    relay.report.event(&Event::Progress(work.meter.progress()));
    relay.report.event(&Event::RestoreDone(summary.clone()));
    ended.map(|()| summary)
}

impl Relay {
    /// Every manifest there is. One that cannot be opened, or not be found, is reported and counted as failed; where the
    /// index has holes, manifests are looked for one by one.
    async fn everything(&mut self) -> Result<(Vec<(Digest, Manifest)>, RestoreSummary)> {
        let mut summary = RestoreSummary::default();
        let (mut manifests, damaged) = match self.learn().await {
            Ok(()) => self.manifests().await?,
            // What the index no longer lists may be there all the same.
            Err(error) if matches!(error.code, "damaged" | "rolled_back") => {
                self.note(format!("the index is damaged ({error}); looking for photos one by one"));
                (HashMap::new(), Vec::new())
            }
            Err(error) => return Err(error),
        };
        let is_whole = !manifests.is_empty() && damaged.is_empty();
        for (id, bad) in damaged {
            self.failed(&format!("photo {id}"), &refused("its manifest", bad), &mut summary);
        }
        // A bare folder may hold manifests that no segment lists any more. What a stolen device listed stays out.
        if !is_whole || matches!(*self.store, Store::Folder(_)) {
            let disowned = self.space.disowned()?;
            for id in self.store.list(Kind::Manifest).await? {
                if manifests.contains_key(&id) || disowned.contains(&id) {
                    continue;
                }
                match self.manifest(id).await? {
                    Ok(manifest) => drop(manifests.insert(id, manifest)),
                    Err(bad) => {
                        let error = refused("its manifest", bad);
                        self.failed(&format!("photo {id}"), &error, &mut summary);
                    }
                }
            }
        }
        let mut manifests: Vec<_> = manifests.into_iter().collect();
        let place = |manifest: &Manifest| {
            let claims = &manifest.claims;
            (
                claims.folder.clone(),
                claims.device_asset_id.clone(),
                manifest.name.clone(),
                manifest.digest,
            )
        };
        manifests.sort_by_cached_key(|(_, manifest)| place(manifest));
        // The same file sealed in two epochs.
        manifests.dedup_by(|(_, a), (_, b)| place(a) == place(b));
        Ok((manifests, summary))
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

async fn run(
    relay: &Relay,
    work: &Arc<Work>,
    manifests: Vec<(Digest, Manifest)>,
    parallel: usize,
    summary: &mut RestoreSummary,
) -> Result<()> {
    let mut waiting = manifests.into_iter();
    let mut restoring: JoinSet<(AssetRow, Result<&'static str>)> = JoinSet::new();
    loop {
        while restoring.len() < parallel {
            let Some((id, manifest)) = waiting.next() else { break };
            let work = work.clone();
            restoring.spawn(async move {
                let row = row_of(id, &manifest);
                let restored = work.restore_one(&row, &manifest).await;
                (row, restored)
            });
        }
        let Some(joined) = restoring.join_next().await else { return Ok(()) };
        let (row, restored) = joined
            .map_err(|cause| Error::unexpected(format!("restoring ended unexpectedly: {cause}")))?;
        let path = placing::shown(&row);
        match restored {
            Ok(how) => {
                work.meter.finish(row.size_bytes);
                match how {
                    "present" => summary.present_files += 1,
                    _ => summary.restored_files += 1,
                }
                relay.report.event(&Event::FileDone { path, how, bytes: row.size_bytes });
            }
            Err(error) if error.kind == ErrorKind::File => {
                summary.failed_files += 1;
                let (code, reason) = (error.code, error.message);
                relay.report.event(&Event::FileFailed { path, code, reason });
            }
            Err(error) => return Err(error),
        }
    }
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
    async fn restore_one(&self, row: &AssetRow, manifest: &Manifest) -> Result<&'static str> {
        let wanted = placing::wanted_path(&self.folder, row);
        let (search, copy, stop) = (wanted.clone(), row.clone(), self.stop.clone());
        if blocking(move || placing::find_present(&search, &copy, &stop)).await?.is_some() {
            return Ok("present");
        }
        let folder = wanted.parent().unwrap_or(&self.folder).to_owned();
        let made = tokio::fs::create_dir_all(&folder).await;
        made.map_err(|cause| Error::file("make the folder", &folder, &cause).coded("unwritable"))?;
        let partial = placing::partial_path(&folder, &Digest(name_digest(row)));
        if let Err(error) = self.receive(manifest, &partial).await {
            // What cannot be whole is not left lying about; after anything else the next run goes on from it.
            if error.kind == ErrorKind::File {
                let _ = tokio::fs::remove_file(&partial).await;
            }
            return Err(error);
        }
        let naming = self.naming.lock().await;
        let modified_ms = row.claims.modified_ms;
        let placed =
            blocking(move || placing::place_numbered(&partial, &wanted, modified_ms)).await;
        drop(naming);
        placed.map(|_| "restored")
    }

    /// Makes `partial` hold exactly the original's bytes, going on where an earlier run stopped.
    async fn receive(&self, manifest: &Manifest, partial: &Path) -> Result<()> {
        let flight = self.meter.flight(&manifest.name);
        let failed =
            |cause: std::io::Error| Error::file("write", partial, &cause).coded("unwritable");
        for is_last in [false, true] {
            let mut hasher = sha2::Sha256::new();
            let mut file = tokio::fs::OpenOptions::new()
                .create(true)
                .read(true)
                .write(true)
                .truncate(is_last)
                .open(partial)
                .await
                .map_err(failed)?;
            let whole =
                hash_whole_chunks(&mut file, manifest, &mut hasher).await.map_err(failed)?;
            for (index, id) in manifest.chunks.iter().enumerate().skip(whole) {
                if self.stop.is_cancelled() {
                    return Err(Error::interrupted());
                }
                let object = self.store.get(Kind::Chunk, *id).await?;
                let missing = || Error::new(ErrorKind::File, format!("piece {id} is missing"));
                let mut object = object.ok_or_else(|| missing().coded("missing"))?;
                self.meter.pass(object.len() as u64).await;
                let (id, keys, wanted) = (*id, self.keys.clone(), manifest.chunk_bytes(index));
                let mut given = hasher;
                let (opened, back) = blocking(move || {
                    let named = |bad| refused(format!("piece {id}"), bad);
                    let data = chunk::open(&mut object, &id, &keys).map_err(named)?;
                    if data.len() as u64 != wanted {
                        return Err(named(photosync_protocol::format::Bad::BadContents));
                    }
                    given.update(data);
                    Ok((data.to_vec(), given))
                })
                .await?;
                hasher = back;
                file.write_all(&opened).await.map_err(failed)?;
                flight.advance(opened.len() as u64);
            }
            file.flush().await.map_err(failed)?;
            if Digest(hasher.finalize().into()) == manifest.digest {
                return Ok(());
            }
            flight.move_to(0);
        }
        let text = format!("{} is not what it was when it was sealed", manifest.name);
        Err(Error::new(ErrorKind::File, text).coded("damaged"))
    }
}

/// Hashes the whole chunks that a partial file holds, cuts off the rest, and stands behind them.
async fn hash_whole_chunks(
    file: &mut tokio::fs::File,
    manifest: &Manifest,
    hasher: &mut sha2::Sha256,
) -> std::io::Result<usize> {
    let length = file.metadata().await?.len().min(manifest.size_bytes);
    let whole = length / chunk::CHUNK_BYTES as u64;
    let bytes = whole * chunk::CHUNK_BYTES as u64;
    let mut piece = vec![0; 256 * 1024];
    let mut left = bytes;
    while left > 0 {
        let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut piece[..most]).await?;
        hasher.update(&piece[..most]);
        left -= most as u64;
    }
    file.set_len(bytes).await?;
    Ok(usize::try_from(whole).unwrap_or(usize::MAX))
}

/// Two names of the same bytes are received at once: each has a partial file of its own.
fn name_digest(row: &AssetRow) -> [u8; 32] {
    sha2::Sha256::digest(row.id.as_bytes()).into()
}
