//! Native routes of those who look at a library: the timeline, pages of tiles, one picture, what changed.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::v2::library::{Details, MAX_TILES, TilePage, Timeline};
use photosync_protocol::v2::web::Me;

use super::find_value;
use crate::accounts::native::Member;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::library::{details, events, tiles, timeline};

/// `GET /api/v2/me`
#[utoipa::path(
    get, path = "/api/v2/me", tag = "Library",
    summary = "The account of whoever asks",
    security(("access" = [])),
    responses((status = 200, body = Me, description = "With what it holds.")),
)]
pub async fn me(State(app): State<App>, member: Member) -> Result<Json<Me>> {
    details::get_me(&app, member.account).await.map(Json)
}

/// `GET /api/v2/library/timeline?since=`
#[utoipa::path(
    get, path = "/api/v2/library/timeline", tag = "Library",
    summary = "Days with a byte for each picture",
    security(("access" = [])),
    params(
        ("since" = Option<i64>, Query, description = "`version` of the last answer: only days that changed after it."),
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of the last answer to the same question."),
    ),
    responses(
        (status = 200, body = Timeline, description = "Newest day first."),
        (status = 304, description = "Nothing changed."),
    ),
)]
pub async fn timeline(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response> {
    let since = find_value(query.as_deref(), "since")
        .map(|text| text.parse::<i64>().map_err(|_| Error::bad_request("since must be a number")))
        .transpose()?;
    let end = since.map_or_else(String::new, |since| format!("-{since}"));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let known = known.and_then(|tag| {
        let tag = tag.trim().trim_start_matches("W/").trim_matches('"');
        tag.strip_suffix(&end)?.parse::<i64>().ok()
    });
    let (version, response) = match timeline::get(&app, member.account, since, known).await? {
        timeline::Told::Unchanged(version) => (version, StatusCode::NOT_MODIFIED.into_response()),
        timeline::Told::Changed(told) => (told.version, Json(told).into_response()),
    };
    Ok((private(&format!("\"{version}{end}\"")), response).into_response())
}

/// Headers of an answer that only the one who asked may keep, and asks for again.
fn private(tag: &str) -> [(HeaderName, HeaderValue); 2] {
    let tag = HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")), (header::ETAG, tag)]
}

/// `GET /api/v2/library/timeline/tiles?from=&limit=`
#[utoipa::path(
    get, path = "/api/v2/library/timeline/tiles", tag = "Library",
    summary = "Tiles of the timeline, newest first",
    security(("access" = [])),
    params(
        ("from" = Option<String>, Query, description = "A day (`2024-05-12`), one of its `starts`, or `next` of the page before; absent: the newest."),
        ("limit" = Option<u32>, Query, description = "At most 500, which is the default."),
    ),
    responses((status = 200, body = TilePage, description = "Across days.")),
)]
pub async fn timeline_tiles(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Json<TilePage>> {
    let from = find_value(query.as_deref(), "from");
    let limit = read_limit(query.as_deref())?;
    tiles::list_from(&app, member.account, from.as_deref(), limit).await.map(Json)
}

/// `GET /api/v2/library/tiles?view=&after=&limit=`
#[utoipa::path(
    get, path = "/api/v2/library/tiles", tag = "Library",
    summary = "Tiles of a view",
    security(("access" = [])),
    params(
        ("view" = String, Query, description = "`timeline`, `favourites`, `videos`, `archive`, `trash` (last one first), `recent` (by arrival, last one first) or `missing_media` (what cannot be shown)."),
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u32>, Query, description = "At most 500, which is the default."),
    ),
    responses((status = 200, body = TilePage, description = "A page.")),
)]
pub async fn tiles(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Json<TilePage>> {
    let view = find_value(query.as_deref(), "view").unwrap_or_default();
    let after = find_value(query.as_deref(), "after");
    let limit = read_limit(query.as_deref())?;
    tiles::list_view(&app, member.account, &view, after.as_deref(), limit).await.map(Json)
}

/// `GET /api/v2/library/assets/{id}/details`
#[utoipa::path(
    get, path = "/api/v2/library/assets/{id}/details", tag = "Library",
    summary = "Everything about one picture",
    security(("access" = [])),
    params(("id" = String, Path, description = "Of an asset of this account, held or in the trash.")),
    responses((status = 200, body = Details, description = "What devices say as the asking one sees it.")),
)]
pub async fn details(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<Details>> {
    details::get(&app, member.account, member.device_id, &id).await.map(Json)
}

/// `GET /api/v2/library/events`
#[utoipa::path(
    get, path = "/api/v2/library/events", tag = "Library",
    summary = "Hear of changes, as server-sent events",
    security(("access" = [])),
    responses((
        status = 200,
        body = String,
        content_type = "text/event-stream",
        description = "`data: {\"version\":7}` at once and after every change, at most one a second. Ends after 15 minutes; at most 8 for each session.",
    )),
)]
pub async fn events(State(app): State<App>, member: Member) -> Result<Response> {
    let lines = events::listen(&app, member.account, &member.session_id)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // A proxy that gathers answers would keep them from whoever waits.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// How many tiles are wanted: at most [`MAX_TILES`], which is also the default.
pub fn read_limit(query: Option<&str>) -> Result<i64> {
    let Some(text) = find_value(query, "limit") else { return Ok(MAX_TILES) };
    let limit = text.parse::<i64>().ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| Error::bad_request("limit must be a number from 1 on"))?;
    Ok(limit.min(MAX_TILES))
}
