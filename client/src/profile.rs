//! The folder of one client: credentials, cache, and the lock that keeps two processes from refreshing at once.
//!
//! Everything in it is readable by its owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A client's folder. Made when it is first needed.
#[derive(Debug, Clone)]
pub struct Profile {
    folder: PathBuf,
    discovers: bool,
    uses_key_store: bool,
}

impl Profile {
    /// A profile in that folder. Nothing outside of it is used before one of the methods below allows it.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), discovers: false, uses_key_store: false }
    }

    /// The same, with or without looking on the local network for a server that moved.
    pub fn discovering(self, discovers: bool) -> Self {
        Self { discovers, ..self }
    }

    /// Whether the local network may be asked for the server.
    pub fn discovers(&self) -> bool {
        self.discovers
    }

    /// The same, with or without the key store of the system for tokens.
    pub fn with_key_store(self, uses_key_store: bool) -> Self {
        Self { uses_key_store, ..self }
    }

    /// Whether tokens may lie in the key store of the system.
    pub fn uses_key_store(&self) -> bool {
        self.uses_key_store
    }

    /// Where the profile of this user lies by default; `variable` answers an environment variable. `None` if the
    /// system says of no folder that it is the user's.
    pub fn usual(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = if cfg!(windows) {
            set("APPDATA")
        } else if cfg!(target_os = "macos") {
            set("HOME").map(|home| home.join("Library/Application Support"))
        } else {
            set("XDG_CONFIG_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| set("HOME").map(|home| home.join(".config")))
        };
        base.map(|base| Self::at(base.join("photosync")))
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who is signed in where.
    pub fn credentials_file(&self) -> PathBuf {
        self.folder.join("credentials.json")
    }

    /// Where else the server can be reached.
    pub fn endpoints_file(&self) -> PathBuf {
        self.folder.join("endpoints.json")
    }

    /// Which files were hashed, and what the server said of them.
    pub fn cache_file(&self) -> PathBuf {
        self.folder.join("cache.db")
    }

    /// Makes the folder (0700) if it is not there.
    pub fn create(&self) -> Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&self.folder)
            .map_err(|cause| Error::storage("make the folder", &self.folder, &cause))
    }

    /// Holds the profile against other processes until the answer is dropped. Blocks: not for async code.
    pub fn lock(&self) -> Result<File> {
        self.create()?;
        let path = self.folder.join("lock");
        let failed = |cause: std::io::Error| Error::storage("lock", &path, &cause);
        let file = private(OpenOptions::new().create(true).truncate(false).write(true))
            .open(&path)
            .map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// Writes a file of the profile (0600) so that a crash leaves the old one or the new one.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.create()?;
        let partial = path.with_extension("new");
        let failed = |cause: std::io::Error| Error::storage("write", path, &cause);
        let write = || -> std::io::Result<()> {
            let _ = fs::remove_file(&partial);
            let mut file =
                private(OpenOptions::new().create_new(true).write(true)).open(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, path)
        };
        write().map_err(failed)
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_folder_follows_the_system_and_is_absent_without_a_home() {
        assert!(Profile::usual(|_| None).is_none());
        if cfg!(target_os = "linux") {
            let of = |name: &str| (name == "HOME").then(|| "/home/ada".into());
            let folder = Profile::usual(of).unwrap().folder;
            assert_eq!(folder, Path::new("/home/ada/.config/photosync"));
        }
    }
}
