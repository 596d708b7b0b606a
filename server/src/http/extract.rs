//! Extractors: holding one is a proof, so a handler has nothing left to check.

use std::net::IpAddr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v1::DEVICE_UUID_HEADER;
use serde::de::DeserializeOwned;

use crate::accounts::admin::{self, Admin};
use crate::accounts::native::{self, Member, Proof, Uploader};
use crate::accounts::web::rules as web;
use crate::accounts::web::{self as browsers, Person, Sharer};
use crate::accounts::{self, Caller, Device};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::read_json;

/// How a request reached us; put there by the accept loop.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Address of the other end of the connection.
    pub address: IpAddr,
    /// How the connection is encrypted.
    pub encryption: Encryption,
}

impl Peer {
    /// Whether the client came over HTTPS, be it up to a proxy.
    pub fn is_https(self) -> bool {
        self.encryption != Encryption::None
    }

    fn of(parts: &Parts) -> Result<Self> {
        let peer = parts.extensions.get::<Self>().copied();
        peer.ok_or_else(|| Error::internal("know the peer of a connection"))
    }
}

impl FromRequestParts<App> for Peer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self> {
        Self::of(parts)
    }
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// TLS with the self-signed certificate of the identity key, which browsers do not trust.
    Identity,
    /// TLS with a certificate for the name that was asked for.
    Certificate,
    /// HTTPS up to a trusted proxy, which says so.
    Proxy,
}

/// Signs that somebody else is behind the address: a proxy's headers, and the origin of a web page, which may be
/// any page in a browser on this network.
const FORWARDING: [&str; 7] = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "x-forwarded-host",
    "x-forwarded-proto",
    "via",
    "origin",
];

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let peer = Peer::of(parts)?;
        Ok(caller_of(peer.address, &parts.headers, &app.config.trusted_proxies))
    }
}

/// The client behind trusted proxies: the last address of `X-Forwarded-For` that is not such a proxy itself.
fn caller_of(peer: IpAddr, headers: &HeaderMap, trusted: &[(IpAddr, u8)]) -> Caller {
    let forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
    let is_trusted = |address: IpAddr| is_in(trusted, address);
    let mut address = peer.to_canonical();
    if is_trusted(address) {
        let lines =
            headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        for hop in hops.iter().rev() {
            let Ok(hop) = hop.parse::<IpAddr>() else { break };
            address = hop.to_canonical();
            if !is_trusted(address) {
                break;
            }
        }
    }
    Caller { address, forwarded }
}

/// Whether the request left its client over HTTPS: said by a proxy that is believed. The last word is the nearest proxy's.
pub fn is_https_up_to_a_proxy(peer: IpAddr, headers: &HeaderMap, trusted: &[(IpAddr, u8)]) -> bool {
    let lines = headers.get_all("x-forwarded-proto").iter();
    let last = lines.filter_map(|value| value.to_str().ok()).next_back();
    let last = last.and_then(|line| line.rsplit(',').next()).map(str::trim);
    is_in(trusted, peer.to_canonical())
        && last.is_some_and(|word| word.eq_ignore_ascii_case("https"))
}

fn is_in(networks: &[(IpAddr, u8)], address: IpAddr) -> bool {
    networks.iter().any(|network| contains(*network, address))
}

fn contains((network, bits): (IpAddr, u8), address: IpAddr) -> bool {
    let bits_of = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 4),
        IpAddr::V6(v6) => (v6.to_bits(), 6),
    };
    let ((a, kind), (b, other)) = (bits_of(network), bits_of(address));
    let shift = 128 - u32::from(bits);
    kind == other && (shift == 128 || a >> shift == b >> shift)
}

impl FromRequestParts<App> for Device {
    type Rejection = Error;

    /// In the order old clients know: no token 401, no device UUID 400, anything wrong 403.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let text = |name: &str| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let token = text(header::AUTHORIZATION.as_str()).split(' ').nth(1).unwrap_or_default();
        if token.is_empty() {
            return Err(please_sign_in());
        }
        let device_uuid = text(DEVICE_UUID_HEADER);
        if device_uuid.is_empty() {
            return Err(Error::bad_request("the header X-Device-UUID is missing"));
        }
        let (token, device_uuid) = (token.to_owned(), device_uuid.to_owned());
        accounts::authenticate(app, &token, &device_uuid).await
    }
}

impl FromRequestParts<App> for Member {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        prove(parts, app).await?.into_member()
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        prove(parts, app).await?.into_person()
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        admin::authenticate(app, prove(parts, app).await?.into_person()?).await
    }
}

/// Longest JSON body of most [`Sent`].
const SMALL_BYTES: usize = 16 * 1024;

/// A JSON body of at most so many bytes. It is read after everything else of a handler was proved.
pub struct Sent<T, const MAX_BYTES: usize = SMALL_BYTES>(pub T);

impl<T: DeserializeOwned, const MAX_BYTES: usize> FromRequest<App> for Sent<T, MAX_BYTES> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let (parts, body) = request.into_parts();
        read_json(app, &parts.headers, body, MAX_BYTES).await.map(Self)
    }
}

impl FromRequestParts<App> for Sharer {
    type Rejection = Error;

    /// Where the request comes from is looked at before the cookie: a page elsewhere learns nothing of who is signed in.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        if !web::is_no_page_elsewhere(&parts.headers) {
            let message = "only this app and this device share photos with it, no other page";
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
        let cookie = web::find_cookie(&parts.headers, Peer::of(parts)?.is_https());
        let cookie = cookie.ok_or_else(please_sign_in)?.to_owned();
        Ok(Self(browsers::authenticate(app, &cookie).await?.0))
    }
}

impl FromRequestParts<App> for Uploader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        prove(parts, app).await.map(Proof::into_uploader)
    }
}

/// The bearer token of a native request, or else the cookie of a browser; with a cookie, whatever changes something must come
/// from a page of this server. Passwords prove nothing here.
async fn prove(parts: &Parts, app: &App) -> Result<Proof> {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let token = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return prove_browser(parts, app).await.map(Proof::Person);
    };
    let (token, legacy) = (token.to_owned(), text(DEVICE_UUID_HEADER).map(str::to_owned));
    native::authenticate(app, &token, legacy.as_deref()).await
}

async fn prove_browser(parts: &Parts, app: &App) -> Result<Person> {
    let cookie = web::find_cookie(&parts.headers, Peer::of(parts)?.is_https());
    let cookie = cookie.ok_or_else(please_sign_in)?.to_owned();
    let person = browsers::authenticate(app, &cookie).await?;
    let changes = !web::is_safe(&parts.method);
    if changes
        && !(web::is_own_page(&parts.headers)
            && web::has_csrf(&parts.headers, &browsers::csrf_of(&cookie)))
    {
        let message = "this request does not come from a page of this server; please reload it";
        return Err(Error::new(ErrorCode::Forbidden, message));
    }
    Ok(person)
}

fn please_sign_in() -> Error {
    Error::new(ErrorCode::Unauthorised, "please sign in")
}

/// `offset` and `limit` of a listing; junk and negative numbers are 0.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// Rows to skip.
    pub offset: i64,
    /// Rows wanted; 0 = all, and then `offset` does not count.
    pub limit: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> std::result::Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        let number = |wanted: &str| {
            let value = query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == wanted);
            value.and_then(|(_, value)| value.parse::<i64>().ok()).unwrap_or(0).max(0)
        };
        Ok(Self { offset: number("offset"), limit: number("limit") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_addresses_count_only_behind_trusted_proxies() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.2".parse().unwrap());
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let of = |trusted: &[(IpAddr, u8)]| caller_of(proxy, &headers, trusted);
        assert_eq!(of(&[]).address, proxy);
        assert!(of(&[]).forwarded);
        let network = [("10.0.0.0".parse().unwrap(), 8)];
        // The client can write whatever it likes to the left of what the first proxy saw.
        assert_eq!(of(&network).address, "1.2.3.4".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn only_a_trusted_proxy_says_that_a_request_came_by_https() {
        let of = |peer: &str, said: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-proto", said.parse().unwrap());
            let trusted = [("10.0.0.0".parse().unwrap(), 8)];
            is_https_up_to_a_proxy(peer.parse().unwrap(), &headers, &trusted)
        };
        assert!(of("10.0.0.1", "https") && of("::ffff:10.0.0.1", "http, HTTPS"));
        assert!(!of("10.0.0.1", "http") && !of("10.0.0.1", "https, http"));
        assert!(!of("192.168.0.1", "https"));
    }

    #[test]
    fn networks_contain_their_addresses_only() {
        let of = |network: &str, bits, address: &str| {
            contains((network.parse().unwrap(), bits), address.parse().unwrap())
        };
        assert!(of("192.168.0.0", 16, "192.168.9.9"));
        assert!(!of("192.168.0.0", 16, "192.169.0.1"));
        assert!(of("::1", 128, "::1"));
        assert!(!of("0.0.0.0", 0, "::1"));
        assert!(of("0.0.0.0", 0, "8.8.8.8"));
    }
}
