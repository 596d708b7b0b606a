//! A folder of sealed objects: a disk in a drawer, or what a relay keeps. Each object is a file named by its id.
//!
//! Objects of one kind lie together, so that an index of 100,000 photos is found without reading 200,000 files; a
//! reader takes them from anywhere below the folder.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use photosync_protocol::digest::Digest;
use photosync_protocol::format::object::{Kind, id_of, peek};

use super::io;
use super::space::random;
use crate::error::{Error, Result};

/// An object that is not finished has this before its id, and something random behind it: several computers may write the
/// same object into one folder at once.
const PARTIAL: &str = ".partial-";
/// What nobody has written to for so long was left by a run that did not end: a day, more than any zone is off.
const LEFT: Duration = Duration::from_secs(24 * 3600);

/// Ending of an object that was set aside.
const ASIDE: &str = ".damaged";

/// A folder of objects.
pub struct Folder {
    path: PathBuf,
    /// Objects that lie elsewhere below the folder than this program puts them. Looked for once.
    elsewhere: Mutex<Option<Arc<HashMap<Digest, PathBuf>>>>,
    /// Folders in which leftovers were looked for.
    swept: Mutex<HashSet<PathBuf>>,
}

/// A server keeps this beside the objects of an account, all of which it has in one folder.
const SERVER_FILE: &str = ".chains.jsonl";

fn kind_folder(kind: Kind) -> &'static str {
    match kind {
        Kind::Chunk => "chunks",
        Kind::Manifest => "manifests",
        Kind::Segment => "segments",
        Kind::Keyring => "keyrings",
    }
}

impl Folder {
    /// The objects below a folder. It need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, elsewhere: Mutex::default(), swept: Mutex::default() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn place(&self, kind: Kind, id: &Digest) -> PathBuf {
        let id = id.to_string();
        let folder = self.path.join(kind_folder(kind));
        match kind {
            Kind::Chunk | Kind::Manifest => folder.join(&id[..2]).join(id),
            Kind::Segment | Kind::Keyring => folder.join(id),
        }
    }

    /// Whether an object is there. Blocks.
    pub fn has(&self, kind: Kind, id: &Digest) -> Result<bool> {
        Ok(self.find(kind, id)?.is_some())
    }

    /// Where an object lies.
    fn find(&self, kind: Kind, id: &Digest) -> Result<Option<PathBuf>> {
        let is_file = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.is_file());
        let place = self.place(kind, id);
        if is_file(&place) {
            return Ok(Some(place));
        }
        Ok(self.elsewhere()?.get(id).cloned().filter(is_file))
    }

    /// Keeps objects: all are durable when it returns. Blocks.
    pub fn put(&self, objects: &[(Kind, Digest, Vec<u8>)]) -> Result<()> {
        let mut folders = Vec::new();
        for (kind, id, bytes) in objects {
            let path = self.place(*kind, id);
            if self.has(*kind, id)? {
                continue;
            }
            let folder = path.parent().unwrap_or(&self.path).to_owned();
            if !folder.is_dir() {
                io("make the folder", &folder, fs::create_dir_all(&folder))?;
                folders.extend(folder.ancestors().skip(1).take(2).map(Path::to_owned));
            }
            self.sweep(&folder);
            let own = hex::encode(random::<8>()?);
            let partial = folder.join(format!("{PARTIAL}{id}-{own}"));
            let written = || -> std::io::Result<()> {
                let mut file = OpenOptions::new().create_new(true).write(true).open(&partial)?;
                file.write_all(bytes)?;
                file.sync_all()?;
                match fs::rename(&partial, &path) {
                    // Windows replaces no file that another computer has open: what it wrote are the same bytes.
                    Err(_) if path.is_file() => fs::remove_file(&partial),
                    done => done,
                }
            };
            io(
                "write",
                &path,
                written().inspect_err(|_| {
                    let _ = fs::remove_file(&partial);
                }),
            )?;
            folders.push(folder);
        }
        folders.sort_unstable();
        folders.dedup();
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    /// Removes what runs that did not end left half-written in a folder; looked for once. What cannot be removed only takes
    /// room.
    fn sweep(&self, folder: &Path) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if !swept.insert(folder.to_owned()) {
            return;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let changed = entry.metadata().and_then(|found| found.modified());
            let age = changed.ok().and_then(|changed| changed.elapsed().ok());
            let is_partial = entry.file_name().to_str().is_some_and(is_partial);
            if is_partial && age.is_some_and(|age| age > LEFT) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Reads an object; `None` if it is not there. What was read is not looked at. One that the disk does not give back is an
    /// error of that object alone (`unreadable`): the others may be whole. One that was set aside is tried as well: perhaps it
    /// was the cable. Blocks.
    pub fn get(&self, kind: Kind, id: &Digest) -> Result<Option<Vec<u8>>> {
        let path = match self.find(kind, id)? {
            Some(path) => path,
            None => aside(&self.place(kind, id)),
        };
        match fs::read(&path) {
            Ok(object) => Ok(Some(object)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::file("read", &path, &cause)),
        }
    }

    /// Takes a damaged object's name from it, so that the piece counts as missing and a good one can have the name. What
    /// is left of it stays beside, unless a good one lies there already. Blocks.
    pub fn set_aside(&self, kind: Kind, id: &Digest) -> Result<()> {
        let Some(path) = self.find(kind, id)? else { return Ok(()) };
        let aside = aside(&path);
        let is_good = fs::read(&aside).is_ok_and(|object| id_of(&object) == *id);
        let done = if is_good { fs::remove_file(&path) } else { fs::rename(&path, aside) };
        io("set aside", &path, done)?;
        sync_folder(path.parent().unwrap_or(&self.path))
    }

    /// Ids of all objects of a kind, wherever they lie. One that lies elsewhere and cannot be read may be a manifest: whoever
    /// fetches it is told. Blocks.
    pub fn list(&self, kind: Kind) -> Result<Vec<Digest>> {
        let mut ids = Vec::new();
        walk(&self.path.join(kind_folder(kind)), &mut |id, _| ids.push(id))?;
        let elsewhere = self.elsewhere()?;
        for (id, path) in elsewhere.iter() {
            let mut start = [0; 8];
            let read = File::open(path)
                .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
            let is_wanted = match read {
                Ok(()) => peek(&start) == Ok(kind),
                Err(_) => kind == Kind::Manifest,
            };
            if is_wanted {
                ids.push(*id);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Objects that do not lie where this program puts them.
    fn elsewhere(&self) -> Result<Arc<HashMap<Digest, PathBuf>>> {
        let mut known = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(known.clone());
        }
        let mut found = HashMap::new();
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Arc::default()),
            Err(cause) => return io("look into", &self.path, Err(cause)),
        };
        let chunks_are_apart = self.is_sorted()?;
        for entry in entries {
            let path = io("look into", &self.path, entry)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let has_one_kind = match name {
                "chunks" => chunks_are_apart,
                "manifests" | "segments" | "keyrings" => true,
                _ => false,
            };
            if has_one_kind {
                continue;
            }
            if path.is_dir() {
                walk(&path, &mut |id, path| drop(found.insert(id, path)))?;
            } else if let Some(id) = Digest::from_hex(name) {
                found.insert(id, path);
            }
        }
        Ok(known.insert(Arc::new(found)).clone())
    }

    /// Whether objects lie together by their kind. Where they do not, as in what a server kept, everything is among the
    /// chunks.
    fn is_sorted(&self) -> Result<bool> {
        if self.path.join(SERVER_FILE).exists() {
            return Ok(false);
        }
        let mut is_listed = false;
        // There are few segments; all manifests are looked through only where an index is lost.
        for folder in ["segments", "manifests"] {
            if !is_listed {
                walk(&self.path.join(folder), &mut |_, _| is_listed = true)?;
            }
        }
        Ok(is_listed)
    }
}

/// Where an object of this place lies that was set aside.
fn aside(place: &Path) -> PathBuf {
    let mut aside = place.to_owned().into_os_string();
    aside.push(ASIDE);
    aside.into()
}

/// Whether a file is named as this program names an unfinished object, now or before names had a random part.
fn is_partial(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PARTIAL) else { return false };
    let (id, own) = rest.split_once('-').unwrap_or((rest, ""));
    Digest::from_hex(id).is_some() && own.bytes().all(|letter| letter.is_ascii_hexdigit())
}

/// Every file below a folder that is named like an object. A folder that is not there has none.
fn walk(folder: &Path, found: &mut dyn FnMut(Digest, PathBuf)) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return io("look into", folder, Err(cause)),
    };
    for entry in entries {
        let entry = io("look into", folder, entry)?;
        let path = entry.path();
        // A link would lead out of the folder.
        let kind = io("look at", &path, entry.file_type())?;
        if kind.is_dir() {
            walk(&path, found)?;
        } else if kind.is_file() {
            let id = path.file_name().and_then(|name| name.to_str()).and_then(Digest::from_hex);
            if let Some(id) = id {
                found(id, path);
            }
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> Result<()> {
    io("write", folder, crate::durable::sync_folder(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(byte: u8) -> (Kind, Digest, Vec<u8>) {
        (Kind::Chunk, Digest([byte; 32]), [&b"PSYNC2C\n"[..], &[byte; 9]].concat())
    }

    #[test]
    fn an_object_is_found_where_it_was_put_and_wherever_a_person_moved_it() {
        let disk = tempfile::tempdir().unwrap();
        let folder = Folder::new(disk.path().join("relay"));
        assert_eq!(folder.list(Kind::Chunk).unwrap(), []);
        folder.put(&[object(1), object(2), object(1)]).unwrap();
        let bytes = object(1).2;
        assert_eq!(folder.get(Kind::Chunk, &Digest([1; 32])).unwrap(), Some(bytes.clone()));
        assert_eq!(folder.get(Kind::Chunk, &Digest([3; 32])).unwrap(), None);
        assert_eq!(folder.list(Kind::Chunk).unwrap(), [Digest([1; 32]), Digest([2; 32])]);

        let flat = disk.path().join("flat");
        fs::create_dir(&flat).unwrap();
        fs::rename(folder.place(Kind::Chunk, &Digest([1; 32])), flat.join("01".repeat(32)))
            .unwrap();
        let moved = Folder::new(flat);
        assert_eq!(moved.get(Kind::Chunk, &Digest([1; 32])).unwrap(), Some(bytes));
        assert_eq!(moved.list(Kind::Chunk).unwrap(), [Digest([1; 32])]);
        assert_eq!(moved.list(Kind::Manifest).unwrap(), []);
        assert!(moved.has(Kind::Chunk, &Digest([1; 32])).unwrap());
        moved.set_aside(Kind::Chunk, &Digest([1; 32])).unwrap();
        assert!(!moved.has(Kind::Chunk, &Digest([1; 32])).unwrap());
    }

    #[test]
    fn an_object_that_was_set_aside_counts_as_missing_and_is_still_read_and_never_replaced_by_a_worse_one()
     {
        let disk = tempfile::tempdir().unwrap();
        let folder = Folder::new(disk.path().to_owned());
        let bytes = object(1).2;
        let (kind, id) = (Kind::Chunk, id_of(&bytes));
        folder.put(&[(kind, id, bytes.clone())]).unwrap();
        // Nothing was wrong with it but the cable.
        folder.set_aside(kind, &id).unwrap();
        assert!(!folder.has(kind, &id).unwrap());
        assert_eq!(folder.get(kind, &id).unwrap(), Some(bytes.clone()));
        folder.put(&[(kind, id, b"damaged later".to_vec())]).unwrap();
        assert_eq!(folder.get(kind, &id).unwrap(), Some(b"damaged later".to_vec()));
        folder.set_aside(kind, &id).unwrap();
        assert_eq!(folder.get(kind, &id).unwrap(), Some(bytes));
    }

    #[test]
    fn computers_that_write_the_same_objects_at_once_do_not_disturb_each_other() {
        let disk = tempfile::tempdir().unwrap();
        let objects: Vec<_> =
            (0..40).map(|byte| (Kind::Chunk, Digest([byte; 32]), vec![byte; 1 << 20])).collect();
        let (together, failed) = (std::sync::Barrier::new(4), Mutex::new(Vec::new()));
        let write = || {
            for object in &objects {
                together.wait();
                // Each knows the folder by itself, as another program does.
                let folder = Folder::new(disk.path().to_owned());
                let put = folder.put(std::slice::from_ref(object));
                let there = put.and_then(|()| folder.get(Kind::Chunk, &object.1));
                // Who fails goes on: the others wait for it.
                if !there.as_ref().is_ok_and(|there| there.as_ref() == Some(&object.2)) {
                    failed.lock().unwrap().push(there.map(drop));
                }
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(write))));
        let failed = failed.into_inner().unwrap();
        assert!(failed.is_empty(), "{failed:?}");
        let folders = fs::read_dir(disk.path().join("chunks")).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        assert_eq!(files.count(), 40, "no unfinished one is left");
    }

    #[test]
    fn what_a_run_left_half_written_goes_and_what_others_wrote_stays() {
        let disk = tempfile::tempdir().unwrap();
        let folder = Folder::new(disk.path().to_owned());
        let (kind, id, bytes) = object(7);
        let place = folder.place(kind, &id);
        let beside = |name: &str| place.with_file_name(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        let (partial, own) = (format!("{PARTIAL}{id}"), "00aa11bb22cc33dd");
        let [left, left_before] = [beside(&format!("{partial}-{own}")), beside(&partial)];
        let at_work = beside(&format!("{partial}-{}", own.replace('0', "1")));
        let [foreign, damaged] =
            [beside(&format!("{PARTIAL}notes")), beside(&format!("{id}.damaged"))];
        for path in [&left, &left_before, &at_work, &foreign, &damaged] {
            let file = File::create(path).unwrap();
            let age = if *path == at_work { Duration::ZERO } else { LEFT + LEFT };
            file.set_modified(std::time::SystemTime::now() - age).unwrap();
        }
        folder.put(&[(kind, id, bytes)]).unwrap();
        assert!(!left.exists() && !left_before.exists());
        for path in [&place, &at_work, &foreign, &damaged] {
            assert!(path.exists(), "{}", path.display());
        }
    }

    #[test]
    fn what_a_server_kept_is_a_folder_of_objects_like_any_other() {
        let disk = tempfile::tempdir().unwrap();
        let [chunk, mut manifest] = [object(1), object(2)];
        manifest.2[6] = b'M';
        for (_, id, bytes) in [&chunk, &manifest] {
            let folder = disk.path().join("chunks").join(&id.to_string()[..2]);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(id.to_string()), bytes).unwrap();
        }
        let id = Digest([2; 32]);
        for has_journal in [false, true] {
            let folder = Folder::new(disk.path().to_owned());
            assert_eq!(folder.list(Kind::Manifest).unwrap()[0], id, "{has_journal}");
            assert_eq!(folder.list(Kind::Chunk).unwrap(), [Digest([1; 32]), id]);
            assert_eq!(folder.get(Kind::Manifest, &id).unwrap(), Some(manifest.2.clone()));
            // It stays one when this program writes what it sorts.
            fs::write(disk.path().join(SERVER_FILE), "{}").unwrap();
            folder.put(&[(Kind::Manifest, Digest([3; 32]), manifest.2.clone())]).unwrap();
        }
    }
}
