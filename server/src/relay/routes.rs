//! Native routes of the relay. Adding and asking what is held is open to upload-only tokens; reading, listing and the
//! keyring are not.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::MAX_DIGESTS;
use photosync_protocol::v2::relay::{
    MAX_BATCH_BYTES, MAX_BATCH_OBJECTS, MAX_LIVE_IDS, MAX_OBJECT_BYTES, MAX_PAGE_ROWS, RelayHead,
    RelayHeads, RelayKeyring, RelayObjects, RelaySegments, RelayStored, SEQUENCE_HEADER,
    WRITER_HEADER,
};
use uuid::Uuid;

use super::chains::{self, NewSegment};
use super::frames::Frames;
use super::{Opened, objects, rules};
use crate::accounts::native::{Member, Uploader};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::{
    declared_bytes, drain, read_bytes, stage_body, too_large, with_idle_limit,
};
use crate::http::files::{FileAnswer, answer};

/// Length of an id.
const ID_BYTES: usize = 32;
/// Bytes of the largest keyring.
const MAX_KEYRING_BYTES: u64 = 4 << 20;
/// A longer list of ids waits for one of the two places for large bodies: 1 MiB.
const SMALL_LIVE_IDS: usize = 32_768;
/// What no cache may keep: sealed or not, it is nobody else's.
const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
/// Ids, one after the other; and one byte for each.
const IDS_TYPE: &str = "application/vnd.photosync.ids";
/// Objects, each after its length.
const OBJECTS_TYPE: &str = "application/vnd.photosync.objects";

/// `POST /api/v2/relay/have`: N × 32 bytes in, N bytes out.
#[utoipa::path(
    post, path = "/api/v2/relay/have", tag = "Relay",
    summary = "Which of these objects are held",
    security(("access" = []), ("upload_only" = [])),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/vnd.photosync.ids",
        description = "N times 32 bytes, at most 100,000.",
    ),
    responses(
        (
            status = 200,
            body = crate::http::openapi::RawBytes,
            content_type = "application/vnd.photosync.ids",
            description = "N bytes in the same order: 0 held whole, 1 missing.",
        ),
    ),
)]
pub async fn have(
    State(app): State<App>,
    uploader: Uploader,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let ids = read_ids(&app, &headers, body, MAX_DIGESTS).await?;
    let answers = objects::find_held(&app, uploader.account, &ids).await?;
    Ok(binary(IDS_TYPE, answers))
}

/// `PUT /api/v2/relay/objects/{id}`
#[utoipa::path(
    put, path = "/api/v2/relay/objects/{id}", tag = "Relay",
    summary = "Keep one sealed object",
    security(("access" = []), ("upload_only" = [])),
    params(("id" = String, Path, description = "SHA-256 of the body in hex.")),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/octet-stream",
        description = "The object, at most 24 MiB.",
    ),
    responses(
        (status = 201, body = RelayStored, description = "New here, and durable."),
        (status = 200, body = RelayStored, description = "Held already; what was damaged on the disk is replaced."),
    ),
)]
pub async fn put_object(
    State(app): State<App>,
    uploader: Uploader,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RelayStored>)> {
    let account = uploader.account;
    let begun = async {
        let id = read_id(&id)?;
        Ok((id, objects::begin(&app, account, declared_bytes(&headers)).await?))
    };
    let (id, stage) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return refuse(body, error).await,
    };
    let staged = stage_body(&app, stage, body, MAX_OBJECT_BYTES).await?;
    let kept = objects::store(&app, account, Some(id), staged).await?;
    let stored = RelayStored { ids: vec![kept.id], known: usize::from(kept.known) };
    Ok((created(!kept.known), Json(stored)))
}

/// `POST /api/v2/relay/objects`: many objects, each after its length.
#[utoipa::path(
    post, path = "/api/v2/relay/objects", tag = "Relay",
    summary = "Keep many sealed objects at once",
    security(("access" = []), ("upload_only" = [])),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/vnd.photosync.objects",
        description = "Each object after its length (unsigned 32-bit little-endian); at most 1,000 and 64 MiB.",
    ),
    responses((status = 200, body = RelayStored, description = "All of them are durable.")),
)]
pub async fn put_objects(
    State(app): State<App>,
    uploader: Uploader,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RelayStored>> {
    let bytes = declared_bytes(&headers);
    if bytes > MAX_BATCH_BYTES {
        return refuse(body, too_large(MAX_BATCH_BYTES)).await;
    }
    let body = with_idle_limit(body, app.config.body_idle);
    let mut frames = Frames::new(body, MAX_BATCH_BYTES);
    match objects::store_batch(&app, uploader.account, bytes, &mut frames).await {
        Ok(stored) => Ok(Json(stored)),
        Err(error) => {
            frames.drain(&app).await;
            Err(error)
        }
    }
}

/// `GET` or `HEAD /api/v2/relay/objects/{id}`
#[utoipa::path(
    get, path = "/api/v2/relay/objects/{id}", tag = "Relay",
    summary = "Read one sealed object; HEAD is answered too",
    security(("access" = [])),
    params(
        ("id" = String, Path, description = "SHA-256 of the object in hex."),
        ("Range" = Option<String>, Header, description = "RFC 9110 §14."),
    ),
    responses(
        (
            status = 200,
            body = crate::http::openapi::RawBytes,
            content_type = "application/octet-stream",
            description = "All of it, compared with its id just before; `ETag` is the id.",
        ),
        (
            status = 206,
            body = crate::http::openapi::RawBytes,
            content_type = "application/octet-stream",
            description = "The range.",
        ),
    ),
)]
pub async fn get_object(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let id = read_id(&id)?;
    let opened = objects::open(&app, member.account, id).await?;
    answer_object(&headers, opened, id)
}

/// `GET /api/v2/relay/objects?after=&limit=`
#[utoipa::path(
    get, path = "/api/v2/relay/objects", tag = "Relay",
    summary = "List what is held, in order of ids",
    security(("access" = [])),
    params(
        ("after" = Option<String>, Query, description = "The last id of the page before."),
        ("limit" = Option<u32>, Query, description = "Rows of a page, at most 10,000."),
    ),
    responses((status = 200, body = RelayObjects, description = "A page; an empty one is the end.")),
)]
pub async fn list_objects(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let query = query.unwrap_or_default();
    let after = find_in(&query, "after").map(|text| read_id(&text)).transpose()?;
    let listed = objects::list(&app, member.account, after, read_limit(&query)?).await?;
    Ok(([NO_STORE], Json(listed)).into_response())
}

/// `POST /api/v2/relay/fetch`: N × 32 bytes in, N objects out.
#[utoipa::path(
    post, path = "/api/v2/relay/fetch", tag = "Relay",
    summary = "Read many sealed objects at once",
    security(("access" = [])),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/vnd.photosync.ids",
        description = "N times 32 bytes, at most 1,000.",
    ),
    responses(
        (
            status = 200,
            body = crate::http::openapi::RawBytes,
            content_type = "application/vnd.photosync.objects",
            description = "Each object after its length (unsigned 32-bit little-endian), in order; 4294967295 alone for \
                           one that is not here whole, or is longer than 24 MiB.",
        ),
    ),
)]
pub async fn fetch(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let ids = read_ids(&app, &headers, body, MAX_BATCH_OBJECTS).await?;
    let objects = objects::fetch(&app, member.account, ids).await?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(OBJECTS_TYPE));
    Ok(([NO_STORE, kind], Body::from_stream(objects)).into_response())
}

/// `POST /api/v2/relay/segments`: the ids it makes live, then the segment.
#[utoipa::path(
    post, path = "/api/v2/relay/segments", tag = "Relay",
    summary = "Put a segment at the end of a chain",
    security(("access" = []), ("upload_only" = [])),
    params(
        ("PhotoSync-Writer" = String, Header, description = "Whose chain, 32 hexadecimal digits."),
        ("PhotoSync-Sequence" = u64, Header, description = "Its number: one more than that of the head."),
    ),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/octet-stream",
        description = "How many ids (unsigned 32-bit little-endian, at most 1,000,000), so many ids of 32 bytes in \
                       ascending order, then the segment.",
    ),
    responses(
        (status = 201, body = RelayHead, description = "The new head of the chain."),
        (status = 200, body = RelayHead, description = "It was there already."),
        (status = 409, body = photosync_protocol::error::ErrorBody,
            description = "`missing`: `details.missing` names up to 20 ids that are not held. `conflict`: the chain goes \
                           on differently; `details` has `sequence` and `id` of its head."),
    ),
)]
pub async fn post_segment(
    State(app): State<App>,
    uploader: Uploader,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RelayHead>)> {
    let body = with_idle_limit(body, app.config.body_idle);
    let most_bytes = 4 + (MAX_LIVE_IDS * ID_BYTES) as u64 + MAX_OBJECT_BYTES;
    let mut frames = Frames::new(body, most_bytes);
    let received = receive_segment(&app, uploader.account, &headers, &mut frames).await;
    let new = match received {
        Ok(new) => new,
        Err(error) => {
            frames.drain(&app).await;
            return Err(error);
        }
    };
    let (head, is_new) = chains::post_segment(&app, uploader, new).await?;
    Ok((created(is_new), Json(head)))
}

async fn receive_segment<S>(
    app: &App,
    account: Uuid,
    headers: &HeaderMap,
    frames: &mut Frames<S>,
) -> Result<NewSegment>
where
    S: futures_util::Stream<Item = std::io::Result<axum::body::Bytes>> + Unpin,
{
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let writer = rules::parse_writer(text(WRITER_HEADER)).ok_or_else(|| {
        Error::bad_request("the header PhotoSync-Writer must be 32 hexadecimal digits")
    })?;
    let sequence = read_sequence(headers)?;
    let mut stage = objects::begin(app, account, 0).await?;
    let count = frames.read_u32(app).await?;
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(|| Error::bad_request("the body is empty"))?;
    if count > MAX_LIVE_IDS {
        let message = "a segment makes at most 1,000,000 ids live";
        return Err(Error::new(ErrorCode::TooLarge, message).with("maxIds", MAX_LIVE_IDS));
    }
    // Long lists are the only large things of this route that are held in memory.
    let _place = match count > SMALL_LIVE_IDS {
        true => {
            let waiting = app.manifest_bodies.acquire();
            let waited = tokio::time::timeout(app.config.queue_wait, waiting).await;
            Some(waited.map_err(|_| Error::busy())?.map_err(|_| Error::busy())?)
        }
        false => None,
    };
    let live = match count {
        0 => Vec::new(),
        _ => frames.read(app, count * ID_BYTES).await?.unwrap_or_default(),
    };
    let live = split_ids(&live)?;
    if live.len() != count || !rules::is_ascending(&live) {
        return Err(Error::bad_request("the ids must be in ascending order, each once"));
    }
    frames.stage_rest(app, &mut stage, MAX_OBJECT_BYTES).await?;
    Ok(NewSegment { writer, sequence, live, staged: stage.seal().await? })
}

/// `GET /api/v2/relay/heads`
#[utoipa::path(
    get, path = "/api/v2/relay/heads", tag = "Relay",
    summary = "The end of every chain, and the newest keyring",
    security(("access" = []), ("upload_only" = [])),
    responses((status = 200, body = RelayHeads, description = "In order of writers.")),
)]
pub async fn heads(State(app): State<App>, uploader: Uploader) -> Result<Response> {
    Ok(([NO_STORE], Json(chains::heads(&app, uploader.account).await?)).into_response())
}

/// `GET /api/v2/relay/segments?writer=&after=`
#[utoipa::path(
    get, path = "/api/v2/relay/segments", tag = "Relay",
    summary = "A chain, oldest segment first",
    security(("access" = [])),
    params(
        ("writer" = String, Query, description = "Whose chain, 32 hexadecimal digits."),
        ("after" = Option<u64>, Query, description = "The last number of the page before; absent from the beginning."),
        ("limit" = Option<u32>, Query, description = "Rows of a page, at most 10,000."),
    ),
    responses((status = 200, body = RelaySegments, description = "A page; an empty one is the end.")),
)]
pub async fn list_segments(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Response> {
    let query = query.unwrap_or_default();
    let writer = find_in(&query, "writer").and_then(|text| rules::parse_writer(&text));
    let writer =
        writer.ok_or_else(|| Error::bad_request("writer must be 32 hexadecimal digits"))?;
    let after = match find_in(&query, "after").as_deref() {
        None | Some("0") => 0,
        Some(text) => rules::parse_sequence(text)
            .ok_or_else(|| Error::bad_request("after must be the number of a segment"))?,
    };
    let limit = read_limit(&query)?;
    let listed = chains::list_segments(&app, member.account, writer, after, limit).await?;
    Ok(([NO_STORE], Json(listed)).into_response())
}

/// `PUT /api/v2/relay/keyring`
#[utoipa::path(
    put, path = "/api/v2/relay/keyring", tag = "Relay",
    summary = "Make a keyring the newest one",
    security(("access" = [])),
    params(("PhotoSync-Sequence" = u64, Header, description = "One more than that of the newest; the same as in the object.")),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/octet-stream",
        description = "The object, at most 4 MiB.",
    ),
    responses(
        (status = 201, body = RelayKeyring, description = "It counts now; the ones before stay."),
        (status = 200, body = RelayKeyring, description = "It was the newest already."),
        (status = 409, body = photosync_protocol::error::ErrorBody,
            description = "`conflict`: another one came first; `details` has its `sequence` and `id`."),
    ),
)]
pub async fn put_keyring(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RelayKeyring>)> {
    let begun = async {
        let sequence = read_sequence(&headers)?;
        Ok((sequence, objects::begin(&app, member.account, declared_bytes(&headers)).await?))
    };
    let (sequence, stage) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return refuse(body, error).await,
    };
    let staged = stage_body(&app, stage, body, MAX_KEYRING_BYTES).await?;
    let (keyring, is_new) = chains::put_keyring(&app, member, sequence, staged).await?;
    Ok((created(is_new), Json(keyring)))
}

/// `GET /api/v2/relay/keyring`
#[utoipa::path(
    get, path = "/api/v2/relay/keyring", tag = "Relay",
    summary = "The newest keyring",
    security(("access" = [])),
    responses(
        (
            status = 200,
            body = crate::http::openapi::RawBytes,
            content_type = "application/octet-stream",
            description = "The object; `ETag` is its id.",
            headers(("PhotoSync-Sequence" = u64)),
        ),
        (status = 404, body = photosync_protocol::error::ErrorBody, description = "There is none yet."),
    ),
)]
pub async fn get_keyring(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
) -> Result<Response> {
    let (keyring, opened) = chains::open_keyring(&app, member.account).await?;
    let mut response = answer_object(&headers, opened, keyring.id)?;
    let sequence = HeaderValue::from(keyring.sequence);
    response.headers_mut().insert(HeaderName::from_static(SEQUENCE_HEADER), sequence);
    Ok(response)
}

fn answer_object(headers: &HeaderMap, opened: Opened, id: Digest) -> Result<Response> {
    let Opened { file, size_bytes, modified_ms } = opened;
    let media_type = "application/octet-stream".to_owned();
    let tag = id.to_string();
    let found =
        FileAnswer { file, first_byte: 0, size_bytes, media_type, name: None, modified_ms, tag };
    let mut response = answer(headers, found)?;
    let (name, value) = NO_STORE;
    response.headers_mut().insert(name, value);
    Ok(response)
}

/// Refuses before the body is read, in a way that a client in the middle of sending gets to see.
async fn refuse<T>(body: Body, error: Error) -> Result<T> {
    drain(body).await;
    Err(error)
}

fn created(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

fn read_id(text: &str) -> Result<Digest> {
    Digest::from_hex(text).ok_or_else(|| Error::bad_request("an id is a SHA-256 in hex"))
}

fn read_sequence(headers: &HeaderMap) -> Result<i64> {
    let text = headers.get(SEQUENCE_HEADER).and_then(|value| value.to_str().ok());
    text.and_then(rules::parse_sequence).ok_or_else(|| {
        Error::bad_request("the header PhotoSync-Sequence must be a number from 1 on")
    })
}

/// The value of a key of the query, unless it is empty.
fn find_in(query: &str, wanted: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, value)| *key == wanted && !value.is_empty())?;
    Some(value.to_owned())
}

/// Rows of a page: at most [`MAX_PAGE_ROWS`], which is also the default.
fn read_limit(query: &str) -> Result<i64> {
    let Some(text) = find_in(query, "limit") else { return Ok(MAX_PAGE_ROWS) };
    let limit = text.parse::<i64>().ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| Error::bad_request("limit must be a number from 1 on"))?;
    Ok(limit.min(MAX_PAGE_ROWS))
}

/// A body of ids, at most `max_ids` of them.
async fn read_ids(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    max_ids: usize,
) -> Result<Vec<Digest>> {
    split_ids(&read_bytes(app, headers, body, max_ids * ID_BYTES).await?)
}

fn split_ids(bytes: &[u8]) -> Result<Vec<Digest>> {
    let (ids, rest) = bytes.as_chunks::<ID_BYTES>();
    if !rest.is_empty() {
        return Err(Error::bad_request("ids have 32 bytes each"));
    }
    Ok(ids.iter().copied().map(Digest).collect())
}

fn binary(kind: &'static str, bytes: Vec<u8>) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(kind));
    ([NO_STORE, kind], bytes).into_response()
}
