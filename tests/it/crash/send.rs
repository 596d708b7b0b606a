//! One upload for every way in, each under a request id of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photosync_tests::account::Session;
use photosync_tests::http::{Answer, Body, Client, HttpError, Request};
use photosync_tests::phone::Phone;
use photosync_tests::relay::{chunk_id, opaque_bytes};
use serde_json::json;

/// Every way by which bytes come in with one request.
pub const WAYS: [Way; 7] =
    [Way::Raw, Way::Form, Way::Chunk, Way::ChunkForm, Way::Manifest, Way::Asset, Way::Tus];

/// Ways of several requests.
pub const WAYS_IN_PIECES: [Way; 2] = [Way::TusPieces, Way::TusConcat];

/// A way by which bytes come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `POST /api/upload/raw`
    Raw,
    /// `POST /api/upload`
    Form,
    /// `POST /api/cloud/chunks`, the bytes as they are.
    Chunk,
    /// `POST /api/cloud/chunks` as a form.
    ChunkForm,
    /// `POST /api/cloud/manifests`
    Manifest,
    /// `PUT /api/v2/library/assets`
    Asset,
    /// `POST /api/v2/tus` with all bytes of the file.
    Tus,
    /// The same without, and then `PATCH` several times.
    TusPieces,
    /// Two partial uploads in pieces, put together.
    TusConcat,
}

impl Way {
    /// The status of stored bytes.
    pub fn stored_status(self) -> u16 {
        match self {
            Way::Asset | Way::Tus | Way::TusConcat => 201,
            Way::TusPieces => 204,
            _ => 200,
        }
    }
}

/// One upload.
#[derive(Clone, Debug)]
pub struct Operation {
    /// `X-Request-Id`.
    pub id: String,
    /// The way in.
    pub way: Way,
    /// The name it asks for; of a manifest, its id.
    pub name: String,
    /// The bytes; of a manifest, its text.
    pub body: Vec<u8>,
    /// Where its uploads are, of one in pieces: filled while it is sent.
    pub places: Arc<Mutex<Vec<String>>>,
}

impl Operation {
    /// An upload whose bytes follow from `seed`; manifests are text.
    pub fn new(id: String, way: Way, name: String, seed: u64, size_bytes: usize) -> Self {
        let body = match way {
            Way::Manifest => hex::encode(opaque_bytes(seed, size_bytes / 2)).into_bytes(),
            _ => opaque_bytes(seed, size_bytes),
        };
        Self { id, way, name, body, places: Arc::default() }
    }

    /// Sends it and returns whatever is answered.
    pub fn send(&self, client: &mut Client, session: &Session) -> Result<Answer, HttpError> {
        const BOUNDARY: &str = "----photosync-crash-boundary";
        if WAYS_IN_PIECES.contains(&self.way) {
            return self.send_in_pieces(client, session);
        }
        let (path, field) = match self.way {
            Way::Raw => ("/api/upload/raw", None),
            Way::Form => ("/api/upload", Some("file")),
            Way::Chunk => ("/api/cloud/chunks", None),
            Way::ChunkForm => ("/api/cloud/chunks", Some("chunk")),
            Way::Manifest => ("/api/cloud/manifests", None),
            Way::Asset => ("/api/v2/library/assets", None),
            Way::Tus | Way::TusPieces | Way::TusConcat => ("/api/v2/tus", None),
        };
        let method = if self.way == Way::Asset { "PUT" } else { "POST" };
        let request = Request::new(method, path)
            .headers(&session.headers())
            .header("X-Request-Id", &self.id)
            .header("X-Filename", &self.name)
            .header("PhotoSync-Name", &self.name)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", self.body.len().to_string())
            .header("Upload-Metadata", format!("filename {}", STANDARD.encode(&self.name)))
            .header("PhotoSync-Device-Asset-Id", &self.id)
            .header("X-Chunk-Id", chunk_id(&self.body));
        let (kind, bytes) = match (field, self.way) {
            (Some(field), _) => {
                let opening = format!(
                    "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{field}\"; \
                     filename=\"{}\"\r\ncontent-type: image/jpeg\r\n\r\n",
                    self.name
                );
                let closing = format!("\r\n--{BOUNDARY}--\r\n");
                let whole = [opening.as_bytes(), &self.body, closing.as_bytes()].concat();
                (format!("multipart/form-data; boundary={BOUNDARY}"), whole)
            }
            (None, Way::Manifest) => {
                let text = String::from_utf8_lossy(&self.body);
                let json =
                    json!({"manifestId": self.name, "encryptedManifest": text, "chunkCount": 1});
                ("application/json".to_owned(), json.to_string().into_bytes())
            }
            (None, Way::Tus) => ("application/offset+octet-stream".to_owned(), self.body.clone()),
            (None, _) => ("application/octet-stream".to_owned(), self.body.clone()),
        };
        client.send(request.header("Content-Type", kind).body(Body::Bytes(&bytes)))
    }
}

/// Registers, signs in and returns the session.
pub fn sign_up(address: SocketAddr) -> Session {
    let mut phone = Phone::new(address, "user@example.org", "correct horse, battery");
    phone.register(None).expect("registering");
    phone.login().expect("signing in");
    phone.session().cloned().expect("a session")
}

/// `GET path` of a signed-in client.
pub fn get(client: &mut Client, session: &Session, path: &str) -> Result<Answer, String> {
    let request = Request::new("GET", path).headers(&session.headers());
    client.send(request).map_err(|error| format!("GET {path}: {error}"))
}
