//! Making a generation: what has not changed is linked, everything else is copied, and every row gets its file.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::generations::{self, Generation, LOCK, MARKER, PARTIAL, REMOVING};
use super::{Made, VOLUME, remove_file_if_there, remove_tree_if_there};
use crate::blobs::{Key, LocalStore, STAGING, create_private_dir, sync_dir, write_durably};
use crate::clock::iso_utc;
use crate::config::Config;
use crate::error::{Error, Result};

/// Bytes compared at once.
const COMPARE_BYTES: usize = 256 * 1024;

/// A generation on its way.
pub(super) struct Copying {
    target: PathBuf,
    pub(super) partial: PathBuf,
    /// The generation before.
    previous: Option<PathBuf>,
    /// Folders, and where they are in a generation.
    trees: Vec<(PathBuf, &'static str)>,
    originals: PathBuf,
    /// When it is made: later than every other, also if the clock was set back.
    made_at_ms: i64,
    /// Whether it goes on with one that broke off.
    is_resumed: bool,
    /// Whether another tree was copied to the place of the one that is being copied.
    is_second: bool,
    files: u64,
    bytes: u64,
    copied_bytes: u64,
    missing: Vec<String>,
    _lock: File,
}

impl Copying {
    pub(super) fn begin(
        target: &Path,
        trees: Vec<(PathBuf, &'static str)>,
        config: &Config,
        now_ms: i64,
    ) -> io::Result<Self> {
        // Looked at before it is made: a refusal leaves nothing behind.
        let there = target.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
        let target = match there {
            Some((above, real)) => real.join(target.strip_prefix(above).unwrap_or(target)),
            None => target.to_owned(),
        };
        let mut own: Vec<&Path> = trees.iter().map(|(root, _)| root.as_path()).collect();
        own.push(&config.data_dir);
        for root in own {
            let Ok(root) = root.canonicalize() else { continue };
            if target.starts_with(&root) || root.starts_with(&target) {
                let message = format!(
                    "{} and {} lie in each other; a backup needs a folder of its own, best on another disk",
                    target.display(),
                    root.display()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        create_private_dir(&target)?;
        let lock = generations::lock(&target)?;
        remove_tree_if_there(&target.join(REMOVING))?;
        let partial = target.join(PARTIAL);
        let is_resumed = partial.exists();
        create_private_dir(&partial)?;
        let previous = generations::list(&target)?.pop();
        let made_at_ms = match &previous {
            Some(previous) => now_ms.max(generations::read_marker(previous)?.made_at_ms + 1),
            None => now_ms,
        };
        let originals = config.uploads.clone();
        let (files, bytes, copied_bytes, missing) = (0, 0, 0, Vec::new());
        Ok(Self {
            target,
            partial,
            previous,
            trees,
            originals,
            made_at_ms,
            is_resumed,
            is_second: false,
            files,
            bytes,
            copied_bytes,
            missing,
            _lock: lock,
        })
    }

    pub(super) fn copy_trees(mut self) -> io::Result<Self> {
        if self.is_resumed {
            // What is gone by now must not come back with a restore.
            for place in ["uploads", "relay", "secrets"] {
                self.prune(Path::new(place))?;
            }
        }
        for (index, (root, top)) in self.trees.clone().into_iter().enumerate() {
            // Of two roots that become one, the mark of the first counts.
            self.is_second = self.trees[..index].iter().any(|(_, before)| *before == top);
            self.copy_tree(&root, Path::new(top))?;
        }
        Ok(self)
    }

    /// Removes what a backup that broke off left of files that the server does not have any more.
    fn prune(&self, place: &Path) -> io::Result<()> {
        let Ok(entries) = std::fs::read_dir(self.partial.join(place)) else { return Ok(()) };
        for entry in entries {
            let entry = entry?;
            let place = place.join(entry.file_name());
            let is_live = self.trees.iter().any(|(root, top)| {
                place
                    .strip_prefix(top)
                    .is_ok_and(|below| root.join(below).symlink_metadata().is_ok())
            });
            match (entry.file_type()?.is_dir(), is_live) {
                (true, true) => self.prune(&place)?,
                (true, false) => std::fs::remove_dir_all(entry.path())?,
                (false, true) => {}
                (false, false) => std::fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }

    fn copy_tree(&mut self, folder: &Path, place: &Path) -> io::Result<()> {
        create_private_dir(&self.partial.join(place))?;
        let entries = match std::fs::read_dir(folder) {
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name == STAGING || name == LOCK {
                continue;
            }
            let (from, place) = (entry.path(), place.join(&name));
            if self.is_second && name == VOLUME {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.copy_tree(&from, &place)?,
                Ok(kind) if kind.is_file() => self.copy(&from, &place)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Sees to it that the copy has a file of this length in one of these places: from the server, otherwise from the
    /// generation before. `name` stands in [`Made::missing`] if the server does not have it.
    pub(super) fn require(
        &mut self,
        live: &LocalStore,
        top: &str,
        keys: &[Key],
        size_bytes: i64,
        name: String,
    ) -> Result<()> {
        let failed = |source| Error::internal("complete a backup").caused_by(source);
        let places: Vec<PathBuf> =
            keys.iter().map(|key| Path::new(top).join(key.relative())).collect();
        let is_whole = |root: &Path, place: &Path| {
            root.join(place)
                .symlink_metadata()
                .is_ok_and(|found| found.is_file() && i64::try_from(found.len()) == Ok(size_bytes))
        };
        if places.iter().any(|place| is_whole(&self.partial, place)) {
            return Ok(());
        }
        for (key, place) in keys.iter().zip(&places) {
            if live.find_size_here(key)?.and_then(|size| i64::try_from(size).ok())
                == Some(size_bytes)
            {
                let folder = self.partial.join(place);
                create_private_dir(folder.parent().unwrap_or(&folder)).map_err(failed)?;
                self.copy(&live.path(key), place).map_err(failed)?;
                if is_whole(&self.partial, place) {
                    return Ok(());
                }
            }
        }
        let previous = self.previous.clone();
        let known = previous.and_then(|previous| {
            let place = places.iter().find(|place| is_whole(&previous, place))?;
            Some((previous.join(place), self.partial.join(place)))
        });
        let Some((from, to)) = known else {
            self.missing.push(name);
            return Ok(());
        };
        create_private_dir(to.parent().unwrap_or(&to)).map_err(failed)?;
        remove_file_if_there(&to).map_err(failed)?;
        let linked = std::fs::hard_link(&from, &to);
        let copied = linked.or_else(|_| copy_file(&from, &to, &from.symlink_metadata()?));
        copied.map_err(failed)?;
        self.missing.push(format!("{name}, kept from the backup before"));
        Ok(())
    }

    /// Copies one file, or links the same one of the generation before. One that is gone meanwhile is left to
    /// [`super::complete`], and so is one that the disk does not give: that must not end the backup of all others.
    pub(super) fn copy(&mut self, from: &Path, place: &Path) -> io::Result<()> {
        let metadata = match from.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let to = self.partial.join(place);
        let is_there = self.is_resumed && is_same(&to, &metadata) && has_same_bytes(&to, from);
        if !is_there {
            remove_file_if_there(&to)?;
            let previous = self.previous.as_ref().map(|previous| previous.join(place));
            let known = previous.filter(|previous| is_same(previous, &metadata));
            let linked = known.map(|one| std::fs::hard_link(one, &to));
            // Without links, or with too many of them, it is a copy.
            if !matches!(linked, Some(Ok(()))) {
                if let Err(error) = copy_file(from, &to, &metadata) {
                    remove_file_if_there(&to)?;
                    if can_be_read(from) {
                        return Err(error);
                    }
                    tracing::warn!(file = %from.display(), %error, "a file could not be read for the backup");
                    return Ok(());
                }
                self.copied_bytes += metadata.len();
            }
        }
        self.files += 1;
        self.bytes += metadata.len();
        Ok(())
    }

    pub(super) fn end(self, keep: Option<usize>) -> io::Result<Made> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (made_at_ms, files, bytes) = (self.made_at_ms, self.files, self.bytes);
        let generation = Generation { version, made_at_ms, files, bytes };
        sync_tree(&self.partial)?;
        let text = serde_json::to_vec_pretty(&generation)?;
        write_durably(&self.partial.join(MARKER), &text)?;
        // Colons are not for every file system.
        let name: String = iso_utc(made_at_ms).replace([':', '.'], "-");
        let folder = self.target.join(name);
        std::fs::rename(&self.partial, &folder)?;
        sync_dir(&self.target)?;
        let mut removed = 0;
        let all = generations::list(&self.target)?;
        // An older one may be all there is of what is missing now.
        let keep = keep.filter(|_| self.missing.is_empty()).unwrap_or(all.len()).max(1);
        for old in all.iter().take(all.len().saturating_sub(keep)) {
            // Under this name the next backup goes on with it, however far it comes now.
            let removing = self.target.join(REMOVING);
            std::fs::rename(old, &removing)?;
            std::fs::remove_dir_all(&removing)?;
            removed += 1;
        }
        let is_same_disk = is_same_disk(&folder, &self.originals);
        let (copied_bytes, missing) = (self.copied_bytes, self.missing);
        Ok(Made { folder, generation, copied_bytes, missing, removed, is_same_disk })
    }
}

/// Copies bytes, permissions and the time of the last change; the file system shares the bytes where it can.
pub(super) fn copy_file(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    std::fs::copy(from, to)?;
    let file = File::options().write(true).open(to)?;
    file.set_modified(metadata.modified()?)?;
    // Elsewhere all of it is made durable at once.
    if cfg!(not(target_os = "linux")) { file.sync_all() } else { Ok(()) }
}

/// Whether a file has this length and time of last change.
fn is_same(path: &Path, wanted: &Metadata) -> bool {
    path.symlink_metadata().is_ok_and(|found| {
        found.is_file()
            && found.len() == wanted.len()
            && matches!((found.modified(), wanted.modified()), (Ok(one), Ok(other)) if one == other)
    })
}

/// A copy that a broken-off backup left may have lost its bytes in a power cut.
fn has_same_bytes(one: &Path, other: &Path) -> bool {
    compare(one, other).unwrap_or(false)
}

/// Whether the system gives all of a file's bytes.
fn can_be_read(path: &Path) -> bool {
    File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink())).is_ok()
}

fn compare(one: &Path, other: &Path) -> io::Result<bool> {
    let mut files = [File::open(one)?, File::open(other)?];
    let mut buffers = [vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]];
    loop {
        let mut lengths = [0; 2];
        for index in 0..2 {
            let buffer = &mut buffers[index];
            let mut whole = files[index].by_ref().take(buffer.len() as u64);
            while lengths[index] < buffer.len() {
                match whole.read(&mut buffer[lengths[index]..])? {
                    0 => break,
                    read => lengths[index] += read,
                }
            }
        }
        if lengths[0] != lengths[1] || buffers[0][..lengths[0]] != buffers[1][..lengths[1]] {
            return Ok(false);
        }
        if lengths[0] == 0 {
            return Ok(true);
        }
    }
}

/// Makes everything below a folder durable.
#[cfg(target_os = "linux")]
pub(super) fn sync_tree(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// Makes everything below a folder durable: its files are already.
#[cfg(not(target_os = "linux"))]
pub(super) fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(folder)
}

#[cfg(unix)]
fn is_same_disk(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    matches!((one.metadata(), other.metadata()), (Ok(one), Ok(other)) if one.dev() == other.dev())
}

#[cfg(not(unix))]
fn is_same_disk(_one: &Path, _other: &Path) -> bool {
    false
}
