//! Browsers: signing in with a cookie, and the first run.
//!
//! The cookie is `photosync` over HTTP and `__Host-photosync` over HTTPS: HttpOnly, SameSite=Strict, never accepted on routes
//! of version 1. A request that changes something also carries [`CSRF_HEADER`].

use serde::{Deserialize, Serialize};

/// Cookie of a browser over plain HTTP.
pub const COOKIE: &str = "photosync";
/// Cookie of a browser over HTTPS.
pub const SECURE_COOKIE: &str = "__Host-photosync";
/// What a page sends with every request that changes something: [`WebSession::csrf`].
pub const CSRF_HEADER: &str = "x-photosync-csrf";

/// `GET /api/v2/web`, without signing in: what the first page needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebState {
    /// What the operator calls this server.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Nobody has an account yet: show the first run.
    pub needs_setup: bool,
    /// The first run asks for the code that the server printed, because this browser is not on the same machine.
    pub needs_setup_code: bool,
    /// The browser is signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<WebSession>,
}

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebSession {
    /// Goes into the header [`CSRF_HEADER`].
    pub csrf: String,
    /// Whose library.
    pub account_uuid: String,
    /// E-mail of the account.
    pub email: String,
    /// `admin`, `creator`, `member` or `viewer`.
    pub role: String,
    /// This browser among the devices.
    pub device_id: String,
}

/// `POST /api/v2/web/session`: signs in by password. 200 [`WebSession`] and the cookie.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebSignIn {
    /// E-mail of the account.
    pub email: String,
    /// Its password.
    pub password: String,
}

/// `POST /api/v2/web/setup`: makes the first account, an administrator, and signs in. 201 [`WebSession`] and the cookie.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebSetup {
    /// The code that the server printed, if [`WebState::needs_setup_code`].
    #[serde(default)]
    pub code: String,
    /// E-mail of the account.
    pub email: String,
    /// At least 8 characters.
    pub password: String,
}

/// `POST /api/v2/web/link`: signs in by a link that works once. 200 [`WebSession`] and the cookie.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebLink {
    /// What stands after `#` in the link.
    pub token: String,
}

/// `GET /api/v2/me`: the account of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// Whose library.
    pub account_uuid: String,
    /// E-mail.
    pub email: String,
    /// `admin`, `creator`, `member` or `viewer`.
    pub role: String,
    /// Originals that are held.
    pub held_count: i64,
    /// Their bytes.
    pub held_bytes: i64,
    /// Bytes that are free on the disk of the originals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Originals that the media worker has not looked at yet.
    pub media_waiting: i64,
}
