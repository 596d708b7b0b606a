//! What this device says about a file: where it lay, when it was last changed, and what a sidecar beside it says.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use photosync_protocol::sidecars::{
    MAX_ICLOUD_BYTES, MAX_TAKEOUT_BYTES, is_icloud_list, read_icloud, read_takeout, takeout_names,
};
use photosync_protocol::v2::claims::{Claims, MAX_CLAIM_BYTES};

use crate::scan::{Found, Root};

/// Before the path in this client's `device_asset_id`: a computer's own name of a file is its path below the folder
/// that was backed up. A listed name may carry a number that the file never had.
pub const PATH_PREFIX: &str = "path:";

type List = Arc<HashMap<String, Claims>>;

/// Remembers the iCloud list of the folder that was asked about last: files of one folder come mostly together.
#[derive(Default)]
pub struct Sidecars {
    last: Mutex<Option<(PathBuf, List)>>,
}

impl Sidecars {
    /// Everything this device says about a file. Blocks on small files at most.
    pub fn claims(&self, roots: &[Root], file: &Found) -> Claims {
        let root = roots.iter().find(|root| file.path.starts_with(&root.start));
        let base = root.map_or_else(|| file.path.parent(), |root| Some(root.base.as_path()));
        let relative = base.and_then(|base| file.path.strip_prefix(base).ok());
        let folder = relative.and_then(Path::parent).map(slashed).filter(|text| !text.is_empty());
        let whole = relative.map(|path| format!("{PATH_PREFIX}{}", slashed(path)));
        Claims {
            folder: folder.filter(|text| fits(text)),
            device_asset_id: whole.filter(|text| fits(text)),
            modified_ms: Some(file.mtime_ns.div_euclid(1_000_000)),
            ..self.beside(&file.path).unwrap_or_default()
        }
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
            .or_else(|| self.icloud(folder).get(name).cloned())
    }

    fn icloud(&self, folder: &Path) -> List {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, list)) = last.as_ref().filter(|(of, _)| of == folder) {
            return list.clone();
        }
        let list: List = Arc::new(read_lists(folder).into_iter().flatten().collect());
        *last = Some((folder.to_owned(), list.clone()));
        list
    }
}

fn read_lists(folder: &Path) -> Vec<Vec<(String, Claims)>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let list = |entry: fs::DirEntry| {
        let is_list = entry.file_name().to_str().is_some_and(is_icloud_list);
        let metadata = is_list.then(|| entry.metadata().ok()).flatten()?;
        let fits = metadata.is_file() && metadata.len() <= MAX_ICLOUD_BYTES;
        let text = fits.then(|| fs::read(entry.path()).ok()).flatten()?;
        Some(read_icloud(&String::from_utf8_lossy(&text)))
    };
    entries.filter_map(|entry| list(entry.ok()?)).collect()
}

/// A claim that is too long or cannot be said is not said.
fn fits(text: &str) -> bool {
    text.len() <= MAX_CLAIM_BYTES && !text.chars().any(char::is_control)
}

/// A relative path with `/` between its parts.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
