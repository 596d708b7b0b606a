//! Files with equal bytes in the person's own folders: which they are, and moving all but the oldest to the trash.
//!
//! Only files whose bytes the server has verified are ever moved, and each is read once more right before.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::Safety;

use crate::backup::{Sidecars, blocking, hash_file, open_cache};
use crate::connection::Connection;
use crate::error::{Error, Kind, Result};
use crate::meter::Meter;
use crate::profile::Profile;
use crate::report::{Event, Report};
use crate::scan::{self, Found, Rules};
use crate::verify;
use tokio_util::sync::CancellationToken;

/// Files with equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The one that stays: taken first, if sidecars say so of all; else the one changed longest ago; of these, the one
    /// with the shortest path.
    pub oldest: Found,
    /// The others.
    pub others: Vec<Found>,
}

impl Group {
    /// Bytes that the others take.
    pub fn spare_bytes(&self) -> u64 {
        self.others.iter().map(|file| file.size_bytes).sum()
    }
}

/// Finds groups of equal files, those that take most first. Only files that share their length with another are read,
/// and those not again that the cache knows. Names what cannot be read.
pub async fn find(
    profile: &Profile,
    paths: Vec<PathBuf>,
    rules: Rules,
    report: Arc<dyn Report>,
    stop: CancellationToken,
) -> Result<Vec<Group>> {
    let cache = open_cache(profile).await?;
    blocking(move || {
        let mut by_length: HashMap<u64, Vec<Found>> = HashMap::new();
        for root in scan::roots(&paths)? {
            let walk = scan::walk(&root, &rules, &stop, &mut |files, bytes| {
                report.event(&Event::Scanning { files, bytes });
            })?;
            for (path, error) in &walk.unreadable {
                name_unreadable(report.as_ref(), path, error);
            }
            for file in walk.files {
                by_length.entry(file.size_bytes).or_default().push(file);
            }
        }
        by_length.retain(|_, files| files.len() > 1);
        let meter = Meter::new(None);
        for (length, files) in &by_length {
            meter.expect(files.len() as u64, length * files.len() as u64);
        }
        let mut by_digest: HashMap<Digest, Vec<Found>> = HashMap::new();
        for file in by_length.into_values().flatten() {
            let known = cache.find_digest(&file)?;
            let digest = match known.map_or_else(|| hash_file(&file.path, &stop), Ok) {
                Ok(digest) => digest,
                Err(error) if error.kind == Kind::File => {
                    name_unreadable(report.as_ref(), &file.path, &error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            meter.finish(file.size_bytes);
            report.event(&Event::Progress(meter.progress()));
            by_digest.entry(digest).or_default().push(file);
        }
        let sidecars = Sidecars::default();
        let grouped = |(digest, files)| group(digest, files, &sidecars);
        let mut groups: Vec<Group> = by_digest.into_iter().filter_map(grouped).collect();
        groups.sort_by(|a, b| {
            b.spare_bytes().cmp(&a.spare_bytes()).then_with(|| a.oldest.path.cmp(&b.oldest.path))
        });
        Ok(groups)
    })
    .await
}

fn name_unreadable(report: &dyn Report, path: &std::path::Path, error: &Error) {
    let path = path.to_string_lossy().into_owned();
    report.event(&Event::FileFailed { path, code: error.code, reason: error.message.clone() });
}

/// `None` if fewer than two different files are left: one file under two names (a hard link) takes no room twice.
fn group(digest: Digest, files: Vec<Found>, sidecars: &Sidecars) -> Option<Group> {
    let mut files: Vec<(Option<String>, Found)> =
        files.into_iter().map(|file| (taken_at(sidecars, &file), file)).collect();
    // Equal bytes have one capture time inside; only sidecars can differ. A time that is known of some says nothing
    // about the others, and comparing some by it would have no order.
    let all_are_known = files.iter().all(|(taken, _)| taken.is_some());
    files.sort_by(|(taken_a, a), (taken_b, b)| {
        let by_taken = if all_are_known { taken_a.cmp(taken_b) } else { Ordering::Equal };
        let length = |file: &Found| file.path.as_os_str().len();
        by_taken
            .then_with(|| a.mtime_ns.cmp(&b.mtime_ns))
            .then_with(|| length(a).cmp(&length(b)))
            .then_with(|| a.path.cmp(&b.path))
    });
    let mut files = files.into_iter().map(|(_, file)| file);
    let oldest = files.next()?;
    let others: Vec<Found> =
        files.filter(|file| file.inode == 0 || file.inode != oldest.inode).collect();
    (!others.is_empty()).then_some(Group { digest, oldest, others })
}

/// When a sidecar beside the file says that it was taken, as a text that sorts by time.
fn taken_at(sidecars: &Sidecars, file: &Found) -> Option<String> {
    let captured = sidecars.claims(&[], file).captured?;
    // Sidecars know the instant; a wall clock without offset could not be compared.
    (captured.offset_minutes == Some(0)).then_some(captured.local)
}

/// Of these groups the ones whose bytes the server has verified, by genuine receipts.
pub async fn verified(connection: &Connection, groups: Vec<Group>) -> Result<Vec<Group>> {
    let credentials = connection.credentials().await?;
    let mut safe = Vec::new();
    for part in groups.chunks(1000) {
        let digests: Vec<Digest> = part.iter().map(|group| group.digest).collect();
        let (answers, _) = verify::ask(connection, &digests).await?;
        for (group, answer) in part.iter().zip(answers) {
            let genuine = answer.receipt.as_ref().is_some_and(|receipt| {
                let (key, account) = (&credentials.fingerprint, &credentials.account_uuid);
                verify::is_genuine(receipt, key, account, &group.digest)
            });
            if genuine && answer.state >= Safety::Verified && answer.digest == group.digest {
                safe.push(group.clone());
            }
        }
    }
    Ok(safe)
}

/// Moves the others of a group away by `to_trash`, if they and the oldest still have these bytes. Answers how many.
/// Blocks.
pub fn clean(
    group: &Group,
    stop: &CancellationToken,
    to_trash: &dyn Fn(&std::path::Path) -> Result<()>,
) -> Result<u64> {
    let has_these = |file: &Found| Ok::<_, Error>(hash_file(&file.path, stop)? == group.digest);
    if !has_these(&group.oldest)? {
        return Ok(0);
    }
    let mut moved = 0;
    for file in &group.others {
        if has_these(file)? {
            to_trash(&file.path)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Moves a file to the trash of the desktop.
pub fn system_trash(path: &std::path::Path) -> Result<()> {
    trash::delete(path)
        .map_err(|cause| Error::file("move to the trash", path, &cause).coded("trash"))
}
