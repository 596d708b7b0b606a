//! Which server key is the right one: a certificate counts by its key's fingerprint alone.
//!
//! The server's identity certificate is self-signed and names no host, so neither name nor dates nor issuer say
//! anything; the handshake proves that the other side holds the key. No SNI is sent then, for the server answers a
//! client without one with exactly this certificate.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use photosync_protocol::v2::session::fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::error::{Error, Result};

/// DER of a SubjectPublicKeyInfo with an Ed25519 key, up to the 32 bytes of the key (RFC 8410 §4).
const ED25519_KEY_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Accepts the one key, or, without one, any (to ask a person). Remembers what it saw.
pub struct KeyVerifier {
    wanted: Option<String>,
    seen: Mutex<Option<String>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for KeyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyVerifier").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl KeyVerifier {
    /// Accepts the key with that fingerprint; any Ed25519 key without one.
    pub fn new(wanted: Option<String>) -> Arc<Self> {
        Arc::new(Self { wanted, seen: Mutex::new(None), provider: provider() })
    }

    /// Fingerprint of the last key a server showed, accepted or not. Empty if it was no Ed25519 key.
    pub fn seen(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fingerprint of the key that is accepted; `None` accepts any.
    pub fn wanted(&self) -> Option<&str> {
        self.wanted.as_deref()
    }

    /// The last key if it was another than the wanted one; empty if it was no Ed25519 key.
    pub fn refused(&self) -> Option<String> {
        let wanted = self.wanted.as_deref()?;
        self.seen().filter(|seen| seen != wanted)
    }
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let seen = key
            .strip_prefix(&ED25519_KEY_PREFIX)
            .and_then(|bytes| <&[u8; 32]>::try_from(bytes).ok())
            .map(fingerprint);
        let right = match (&seen, &self.wanted) {
            (Some(seen), Some(wanted)) => seen == wanted,
            (Some(_), None) => true,
            (None, _) => false,
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen.unwrap_or_default());
        if right {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS that trusts the key the verifier wants.
pub fn tls_by_key(verifier: Arc<KeyVerifier>) -> Result<ClientConfig> {
    let mut config =
        builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.enable_sni = false;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// TLS that trusts what the operating system trusts.
pub fn tls_by_certificate() -> Result<ClientConfig> {
    let verifier = rustls_platform_verifier::Verifier::new(provider()).map_err(unusable)?;
    let mut config = builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)
}

fn unusable(cause: rustls::Error) -> Error {
    Error::unexpected(format!("could not set TLS up: {cause}"))
}

/// A fingerprint in groups of four, as people compare them.
pub fn grouped(fingerprint: &str) -> String {
    let letters: Vec<char> = fingerprint.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

/// Reads a fingerprint as typed: blanks and upper case are forgiven. `None` if it cannot be one.
pub fn read_fingerprint(typed: &str) -> Option<String> {
    let text: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.to_ascii_lowercase();
    let fits = text.len() == 52 && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_from_how_it_is_shown() {
        let text = fingerprint(&[7; 32]);
        assert_eq!(read_fingerprint(&grouped(&text).to_uppercase()), Some(text));
        assert_eq!(read_fingerprint("abcd"), None);
    }
}
