//! A small client for tus 1.0.0, written from the specification (<https://tus.io/protocols/resumable-upload>) and
//! for any server of it. It keeps nothing between calls but the connection: what was sent is asked for, never
//! remembered.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;

use crate::http::{Answer, Body, Client, HttpError, Request, Timeouts};

/// The version of the protocol.
const VERSION: &str = "1.0.0";

/// Why a step of an upload did not succeed.
#[derive(Debug)]
pub enum TusError {
    /// No answer. The upload can be resumed.
    Http(HttpError),
    /// An answer that is not the one the specification has for success.
    Refused {
        /// Method of the request.
        method: &'static str,
        /// Status of the answer.
        status: u16,
        /// Beginning of its body.
        body: String,
        /// `Upload-Limit`, where a server says how much it would take.
        upload_limit: Option<String>,
    },
    /// An answer without a header that the specification demands.
    Incomplete(&'static str),
    /// The file could not be read.
    Local(std::io::Error),
}

impl fmt::Display for TusError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TusError::Http(source) => write!(out, "{source}"),
            TusError::Refused { method, status, body, .. } => {
                write!(out, "{method} was answered with {status}: {body}")
            }
            TusError::Incomplete(header) => write!(out, "an answer had no usable {header}"),
            TusError::Local(source) => write!(out, "could not read the file: {source}"),
        }
    }
}

impl std::error::Error for TusError {}

/// What `HEAD` says of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Bytes the server has.
    pub offset: u64,
    /// Length of the whole, if it is known.
    pub length: Option<u64>,
    /// What a finished upload became, where the server says so (`PhotoSync-Asset`).
    pub asset: Option<String>,
}

/// Speaks to one server, with at most one connection.
pub struct TusClient {
    client: Client,
    path: String,
    headers: Vec<(String, String)>,
}

impl TusClient {
    /// `path` is where uploads are created; `headers` go with every request.
    pub fn new(address: SocketAddr, path: &str, headers: &[(String, String)]) -> Self {
        Self::with_timeouts(address, path, headers, Timeouts::default())
    }

    /// As [`TusClient::new`], with other time-outs.
    pub fn with_timeouts(
        address: SocketAddr,
        path: &str,
        headers: &[(String, String)],
        timeouts: Timeouts,
    ) -> Self {
        let client = Client::with_timeouts(address, timeouts);
        TusClient { client, path: path.to_owned(), headers: headers.to_vec() }
    }

    fn request<'a>(&self, method: &'static str, path: &str) -> Request<'a> {
        Request::new(method, path).headers(&self.headers).header("Tus-Resumable", VERSION)
    }

    /// Begins an upload; returns the path of it.
    pub fn create(
        &mut self,
        length_bytes: u64,
        metadata: &[(&str, &[u8])],
    ) -> Result<String, TusError> {
        let mut request = self
            .request("POST", &self.path)
            .header("Upload-Length", length_bytes.to_string())
            .body(Body::Bytes(b""));
        if !metadata.is_empty() {
            request = request.header("Upload-Metadata", metadata_field(metadata));
        }
        let answer = accepted("POST", self.client.send(request), &[201])?;
        let location = answer.header("location").ok_or(TusError::Incomplete("Location"))?;
        Ok(path_of(location).to_owned())
    }

    /// Asks how far an upload is.
    pub fn state(&mut self, upload: &str) -> Result<State, TusError> {
        let answer = accepted("HEAD", self.client.send(self.request("HEAD", upload)), &[200, 204])?;
        Ok(State {
            offset: number(&answer, "upload-offset")
                .ok_or(TusError::Incomplete("Upload-Offset"))?,
            length: number(&answer, "upload-length"),
            asset: answer.header("photosync-asset").map(str::to_owned),
        })
    }

    /// Sends `length_bytes` of `file` from `offset` on; returns the new offset.
    pub fn patch(
        &mut self,
        upload: &str,
        file: &mut (impl Read + Seek),
        offset: u64,
        length_bytes: u64,
    ) -> Result<u64, TusError> {
        file.seek(SeekFrom::Start(offset)).map_err(TusError::Local)?;
        let request = self
            .request("PATCH", upload)
            .header("Content-Type", "application/offset+octet-stream")
            .header("Upload-Offset", offset.to_string())
            .body(Body::Sized { length_bytes, reader: file });
        let answer = accepted("PATCH", self.client.send(request), &[204])?;
        number(&answer, "upload-offset").ok_or(TusError::Incomplete("Upload-Offset"))
    }

    /// Ends an upload that nobody wants any more.
    pub fn terminate(&mut self, upload: &str) -> Result<(), TusError> {
        accepted("DELETE", self.client.send(self.request("DELETE", upload)), &[204]).map(|_| ())
    }

    /// Asks how far the upload is, then sends the rest in pieces of at most `piece_bytes`. Returns the last state.
    /// Any error leaves an upload that a next call continues.
    pub fn resume(
        &mut self,
        upload: &str,
        file: &mut (impl Read + Seek),
        length_bytes: u64,
        piece_bytes: u64,
    ) -> Result<State, TusError> {
        let mut state = self.state(upload)?;
        while state.offset < length_bytes {
            let piece = piece_bytes.min(length_bytes - state.offset);
            state.offset = self.patch(upload, file, state.offset, piece)?;
        }
        self.state(upload)
    }
}

fn accepted(
    method: &'static str,
    sent: Result<Answer, HttpError>,
    wanted: &[u16],
) -> Result<Answer, TusError> {
    let answer = sent.map_err(TusError::Http)?;
    if wanted.contains(&answer.status()) {
        return Ok(answer);
    }
    let (status, body) = (answer.status(), answer.text());
    let upload_limit = answer.header("upload-limit").map(str::to_owned);
    Err(TusError::Refused { method, status, body, upload_limit })
}

fn number(answer: &Answer, header: &str) -> Option<u64> {
    answer.header(header).and_then(|value| value.parse().ok())
}

/// `Upload-Metadata`: keys with base64 values.
pub fn metadata_field(pairs: &[(&str, &[u8])]) -> String {
    let texts: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key} {}", base64(value))).collect();
    texts.join(",")
}

/// Base64 with padding (RFC 4648 §4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let six = (word >> (18 - 6 * place)) & 63;
            let padding = place as usize > three.len();
            text.push(if padding { '=' } else { char::from(ALPHABET[six as usize]) });
        }
    }
    text
}

/// A `Location` may be a whole URL or a path.
pub fn path_of(location: &str) -> &str {
    let rest = location.split_once("://").map_or(location, |(_, rest)| rest);
    match location.contains("://") {
        true => rest.find('/').map_or("/", |slash| &rest[slash..]),
        false => location,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xFB, 0xFF]), "+/8=");
    }

    #[test]
    fn a_location_may_be_absolute_or_not() {
        assert_eq!(path_of("http://127.0.0.1:1/files/x"), "/files/x");
        assert_eq!(path_of("/files/x"), "/files/x");
        assert_eq!(metadata_field(&[("a", b"f"), ("b", b"")]), "a Zg==,b ");
    }
}
