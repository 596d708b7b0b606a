//! Whether this machine would trust a certificate, without refusing any: what is wrong with one is to be told.

use std::sync::{Arc, Mutex, PoisonError};

use photosync_protocol::v2::session::fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

/// How the other side proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// Not at all: no TLS.
    None,
    /// By a certificate that this machine trusts.
    Trusted,
    /// By a certificate that this machine does not trust, for this reason, of the key with this fingerprint.
    Untrusted(String, String),
}

/// Lets every certificate pass and notes whether this machine would trust it: what is wrong with it is to be told, and
/// nothing secret is sent.
#[derive(Debug)]
pub(super) struct Judge {
    provider: Arc<rustls::crypto::CryptoProvider>,
    trusted: Option<Arc<WebPkiServerVerifier>>,
    pub(super) found: Mutex<Proof>,
}

impl Judge {
    pub(super) fn new() -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        Self { provider, trusted: builder.build().ok(), found: Mutex::new(Proof::None) }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = match &self.trusted {
            Some(trusted) => trusted
                .verify_server_cert(leaf, between, name, ocsp, now)
                .map_err(|error| error.to_string()),
            None => Err("this machine has no list of certificates that it trusts".to_owned()),
        };
        let proof = match judged {
            Ok(_) => Proof::Trusted,
            Err(why) => Proof::Untrusted(why, key_of(leaf).unwrap_or_default()),
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = proof;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Fingerprint of the certificate's Ed25519 key: the last 32 bytes of its SubjectPublicKeyInfo (RFC 8410 §4).
fn key_of(leaf: &CertificateDer<'_>) -> Option<String> {
    let info = ParsedCertificate::try_from(leaf).ok()?.subject_public_key_info();
    let key: &[u8; 32] = info.as_ref().last_chunk()?;
    Some(fingerprint(key))
}
