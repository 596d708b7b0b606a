//! What a person types as the server's address, and whether plain HTTP is allowed there.

use std::net::{IpAddr, Ipv6Addr};

use reqwest::Url;

use crate::error::{Error, Kind, Result};

/// Reads `nas:3000`, `https://photos.example.org/`, `http://192.168.1.5:3000`: the base address without a slash at
/// its end. Without a scheme it is `https`.
pub fn read(typed: &str) -> Result<Url> {
    let typed = typed.trim();
    let text = if typed.contains("://") { typed.to_owned() } else { format!("https://{typed}") };
    let wrong = |why: &str| {
        Error::new(Kind::Usage, format!("{typed} is not the address of a server: {why}"))
            .hint("it looks like https://192.168.1.5:3000 or https://photos.example.org")
    };
    let mut url = Url::parse(&text).map_err(|cause| wrong(&cause.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it begins with https:// or http://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("there is no host name in it"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must not hold a password"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// The address as it is kept: without a slash at its end.
pub fn base_of(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Host and port of an address.
pub fn host_and_port(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    (host, url.port_or_known_default().unwrap_or(443))
}

/// Whether an address never leaves this machine or the network it stands in.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(IpAddr::V4(v4)),
            None => v6 == Ipv6Addr::LOCALHOST || v6.is_unique_local() || v6.is_unicast_link_local(),
        },
    }
}

/// Whether the host is written as a private address, or is `localhost`: no proxy stands before it.
pub fn is_plainly_private(url: &Url) -> bool {
    let (host, _) = host_and_port(url);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_private)
}

/// Refuses `http://` to anywhere but this machine and private networks.
pub async fn require_private(url: &Url) -> Result<()> {
    let (host, port) = host_and_port(url);
    if is_plainly_private(url) {
        return Ok(());
    }
    let found: Vec<IpAddr> = tokio::net::lookup_host((host.as_str(), port))
        .await
        .map_err(|cause| {
            Error::new(Kind::Unreachable, format!("could not find the address of {host}: {cause}"))
                .hint("check the spelling and the network, or use the number of the address")
        })?
        .map(|address| address.ip())
        .collect();
    if !found.is_empty() && found.iter().copied().all(is_private) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Usage,
        format!("{host} is on the internet, where http:// can be read by anybody"),
    )
    .hint(format!("use https://{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_type_them() {
        let of = |typed: &str| read(typed).map(|url| base_of(&url));
        assert_eq!(of("nas:3000").unwrap(), "https://nas:3000");
        assert_eq!(of(" http://192.168.1.5:3000/ ").unwrap(), "http://192.168.1.5:3000");
        assert_eq!(of("https://example.org/photos/").unwrap(), "https://example.org/photos");
        for wrong in ["", "ftp://nas", "https://", "https://ada:pw@nas", "nas nas"] {
            assert_eq!(of(wrong).unwrap_err().kind, Kind::Usage, "{wrong}");
        }
    }

    #[tokio::test]
    async fn plain_http_stays_in_private_networks() {
        for fine in [
            "http://127.0.0.1:3000",
            "http://192.168.1.5",
            "http://[::1]:3000",
            "http://100.64.0.1",
        ] {
            require_private(&read(fine).unwrap()).await.unwrap();
        }
        let error = require_private(&read("http://203.0.113.9:3000").unwrap()).await.unwrap_err();
        assert!(error.hint.contains("https://203.0.113.9:3000"), "{error:?}");
    }
}
