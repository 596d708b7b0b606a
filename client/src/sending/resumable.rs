//! tus 1.0: a large file in pieces, resumed at the last byte the server acknowledged.
//!
//! Creating the same upload again (same account, digest and length) finds the one begun, so nothing about uploads is
//! kept on this side: a run after a crash simply creates, asks for the offset, and goes on.

use std::sync::atomic::Ordering::Relaxed;

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::claims::Claims;
use photosync_protocol::v2::tus::{DIGEST_KEY, FILENAME_KEY, PATCH_TYPE, VERSION, write_metadata};
use photosync_protocol::v2::{ASSET_HEADER, REPR_DIGEST_HEADER};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use super::body::Reading;
use super::{Outcome, Outgoing, Sender, Step};
use crate::connection::Failure;
use crate::error::{Error, Kind, Result};
use crate::meter::Flight;
use crate::pause::Pauses;

/// Sizes to try, largest first, when something between us and the server caps bodies and does not say at what:
/// below 100 MB, 50 MB, 10 MB, 1 MB, and what anything takes.
const SMALLER_PIECES: [u64; 5] = [95 << 20, 45 << 20, 9 << 20, 900 << 10, 256 << 10];

/// Where an upload stands.
pub(super) struct Standing {
    pub(super) offset: u64,
    /// Whether the upload has become an asset.
    pub(super) is_asset: bool,
}

impl Sender {
    pub(super) async fn send_in_pieces(
        &self,
        outgoing: &Outgoing,
        flight: &Flight<'_>,
    ) -> Result<Outcome> {
        let length = outgoing.file.size_bytes;
        let mut pauses = Pauses::default();
        let mut location = self.create(outgoing).await?;
        let mut furthest = 0;
        loop {
            let standing = match self.standing(&location).await {
                Ok(standing) => standing,
                // Swept, or ended by somebody: begin again.
                Err(failure) if failure.is_gone() => {
                    location = self.create(outgoing).await?;
                    let retry = photosync_protocol::error::RetryClass::AfterPause;
                    let failure = Failure { retry, ..failure };
                    self.connection.wait_or_fail(failure, &mut pauses).await?;
                    continue;
                }
                Err(failure) => {
                    self.connection.wait_or_fail(failure, &mut pauses).await?;
                    continue;
                }
            };
            if standing.is_asset {
                return outgoing.held_as(outgoing.digest).await;
            }
            flight.move_to(standing.offset);
            if standing.offset > furthest {
                furthest = standing.offset;
                pauses.reset();
            }
            let failure = if standing.offset >= length {
                not_finished()
            } else {
                match self.send_pieces(outgoing, &location, standing.offset, flight).await? {
                    Step::Answered(answer) if read_standing(&answer).is_asset => {
                        return outgoing.held_as(outgoing.digest).await;
                    }
                    Step::Answered(_) => continue,
                    Step::Changed => return Ok(Outcome::Changed),
                    Step::Failed(failure) => failure,
                }
            };
            if self.shrink(&failure, length - standing.offset.min(length)) {
                continue;
            }
            self.connection.wait_or_fail(failure, &mut pauses).await?;
        }
    }

    /// Sends pieces until the file is through or one fails; answers the last one's answer.
    async fn send_pieces(
        &self,
        outgoing: &Outgoing,
        location: &str,
        mut offset: u64,
        flight: &Flight<'_>,
    ) -> Result<Step> {
        loop {
            let left = outgoing.file.size_bytes - offset;
            let piece = left.min(self.max_piece_bytes.load(Relaxed));
            let Some(reading) = Reading::open(outgoing, offset).await? else {
                return Ok(Step::Changed);
            };
            let request = self.patch(location, offset);
            let sent = reading.send(&self.connection, request, piece, &self.meter, flight).await;
            match self.judge(sent, outgoing).await? {
                Step::Answered(answer) if piece < left => {
                    let next = read_standing(&answer).offset;
                    if next <= offset {
                        return Ok(Step::Answered(answer));
                    }
                    offset = next;
                    flight.move_to(offset);
                }
                step => return Ok(step),
            }
        }
    }

    /// A request that adds bytes at `offset`.
    pub(super) fn patch(&self, location: &str, offset: u64) -> RequestBuilder {
        self.connection
            .request(Method::PATCH, location)
            .header("tus-resumable", VERSION)
            .header("upload-offset", offset)
            .header(CONTENT_TYPE, PATCH_TYPE)
    }

    /// Makes pieces smaller if the failure says they are too large; whether it did.
    pub(super) fn shrink(&self, failure: &Failure, tried: u64) -> bool {
        if failure.status != Some(StatusCode::PAYLOAD_TOO_LARGE) {
            return false;
        }
        let tried = tried.min(self.max_piece_bytes.load(Relaxed));
        let told = failure.max_body_bytes.filter(|bytes| *bytes > 0 && *bytes < tried);
        let smaller = told.or_else(|| SMALLER_PIECES.into_iter().find(|bytes| *bytes < tried));
        if let Some(smaller) = smaller {
            self.max_piece_bytes.fetch_min(smaller, Relaxed);
        }
        smaller.is_some()
    }

    async fn create(&self, outgoing: &Outgoing) -> Result<String> {
        let Outgoing { file, digest, name, claims, .. } = outgoing;
        self.create_upload(file.size_bytes, name, claims, Some(*digest)).await
    }

    /// Begins an upload; answers where. One with a digest may be an upload that was begun before.
    pub(super) async fn create_upload(
        &self,
        length_bytes: u64,
        name: &str,
        claims: &Claims,
        digest: Option<Digest>,
    ) -> Result<String> {
        let hex = digest.map(|digest| digest.to_string());
        let claims = claims.to_pairs();
        let mut pairs: Vec<(&str, &[u8])> = vec![(FILENAME_KEY, name.as_bytes())];
        pairs.extend(hex.iter().map(|hex| (DIGEST_KEY, hex.as_bytes())));
        pairs.extend(claims.iter().map(|(key, value)| (*key, value.as_bytes())));
        let metadata = write_metadata(pairs);
        let build = |connection: &crate::connection::Connection| {
            let request = connection
                .request(Method::POST, "/tus")
                .header("tus-resumable", VERSION)
                .header("upload-length", length_bytes)
                .header("upload-metadata", &metadata);
            match digest {
                Some(digest) => request.header(REPR_DIGEST_HEADER, digest.to_repr_digest()),
                None => request,
            }
        };
        let answer = self.connection.call(build).await?;
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(location) = location else {
            return Err(Error::unexpected("the server began an upload and did not say where"));
        };
        Ok(location.to_owned())
    }

    pub(super) async fn standing(&self, location: &str) -> std::result::Result<Standing, Failure> {
        let request = self
            .connection
            .request(Method::HEAD, location)
            .header("tus-resumable", VERSION)
            .timeout(crate::connection::SMALL_REQUEST);
        let answer = self.connection.attempt(request).await?;
        let limit = answer.headers().get("upload-limit").and_then(|value| value.to_str().ok());
        if let Some(limit) = limit.and_then(crate::connection::read_upload_limit) {
            self.max_piece_bytes.fetch_min(limit.max(1), Relaxed);
        }
        Ok(read_standing(&answer))
    }
}

pub(super) fn read_standing(answer: &Response) -> Standing {
    let header = |name: &str| answer.headers().get(name)?.to_str().ok();
    Standing {
        offset: header("upload-offset").and_then(|text| text.parse().ok()).unwrap_or(0),
        is_asset: header(ASSET_HEADER).is_some_and(|id| !id.is_empty()),
    }
}

/// All bytes are there and the server has not yet said what became of them: ask again.
pub(super) fn not_finished() -> Failure {
    let error = Error::new(Kind::Unreachable, "the server has not finished the upload yet");
    Failure { retry: photosync_protocol::error::RetryClass::AfterPause, ..Failure::of(error) }
}
