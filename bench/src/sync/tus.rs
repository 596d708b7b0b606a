//! Both contestants of the tus parts, and the one client that drives both.
//!
//! The client sends the same requests to both: a file that fits into one piece goes with its creation, a
//! larger one as an empty creation and then piece after piece on the same connection. No digests and
//! no checksums are sent.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::Failure;
use crate::contestant::{Contestant, OURS, Server, Shelf};
use crate::http::{Answer, Connection, HttpError};
use crate::load::Uploader;
use crate::payload::Content;
use crate::photosync::PhotoSync;
use crate::process::{Running, clean_command, find_program};

/// Name of `@tus/server` in tables and of its folder: no slash.
pub const RIVAL: &str = "tus-server";
/// The same, made to promise what PhotoSync does: the answer that ends an upload waits for the disk.
pub const SYNCED_RIVAL: &str = "tus-server-synced";
/// Longest wait for the line in which the rival says its port: 30 s.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Sends a file by tus 1.0.0.
struct Tus {
    /// Where uploads are created.
    endpoint: &'static str,
    /// Who asks; whole lines that each end in CR LF.
    headers: String,
    piece_bytes: u64,
}

impl Uploader for Tus {
    fn upload(&self, connection: &mut Connection, file: &Content) -> Result<Answer, HttpError> {
        let creation = format!(
            "{}Tus-Resumable: 1.0.0\r\nUpload-Length: {}\r\nUpload-Metadata: filename {}\r\n",
            self.headers,
            file.bytes,
            STANDARD.encode(file.name())
        );
        if file.bytes <= self.piece_bytes {
            let headers = format!("{creation}Content-Type: application/offset+octet-stream\r\n");
            let answer = connection.send("POST", self.endpoint, &headers, Some(file))?;
            return require_offset(answer, file.bytes);
        }
        let headers = format!("{creation}Content-Length: 0\r\n");
        let created = connection.send("POST", self.endpoint, &headers, None)?;
        if !created.is_success() {
            return Ok(created);
        }
        let place = created.header("location").map(path_of).ok_or_else(|| {
            HttpError::unusable("create an upload".into(), "creation: it has no Location")
        })?;
        self.send_pieces(connection, place, file)
    }
}

impl Tus {
    fn send_pieces(
        &self,
        connection: &mut Connection,
        place: &str,
        file: &Content,
    ) -> Result<Answer, HttpError> {
        let mut offset = 0;
        loop {
            let piece = file.part(offset, self.piece_bytes);
            let headers = format!(
                "{}Tus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
                 Content-Type: application/offset+octet-stream\r\n",
                self.headers
            );
            let answer = connection.send("PATCH", place, &headers, Some(&piece))?;
            offset += piece.bytes;
            let answer = require_offset(answer, offset)?;
            if !answer.is_success() || offset >= file.bytes {
                return Ok(answer);
            }
        }
    }
}

/// A success must say that the bytes arrived; a refusal goes to the caller as it is.
fn require_offset(answer: Answer, expected: u64) -> Result<Answer, HttpError> {
    let offset = answer.header("upload-offset").and_then(|value| value.parse().ok());
    if answer.is_success() && offset != Some(expected) {
        let attempt = format!("send an upload up to byte {expected}");
        return Err(HttpError::unusable(attempt, "Upload-Offset"));
    }
    Ok(answer)
}

/// The path of a `Location`, which may be a whole URL.
fn path_of(location: &str) -> &str {
    let Some((_, rest)) = location.split_once("://") else { return location };
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

/// PhotoSync's native tus route.
pub struct Ours {
    server: PhotoSync,
    piece_bytes: u64,
}

impl Ours {
    /// Uploads to this server in pieces of this size.
    pub fn new(server: PhotoSync, piece_bytes: u64) -> Self {
        Self { server, piece_bytes }
    }
}

impl Contestant for Ours {
    fn name(&self) -> &str {
        OURS
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn start(&self, home: &Path) -> Result<Server, Failure> {
        let server = self.server.start(home)?;
        let Shelf::Listing(sign_in) = &server.shelf else {
            return Err("the server was started without a sign-in".into());
        };
        let uploader = Tus {
            endpoint: "/api/v2/tus",
            headers: sign_in.headers.clone(),
            piece_bytes: self.piece_bytes,
        };
        Ok(Server { uploader: Box::new(uploader), ..server })
    }
}

/// `@tus/server` with its file store, as the tests with foreign programs install it.
pub struct Rival {
    node: PathBuf,
    script: PathBuf,
    piece_bytes: u64,
    is_synced: bool,
}

impl Rival {
    /// The rival, when Node and its packages are there.
    pub fn find(foreign: Option<&Path>, piece_bytes: u64, is_synced: bool) -> Option<Self> {
        let foreign = foreign?.canonicalize().ok()?;
        let script = foreign.join("tus_server.mjs");
        let is_there = script.is_file() && foreign.join("node_modules/@tus/server").is_dir();
        is_there.then_some(Self { node: find_program("node")?, script, piece_bytes, is_synced })
    }
}

impl Contestant for Rival {
    fn name(&self) -> &str {
        if self.is_synced { SYNCED_RIVAL } else { RIVAL }
    }

    fn is_durable(&self) -> bool {
        self.is_synced
    }

    fn start(&self, home: &Path) -> Result<Server, Failure> {
        let files = home.join("files");
        fs::create_dir_all(&files)
            .map_err(|error| format!("could not make {}: {error}", files.display()))?;
        let mut command = clean_command(&self.node, home);
        command.env("NODE_ENV", "production").arg(&self.script).arg(&files);
        command.args(self.is_synced.then_some("--sync"));
        // The script ends with its standard input.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::start(self.name(), command, home)?;
        let port = port_of(&mut process)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let uploader =
            Tus { endpoint: "/files", headers: String::new(), piece_bytes: self.piece_bytes };
        let shelf = Shelf::TusStore(files);
        Ok(Server { process, address, uploader: Box::new(uploader), shelf })
    }
}

/// Reads `{"listening":PORT}` from the rival's standard output, which is read to its end so that it never fills up.
fn port_of(process: &mut Running) -> Result<u16, Failure> {
    let output = process.take_output().ok_or("the rival's standard output is not piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // After the first line nobody listens.
            let _ = sender.send(line);
        }
    });
    let line = receiver
        .recv_timeout(READY_LIMIT)
        .map_err(|_| process.complaint("did not say where it listens"))?;
    let said: Option<Value> = serde_json::from_str(&line).ok();
    let port = said.and_then(|said| u16::try_from(said.get("listening")?.as_u64()?).ok());
    port.ok_or_else(|| process.complaint(&format!("said this instead of a port: {line}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_may_be_a_path_or_a_whole_address() {
        assert_eq!(path_of("/files/1"), "/files/1");
        assert_eq!(path_of("http://127.0.0.1:1/files/1"), "/files/1");
    }
}
