//! Decisions about pairing and being found. No I/O, no clock.

use std::net::{IpAddr, SocketAddr};

use photosync_protocol::v2::session::{PAIRING_ALPHABET, PairingClaim, normalise_code};

use crate::accounts::rules::is_private;

/// Longest name of a server, in bytes: an instance name of DNS-SD is one label of a domain name (RFC 6763 §4.1.1).
const MAX_NAME_BYTES: usize = 63;

/// A pairing code: 40 random bits, 5 to a character.
pub fn code_of(random: [u8; 5]) -> String {
    let bits = random.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    (0..8)
        .rev()
        .map(|place| {
            let value = usize::try_from(bits >> (place * 5) & 31).unwrap_or(0);
            char::from(PAIRING_ALPHABET[value])
        })
        .collect()
}

/// A code as people read it aloud: `ABCD-EFGH`.
pub fn show_code(code: &str) -> String {
    match code.split_at_checked(4) {
        Some((first, second)) => format!("{first}-{second}"),
        None => code.to_owned(),
    }
}

/// What a claim presents.
#[derive(Debug, PartialEq, Eq)]
pub enum Key {
    /// A typed code, in its one spelling.
    Code(String),
    /// A typed text that cannot be a code.
    NoCode,
    /// The QR code's secret.
    Token(String),
}

/// The one key of a claim; `None` if it has none or two.
pub fn key_of(claim: &PairingClaim) -> Option<Key> {
    match (&claim.code, &claim.token) {
        (Some(typed), None) => Some(normalise_code(typed).map_or(Key::NoCode, Key::Code)),
        (None, Some(token)) => Some(Key::Token(token.clone())),
        _ => None,
    }
}

/// A server's name as it is shown: one line, not empty, at most [`MAX_NAME_BYTES`].
pub fn server_name(chosen: &str) -> String {
    let mut name: String = chosen.chars().filter(|c| !c.is_control()).collect();
    name = name.trim().to_owned();
    let end = (0..=MAX_NAME_BYTES.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    name.truncate(end.unwrap_or(0));
    if name.is_empty() { "PhotoSync".to_owned() } else { name }
}

/// Where sockets bound to `listening` can be reached on a machine with the addresses `own`: private IPv4 first.
pub fn reachable(listening: &[SocketAddr], own: &[IpAddr]) -> Vec<SocketAddr> {
    let mut hosts: Vec<SocketAddr> = Vec::new();
    for address in listening {
        if !address.ip().is_unspecified() {
            hosts.push(*address);
            continue;
        }
        let same_kind = own.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4());
        hosts.extend(same_kind.map(|ip| SocketAddr::new(*ip, address.port())));
    }
    hosts.sort_by_key(|host| (host.is_ipv6(), !is_private(host.ip())));
    let mut seen = Vec::new();
    hosts.retain(|host| {
        !seen.contains(host) && {
            seen.push(*host);
            true
        }
    });
    hosts
}

/// What a person may type into an old phone app. `has_certificate`: plain HTTP is then for private addresses only.
pub fn typed_urls(reachable: &[SocketAddr], has_certificate: bool) -> Vec<String> {
    reachable
        .iter()
        .map(|host| {
            let tls = has_certificate && !is_private(host.ip());
            format!("{}://{host}", if tls { "https" } else { "http" })
        })
        .collect()
}

/// Whether other machines could reach any of these sockets.
pub fn is_reachable_from_outside(listening: &[SocketAddr]) -> bool {
    listening.iter().any(|address| !address.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(code: Option<&str>, token: Option<&str>) -> PairingClaim {
        let text = |text: Option<&str>| text.map(str::to_owned);
        PairingClaim {
            code: text(code),
            token: text(token),
            device_name: "phone".into(),
            device_id: None,
        }
    }

    #[test]
    fn a_code_uses_all_40_bits_and_survives_being_typed() {
        assert_eq!(code_of([0; 5]), "00000000");
        assert_eq!(code_of([255; 5]), "ZZZZZZZZ");
        // 0x0123456789 in groups of five bits, by hand: 0 4 17 20 10 25 28 9.
        assert_eq!(code_of([0x01, 0x23, 0x45, 0x67, 0x89]), "04HMASW9");
        let code = code_of([7, 11, 200, 31, 99]);
        assert_eq!(normalise_code(&show_code(&code).to_lowercase()), Some(code));
    }

    #[test]
    fn a_claim_has_exactly_one_key() {
        assert_eq!(key_of(&claim(None, None)), None);
        assert_eq!(key_of(&claim(Some("ABCD-EFGH"), Some("psp_x"))), None);
        assert_eq!(key_of(&claim(Some("abcd-efgh"), None)), Some(Key::Code("ABCDEFGH".into())));
        assert_eq!(key_of(&claim(Some("hello"), None)), Some(Key::NoCode));
        assert_eq!(key_of(&claim(None, Some("psp_x"))), Some(Key::Token("psp_x".into())));
    }

    #[test]
    fn a_name_is_one_label_whatever_was_chosen() {
        assert_eq!(server_name(" Attic\n"), "Attic");
        assert_eq!(server_name("\u{7}"), "PhotoSync");
        let long = server_name(&"ä".repeat(60));
        assert_eq!((long.len(), long.chars().count()), (62, 31));
    }

    #[test]
    fn the_address_a_phone_most_likely_reaches_comes_first_and_none_comes_twice() {
        let listening: Vec<SocketAddr> =
            ["[::]:3000", "0.0.0.0:3000", "192.168.1.5:3000"].map(|a| a.parse().unwrap()).into();
        let own: Vec<IpAddr> =
            ["8.8.4.4", "fd00::5", "192.168.1.5"].map(|a| a.parse().unwrap()).into();
        let reachable = reachable(&listening, &own);
        let shown: Vec<String> = reachable.iter().map(SocketAddr::to_string).collect();
        assert_eq!(shown, ["192.168.1.5:3000", "8.8.4.4:3000", "[fd00::5]:3000"]);
        assert_eq!(
            typed_urls(&reachable, true),
            ["http://192.168.1.5:3000", "https://8.8.4.4:3000", "http://[fd00::5]:3000"]
        );
    }

    #[test]
    fn a_server_for_this_machine_alone_is_announced_to_nobody() {
        let of = |address: &str| is_reachable_from_outside(&[address.parse().unwrap()]);
        assert!(!of("127.0.0.1:3000") && !of("[::1]:3000"));
        assert!(of("0.0.0.0:3000") && of("[::]:3000") && of("10.0.0.1:3000"));
    }
}
