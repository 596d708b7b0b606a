//! What this device says about a file: where it lay, when it was last changed, what a sidecar beside it says, and which
//! other file its name makes it a Live Photo with.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use photosync_protocol::pairs::{live_pairs, role_of};
use photosync_protocol::sidecars::{
    MAX_ICLOUD_BYTES, MAX_TAKEOUT_BYTES, is_icloud_list, read_icloud, read_takeout, takeout_names,
};
use photosync_protocol::v2::claims::{Claims, PATH_PREFIX, Pair, PairRole, PairSource};
use photosync_protocol::v2::places::can_be_said;

use crate::scan::{Found, Root};

/// Folders remembered at once: files come newest first, from several folders in turn.
const MAX_FOLDERS: usize = 64;

/// What is read once for all files of a folder.
#[derive(Default)]
struct Folder {
    /// Lists of an iCloud export, by name of the photo.
    listed: HashMap<String, Claims>,
    /// Halves of Live Photos: name → (stem, role).
    pairs: HashMap<String, (String, PairRole)>,
}

/// Reads what lies beside files, and remembers it for a while.
#[derive(Default)]
pub struct Sidecars {
    folders: Mutex<HashMap<PathBuf, Arc<Folder>>>,
}

impl Sidecars {
    /// Everything this device says about a file. Blocks on small files at most.
    pub fn claims(&self, roots: &[Root], file: &Found) -> Claims {
        let relative = relative_to(roots, &file.path);
        let folder = relative.and_then(Path::parent).map(slashed).filter(|text| !text.is_empty());
        Claims {
            pair: relative.and_then(|relative| self.pair(&file.path, relative)),
            folder: folder.filter(|text| can_be_said(text)),
            device_asset_id: relative.and_then(path_id),
            modified_ms: Some(file.mtime_ns.div_euclid(1_000_000)),
            ..self.beside(&file.path).unwrap_or_default()
        }
    }

    /// Named by the path of both halves without its ending.
    fn pair(&self, path: &Path, relative: &Path) -> Option<Pair> {
        let name = path.file_name()?.to_str()?;
        role_of(name)?;
        let folder = self.folder(path.parent()?);
        let (stem, role) = folder.pairs.get(name)?;
        let id = path_id(&relative.with_file_name(stem))?;
        Some(Pair { id, role: *role, source: PairSource::Name })
    }

    fn beside(&self, path: &Path) -> Option<Claims> {
        let name = path.file_name()?.to_str()?;
        let folder = path.parent()?;
        let takeout = |sidecar: String| {
            let sidecar = folder.join(sidecar);
            let metadata = fs::metadata(&sidecar).ok()?;
            let fits = metadata.is_file() && metadata.len() <= MAX_TAKEOUT_BYTES;
            fits.then(|| fs::read(&sidecar).ok()).flatten().and_then(|json| read_takeout(&json))
        };
        takeout_names(name)
            .into_iter()
            .find_map(takeout)
            .or_else(|| self.folder(folder).listed.get(name).cloned())
    }

    fn folder(&self, path: &Path) -> Arc<Folder> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = folders.get(path) {
            return folder.clone();
        }
        if folders.len() >= MAX_FOLDERS {
            folders.clear();
        }
        let folder = Arc::new(read_folder(path));
        folders.insert(path.to_owned(), folder.clone());
        folder
    }
}

fn read_folder(path: &Path) -> Folder {
    let Ok(entries) = fs::read_dir(path) else { return Folder::default() };
    let (mut folder, mut halves) = (Folder::default(), Vec::new());
    for entry in entries.filter_map(std::result::Result::ok) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (is_list, is_half) = (is_icloud_list(&name), role_of(&name).is_some());
        let metadata = (is_list || is_half).then(|| entry.metadata().ok()).flatten();
        let Some(metadata) = metadata.filter(|metadata| metadata.is_file()) else { continue };
        if is_half && metadata.len() > 0 {
            halves.push(name);
        } else if is_list && metadata.len() <= MAX_ICLOUD_BYTES {
            let text = fs::read(entry.path()).unwrap_or_default();
            folder.listed.extend(read_icloud(&String::from_utf8_lossy(&text)));
        }
    }
    let pairs = live_pairs(halves.iter().map(String::as_str)).into_iter();
    folder.pairs =
        pairs.map(|(name, (stem, role))| (name.to_owned(), (stem.to_owned(), role))).collect();
    folder
}

/// The path below the folder that was named; of a file that lies in none, its name.
fn relative_to<'a>(roots: &[Root], path: &'a Path) -> Option<&'a Path> {
    let root = roots.iter().find(|root| path.starts_with(&root.start));
    let base = root.map_or_else(|| path.parent(), |root| Some(root.base.as_path()));
    base.and_then(|base| path.strip_prefix(base).ok())
}

fn path_id(relative: &Path) -> Option<String> {
    let id = format!("{PATH_PREFIX}{}", slashed(relative));
    can_be_said(&id).then_some(id)
}

/// This computer's own name of a path, which need not exist any more. `None` if it cannot be said.
pub fn device_asset_id(roots: &[Root], path: &Path) -> Option<String> {
    relative_to(roots, path).and_then(path_id)
}

/// A relative path with `/` between its parts.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
