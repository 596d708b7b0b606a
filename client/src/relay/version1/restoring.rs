//! Restoring a version 1 backup: as with every restore nothing is overwritten, names stay inside the folder, and a file
//! appears when it is whole. What cannot be whole is named with the piece that is at fault.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use photosync_protocol::crypto::Key;
use photosync_protocol::digest::Digest;
use photosync_protocol::format::Bad;
use photosync_protocol::format::object::id_of;
use photosync_protocol::format::v1::{FileKeys, Manifest, open_chunk};
use photosync_protocol::v2::AssetRow;
use photosync_protocol::v2::claims::Claims;
use sha2::Digest as _;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Listed, Source, wrong_secret};
use crate::backup::blocking;
use crate::error::{Error, Kind, Result};
use crate::meter::Meter;
use crate::relay::{io, refused};
use crate::report::{Event, Report, RestoreSummary};
use crate::restore::Options;
use crate::restore::placing::{self, Target};
use crate::restore::planning::Plan;
use crate::restore::side_by_side::{Done, ended_unexpectedly, restore_all};

/// A file to restore.
struct Planned {
    row: AssetRow,
    /// Whether `row.digest` is that of the file; some clients did not write it down.
    is_hashed: bool,
    target: Target,
    manifest: Manifest,
    keys: FileKeys,
}

struct Work {
    source: Arc<Source>,
    plan: Plan,
    folder: PathBuf,
    meter: Meter,
    /// Held while a name is chosen and taken.
    naming: Mutex<()>,
    stop: CancellationToken,
}

/// Restores everything that one of the keys opens. The summary is reported also when the run ends early, before the error
/// is answered.
pub async fn restore(
    source: Source,
    keys: &[Key],
    options: &Options,
    report: &Arc<dyn Report>,
    stop: &CancellationToken,
) -> Result<RestoreSummary> {
    let (source, parallel) = (Arc::new(source), options.parallel.max(1));
    let (files, closed) = open_all(&source, keys, parallel, stop).await?;
    let mut summary = RestoreSummary::default();
    for (one, Error { code, message: reason, .. }) in closed {
        summary.files += 1;
        summary.failed_files += 1;
        report.event(&Event::FileFailed { path: format!("photo {}", one.shown()), code, reason });
    }
    let folder = options.folder.clone();
    let folder = blocking(move || {
        let made = std::fs::create_dir_all(&folder).and_then(|()| std::fs::canonicalize(&folder));
        io("make the folder", &folder, made)
    })
    .await?;
    let mut plan = Plan::default();
    files.iter().for_each(|file| plan.add(&file.row));
    let (meter, naming) = (Meter::new(options.limit), Mutex::default());
    let work = Arc::new(Work { source, plan, folder, meter, naming, stop: stop.clone() });
    work.meter.expect(work.plan.files, work.plan.bytes);
    summary.files += work.plan.files;
    let (ticking, told) = (work.clone(), report.clone());
    let ticking = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            told.event(&Event::Progress(ticking.meter.progress()));
        }
    });
    let one = |file: Planned| {
        let work = work.clone();
        async move {
            let how = work.restore_one(&file).await;
            Done { path: file.target.path, bytes: file.row.size_bytes, how }
        }
    };
    let files = files.into_iter().map(one);
    let ended = restore_all(files, parallel, &work.meter, report.as_ref(), &mut summary).await;
    ticking.abort();
    summary.elapsed_ms = work.meter.elapsed_ms();
    summary.received_bytes = work.meter.wire_bytes();
    report.event(&Event::Progress(work.meter.progress()));
    report.event(&Event::RestoreDone(summary.clone()));
    ended.map(|()| summary)
}

/// Opens every manifest; those that do not open are the second answer, with the reason. If none does, the password is the wrong
/// one, unless none could be read at all.
async fn open_all(
    source: &Arc<Source>,
    keys: &[Key],
    parallel: usize,
    stop: &CancellationToken,
) -> Result<(Vec<Planned>, Vec<(Listed, Error)>)> {
    let mut listed = source.list().await?.into_iter();
    let mut reading: JoinSet<(Listed, Result<Option<String>>)> = JoinSet::new();
    let (mut files, mut closed) = (Vec::new(), Vec::new());
    loop {
        while reading.len() < parallel {
            let Some(one) = listed.next() else { break };
            let source = source.clone();
            reading.spawn(async move {
                let sealed = source.manifest(&one).await;
                (one, sealed)
            });
        }
        if stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        let Some(read) = reading.join_next().await else { break };
        let (one, sealed) = read.map_err(ended_unexpectedly)?;
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) if error.kind == Kind::File => {
                closed.push((one, error));
                continue;
            }
            Err(error) => return Err(error),
        };
        // Other files of the same ending may lie in a folder.
        let Some(sealed) = sealed else { continue };
        match open_one(&one, &sealed, keys) {
            Ok(file) => files.extend(file),
            Err(bad) => closed.push((one, does_not_open(bad))),
        }
    }
    if files.is_empty() && closed.is_empty() {
        let text = format!("there is no version 1 backup in {}", source.shown());
        return Err(Error::new(Kind::Usage, text).coded("nothing").hint(
            "a sealed backup of this program is restored without --v1; a folder is named with --dir",
        ));
    }
    if files.is_empty() {
        let refused = closed.iter().filter(|(_, error)| error.code == DAMAGED).count();
        let unreadable = closed.into_iter().next().filter(|_| refused == 0);
        return Err(unreadable.map_or_else(|| wrong_secret(refused, source), |(_, error)| error));
    }
    files.sort_by(|a, b| {
        (&a.target.path, a.row.digest, &a.row.id).cmp(&(&b.target.path, b.row.digest, &b.row.id))
    });
    files.dedup_by(|a, b| a.target.path == b.target.path && a.row.digest == b.row.digest);
    Ok((files, closed))
}

/// Code of a manifest that no key opens.
const DAMAGED: &str = "damaged";

fn does_not_open(bad: Bad) -> Error {
    let why = match bad {
        Bad::Forged => "it is damaged, or was sealed with another password or by a phone",
        _ => "it is damaged",
    };
    Error::new(Kind::File, format!("its manifest: {why}")).coded(DAMAGED)
}

fn open_one(one: &Listed, sealed: &str, keys: &[Key]) -> std::result::Result<Vec<Planned>, Bad> {
    let mut bad = Bad::Forged;
    for key in keys {
        match Manifest::open(sealed, key) {
            Ok(manifest) => {
                let keys = manifest.file_keys(key)?;
                return Ok(planned(&one.shown(), &manifest, &keys));
            }
            Err(cause) => bad = cause,
        }
    }
    Err(bad)
}

/// As the library lists it, so that files are named by the same rules. Version 1 knows no folders.
fn planned(id: &str, manifest: &Manifest, keys: &FileKeys) -> Vec<Planned> {
    let named = manifest.filename.clone().filter(|name| !name.trim().is_empty());
    #[expect(clippy::cast_possible_truncation, reason = "out of range is the nearest there is")]
    let modified_ms = manifest.creation_time.filter(|ms| ms.is_finite()).map(|ms| ms as i64);
    let row = AssetRow {
        id: id.to_owned(),
        digest: manifest.file_hash.unwrap_or_else(|| id_of(id.as_bytes())),
        size_bytes: manifest.chunk_sizes.iter().sum(),
        name: named.unwrap_or_else(|| format!("photo {}", id.chars().take(8).collect::<String>())),
        media_type: String::new(),
        arrived_at_ms: 0,
        verified_at_ms: None,
        claims: Claims { modified_ms, ..Claims::default() },
    };
    let one = |target| Planned {
        row: row.clone(),
        is_hashed: manifest.file_hash.is_some(),
        target,
        manifest: manifest.clone(),
        keys: keys.clone(),
    };
    placing::targets(&row).into_iter().map(one).collect()
}

impl Work {
    /// `present` if it was there, `restored` if it is there now.
    async fn restore_one(self: &Arc<Self>, file: &Planned) -> Result<&'static str> {
        if file.is_hashed && self.is_present(file, file.row.digest).await? {
            return Ok("present");
        }
        let folder = self.folder.join(file.target.path.parent().unwrap_or(Path::new("")));
        let made = tokio::fs::create_dir_all(&folder).await;
        made.map_err(|cause| Error::file("make the folder", &folder, &cause).coded("unwritable"))?;
        let partial = placing::partial_path(&folder, &id_of(file.row.id.as_bytes()));
        let received = async {
            let digest = self.receive(file, &partial).await?;
            // Without a digest in the manifest only now is it known what to look for.
            Ok::<_, Error>(!file.is_hashed && self.is_present(file, digest).await?)
        };
        let received = received.await;
        if !matches!(received, Ok(false)) {
            let _ = tokio::fs::remove_file(&partial).await;
        }
        if received? {
            return Ok("present");
        }
        let naming = self.naming.lock().await;
        let (work, owner, target) = (self.clone(), file.row.digest, file.target.clone());
        let placed = blocking(move || {
            let names = work.plan.names(&work.folder, &target, &owner);
            placing::place_first(&partial, names, target.modified_ms)
        })
        .await;
        drop(naming);
        placed.map(|_| "restored")
    }

    /// Whether a file with these bytes is there under one of its names.
    async fn is_present(self: &Arc<Self>, file: &Planned, digest: Digest) -> Result<bool> {
        let (work, target, owner) = (self.clone(), file.target.clone(), file.row.digest);
        let row = AssetRow { digest, ..file.row.clone() };
        let found = blocking(move || {
            let names = work.plan.names(&work.folder, &target, &owner);
            placing::find_present(names, &row, &work.stop)
        });
        found.await.map(|found| found.is_some())
    }

    /// Makes `partial` hold exactly the file's bytes; their digest.
    async fn receive(&self, file: &Planned, partial: &Path) -> Result<Digest> {
        let (manifest, name) = (&file.manifest, &file.row.name);
        let flight = self.meter.flight(name);
        let failed =
            |cause: std::io::Error| Error::file("write", partial, &cause).coded("unwritable");
        let mut hasher = sha2::Sha256::new();
        let mut written = tokio::fs::File::create(partial).await.map_err(failed)?;
        for ((index, id), wanted) in (0u64..).zip(&manifest.chunk_ids).zip(&manifest.chunk_sizes) {
            if self.stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            let missing = || Error::new(Kind::File, format!("piece {id} is missing"));
            let boxed = self.source.chunk(id).await?.ok_or_else(|| missing().coded("missing"))?;
            self.meter.pass(boxed.len() as u64).await;
            let (keys, id, wanted) = (file.keys.clone(), *id, *wanted);
            let (data, back) = blocking(move || {
                let named = |bad| refused(format!("piece {id}"), bad);
                let opened = open_chunk(&boxed, &id, &keys.key, &keys.base, index);
                let data = opened.map_err(named)?;
                if data.len() as u64 != wanted {
                    return Err(named(Bad::BadContents));
                }
                hasher.update(&data);
                Ok((data, hasher))
            })
            .await?;
            hasher = back;
            written.write_all(&data).await.map_err(failed)?;
            flight.advance(data.len() as u64);
        }
        written.flush().await.map_err(failed)?;
        let digest = Digest(hasher.finalize().into());
        if manifest.file_hash.is_some_and(|wanted| wanted != digest) {
            let text = format!("{name} is not what it was when it was sealed");
            return Err(Error::new(Kind::File, text).coded("damaged"));
        }
        Ok(digest)
    }
}
