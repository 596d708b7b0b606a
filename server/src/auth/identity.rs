//! The server's identity: one Ed25519 key, made at first start, that outlives addresses and certificates.
//!
//! Clients pin its fingerprint at pairing. It signs receipts and endpoint lists, each under a domain of its own, and
//! it is the key of the self-signed certificate.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use photosync_protocol::v2::session::fingerprint;

/// The key and what is shown of it.
pub struct Identity {
    key: Ed25519KeyPair,
    public_key: [u8; 32],
    fingerprint: String,
}

impl Identity {
    /// The identity of a 32-byte seed (RFC 8032 §5.1.5). `None` if no key can be made of it.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public_key: [u8; 32] = key.public_key().as_ref().try_into().ok()?;
        Some(Self { fingerprint: fingerprint(&public_key), key, public_key })
    }

    /// What clients pin: 52 characters.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The 32 public bytes, base64url.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public_key)
    }

    /// Signs bytes that begin with a domain of their own; base64url.
    pub fn sign(&self, domain_and_bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.key.sign(domain_and_bytes).as_ref())
    }

    /// The private key as PKCS #8, for the certificate.
    pub fn to_pkcs8(&self) -> Option<Vec<u8>> {
        self.key.to_pkcs8().ok().map(|document| document.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_and_signature_are_those_of_the_standard() {
        // RFC 8032 §7.1, test 1.
        let mut seed = [0; 32];
        hex::decode_to_slice(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            &mut seed,
        )
        .unwrap();
        let identity = Identity::from_seed(&seed).unwrap();
        assert_eq!(
            hex::encode(identity.public_key),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let signature = URL_SAFE_NO_PAD.decode(identity.sign(b"")).unwrap();
        assert!(hex::encode(signature).starts_with("e5564300c360ac729086e2cc806e828a"));
        assert_eq!(identity.fingerprint().len(), 52);
    }
}
