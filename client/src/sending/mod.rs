//! Sends one file, in one request or in pieces, until the server has it whole.
//!
//! The server compares the digest before it keeps anything, so a file that changes while it is read never becomes a
//! wrong photo: it becomes [`Outcome::Changed`], and whoever called reads it again.

mod body;
mod coming;
mod resumable;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use photosync_protocol::digest::Digest;
use photosync_protocol::error::{ErrorCode, RetryClass};
use photosync_protocol::v2::claims::{Claims, header_of};
use photosync_protocol::v2::{AssetAnswer, NAME_HEADER, REPR_DIGEST_HEADER};
use reqwest::{Method, StatusCode};

use crate::connection::{Connection, Failure, read_json};
use crate::error::{Error, Kind, Result};
use crate::meter::{Flight, Meter};
use crate::pause::Pauses;
use crate::scan::Found;
use body::Reading;
pub(crate) use coming::Coming;

/// Files from this size go in pieces that can be resumed: 8 MiB. Smaller ones are sent again as a whole after a cut.
pub const RESUMABLE_BYTES: u64 = 8 * 1024 * 1024;

/// A file on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// As it was found; sent only if it still is so.
    pub file: Found,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Name it is to be listed under.
    pub name: String,
    /// What this device says about it.
    pub claims: Claims,
    /// Its bytes, if they were read already; otherwise they are read when they are sent.
    pub bytes: Option<Bytes>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server has it, and the claims went with it.
    Held,
    /// The server has it. Its pieces may have gone on with an upload that was begun with other claims.
    HeldUntold,
    /// The file is not the one that was hashed any more.
    Changed,
}

/// Sends files of one run.
pub struct Sender {
    connection: Arc<Connection>,
    meter: Arc<Meter>,
    /// Largest piece that something between us and the server lets pass, as far as known.
    max_piece_bytes: AtomicU64,
}

impl Sender {
    /// Over that connection, counted by that meter.
    pub fn new(connection: Arc<Connection>, meter: Arc<Meter>) -> Self {
        Self { connection, meter, max_piece_bytes: AtomicU64::new(u64::MAX) }
    }

    /// Sends a file. Doing it twice answers the same asset.
    pub async fn send(&self, outgoing: &Outgoing) -> Result<Outcome> {
        let flight = self.meter.flight(&outgoing.name);
        if outgoing.file.size_bytes < RESUMABLE_BYTES {
            match self.send_whole(outgoing, &flight).await {
                Err(error) if error.code == "too_large" => {}
                sent => return sent,
            }
        }
        let sent = self.send_in_pieces(outgoing, &flight).await?;
        Ok(if sent == Outcome::Held { Outcome::HeldUntold } else { sent })
    }

    async fn send_whole(&self, outgoing: &Outgoing, flight: &Flight<'_>) -> Result<Outcome> {
        let mut pauses = Pauses::default();
        loop {
            let Some(reading) = Reading::open(outgoing, 0).await? else {
                return Ok(Outcome::Changed);
            };
            flight.move_to(0);
            let length = outgoing.file.size_bytes;
            let mut request = self
                .connection
                .request(Method::PUT, "/library/assets")
                .header(REPR_DIGEST_HEADER, outgoing.digest.to_repr_digest())
                .header(NAME_HEADER, percent_encoded(&outgoing.name));
            for (key, value) in outgoing.claims.to_pairs() {
                request = request.header(header_of(key), percent_encoded(&value));
            }
            let sent = reading.send(&self.connection, request, length, &self.meter, flight).await;
            match self.judge(sent, outgoing).await? {
                Step::Answered(answer) => {
                    match read_json::<AssetAnswer>(answer).await {
                        Ok(asset) => return outgoing.held_as(asset.digest).await,
                        // The file is there, and what the server says of it is not: sent again, it is answered again.
                        Err(error) if error.kind == Kind::Unreachable => {
                            let retry = RetryClass::AfterPause;
                            let failure = Failure { retry, ..Failure::of(error) };
                            self.connection.wait_or_fail(failure, &mut pauses).await?;
                        }
                        Err(error) => return Err(error),
                    }
                }
                Step::Changed => return Ok(Outcome::Changed),
                Step::Failed(failure) if failure.status == Some(StatusCode::PAYLOAD_TOO_LARGE) => {
                    return Err(failure.error.coded("too_large"));
                }
                Step::Failed(failure) => {
                    self.connection.wait_or_fail(failure, &mut pauses).await?;
                }
            }
        }
    }

    /// Tells a file that changed from a server that failed.
    async fn judge(
        &self,
        sent: std::result::Result<reqwest::Response, Failure>,
        outgoing: &Outgoing,
    ) -> Result<Step> {
        let failure = match sent {
            Ok(answer) => return Ok(Step::Answered(answer)),
            Err(failure) => failure,
        };
        if failure.error.code == "unreadable" {
            return if outgoing.is_unchanged().await {
                Err(failure.error)
            } else {
                Ok(Step::Changed)
            };
        }
        let mismatch = failure.error.code == ErrorCode::DigestMismatch.as_str();
        if mismatch || !outgoing.is_unchanged().await {
            return Ok(Step::Changed);
        }
        Ok(Step::Failed(failure))
    }
}

enum Step {
    Answered(reqwest::Response),
    Changed,
    Failed(Failure),
}

impl Outgoing {
    async fn is_unchanged(&self) -> bool {
        let metadata = tokio::fs::metadata(&self.file.path).await;
        metadata.is_ok_and(|metadata| self.file.is_unchanged(&metadata))
    }

    /// The server has the bytes that were hashed; the path may have newer ones by now.
    async fn held_as(&self, digest: Digest) -> Result<Outcome> {
        if digest != self.digest {
            return Err(Error::unexpected(format!(
                "the server says {} is {digest}, and it is {}",
                self.name, self.digest
            )));
        }
        Ok(if self.is_unchanged().await { Outcome::Held } else { Outcome::Changed })
    }
}

/// Percent-encoded UTF-8 for a header: everything but unreserved characters.
fn percent_encoded(text: &str) -> String {
    const PLAIN: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(text, &PLAIN).to_string()
}

/// A failure of reading, as the network layer passes it on.
fn unreadable(path: &Path, cause: &dyn std::fmt::Display) -> Failure {
    let error = Error::file("read", path, cause);
    Failure { retry: RetryClass::Never, ..Failure::of(error) }
}
