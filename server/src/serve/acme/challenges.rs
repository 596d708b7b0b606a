//! What the certificate authority is shown while it looks whether a name is ours: a certificate (TLS-ALPN-01) or a text
//! (HTTP-01). Empty except in the moments of an order.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_acme::acme::ACME_TLS_ALPN_NAME;

/// Where the texts of HTTP-01 lie (RFC 8555 §8.3).
const HTTP_PREFIX: &str = "/.well-known/acme-challenge/";

/// See the module.
#[derive(Default)]
pub struct Challenges {
    certificates: RwLock<HashMap<String, Arc<ServerConfig>>>,
    texts: RwLock<HashMap<String, String>>,
}

impl Challenges {
    /// Shows `certificate` to who asks for `domain` by the protocol of TLS-ALPN-01.
    pub fn show_certificate(
        &self,
        domain: &str,
        certificate: CertifiedKey,
    ) -> Result<(), rustls::Error> {
        let mut config = super::super::tls::builder()?
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)));
        config.alpn_protocols = vec![ACME_TLS_ALPN_NAME.to_vec()];
        let mut all = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(domain.to_owned(), Arc::new(config));
        Ok(())
    }

    /// Serves `text` to who asks for `token`.
    pub fn show_text(&self, token: &str, text: String) {
        let mut all = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(token.to_owned(), text);
    }

    /// Shows nothing any more.
    pub fn clear(&self) {
        self.certificates.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.texts.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What a TLS-ALPN-01 connection for `domain` gets.
    pub fn find_certificate(&self, domain: &str) -> Option<Arc<ServerConfig>> {
        let all = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&domain.to_ascii_lowercase()).cloned()
    }

    /// The text for a request of this path, if it is one of HTTP-01 that was announced.
    pub fn find_text(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(HTTP_PREFIX)?;
        self.texts.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }
}
