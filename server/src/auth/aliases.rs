//! How the device UUIDs of old clients are kept: never as they are.
//!
//! Such a UUID is an unsalted SHA-1 of e-mail and password. In a stolen database it would let passwords be guessed at
//! the speed of SHA-1, whatever Argon2id costs; so what is stored is a MAC of it, under a key that is not in the
//! database.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// A device UUID as it is stored: 32 hex digits of HMAC-SHA256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias(String);

impl Alias {
    /// The text in the database.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes aliases under one server's key.
#[derive(Clone)]
pub struct Aliases {
    mac: Hmac<Sha256>,
}

impl Aliases {
    /// Aliases under `key`.
    pub fn new(key: &[u8; 32]) -> Self {
        // RFC 2104: a shorter key is filled up with zeros to the hash's block.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        Self { mac: Hmac::new(&block.into()) }
    }

    /// The alias of a device UUID, however its letters are spelled; of any other text, that text's.
    pub fn of(&self, text: &str) -> Alias {
        let spelled =
            Uuid::try_parse(text).map_or_else(|_| text.to_owned(), |uuid| uuid.to_string());
        let tag = self.mac.clone().chain_update(spelled.as_bytes()).finalize().into_bytes();
        Alias(hex::encode(&tag[..16]))
    }

    /// The alias of a device UUID.
    pub fn of_uuid(&self, uuid: Uuid) -> Alias {
        self.of(&uuid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_depends_on_the_key_and_not_on_the_spelling() {
        let aliases = Aliases::new(&[1; 32]);
        let of = |text: &str| aliases.of(text);
        assert_eq!(
            of("0E0FFB54-1DC5-5F79-A254-FE7AB9784646"),
            of("0e0ffb54-1dc5-5f79-a254-fe7ab9784646")
        );
        assert_ne!(of("a"), of("b"));
        assert_ne!(of("a"), Aliases::new(&[2; 32]).of("a"));
    }
}
