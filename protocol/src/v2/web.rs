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

/// `POST /api/v2/web/invitation`: whom a link is for by which a password is chosen. The link stays as it is.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InvitationLook {
    /// What stands after `#` in the link.
    pub token: String,
}

/// For whom such a link is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invitation {
    /// E-mail of the account.
    pub email: String,
    /// What its owner is called; may be empty.
    pub name: String,
    /// The account has no password yet.
    pub is_first: bool,
}

/// `PUT /api/v2/web/invitation`: chooses the password, which uses the link up and ends every session of the account, and signs
/// in. 200 [`WebSession`] and the cookie.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AcceptInvitation {
    /// What stands after `#` in the link.
    pub token: String,
    /// At least 8 characters.
    pub password: String,
}

/// `POST /api/v2/me/password`: 200 [`PasswordChanged`] and a new cookie.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasswordChange {
    /// The password so far; empty if the account never had one.
    #[serde(default)]
    pub old: String,
    /// At least 8 characters.
    pub new: String,
    /// Phones and computers are signed out too, not only other browsers.
    #[serde(default)]
    pub devices: bool,
}

/// The new password holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasswordChanged {
    /// This browser goes on with another cookie, and so with another word in [`CSRF_HEADER`].
    pub session: WebSession,
    /// Sessions that were ended.
    pub ended: i64,
}

/// `POST /api/v2/me/sign-out`: 200 [`Ended`](super::admin::Ended). Ends every browser's session but this one, and every sign-in
/// link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignOutElsewhere {
    /// Phones and computers too.
    #[serde(default)]
    pub devices: bool,
}

/// `PATCH /api/v2/me`: 200 [`Me`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeEdit {
    /// What the person is called, at most 100 characters.
    pub name: String,
}

/// `GET /api/v2/me`: the account of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// Whose library.
    pub account_uuid: String,
    /// E-mail.
    pub email: String,
    /// What its owner is called; may be empty.
    #[serde(default)]
    pub name: String,
    /// `admin`, `creator`, `member` or `viewer`.
    pub role: String,
    /// Whether it has a password: without one, no old one is asked for.
    #[serde(default)]
    pub has_password: bool,
    /// Most bytes of originals that it may hold; absent: as much as there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<i64>,
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
