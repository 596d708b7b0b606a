//! Which of this computer's addresses a phone can reach, best first. Pure, but for [`read`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of this computer and the interface that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Name of the interface as the system calls it.
    pub interface: String,
}

impl Address {
    /// What is typed into a phone: `ip`, or `ip:port` when the port is not the one existing apps always dial.
    pub fn typed(&self, port: u16) -> String {
        match (port, self.ip) {
            (photosync_protocol::v1::DEFAULT_PORT, ip) => ip.to_string(),
            (port, ip) => std::net::SocketAddr::new(ip, port).to_string(),
        }
    }
}

/// Beginnings of interface names that lead to no phone: containers, virtual machines, tunnels, radio links of their
/// own. As the systems and products name them by default.
const INNER: [&str; 31] = [
    "anpi",
    "ap",
    "awdl",
    "br-",
    "bridge",
    "cali",
    "cni",
    "docker",
    "flannel",
    "gif",
    "ipsec",
    "kube",
    "llw",
    "lxc",
    "lxd",
    "podman",
    "ppp",
    "stf",
    "tailscale",
    "tap",
    "tun",
    "utun",
    "vboxnet",
    "veth",
    "vethernet",
    "virbr",
    "vmnet",
    "wg",
    "xdroid",
    "zerotier",
    "zt",
];

/// How likely a phone reaches an address: lower is better. `None`: never.
fn rank(address: &Address) -> Option<(bool, u8, u8)> {
    let kind = match address.ip {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() => {
            return None;
        }
        IpAddr::V4(ip) => rank_v4(ip),
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() => {
            return None;
        }
        IpAddr::V6(ip) => rank_v6(ip),
    };
    let name = address.interface.to_lowercase();
    let is_inner = INNER.iter().any(|inner| name.starts_with(inner));
    let is_cable_or_radio =
        ["en", "eth", "wl", "wi-fi"].iter().any(|known| name.starts_with(known));
    Some((is_inner, kind, u8::from(!is_cable_or_radio)))
}

/// RFC 1918 as home routers give them out, most usual first; then what only a server or a tunnel has.
fn rank_v4(ip: Ipv4Addr) -> u8 {
    match ip.octets() {
        [192, 168, ..] => 0,
        [10, ..] => 1,
        [172, 16..=31, ..] => 2,
        // Carrier-grade NAT (RFC 6598), which overlay networks use too.
        [100, 64..=127, ..] => 6,
        _ => 3,
    }
}

fn rank_v6(ip: Ipv6Addr) -> u8 {
    if ip.is_unique_local() { 4 } else { 5 }
}

/// The addresses worth showing, best first, each once. Those of containers, virtual machines and tunnels only if
/// there is nothing else.
pub fn choose(all: Vec<Address>) -> Vec<Address> {
    let mut ranked: Vec<_> =
        all.into_iter().filter_map(|address| Some((rank(&address)?, address))).collect();
    ranked.sort_by(|(a, left), (b, right)| {
        (a, &left.interface, left.ip).cmp(&(b, &right.interface, right.ip))
    });
    let has_outer = ranked.iter().any(|((is_inner, ..), _)| !is_inner);
    ranked.retain(|((is_inner, ..), _)| !(*is_inner && has_outer));
    let mut chosen: Vec<Address> = Vec::new();
    for (_, address) in ranked {
        if !chosen.iter().any(|known| known.ip == address.ip) {
            chosen.push(address);
        }
    }
    chosen
}

/// The addresses this computer has now. None when the system does not tell.
pub fn read() -> Vec<Address> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    choose(
        interfaces.into_iter().map(|own| Address { ip: own.ip(), interface: own.name }).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(all: &[(&str, &str)]) -> Vec<String> {
        let all = all.iter().map(|(interface, ip)| Address {
            ip: ip.parse().unwrap(),
            interface: (*interface).to_owned(),
        });
        choose(all.collect()).iter().map(|a| format!("{} {}", a.interface, a.ip)).collect()
    }

    #[test]
    fn a_laptop_with_containers_and_a_tunnel_shows_its_radio_and_cable() {
        let laptop = [
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("br-1f2e3d4c5b6a", "172.18.0.1"),
            ("tailscale0", "100.101.102.103"),
            ("wlp3s0", "192.168.178.23"),
            ("wlp3s0", "fe80::1c2d:3e4f:5a6b:7c8d"),
            ("wlp3s0", "2001:db8:1:2::5"),
            ("enp0s31f6", "192.168.178.40"),
            ("virbr0", "192.168.122.1"),
        ];
        let wanted =
            ["enp0s31f6 192.168.178.40", "wlp3s0 192.168.178.23", "wlp3s0 2001:db8:1:2::5"];
        assert_eq!(shown(&laptop), wanted);
    }

    #[test]
    fn a_computer_with_ipv6_only_shows_its_local_address_first() {
        let only =
            [("eth0", "fe80::1"), ("eth0", "2001:db8::9"), ("eth0", "fd12:3456::9"), ("lo", "::1")];
        assert_eq!(shown(&only), ["eth0 fd12:3456::9", "eth0 2001:db8::9"]);
    }

    #[test]
    fn a_bridge_is_shown_where_there_is_nothing_else() {
        assert_eq!(
            shown(&[("docker0", "172.17.0.1"), ("lo", "127.0.0.1")]),
            ["docker0 172.17.0.1"]
        );
        assert_eq!(shown(&[("wg0", "10.8.0.2"), ("lo", "127.0.0.1")]), ["wg0 10.8.0.2"]);
    }

    #[test]
    fn windows_and_macos_names_are_known() {
        let windows = [
            ("vEthernet (WSL)", "172.27.64.1"),
            ("Wi-Fi", "192.168.0.7"),
            ("Ethernet", "10.1.2.3"),
            ("Loopback Pseudo-Interface 1", "127.0.0.1"),
        ];
        assert_eq!(shown(&windows), ["Wi-Fi 192.168.0.7", "Ethernet 10.1.2.3"]);
        let mac = [
            ("en0", "192.168.1.9"),
            ("awdl0", "fe80::2"),
            ("utun3", "10.64.0.2"),
            ("bridge100", "192.168.64.1"),
        ];
        assert_eq!(shown(&mac), ["en0 192.168.1.9"]);
    }

    #[test]
    fn nothing_useful_is_nothing() {
        assert!(
            shown(&[("lo", "127.0.0.1"), ("eth0", "169.254.3.4"), ("eth0", "fe80::3")]).is_empty()
        );
        assert_eq!(shown(&[("eth0", "10.0.0.2"), ("eth0.5", "10.0.0.2")]), ["eth0 10.0.0.2"]);
    }

    #[test]
    fn a_port_is_typed_only_if_it_is_another_than_apps_dial() {
        let v6 = Address { ip: "fd00::1".parse().unwrap(), interface: "eth0".into() };
        assert_eq!(v6.typed(3000), "fd00::1");
        assert_eq!(v6.typed(4000), "[fd00::1]:4000");
    }
}
