//! Tries on a storage root what every upload needs of it: a file, a sync, a rename that never replaces. The doctor asks.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::local::sync_dir;
use super::publish::rename_new;
use crate::auth::random_id;
use crate::clock::Stopwatch;

/// Syncs that are timed; the one in the middle counts, because one may wait for somebody else's.
const SYNCS: usize = 3;

/// What a root can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Milliseconds until a small file was durable.
    pub sync_ms: u64,
    /// Whether a rename refuses to replace a file that is there.
    pub never_replaces: bool,
}

/// Files that go when this does.
struct Scratch([PathBuf; 2]);

impl Drop for Scratch {
    fn drop(&mut self) {
        for path in &self.0 {
            // One that was never made, or was renamed away.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Tries a root, which must be there. Leaves nothing behind. Blocks as long as the disk does.
pub fn probe(root: &Path) -> io::Result<Probe> {
    let place = |kind: &str| root.join(format!(".doctor-{}.{kind}", random_id()));
    let scratch = Scratch([place("new"), place("old")]);
    let [first, second] = &scratch.0;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(first)?;
    let mut took_ms = [0; SYNCS];
    for took in &mut took_ms {
        let watch = Stopwatch::start();
        file.write_all(&[0x5A; 4096])?;
        file.sync_all()?;
        *took = watch.elapsed_ms();
    }
    took_ms.sort_unstable();
    drop(file);
    rename_new(first, second)?;
    sync_dir(root)?;
    drop(options.open(first)?);
    let never_replaces = match rename_new(first, second) {
        Ok(()) => false,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
        Err(error) => return Err(error),
    };
    Ok(Probe { sync_ms: took_ms[SYNCS / 2], never_replaces })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_root_passes_and_holds_nothing_of_the_probe_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        assert!(probe(dir.path()).unwrap().never_replaces);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(probe(&dir.path().join("missing")).is_err());
    }
}
