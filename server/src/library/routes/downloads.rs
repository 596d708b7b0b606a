//! Native routes of archives.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::v2::library::{Download, NewDownload};

use super::acts::MAX_CHOSEN_BYTES;
use crate::accounts::native::Member;
use crate::boot::App;
use crate::error::Result;
use crate::http::body::read_json;
use crate::http::files::disposition;
use crate::library::downloads;

/// `POST /api/v2/library/downloads`
#[utoipa::path(
    post, path = "/api/v2/library/downloads", tag = "Library",
    summary = "Prepare an archive of originals",
    security(("access" = [])),
    request_body = NewDownload,
    responses((status = 200, body = Download, description = "Where to get it, for an hour, and its exact length.")),
)]
pub async fn create(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Download>> {
    let wanted: NewDownload = read_json(&app, &headers, body, MAX_CHOSEN_BYTES).await?;
    downloads::create(&app, member.account, wanted).await.map(Json)
}

/// `GET /api/v2/library/downloads/{id}`
#[utoipa::path(
    get, path = "/api/v2/library/downloads/{id}", tag = "Library",
    summary = "Get an archive, made while it is sent",
    security(("access" = [])),
    params(("id" = String, Path, description = "From the `path` of a prepared one.")),
    responses((
        status = 200,
        body = crate::http::openapi::RawBytes,
        content_type = "application/zip",
        description = "A ZIP archive of stored files. The connection ends early if one of them cannot be sent whole.",
    )),
)]
pub async fn get(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Response> {
    let plan = downloads::get(&app, member.account, &id)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(plan.size_bytes));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    if let Ok(value) = HeaderValue::from_str(&disposition(&plan.name)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    let bytes = Body::from_stream(downloads::send(&app, plan));
    Ok((headers, bytes).into_response())
}
