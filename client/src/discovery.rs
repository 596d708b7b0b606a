//! Servers that announce themselves on the local network (DNS-SD, `_photosync._tcp`). A hint only: anybody can announce
//! anything, so an address from here is used with the pinned key alone.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};

use crate::error::{Error, Kind, Result};

const SERVICE: &str = "_photosync._tcp.local.";
/// Answers come within a fraction of a second; one that was lost is asked for again after one.
const BROWSE: Duration = Duration::from_secs(2);

/// A server that announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// What its operator calls it.
    pub name: String,
    /// Where it says it is, each `https`.
    pub urls: Vec<String>,
    /// Whether it says that it has the wanted key.
    pub is_wanted: bool,
}

/// Listens for two seconds; with `stops_early` only until somebody says that it has the key with that fingerprint.
pub async fn browse(fingerprint: &str, stops_early: bool) -> Result<Vec<Announced>> {
    let fingerprint = fingerprint.to_owned();
    let browsing = move || browse_blocking(&fingerprint, stops_early);
    tokio::task::spawn_blocking(browsing)
        .await
        .map_err(|cause| Error::unexpected(format!("a task ended unexpectedly: {cause}")))?
        .map_err(|cause| {
            Error::new(Kind::Unreachable, format!("could not ask the local network: {cause}"))
        })
}

fn browse_blocking(fingerprint: &str, stops_early: bool) -> mdns_sd::Result<Vec<Announced>> {
    let daemon = ServiceDaemon::new()?;
    let events = daemon.browse(SERVICE)?;
    let end = Instant::now() + BROWSE;
    let mut found: HashMap<String, Announced> = HashMap::new();
    while let Ok(event) = events.recv_deadline(end) {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let announced = read(&service, fingerprint);
                let is_enough = stops_early && announced.is_wanted && !announced.urls.is_empty();
                found.insert(service.fullname.clone(), announced);
                if is_enough {
                    break;
                }
            }
            ServiceEvent::ServiceRemoved(_, name) => {
                found.remove(&name);
            }
            _ => {}
        }
    }
    let _ = daemon.shutdown();
    Ok(found.into_values().collect())
}

fn read(service: &ResolvedService, fingerprint: &str) -> Announced {
    // The announcement has the beginning of the fingerprint. One without it would match every server.
    let begins = service.txt_properties.get_property_val_str("fp").unwrap_or_default();
    let is_wanted = begins.len() >= 16 && fingerprint.starts_with(begins);
    let mut addresses: Vec<IpAddr> =
        service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
    // A link-local address of IPv6 works only together with the name of an interface.
    addresses.retain(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()));
    addresses.sort_by_key(|ip| (ip.is_ipv6(), *ip));
    let url = |ip: IpAddr| format!("https://{}", SocketAddr::new(ip, service.port));
    let name = service.fullname.strip_suffix(SERVICE).unwrap_or(&service.fullname);
    Announced {
        name: name.trim_end_matches('.').to_owned(),
        urls: addresses.into_iter().map(url).collect(),
        is_wanted,
    }
}
