//! Looks for what could be wrong between this computer and its server. Each finding that is not fine names a way out.
//!
//! It looks at: `cache`, `space`, `secrets`, `name`, `port`, `key`, `elsewhere`, `clock`, `bodies`, `network`, `session`,
//! `upload`.

mod here;
mod network;
mod probe;

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Method, Url};

use crate::connection::{Connection, SMALL_REQUEST, now_ms, read_json};
use crate::credentials::{Credentials, Trust};
use crate::elsewhere::{self, Wanted};
use crate::endpoints::Known;
use crate::error::{Error, Kind, Result, root_cause};
use crate::profile::Profile;
use crate::{address, signing_in};
pub use photosync_protocol::findings::{Finding, Verdict};
use photosync_protocol::v2::ServerAnswer;

/// A clock that is off by more spoils tokens and dates: 5 minutes.
const CLOCK_OFF_MS: u64 = 5 * 60 * 1000;
/// A server that does not take a connection by then is not there.
const CONNECT: Duration = Duration::from_secs(10);

/// Size of the request that is tried ordinarily: 1.5 MiB, above the 1 MB that many proxies take without being told
/// otherwise.
pub const ORDINARY_PROBE: u64 = 3 << 19;
/// Size of the request of a thorough look: 101 MiB, above the 100 MB of proxies in the cloud.
pub const THOROUGH_PROBE: u64 = 101 << 20;

fn of(check: &'static str, error: Error) -> Finding {
    let fix = if error.hint.is_empty() { "look at the server's log".into() } else { error.hint };
    Finding::broken(check, error.message, fix)
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct Options {
    /// A server; without one, the one this computer is signed in on.
    pub url: Option<String>,
    /// Size of the request that is tried, in bytes: [`ORDINARY_PROBE`] or [`THOROUGH_PROBE`], or what a person asks for.
    pub probe_bytes: u64,
}

/// Looks at everything, from the network up, and tells each finding as it comes. A check that needs a broken one is left
/// out. Leaves nothing behind on the server.
pub async fn examine(
    profile: &Profile,
    options: &Options,
    first: &signing_in::First,
    tell: Tell<'_>,
) -> Result<Vec<Finding>> {
    let credentials = Credentials::find_public(profile)?;
    let wanted = credentials.as_ref().map(Wanted::of);
    let usual = wanted.as_ref().map(|wanted| usual_address(profile, wanted));
    let Some(typed) = options.url.clone().or_else(|| usual.clone()) else {
        return Err(Error::new(
            Kind::Usage,
            "nobody is signed in, so there is no server to look at",
        )
        .hint("photosync doctor URL looks at any server"));
    };
    let url = address::read(&typed)?;
    let base = address::base_of(&url);
    let is_mine = |wanted: &Wanted| wanted.typed == base || usual.as_ref() == Some(&base);
    let mine = wanted.filter(is_mine);
    let mut told = Told { findings: Vec::new(), tell };
    told.add(here::cache(profile).await);
    told.add(here::space(profile));
    if let Some(credentials) = &credentials {
        told.add(here::credentials(profile, credentials).await);
    }
    let Some((url, answer)) = find_server(profile, url, mine.as_ref(), first, &mut told).await
    else {
        return Ok(told.findings);
    };
    told.add(clock(&answer));
    told.add(bodies(&answer));
    told.add(network::announced(profile, &url, &answer.fingerprint).await);
    if mine.is_some() {
        let (finding, connection) = session(profile, first).await;
        told.add(finding);
        if let Some(connection) = connection {
            told.add(probe::largest_body(&connection, options.probe_bytes).await);
        }
    }
    Ok(told.findings)
}

/// Where the next run would look first.
fn usual_address(profile: &Profile, wanted: &Wanted) -> String {
    Known::find(profile, &wanted.fingerprint).preferred.unwrap_or_else(|| wanted.typed.clone())
}

/// Takes findings as they come.
pub type Tell<'a> = &'a (dyn Fn(&Finding) + Send + Sync);

struct Told<'a> {
    findings: Vec<Finding>,
    tell: Tell<'a>,
}

impl Told<'_> {
    fn add(&mut self, finding: Finding) {
        (self.tell)(&finding);
        self.findings.push(finding);
    }
}

/// Name, port and key of the server at `url`; or, where one of them is broken, of the server elsewhere.
async fn find_server(
    profile: &Profile,
    url: Url,
    mine: Option<&Wanted>,
    first: &signing_in::First,
    told: &mut Told<'_>,
) -> Option<(Url, ServerAnswer)> {
    let (mut findings, answer) = look_at(&url, mine, first).await;
    let is_there = answer.is_some();
    let moved = match mine {
        Some(wanted) if !is_there => {
            Some((wanted, elsewhere::find(profile, wanted, &address::base_of(&url)).await))
        }
        _ => None,
    };
    if let (Some(last), Some((_, Some(_)))) = (findings.last_mut(), &moved) {
        // Nothing is lost: backups find the way by themselves.
        last.verdict = Verdict::Warning;
    }
    findings.into_iter().for_each(|finding| told.add(finding));
    match moved {
        None => answer.map(|answer| (url, answer)),
        Some((_, None)) => {
            let seen = "it does not answer at any other address that is known of it either";
            let fix = "start the server, or sign in at its new address";
            told.add(Finding::broken("elsewhere", seen, fix));
            None
        }
        Some((wanted, Some(base))) => {
            let seen = format!("the server is at {base} now, and is used there");
            told.add(Finding::fine("elsewhere", seen));
            let url = address::read(&base).ok()?;
            let (findings, answer) = look_at(&url, Some(wanted), first).await;
            findings.into_iter().for_each(|finding| told.add(finding));
            answer.map(|answer| (url, answer))
        }
    }
}

async fn look_at(
    url: &Url,
    mine: Option<&Wanted>,
    first: &signing_in::First,
) -> (Vec<Finding>, Option<ServerAnswer>) {
    let addresses = match resolve(url).await {
        Ok(addresses) => addresses,
        Err(finding) => return (vec![finding], None),
    };
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let name = Finding::fine("name", format!("the server is at {}", shown.join(", ")));
    let port = reach_port(&addresses).await;
    if port.verdict != Verdict::Fine {
        return (vec![name, port], None);
    }
    let (answer, key) = meet(url, mine, first).await;
    (vec![name, port, key], answer)
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
        Err(cause) => Err(Finding::broken(
            "name",
            format!("{host} is not found: {}", root_cause(&cause)),
            fix,
        )),
    }
}

async fn reach_port(addresses: &[SocketAddr]) -> Finding {
    let mut last = String::new();
    for address in addresses {
        match tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Finding::fine("port", format!("{address} takes connections")),
            Ok(Err(cause)) => {
                last = format!("{address} does not take connections: {}", root_cause(&cause))
            }
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
    mine: Option<&Wanted>,
    first: &signing_in::First,
) -> (Option<ServerAnswer>, Finding) {
    let base = address::base_of(url);
    let pin = mine.map(|mine| mine.fingerprint.clone());
    let met = async {
        let trust = match (url.scheme(), mine) {
            ("http", _) => Trust::Nothing,
            (_, Some(mine)) => mine.trust_at(&base),
            (_, None) => {
                // As signing in does it, with a person who would say yes.
                let server = signing_in::reach(first, &base, None, &|_, _| Ok(true)).await?;
                return Ok((server.trust, server.answer));
            }
        };
        let (report, stop) = (first.report.clone(), first.stop.clone());
        let connection = Connection::anonymous(&base, trust, pin.clone(), report, stop)?;
        let request = connection.request(Method::GET, "/server").timeout(CONNECT);
        let answer = connection.attempt(request).await.map_err(|failure| failure.error)?;
        Ok::<_, Error>((trust, read_json::<ServerAnswer>(answer).await?))
    };
    match met.await {
        Err(error) if error.kind == Kind::Unreachable && url.scheme() == "https" => {
            let fix = "the port is open: is it that of a PhotoSync server, and does nothing stand between?";
            (None, Finding::broken("key", error.message, fix))
        }
        Err(error) => (None, of("key", error)),
        Ok((_, answer)) if pin.as_ref().is_some_and(|pin| *pin != answer.fingerprint) => {
            let error = crate::connection::wrong_server(
                pin.as_deref().unwrap_or_default(),
                &answer.fingerprint,
            );
            (None, of("key", error))
        }
        Ok((trust, answer)) => {
            let name = format!("{} (PhotoSync {})", answer.name, answer.version);
            let finding = match (trust, &pin) {
                (Trust::Nothing, _) => Finding::warning(
                    "key",
                    format!("{name} is talked to without encryption"),
                    format!("sign in at {} instead", base.replacen("http://", "https://", 1)),
                ),
                (_, Some(_)) => Finding::fine("key", format!("{name} has the right key")),
                (Trust::Certificate, None) => Finding::fine(
                    "key",
                    format!("{name} has a certificate that this computer trusts"),
                ),
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

async fn session(profile: &Profile, first: &signing_in::First) -> (Finding, Option<Connection>) {
    let asked = async {
        let (report, stop) = (first.report.clone(), first.stop.clone());
        let connection = Connection::signed_in(profile, report, stop)?;
        let request = connection.request(Method::GET, "/devices").timeout(SMALL_REQUEST);
        connection.attempt(request).await.map_err(|failure| failure.error)?;
        let email = connection.credentials().await?.email;
        Ok::<_, Error>((email, connection))
    };
    match asked.await {
        Ok((email, connection)) => {
            (Finding::fine("session", format!("signed in as {email}")), Some(connection))
        }
        Err(error) => (of("session", error), None),
    }
}
