//! Where this device's keys to a sealed backup lie: in the key store of the system if there is one, else in the file of the
//! space, readable by its owner alone.
//!
//! The key store has one random key, and the keys of the epochs lie in the file, sealed with it. So it is asked once for a
//! run and written once for ever, its limits on length do not matter, and file and store never disagree.

use photosync_protocol::crypto::{self, Key, NONCE_BYTES, Nonce};
use zeroize::Zeroizing;

use super::space::random;
use crate::error::{Error, Kind, Result};
use crate::keystore::{self, Failure};
use crate::profile::Profile;

/// Where the keys lie.
#[derive(Debug, Clone)]
pub enum KeyPlace {
    /// Sealed in the file, and what opens them in the key store of the system.
    KeyStore {
        /// The name it has there.
        entry: String,
        /// What the store keeps.
        key: Key,
    },
    /// In the file: why not in the key store.
    File(String),
}

impl KeyPlace {
    /// Chooses for new keys. `entry` names the device there. Blocks, and may wait for a person who unlocks the store.
    pub fn choose(profile: &Profile, entry: String) -> Result<Self> {
        if !profile.uses_key_store() {
            return Ok(Self::File("PHOTOSYNC_CLIENT_KEYSTORE is off".to_owned()));
        }
        let key = Key::new(random()?);
        let kept = keystore::set(&entry, hex::encode(key.expose()));
        Ok(match kept {
            Ok(()) => Self::KeyStore { entry, key },
            Err(Failure::Unusable(why)) => Self::File(why),
            Err(Failure::Absent) => Self::File("it takes nothing".to_owned()),
        })
    }

    /// The place that a file names. An error says what opens the keys again. Blocks as [`Self::choose`] does.
    pub fn find(profile: &Profile, entry: String) -> Result<Self> {
        let unusable = |why: &str| {
            let text = format!(
                "the keys to the sealed backup lie in the key store of the system, and that cannot be used: {why}"
            );
            Error::new(Kind::Storage, text).coded("key_store").hint(
                "unlock it, as by signing in to the desktop; or, to keep them in a file: \
                 PHOTOSYNC_CLIENT_KEYSTORE=off photosync relay unlock",
            )
        };
        if !profile.uses_key_store() {
            return Err(unusable("PHOTOSYNC_CLIENT_KEYSTORE is off"));
        }
        let text = match keystore::get(&entry) {
            Ok(text) => Zeroizing::new(text),
            Err(Failure::Unusable(why)) => return Err(unusable(&why)),
            Err(Failure::Absent) => return Err(lost()),
        };
        let mut bytes = [0; crypto::KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| lost())?;
        Ok(Self::KeyStore { entry, key: Key::new(bytes) })
    }

    /// Whether the key store of the system opens them.
    pub fn is_in_key_store(&self) -> bool {
        matches!(self, Self::KeyStore { .. })
    }

    /// Seals the keys for the file. `None` if they lie there as they are.
    pub fn seal(&self, keys: &[u8]) -> Result<Option<(String, String)>> {
        let Self::KeyStore { entry, key } = self else { return Ok(None) };
        let nonce: Nonce = random()?;
        let sealed = [&nonce[..], &crypto::seal(keys, &nonce, key)].concat();
        Ok(Some((entry.clone(), hex::encode(sealed))))
    }

    /// Opens what [`Self::seal`] made.
    pub fn open(&self, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        let Self::KeyStore { key, .. } = self else { return Err(lost()) };
        let sealed = hex::decode(sealed).map_err(|_| lost())?;
        let (nonce, boxed) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(lost)?;
        let nonce: &Nonce = nonce.try_into().map_err(|_| lost())?;
        crypto::open(boxed, nonce, key).map(Zeroizing::new).map_err(|_| lost())
    }
}

fn lost() -> Error {
    let text =
        "the key store of the system has nothing any more that opens the keys to the sealed backup";
    Error::new(Kind::SignIn, text).coded("key_store").hint("type photosync relay unlock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_opened_by_what_the_store_keeps_and_by_nothing_else() {
        let place = |byte| KeyPlace::KeyStore { entry: "e".into(), key: Key::new([byte; 32]) };
        let (entry, sealed) = place(1).seal(b"keys of the epochs").unwrap().unwrap();
        assert_eq!(entry, "e");
        assert_eq!(place(1).open(&sealed).unwrap().as_slice(), b"keys of the epochs");
        assert_eq!(place(2).open(&sealed).unwrap_err().code, "key_store");
        assert_eq!(place(1).open("00").unwrap_err().code, "key_store");
        assert!(!sealed.contains(&hex::encode(b"keys")));
        let file = KeyPlace::File("none".into());
        assert!(file.seal(b"keys").unwrap().is_none());
        let profile = Profile::at("nowhere");
        assert!(matches!(KeyPlace::choose(&profile, "e".into()).unwrap(), KeyPlace::File(_)));
        let error = KeyPlace::find(&profile, "e".into()).unwrap_err();
        assert_eq!(error.kind, Kind::Storage);
        assert!(error.hint.contains("PHOTOSYNC_CLIENT_KEYSTORE=off photosync relay unlock"));
    }
}
