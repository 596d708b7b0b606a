//! TLS on every port that strangers reach: with the configured certificate where it fits, with the identity's own
//! everywhere else.
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
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{Acceptor, ParsedCertificate};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::auth::identity::Identity;
use crate::boot::BootError;
use crate::config::TlsConfig;
use crate::http::extract::Encryption;

/// What a listener needs to answer a ClientHello.
pub struct Tls {
    files: Option<TlsConfig>,
    configured: RwLock<Option<Arc<Configured>>>,
    identity: Arc<ServerConfig>,
}

struct Configured {
    leaf: CertificateDer<'static>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// The identity's certificate, and the configured one if there is one.
    pub fn load(files: Option<&TlsConfig>, identity: &Identity) -> Result<Self, BootError> {
        let broken = |error: &dyn std::fmt::Display| {
            let message = format!("the identity key cannot be used for TLS: {error}");
            BootError::new(Exit::Storage, message)
        };
        let (certificate, key) = own_certificate(identity).map_err(|error| broken(&error))?;
        Ok(Self {
            identity: config_of(vec![certificate], key).map_err(|error| broken(&error))?,
            configured: RwLock::new(files.map(load_files).transpose()?.map(Arc::new)),
            files: files.cloned(),
        })
    }

    /// Reads the configured certificate again: connections from now on see the new one. After an error everything is
    /// as it was.
    pub fn reload(&self) -> Result<(), BootError> {
        let Some(files) = &self.files else { return Ok(()) };
        let fresh = Arc::new(load_files(files)?);
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }

    /// Whether the operator configured a certificate.
    pub fn has_certificate(&self) -> bool {
        self.files.is_some()
    }

    /// Shakes hands; tells which certificate was shown.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Encryption)> {
        let local = stream.local_addr()?.ip().to_canonical();
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let asked = match start.client_hello().server_name() {
            Some(name) => ServerName::try_from(name.to_owned()).ok(),
            // Nobody sends an address as a name (RFC 6066 §3): who asks for none has typed an address.
            None => Some(ServerName::from(local)),
        };
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner).clone();
        let fitting = configured.filter(|configured| {
            asked.as_ref().is_some_and(|name| is_valid_for(&configured.leaf, name))
        });
        let (config, encryption) = match fitting {
            Some(configured) => (configured.config.clone(), Encryption::Certificate),
            None => (self.identity.clone(), Encryption::Identity),
        };
        Ok((start.into_stream(config).await?, encryption))
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
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
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
    let Some(leaf) = chain.first().cloned() else {
        return Err(wrong("the certificate", &files.cert, &"there is no certificate in it"));
    };
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong("the key", &files.key, &error))?;
    let config =
        config_of(chain, key).map_err(|error| wrong("the certificate", &files.cert, &error))?;
    Ok(Configured { leaf, config })
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
