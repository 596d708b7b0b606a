//! Looks for what could be wrong between this computer and its server. Each finding that is not fine names a way out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Url};
use serde::Serialize;

use crate::connection::{Connection, now_ms, read_json};
use crate::credentials::{Credentials, Trust};
use crate::error::{Error, Kind, Result};
use crate::profile::Profile;
use crate::{address, backup, signing_in};
use photosync_protocol::v2::ServerAnswer;

/// A clock that is off by more spoils tokens and dates: 5 minutes.
const CLOCK_OFF_MS: u64 = 5 * 60 * 1000;
/// A server that does not take a connection by then is not there.
const CONNECT: Duration = Duration::from_secs(10);

/// How a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Works, and could be better.
    Warning,
    /// Does not work.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: `name`, `port`, `key`, `clock`, `session`, `bodies`, `cache`.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do; empty if it is fine.
    pub fix: String,
}

impl Finding {
    fn fine(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fine, seen: seen.into(), fix: String::new() }
    }

    fn broken(check: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Broken, seen: seen.into(), fix: fix.into() }
    }

    fn warning(check: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, seen: seen.into(), fix: fix.into() }
    }

    fn of(check: &'static str, error: Error) -> Self {
        let fix =
            if error.hint.is_empty() { "look at the server's log".into() } else { error.hint };
        Self::broken(check, error.message, fix)
    }
}

/// Looks at everything, from the network up; a check that needs a broken one is left out.
pub async fn examine(
    profile: &Profile,
    url: Option<&str>,
    first: &signing_in::First,
) -> Result<Vec<Finding>> {
    let credentials = Credentials::find(profile)?;
    let typed = url.map(str::to_owned).or_else(|| credentials.as_ref().map(|c| c.url.clone()));
    let Some(typed) = typed else {
        return Err(Error::new(
            Kind::Usage,
            "nobody is signed in, so there is no server to look at",
        )
        .hint("photosync doctor URL looks at any server"));
    };
    let url = address::read(&typed)?;
    let mut findings = vec![cache(profile).await];
    let addresses = match resolve(&url).await {
        Ok(addresses) => addresses,
        Err(finding) => {
            findings.push(finding);
            return Ok(findings);
        }
    };
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    findings.push(Finding::fine("name", format!("the server is at {}", shown.join(", "))));
    let port = reach_port(&addresses).await;
    let is_open = port.verdict == Verdict::Fine;
    findings.push(port);
    if !is_open {
        return Ok(findings);
    }
    let mine = credentials.filter(|credentials| credentials.url == address::base_of(&url));
    let (answer, finding) = meet(&url, mine.as_ref(), first).await;
    findings.push(finding);
    if let Some(answer) = answer {
        findings.push(clock(&answer));
        findings.push(bodies(&answer));
    }
    if mine.is_some() {
        findings.push(session(profile, first).await);
    }
    Ok(findings)
}

async fn cache(profile: &Profile) -> Finding {
    match backup::open_cache(profile).await.and_then(|cache| cache.counts()) {
        Ok(counts) => Finding::fine("cache", format!("{} files are known here", counts.files)),
        Err(error) => {
            let fix = format!("make room, and check who owns {}", profile.folder().display());
            Finding::broken("cache", error.message, fix)
        }
    }
}

async fn resolve(url: &Url) -> std::result::Result<Vec<SocketAddr>, Finding> {
    let (host, port) = address::host_and_port(url);
    let fix =
        "check the spelling; or use the number of the address, which the server prints at start";
    match tokio::net::lookup_host((host.as_str(), port)).await {
        Ok(found) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(Finding::broken("name", format!("{host} has no address"), fix));
            }
            Ok(found)
        }
        Err(cause) => Err(Finding::broken("name", format!("{host} is not found: {cause}"), fix)),
    }
}

async fn reach_port(addresses: &[SocketAddr]) -> Finding {
    let mut last = String::new();
    for address in addresses {
        match tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Finding::fine("port", format!("{address} takes connections")),
            Ok(Err(cause)) => last = format!("{address} does not take connections: {cause}"),
            Err(_) => last = format!("{address} does not answer within {} s", CONNECT.as_secs()),
        }
    }
    let fix = "is the server running? Is its port open in the firewall of its machine? Are both in the same network, \
               and not one of them in a guest Wi-Fi?";
    Finding::broken("port", last, fix)
}

/// Talks to the server: over TLS with the right key, or plainly.
async fn meet(
    url: &Url,
    mine: Option<&Credentials>,
    first: &signing_in::First,
) -> (Option<ServerAnswer>, Finding) {
    let base = address::base_of(url);
    let trust = match (url.scheme(), mine) {
        ("http", _) => Trust::Nothing,
        (_, Some(mine)) => mine.trust,
        (_, None) => Trust::Key,
    };
    let pin = mine.map(|mine| mine.fingerprint.clone());
    let met = async {
        let (report, stop) = (first.report.clone(), first.stop.clone());
        let connection = Connection::anonymous(&base, trust, pin.clone(), report, stop)?;
        let request = connection.request(Method::GET, "/server").timeout(CONNECT);
        let answer = connection.attempt(request).await.map_err(|failure| failure.error)?;
        read_json::<ServerAnswer>(answer).await
    };
    match met.await {
        Err(error) if error.kind == Kind::Unreachable && url.scheme() == "https" => {
            let fix = "the port is open, but not for TLS: is it a PhotoSync server, and is nothing in between?";
            (None, Finding::broken("key", error.message, fix))
        }
        Err(error) => (None, Finding::of("key", error)),
        Ok(answer) if pin.as_ref().is_some_and(|pin| *pin != answer.fingerprint) => {
            let error = crate::connection::wrong_server(
                pin.as_deref().unwrap_or_default(),
                &answer.fingerprint,
            );
            (None, Finding::of("key", error))
        }
        Ok(answer) => {
            let name = format!("{} (PhotoSync {})", answer.name, answer.version);
            let finding = match (trust, &pin) {
                (Trust::Nothing, _) => Finding::warning(
                    "key",
                    format!("{name} is talked to without encryption"),
                    format!("sign in at {} instead", base.replacen("http://", "https://", 1)),
                ),
                (_, Some(_)) => Finding::fine("key", format!("{name} has the right key")),
                (_, None) => Finding::warning(
                    "key",
                    format!("{name} shows the key {}", crate::trust::grouped(&answer.fingerprint)),
                    "compare it with what the server prints at start, then sign in",
                ),
            };
            (Some(answer), finding)
        }
    }
}

fn clock(answer: &ServerAnswer) -> Finding {
    let off_ms = answer.now_ms.abs_diff(now_ms());
    if off_ms <= CLOCK_OFF_MS {
        return Finding::fine("clock", "both clocks agree");
    }
    let seen = format!("this computer and the server differ by {} minutes", off_ms / 60_000);
    Finding::broken("clock", seen, "let both set their clocks by the network (NTP)")
}

fn bodies(answer: &ServerAnswer) -> Finding {
    match answer.limits.max_body_bytes {
        None => Finding::fine("bodies", "the server names no limit for one request"),
        Some(bytes) if bytes >= 8 << 20 => {
            Finding::fine("bodies", format!("one request may have {} MiB", bytes >> 20))
        }
        Some(bytes) => Finding::warning(
            "bodies",
            format!("one request may have only {} KiB", bytes >> 10),
            "large files go in small pieces and take longer; raise the limit of the proxy before the server",
        ),
    }
}

async fn session(profile: &Profile, first: &signing_in::First) -> Finding {
    let asked = async {
        let (report, stop) = (first.report.clone(), first.stop.clone());
        let connection = Arc::new(Connection::signed_in(profile, report, stop)?);
        let request = connection.request(Method::GET, "/library/assets?limit=1").timeout(CONNECT);
        connection.attempt(request).await.map_err(|failure| failure.error)?;
        connection.credentials().await
    };
    match asked.await {
        Ok(credentials) => Finding::fine("session", format!("signed in as {}", credentials.email)),
        Err(error) => Finding::of("session", error),
    }
}
