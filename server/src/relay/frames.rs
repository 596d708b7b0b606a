//! Reads bodies made of counted parts while they arrive. Memory: the piece that arrived last.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::blobs::Stage;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::{broken_body, too_large};

/// A body of at most so many bytes, read part by part.
pub struct Frames<S> {
    /// `None` after its end or an error: it must not be asked again.
    body: Option<S>,
    piece: Bytes,
    taken_bytes: u64,
    max_bytes: u64,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Frames<S> {
    /// Reads `body`; its byte `max_bytes + 1` is an error.
    pub fn new(body: S, max_bytes: u64) -> Self {
        Self { body: Some(body), piece: Bytes::new(), taken_bytes: 0, max_bytes }
    }

    /// The next bytes, at most `wanted_bytes`; `None` at the end of the body.
    pub async fn next(&mut self, app: &App, wanted_bytes: usize) -> Result<Option<Bytes>> {
        while self.piece.is_empty() {
            let Some(body) = &mut self.body else { return Ok(None) };
            let piece = body.next().await.transpose();
            if !matches!(piece, Ok(Some(_))) {
                self.body = None;
            }
            let Some(piece) = piece.map_err(|error| broken_body(&error))? else { return Ok(None) };
            self.piece = piece;
            self.taken_bytes += self.piece.len() as u64;
            app.metrics.received_bytes.inc_by(self.piece.len() as u64);
            if self.taken_bytes > self.max_bytes {
                return Err(too_large(self.max_bytes));
            }
        }
        Ok(Some(self.piece.split_to(wanted_bytes.min(self.piece.len()))))
    }

    /// Exactly so many bytes; `None` if the body ends before the first of them.
    pub async fn read(&mut self, app: &App, wanted_bytes: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        while bytes.len() < wanted_bytes {
            match self.next(app, wanted_bytes - bytes.len()).await? {
                Some(piece) => bytes.extend_from_slice(&piece),
                None if bytes.is_empty() => return Ok(None),
                None => return Err(cut_off()),
            }
        }
        Ok(Some(bytes))
    }

    /// A number of 32 bits, little-endian; `None` at the end of the body.
    pub async fn read_u32(&mut self, app: &App) -> Result<Option<u32>> {
        let bytes = self.read(app, 4).await?;
        Ok(bytes.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?))))
    }

    /// Moves exactly so many bytes to a staged upload.
    pub async fn stage(&mut self, app: &App, stage: &mut Stage, bytes: u64) -> Result<()> {
        let mut left = bytes;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = self.next(app, wanted).await?.ok_or_else(cut_off)?;
            left -= piece.len() as u64;
            stage.push(piece).await?;
        }
        Ok(())
    }

    /// Reads and forgets what is left, for a little while, so that a client in the middle of sending gets to read the
    /// answer instead of a closed connection.
    pub async fn drain(&mut self, app: &App) {
        const MAX_WAIT: Duration = Duration::from_secs(5);
        let read = async { while let Ok(Some(_)) = self.next(app, usize::MAX).await {} };
        let _ = tokio::time::timeout(MAX_WAIT, read).await;
    }

    /// Moves the rest of the body to a staged upload of at most `max_bytes`.
    pub async fn stage_rest(&mut self, app: &App, stage: &mut Stage, max_bytes: u64) -> Result<()> {
        while let Some(piece) = self.next(app, usize::MAX).await? {
            stage.push(piece).await?;
            if stage.received_bytes() > max_bytes {
                return Err(too_large(max_bytes));
            }
        }
        Ok(())
    }
}

/// The error of a body that ends inside a part.
fn cut_off() -> Error {
    broken_body(&io::Error::from(io::ErrorKind::UnexpectedEof))
}
