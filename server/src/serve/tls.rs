//! TLS on every port that strangers reach: with the configured certificate where it fits, else with the one of ACME where
//! that fits, with the identity's own everywhere else. Who pins the identity's key sends no name, and so never meets another.
//!
//! The identity's certificate is made anew at each start, in memory: clients pin the key, so nothing on disk could be
//! worn out, lost or restored wrongly. Key, dates and serial number are fixed, and Ed25519 signs without randomness, so
//! that it has the same bytes every time.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use photosync_protocol::process::Exit;
use photosync_protocol::v2::session::IDENTITY_SERVER_NAME;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{Acceptor, ParsedCertificate, WantsServerCert};
use rustls::{ConfigBuilder, ServerConfig};
use rustls_acme::is_tls_alpn_challenge;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::acme::{self, Challenges};
use crate::auth::identity::Identity;
use crate::boot::{App, BootError};
use crate::config::TlsConfig;
use crate::http::extract::Encryption;

/// Labels of the two kinds of certificates in the metrics.
const FILES: &str = "files";
const ACME: &str = "acme";

/// What a listener needs to answer a ClientHello.
pub struct Tls {
    files: Option<TlsConfig>,
    wants_acme: bool,
    configured: RwLock<Option<Arc<Configured>>>,
    obtained: RwLock<Option<Arc<Configured>>>,
    identity: Arc<ServerConfig>,
    pub(super) challenges: Challenges,
    retry: Notify,
}

struct Configured {
    leaf: CertificateDer<'static>,
    config: Arc<ServerConfig>,
    begins_at_ms: i64,
    ends_at_ms: i64,
}

/// What a handshake was for.
pub enum Accepted {
    /// Requests.
    Stream(Box<TlsStream<TcpStream>>, Encryption),
    /// The look of a certificate authority at a proof; it is over.
    Challenge,
}

impl Tls {
    /// The identity's certificate, the configured one if there is one, and the one of ACME if there was one.
    pub fn load(app: &App) -> Result<Self, BootError> {
        let (files, identity) = (app.config.tls.as_ref(), &app.identity);
        let broken = |error: &dyn std::fmt::Display| {
            let message = format!("the identity key cannot be used for TLS: {error}");
            BootError::new(Exit::Storage, message)
        };
        let (certificate, key) = own_certificate(identity).map_err(|error| broken(&error))?;
        let configured = files.map(load_files).transpose()?.map(Arc::new);
        if let Some(configured) = &configured {
            app.metrics.note_certificate(FILES, configured.ends_at_ms);
        }
        let tls = Self {
            identity: config_of(vec![certificate], key).map_err(|error| broken(&error))?,
            configured: RwLock::new(configured),
            files: files.cloned(),
            wants_acme: app.config.acme.is_some(),
            obtained: RwLock::default(),
            challenges: Challenges::default(),
            retry: Notify::new(),
        };
        acme::load_kept(app, &tls);
        Ok(tls)
    }

    /// Reads the configured certificate again: connections from now on see the new one. After an error everything is
    /// as it was. What ACME waits for is tried now.
    pub fn reload(&self, app: &App) -> Result<(), BootError> {
        self.retry.notify_one();
        let Some(files) = &self.files else { return Ok(()) };
        let fresh = Arc::new(load_files(files)?);
        app.metrics.note_certificate(FILES, fresh.ends_at_ms);
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }

    /// Waits until somebody wants ACME to be tried now.
    pub(super) async fn retry_wanted(&self) {
        self.retry.notified().await;
    }

    /// Shows this certificate (key and chain, PEM) from now on, if it is one for all of `domains`. Returns when it ends.
    pub(super) fn take_obtained(
        &self,
        app: &App,
        pem: &[u8],
        domains: &[String],
    ) -> Result<i64, String> {
        let chain = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("the chain cannot be read: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|error| format!("the key cannot be read: {error}"))?;
        let fresh = configured_of(chain, key)?;
        for domain in domains {
            let name = ServerName::try_from(domain.as_str()).map_err(|error| error.to_string())?;
            if !is_valid_for(&fresh.leaf, &name) {
                return Err(format!("it is not one for {domain}"));
            }
        }
        let ends_at_ms = fresh.ends_at_ms;
        app.metrics.note_certificate(ACME, ends_at_ms);
        *self.obtained.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(fresh));
        Ok(ends_at_ms)
    }

    fn obtained(&self) -> Option<Arc<Configured>> {
        self.obtained.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the certificate of ACME ends, if there is one.
    pub(super) fn obtained_ends_at_ms(&self) -> Option<i64> {
        self.obtained().map(|obtained| obtained.ends_at_ms)
    }

    /// When the next certificate of ACME is due: after two thirds of the time of this one.
    pub(super) fn renew_at_ms(&self) -> Option<i64> {
        let obtained = self.obtained()?;
        Some(obtained.ends_at_ms - (obtained.ends_at_ms - obtained.begins_at_ms) / 3)
    }

    /// Whether the operator wants a certificate to be shown: plain HTTP is then for this network only.
    pub fn wants_certificate(&self) -> bool {
        self.files.is_some() || self.wants_acme
    }

    /// Whether there is one. Until ACME has brought the first, nobody must be sent to HTTPS who could do without.
    pub fn has_certificate(&self) -> bool {
        self.files.is_some() || self.obtained().is_some()
    }

    /// The text that a certificate authority asks for by HTTP-01, if it is there.
    pub fn find_challenge_text(&self, path: &str) -> Option<String> {
        self.challenges.find_text(path)
    }

    /// Shakes hands; tells which certificate was shown.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let local = stream.local_addr()?.ip().to_canonical();
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        if is_tls_alpn_challenge(&start.client_hello()) {
            let name = start.client_hello().server_name().unwrap_or_default().to_owned();
            let Some(config) = self.challenges.find_certificate(&name) else {
                return Err(io::Error::other("a proof that was not announced was asked for"));
            };
            // The certificate is all that is looked at (RFC 8737 §3).
            start.into_stream(config).await?.shutdown().await?;
            return Ok(Accepted::Challenge);
        }
        let asked = match start.client_hello().server_name() {
            Some(name) => ServerName::try_from(name.to_owned()).ok(),
            // Nobody sends an address as a name (RFC 6066 §3): who asks for none has typed an address.
            None => Some(ServerName::from(local)),
        };
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner).clone();
        let fitting = [configured, self.obtained()].into_iter().flatten().find(|configured| {
            asked.as_ref().is_some_and(|name| is_valid_for(&configured.leaf, name))
        });
        let (config, encryption) = match fitting {
            Some(configured) => (configured.config.clone(), Encryption::Certificate),
            None => (self.identity.clone(), Encryption::Identity),
        };
        Ok(Accepted::Stream(Box::new(start.into_stream(config).await?), encryption))
    }
}

/// Whether certificate and key can be used together; answers the certificate. What stands in it is not judged.
pub(crate) fn read_certificate(files: &TlsConfig) -> Result<CertificateDer<'static>, BootError> {
    load_files(files).map(|configured| configured.leaf)
}

/// Whether a certificate names a host.
pub(crate) fn is_valid_for(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok())
}

fn own_certificate(
    identity: &Identity,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let pkcs8 = identity.to_pkcs8().ok_or(rcgen::Error::CouldNotParseKeyPair)?;
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8);
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)?;
    let mut params = CertificateParams::new([IDENTITY_SERVER_NAME.to_owned()])?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("PhotoSync {}", identity.fingerprint()));
    params.distinguished_name = name;
    let certificate = params.self_signed(&key)?.der().clone();
    Ok((certificate, PrivateKeyDer::Pkcs8(pkcs8)))
}

fn config_of(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = builder()?.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What every configuration begins with.
pub(super) fn builder() -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    Ok(builder.with_safe_default_protocol_versions()?.with_no_client_auth())
}

fn configured_of(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Configured, String> {
    let Some(leaf) = chain.first().cloned() else {
        return Err("there is no certificate in it".into());
    };
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf)
        .map_err(|error| format!("its dates cannot be read: {error}"))?;
    let validity = parsed.validity();
    let begins_at_ms = validity.not_before.timestamp().saturating_mul(1000);
    let ends_at_ms = validity.not_after.timestamp().saturating_mul(1000);
    let config = config_of(chain, key).map_err(|error| error.to_string())?;
    Ok(Configured { leaf, config, begins_at_ms, ends_at_ms })
}

fn load_files(files: &TlsConfig) -> Result<Configured, BootError> {
    let wrong = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        BootError::new(
            Exit::Configuration,
            format!("{what} {} cannot be used: {error}", path.display()),
        )
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong("the certificate", &files.cert, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong("the key", &files.key, &error))?;
    configured_of(chain, key).map_err(|error| wrong("the certificate", &files.cert, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identitys_certificate_is_the_same_at_every_start_and_valid_for_its_own_name_only() {
        let make = || {
            let identity = Identity::from_seed(&[7; 32]).unwrap();
            own_certificate(&identity).unwrap().0
        };
        let certificate = make();
        assert_eq!(certificate, make());
        let valid = |name: &str| {
            is_valid_for(&certificate, &ServerName::try_from(name.to_owned()).unwrap())
        };
        assert!(valid(IDENTITY_SERVER_NAME));
        assert!(!valid("photos.example.org") && !valid("127.0.0.1"));
    }
}
