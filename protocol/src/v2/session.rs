//! Signing in, devices, pairing, and how a client finds the same server again.

use serde::{Deserialize, Serialize};

/// Life of an access token: 1 hour, in seconds.
pub const ACCESS_TOKEN_S: i64 = 3600;
/// Life of a refresh token without use: 180 days, in seconds. Each use gives a new one.
pub const REFRESH_TOKEN_S: i64 = 180 * 86_400;
/// After a refresh the previous refresh token works this long, in seconds, for the answer may have been lost.
pub const REFRESH_GRACE_S: i64 = 60;
/// Life of an upload-only token: 365 days, in seconds.
pub const UPLOAD_TOKEN_S: i64 = 365 * 86_400;
/// First characters of a refresh token; 43 base64url characters follow.
pub const REFRESH_PREFIX: &str = "psr_";
/// First characters of an upload-only token.
pub const UPLOAD_PREFIX: &str = "psu_";
/// First characters of a one-time pairing secret.
pub const PAIRING_PREFIX: &str = "psp_";
/// Life of a pairing code: 5 minutes, in seconds.
pub const PAIRING_S: i64 = 300;
/// Wrong codes after which a pairing dies.
pub const PAIRING_TRIES: i64 = 5;
/// Characters of a pairing code: no letters that look like digits (Crockford's base 32). 8 of them are 40 bits.
pub const PAIRING_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// `type` of a pairing code's payload, as the reference writes it.
pub const QR_TYPE: &str = "photolynk-local";
/// Server name (SNI) with which a client asks for the certificate of the identity key, whatever else the server has: no
/// authority gives out certificates for a name below `.invalid` (RFC 2606 §2).
pub const IDENTITY_SERVER_NAME: &str = "photosync.invalid";
/// Begins the signed bytes of an endpoint list.
pub const ENDPOINTS_DOMAIN: &[u8] = b"photosync-endpoints-v1\0";

/// `POST /api/v2/session`
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignIn {
    /// As typed.
    pub email: String,
    /// As typed.
    pub password: String,
    /// What a person calls this device.
    pub device_name: String,
    /// Id of the device from an earlier sign-in, if it still has one: it stays the same device then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
}

/// A device that is signed in now. Answer of `session`, `session/refresh` and `pairing/claim`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Whose library it is.
    pub account_uuid: String,
    /// The account's e-mail.
    pub email: String,
    /// This device.
    pub device_id: String,
    /// For `Authorization: Bearer …`.
    pub access_token: String,
    /// Seconds until the access token ends.
    pub expires_in_s: i64,
    /// For `session/refresh`; replaces the one before.
    pub refresh_token: String,
    /// Fingerprint of the server's identity key.
    pub fingerprint: String,
}

/// `POST /api/v2/session/refresh`
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refresh {
    /// The last one this device got.
    pub refresh_token: String,
}

/// A device of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Device {
    /// Its id.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// Whether it is the one that asks.
    pub this: bool,
    /// When it first signed in.
    pub created_at_ms: i64,
    /// When it last asked for anything (exact to 15 minutes).
    pub last_seen_at_ms: i64,
    /// When it last found that everything it has is settled here; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory_at_ms: Option<i64>,
    /// Whether that is too long ago (setting `sync.overdue_days`): shown in red.
    pub overdue: bool,
    /// Whether it has a live upload-only token.
    pub has_upload_token: bool,
    /// Whether it is a browser: those back nothing up by themselves.
    #[serde(default)]
    pub is_browser: bool,
}

/// `GET /api/v2/devices`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Devices {
    /// The devices that are signed in, last seen first.
    pub devices: Vec<Device>,
}

/// Answer of `POST /api/v2/devices/{id}/upload-token`. A new one ends the one before.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UploadToken {
    /// Adds assets and asks what is missing; nothing else.
    pub upload_token: String,
    /// When it ends.
    pub expires_at_ms: i64,
}

/// `POST /api/v2/pairing` (a signed-in device) or `photosync-server pair EMAIL`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PairingOffer {
    /// 8 characters of [`PAIRING_ALPHABET`], for typing.
    pub code: String,
    /// For a QR code: the JSON text of a [`QrPayload`].
    pub qr: String,
    /// Seconds until both end.
    pub expires_in_s: i64,
}

/// What the QR code says. The first five keys are the reference's. Scanning by a later old app is untested.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QrPayload {
    /// [`QR_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Most likely address.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// One-time secret, [`PAIRING_PREFIX`] and 43 characters.
    pub token: String,
    /// Name of the server.
    pub name: String,
    /// All addresses as URLs, most likely first.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Fingerprint of the identity key, to be compared at the first connection.
    #[serde(default)]
    pub fingerprint: String,
    /// Version of this payload: 2.
    #[serde(default)]
    pub version: u32,
}

/// `POST /api/v2/pairing/claim`, without signing in: one of `code` and `token`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PairingClaim {
    /// As typed: blanks, dashes and lower case are forgiven, as are `O` for 0 and `I`, `L` for 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// From the QR code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What a person calls this device.
    pub device_name: String,
    /// As in [`SignIn::device_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
}

/// The one spelling of a typed pairing code, or `None` if it cannot be one.
pub fn normalise_code(typed: &str) -> Option<String> {
    let one = |c: char| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        upper => upper,
    };
    let code: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(one).collect();
    let fits = code.len() == 8 && code.bytes().all(|byte| PAIRING_ALPHABET.contains(&byte));
    fits.then_some(code)
}

/// `GET /api/v2/endpoints`: where this server can be reached, signed, so that a client that moves between networks
/// knows it is the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedEndpoints {
    /// JSON text of an [`Endpoints`], exactly as signed.
    pub payload: String,
    /// Ed25519 by the identity key over [`ENDPOINTS_DOMAIN`] and the payload, base64url without padding.
    pub signature: String,
    /// The identity key's 32 public bytes, base64url without padding; its fingerprint is what counts.
    pub public_key: String,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Endpoints {
    /// Id of the server.
    pub server_id: String,
    /// When it was signed.
    pub issued_at_ms: i64,
    /// Where it can be reached, most likely first.
    pub endpoints: Vec<Endpoint>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Endpoint {
    /// From where it works.
    pub kind: EndpointKind,
    /// `https://host:port` or `http://…`.
    pub url: String,
}

/// From where an address works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// In the server's own network.
    Lan,
    /// From anywhere.
    Public,
    /// A blind relay.
    Relay,
}

/// Fingerprint of an identity key: SHA-256 of its 32 public bytes, base32 (RFC 4648 §6, lower case, no padding).
pub fn fingerprint(public_key: &[u8; 32]) -> String {
    use sha2::Digest;
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = sha2::Sha256::digest(public_key);
    // 256 bits are 51 characters of 5 bits and one of 1.
    let bit = |at: usize| hash.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    (0..52)
        .map(|character| {
            let value = (0..5).fold(0, |value, offset| value << 1 | bit(character * 5 + offset));
            char::from(ALPHABET[usize::from(value)])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_52_characters_of_base32() {
        // SHA-256 of 32 zero bytes, encoded by coreutils' base32.
        assert_eq!(fingerprint(&[0; 32]), "mzuhvlpymk6xo3epygfy5h4oeaejofefn3rdhm4qfjmr2dk7fesq");
    }

    #[test]
    fn a_code_may_be_typed_carelessly() {
        assert_eq!(normalise_code("ab12-cd3o").as_deref(), Some("AB12CD30"));
        assert_eq!(normalise_code(" a b 1 2 c d l 0").as_deref(), Some("AB12CD10"));
        for wrong in ["", "AB12CD3", "AB12CD345", "AB12CD3U", "AB12CD3é"] {
            assert_eq!(normalise_code(wrong), None, "{wrong}");
        }
    }
}
