//! Signed sign-in tokens: JWT, HS256 only; 30 days in version 1, an hour on the native wire. A token is only a name
//! for a session row; the row decides whether it still opens anything.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Life of a version-1 token: 30 days, as old clients expect.
pub const LEGACY_TOKEN_MS: i64 = 30 * crate::clock::DAY_MS;

/// What a version-1 token says. No e-mail: tokens end up in logs of other people's proxies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// The old clients' user id.
    pub id: i64,
    /// Account UUID.
    pub user_uuid: String,
    /// Device UUID exactly as the client spells it.
    pub device_uuid: String,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires at, Unix seconds.
    pub exp: i64,
    /// Session id.
    pub jti: String,
}

/// What an access token of the native wire says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Account UUID. Its name keeps the two kinds apart: neither reads as the other.
    pub sub: String,
    /// Session id.
    pub jti: String,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires at, Unix seconds.
    pub exp: i64,
}

/// Signs and reads tokens.
#[derive(Clone)]
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    key_id: String,
}

impl Tokens {
    /// Tokens under `secret` (at least 32 bytes, checked by the configuration).
    pub fn new(secret: &[u8]) -> Self {
        // The key id tells keys apart without telling anything about them.
        let id = Sha256::new().chain_update(b"photosync-key-id").chain_update(secret).finalize();
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            key_id: hex::encode(&id[..8]),
        }
    }

    /// Signs `claims`.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String> {
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::HS256) };
        encode(&header, claims, &self.encoding)
            .map_err(|source| Error::internal("sign a token").caused_by(source))
    }

    /// The claims of a version-1 token that this key signed and that has not expired at `now_ms`.
    pub fn read(&self, token: &str, now_ms: i64) -> Option<Claims> {
        self.read_signed(token).filter(|claims: &Claims| claims.exp.saturating_mul(1000) > now_ms)
    }

    /// The claims of an access token that this key signed and that has not expired at `now_ms`.
    pub fn read_access(&self, token: &str, now_ms: i64) -> Option<AccessClaims> {
        self.read_signed(token)
            .filter(|claims: &AccessClaims| claims.exp.saturating_mul(1000) > now_ms)
    }

    fn read_signed<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let mut validation = Validation::new(Algorithm::HS256);
        // The server's own clock decides about expiry, so that tests can move it.
        validation.validate_exp = false;
        let token = decode::<T>(token, &self.decoding, &validation).ok()?;
        (token.header.kid.as_deref() == Some(self.key_id.as_str())).then_some(token.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            id: 7,
            user_uuid: "u".into(),
            device_uuid: "d".into(),
            iat: 0,
            exp: 100,
            jti: "j".into(),
        }
    }

    #[test]
    fn only_the_key_that_signed_reads_and_only_until_expiry() {
        let tokens = Tokens::new(&[1; 32]);
        let token = tokens.sign(&claims()).unwrap();
        assert_eq!(tokens.read(&token, 99_999).unwrap().jti, "j");
        assert!(tokens.read(&token, 100_000).is_none());
        assert!(Tokens::new(&[2; 32]).read(&token, 0).is_none());
    }

    #[test]
    fn an_access_token_is_no_version_1_token_and_the_other_way_round() {
        let tokens = Tokens::new(&[1; 32]);
        let access = AccessClaims { sub: "u".into(), jti: "j".into(), iat: 0, exp: 100 };
        let access = tokens.sign(&access).unwrap();
        assert_eq!(tokens.read_access(&access, 99_999).unwrap().jti, "j");
        assert!(tokens.read_access(&access, 100_000).is_none());
        assert!(tokens.read(&access, 0).is_none());
        assert!(tokens.read_access(&tokens.sign(&claims()).unwrap(), 0).is_none());
    }

    #[test]
    fn other_algorithms_and_foreign_key_ids_are_refused() {
        let tokens = Tokens::new(&[1; 32]);
        let key = EncodingKey::from_secret(&[1; 32]);
        let hs512 = Header { kid: Some(tokens.key_id.clone()), ..Header::new(Algorithm::HS512) };
        assert!(tokens.read(&encode(&hs512, &claims(), &key).unwrap(), 0).is_none());
        let no_kid = encode(&Header::new(Algorithm::HS256), &claims(), &key).unwrap();
        assert!(tokens.read(&no_kid, 0).is_none());
        let none = "eyJhbGciOiJub25lIn0.eyJpZCI6N30.";
        assert!(tokens.read(none, 0).is_none());
    }
}
