//! Certificates by ACME (RFC 8555): fetched in the background, kept in `<data>/secrets/acme`, renewed after two thirds of
//! their time. Whatever fails here is logged with what to do and tried again later; nobody waits for it, and connections go
//! on with the certificate there is.

mod cache;
mod challenges;
mod order;

pub use challenges::Challenges;

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::acme::Account;

use self::cache::Cache;
use self::order::Order;
use super::Tls;
use crate::auth::random_bytes;
use crate::boot::App;
use crate::config::{AcmeConfig, Challenge};

/// First wait after a failure. Doubled each time: five tries in the first hour are as many failures as Let's Encrypt allows
/// for one name.
const FIRST_WAIT: Duration = Duration::from_secs(2 * 60);
/// Longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);
/// Longest sleep without a look at the clock, which jumps when a machine was suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Takes the certificate of an earlier run, if there is one that fits.
pub fn load_kept(app: &App, tls: &Tls) {
    let Some(acme) = &app.config.acme else { return };
    let cache = Cache::new(&app.secrets, acme);
    match std::fs::read(cache.certificate()) {
        Ok(pem) => {
            if let Err(why) = tls.take_obtained(app, &pem, &acme.domains) {
                tracing::warn!("the kept certificate cannot be used, another is fetched: {why}");
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            let broken = cache.broken("read the certificate", &error);
            tracing::warn!("{broken}; another is fetched");
        }
    }
}

/// Keeps a certificate for the configured names until the task is ended. `ports`: where this server listens.
pub async fn keep(app: App, tls: Arc<Tls>, ports: Vec<u16>) {
    let Some(acme) = app.config.acme.clone() else { return };
    let names = acme.domains.join(", ");
    let ways = ways_for(acme.challenge, &ports);
    if !ways.iter().any(|way| ports.contains(&way.port())) {
        tracing::warn!(
            "a certificate for {names} is wanted, but this server listens neither on port 443 nor on 80, where the \
             certificate authority looks: set tls.https_listener with tls.https_port = 443, or lead port {} of the \
             public address here",
            ways[0].port()
        );
    }
    if tls.renew_at_ms().is_none() {
        tracing::warn!(
            "there is no certificate for {names} yet: browsers and old phone apps cannot use HTTPS until it is here; it is \
             asked for now at {}",
            acme.directory
        );
    }
    let mut failures = 0_u32;
    loop {
        let due_in_ms = tls.renew_at_ms().map_or(0, |at_ms| at_ms - app.clock.now_ms());
        if let Ok(due_in_ms @ 1..) = u64::try_from(due_in_ms) {
            let sleep = Duration::from_millis(due_in_ms).min(LONGEST_SLEEP);
            // Woken early or not, the clock is looked at.
            let _ = tokio::time::timeout(sleep, tls.retry_wanted()).await;
            continue;
        }
        let way = ways[failures as usize % ways.len()];
        let Err(why) = obtain(&app, &tls, &acme, way).await else {
            failures = 0;
            continue;
        };
        failures = failures.saturating_add(1);
        let wait = wait_after(failures);
        let minutes = wait.as_secs().div_ceil(60);
        let state = match tls.obtained_ends_at_ms() {
            None => "the server goes on with its own key, which browsers and old phone apps do not trust".into(),
            Some(ends_at_ms) => match (ends_at_ms - app.clock.now_ms()).div_euclid(86_400_000) {
                ..0 => "the certificate HAS EXPIRED".to_owned(),
                days => format!("the certificate is good for {days} more days"),
            },
        };
        tracing::error!(
            "no new certificate for {names}: {why}. {state}. Look whether {names} leads to this machine, port {} is open \
             from everywhere and this machine reaches {}. Tried again in {minutes} min, or at once after a restart or reload",
            way.port(),
            acme.directory
        );
        if tokio::time::timeout(wait, tls.retry_wanted()).await.is_ok() {
            failures = 0;
        }
    }
}

/// What can prove the names on these ports, best first; without any of them somebody may still lead the public ports here.
fn ways_for(chosen: Option<Challenge>, ports: &[u16]) -> Vec<Challenge> {
    if let Some(chosen) = chosen {
        return vec![chosen];
    }
    let mut ways = vec![Challenge::TlsAlpn01, Challenge::Http01];
    ways.retain(|way| ports.contains(&way.port()));
    if ways.is_empty() { vec![Challenge::TlsAlpn01] } else { ways }
}

/// Doubles, up to a bound; a tenth of it is chance, so that many servers do not come back together.
fn wait_after(failures: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let wait = doubled.min(LONGEST_WAIT);
    let [chance] = random_bytes::<1>();
    wait + wait / 10 * u32::from(chance) / 255
}

/// Orders a certificate, keeps it and shows it from now on; or says why not.
async fn obtain(app: &App, tls: &Tls, acme: &AcmeConfig, way: Challenge) -> Result<(), String> {
    let cache = Cache::new(&app.secrets, acme);
    let broken = |what: &'static str| {
        let cache = &cache;
        move |error: std::io::Error| cache.broken(what, &error).message
    };
    let account_key = match cache.find_account().map_err(broken("read the account's key"))? {
        Some(key) => key,
        None => {
            let key = Account::generate_key_pair();
            cache.store_account(&key).map_err(broken("keep the account's key"))?;
            key
        }
    };
    let client = client_for(acme)?;
    let challenges = &tls.challenges;
    let order =
        Order { acme, client: &client, account_key: &account_key, challenge: way, challenges };
    tracing::info!("asking {} for a certificate by {way}", acme.directory);
    let pem = order.obtain().await?;
    // Shown also if it cannot be kept: it is good until the next start.
    let ends_at_ms = tls
        .take_obtained(app, pem.as_bytes(), &acme.domains)
        .map_err(|error| format!("the new certificate cannot be used: {error}"))?;
    if let Err(error) = cache.store_certificate(&pem) {
        tracing::error!("{}", cache.broken("keep the certificate", &error));
    }
    let days = (ends_at_ms - app.clock.now_ms()).div_euclid(86_400_000);
    tracing::info!(
        "there is a new certificate for {}, good for {days} days",
        acme.domains.join(", ")
    );
    Ok(())
}

/// TLS to the authority itself.
fn client_for(acme: &AcmeConfig) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match &acme.ca {
        Some(path) => {
            let unusable = |error: &dyn std::fmt::Display| {
                format!("the file of tls.acme_ca {} cannot be used: {error}", path.display())
            };
            for root in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
                let root = root.map_err(|error| unusable(&error))?;
                roots.add(root).map_err(|error| unusable(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("this machine trusts no certificate authority: install the package ca-certificates, or set \
                    tls.acme_ca"
            .into());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("could not set TLS up: {error}"))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hour_sees_no_more_tries_than_an_authority_allows() {
        let mut at = Duration::ZERO;
        let mut tries = 0;
        while at < Duration::from_secs(3600) {
            tries += 1;
            at += wait_after(tries);
        }
        assert!(tries <= 5, "{tries}");
        assert!(wait_after(60) >= LONGEST_WAIT && wait_after(u32::MAX) < LONGEST_WAIT * 2);
    }

    #[test]
    fn the_way_follows_from_the_ports_unless_it_is_chosen() {
        use Challenge::{Http01, TlsAlpn01};
        assert_eq!(ways_for(None, &[3000, 443]), [TlsAlpn01]);
        assert_eq!(ways_for(None, &[80, 3000]), [Http01]);
        assert_eq!(ways_for(None, &[80, 443]), [TlsAlpn01, Http01]);
        assert_eq!(ways_for(None, &[3000]), [TlsAlpn01]);
        assert_eq!(ways_for(Some(Http01), &[443]), [Http01]);
    }
}
