//! What is known of updates beside the programs: only who may replace the programs writes it, so that a server that was taken
//! over can change neither what was seen nor what runs.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::rules::Seen;
use super::{Programs, UpdateError, failed};

/// `<server>.update.json`, readable by everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Highest number of a manifest that was ever installed from or looked at.
    #[serde(default)]
    pub highest_sequence: u64,
    /// The last update.
    #[serde(default)]
    pub update: Option<Update>,
}

/// One update of the programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Random: the same version may be installed twice.
    pub id: String,
    /// The version that was replaced, kept beside the new one.
    pub from: String,
    /// The new version.
    pub to: String,
    /// Names of the programs that were replaced, the server's last.
    pub programs: Vec<String>,
    /// How far it got.
    pub stage: Stage,
    /// Data folders on which it was started.
    #[serde(default)]
    pub seen: BTreeMap<String, Seen>,
}

/// How far an update got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The programs are being replaced, the server's last.
    Replacing,
    /// All are replaced.
    Installed,
    /// The version before is back.
    GoneBack,
}

impl Update {
    /// Whether the version is known to work on some data.
    pub fn is_proven(&self) -> bool {
        self.seen.values().any(|seen| *seen == Seen::Proven)
    }
}

impl Ledger {
    /// Reads it; nothing if there is none.
    pub fn read(programs: &Programs) -> Result<Self, UpdateError> {
        let path = programs.ledger();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| failed("understand", &path)(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Writes it, durably, as a whole or not at all.
    pub fn write(&self, programs: &Programs) -> Result<(), UpdateError> {
        let path = programs.ledger();
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| failed("write down", &path)(error.into()))?;
        replace_file(&path, &bytes).map_err(failed("write", &path))
    }

    /// The update that `version` came with, unless it was undone.
    pub fn update_to(&self, version: &str) -> Option<&Update> {
        let update = self.update.as_ref()?;
        (update.to == version && update.stage != Stage::GoneBack).then_some(update)
    }
}

/// Held while anybody changes the ledger or the programs. An error if this process may not, or another one does.
pub(super) fn lock(programs: &Programs) -> Result<File, UpdateError> {
    let path = programs.lock();
    let file = File::create(&path).map_err(|error| {
        UpdateError::Failed(format!(
            "could not write beside the programs ({}): {error}. Run this as who has installed them, for a service with sudo",
            path.display()
        ))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(UpdateError::Failed("another update is under way".into()))
        }
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

/// Puts a small file in place durably; everybody may read it.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut half = path.as_os_str().to_owned();
    half.push(".new");
    let half = Path::new(&half);
    let _ = std::fs::remove_file(half);
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let mut file = options.open(half)?;
    // Whatever the umask of a service says: the server must be able to read it.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(half, path)?;
    sync_folder(path)
}

/// Makes names in the folder of `path` durable.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// The list of install.sh: every file that it may upgrade or remove, with its checksum. An update keeps it true.
#[derive(Debug, Clone)]
pub struct InstallerList(pub std::path::PathBuf);

impl InstallerList {
    /// Whether install.sh has put `path` there.
    pub fn has(&self, path: &Path) -> bool {
        let wanted = path.to_string_lossy();
        self.lines().iter().any(|line| line.get(65..) == Some(&*wanted))
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Adds `(checksum, path)`, and takes other checksums of `settled` paths away. Nothing without a list.
    pub fn note(&self, add: &[(String, String)], settled: &[String]) -> std::io::Result<()> {
        if !self.0.exists() {
            return Ok(());
        }
        let added: Vec<String> = add.iter().map(|(sum, path)| format!("{sum} {path}")).collect();
        let mut lines = self.lines();
        lines.retain(|line| {
            let path = line.get(65..).unwrap_or_default();
            let is_settled =
                !line.starts_with('#') && settled.iter().any(|settled| settled == path);
            !is_settled && !added.contains(line)
        });
        lines.extend(added);
        replace_file(&self.0, (lines.join("\n") + "\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_the_installer_names_both_versions_during_an_update_and_one_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let list = InstallerList(dir.path().join("installed"));
        let sum = |digit: &str| digit.repeat(64);
        list.note(&[(sum("1"), "/p/a".into())], &[]).unwrap();
        assert!(!list.0.exists(), "no list, nothing to keep");
        std::fs::write(&list.0, format!("# what=server\n{} /p/a\n{} /p/b\n", sum("1"), sum("2")))
            .unwrap();
        assert!(list.has(Path::new("/p/a")) && !list.has(Path::new("/p")));
        list.note(&[(sum("3"), "/p/a".into())], &[]).unwrap();
        list.note(&[(sum("3"), "/p/a".into())], &[]).unwrap();
        let text = std::fs::read_to_string(&list.0).unwrap();
        assert_eq!(text.matches(" /p/a\n").count(), 2, "{text}");
        list.note(&[(sum("3"), "/p/a".into())], &["/p/a".into()]).unwrap();
        let text = std::fs::read_to_string(&list.0).unwrap();
        assert_eq!(text, format!("# what=server\n{} /p/b\n{} /p/a\n", sum("2"), sum("3")));
    }
}
