//! The storage roots: the right disks, room on them, and what every upload needs of them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use photosync_protocol::findings::{Finding, size_for_people};

use super::data::quoted;
use super::index::Index;
use crate::blobs::volume::{self, VolumeError};
use crate::blobs::{free_bytes, probe};
use crate::boot;
use crate::config::Config;

/// With less room than this above the reserve, uploads may soon be refused: 1 GiB, some hundred photos.
const LITTLE_BYTES: u64 = 1 << 30;
/// A disk that takes longer to make 4 KiB durable holds every upload up: a second; a slow hard disk needs some 50 ms.
const SLOW_MS: u64 = 1_000;

pub(super) fn look(config: &Config, index: Option<&Index>) -> Vec<Finding> {
    let roots = boot::roots(config);
    let (there, mut findings) = volumes(&roots, index);
    let mut disks_seen = Vec::new();
    for root in &there {
        let disk = disk_of(root);
        // Folders of one disk share its room.
        if disk.is_none() || !disks_seen.contains(&disk) {
            disks_seen.push(disk);
            findings.extend(space(root, config.reserve_bytes));
        }
    }
    findings.extend(disks(&there));
    findings
}

/// Whether each root is the one that the database knows; answers those that can be looked at further, of which several
/// may lie on one disk.
fn volumes(roots: &BTreeMap<PathBuf, &str>, index: Option<&Index>) -> (Vec<PathBuf>, Vec<Finding>) {
    const CHECK: &str = "volumes";
    let (mut there, mut findings, mut fresh) = (Vec::new(), Vec::new(), 0);
    for (root, role) in roots {
        let known = index.and_then(|index| index.volumes.get(*role));
        let found = volume::find_id(root);
        let shown = root.display();
        match (found, known) {
            (Ok(Some(found)), Some(known)) if found != *known => {
                let seen = VolumeError::Other(root.clone()).to_string();
                let fix = "mount the disk that belongs there, or correct the setting in storage.*";
                findings.push(Finding::broken(CHECK, seen, fix));
            }
            (Ok(None), Some(_)) => {
                let seen = match root.exists() {
                    true => {
                        format!("{shown} is not the storage of this server: it has no volume.json")
                    }
                    false => format!("{shown} is not there"),
                };
                let fix = "is its disk mounted? `findmnt` shows what is; nothing is written there until it is the right one";
                findings.push(Finding::broken(CHECK, seen, fix));
            }
            (Ok(Some(_)), _) => there.push(root.clone()),
            (Ok(None), None) if root.exists() => {
                fresh += 1;
                there.push(root.clone());
            }
            // The first start makes it.
            (Ok(None), None) => fresh += 1,
            (Err(error), _) => {
                let fix =
                    format!("its owner must be the account of the server: ls -ld {}", quoted(root));
                findings.push(Finding::broken(CHECK, error.to_string(), fix));
            }
        }
    }
    if findings.is_empty() {
        let seen = match (fresh, index) {
            (0, Some(_)) => "every storage folder is the one that the database knows",
            (0, None) => {
                "every storage folder is marked; the database could not be asked which belong to it"
            }
            _ => "not every storage folder was used before; the first start marks them",
        };
        findings.push(Finding::fine(CHECK, seen));
    }
    (there, findings)
}

/// Which disk a folder lies on; `None` where the system does not tell.
#[cfg(unix)]
fn disk_of(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).ok().map(|metadata| metadata.dev())
}

#[cfg(not(unix))]
fn disk_of(_folder: &Path) -> Option<u64> {
    None
}

/// Room for what arrives. `None` where the system does not tell.
fn space(root: &Path, reserve_bytes: u64) -> Option<Finding> {
    const CHECK: &str = "space";
    let shown = root.display();
    let free = free_bytes(root).ok()?;
    let reserve = size_for_people(reserve_bytes);
    let fix = "make room on that disk, or move the folder to a larger one; deleted photos leave the disk only when \
               storage.trash_days are over";
    if has_no_names_left(root) {
        let seen = format!(
            "the disk of {shown} takes no more files, whatever their size: no inode is free"
        );
        return Some(Finding::broken(CHECK, seen, fix));
    }
    let seen = format!("{} free for {shown}", size_for_people(free));
    Some(match free.checked_sub(reserve_bytes) {
        None => {
            let seen = format!("only {seen}; uploads are refused, for {reserve} are kept free");
            Finding::broken(CHECK, seen, fix)
        }
        Some(room) if room < LITTLE_BYTES => {
            let seen = format!("only {seen}; the last {reserve} of it are kept free");
            Finding::warning(CHECK, seen, fix)
        }
        Some(_) => Finding::fine(CHECK, seen),
    })
}

#[cfg(unix)]
fn has_no_names_left(root: &Path) -> bool {
    // File systems that make inodes as they need them say 0 of 0.
    rustix::fs::statvfs(root).is_ok_and(|stat| stat.f_files > 0 && stat.f_favail == 0)
}

#[cfg(not(unix))]
fn has_no_names_left(_root: &Path) -> bool {
    false
}

/// Tries each root; one finding for all that can be used.
fn disks(roots: &[PathBuf]) -> Vec<Finding> {
    const CHECK: &str = "disk";
    let (mut findings, mut slowest_ms, mut usable) = (Vec::new(), 0, 0);
    for root in roots {
        let shown = root.display();
        match probe(root) {
            Ok(probe) if !probe.never_replaces => {
                let seen = format!("on the file system of {shown} a rename replaces what is there");
                let fix = "originals must not lie there: move the folder to ext4, XFS, Btrfs, ZFS, APFS or NTFS";
                findings.push(Finding::broken(CHECK, seen, fix));
            }
            Ok(probe) if probe.sync_ms >= SLOW_MS => {
                let seen = format!(
                    "{shown} needs {} ms until 4 KiB are durable, and every upload waits for that",
                    probe.sync_ms
                );
                let fix =
                    "is the disk busy, failing (smartctl -a), or at the other end of a network?";
                findings.push(Finding::warning(CHECK, seen, fix));
            }
            Ok(probe) => {
                usable += 1;
                slowest_ms = slowest_ms.max(probe.sync_ms);
            }
            Err(error) => {
                let seen = format!("{shown} cannot be written to: {error}");
                findings.push(Finding::broken(CHECK, seen, way_out(&error, root)));
            }
        }
    }
    if usable > 0 {
        let took =
            if slowest_ms == 0 { "less than 1 ms".into() } else { format!("{slowest_ms} ms") };
        let seen = match usable {
            1 => format!("1 storage folder takes files, and makes them durable in {took}"),
            _ => format!(
                "{usable} storage folders take files, and make them durable in {took} or less"
            ),
        };
        findings.insert(
            0,
            Finding::fine(CHECK, seen.replace("in less than 1 ms or less", "in less than 1 ms")),
        );
    }
    findings
}

fn way_out(error: &io::Error, root: &Path) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("its owner must be the account of the server: ls -ld {}", quoted(root))
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the disk is mounted for reading only: after an error of the disk (`dmesg` shows it) or by /etc/fstab; \
             for a service, ReadWritePaths= must name it"
                .into()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on that disk".into(),
        _ => "look at the disk: `dmesg` and smartctl -a".into(),
    }
}
