//! Making a generation: what has not changed is linked, everything else is copied, and every row gets its file.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::generations::{self, COMPARE, Generation, LOCK, MARKER, PARTIAL, REMOVING, TRIAL};
use super::whole::has_row;
use super::{Made, VOLUME, at, remove_file_if_there, remove_tree_if_there};
use crate::blobs::{STAGING, create_private_dir, sync_dir, write_durably};
use crate::clock::iso_utc;
use crate::config::Config;

/// Bytes compared at once.
const COMPARE_BYTES: usize = 256 * 1024;
/// Two times of last change count as the same below this: NTFS and SMB keep tenths of a microsecond.
const SAME_TIME: Duration = Duration::from_nanos(100);
/// The same where the bytes are compared as well: FAT keeps every other second.
const NEAR_TIME: Duration = Duration::from_secs(2);

/// A generation on its way.
pub(super) struct Copying {
    target: PathBuf,
    pub(super) partial: PathBuf,
    /// The generations before, newest first.
    pub(super) older: Vec<PathBuf>,
    /// Folders, and where they are in a generation.
    trees: Vec<(PathBuf, &'static str)>,
    originals: PathBuf,
    /// When it is made: later than every other, also if the clock was set back.
    made_at_ms: i64,
    /// Whether it goes on with one that broke off.
    is_resumed: bool,
    /// Whether another tree was copied to the place of the one that is being copied.
    is_second: bool,
    /// Whether a trial found something wrong in the generations before.
    is_compared: bool,
    /// Copies that differ from the server's file although nothing says that it changed, by place: one of the two is damaged.
    /// Each with the server's file.
    pub(super) suspects: HashMap<PathBuf, PathBuf>,
    /// Places of what the server has, or had a moment ago, and does not give.
    pub(super) unread: BTreeSet<PathBuf>,
    files: u64,
    bytes: u64,
    pub(super) copied_bytes: u64,
    pub(super) missing: Vec<String>,
    /// Opened before anything is written, so that every failure of the disk from then on is heard of.
    #[cfg(target_os = "linux")]
    opened: File,
    _lock: File,
}

impl Copying {
    pub(super) fn begin(
        target: &Path,
        trees: Vec<(PathBuf, &'static str)>,
        config: &Config,
        server_id: &str,
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
        generations::is_own(&target, server_id)?;
        create_private_dir(&target)?;
        let lock = generations::lock(&target)?;
        for left in [REMOVING, TRIAL] {
            remove_tree_if_there(&target.join(left))?;
        }
        generations::own(&target, server_id)?;
        let is_compared = target.join(COMPARE).exists();
        let partial = target.join(PARTIAL);
        let is_resumed = partial.exists();
        create_private_dir(&partial)?;
        let mut older = generations::list(&target)?;
        older.reverse();
        let newest_ms = older.first().map(|newest| generations::read_marker(newest).made_at_ms);
        let made_at_ms = newest_ms.map_or(now_ms, |newest_ms| now_ms.max(newest_ms + 1));
        #[cfg(target_os = "linux")]
        let opened = File::open(&partial)?;
        let originals = config.uploads.clone();
        let (files, bytes, copied_bytes, missing) = (0, 0, 0, Vec::new());
        Ok(Self {
            target,
            partial,
            older,
            trees,
            originals,
            made_at_ms,
            is_resumed,
            is_second: false,
            is_compared,
            suspects: HashMap::new(),
            unread: BTreeSet::new(),
            files,
            bytes,
            copied_bytes,
            missing,
            #[cfg(target_os = "linux")]
            opened,
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
            Err(error) => {
                self.note_unread(folder, place, &error);
                return Ok(());
            }
            Ok(entries) => entries,
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.note_unread(folder, place, &error);
                    return Ok(());
                }
            };
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
                Ok(_) => {}
                Err(error) => self.note_unread(&from, &place, &error),
            }
        }
        Ok(())
    }

    /// Copies a file anew; what other generations share stays as it is there.
    pub(super) fn replace(&mut self, from: &Path, place: &Path) -> io::Result<()> {
        let (to, metadata) = (self.partial.join(place), from.symlink_metadata()?);
        remove_file_if_there(&to)?;
        copy_file(from, &to, &metadata)?;
        self.copied_bytes += metadata.len();
        Ok(())
    }

    /// Copies one file, or links the same one of the generation before. One that is gone meanwhile is left to
    /// [`super::complete`], and so is one that the disk does not give: that must not end the backup of all others.
    pub(super) fn copy(&mut self, from: &Path, place: &Path) -> io::Result<()> {
        let metadata = match from.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.note_unread(from, place, &error);
                return Ok(());
            }
            Ok(metadata) => metadata,
        };
        let to = self.partial.join(place);
        let is_there =
            self.is_resumed && is_same(&to, &metadata, NEAR_TIME) && has_same_bytes(&to, from);
        if !is_there {
            remove_file_if_there(&to)?;
            let previous = self.older.first().map(|previous| previous.join(place));
            let known = previous.filter(|previous| is_same(previous, &metadata, SAME_TIME));
            let differs = |one: &PathBuf| self.is_compared && !has_same_bytes(one, from);
            let is_suspect = known.as_ref().is_some_and(differs);
            if is_suspect && has_row(place) {
                self.suspects.insert(place.to_owned(), from.to_owned());
            }
            let known = known.filter(|_| !is_suspect || has_row(place));
            let linked = known.map(|one| std::fs::hard_link(one, &to));
            // Without links, or with too many of them, it is a copy.
            if !matches!(linked, Some(Ok(()))) {
                if let Err(error) = copy_file(from, &to, &metadata) {
                    remove_file_if_there(&to)?;
                    if can_be_read(from) {
                        return Err(at(&to, error));
                    }
                    self.note_unread(from, place, &error);
                    return Ok(());
                }
                self.copied_bytes += metadata.len();
            }
        }
        self.files += 1;
        self.bytes += metadata.len();
        Ok(())
    }

    fn note_unread(&mut self, from: &Path, place: &Path, error: &io::Error) {
        tracing::warn!(file = %from.display(), %error, "the disk does not give this for the backup");
        self.unread.insert(place.to_owned());
    }

    pub(super) fn end(mut self, keep: Option<usize>) -> io::Result<Made> {
        // Of what no row names nobody knows which is right: as it is on the server.
        for (place, from) in std::mem::take(&mut self.suspects) {
            if can_be_read(&from) {
                self.replace(&from, &place)?;
            }
        }
        self.keep_what_has_no_row()?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (made_at_ms, files, bytes) = (self.made_at_ms, self.files, self.bytes);
        let generation = Generation { version, made_at_ms, files, bytes };
        if let Err(error) = self.sync() {
            // What is read of it now comes from memory, and says nothing of the disk: the next backup begins anew.
            let removing = self.target.join(REMOVING);
            if std::fs::rename(&self.partial, &removing).is_ok() {
                let _ = remove_tree_if_there(&removing);
            }
            return Err(at(&self.partial, error));
        }
        let text = serde_json::to_vec_pretty(&generation)?;
        write_durably(&self.partial.join(MARKER), &text)?;
        // Colons are not for every file system.
        let name: String = iso_utc(made_at_ms).replace([':', '.'], "-");
        let folder = self.target.join(name);
        std::fs::rename(&self.partial, &folder)?;
        sync_dir(&self.target)?;
        remove_file_if_there(&self.target.join(COMPARE))?;
        let mut removed = 0;
        let all = generations::list(&self.target)?;
        // Nothing is lost with an older one: what the server does not have was taken from whichever has it.
        let keep = keep.unwrap_or(all.len()).max(1);
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

    /// Makes all of it durable.
    #[cfg(target_os = "linux")]
    fn sync(&self) -> io::Result<()> {
        crate::fault::point("sync_backup")?;
        Ok(rustix::fs::syncfs(&self.opened)?)
    }

    /// Makes all of it durable.
    #[cfg(not(target_os = "linux"))]
    fn sync(&self) -> io::Result<()> {
        sync_tree(&self.partial)
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

/// Whether a file has this length and, but for less than `slack`, this time of last change.
fn is_same(path: &Path, wanted: &Metadata, slack: Duration) -> bool {
    let is_near = |found: &Metadata| -> io::Result<bool> {
        let (one, other) = (found.modified()?, wanted.modified()?);
        let apart = one.duration_since(other).unwrap_or_else(|earlier| earlier.duration());
        Ok(apart < slack)
    };
    path.symlink_metadata().is_ok_and(|found| {
        found.is_file() && found.len() == wanted.len() && is_near(&found).unwrap_or(false)
    })
}

/// A copy that a broken-off backup left may have lost its bytes in a power cut.
fn has_same_bytes(one: &Path, other: &Path) -> bool {
    compare(one, other).unwrap_or(false)
}

/// Whether the system gives all of a file's bytes.
pub(super) fn can_be_read(path: &Path) -> bool {
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
pub(super) fn is_same_disk(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    matches!((one.metadata(), other.metadata()), (Ok(one), Ok(other)) if one.dev() == other.dev())
}

#[cfg(not(unix))]
pub(super) fn is_same_disk(_one: &Path, _other: &Path) -> bool {
    false
}
