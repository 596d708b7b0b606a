//! The server's key: it answers every ClientHello, stays the same, signs the list of addresses, and never locks a
//! browser out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use photosync_tests::http::Request;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::{Native, json_of};
use crate::stand::{SOON, Stand, text_of};
use crate::wire::tls::Certificate;

/// Trusts every certificate and remembers the last one: pinning without the pin. Signatures of the handshake are
/// checked, so that whoever shows a key must hold it.
#[derive(Debug)]
struct Remember {
    seen: Mutex<Option<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Remember {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            leaf,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            leaf,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What a client sees that asks for `/health` over TLS.
struct Seen {
    certificate: CertificateDer<'static>,
    /// In lower case.
    answer: String,
}

impl Seen {
    /// The fingerprint of the certificate's key; `None` if that is no Ed25519 key.
    fn fingerprint(&self) -> Option<String> {
        // SubjectPublicKeyInfo of Ed25519 is always this and 32 bytes (RFC 8410 §4).
        const SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
        let at = self.certificate.windows(SPKI.len()).position(|window| window == SPKI)?;
        self.certificate.get(at + SPKI.len()..at + SPKI.len() + 32).map(fingerprint_of)
    }

    fn is_strict(&self) -> bool {
        self.answer.contains("strict-transport-security")
    }
}

/// SHA-256 in base32, written down a second time.
fn fingerprint_of(public_key: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let bits: String =
        Sha256::digest(public_key).iter().map(|byte| format!("{byte:08b}")).collect::<String>()
            + "0000";
    let digits = b"abcdefghijklmnopqrstuvwxyz234567";
    let value = |at: usize| usize::from_str_radix(&bits[at * 5..at * 5 + 5], 2).expect("bits");
    (0..52).map(|at| char::from(digits[value(at)])).collect()
}

/// Asks with this server name; an address is not sent (RFC 6066 §3).
fn ask(address: SocketAddr, name: &str) -> Seen {
    let provider = Arc::new(provider::default_provider());
    let verifier = Arc::new(Remember { seen: Mutex::new(None), provider: provider.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let stream = TcpStream::connect(address).expect("a server");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    let mut stream = StreamOwned::new(connection, stream);
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("a sent request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let certificate = verifier
        .seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
        .expect("a certificate");
    Seen { certificate, answer: String::from_utf8_lossy(&answer).to_lowercase() }
}

fn pinned(stand: &Stand) -> String {
    text_of(&stand.send(Request::new("GET", "/api/v2/server")), "fingerprint")
}

#[test]
fn without_a_certificate_the_port_speaks_tls_with_the_pinned_key_and_plain_http_as_before() {
    let stand = Stand::new(&[]);
    let pin = pinned(&stand);
    let mut certificates = Vec::new();
    for name in ["127.0.0.1", "localhost", "photos.example.org", "photosync.invalid"] {
        let seen = ask(stand.address(), name);
        assert_eq!(seen.fingerprint().as_deref(), Some(pin.as_str()), "{name}");
        assert!(seen.answer.starts_with("http/1.1 200"), "{name}: {}", seen.answer);
        assert!(!seen.is_strict(), "no browser could come back: {}", seen.answer);
        certificates.push(seen.certificate);
    }
    let alice = stand.person();
    alice.keep("a.jpg", b"over plain http");
    stand.stop();
    stand.start();
    assert_eq!(ask(stand.address(), "localhost").certificate, certificates[0], "after a restart");
    assert!(certificates.iter().all(|certificate| *certificate == certificates[0]));
    assert_eq!(pinned(&stand), pin);
    alice.at(&stand).require_library(&[("a.jpg", b"over plain http")]);
}

#[test]
fn a_configured_certificate_is_shown_for_its_names_and_the_identitys_for_all_others() {
    let certificate = Certificate::new();
    let stand = certificate.stand(&[]);
    let pin = pinned(&stand);
    for own in ["localhost", "127.0.0.1"] {
        let seen = ask(stand.address(), own);
        assert_eq!(seen.fingerprint(), None, "{own} is in the configured certificate");
        assert!(seen.is_strict(), "{own}: {}", seen.answer);
    }
    for other in ["photosync.invalid", "photos.example.org"] {
        let seen = ask(stand.address(), other);
        assert_eq!(seen.fingerprint().as_deref(), Some(pin.as_str()), "{other}");
        assert!(seen.answer.starts_with("http/1.1 200") && !seen.is_strict(), "{}", seen.answer);
    }
}

#[test]
fn a_client_hello_is_answered_where_plain_http_is_redirected() {
    let certificate = Certificate::new();
    let stand = certificate.stand(&[("FORCE_HTTPS_REDIRECT", "true"), ("HTTPS_PORT", "0")]);
    assert_eq!(stand.send(Request::new("GET", "/health")).status(), 301);
    let seen = ask(stand.address(), "photosync.invalid");
    assert!(seen.fingerprint().is_some() && seen.answer.starts_with("http/1.1 200"));
    let seen = ask(stand.address(), "localhost");
    assert!(seen.fingerprint().is_none() && seen.is_strict());
}

#[test]
fn the_list_of_addresses_is_signed_by_the_pinned_key_over_its_own_domain() {
    let stand = Stand::new(&[("PHOTOSYNC_SERVER_PUBLIC_URL", "https://photos.example.org:8443")]);
    let phone = Native::sign_in(&stand, &stand.person());
    let answer = phone.send(phone.request("GET", "/endpoints"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let bytes = |key: &str| URL_SAFE_NO_PAD.decode(text_of(&answer, key)).expect("base64url");
    let (payload, key, signature) =
        (text_of(&answer, "payload"), bytes("public_key"), bytes("signature"));
    assert_eq!(fingerprint_of(&key), pinned(&stand));
    let verify = |domain: &[u8], payload: &str| {
        let signed = [domain, payload.as_bytes()].concat();
        UnparsedPublicKey::new(&ED25519, &key).verify(&signed, &signature).is_ok()
    };
    let domain = b"photosync-endpoints-v1\0";
    assert!(verify(domain, &payload));
    assert!(!verify(b"", &payload) && !verify(domain, &payload.replace("8443", "8444")));

    let list: serde_json::Value = serde_json::from_str(&payload).expect("JSON");
    let described = json_of(&stand.send(Request::new("GET", "/api/v2/server")));
    assert_eq!(list["server_id"], described["server_id"]);
    let lan = format!("https://{}", stand.address());
    assert_eq!(
        list["endpoints"],
        serde_json::json!([{"kind": "lan", "url": lan},
                           {"kind": "public", "url": "https://photos.example.org:8443"}])
    );
    let anonymous = stand.send(Request::new("GET", "/api/v2/endpoints"));
    assert_eq!(anonymous.status(), 401, "addresses are for the account's devices");
}
