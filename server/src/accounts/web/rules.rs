//! Decisions about browsers. No I/O, no clock.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header};
use photosync_protocol::v2::web::{COOKIE, CSRF_HEADER, SECURE_COOKIE};

/// Which of the two cookies a connection uses. The prefix `__Host-` keeps other hosts and plain HTTP from setting it.
pub fn cookie_name(is_https: bool) -> &'static str {
    if is_https { SECURE_COOKIE } else { COOKIE }
}

/// The value of our cookie, if the browser sent it.
pub fn find_cookie(headers: &HeaderMap, is_https: bool) -> Option<&str> {
    let wanted = cookie_name(is_https);
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(name, value)| name.trim() == wanted && !value.trim().is_empty())
        .map(|(_, value)| value.trim())
}

/// `Set-Cookie` for a value, for `life_s` seconds; an empty value and 0 take it away.
pub fn set_cookie(value: &str, is_https: bool, life_s: i64) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    let name = cookie_name(is_https);
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life_s}{secure}")
}

/// Whether a request changes nothing by its method.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a request comes from a page of this server, as its browser says: by `Sec-Fetch-Site`, or, where browsers send none
/// (plain HTTP), by an `Origin` that is the host it was sent to.
pub fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => text(header::ORIGIN.as_str())
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, host)| {
                text(header::HOST.as_str()).is_some_and(|own| own.eq_ignore_ascii_case(host))
            }),
    }
}

/// Whether no page elsewhere made a request: a page of this server did, or the person did outside of any page, as by sharing with
/// the installed app (`Sec-Fetch-Site: none`, which no page can bring about). Where browsers do not say, an app cannot be
/// installed either, and only a page of ours counts.
pub fn is_no_page_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    site == Some(b"none".as_slice()) || is_own_page(headers)
}

/// Whether a request that changes something carries what only our own pages know.
pub fn has_csrf(headers: &HeaderMap, expected: &str) -> bool {
    // Not secret against timing: it is bound to a cookie that the asking browser holds.
    headers.get(CSRF_HEADER).is_some_and(|sent| sent.as_bytes() == expected.as_bytes())
}

/// Whether the browser runs on the server's machine: the connection comes from there, nobody forwarded it, and the address that
/// was typed is the machine's own name for itself (a page elsewhere can make its own name lead here).
pub fn is_own_machine(peer: IpAddr, headers: &HeaderMap) -> bool {
    const FORWARDED: [&str; 6] = [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x-forwarded-host",
        "x-forwarded-proto",
        "via",
    ];
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_loopback_name = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    peer.to_canonical().is_loopback()
        && is_loopback_name
        && FORWARDED.iter().all(|name| !headers.contains_key(*name))
}

/// What people call a browser, from its `User-Agent`: `Firefox on Linux`. Never more than a hint.
pub fn browser_name(agent: &str) -> String {
    let first = |known: &[(&str, &'static str)]| {
        known.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    // Most browsers name others too: those that pretend come first.
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("FxiOS/", "Firefox"),
        ("Firefox/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chromium/", "Chromium"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("CrOS", "ChromeOS"),
        ("Mac OS X", "Mac"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("Browser on {system}"),
        (None, None) => "Browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn each_way_of_connecting_has_its_own_cookie() {
        let sent = headers(&[("cookie", "a=1; photosync=plain; __Host-photosync=sealed")]);
        assert_eq!(find_cookie(&sent, false), Some("plain"));
        assert_eq!(find_cookie(&sent, true), Some("sealed"));
        assert_eq!(find_cookie(&headers(&[("cookie", "xphotosync=1; photosync=")]), false), None);
        assert!(
            set_cookie("v", true, 5)
                .starts_with("__Host-photosync=v; Path=/; HttpOnly; SameSite=Strict")
        );
        assert!(
            set_cookie("v", true, 5).ends_with("; Secure")
                && !set_cookie("v", false, 5).contains("Secure")
        );
    }

    #[test]
    fn only_a_page_of_this_host_may_change_something() {
        let of = |pairs: &[(&'static str, &str)]| is_own_page(&headers(pairs));
        assert!(of(&[("sec-fetch-site", "same-origin"), ("host", "x")]));
        assert!(!of(&[("sec-fetch-site", "cross-site"), ("host", "x"), ("origin", "http://x")]));
        assert!(!of(&[("sec-fetch-site", "same-site")]) && !of(&[("sec-fetch-site", "none")]));
        assert!(of(&[("host", "nas.local:3000"), ("origin", "http://NAS.local:3000")]));
        assert!(!of(&[("host", "nas.local:3000"), ("origin", "http://nas.local")]));
        assert!(
            !of(&[("host", "nas.local:3000"), ("origin", "null")])
                && !of(&[("host", "nas.local:3000")])
        );
    }

    #[test]
    fn sharing_comes_from_the_person_or_from_a_page_of_this_host() {
        let of = |pairs: &[(&'static str, &str)]| is_no_page_elsewhere(&headers(pairs));
        assert!(of(&[("sec-fetch-site", "none"), ("origin", "null"), ("host", "x")]));
        assert!(of(&[("sec-fetch-site", "same-origin")]));
        for site in ["cross-site", "same-site", "", "None"] {
            assert!(!of(&[("sec-fetch-site", site), ("host", "x"), ("origin", "http://x")]));
        }
        assert!(of(&[("host", "x:3000"), ("origin", "http://x:3000")]));
        assert!(!of(&[("host", "x:3000"), ("origin", "http://x")]));
        assert!(!of(&[("host", "x:3000"), ("origin", "null")]) && !of(&[("host", "x:3000")]));
    }

    #[test]
    fn a_page_elsewhere_that_leads_here_is_not_this_machine() {
        let of = |peer: &str, pairs: &[(&'static str, &str)]| {
            is_own_machine(peer.parse().unwrap(), &headers(pairs))
        };
        for host in ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "LOCALHOST"] {
            assert!(of("127.0.0.1", &[("host", host)]), "{host}");
        }
        assert!(
            !of("127.0.0.1", &[("host", "evil.example:3000")]),
            "a name that was made to lead here"
        );
        assert!(!of("192.168.0.5", &[("host", "localhost")]));
        assert!(!of("127.0.0.1", &[("host", "localhost"), ("x-forwarded-for", "8.8.8.8")]));
        assert!(!of("127.0.0.1", &[]));
    }

    #[test]
    fn browsers_are_called_by_the_name_they_mean() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";
        let edge = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile/15E148 Safari/604.1";
        assert_eq!(browser_name(firefox), "Firefox on Linux");
        assert_eq!(browser_name(edge), "Edge on Windows");
        assert_eq!(browser_name(phone), "Safari on iPhone");
        assert_eq!(browser_name(""), "Browser");
    }
}
