//! The native wire, `/api/v2`: what a client that speaks it can rely on.

mod claims;
pub(crate) mod control;
mod devices;
mod discovery;
mod identity;
mod library;
mod pairing;
mod raw;
mod relay;
mod sessions;
mod tus;

use std::net::SocketAddr;

use photosync_tests::http::{Answer, Body, Client, Request};
use serde_json::{Value, json};

use crate::stand::{PASSWORD, Person, Stand, text_of};

/// A device signed in at `/api/v2/session`.
#[derive(Clone)]
pub(crate) struct Native {
    address: SocketAddr,
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) device_id: String,
    /// Of the server's key.
    pub(crate) fingerprint: String,
}

impl Native {
    /// A new device of this person.
    pub(crate) fn sign_in(stand: &Stand, person: &Person) -> Self {
        let answer = sign_in(stand, &person.email, PASSWORD, "Test phone");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        Self::of(stand, &answer)
    }

    /// What an answer of `session` or `session/refresh` gives.
    pub(crate) fn of(stand: &Stand, answer: &Answer) -> Self {
        Native {
            address: stand.address(),
            access: text_of(answer, "access_token"),
            refresh: text_of(answer, "refresh_token"),
            device_id: text_of(answer, "device_id"),
            fingerprint: text_of(answer, "fingerprint"),
        }
    }

    /// The same device after the server was started again.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Native { address, ..self.clone() }
    }

    pub(crate) fn request<'a>(&self, method: &'a str, path: &str) -> Request<'a> {
        Request::new(method, format!("/api/v2{path}"))
            .header("Authorization", format!("Bearer {}", self.access))
    }

    pub(crate) fn send(&self, request: Request<'_>) -> Answer {
        Client::new(self.address).send(request).expect("an answer")
    }

    /// One file by one request.
    pub(crate) fn put(&self, name: &str, headers: &[(&str, &str)], bytes: &[u8]) -> Answer {
        let mut request = self.request("PUT", "/library/assets").header("PhotoSync-Name", name);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.send(request.body(Body::Bytes(bytes)))
    }
}

pub(crate) fn sign_in(stand: &Stand, email: &str, password: &str, device: &str) -> Answer {
    let body = json!({"email": email, "password": password, "device_name": device});
    stand.post_json("/api/v2/session", &body)
}

/// The stable code of a refused request.
pub(crate) fn code_of(answer: &Answer) -> String {
    answer.json().ok().and_then(|body| body["code"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// The value of `Repr-Digest` for these bytes.
pub(crate) fn repr_digest(bytes: &[u8]) -> String {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(bytes));
    format!("sha-256=:{digest}:")
}

pub(crate) fn json_of(answer: &Answer) -> Value {
    answer.json().expect("JSON")
}
