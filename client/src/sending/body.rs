//! A file as the body of a request: read in pieces, counted, held back by the limit, and watched for standing still.

use std::io::SeekFrom;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use photosync_protocol::error::RetryClass;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, RequestBuilder, Response};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;

use super::{Outgoing, unreadable};
use crate::connection::{Connection, Failure};
use crate::error::{Error, Kind, Result};
use crate::meter::{Flight, Meter};

/// Read at once: 128 KiB. Two of them and what the socket holds are all of a file that is ever in memory.
const PIECE_BYTES: u64 = 128 * 1024;
/// A connection on which nothing moved for so long is given up: 90 s, three times the longest stall of a phone.
const STALLED: Duration = Duration::from_secs(90);

/// Bytes to send, at the place where sending begins.
pub struct Reading<'a> {
    path: &'a Path,
    content: Content,
}

enum Content {
    /// An open file that is the one that was hashed, by all the file system says.
    File(File),
    /// What was read already.
    Here(Bytes),
}

impl<'a> Reading<'a> {
    /// Opens it at an offset; `None` if it has changed.
    pub async fn open(outgoing: &'a Outgoing, offset: u64) -> Result<Option<Self>> {
        let path = &outgoing.file.path;
        if let Some(bytes) = &outgoing.bytes {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            return Ok(Some(Self::here(path, bytes.slice(from..))));
        }
        let failed = |cause: std::io::Error| Error::file("read", path, &cause);
        let mut file = match File::open(path).await {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(cause)),
        };
        let metadata = file.metadata().await.map_err(failed)?;
        if !outgoing.file.is_unchanged(&metadata) {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        Ok(Some(Self { path, content: Content::File(file) }))
    }

    /// Bytes of a file that were read already.
    pub fn here(path: &'a Path, bytes: Bytes) -> Self {
        Self { path, content: Content::Here(bytes) }
    }

    /// Sends the next `length` bytes as the body of `request`, once.
    pub async fn send(
        self,
        connection: &Connection,
        request: RequestBuilder,
        length: u64,
        meter: &Meter,
        flight: &Flight<'_>,
    ) -> std::result::Result<Response, Failure> {
        let (pieces, body) = mpsc::channel::<std::io::Result<Bytes>>(1);
        let body =
            stream::unfold(body, async |mut body| body.recv().await.map(|piece| (piece, body)));
        let request = request.header(CONTENT_LENGTH, length).body(Body::wrap_stream(body));
        let moved = Arc::new(Mutex::new(Instant::now()));
        let mut read_error = None;
        let answer = {
            let attempt = connection.attempt(request);
            let feeding = feed(self.content, length, pieces, meter, flight, &moved);
            tokio::pin!(attempt, feeding);
            let mut fed = false;
            loop {
                let quiet = {
                    let at = *moved.lock().unwrap_or_else(PoisonError::into_inner);
                    STALLED.saturating_sub(at.elapsed())
                };
                tokio::select! {
                    answer = &mut attempt => break answer,
                    read = &mut feeding, if !fed => {
                        fed = true;
                        read_error = read.err();
                    }
                    () = tokio::time::sleep(quiet), if !quiet.is_zero() => {}
                    () = std::future::ready(()), if quiet.is_zero() => break Err(stalled()),
                }
            }
        };
        match (answer, read_error) {
            (Err(_), Some(cause)) => Err(unreadable(self.path, &cause)),
            (answer, _) => answer,
        }
    }
}

impl Content {
    /// The next `most` bytes, fewer at the end.
    async fn read(&mut self, most: u64) -> std::io::Result<Bytes> {
        match self {
            Self::File(file) => {
                let mut piece = Vec::with_capacity(usize::try_from(most).unwrap_or(0));
                file.take(most).read_to_end(&mut piece).await?;
                Ok(piece.into())
            }
            Self::Here(bytes) => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                Ok(bytes.split_to(bytes.len().min(most)))
            }
        }
    }
}

/// Reads the file into the channel. Ends early without an error when nobody listens any more: an answer may come
/// before the body is through.
async fn feed(
    mut content: Content,
    length: u64,
    pieces: mpsc::Sender<std::io::Result<Bytes>>,
    meter: &Meter,
    flight: &Flight<'_>,
    moved: &Mutex<Instant>,
) -> std::io::Result<()> {
    let mut left = length;
    while left > 0 {
        let read = match content.read(left.min(PIECE_BYTES)).await {
            Ok(piece) if piece.is_empty() => {
                Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
            }
            read => read,
        };
        let piece = match read {
            Ok(piece) => piece,
            Err(cause) => {
                let copy = std::io::Error::new(cause.kind(), cause.to_string());
                let _ = pieces.send(Err(copy)).await;
                return Err(cause);
            }
        };
        let count = piece.len() as u64;
        meter.pass(count).await;
        if pieces.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
        flight.advance(count);
        left -= count;
        *moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
    Ok(())
}

fn stalled() -> Failure {
    let text = format!("nothing moved for {} s", STALLED.as_secs());
    let error = Error::new(Kind::Unreachable, text);
    Failure { retry: RetryClass::AfterPause, ..Failure::of(error) }
}
