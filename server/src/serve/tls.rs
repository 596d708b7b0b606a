//! TLS from certificate and key files.

use std::path::Path;
use std::sync::Arc;

use photosync_protocol::process::Exit;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::boot::BootError;
use crate::config::TlsConfig;

/// An acceptor with the configured certificate, for HTTP/2 and HTTP/1.1.
pub fn load(files: &TlsConfig) -> Result<TlsAcceptor, BootError> {
    let wrong = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
        BootError::new(
            Exit::Configuration,
            format!("{what} {} cannot be used: {error}", path.display()),
        )
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong("the certificate", &files.cert, &error))?;
    if chain.is_empty() {
        return Err(wrong("the certificate", &files.cert, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong("the key", &files.key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| wrong("the certificate", &files.cert, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
