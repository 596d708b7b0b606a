//! What is kept of ACME between runs: `<data>/secrets/acme/<authority>/` with the account's key and the certificate with its
//! key. All of it can be made again; losing it costs an order. Every file is replaced whole, synced, and closed to others.

use std::io;
use std::path::PathBuf;

use photosync_protocol::process::Exit;
use sha2::{Digest, Sha256};

use crate::blobs::{create_private_dir, write_durably};
use crate::boot::BootError;
use crate::config::AcmeConfig;
use crate::secrets::Secrets;

/// The account's key: PKCS #8 in hexadecimal digits.
const ACCOUNT: &str = "account";
/// Key and chain in one file, so that no crash separates them.
const CERTIFICATE: &str = "certificate.pem";

/// The folder of one authority.
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Names the folder, which need not be there.
    pub fn new(secrets: &Secrets, acme: &AcmeConfig) -> Self {
        // Certificates of a staging directory must never be taken for real ones.
        let digest = hex::encode(Sha256::digest(acme.directory.as_bytes()));
        let host: String = acme
            .directory
            .trim_start_matches("https://")
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
            .collect();
        Self { folder: secrets.path("acme").join(format!("{host}-{}", &digest[..8])) }
    }

    /// Where the certificate lies.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(CERTIFICATE)
    }

    /// The account's key, `None` if there is none yet. A damaged one counts as none: another account is as good.
    pub fn find_account(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read_to_string(self.folder.join(ACCOUNT)) {
            Ok(text) => Ok(hex::decode(text.trim()).ok().filter(|key| !key.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the account's key.
    pub fn store_account(&self, key: &[u8]) -> io::Result<()> {
        self.store(ACCOUNT, hex::encode(key).as_bytes())
    }

    /// Keeps key and chain, PEM.
    pub fn store_certificate(&self, pem: &str) -> io::Result<()> {
        self.store(CERTIFICATE, pem.as_bytes())
    }

    fn store(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if let Some(parent) = self.folder.parent() {
            create_private_dir(parent)?;
        }
        create_private_dir(&self.folder)?;
        write_durably(&self.folder.join(name), bytes)
    }

    /// The sentence for a file that cannot be written or read.
    pub fn broken(&self, what: &str, error: &dyn std::fmt::Display) -> BootError {
        BootError::new(
            Exit::Storage,
            format!("could not {what} in {}: {error}", self.folder.display()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme(directory: &str) -> AcmeConfig {
        AcmeConfig {
            domains: vec!["photos.example.org".into()],
            contact: Vec::new(),
            directory: directory.into(),
            ca: None,
            challenge: None,
        }
    }

    #[test]
    fn each_authority_has_a_closed_folder_of_its_own() {
        let data = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(data.path()).unwrap();
        let real = Cache::new(&secrets, &acme("https://ca.example.org/directory"));
        let staging = Cache::new(&secrets, &acme("https://ca.example.org/staging"));
        assert_eq!(real.find_account().unwrap(), None);
        real.store_account(&[7; 9]).unwrap();
        real.store_certificate("PEM").unwrap();
        assert_eq!(real.find_account().unwrap(), Some(vec![7; 9]));
        assert_eq!(staging.find_account().unwrap(), None);
        assert!(!staging.certificate().exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode =
                |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(real.certificate()), 0o600);
            assert_eq!(mode(real.folder.clone()), 0o700);
            assert_eq!(mode(secrets.path("acme")), 0o700);
        }
    }
}
