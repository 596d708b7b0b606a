//! Keys on disk: made at first start from the operating system's randomness, readable by their owner only.

use std::io;
use std::path::{Path, PathBuf};

use crate::auth::random_bytes;
use crate::blobs::{create_private_dir, write_durably};

/// The secrets folder of a server.
#[derive(Debug, Clone)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// Opens (and makes, if needed) `<data>/secrets`.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("secrets");
        create_private_dir(&folder)?;
        Ok(Self { folder })
    }

    /// The secret `name`: 32 random bytes in hex, made when it is asked for the first time.
    pub fn get_or_make(&self, name: &str) -> io::Result<String> {
        let path = self.folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().len() == 64 => Ok(text.trim().to_owned()),
            Ok(_) => Err(io::Error::other(format!(
                "{} is damaged: remove it to make a new one",
                path.display()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = hex::encode(random_bytes::<32>());
                write_durably(&path, secret.as_bytes())?;
                Ok(secret)
            }
            Err(error) => Err(error),
        }
    }

    /// A file of the folder that something else fills, as the identity certificate.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Secrets::open(dir.path()).unwrap().get_or_make("jwt").unwrap();
        let second = Secrets::open(dir.path()).unwrap().get_or_make("jwt").unwrap();
        assert_eq!(first, second);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode =
                std::fs::metadata(dir.path().join("secrets/jwt")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_torn_secret_is_an_error_not_a_weak_key() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path()).unwrap();
        std::fs::write(secrets.path("jwt"), "").unwrap();
        assert!(secrets.get_or_make("jwt").is_err());
    }
}
