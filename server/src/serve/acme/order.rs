//! One order of a certificate, from the account to the chain (RFC 8555 §7.4). The messages are `rustls-acme`'s; the deadlines,
//! the refused nonces and the sentences for people are ours.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ClientConfig;
use rustls_acme::acme::{
    Account, AcmeError, Auth, AuthStatus, Directory, Identifier, OrderStatus, Problem,
};

use super::challenges::Challenges;
use crate::config::{AcmeConfig, Challenge};

/// Longest wait for one answer: authorities answer within seconds, and the library waits for ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How often a request is repeated whose nonce was refused (RFC 8555 §6.5: ask again with another).
const NONCE_TRIES: usize = 8;
/// The kind of a refused nonce.
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";
/// Waits between two looks at something the authority is still doing; 75 s in all.
const LOOKS_MS: [u64; 10] = [250, 500, 1000, 2000, 4000, 7500, 15000, 15000, 15000, 15000];

/// Everything an order needs to know.
pub struct Order<'a> {
    /// What is wanted of whom.
    pub acme: &'a AcmeConfig,
    /// Whom to believe that it is the authority.
    pub client: &'a Arc<ClientConfig>,
    /// The account's key, PKCS #8.
    pub account_key: &'a [u8],
    /// How to prove that the names are ours.
    pub challenge: Challenge,
    /// Where proofs are shown.
    pub challenges: &'a Challenges,
}

impl Order<'_> {
    /// Key and chain, PEM; or a sentence that says which step failed and why.
    pub async fn obtain(&self) -> Result<String, String> {
        let obtained = self.run().await;
        self.challenges.clear();
        obtained
    }

    async fn run(&self) -> Result<String, String> {
        let (acme, client) = (self.acme, self.client);
        let found = || Directory::discover(client, &acme.directory);
        let directory = ask(&format!("read the directory {}", acme.directory), found).await?;
        let opened = || {
            let directory = directory.clone();
            Account::create_with_keypair(client, directory, &acme.contact, self.account_key)
        };
        let account = ask("open the account", opened).await?;
        let ordered = || account.new_order(client, acme.domains.clone());
        let (url, mut order) = ask("order the certificate", ordered).await?;
        if matches!(order.status, OrderStatus::Pending) {
            for authorization in &order.authorizations {
                self.authorise(&account, authorization).await?;
            }
            order = ask("look at the order", || account.order(client, &url)).await?;
        }
        let (key, request) = signing_request(&acme.domains)
            .map_err(|error| format!("could not make a key for the certificate: {error}"))?;
        let mut looks = LOOKS_MS.iter();
        loop {
            order = match order.status {
                OrderStatus::Ready => {
                    let finalized = || account.finalize(client, &order.finalize, &request);
                    ask("finish the order", finalized).await?
                }
                OrderStatus::Valid { certificate } => {
                    let fetched = || account.certificate(client, &certificate);
                    let chain = ask("fetch the certificate", fetched).await?;
                    return Ok(format!("{key}\n{chain}"));
                }
                OrderStatus::Invalid => {
                    return Err(format!("the order was refused: {}", told(order.error.as_ref())));
                }
                OrderStatus::Pending | OrderStatus::Processing => {
                    let Some(wait_ms) = looks.next() else {
                        return Err("the authority did not finish the order in time".into());
                    };
                    tokio::time::sleep(Duration::from_millis(*wait_ms)).await;
                    ask("look at the order", || account.order(client, &url)).await?
                }
            };
        }
    }

    /// Proves one name.
    async fn authorise(&self, account: &Account, url: &str) -> Result<(), String> {
        let client = self.client;
        let look = || ask("look at an authorisation", || account.auth(client, url));
        let mut auth = look().await?;
        let Identifier::Dns(domain) = auth.identifier.clone();
        if matches!(auth.status, AuthStatus::Pending) {
            let challenge = self.show(account, &auth, &domain)?;
            let asked = || account.challenge(client, &challenge);
            ask("ask for the proof to be looked at", asked).await?;
        }
        for wait_ms in LOOKS_MS {
            match auth.status {
                AuthStatus::Valid => return Ok(()),
                AuthStatus::Pending => {
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    auth = look().await?;
                }
                _ => {
                    let problem = auth.challenges.iter().find_map(|one| one.error.as_ref());
                    return Err(format!(
                        "the proof ({}) for {domain} was refused: {}",
                        self.challenge,
                        told(problem)
                    ));
                }
            }
        }
        Err(format!("the authority did not look at the proof for {domain} in time"))
    }

    /// Puts the proof where the authority will look; returns the address at which it is asked to.
    fn show(&self, account: &Account, auth: &Auth, domain: &str) -> Result<String, String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("could not make the proof ({}) for {domain}: {error}", self.challenge)
        };
        let challenge = match self.challenge {
            Challenge::TlsAlpn01 => {
                let made = account.tls_alpn_01(&auth.challenges, domain.to_owned());
                let (challenge, certificate) = made.map_err(|error| failed(&error))?;
                let shown = self.challenges.show_certificate(domain, certificate);
                shown.map_err(|error| failed(&error))?;
                challenge
            }
            Challenge::Http01 => {
                let made = account.http_01(&auth.challenges);
                let (challenge, text) = made.map_err(|error| failed(&error))?;
                self.challenges.show_text(&challenge.token, text);
                challenge
            }
        };
        Ok(challenge.url.clone())
    }
}

/// A new key, PEM, and the request for a certificate of these names, DER.
fn signing_request(domains: &[String]) -> Result<(String, Vec<u8>), rcgen::Error> {
    let mut params = CertificateParams::new(domains.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let request = params.serialize_request(&key)?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}

/// Asks until the nonce is accepted, within a deadline. `what` completes "could not …".
async fn ask<T, F, A>(what: &str, mut call: F) -> Result<T, String>
where
    F: FnMut() -> A,
    A: Future<Output = Result<T, AcmeError>>,
{
    let mut tries = 1;
    loop {
        let why = match tokio::time::timeout(ANSWER_WITHIN, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if tries < NONCE_TRIES && is_bad_nonce(&error) => {
                tries += 1;
                continue;
            }
            Ok(Err(error)) => sentence(&error),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        return Err(format!("could not {what}: {why}"));
    }
}

/// What the authority answered instead. The library shows it inside of a text only: `… status: 400 "{…}"`.
fn problem_of(error: &AcmeError) -> Option<Problem> {
    let text = error.to_string();
    let quoted = text.get(text.find('"')?..)?;
    let body: String = serde_json::from_str(quoted).ok()?;
    serde_json::from_str(&body).ok()
}

fn is_bad_nonce(error: &AcmeError) -> bool {
    problem_of(error).and_then(|problem| problem.typ).is_some_and(|kind| kind == BAD_NONCE)
}

fn sentence(error: &AcmeError) -> String {
    match problem_of(error) {
        Some(problem) => told(Some(&problem)),
        None => error.to_string(),
    }
}

/// What the authority says, with the kind it gives it.
fn told(problem: Option<&Problem>) -> String {
    let Some(problem) = problem else { return "it does not say why".into() };
    let kind = problem.typ.as_deref().unwrap_or("no kind");
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    format!("{} ({kind})", problem.detail.as_deref().unwrap_or("it does not say why"))
}
