//! Native routes about the library: what is missing, what is settled, listings, originals, changes and receipts.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::digest::Digest;
use photosync_protocol::v2::MAX_DIGESTS;
use photosync_protocol::v2::settled::{
    DIGESTS_TYPE, MAX_NEGENTROPY_BYTES, NEGENTROPY_TYPE, Presence, Tally,
};

use super::settled;
use crate::accounts::native::Uploader;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::{read_bytes, read_json};

/// Length of a raw SHA-256.
const DIGEST_BYTES: usize = 32;
/// Longest JSON tally: about 100 bytes, and room for keys that are added later.
const MAX_TALLY_BYTES: usize = 4096;

/// `POST /api/v2/library/missing`: N × 32 bytes in, N bytes out.
pub async fn missing(
    State(app): State<App>,
    uploader: Uploader,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let digests = read_digests(&app, &headers, body).await?;
    let answers = settled::find_missing(&app, &uploader, &digests).await?;
    let bytes: Vec<u8> = answers.into_iter().map(|presence: Presence| presence as u8).collect();
    Ok(binary(DIGESTS_TYPE, bytes))
}

/// `POST /api/v2/library/sync`: a tally or, by its type, a message of the negentropy protocol.
pub async fn sync(
    State(app): State<App>,
    uploader: Uploader,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.trim_start().starts_with(NEGENTROPY_TYPE)) {
        let message = read_bytes(&app, &headers, body, MAX_NEGENTROPY_BYTES).await?;
        let answer = settled::reconcile(&app, &uploader, message).await?;
        return Ok(binary(NEGENTROPY_TYPE, answer));
    }
    let theirs: Tally = read_json(&app, &headers, body, MAX_TALLY_BYTES).await?;
    Ok(match settled::compare(&app, &uploader, theirs).await? {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(ours) => Json(ours).into_response(),
    })
}

/// `POST /api/v2/library/forget`: digests that the device has no more.
pub async fn forget(
    State(app): State<App>,
    uploader: Uploader,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode> {
    let digests = read_digests(&app, &headers, body).await?;
    settled::forget(&app, &uploader, &digests).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A body of raw digests, at most [`MAX_DIGESTS`] of them.
async fn read_digests(app: &App, headers: &HeaderMap, body: Body) -> Result<Vec<Digest>> {
    let bytes = read_bytes(app, headers, body, MAX_DIGESTS * DIGEST_BYTES).await?;
    let (digests, rest) = bytes.as_chunks::<DIGEST_BYTES>();
    if !rest.is_empty() {
        return Err(Error::bad_request("the body must be digests of 32 bytes each"));
    }
    Ok(digests.iter().copied().map(Digest).collect())
}

fn binary(kind: &'static str, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], bytes).into_response()
}
