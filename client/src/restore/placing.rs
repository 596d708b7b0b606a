//! Under which name a restored file appears, and how it gets there without replacing anything.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use photosync_protocol::digest::Digest;
use photosync_protocol::names::{numbered_name, stored_name};
use photosync_protocol::v2::AssetRow;
use photosync_protocol::v2::places::Place;
use sha2::Digest as _;
use tokio_util::sync::CancellationToken;

use crate::backup::PATH_PREFIX;
use crate::error::{Error, Result};

/// Numbers tried for a name before giving up.
pub const MAX_NUMBER: u64 = 10_000;

/// A file that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where, below the folder that is restored to; may get a number.
    pub path: PathBuf,
    /// Its time of change, Unix milliseconds, if it was told.
    pub modified_ms: Option<i64>,
}

/// Where an asset lay, as this device or another one told it: once for every place. Never empty.
pub fn targets(row: &AssetRow) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for place in row.claims.places() {
        let path = wanted_path(&row.name, &place);
        if !targets.iter().any(|known| known.path == path) {
            targets.push(Target { path, modified_ms: place.modified_ms });
        }
    }
    targets
}

fn wanted_path(listed_name: &str, place: &Place) -> PathBuf {
    let mut path = PathBuf::new();
    for part in place.folder.as_deref().unwrap_or_default().split('/') {
        path.extend(safe_part(part));
    }
    path.push(safe_part(name_of(listed_name, place)).unwrap_or_else(|| "_".into()));
    path
}

/// The name the file had, if the device told its path; the listed name otherwise, which may have got a number.
fn name_of<'a>(listed_name: &'a str, place: &'a Place) -> &'a str {
    let told = place.device_asset_id.as_deref().and_then(|id| id.strip_prefix(PATH_PREFIX));
    let folder = place.folder.as_deref().unwrap_or_default();
    let name = told.and_then(|path| match path.rsplit_once('/') {
        Some((above, name)) => (above == folder).then_some(name),
        None => folder.is_empty().then_some(path),
    });
    name.filter(|name| !name.is_empty()).unwrap_or(listed_name)
}

/// One part of a path that stays in its folder. `None` for nothing, `.` and `..`.
fn safe_part(part: &str) -> Option<String> {
    if matches!(part, "" | "." | "..") {
        return None;
    }
    // On Unix every other name is one; elsewhere, and where it is too long, the rule for disks decides.
    let is_one = cfg!(unix)
        && part.len() <= 255
        && !part.contains(['/', '\0'])
        && Path::new(part).components().all(|c| matches!(c, Component::Normal(_)));
    Some(if is_one { part.to_owned() } else { stored_name(part) })
}

/// Where the bytes of an asset gather until all are there. The same at the next run.
pub fn partial_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!(".photosync-{}.part", &digest.to_string()[..32]))
}

/// The same path with a number.
pub fn numbered(wanted: &Path, number: u64) -> PathBuf {
    let name = wanted.file_name().map(|name| name.to_string_lossy().into_owned());
    wanted.with_file_name(numbered_name(&name.unwrap_or_default(), number))
}

/// The file that has these bytes already, under the first of these names that has. Blocks.
pub fn find_present(
    names: impl Iterator<Item = (PathBuf, bool)>,
    row: &AssetRow,
    stop: &CancellationToken,
) -> Result<Option<PathBuf>> {
    for (path, may_be_written) in names {
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                if may_be_written {
                    return Ok(None);
                }
                continue;
            }
            Err(cause) => return Err(Error::file("look at", &path, &cause)),
        };
        if metadata.is_file() && metadata.len() == row.size_bytes {
            let failed = |cause: std::io::Error| Error::file("read", &path, &cause);
            if digest_of(&path, stop).map_err(failed)? == Some(row.digest) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// SHA-256 of a file; `None` if the run was stopped.
pub fn digest_of(path: &Path, stop: &CancellationToken) -> std::io::Result<Option<Digest>> {
    let mut file = File::open(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut piece = vec![0; 256 * 1024];
    loop {
        if stop.is_cancelled() {
            return Ok(None);
        }
        match file.read(&mut piece)? {
            0 => return Ok(Some(Digest(hasher.finalize().into()))),
            count => hasher.update(&piece[..count]),
        }
    }
}

/// Copies a restored file into a partial one, by reference where the file system can. What comes of it is hashed before
/// it gets a name. Blocks.
pub fn copy(source: &Path, partial: &Path) -> std::io::Result<()> {
    std::io::copy(&mut File::open(source)?, &mut File::create(partial)?).map(|_| ())
}

/// Gives a whole, hashed file the first of these names that is free and may be written. Blocks.
pub fn place_first(
    partial: &Path,
    names: impl Iterator<Item = (PathBuf, bool)>,
    modified_ms: Option<i64>,
) -> Result<PathBuf> {
    settle(partial, modified_ms)?;
    let target = name_first(partial, names)?;
    sync_folder(&target)?;
    Ok(target)
}

/// Gives a whole, hashed file a name that must be free; `false` if it is not. Blocks.
pub fn place(partial: &Path, target: &Path, modified_ms: Option<i64>) -> Result<bool> {
    settle(partial, modified_ms)?;
    if !name(partial, target)? {
        return Ok(false);
    }
    sync_folder(target)?;
    Ok(true)
}

/// Gives a whole, hashed file its time and makes it durable, so that it may get a name. Blocks.
pub fn settle(partial: &Path, modified_ms: Option<i64>) -> Result<()> {
    let failed = |cause: std::io::Error| unwritable(partial, &cause);
    let file = File::options().write(true).open(partial).map_err(failed)?;
    if let Some(time) = modified_ms.and_then(time_of) {
        file.set_modified(time).map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}

/// Gives a settled file the first of these names that is free and may be written. Whoever calls it at once with others
/// that want the same names sees to it that one comes after the other. Blocks.
pub fn name_first(partial: &Path, names: impl Iterator<Item = (PathBuf, bool)>) -> Result<PathBuf> {
    for (target, _) in names.filter(|(_, may_be_written)| *may_be_written) {
        if name(partial, &target)? {
            return Ok(target);
        }
    }
    Err(Error::file("name", partial, &"10,000 files have its name").coded("exists"))
}

/// Gives a settled file a name that must be free; `false` if it is not. Blocks.
fn name(partial: &Path, target: &Path) -> Result<bool> {
    let failed = |cause: std::io::Error| unwritable(target, &cause);
    // A link fails if the name is taken, a rename would replace what is there.
    match fs::hard_link(partial, target) {
        Ok(()) => fs::remove_file(partial).map_err(failed)?,
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => return Ok(false),
        // exFAT and the like have no links: this process is the only one that restores here.
        Err(_) if fs::symlink_metadata(target).is_ok() => return Ok(false),
        Err(_) => fs::rename(partial, target).map_err(failed)?,
    }
    Ok(true)
}

/// Makes the name of a file durable. Blocks.
pub fn sync_folder(target: &Path) -> Result<()> {
    let Some(folder) = target.parent() else { return Ok(()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    crate::durable::sync_folder(folder).map_err(|cause| unwritable(target, &cause))
}

fn unwritable(path: &Path, cause: &std::io::Error) -> Error {
    Error::file("write", path, cause).coded("unwritable")
}

fn time_of(unix_ms: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(unix_ms.unsigned_abs());
    if unix_ms < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use photosync_protocol::v2::claims::Claims;

    fn row(name: &str, folder: Option<&str>, id: Option<&str>) -> AssetRow {
        AssetRow {
            id: "1".into(),
            digest: Digest([1; 32]),
            size_bytes: 1,
            name: name.into(),
            media_type: "image/jpeg".into(),
            arrived_at_ms: 0,
            verified_at_ms: None,
            claims: Claims {
                folder: folder.map(Into::into),
                device_asset_id: id.map(Into::into),
                ..Claims::default()
            },
        }
    }

    #[test]
    fn a_file_comes_back_under_the_name_it_had_and_never_leaves_the_folder() {
        let of = |name, folder, id| {
            let targets = targets(&row(name, folder, id));
            targets[0].path.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
        };
        assert_eq!(of("a (2).jpg", Some("x/y"), Some("path:x/y/a.jpg")), "x/y/a.jpg");
        assert_eq!(of("a (2).jpg", None, Some("path:a.jpg")), "a.jpg");
        // Folder and path were told by different devices: the listed name is the safe one.
        assert_eq!(of("a (2).jpg", Some("z"), Some("path:x/a.jpg")), "z/a (2).jpg");
        assert_eq!(of("a.jpg", None, Some("A1B2/L0/001")), "a.jpg");
        assert_eq!(of("a.jpg", Some("../../etc//./x"), None), "etc/x/a.jpg");
        assert_eq!(of("..", Some("/"), None), "_");
        assert_eq!(of("a.jpg", Some(""), Some("path:..")), "_");
        let long = "é".repeat(400);
        let path = of(&long, None, None);
        assert!(path.len() <= 255 && path.starts_with('é'), "{path}");
    }

    #[test]
    fn every_place_is_a_target_once_with_its_own_time() {
        let mut row = row("a (3).jpg", Some("x"), Some("path:x/a.jpg"));
        row.claims.modified_ms = Some(1);
        let copy = |folder: Option<&str>, id: &str, ms| Place {
            folder: folder.map(Into::into),
            device_asset_id: Some(id.into()),
            modified_ms: Some(ms),
        };
        row.claims.copies = vec![
            copy(None, "path:b.jpg", 2),
            copy(Some("🏖/../y"), "path:🏖/../y/a.jpg", 3),
            copy(Some("x/."), "path:x/./a.jpg", 4),
            copy(Some("phone"), "A1/L0/001", 5),
        ];
        let targets = targets(&row);
        let told: Vec<_> =
            targets.iter().map(|t| (t.path.as_path(), t.modified_ms.unwrap())).collect();
        let expected = [("x/a.jpg", 1), ("b.jpg", 2), ("🏖/y/a.jpg", 3), ("phone/a (3).jpg", 5)];
        assert_eq!(told, expected.map(|(path, ms)| (Path::new(path), ms)));
    }

    #[test]
    fn what_is_there_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (partial, target) = (folder.path().join("p"), folder.path().join("a.jpg"));
        fs::write(&target, "mine").unwrap();
        fs::write(&partial, "restored").unwrap();
        assert!(!place(&partial, &target, None).unwrap());
        let names = [(target.clone(), true), (folder.path().join("a (2).jpg"), true)];
        let placed = place_first(&partial, names.into_iter(), Some(-1000)).unwrap();
        assert_eq!(placed, folder.path().join("a (2).jpg"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert_eq!(fs::read_to_string(&placed).unwrap(), "restored");
        assert!(fs::metadata(&placed).unwrap().modified().unwrap() < SystemTime::UNIX_EPOCH);
        assert!(!partial.exists());
    }
}
