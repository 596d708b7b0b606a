//! Sends a large file while somebody reads it, part by part, each once.
//!
//! A part is kept until the server acknowledged it, so a cut costs no second reading. The last one is held back until
//! it is known that the file did not change: what changes while it is read never becomes a photo.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use photosync_protocol::v2::claims::Claims;
use photosync_protocol::v2::tus::VERSION;
use reqwest::Method;
use tokio::sync::mpsc;

use super::Sender;
use super::body::Reading;
use super::resumable::{not_finished, read_standing};
use crate::backup::Hashed;
use crate::connection::SMALL_REQUEST;
use crate::delivery::Part;
use crate::error::{Error, Kind, Result};
use crate::meter::Flight;
use crate::pause::Pauses;
use crate::scan::Found;

/// A file that is being read.
pub(crate) struct Coming {
    /// As it was when reading began.
    pub file: Found,
    /// Name it is to be listed under.
    pub name: String,
    /// What this device says about it.
    pub claims: Claims,
}

/// An upload that was begun.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    /// Where on the server.
    pub location: String,
    /// Bytes the server has of it.
    pub offset: u64,
}

impl Sender {
    /// Begins to send a file, or goes on at `location`, where an earlier run began to send the same one.
    pub(crate) async fn begin(&self, coming: &Coming, location: Option<String>) -> Result<Begun> {
        let mut pauses = Pauses::default();
        let Coming { file, name, claims } = coming;
        while let Some(location) = &location {
            match self.standing(location).await {
                Ok(standing) => {
                    let offset = if standing.is_asset { file.size_bytes } else { standing.offset };
                    return Ok(Begun { location: location.clone(), offset });
                }
                // Swept meanwhile.
                Err(failure) if failure.is_gone() => break,
                Err(failure) => self.connection.wait_or_fail(failure, &mut pauses).await?,
            }
        }
        let location = self.create_upload(file.size_bytes, name, claims, None).await?;
        Ok(Begun { location, offset: 0 })
    }

    /// Sends the parts as they come, from where the upload stands on; `None` if the file changed and comes again.
    /// Nothing of it is kept then.
    pub(crate) async fn send_parts(
        &self,
        coming: &Coming,
        begun: &Begun,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<Option<Hashed>> {
        let flight = self.meter.flight(&coming.name);
        let (mut at, mut held) = (0, Bytes::new());
        loop {
            match self.connection.unless_stopped(parts.recv()).await? {
                Some(Part::Bytes(next)) => {
                    let ready = std::mem::replace(&mut held, next);
                    at = self.send_part(coming, begun, at, ready, &flight).await?;
                }
                Some(Part::End(hashed)) => {
                    self.send_part(coming, begun, at, held, &flight).await?;
                    return Ok(Some(hashed));
                }
                Some(Part::Again) => {
                    self.abandon(&begun.location).await;
                    return Ok(None);
                }
                Some(Part::Failed(error)) => {
                    self.abandon(&begun.location).await;
                    return Err(error);
                }
                None => return Err(Error::interrupted()),
            }
        }
    }

    /// Sends one part, which begins at `start`, until the server has it; answers where the next one begins.
    async fn send_part(
        &self,
        coming: &Coming,
        begun: &Begun,
        start: u64,
        bytes: Bytes,
        flight: &Flight<'_>,
    ) -> Result<u64> {
        let end = start + bytes.len() as u64;
        let location = &begun.location;
        let (mut offset, mut pauses) = (start.max(begun.offset), Pauses::default());
        while offset < end {
            let length = (end - offset).min(self.max_piece_bytes.load(Relaxed));
            let reading =
                Reading::here(&coming.file.path, bytes.slice(within(start, offset, length)));
            let request = self.patch(location, offset);
            flight.move_to(offset);
            let sent = reading.send(&self.connection, request, length, &self.meter, flight).await;
            let failure = match sent {
                Ok(answer) => match read_standing(&answer).offset {
                    next if next > offset && next <= end => {
                        offset = next;
                        pauses.reset();
                        continue;
                    }
                    _ => not_finished(),
                },
                Err(failure) => failure,
            };
            if self.shrink(&failure, length) {
                continue;
            }
            self.connection.wait_or_fail(failure, &mut pauses).await?;
            match self.standing(location).await {
                Ok(standing) if (start..=end).contains(&standing.offset) => {
                    offset = standing.offset;
                }
                Ok(_) => return Err(lost(coming)),
                Err(failure) if failure.is_gone() => return Err(lost(coming)),
                Err(failure) => self.connection.wait_or_fail(failure, &mut pauses).await?,
            }
        }
        flight.move_to(end);
        Ok(end)
    }

    /// Lets the server throw away what it has of an upload. It does so by itself later if it does not hear this.
    async fn abandon(&self, location: &str) {
        let request = self
            .connection
            .request(Method::DELETE, location)
            .header("tus-resumable", VERSION)
            .timeout(SMALL_REQUEST);
        let _ = self.connection.attempt(request).await;
    }
}

/// `length` bytes at `offset` of a file, in a part that begins at `start`.
fn within(start: u64, offset: u64, length: u64) -> Range<usize> {
    let at = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
    at(offset)..at(offset + length)
}

/// What the server had of the file is gone, and so is what was read of it.
fn lost(coming: &Coming) -> Error {
    let text = format!("the server lost what it had of {}", coming.file.path.display());
    Error::new(Kind::File, text).coded("upload_lost").hint("it is sent again at the next backup")
}
