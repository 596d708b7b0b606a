//! Whether the ports can be had or answer, which addresses a phone can use, and whether a server can be found by itself.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use photosync_protocol::findings::Finding;

use super::{Shown, port_owner};
use crate::pairing::{presence, rules};

/// A server of this machine that does not take a connection or answer by then does not work.
const WAIT: Duration = Duration::from_secs(5);

/// Whether every socket of a running server answers.
pub fn answering(shown: &Shown) -> Vec<Finding> {
    const CHECK: &str = "port";
    let (mut findings, mut well) = (Vec::new(), Vec::new());
    for address in &shown.listening {
        match ask(own(*address)) {
            Ok(()) => well.push(address.to_string()),
            Err(error) => {
                let seen = format!("{address} does not answer: {error}");
                let fix = "restart the server; its log says why it hangs";
                findings.push(Finding::broken(CHECK, seen, fix));
            }
        }
    }
    if !well.is_empty() {
        let verb = if well.len() == 1 { "answers" } else { "answer" };
        findings.insert(0, Finding::fine(CHECK, format!("{} {verb}", well.join(" and "))));
    }
    findings
}

/// Where this machine reaches a socket of its own.
fn own(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// Asks `/health`. A socket that speaks TLS only closes the connection: it took it, which is all that is asked.
fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    match stream.take(1024).read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            let text = format!("it takes connections, and says nothing for {} s", WAIT.as_secs());
            return Err(io::Error::other(text));
        }
        Err(error) => return Err(error),
    }
    let head = String::from_utf8_lossy(&answer);
    match head.split(' ').nth(1) {
        None | Some("200" | "301") => Ok(()),
        Some(status) => Err(io::Error::other(format!("/health says {status}"))),
    }
}

/// Whether the sockets of a server that does not run could be opened. `is_chosen`: somebody named the addresses, so that
/// each must be there.
pub fn free(shown: &Shown, is_chosen: bool) -> Vec<Finding> {
    const CHECK: &str = "port";
    let (mut findings, mut well): (Vec<Finding>, Vec<String>) = (Vec::new(), Vec::new());
    for address in &shown.listening {
        match bind(*address) {
            Ok(()) if address.port() == 0 => well.push(format!("any port of {}", address.ip())),
            Ok(()) => well.push(address.to_string()),
            // A server leaves IPv6 out then.
            Err(error)
                if address.is_ipv6() && !is_chosen && error.kind() != io::ErrorKind::AddrInUse => {}
            Err(error) => {
                let finding = taken(*address, &error);
                // One program holds the port of all addresses: it is told once.
                if findings.iter().all(|known| known.fix != finding.fix) {
                    findings.push(finding);
                }
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::fine(CHECK, format!("{} can be listened on", well.join(" and "))));
    }
    findings
}

fn taken(address: SocketAddr, error: &io::Error) -> Finding {
    const CHECK: &str = "port";
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = port_owner::find(address.port());
            if holder.as_deref() == Some("systemd (process 1)") {
                let seen =
                    format!("systemd holds {address}, and starts a server when somebody connects");
                return Finding::fine(CHECK, seen);
            }
            let (who, fix) = match holder {
                Some(holder) => (format!("by {holder}"), format!("stop {holder}")),
                None => (
                    "by another program".to_owned(),
                    format!("`sudo ss -ltnp 'sport = :{}'` says which; stop it", address.port()),
                ),
            };
            let seen = format!("{address} is taken {who}");
            let fix = format!(
                "{fix}, or choose another port with --listen-port; old phone apps know 3000 only"
            );
            Finding::broken(CHECK, seen, fix)
        }
        io::ErrorKind::PermissionDenied => {
            let seen = format!("this account may not listen on {address}");
            let fix = "choose a port from 1024 on with --listen-port, or let systemd open it (photosync.socket)";
            Finding::broken(CHECK, seen, fix)
        }
        io::ErrorKind::AddrNotAvailable => {
            let seen = format!("this machine has no address {}", address.ip());
            let fix = "correct listen.host; 0.0.0.0 and :: stand for every address";
            Finding::broken(CHECK, seen, fix)
        }
        _ => {
            let seen = format!("{address} cannot be listened on: {error}");
            Finding::broken(CHECK, seen, "correct listen.host or listen.port")
        }
    }
}

/// Binds as a server does, and lets go.
fn bind(address: SocketAddr) -> io::Result<()> {
    let domain = if address.is_ipv6() { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // Two sockets can be bound to one address; the second that listens is refused.
    socket.listen(1)
}

/// What a person types into a phone.
pub fn addresses(shown: &Shown) -> Finding {
    const CHECK: &str = "address";
    let public = shown.public_url.as_deref();
    if !rules::is_reachable_from_outside(&shown.listening) {
        return match public {
            Some(url) => Finding::fine(
                CHECK,
                format!("{url}, through whatever passes it on to this machine"),
            ),
            None if shown.trusts_a_proxy => {
                Finding::fine(CHECK, "that of the proxy: the server listens for this machine only")
            }
            None => Finding::warning(
                CHECK,
                "no phone can reach the server: it listens for this machine only",
                "leave listen.host (HOST) out, or name an address of this machine there; behind a proxy set \
                 server.public_url and auth.trusted_proxies",
            ),
        };
    }
    let mut urls = presence::reachable(&shown.listening).into_iter().map(|at| at.to_string());
    let own: Vec<String> = urls.by_ref().take(3).chain(public.map(str::to_owned)).collect();
    if own.is_empty() {
        let seen = "this machine has no network address that a phone could type";
        let fix = "connect it to the network of the phones";
        return Finding::warning(CHECK, seen, fix);
    }
    Finding::fine(CHECK, format!("type into the phone: {}", own.join(" or ")))
}

/// Whether devices of the same network find the server by themselves.
pub fn announced(shown: &Shown, server: super::Server) -> Finding {
    const CHECK: &str = "network";
    if !shown.discovers {
        let seen =
            "the server does not announce itself: discovery.enabled (PHOTOSYNC_DISCOVERY) is off";
        return Finding::skipped(CHECK, seen);
    }
    if !rules::is_reachable_from_outside(&shown.listening) {
        let seen = "the server does not announce itself: it listens for this machine only";
        return Finding::skipped(CHECK, seen);
    }
    let Some(names) = multicast_interfaces() else {
        return Finding::skipped(CHECK, "this system does not tell which networks take multicast");
    };
    if names.is_empty() {
        let seen = "no network of this machine takes multicast, so devices do not find the server by themselves";
        let fix = "nothing else depends on it: type the address, or scan a code (`photosync-server pair E-MAIL`)";
        return Finding::warning(CHECK, seen, fix);
    }
    let verb = if server == super::Server::Runs { "announces" } else { "would announce" };
    Finding::fine(CHECK, format!("the server {verb} itself (mDNS) on {}", names.join(", ")))
}

/// Names of the interfaces that are up, are not loopback, take multicast and have an address, three at most. `None`
/// where the system does not tell.
#[cfg(target_os = "linux")]
fn multicast_interfaces() -> Option<Vec<String>> {
    // net/if.h
    const UP: u32 = 0x1;
    const MULTICAST: u32 = 0x1000;
    let mut names: Vec<String> = if_addrs::get_if_addrs()
        .ok()?
        .into_iter()
        .filter(|own| !own.is_loopback())
        .map(|own| own.name)
        .filter(|name| {
            let text = std::fs::read_to_string(format!("/sys/class/net/{name}/flags"));
            let flags = text.ok().and_then(|text| {
                u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
            });
            flags.is_some_and(|flags| flags & UP != 0 && flags & MULTICAST != 0)
        })
        .collect();
    names.sort();
    names.dedup();
    names.truncate(3);
    Some(names)
}

#[cfg(not(target_os = "linux"))]
fn multicast_interfaces() -> Option<Vec<String>> {
    None
}
