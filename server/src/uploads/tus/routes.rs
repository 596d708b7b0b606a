//! tus 1.0.0 over HTTP: fields in, fields out. What is done with them stands in the modules beside this one.

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::tus::{CHECKSUM_ALGORITHMS, EXTENSIONS, PATCH_TYPE, VERSION};
use photosync_protocol::v2::{ASSET_HEADER, REPR_DIGEST_HEADER};

use super::rules::{self, Concat};
use super::{Creation, FINAL, PARTIAL, Piece, Progress, length_of};
use crate::accounts::native::Uploader;
use crate::boot::App;
use crate::clock::system_time;
use crate::error::{Error, Result};
use crate::http::body::{declared_bytes, drain, too_large};

/// Where uploads are begun; each is below it.
pub const BASE: &str = "/api/v2/tus";

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const ALGORITHMS: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
const MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const LIMIT: HeaderName = HeaderName::from_static("upload-limit");
const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const DEFER: HeaderName = HeaderName::from_static("upload-defer-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const CONCAT: HeaderName = HeaderName::from_static("upload-concat");
const ASSET: HeaderName = HeaderName::from_static(ASSET_HEADER);

/// The routes of tus, with what holds for all of them.
pub fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/api/v2/tus", any(at_base))
        .route("/api/v2/tus/{id}", any(at_upload))
        .route_layer(from_fn_with_state(app.clone(), require_small_body))
        .route_layer(from_fn(speak_tus))
}

/// Checks the version of every request but `OPTIONS`, tells it in every answer, and lets `POST` name another method:
/// some networks let nothing else through.
async fn speak_tus(mut request: Request, next: Next) -> Response {
    let version = request.headers().get(RESUMABLE).map(HeaderValue::as_bytes);
    let mut response = if request.method() != Method::OPTIONS && version != Some(VERSION.as_bytes())
    {
        let message = "this server speaks tus 1.0.0; the header Tus-Resumable must say so";
        let mut refused = Error::new(ErrorCode::UnsupportedVersion, message).into_response();
        refused.headers_mut().insert(TUS_VERSION, HeaderValue::from_static(VERSION));
        refused
    } else {
        let wanted = request.headers().get(OVERRIDE).map(HeaderValue::as_bytes);
        let wanted = wanted.and_then(|name| Method::from_bytes(name).ok());
        if let Some(method) = wanted.filter(|_| request.method() == Method::POST) {
            *request.method_mut() = method;
        }
        next.run(request).await
    };
    response.headers_mut().insert(RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

/// A body beyond `limits.body_bytes` is refused before it is read, with the number that fits: a proxy before this server
/// would cut it without a word.
async fn require_small_body(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(limit) = app.config.body_bytes else { return next.run(request).await };
    let mut response = if declared_bytes(request.headers()) > limit {
        let waits = request.headers().contains_key(header::EXPECT);
        if !waits {
            drain(request.into_body()).await;
        }
        let mut refused = too_large(limit).into_response();
        refused.headers_mut().insert(MAX_SIZE, HeaderValue::from(limit));
        refused
    } else {
        next.run(request).await
    };
    if let Ok(value) = HeaderValue::from_str(&format!("max-append-size={limit}")) {
        response.headers_mut().insert(LIMIT, value);
    }
    response
}

fn no_such_method() -> Error {
    Error::new(ErrorCode::MethodNotAllowed, "this route does not take this method")
}

async fn at_base(State(app): State<App>, request: Request) -> Result<Response> {
    match *request.method() {
        Method::OPTIONS => Ok(options()),
        Method::POST => {
            let (mut parts, body) = request.into_parts();
            let uploader = Uploader::from_request_parts(&mut parts, &app).await?;
            create(&app, uploader, &parts.headers, body).await
        }
        _ => Err(no_such_method()),
    }
}

async fn at_upload(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::OPTIONS {
        return Ok(options());
    }
    let uploader = Uploader::from_request_parts(&mut parts, &app).await?;
    match parts.method {
        Method::HEAD => Ok(describe(&super::look(&app, uploader.account, &id).await?)),
        Method::PATCH => append(&app, uploader, &id, &parts.headers, body).await,
        Method::DELETE => {
            super::remove(&app, uploader.account, &id).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(no_such_method()),
    }
}

/// What this server can do. There is no limit to the size of a file, so none is named.
fn options() -> Response {
    let fields = [
        (TUS_VERSION, HeaderValue::from_static(VERSION)),
        (EXTENSION, HeaderValue::from_static(EXTENSIONS)),
        (ALGORITHMS, HeaderValue::from_static(CHECKSUM_ALGORITHMS)),
    ];
    (StatusCode::NO_CONTENT, fields).into_response()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let readable = std::str::from_utf8(value.as_bytes()).map(str::trim);
    readable.map(Some).map_err(|_| Error::bad_request(format!("the header {name} is not text")))
}

fn bytes(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>> {
    let Some(field) = text(headers, name)? else { return Ok(None) };
    let number = rules::parse_bytes(field);
    number.map(Some).ok_or_else(|| Error::bad_request(format!("the header {name} is not a number")))
}

fn has_pieces(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(PATCH_TYPE))
}

fn drains(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::EXPECT)
}

fn read_checksum(headers: &HeaderMap) -> Result<Option<rules::Checksum>> {
    let Some(field) = text(headers, &CHECKSUM)? else { return Ok(None) };
    let message = "Upload-Checksum must be sha1 or sha256, and base64 of as many bytes";
    rules::parse_checksum(field).map(Some).ok_or_else(|| Error::bad_request(message))
}

/// What a creation asks for, and whether it puts others together.
fn read_creation(headers: &HeaderMap) -> Result<(Creation, Concat)> {
    let concat = match text(headers, &CONCAT)? {
        None => Concat::Whole,
        Some(field) => rules::parse_concat(field, BASE).ok_or_else(|| {
            Error::bad_request(
                "Upload-Concat must be partial, or final; and uploads of this server",
            )
        })?,
    };
    let length_bytes = bytes(headers, &LENGTH)?;
    let deferred = match text(headers, &DEFER)? {
        None => false,
        Some("1") => true,
        Some(_) => return Err(Error::bad_request("Upload-Defer-Length must be 1")),
    };
    let is_final = matches!(concat, Concat::Final(_));
    if length_bytes.is_some() == deferred && !is_final {
        return Err(Error::bad_request("either Upload-Length or Upload-Defer-Length: 1 is needed"));
    }
    let metadata = text(headers, &METADATA)?.unwrap_or_default().to_owned();
    let mut described = rules::parse_metadata(&metadata).map_err(Error::bad_request)?;
    let field = headers.get(REPR_DIGEST_HEADER).and_then(|value| value.to_str().ok());
    if let Some(field) = field {
        let digest = Digest::from_repr_digest(field)
            .map_err(|error| Error::bad_request(error.to_string()))?;
        if digest.is_some() && described.digest.is_some() && digest != described.digest {
            return Err(Error::bad_request("Repr-Digest and the metadata digest differ"));
        }
        described.digest = digest.or(described.digest);
    }
    let is_partial = concat == Concat::Partial;
    Ok((Creation { length_bytes, metadata, described, is_partial }, concat))
}

async fn create(
    app: &App,
    uploader: Uploader,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response> {
    let account = uploader.account;
    let with_upload = has_pieces(headers);
    if let Some(small) = read_small(headers) {
        return Ok(created(&super::create_small(app, &uploader, small, body).await?));
    }
    let begun = async {
        let (creation, concat) = read_creation(headers)?;
        let checksum = if with_upload { read_checksum(headers)? } else { None };
        let progress = match concat {
            Concat::Final(parts) => super::concatenate(app, &uploader, parts, creation).await?,
            Concat::Whole | Concat::Partial => super::create(app, &uploader, creation).await?,
        };
        Ok((progress, checksum))
    };
    let (progress, checksum) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            if drains(headers) {
                drain(body).await;
            }
            return Err(error);
        }
    };
    let id = progress.upload.upload_id.clone();
    let is_new = progress.offset == 0 && progress.upload.asset_id.is_none();
    let progress = if with_upload && is_new {
        let piece = Piece {
            offset: 0,
            length_bytes: None,
            checksum,
            declared_bytes: declared_bytes(headers),
            drains: drains(headers),
        };
        super::append(app, account, &id, piece, body).await?
    } else {
        // Bytes of an upload that was begun before: most of them are here, the client goes on at the offset.
        if with_upload && drains(headers) {
            drain(body).await;
        }
        progress
    };
    Ok(created(&progress))
}

/// A creation that brings the whole of a small file and can wait for nothing.
fn read_small(headers: &HeaderMap) -> Option<Creation> {
    let length = declared_bytes(headers);
    let fits = (1..=super::SMALL_BYTES).contains(&length);
    if !fits || !has_pieces(headers) || !drains(headers) || headers.contains_key(CHECKSUM) {
        return None;
    }
    let (creation, concat) = read_creation(headers).ok()?;
    (concat == Concat::Whole && creation.length_bytes == Some(length)).then_some(creation)
}

fn created(progress: &Progress) -> Response {
    let mut response = moved_on(StatusCode::CREATED, progress);
    let location = format!("{BASE}/{}", progress.upload.upload_id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn append(
    app: &App,
    uploader: Uploader,
    id: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response> {
    let read = || {
        if !has_pieces(headers) {
            let message = format!("the Content-Type must be {PATCH_TYPE}");
            return Err(Error::new(ErrorCode::UnsupportedType, message));
        }
        let offset = bytes(headers, &OFFSET)?
            .ok_or_else(|| Error::bad_request("the header Upload-Offset is missing"))?;
        Ok(Piece {
            offset,
            length_bytes: bytes(headers, &LENGTH)?,
            checksum: read_checksum(headers)?,
            declared_bytes: declared_bytes(headers),
            drains: drains(headers),
        })
    };
    match read() {
        Ok(piece) => {
            let progress = super::append(app, uploader.account, id, piece, body).await?;
            Ok(moved_on(StatusCode::NO_CONTENT, &progress))
        }
        Err(error) => {
            if drains(headers) {
                drain(body).await;
            }
            Err(error)
        }
    }
}

/// The answer to a request that moved an upload on, or found where it is.
fn moved_on(status: StatusCode, progress: &Progress) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(OFFSET, HeaderValue::from(progress.offset));
    let expires = httpdate::fmt_http_date(system_time(progress.upload.expires_at_ms));
    if let Ok(expires) = HeaderValue::from_str(&expires) {
        headers.insert(EXPIRES, expires);
    }
    let asset = progress.upload.asset_id.as_deref();
    if let Some(asset) = asset.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(ASSET, asset);
    }
    response
}

/// The answer to `HEAD`.
fn describe(progress: &Progress) -> Response {
    let upload = &progress.upload;
    let mut response = moved_on(StatusCode::OK, progress);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match length_of(upload) {
        Some(length) => headers.insert(LENGTH, HeaderValue::from(length)),
        None => headers.insert(DEFER, HeaderValue::from_static("1")),
    };
    if let Ok(metadata) = HeaderValue::from_str(&upload.metadata)
        && !upload.metadata.is_empty()
    {
        headers.insert(METADATA, metadata);
    }
    let concat = match upload.kind.as_str() {
        PARTIAL => Some("partial".to_owned()),
        FINAL => {
            let parts: Vec<String> =
                upload.parts.split(' ').map(|id| format!("{BASE}/{id}")).collect();
            Some(format!("final;{}", parts.join(" ")))
        }
        _ => None,
    };
    if let Some(concat) = concat.and_then(|field| HeaderValue::from_str(&field).ok()) {
        headers.insert(CONCAT, concat);
    }
    response
}
