//! What both old clients share: how they derive the device UUID from e-mail and password, the token with its
//! headers, and how they read answers. Called by [`crate::phone`], [`crate::desktop`] and [`crate::relay`].

use std::fmt;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use uuid::Uuid;

use crate::http::{Answer, Body, Client, HttpError, Request, Timeouts};

/// The namespace of RFC 4122 for names in the domain name system, which the old clients use for all names.
const NAMESPACE: Uuid = Uuid::from_u128(0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8);

/// The device UUID of the phone: the e-mail is lower-cased and nothing else.
pub fn phone_device_uuid(email: &str, password: &str) -> String {
    device_uuid(&email.to_lowercase(), password)
}

/// The device UUID of the desktop client: the e-mail is trimmed, then lower-cased.
pub fn desktop_device_uuid(email: &str, password: &str) -> String {
    device_uuid(&email.trim().to_lowercase(), password)
}

fn device_uuid(email: &str, password: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{email}:{password}").as_bytes()).to_string()
}

/// Why a client could not do a thing as a whole (one failed file is in the report instead).
#[derive(Debug)]
pub enum ClientError {
    /// No answer.
    Http(&'static str, HttpError),
    /// An answer that the old client takes for a refusal.
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Status of the answer.
        status: u16,
        /// Beginning of its body.
        body: String,
    },
    /// A success that lacks what the old client reads from it.
    Unusable(&'static str, String),
    /// A local file could not be read or written.
    Local(String, io::Error),
    /// The client has not signed in.
    NotSignedIn,
}

impl fmt::Display for ClientError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Http(what, source) => write!(out, "could not {what}: {source}"),
            ClientError::Refused { what, status, body } => {
                write!(out, "could not {what}: the server answered {status}: {body}")
            }
            ClientError::Unusable(what, body) => {
                write!(out, "could not {what}: the answer lacks what old clients read: {body}")
            }
            ClientError::Local(what, source) => write!(out, "could not {what}: {source}"),
            ClientError::NotSignedIn => write!(out, "sign in first"),
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// One entry of `GET /api/files`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// The name the server lists it under.
    pub filename: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// A signed-in client: the token and the headers that go with it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Opaque to clients.
    pub token: String,
    /// Sent with every request.
    pub device_uuid: String,
}

impl Session {
    /// The two headers of every authenticated request.
    pub fn headers(&self) -> Vec<(String, String)> {
        vec![
            ("Authorization".to_owned(), format!("Bearer {}", self.token)),
            ("X-Device-UUID".to_owned(), self.device_uuid.clone()),
        ]
    }
}

/// Posts JSON on a connection of its own, as both clients do for sign-in.
pub(crate) fn post_json(
    address: SocketAddr,
    timeouts: Timeouts,
    path: &str,
    headers: &[(String, String)],
    json: &Value,
) -> Result<Answer, HttpError> {
    let body = json.to_string();
    let request = Request::new("POST", path)
        .headers(headers)
        .header("Content-Type", "application/json")
        .body(Body::Bytes(body.as_bytes()));
    Client::with_timeouts(address, timeouts).send(request)
}

/// Reads the token of a login answer: any 2xx with JSON that holds `token`.
pub(crate) fn session_of(answer: &Answer, device_uuid: &str) -> Result<Session, ClientError> {
    let json = success_json("sign in", answer)?;
    match json["token"].as_str() {
        Some(token) if !token.is_empty() => {
            Ok(Session { token: token.to_owned(), device_uuid: device_uuid.to_owned() })
        }
        _ => Err(ClientError::Unusable("sign in", answer.text())),
    }
}

/// The JSON of a 2xx answer.
pub(crate) fn success_json(what: &'static str, answer: &Answer) -> Result<Value, ClientError> {
    require_success(what, answer)?;
    answer.json().map_err(|_| ClientError::Unusable(what, answer.text()))
}

/// Any 2xx is a success for old clients.
pub(crate) fn require_success(what: &'static str, answer: &Answer) -> Result<(), ClientError> {
    match answer.status() {
        200..=299 => Ok(()),
        status => Err(ClientError::Refused { what, status, body: answer.text() }),
    }
}

/// The entries and, where the answer has one, the number of all files.
pub(crate) fn listing_of(answer: &Answer) -> Result<(Vec<ListedFile>, Option<u64>), ClientError> {
    const WHAT: &str = "list the files";
    let json = success_json(WHAT, answer)?;
    let unusable = || ClientError::Unusable(WHAT, answer.text());
    let entries = json["files"].as_array().ok_or_else(unusable)?;
    let mut files = Vec::with_capacity(entries.len());
    for entry in entries {
        let filename = entry["filename"].as_str().ok_or_else(unusable)?.to_owned();
        files.push(ListedFile { filename, size_bytes: entry["size"].as_u64().unwrap_or(0) });
    }
    Ok((files, json["total"].as_u64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_uuids_are_those_of_the_old_clients() {
        let known = [
            ("alice@example.com", "CorrectHorse9!", "27cc13aa-5b6a-5a3b-8f98-42819cef7229"),
            ("bob@example.com", "пароль", "1f6fd5f7-f386-5012-9e05-fcca984096d4"),
            ("a@b.c", "x:y", "4fd2d96b-90e2-5128-968f-1e5d5ec56cca"),
            (" sp@x.org ", "pw", "94798a1a-9791-5892-8763-958327f4e8af"),
        ];
        for (email, password, uuid) in known {
            assert_eq!(phone_device_uuid(email, password), uuid, "{email}");
        }
        let trimmed = desktop_device_uuid(" sp@x.org ", "pw");
        assert_eq!(trimmed, "98fa1978-aae3-58a0-98bf-4ae22019223b");
    }
}
