//! Writes a [`State`] after a [`Cut`] into a folder.
//!
//! Called by `Recording::materialise`. The rule: the folder holds exactly what the cut leaves;
//! hard links stay hard links, and permission bits are kept.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::ReplayError;
use crate::content::Content;
use crate::cut::Cut;
use crate::model::{Body, NodeId, ROOT, State};

/// Bytes copied at a time from the log.
const COPY_BYTES: usize = 256 * 1024;

/// Writes what `cut` leaves of `state` into `dir`, which exists and is empty.
pub fn write_tree(state: &State, cut: Cut, log: &File, dir: &Path) -> Result<(), ReplayError> {
    let mut written: HashMap<NodeId, PathBuf> = HashMap::new();
    let mut buffer = vec![0; COPY_BYTES];
    let mut waiting = vec![(ROOT, dir.to_owned())];
    while let Some((directory, path)) = waiting.pop() {
        for (name, id) in cut.entries(state, directory) {
            let path = path.join(std::ffi::OsString::from_vec(name));
            let Some(node) = state.node(id) else { continue };
            let failed = |source| ReplayError::Write { path: path.clone(), source };
            if let Some(first) = written.get(&id) {
                std::fs::hard_link(first, &path).map_err(failed)?;
                continue;
            }
            match &node.body {
                Body::Directory(_) => {
                    make_directory(&path, node.mode).map_err(failed)?;
                    waiting.push((id, path));
                    continue;
                }
                Body::Symlink { from, len } => {
                    let mut target = vec![0; usize::try_from(*len).unwrap_or_default()];
                    log.read_exact_at(&mut target, *from).map_err(failed)?;
                    symlink(std::ffi::OsString::from_vec(target), &path).map_err(failed)?;
                }
                Body::File(file) => {
                    let content = cut.content(id, file);
                    write_file(&path, node.mode, &content, log, &mut buffer).map_err(failed)?;
                }
            }
            written.insert(id, path);
        }
    }
    Ok(())
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::create_dir(path)?;
    // The owner must be able to fill it.
    std::fs::set_permissions(path, Permissions::from_mode(mode | 0o700))
}

fn write_file(
    path: &Path,
    mode: u32,
    content: &Content,
    log: &File,
    buffer: &mut [u8],
) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for (at, len, from) in content.extents() {
        let mut done = 0;
        while done < len {
            let count = buffer.len().min(usize::try_from(len - done).unwrap_or(usize::MAX));
            let part = &mut buffer[..count];
            log.read_exact_at(part, from + done)?;
            file.write_all_at(part, at + done)?;
            done += count as u64;
        }
    }
    file.set_len(content.size())?;
    file.set_permissions(Permissions::from_mode(mode))
}
