//! Who this server says it is, and where it listens. One per process; the listening part is known only while it runs.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::boot::App;

use super::rules;

/// See the module.
pub struct Presence {
    server_id: String,
    name: String,
    listening: OnceLock<Vec<SocketAddr>>,
    was_reached: AtomicBool,
}

impl Presence {
    /// A server that does not listen yet. Without a configured name the host's counts.
    pub fn new(server_id: String, configured_name: Option<String>) -> Self {
        let name = configured_name
            .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
        let name = rules::server_name(&name);
        Self { server_id, name, listening: OnceLock::new(), was_reached: AtomicBool::new(false) }
    }

    /// 32 hexadecimal digits, made at first start.
    pub fn server_id(&self) -> &str {
        &self.server_id
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes the public sockets; the first call counts.
    pub fn set_listening(&self, addresses: Vec<SocketAddr>) {
        let _ = self.listening.set(addresses);
    }

    /// The public sockets as they were bound; empty in a process that does not serve.
    pub fn listening(&self) -> &[SocketAddr] {
        self.listening.get().map_or(&[], Vec::as_slice)
    }

    /// Notes a connection to a public socket. One of this machine to itself says nothing about the network.
    pub fn note_reached(&self, peer: SocketAddr, own: SocketAddr) {
        let (peer, own) = (peer.ip().to_canonical(), own.ip().to_canonical());
        if !peer.is_loopback() && peer != own {
            self.was_reached.store(true, Ordering::Relaxed);
        }
    }

    /// Whether another machine has connected since the start.
    pub fn was_reached(&self) -> bool {
        self.was_reached.load(Ordering::Relaxed)
    }

    /// Every address under which another machine could reach the public sockets now, most likely first.
    pub fn reachable(&self) -> Vec<SocketAddr> {
        reachable(self.listening())
    }
}

/// See [`Presence::reachable`]. The machine's addresses are asked for each time: they change with the network.
pub fn reachable(listening: &[SocketAddr]) -> Vec<SocketAddr> {
    let own: Vec<_> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|own| !own.is_loopback() && !own.is_link_local())
        .map(|own| own.ip())
        .collect();
    rules::reachable(listening, &own)
}

/// Addresses for a browser, the public one first; at last this machine's own.
pub fn browser_urls(app: &App) -> Vec<String> {
    let near = app.presence.reachable().into_iter().map(|host| format!("http://{host}"));
    let mut urls: Vec<String> = app.config.public_url.clone().into_iter().chain(near).collect();
    if urls.is_empty() {
        let ports = app.presence.listening().iter().map(SocketAddr::port);
        urls.extend(ports.map(|port| format!("http://127.0.0.1:{port}")).take(1));
    }
    urls
}

/// Addresses for native clients, which always speak TLS; the configured public one last.
pub fn native_urls(app: &App) -> Vec<String> {
    let own = app.presence.reachable().into_iter().map(|host| format!("https://{host}"));
    own.chain(app.config.public_url.clone()).collect()
}
