//! Native routes about the library: what is missing, what is settled, listings, originals, changes and receipts.

pub mod acts;
pub mod browse;
pub mod downloads;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::names::decode_wire_text;
use photosync_protocol::v2::claims::{BadClaim, Claims};
use photosync_protocol::v2::places::{
    DigestClaims, MAX_TOLD, MAX_TOLD_BYTES, MovesRequest, TellAnswer, TellRequest,
};
use photosync_protocol::v2::settled::{
    DIGESTS_TYPE, MAX_NEGENTROPY_BYTES, NEGENTROPY_TYPE, Presence, ReceiptsRequest, Tally,
};
use photosync_protocol::v2::{AssetPage, AssetRow, Changes, MAX_DIGESTS, MAX_PAGE_ROWS, Safety};
use uuid::Uuid;

use super::{STEP_ROWS, claims, listing, receipts, settled};
use crate::accounts::native::{Member, Uploader};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::{read_bytes, read_json};
use crate::http::files::{FileAnswer, answer};

/// Length of a raw SHA-256.
const DIGEST_BYTES: usize = 32;
/// Longest JSON tally: about 100 bytes, and room for keys that are added later.
const MAX_TALLY_BYTES: usize = 4096;
/// Longest request for receipts: [`MAX_DIGESTS`] of 64 digits with quotes and comma, and room for blanks.
const MAX_RECEIPTS_BODY_BYTES: usize = 8 * 1024 * 1024;

/// `POST /api/v2/library/missing`: N × 32 bytes in, N bytes out.
#[utoipa::path(
    post, path = "/api/v2/library/missing", tag = "Library",
    summary = "Which of these files are wanted",
    security(("access" = []), ("upload_only" = [])),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/vnd.photosync.digests",
        description = "N times 32 bytes, at most 100,000.",
    ),
    responses(
        (
            status = 200,
            body = crate::http::openapi::RawBytes,
            content_type = "application/vnd.photosync.digests",
            description = "N bytes in the same order: 0 held, 1 missing, 2 deleted by a person, 3 wanted, 4 partial.",
        ),
    ),
)]
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
#[utoipa::path(
    post, path = "/api/v2/library/sync", tag = "Library",
    summary = "Whether everything is settled",
    security(("access" = []), ("upload_only" = [])),
    request_body(
        content(
            (Tally = "application/json"),
            (crate::http::openapi::RawBytes = "application/vnd.photosync.negentropy"),
        ),
    ),
    responses(
        (status = 204, description = "All of it."),
        (
            status = 200,
            description = "The server's tally, or its message.",
            content(
                (Tally = "application/json"),
                (crate::http::openapi::RawBytes = "application/vnd.photosync.negentropy"),
            ),
        ),
    ),
)]
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
#[utoipa::path(
    post, path = "/api/v2/library/forget", tag = "Library",
    summary = "Digests this device has no more",
    security(("access" = []), ("upload_only" = [])),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/vnd.photosync.digests",
        description = "N times 32 bytes, at most 100,000.",
    ),
    responses((status = 204, description = "Nothing is deleted.")),
)]
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

/// `POST /api/v2/library/claims`: what the device says about files that are here already.
#[utoipa::path(
    post, path = "/api/v2/library/claims", tag = "Library",
    summary = "Tell where files lie that are held already",
    security(("access" = []), ("upload_only" = [])),
    request_body = TellRequest,
    responses((status = 200, body = TellAnswer, description = "In the order of the request.")),
)]
pub async fn tell_claims(
    State(app): State<App>,
    uploader: Uploader,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TellAnswer>> {
    let asked: TellRequest = read_json(&app, &headers, body, MAX_TOLD_BYTES).await?;
    if asked.claims.len() > MAX_TOLD {
        let message = "a request tells of at most 1,000 files";
        return Err(Error::new(ErrorCode::TooLarge, message).with("maxClaims", MAX_TOLD));
    }
    let check = |DigestClaims { digest, claims }| {
        Ok(DigestClaims { digest, claims: Claims::checked(claims)? })
    };
    let told: std::result::Result<Vec<DigestClaims>, BadClaim> =
        asked.claims.into_iter().map(check).collect();
    let told = told.map_err(|error| Error::bad_request(error.to_string()))?;
    Ok(Json(TellAnswer { told: claims::tell(&app, &uploader, told).await? }))
}

/// `POST /api/v2/library/moves`: files that this device moved.
#[utoipa::path(
    post, path = "/api/v2/library/moves", tag = "Library",
    summary = "Files that lie in another place by now",
    security(("access" = [])),
    request_body = MovesRequest,
    responses((status = 204, description = "Places that were left are gone where the new one is known.")),
)]
pub async fn tell_moves(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode> {
    let asked: MovesRequest = read_json(&app, &headers, body, MAX_TOLD_BYTES).await?;
    if asked.moves.len() > MAX_TOLD {
        let message = "a request tells of at most 1,000 files";
        return Err(Error::new(ErrorCode::TooLarge, message).with("maxMoves", MAX_TOLD));
    }
    claims::leave(&app, &member, asked.moves).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v2/library/assets?after=&limit=&device=`: held assets in order of arrival.
#[utoipa::path(
    get, path = "/api/v2/library/assets", tag = "Library",
    summary = "List what is held, in order of arrival",
    security(("access" = [])),
    params(
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u32>, Query, description = "Rows of a page, at most 1,000."),
        (
            "device" = Option<String>,
            Query,
            description = "Id or name of the device whose places are told, where it said one; else the asking one's.",
        ),
    ),
    responses((status = 200, body = AssetPage, description = "A page.")),
)]
pub async fn list_assets(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Json<AssetPage>> {
    let (after, limit) = read_page(query.as_deref(), "after")?;
    let instead =
        find_value(query.as_deref(), "device").map(|name| decode_wire_text(name.as_bytes()));
    let viewer = listing::Viewer { asking: member.device_id, instead };
    listing::list_assets(&app, member.account, viewer, after.as_deref(), limit).await.map(Json)
}

/// `GET /api/v2/library/assets/{id}`
#[utoipa::path(
    get, path = "/api/v2/library/assets/{id}", tag = "Library",
    summary = "One held asset",
    security(("access" = [])),
    params(("id" = String, Path, description = "Of an asset of this account.")),
    responses((status = 200, body = AssetRow, description = "As in the list.")),
)]
pub async fn get_asset(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<AssetRow>> {
    listing::get_asset(&app, member.account, member.device_id, &id).await.map(Json)
}

/// `GET` or `HEAD /api/v2/library/assets/{id}/original`
#[utoipa::path(
    get, path = "/api/v2/library/assets/{id}/original", tag = "Library",
    summary = "The bytes; HEAD is answered too",
    security(("access" = [])),
    params(
        ("id" = String, Path, description = "Of an asset of this account."),
        ("Range" = Option<String>, Header, description = "RFC 9110 §14."),
    ),
    responses(
        (
            status = 200,
            body = crate::http::openapi::RawBytes,
            content_type = "application/octet-stream",
            description = "All of them; `ETag` is the digest.",
        ),
        (
            status = 206,
            body = crate::http::openapi::RawBytes,
            content_type = "application/octet-stream",
            description = "The range.",
        ),
    ),
)]
pub async fn get_original(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let original = listing::open_by_id(&app, member.account, &id).await?;
    let asset = original.asset;
    let found = FileAnswer {
        file: original.file,
        first_byte: 0,
        size_bytes: u64::try_from(asset.size_bytes).unwrap_or(0),
        media_type: asset.media_type,
        name: Some(asset.name),
        modified_ms: asset.arrived_at_ms,
        tag: hex::encode(asset.digest),
    };
    answer(&headers, found)
}

/// `GET /api/v2/library/changes?since=&limit=`
#[utoipa::path(
    get, path = "/api/v2/library/changes", tag = "Library",
    summary = "What changed since",
    security(("access" = [])),
    params(
        ("since" = Option<String>, Query, description = "`next` of the last answer; absent for everything."),
        ("limit" = Option<u32>, Query, description = "Changes in one answer, at most 1,000."),
    ),
    responses((status = 200, body = Changes, description = "Each asset once, with its last state.")),
)]
pub async fn list_changes(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Json<Changes>> {
    let (since, limit) = read_page(query.as_deref(), "since")?;
    listing::list_changes(&app, member.account, since.as_deref(), limit).await.map(Json)
}

/// `POST /api/v2/library/receipts`: how sure the server is of each file, streamed in the order of the question.
#[utoipa::path(
    post, path = "/api/v2/library/receipts", tag = "Library",
    summary = "How sure the server is of each file",
    security(("access" = [])),
    request_body = ReceiptsRequest,
    responses((status = 200, body = photosync_protocol::v2::settled::Receipts, description = "In the order of the request.")),
)]
pub async fn receipts(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let asked: ReceiptsRequest = read_json(&app, &headers, body, MAX_RECEIPTS_BODY_BYTES).await?;
    if asked.digests.len() > MAX_DIGESTS {
        let message = "a request for receipts names at most 100,000 digests";
        return Err(Error::new(ErrorCode::TooLarge, message).with("maxDigests", MAX_DIGESTS));
    }
    receipts::prepare(&app, member.account, &asked.digests).await?;
    let kind = HeaderValue::from_static("application/json");
    let text = stream_receipts(app, member.account, asked.digests);
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// The JSON of [`Receipts`], a step at a time: a hundred thousand signed receipts are 50 MB.
///
/// [`Receipts`]: photosync_protocol::v2::settled::Receipts
fn stream_receipts(app: App, account: Uuid, digests: Vec<Digest>) -> Body {
    struct Left {
        digests: Vec<Digest>,
        told: usize,
        queued: u64,
    }
    let start = Left { digests, told: 0, queued: 0 };
    Body::from_stream(stream::try_unfold(Some(start), move |left| {
        let app = app.clone();
        async move {
            let Some(mut left) = left else { return Ok::<_, std::io::Error>(None) };
            let mut text = String::from(if left.told == 0 { "{\"receipts\":[" } else { "" });
            let end = left.digests.len().min(left.told + STEP_ROWS as usize);
            let step = left.digests[left.told..end].to_vec();
            let told = receipts::list(&app, account, step).await.map_err(std::io::Error::other)?;
            for (index, safety) in told.iter().enumerate() {
                if left.told + index > 0 {
                    text.push(',');
                }
                text += &serde_json::to_string(safety).map_err(std::io::Error::other)?;
                left.queued += u64::from(safety.state == Safety::Received);
            }
            left.told = end;
            if end < left.digests.len() {
                return Ok(Some((Bytes::from(text), Some(left))));
            }
            text += &format!("],\"queued\":{}}}", left.queued);
            Ok(Some((Bytes::from(text), None)))
        }
    }))
}

/// The cursor, if one was sent, and the number of rows: at most [`MAX_PAGE_ROWS`], which is also the default.
fn read_page(query: Option<&str>, cursor: &str) -> Result<(Option<String>, i64)> {
    let limit = match find_value(query, "limit") {
        None => MAX_PAGE_ROWS,
        Some(text) => text
            .parse::<i64>()
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| Error::bad_request("limit must be a number from 1 on"))?,
    };
    Ok((find_value(query, cursor), limit.min(MAX_PAGE_ROWS)))
}

/// The first value of a key that is not empty.
pub fn find_value(query: Option<&str>, wanted: &str) -> Option<String> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(key, value)| *key == wanted && !value.is_empty());
    found.next().map(|(_, value)| value.to_owned())
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
