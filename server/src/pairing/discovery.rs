//! The announcement on the local network: DNS-SD service `_photosync._tcp`. A hint only; clients compare the key.

use std::net::SocketAddr;
use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use photosync_protocol::v2::PREFIX;

use super::rules::is_reachable_from_outside;
use crate::boot::App;

const SERVICE: &str = "_photosync._tcp.local.";
/// Characters of the fingerprint that are announced: enough to pick the right server from a list, 80 bits.
const FINGERPRINT_CHARS: usize = 16;
/// Longest wait for the goodbye at stop.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// A running announcement.
pub struct Announcement {
    daemon: ServiceDaemon,
    full_name: String,
}

/// Announces the server, if it wants that and other machines can reach it. That it cannot (no multicast, no network)
/// is a warning: addresses can be typed.
pub fn announce(app: &App) -> Option<Announcement> {
    let listening = app.presence.listening();
    if !app.config.discovery || !is_reachable_from_outside(listening) {
        return None;
    }
    match start(app, listening) {
        Ok(announcement) => announcement,
        Err(error) => {
            tracing::warn!(%error, "the server is not announced on the local network; its address can be typed");
            None
        }
    }
}

fn start(app: &App, listening: &[SocketAddr]) -> mdns_sd::Result<Option<Announcement>> {
    let Some(first) = listening.first() else { return Ok(None) };
    let server_id = app.presence.server_id();
    let fingerprint = app.identity.fingerprint();
    let short = fingerprint.get(..FINGERPRINT_CHARS).unwrap_or(fingerprint);
    let txt = [
        ("id", server_id),
        ("fp", short),
        ("tls", "1"),
        ("path", PREFIX),
        ("v", crate::updates::running_version()),
    ];
    // A host name of its own: the machine's may be announced by the system's own responder with other addresses.
    let host = format!("photosync-{}.local.", server_id.get(..8).unwrap_or(server_id));
    let daemon = ServiceDaemon::new()?;
    let outside: Vec<_> = listening
        .iter()
        .map(SocketAddr::ip)
        .filter(|ip| !ip.to_canonical().is_loopback())
        .collect();
    let everywhere = outside.iter().any(std::net::IpAddr::is_unspecified);
    let (name, port) = (app.presence.name(), first.port());
    let info = if everywhere {
        for (version, kind) in [(4, IfKind::IPv4), (6, IfKind::IPv6)] {
            if !outside.iter().any(|ip| ip.is_ipv4() == (version == 4)) {
                daemon.disable_interface(kind)?;
            }
        }
        ServiceInfo::new(SERVICE, name, &host, (), port, &txt[..])?.enable_addr_auto()
    } else {
        ServiceInfo::new(SERVICE, name, &host, &outside[..], port, &txt[..])?
    };
    let full_name = info.get_fullname().to_owned();
    daemon.register(info)?;
    tracing::info!(name, "announced on the local network");
    Ok(Some(Announcement { daemon, full_name }))
}

impl Announcement {
    /// Says goodbye, so that no list shows a server that is gone. Blocks for at most a second.
    pub fn withdraw(self) {
        if let Ok(told) = self.daemon.unregister(&self.full_name) {
            let _ = told.recv_timeout(GOODBYE_WITHIN);
        }
        let _ = self.daemon.shutdown();
    }
}
