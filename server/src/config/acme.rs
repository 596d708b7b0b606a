//! The settings of certificates by ACME as types.

use std::path::PathBuf;

use rustls::pki_types::ServerName;

use super::resolve::ConfigError;
use super::typed::{Reader, wrong};

/// How the certificate authority is shown that a name is ours (RFC 8555 §8.3, RFC 8737).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// A certificate shown on port 443.
    TlsAlpn01,
    /// A text served on port 80.
    Http01,
}

impl Challenge {
    /// The public port on which the certificate authority looks.
    pub fn port(self) -> u16 {
        match self {
            Self::TlsAlpn01 => 443,
            Self::Http01 => 80,
        }
    }
}

impl std::fmt::Display for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        })
    }
}

/// Certificates by ACME.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// Names of the certificate, at least one.
    pub domains: Vec<String>,
    /// `mailto:` addresses.
    pub contact: Vec<String>,
    /// Address of the directory.
    pub directory: String,
    /// PEM file with the roots for the directory itself; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// `None`: what fits the ports.
    pub challenge: Option<Challenge>,
}

/// What `tls.acme_*` say; `None` if no name is wanted.
pub(super) fn acme(r: &Reader<'_>) -> Result<Option<AcmeConfig>, ConfigError> {
    const DIRECTORY: &str = "tls.acme_directory";
    let domains = r.list("tls.acme_domains", domain, "names such as photos.example.org")?;
    if domains.is_empty() {
        return Ok(None);
    }
    if !r.switch("tls.acme_accept_terms")? {
        return Err(ConfigError(
            "tls.acme_domains is set, but the terms of the certificate authority are not accepted: read them (for \
             Let's Encrypt at https://letsencrypt.org/repository/) and set tls.acme_accept_terms = true"
                .into(),
        ));
    }
    let directory = match r.switch("tls.acme_staging")? {
        true if r.0.is_set(DIRECTORY) => {
            return Err(ConfigError(
                "tls.acme_staging and tls.acme_directory each name a directory: set one of them"
                    .into(),
            ));
        }
        true => rustls_acme::acme::LETS_ENCRYPT_STAGING_DIRECTORY,
        false => r.0.value(DIRECTORY),
    };
    if !directory.starts_with("https://") {
        return Err(wrong(DIRECTORY, directory, "an https:// address"));
    }
    Ok(Some(AcmeConfig {
        domains,
        contact: r.list("tls.acme_contact", contact, "e-mail addresses")?,
        directory: directory.to_owned(),
        ca: r.find("tls.acme_ca").map(PathBuf::from),
        challenge: match r.0.value("tls.acme_challenge") {
            "auto" => None,
            "tls-alpn-01" => Some(Challenge::TlsAlpn01),
            "http-01" => Some(Challenge::Http01),
            other => {
                return Err(wrong("tls.acme_challenge", other, "tls-alpn-01, http-01 or auto"));
            }
        },
    }))
}

/// A name that a public authority could certify by these challenges: no address, no wildcard, no port.
fn domain(typed: &str) -> Option<String> {
    let name = typed.trim_end_matches('.').to_ascii_lowercase();
    let is_name = matches!(ServerName::try_from(name.as_str()), Ok(ServerName::DnsName(_)))
        && name.contains('.');
    is_name.then_some(name)
}

fn contact(typed: &str) -> Option<String> {
    let address = typed.strip_prefix("mailto:").unwrap_or(typed);
    let (name, host) = address.split_once('@')?;
    (!name.is_empty() && !host.is_empty()).then(|| format!("mailto:{address}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Sources, resolve};
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let flags = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Config::parse(&resolve(&Sources { flags, ..Sources::default() })?, Path::new("/data"))
    }

    #[test]
    fn certificates_by_acme_want_names_and_accepted_terms() {
        let of = |more: &[(&str, &str)]| {
            let named = ("tls.acme_domains", "photos.example.org, Alt.Example.Org.");
            let agreed = ("tls.acme_accept_terms", "true");
            parse(&[&[named, agreed], more].concat()).map(|config| config.acme)
        };
        let acme = of(&[("tls.acme_contact", "ann@example.org")]).unwrap().unwrap();
        assert_eq!(acme.domains, ["photos.example.org", "alt.example.org"]);
        assert_eq!(acme.contact, ["mailto:ann@example.org"]);
        assert_eq!(acme.directory, rustls_acme::acme::LETS_ENCRYPT_PRODUCTION_DIRECTORY);
        let staging = of(&[("tls.acme_staging", "true")]).unwrap().unwrap();
        assert_eq!(staging.directory, rustls_acme::acme::LETS_ENCRYPT_STAGING_DIRECTORY);
        for wrong in [
            ("tls.acme_accept_terms", "false"),
            ("tls.acme_domains", "192.0.2.1"),
            ("tls.acme_domains", "*.example.org"),
            ("tls.acme_domains", "https://photos.example.org"),
            ("tls.acme_domains", "localhost"),
            ("tls.acme_directory", "http://photos.example.org/dir"),
            ("tls.acme_challenge", "dns-01"),
            ("tls.acme_contact", "ann"),
        ] {
            assert!(of(&[wrong]).is_err(), "{wrong:?}");
        }
        let both =
            [("tls.acme_staging", "true"), ("tls.acme_directory", "https://ca.example.org/")];
        assert!(of(&both).unwrap_err().0.contains("set one of them"));
        assert!(parse(&[]).unwrap().acme.is_none());
        assert!(parse(&[("tls.redirect_port", "80")]).is_err());
    }
}
