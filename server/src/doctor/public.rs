//! The public address: whether it leads here, what its certificate is, whether both clocks agree, and what a proxy in
//! front lets through. For the last a request is sent that is refused before any of its bytes is kept: an upload of
//! zeros by nobody.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::http::Uri;
use photosync_protocol::findings::{Finding, size_for_people};
use photosync_protocol::v2::ServerAnswer;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::Shown;
use super::index::CLOCK_OFF_MS;
use super::judge::{Judge, Proof};
use crate::clock::Clock;

/// Whoever does not answer by then is not there.
const WAIT: Duration = Duration::from_secs(10);
/// A server that sees a request at once answers within this, 3 s; one behind a proxy that first keeps the body does not.
const AT_ONCE: Duration = Duration::from_secs(3);
/// Bytes of the body that are sent before the answer is waited for.
const FIRST_BYTES: u64 = 64 * 1024;
/// Longest head and answer that are read.
const MOST_ANSWER_BYTES: u64 = 64 * 1024;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Size of the request that is tried ordinarily: 1.5 MiB, above the 1 MB that many proxies take without being told
/// otherwise.
pub const ORDINARY_PROBE: u64 = 3 << 19;
/// Size of the request of a thorough look: 101 MiB, above the 100 MB of proxies in the cloud.
pub const THOROUGH_PROBE: u64 = 101 << 20;

/// What a person does about a proxy.
const PROXY_FIX: &str = "OPERATIONS.md, Reverse proxies, shows a configuration that works";

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

/// An answer: its status, its head in lower case, its body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }
}

struct Place {
    host: String,
    authority: String,
    port: u16,
    is_tls: bool,
}

/// Looks at the configured public address of a running server.
pub fn look(url: &str, shown: &Shown, clock: &Clock, probe_bytes: u64) -> Vec<Finding> {
    const CHECK: &str = "public";
    let Some(place) = place_of(url) else {
        let fix = "correct server.public_url";
        return vec![Finding::broken(CHECK, format!("{url} cannot be read as an address"), fix)];
    };
    let addresses = match resolve(&place) {
        Ok(addresses) => addresses,
        Err(error) => {
            let seen = format!("{} is not found: {error}", place.host);
            let fix = "correct server.public_url, or the entry of the name in the DNS";
            return vec![Finding::broken(CHECK, seen, fix)];
        }
    };
    let (answer, proof) = match ask_about(&place, &addresses) {
        Ok(found) => found,
        Err(error) => {
            let seen = format!("{url} does not answer from here: {error}");
            let fix = "is the proxy running, and its port open and passed on? A router that does not lead its own network \
                       back in (no hairpin NAT) looks the same: try it from outside, as from a phone without Wi-Fi";
            return vec![Finding::warning(CHECK, seen, fix)];
        }
    };
    let date_ms = answer.header("date").and_then(|text| httpdate::parse_http_date(text).ok());
    let about: Option<ServerAnswer> = serde_json::from_slice(&answer.body).ok();
    let Some(about) = about.filter(|about| about.fingerprint == shown.fingerprint) else {
        let seen = format!("{url} answers, but not with this server (status {})", answer.status);
        let fix = format!("let the proxy pass everything on to this server's port; {PROXY_FIX}");
        return vec![Finding::broken(CHECK, seen, fix)];
    };
    let mut findings = vec![identity(url, shown, &proof), clocks(clock, date_ms)];
    if about.limits.max_body_bytes.is_some_and(|most| most < probe_bytes) {
        let seen =
            "limits.body_bytes announces a limit for one request, and large files go in pieces";
        findings.push(Finding::fine("proxy", seen));
    } else {
        findings.push(bodies(&place, &addresses, probe_bytes));
    }
    findings.extend(old_port(&place, &addresses));
    findings
}

fn place_of(url: &str) -> Option<Place> {
    let uri: Uri = url.parse().ok()?;
    let is_tls = uri.scheme_str() == Some("https");
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    Some(Place { host, authority: uri.authority()?.to_string(), port, is_tls })
}

fn resolve(place: &Place) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = (place.host.as_str(), place.port).to_socket_addrs()?.collect();
    if found.is_empty() { Err(io::Error::other("it has no address")) } else { Ok(found) }
}

fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::other("it has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, WAIT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(WAIT))?;
                stream.set_write_timeout(Some(WAIT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A connection on which requests can be written, and how the other side proved who it is. Nothing secret is ever sent.
fn open(place: &Place, addresses: &[SocketAddr]) -> io::Result<(Box<dyn Both>, TcpStream, Proof)> {
    let stream = connect(addresses)?;
    let again = stream.try_clone()?;
    if !place.is_tls {
        return Ok((Box::new(stream), again, Proof::None));
    }
    let judge = Arc::new(Judge::new());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(judge.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(place.host.clone()).map_err(io::Error::other)?;
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = stream;
    while client.is_handshaking() {
        client.complete_io(&mut stream)?;
    }
    let proof = judge.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok((Box::new(rustls::StreamOwned::new(client, stream)), again, proof))
}

fn ask_about(place: &Place, addresses: &[SocketAddr]) -> io::Result<(Answer, Proof)> {
    let (mut stream, _, proof) = open(place, addresses)?;
    let head = format!(
        "GET /api/v2/server HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        place.authority
    );
    stream.write_all(head.as_bytes())?;
    stream.flush()?;
    Ok((read_answer(&mut stream)?, proof))
}

/// Reads until the other side closes, or until the length it announced is there.
fn read_answer(stream: &mut dyn Both) -> io::Result<Answer> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            // Many close without the goodbye of TLS.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) if bytes.is_empty() => return Err(error),
            Err(_) => break,
        };
        bytes.extend_from_slice(&piece[..read]);
        let is_whole = find_end(&bytes).is_some_and(|end| {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            length
                .and_then(|text| text.trim().parse().ok())
                .is_some_and(|length: usize| bytes.len() >= end + length)
        });
        if is_whole || bytes.len() as u64 >= MOST_ANSWER_BYTES {
            break;
        }
    }
    let end = find_end(&bytes).ok_or_else(|| io::Error::other("it does not speak HTTP"))?;
    let text = String::from_utf8_lossy(&bytes[..end]);
    let status = text.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("it does not speak HTTP"))?;
    let mut body = bytes[end..].to_vec();
    let head: String = text
        .lines()
        .map(|line| match line.split_once(':') {
            Some((name, value)) => format!("{}:{value}\n", name.to_lowercase()),
            None => format!("{line}\n"),
        })
        .collect();
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Ok(Answer { status, head, body })
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The bytes of a body in pieces (RFC 9112 §7.1), as far as they are there.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(at) = body.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&body[..at]).unwrap_or_default();
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else { break };
        let Some(piece) = body.get(at + 2..at + 2 + size) else { break };
        whole.extend_from_slice(piece);
        body = body.get(at + 4 + size..).unwrap_or_default();
    }
    whole
}

fn identity(url: &str, shown: &Shown, proof: &Proof) -> Finding {
    const CHECK: &str = "public";
    match proof {
        Proof::Trusted => {
            Finding::fine(CHECK, format!("{url} leads here, with a certificate that is trusted"))
        }
        Proof::None => {
            let fix = "let a proxy with a certificate stand in front, or set tls.cert and tls.key; then https:// here";
            Finding::warning(
                CHECK,
                format!("{url} leads here, and nothing on the way is encrypted"),
                fix,
            )
        }
        Proof::Untrusted(_, key) if *key == shown.fingerprint => {
            let seen = format!(
                "{url} leads here, with the server's own key: its devices trust it, browsers and old phone apps do not"
            );
            Finding::fine(CHECK, seen)
        }
        Proof::Untrusted(why, _) => {
            let seen = format!("{url} leads here, with a certificate that is not trusted: {why}");
            let fix = "renew the certificate of the proxy, with the names of the address in it and the whole chain";
            Finding::broken(CHECK, seen, fix)
        }
    }
}

fn clocks(clock: &Clock, date: Option<std::time::SystemTime>) -> Finding {
    const CHECK: &str = "clock";
    let unix = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    let Some(unix) = unix else {
        return Finding::skipped(CHECK, "the public address does not say what time it is");
    };
    let theirs_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
    let off_ms = clock.now_ms().saturating_sub(theirs_ms).saturating_abs();
    if off_ms <= CLOCK_OFF_MS {
        return Finding::fine(CHECK, "this machine and the public address agree on the time");
    }
    let seen = format!("this machine and the public address differ by {} minutes", off_ms / 60_000);
    Finding::broken(CHECK, seen, "let both set their clocks by the network (NTP)")
}

/// What became of the request without a sign-in.
struct Passed {
    status: u16,
    /// Whether the answer came only after the whole body.
    waited: bool,
}

fn bodies(place: &Place, addresses: &[SocketAddr], bytes: u64) -> Finding {
    const CHECK: &str = "proxy";
    let shown = size_for_people(bytes);
    match send_zeros(place, addresses, bytes) {
        Ok(Passed { status: 413, .. }) => {
            let seen = format!("a request of {shown} is refused on the way as too large (413)");
            let fix = format!(
                "raise the limit for bodies at the proxy (nginx: client_max_body_size 0); {PROXY_FIX}"
            );
            Finding::warning(CHECK, seen, fix)
        }
        Ok(Passed { status: 401, waited: false }) => {
            Finding::fine(CHECK, format!("a request of {shown} comes through, and byte by byte"))
        }
        Ok(Passed { status: 401, waited: true }) => {
            let seen = format!(
                "a request of {shown} comes through, but a proxy keeps it until it is whole"
            );
            let fix = format!(
                "switch that off (nginx: proxy_request_buffering off): a full disk is noticed late, and \
                               uploads are written twice; {PROXY_FIX}"
            );
            Finding::warning(CHECK, seen, fix)
        }
        Ok(Passed { status, .. }) => {
            let seen =
                format!("an upload is answered with {status} by something in front of the server");
            Finding::warning(CHECK, seen, format!("let it pass PUT requests on; {PROXY_FIX}"))
        }
        Err(error) => {
            let seen = format!("a request of {shown} does not come through: {error}");
            let fix = format!("raise the limits for bodies and times at the proxy; {PROXY_FIX}");
            Finding::warning(CHECK, seen, fix)
        }
    }
}

fn send_zeros(place: &Place, addresses: &[SocketAddr], bytes: u64) -> io::Result<Passed> {
    let (mut stream, socket, _) = open(place, addresses)?;
    let head = format!(
        "PUT /api/v2/library/assets HTTP/1.1\r\nHost: {}\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n",
        place.authority
    );
    stream.write_all(head.as_bytes())?;
    let first = bytes.min(FIRST_BYTES);
    push(&mut *stream, first)?;
    socket.set_read_timeout(Some(AT_ONCE))?;
    match read_answer(&mut *stream) {
        Ok(answer) => return Ok(Passed { status: answer.status, waited: false }),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
        Err(error) => return Err(error),
    }
    socket.set_read_timeout(Some(WAIT * 3))?;
    let pushed = push(&mut *stream, bytes - first);
    // Who refuses early may hang up while the rest is sent; the answer is there all the same.
    match (read_answer(&mut *stream), pushed) {
        (Ok(answer), _) => Ok(Passed { status: answer.status, waited: true }),
        (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
    }
}

fn push(stream: &mut dyn Both, bytes: u64) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        stream.write_all(&ZEROS[..count])?;
        left -= count as u64;
    }
    stream.flush()
}

/// Old phone apps always use port 3000 of the name they are told.
fn old_port(place: &Place, addresses: &[SocketAddr]) -> Option<Finding> {
    const OLD: u16 = 3000;
    if place.port == OLD {
        return None;
    }
    let at: Vec<SocketAddr> =
        addresses.iter().map(|address| SocketAddr::new(address.ip(), OLD)).collect();
    let answers = connect(&at).is_ok();
    Some(Finding::skipped(
        "public",
        match answers {
            true => format!(
                "port {OLD} of {} takes connections too: old phone apps use that one only",
                place.host
            ),
            false => format!(
                "port {OLD} of {} takes no connection from here: the old phone apps, which use that one only, do not \
                 come in by this name",
                place.host
            ),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use photosync_protocol::findings::Verdict;

    #[test]
    fn a_public_address_is_taken_apart_with_its_usual_port() {
        let place = place_of("https://photos.example.org").unwrap();
        assert_eq!(
            (place.host.as_str(), place.port, place.is_tls),
            ("photos.example.org", 443, true)
        );
        let place = place_of("http://[::1]:8080").unwrap();
        assert_eq!((place.host.as_str(), place.port, place.is_tls), ("::1", 8080, false));
        assert_eq!(place.authority, "[::1]:8080");
    }

    /// Answers 401 when `wanted` bytes after the head are there; then waits for the other side to go.
    fn stingy(wanted: usize) -> Place {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut got, mut piece) = (Vec::new(), [0; 65_536]);
            while find_end(&got).is_none_or(|end| got.len() < end + wanted) {
                let read = stream.read(&mut piece).unwrap();
                got.extend_from_slice(&piece[..read]);
            }
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").unwrap();
            let _ = stream.read(&mut piece);
        });
        Place { host: "127.0.0.1".into(), authority: "127.0.0.1".into(), port, is_tls: false }
    }

    #[test]
    fn a_proxy_that_keeps_a_request_until_it_is_whole_is_told_from_one_that_does_not() {
        for (wanted, verdict) in [(0, Verdict::Fine), (200_000, Verdict::Warning)] {
            let place = stingy(wanted);
            let finding = bodies(&place, &resolve(&place).unwrap(), 200_000);
            assert_eq!(finding.verdict, verdict, "{}", finding.seen);
        }
    }

    #[test]
    fn a_body_in_pieces_is_put_together_and_a_torn_one_as_far_as_it_goes() {
        assert_eq!(unchunked(b"4\r\nphot\r\n3;x=y\r\nogr\r\n0\r\n\r\n"), b"photogr");
        assert_eq!(unchunked(b"4\r\nphot\r\nffff\r\nog"), b"phot");
        assert_eq!(unchunked(b"nonsense"), b"");
    }
}
