//! Request bodies: read with a limit and a time-out, or streamed into a staged upload.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use photosync_protocol::error::ErrorCode;
use serde::de::DeserializeOwned;

use crate::boot::App;
use crate::error::{Error, Result};
use crate::uploads::{Stage, Staged};

/// A body whose reading ends with an error when no byte arrives for `idle`.
pub fn with_idle_limit(
    body: Body,
    idle: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin {
    let frames = body.into_data_stream();
    Box::pin(stream::unfold(Some(frames), move |frames| async move {
        let mut frames = frames?;
        match tokio::time::timeout(idle, frames.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(frames))),
            Ok(Some(Err(error))) => {
                Some((Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)), None))
            }
            Ok(None) => None,
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    }))
}

/// The error of a body that stopped arriving, by the cause anywhere in `error`.
pub fn broken_body(error: &(dyn std::error::Error + 'static)) -> Error {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
        {
            return Error::new(
                ErrorCode::Timeout,
                "no byte of the body arrived for too long; nothing was stored",
            );
        }
        next = cause.source();
    }
    Error::new(
        ErrorCode::BodyIncomplete,
        "the body ended before it was complete; nothing was stored",
    )
    .caused_by(crate::error::Context(error.to_string()))
}

/// Declared length of a body; 0 if it is chunked.
pub fn declared_bytes(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Streams a whole body into a staged upload of at most `max_bytes`.
pub async fn stage_body(app: &App, mut stage: Stage, body: Body, max_bytes: u64) -> Result<Staged> {
    let mut bytes = with_idle_limit(body, app.config.body_idle);
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|error| broken_body(&error))?;
        app.metrics.received_bytes.inc_by(piece.len() as u64);
        stage.push(piece).await?;
        if stage.received_bytes() > max_bytes {
            return Err(too_large(max_bytes));
        }
    }
    Ok(stage.seal().await?)
}

/// The error of a body beyond its limit.
pub fn too_large(max_bytes: u64) -> Error {
    Error::new(ErrorCode::TooLarge, "the body is larger than this route takes")
        .with("maxBytes", max_bytes)
}

/// Reads a JSON body of at most `max_bytes`; wrong types and unreadable JSON are a plain 400.
pub async fn read_json<T: DeserializeOwned>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<T> {
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        return Err(Error::bad_request("the body must be application/json"));
    }
    let text = read_bytes(app, headers, body, max_bytes).await?;
    serde_json::from_slice(&text).map_err(|source| {
        Error::bad_request("the JSON of the request could not be understood").caused_by(source)
    })
}

/// Reads a body of at most `max_bytes` into memory.
pub async fn read_bytes(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<Vec<u8>> {
    if declared_bytes(headers) > max_bytes as u64 {
        return Err(too_large(max_bytes as u64));
    }
    let mut pieces = with_idle_limit(body, app.config.body_idle);
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| broken_body(&error))?;
        if bytes.len() + piece.len() > max_bytes {
            return Err(too_large(max_bytes as u64));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Reads and forgets what is left of a body, for a little while, so that a client in the middle of sending gets to
/// read the answer instead of a closed connection.
pub async fn drain(body: Body) {
    const MAX_BYTES: usize = 32 * 1024 * 1024;
    const MAX_WAIT: Duration = Duration::from_secs(5);
    let read = async move {
        let mut body = body;
        let mut left = MAX_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(MAX_WAIT, read).await;
}
