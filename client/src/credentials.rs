//! Who this device is, where, and which key its server has: one file of 0600.

use std::io::ErrorKind;

use photosync_protocol::v2::session::Session;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::profile::Profile;

/// How the server proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// By its identity key, whose fingerprint this device keeps.
    Key,
    /// By a certificate that the operating system trusts, and the name in the URL.
    Certificate,
    /// Not at all: `http://` to this machine or a private network, because the person typed that.
    Nothing,
}

/// A signed-in device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Base address, without a slash at its end.
    pub url: String,
    /// How the server proves who it is.
    pub trust: Trust,
    /// Fingerprint of the server's identity key: what its certificate (with [`Trust::Key`]) and its receipts must have.
    pub fingerprint: String,
    /// The account's e-mail.
    pub email: String,
    /// Whose library it is.
    pub account_uuid: String,
    /// This device.
    pub device_id: String,
    /// Ends at `access_expires_at_ms`.
    pub access_token: String,
    /// Unix milliseconds by this machine's clock.
    pub access_expires_at_ms: i64,
    /// For the next access token.
    pub refresh_token: String,
}

// Tokens must not reach a log by way of `{:?}`.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("url", &self.url)
            .field("email", &self.email)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// What a session means for this device from now on.
    pub fn of(url: &str, trust: Trust, session: Session, now_ms: i64) -> Self {
        Self {
            url: url.to_owned(),
            trust,
            fingerprint: session.fingerprint,
            email: session.email,
            account_uuid: session.account_uuid,
            device_id: session.device_id,
            access_token: session.access_token,
            access_expires_at_ms: now_ms.saturating_add(session.expires_in_s.saturating_mul(1000)),
            refresh_token: session.refresh_token,
        }
    }

    /// Those of the profile, `None` if nobody is signed in.
    pub fn find(profile: &Profile) -> Result<Option<Self>> {
        let path = profile.credentials_file();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::storage("read", &path, &cause)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|cause| {
            Error::storage("understand", &path, &cause)
                .hint("sign in again: photosync login URL EMAIL")
        })
    }

    /// Those of the profile.
    pub fn get(profile: &Profile) -> Result<Self> {
        Self::find(profile)?.ok_or_else(|| {
            Error::new(Kind::SignIn, "nobody is signed in on this computer")
                .hint("photosync login URL EMAIL, or photosync pair URL CODE")
        })
    }

    /// Writes them for the next run.
    pub fn store(&self, profile: &Profile) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|cause| Error::unexpected(format!("could not write credentials: {cause}")))?;
        profile.write(&profile.credentials_file(), &text)
    }

    /// Forgets them; done already is fine.
    pub fn remove(profile: &Profile) -> Result<()> {
        let path = profile.credentials_file();
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                Err(Error::storage("remove", &path, &cause))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn credentials_are_readable_by_their_owner_alone_and_never_printed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::at(folder.path().join("new"));
        assert!(Credentials::find(&profile).unwrap().is_none());
        assert_eq!(Credentials::get(&profile).unwrap_err().kind, Kind::SignIn);
        let credentials = Credentials {
            url: "https://nas:3000".into(),
            trust: Trust::Key,
            fingerprint: "f".into(),
            email: "ada@example.org".into(),
            account_uuid: "u".into(),
            device_id: "d".into(),
            access_token: "secret-access".into(),
            access_expires_at_ms: 5,
            refresh_token: "secret-refresh".into(),
        };
        credentials.store(&profile).unwrap();
        credentials.store(&profile).unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(profile.credentials_file()), 0o600);
        assert_eq!(mode(profile.folder().to_owned()), 0o700);
        assert!(!format!("{credentials:?}").contains("secret"));
        assert_eq!(Credentials::get(&profile).unwrap(), credentials);
        Credentials::remove(&profile).unwrap();
        Credentials::remove(&profile).unwrap();
        assert!(Credentials::find(&profile).unwrap().is_none());
    }
}
