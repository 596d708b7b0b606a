//! What the tray remembers between two starts: `<data>/tray.json`, for its owner alone.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::Complete;

const FILE: &str = "tray.json";

/// See the module. What a later version added is lost when an earlier one writes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Folders of this computer that are backed up.
    pub folders: Vec<PathBuf>,
    /// The last complete backup of this computer.
    pub last_complete: Option<Complete>,
    /// Ids of overdue devices that the person was told of.
    pub told_overdue: BTreeSet<String>,
    /// The newer version that the person was told of.
    pub told_newer: Option<String>,
    /// Data of the server that came before which was taken over: it is not offered again.
    pub imported: Option<PathBuf>,
}

impl Kept {
    /// Reads it. Nothing where there is no such file.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is not ours.
    pub fn load(data_dir: &Path) -> io::Result<Self> {
        match std::fs::read(data_dir.join(FILE)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it: all of it or nothing, also when the power goes.
    ///
    /// # Errors
    /// The folder cannot be written, or a path is not Unicode. What was kept before still is.
    pub fn store(&self, data_dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        let fresh = data_dir.join(format!("{FILE}.new"));
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(true).write(true);
        // It names folders of a person.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&fresh, data_dir.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    #[test]
    fn what_is_kept_comes_back_and_a_broken_file_is_an_error_that_stays_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Kept::load(dir.path()).unwrap(), Kept::default());
        let kept = Kept {
            folders: vec!["/home/ada/Pictures".into()],
            last_complete: Some(Complete { at: Moment { day: 1, minute: 2 }, files: 3 }),
            told_overdue: ["d".to_owned()].into(),
            told_newer: Some("2.0.0".into()),
            imported: Some("/home/ada/PhotoLynk/server".into()),
        };
        kept.store(dir.path()).unwrap();
        assert_eq!(Kept::load(dir.path()).unwrap(), kept);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing lies beside it");
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(Kept::load(dir.path()).is_err());
        assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), b"{");
    }
}
