//! The native wire, `/api/v2`: what the `photosync` client, the web app and other programs speak.
//!
//! JSON is snake_case, digests are lower hexadecimal, times are Unix milliseconds UTC (`*_ms`), sizes are bytes
//! (`*_bytes`). Readers ignore keys they do not know. Binary bodies are raw 32-byte digests, one after the other.
//! Every error has the body of [`crate::error::ErrorBody`].

pub mod admin;
pub mod claims;
pub mod films;
pub mod library;
pub mod places;
pub mod relay;
pub mod session;
pub mod settled;
pub mod tus;
pub mod web;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use claims::Claims;

/// Every native route starts with this.
pub const PREFIX: &str = "/api/v2";
/// The file's name, percent-encoded UTF-8 (`PUT /library/assets`).
pub const NAME_HEADER: &str = "photosync-name";
/// Id of the asset a finished tus upload became.
pub const ASSET_HEADER: &str = "photosync-asset";
/// Digest of the whole file, RFC 9530.
pub const REPR_DIGEST_HEADER: &str = "repr-digest";

/// Most digests in one request of `missing`, `forget` or `receipts`.
pub const MAX_DIGESTS: usize = 100_000;
/// Most rows in one page of a listing or of changes.
pub const MAX_PAGE_ROWS: i64 = 1000;

/// `GET /api/v2/server`, without signing in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerAnswer {
    /// What the operator calls this server; the host name by default.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Random id of this server, 32 hexadecimal digits: the same after a change of address or certificate.
    pub server_id: String,
    /// SHA-256 of the identity key's 32 public bytes, base32, 52 characters: what a client pins.
    pub fingerprint: String,
    /// The server's clock.
    pub now_ms: i64,
    /// What it can do: `pairing`, `tus`, `sync`, `receipts`, `relay`, `library`.
    pub features: Vec<String>,
    /// What it takes.
    pub limits: Limits,
    /// Whether this client could register: `open`, `invited` or `closed`.
    pub registration: String,
}

/// What a server takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Digests in one request.
    pub max_digests: usize,
    /// Largest body of one request, if the operator (or a proxy before the server) caps it; larger files go by tus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Seconds without a byte after which a half upload is swept.
    pub upload_expires_s: u64,
}

/// How sure a server is of a file. The one vocabulary of the API, the tray and the web.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Safety {
    /// The server has heard of it, and does not have it whole: missing, damaged, or deleted by a person.
    Known,
    /// Whole and durable when it arrived.
    Received,
    /// Since then re-read from the disk and hashed.
    Verified,
    /// And a backup on another disk was restored on trial, and the same bytes were found right there.
    SecondCopy,
}

/// Answer of `PUT /api/v2/library/assets`: 201 if the bytes are new here, 200 if they were held already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssetAnswer {
    /// Id of the asset.
    pub id: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Name it is listed under.
    pub name: String,
    /// [`Safety::Received`] or better.
    pub state: Safety,
}

/// One held asset in a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssetRow {
    /// Id of the asset.
    pub id: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Length of the original.
    pub size_bytes: u64,
    /// Listed name.
    pub name: String,
    /// From the bytes, never from a label.
    pub media_type: String,
    /// When the server got it.
    pub arrived_at_ms: i64,
    /// When it was last re-read and hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at_ms: Option<i64>,
    /// What the devices that sent it say about it; the first to say a thing wins.
    #[serde(default)]
    pub claims: Claims,
}

/// `GET /api/v2/library/assets?after=&limit=`: held assets in order of arrival.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssetPage {
    /// The rows.
    pub assets: Vec<AssetRow>,
    /// All held assets.
    pub total: i64,
    /// What to send as `after` for the next page; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What happened to an asset, as its state now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is held (new, back from the trash, or healed).
    Held,
    /// It is in the trash.
    Trashed,
    /// Its bytes are damaged or gone: wanted again.
    Wanted,
    /// It is gone for good.
    Removed,
}

/// One asset that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// Id of the asset.
    pub id: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its state now.
    pub kind: ChangeKind,
    /// Listed name; empty once it is gone for good.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Length of the original.
    #[serde(default)]
    pub size_bytes: u64,
}

/// `GET /api/v2/library/changes?since=&limit=`: without `since`, everything that is. An asset that changed often is
/// there once, with its last state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Changes {
    /// The changes, oldest first.
    pub changes: Vec<Change>,
    /// What to send as `since` next time.
    pub next: String,
    /// Whether there is more right now.
    pub more: bool,
}
