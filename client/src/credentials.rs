//! Who this device is, where, and which key its server has: one file of 0600. Its tokens lie in the key store of the system
//! when there is one, otherwise in the same file.
//!
//! Where they lie is decided at sign-in, and stays so until the next one. The one exception: when the store does not
//! take a renewed token, the file does, for the old one is spent and the device would be signed out.

use std::io::ErrorKind;

use photosync_protocol::v2::session::Session;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::keystore::{self, Failure};
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
    /// Name under which the key store of the system has the tokens; they lie in the file without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_store_entry: Option<String>,
}

/// What the key store keeps.
#[derive(Serialize, Deserialize)]
struct Secrets {
    access_token: String,
    access_expires_at_ms: i64,
    refresh_token: String,
}

/// Where the tokens lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the key store of the system.
    KeyStore,
    /// In the file, because the profile was told so.
    File,
    /// In the file, because there is no key store: why.
    FileInstead(String),
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
            key_store_entry: None,
        }
    }

    /// Those of the profile, `None` if nobody is signed in. May wait for a person who unlocks the key store.
    pub fn find(profile: &Profile) -> Result<Option<Self>> {
        let Some(known) = Self::find_public(profile)? else { return Ok(None) };
        match known.key_store_entry.clone() {
            None => Ok(Some(known)),
            Some(entry) => known.unlock(profile, &entry).map(Some),
        }
    }

    /// With the tokens of the key store.
    fn unlock(self, profile: &Profile, entry: &str) -> Result<Self> {
        let again = format!("photosync login {} {}", self.url, self.email);
        let unusable = |why: &str| {
            let text = format!(
                "this device's credentials lie in the key store of the system, and that cannot be used: {why}"
            );
            Error::new(Kind::Storage, text).hint(format!(
                "unlock it, as by signing in to the desktop; or, to keep them in a file: PHOTOSYNC_CLIENT_KEYSTORE=off {again}"
            ))
        };
        if !profile.uses_key_store() {
            return Err(unusable("PHOTOSYNC_CLIENT_KEYSTORE is off"));
        }
        let secrets = match keystore::get(entry) {
            Ok(secrets) => secrets,
            Err(Failure::Unusable(why)) => return Err(unusable(&why)),
            Err(Failure::Absent) => {
                let text = "the key store of the system has no credentials of this device any more";
                return Err(Error::new(Kind::SignIn, text).hint(again));
            }
        };
        let Ok(secrets) = serde_json::from_str::<Secrets>(&secrets) else {
            return Err(unusable("what it holds is not what was put there"));
        };
        Ok(Self {
            access_token: secrets.access_token,
            access_expires_at_ms: secrets.access_expires_at_ms,
            refresh_token: secrets.refresh_token,
            ..self
        })
    }

    /// Those of the profile, with empty tokens if they lie in the key store, which is not asked. `None` if nobody is
    /// signed in.
    pub fn find_public(profile: &Profile) -> Result<Option<Self>> {
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

    /// Keeps those of a new session, and forgets the ones before.
    pub fn store_new(&mut self, profile: &Profile) -> Result<Place> {
        let before = Self::find_public(profile).ok().flatten().and_then(|old| old.key_store_entry);
        let place = if profile.uses_key_store() {
            // Two profiles of one account are two devices.
            let entry = format!("{} {}", self.email, self.device_id);
            self.key_store_entry = Some(entry);
            self.store_or_say_why(profile)?.map_or(Place::KeyStore, Place::FileInstead)
        } else {
            self.store(profile)?;
            Place::File
        };
        if let Some(before) = before.filter(|before| Some(before) != self.key_store_entry.as_ref())
            && profile.uses_key_store()
        {
            // What is left of it opens nothing: the server gave this device new tokens.
            let _ = keystore::remove(&before);
        }
        Ok(place)
    }

    /// Writes them for the next run, where they lay before.
    pub fn store(&mut self, profile: &Profile) -> Result<()> {
        self.store_or_say_why(profile).map(|_| ())
    }

    /// Answers why the key store was to take the tokens and did not; they are in the file then.
    fn store_or_say_why(&mut self, profile: &Profile) -> Result<Option<String>> {
        let mut why = None;
        let mut public = self.clone();
        if let Some(entry) = &self.key_store_entry {
            let secrets = Secrets {
                access_token: std::mem::take(&mut public.access_token),
                access_expires_at_ms: self.access_expires_at_ms,
                refresh_token: std::mem::take(&mut public.refresh_token),
            };
            // Compact: the Credential Manager of Windows takes 1,280 characters, and this is about 450.
            let kept = serde_json::to_string(&secrets).map_err(unwritable)?;
            match keystore::set(entry, kept) {
                Ok(()) => {}
                Err(failure) => {
                    why = Some(match failure {
                        Failure::Unusable(why) => why,
                        Failure::Absent => "it takes nothing".to_owned(),
                    });
                    self.key_store_entry = None;
                    public = self.clone();
                }
            }
        }
        profile.write(&profile.credentials_file(), &to_json(&public)?)?;
        Ok(why)
    }

    /// Forgets them; done already is fine.
    pub fn remove(profile: &Profile) -> Result<()> {
        let entry = Self::find_public(profile).ok().flatten().and_then(|old| old.key_store_entry);
        if let Some(entry) = entry.filter(|_| profile.uses_key_store()) {
            // Signing out at the server made them worthless already.
            let _ = keystore::remove(&entry);
        }
        let path = profile.credentials_file();
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                Err(Error::storage("remove", &path, &cause))
            }
            _ => Ok(()),
        }
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(unwritable)
}

// The cause names a type, never a value.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn unwritable(cause: serde_json::Error) -> Error {
    Error::unexpected(format!("could not write credentials: {cause}"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_readable_by_their_owner_alone_and_never_printed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::at(folder.path().join("new"));
        assert!(Credentials::find(&profile).unwrap().is_none());
        assert_eq!(Credentials::get(&profile).unwrap_err().kind, Kind::SignIn);
        let mut credentials = Credentials {
            url: "https://nas:3000".into(),
            trust: Trust::Key,
            fingerprint: "f".into(),
            email: "ada@example.org".into(),
            account_uuid: "u".into(),
            device_id: "d".into(),
            access_token: "secret-access".into(),
            access_expires_at_ms: 5,
            refresh_token: "secret-refresh".into(),
            key_store_entry: None,
        };
        credentials.store(&profile).unwrap();
        credentials.store(&profile).unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(profile.credentials_file()), 0o600);
        assert_eq!(mode(profile.folder().to_owned()), 0o700);
        assert!(!format!("{credentials:?}").contains("secret"));
        assert_eq!(Credentials::get(&profile).unwrap(), credentials);
        // Tokens in a store that must not be used: said, and not taken for signed out.
        credentials.key_store_entry = Some("ada d".into());
        let text = serde_json::to_vec(&credentials).unwrap();
        profile.write(&profile.credentials_file(), &text).unwrap();
        let error = Credentials::get(&profile).unwrap_err();
        assert_eq!(error.kind, Kind::Storage);
        assert!(
            error.hint.contains("photosync login https://nas:3000 ada@example.org"),
            "{error:?}"
        );
        assert_eq!(Credentials::find_public(&profile).unwrap(), Some(credentials));
        Credentials::remove(&profile).unwrap();
        Credentials::remove(&profile).unwrap();
        assert!(Credentials::find(&profile).unwrap().is_none());
    }
}
