//! Looks through folders: which files are there, without opening one.
//!
//! Links are not followed, hidden and excluded names are skipped, empty files are counted. A folder that cannot be
//! read is reported and stops nothing.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use tokio_util::sync::CancellationToken;

use crate::cache::{Known, path_bytes};
use crate::error::{Error, Kind, Result};
use crate::report::{Event, Report};
use photosync_protocol::digest::Digest;

/// What other programs leave beside photos and can make again.
const JUNK: &[&str] =
    &["@eaDir", "desktop.ini", "Thumbs.db", "ehthumbs.db", "lost+found", "$RECYCLE.BIN"];

/// Where a walk begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The folder or file that was named, as an absolute path.
    pub start: PathBuf,
    /// Folder that the files' folders are told relative to.
    pub base: PathBuf,
}

/// A file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Absolute path.
    pub path: PathBuf,
    /// Length.
    pub size_bytes: u64,
    /// Last change, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Number of the file in its file system; 0 where there is none.
    pub inode: u64,
}

impl Found {
    /// A file by what the file system says of it.
    pub fn of(path: PathBuf, metadata: &Metadata) -> Self {
        Self {
            path,
            size_bytes: metadata.len(),
            mtime_ns: mtime_ns(metadata),
            inode: inode(metadata),
        }
    }

    /// Whether the file system says of the path what it said before.
    pub fn is_unchanged(&self, metadata: &Metadata) -> bool {
        *self == Self::of(self.path.clone(), metadata)
    }

    /// Whether the file is the one the cache knows.
    pub fn is_as(&self, known: &Known) -> bool {
        (self.size_bytes, self.mtime_ns, self.inode)
            == (known.size_bytes, known.mtime_ns, known.inode)
    }

    /// The row for the cache.
    pub fn known(&self, digest: Option<Digest>) -> Known {
        Known {
            path: path_bytes(&self.path).into_owned(),
            size_bytes: self.size_bytes,
            mtime_ns: self.mtime_ns,
            inode: self.inode,
            digest,
            is_settled: false,
        }
    }
}

fn mtime_ns(metadata: &Metadata) -> i64 {
    let Ok(modified) = metadata.modified() else { return 0 };
    let ns = |duration: std::time::Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match modified.duration_since(std::time::SystemTime::UNIX_EPOCH) {
        Ok(after) => ns(after),
        Err(before) => -ns(before.duration()),
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// What is not looked at.
#[derive(Debug, Clone)]
pub struct Rules {
    excluded: GlobSet,
    with_hidden: bool,
}

impl Rules {
    /// A pattern without a slash is a name at any depth; with one it is a path below the folder that was named.
    pub fn new(patterns: &[String], with_hidden: bool) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let wrong = |cause: globset::Error| {
                Error::new(
                    Kind::Usage,
                    format!("--exclude {pattern} cannot be understood: {cause}"),
                )
            };
            for glob in globs_of(pattern).map_err(wrong)? {
                set.add(glob);
            }
        }
        let excluded = set.build().map_err(|cause| {
            Error::new(Kind::Usage, format!("the patterns of --exclude: {cause}"))
        })?;
        Ok(Self { excluded, with_hidden })
    }

    fn skips(&self, name: &OsStr, relative: &Path) -> bool {
        let text = name.to_string_lossy();
        // Our own half-restored files are hidden, and never photos.
        let is_ours = text.starts_with(".photosync-") && text.ends_with(".part");
        (text.starts_with('.') && !self.with_hidden)
            || is_ours
            || JUNK.iter().any(|junk| text.eq_ignore_ascii_case(junk))
            || self.excluded.is_match(relative)
    }
}

fn globs_of(pattern: &str) -> std::result::Result<Vec<Glob>, globset::Error> {
    let make = |text: &str| GlobBuilder::new(text).literal_separator(true).build();
    let bare = pattern.trim_end_matches('/');
    if bare.contains('/') {
        return Ok(vec![make(bare.trim_start_matches('/'))?]);
    }
    Ok(vec![make(&format!("**/{bare}"))?])
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walk {
    /// The files, sorted by the bytes of their paths.
    pub files: Vec<Found>,
    /// Hidden, excluded and special entries.
    pub skipped: u64,
    /// Files without any bytes.
    pub empty: u64,
    /// Entries that could not be read, with the reason.
    pub unreadable: Vec<(PathBuf, Error)>,
}

/// Turns named paths into roots: absolute, none inside another. A path that is not there is an error: it may be a
/// disk that is not plugged in, and then nothing may be concluded from its absence.
pub fn roots(paths: &[PathBuf]) -> Result<Vec<Root>> {
    let mut roots: Vec<Root> = Vec::new();
    for path in paths {
        let missing = |cause: std::io::Error| {
            Error::new(Kind::Usage, format!("could not open {}: {cause}", path.display()))
                .hint("is the disk plugged in?")
        };
        let start = fs::canonicalize(path).map_err(missing)?;
        let is_folder = fs::metadata(&start).map_err(missing)?.is_dir();
        let base = match start.parent() {
            Some(parent) if !is_folder => parent.to_owned(),
            _ => start.clone(),
        };
        roots.push(Root { start, base });
    }
    roots.sort_by(|a, b| a.start.cmp(&b.start));
    let mut kept: Vec<Root> = Vec::new();
    for root in roots {
        if !kept.iter().any(|outer| root.start.starts_with(&outer.start)) {
            kept.push(root);
        }
    }
    Ok(kept)
}

/// Walks one root. Blocks. `progress` is called now and then with the number of files and bytes so far.
pub fn walk(
    root: &Root,
    rules: &Rules,
    stop: &CancellationToken,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Walk> {
    let mut walk = Walk::default();
    let mut bytes = 0;
    let mut folders = Vec::new();
    match fs::metadata(&root.start) {
        Ok(metadata) if metadata.is_dir() => folders.push(root.start.clone()),
        Ok(metadata) => walk.add(root.start.clone(), &metadata, &mut bytes),
        Err(cause) => walk.fail(root.start.clone(), &cause),
    }
    while let Some(folder) = folders.pop() {
        if stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(cause) => {
                walk.fail(folder, &cause);
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(cause) => {
                    walk.fail(folder.clone(), &cause);
                    continue;
                }
            };
            let path = entry.path();
            let relative = path.strip_prefix(&root.base).unwrap_or(&path);
            if rules.skips(&entry.file_name(), relative) {
                walk.skipped += 1;
                continue;
            }
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(path),
                Ok(metadata) if metadata.is_file() => walk.add(path, &metadata, &mut bytes),
                Ok(_) => walk.skipped += 1,
                Err(cause) => walk.fail(path, &cause),
            }
            if walk.files.len() % 512 == 511 {
                progress(walk.files.len() as u64, bytes);
            }
        }
    }
    walk.files.sort_unstable_by(|a, b| path_bytes(&a.path).cmp(&path_bytes(&b.path)));
    progress(walk.files.len() as u64, bytes);
    Ok(walk)
}

/// What lies below all named paths.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// Where the walks began, each with the files below it in the order of their path's bytes.
    pub roots: Vec<(Root, Vec<Found>)>,
    /// Entries that could not be read, with the reason.
    pub unreadable: Vec<(PathBuf, Error)>,
    /// Files to be kept safe.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Hidden, excluded and special entries.
    pub skipped: u64,
    /// Files without any bytes.
    pub empty: u64,
}

impl Looked {
    /// Only the paths, for whoever compares with what was known.
    pub fn unread(&self) -> Vec<PathBuf> {
        self.unreadable.iter().map(|(path, _)| path.clone()).collect()
    }
}

/// Looks through everything that was named. Blocks.
pub fn look(
    paths: &[PathBuf],
    rules: &Rules,
    report: &dyn Report,
    stop: &CancellationToken,
) -> Result<Looked> {
    let mut looked = Looked::default();
    for root in roots(paths)? {
        let (files, bytes) = (looked.files, looked.bytes);
        let mut seen = |more: u64, length: u64| {
            report.event(&Event::Scanning { files: files + more, bytes: bytes + length });
        };
        let walk = walk(&root, rules, stop, &mut seen)?;
        looked.files += walk.files.len() as u64;
        looked.bytes += walk.files.iter().map(|file| file.size_bytes).sum::<u64>();
        looked.skipped += walk.skipped;
        looked.empty += walk.empty;
        looked.unreadable.extend(walk.unreadable);
        looked.roots.push((root, walk.files));
    }
    let Looked { files, bytes, skipped, empty, .. } = looked;
    report.event(&Event::Scanned { files, bytes, skipped, empty });
    Ok(looked)
}

impl Walk {
    fn add(&mut self, mut path: PathBuf, metadata: &Metadata, bytes: &mut u64) {
        if metadata.len() == 0 {
            self.empty += 1;
            return;
        }
        // Joined from folder and name it has room for twice the folder; a library has many files.
        path.shrink_to_fit();
        *bytes += metadata.len();
        self.files.push(Found::of(path, metadata));
    }

    fn fail(&mut self, path: PathBuf, cause: &std::io::Error) {
        let error = Error::file("read", &path, cause);
        self.unreadable.push((path, error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, patterns: &[&str], with_hidden: bool) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let rules = Rules::new(&patterns, with_hidden).unwrap();
        let root = roots(&[folder.to_owned()]).unwrap().remove(0);
        let walk = walk(&root, &rules, &CancellationToken::new(), &mut |_, _| {}).unwrap();
        let name = |file: &Found| {
            let path = file.path.strip_prefix(&root.base).unwrap();
            path.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
        };
        walk.files.iter().map(name).collect()
    }

    #[test]
    fn hidden_junk_and_excluded_entries_are_skipped_and_empty_files_are_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["a.jpg", "b/c.JPG", "b/d.tmp", ".hidden/e.jpg", "b/@eaDir/f.jpg", "x/b/g.jpg"]
        {
            fs::create_dir_all(at.join(name).parent().unwrap()).unwrap();
            fs::write(at.join(name), "x").unwrap();
        }
        fs::write(at.join("empty.jpg"), "").unwrap();
        assert_eq!(names(at, &[], false), ["a.jpg", "b/c.JPG", "b/d.tmp", "x/b/g.jpg"]);
        assert_eq!(names(at, &["*.tmp"], true), [".hidden/e.jpg", "a.jpg", "b/c.JPG", "x/b/g.jpg"]);
        assert_eq!(names(at, &["/b"], false), ["a.jpg", "x/b/g.jpg"]);
        assert_eq!(names(at, &["b"], false), ["a.jpg"]);
        assert_eq!(names(at, &["x/**"], false), ["a.jpg", "b/c.JPG", "b/d.tmp"]);
        assert_eq!(Rules::new(&["[".into()], false).unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn a_folder_inside_another_is_walked_once_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        assert_eq!(roots(&[inner, folder.path().to_owned()]).unwrap().len(), 1);
        let error = roots(&[folder.path().join("unplugged")]).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
    }
}
