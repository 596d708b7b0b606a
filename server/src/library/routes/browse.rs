//! Native routes of those who look at a library: the timeline, pages of tiles, one picture, what changed.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::calendar::read_day;
use photosync_protocol::names::decode_wire_text;
use photosync_protocol::v2::library::{
    Chosen, Details, DuplicateKind, Duplicates, MAX_TILES, MapPoints, TilePage, Timeline,
};
use photosync_protocol::v2::web::Me;

use super::find_value;
use crate::accounts::native::Member;
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::error::{Error, Result};
use crate::http::body::read_json;
use crate::library::search::Filters;
use crate::library::{details, duplicates, events, search, tiles, timeline};

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

/// Longest request for chosen tiles: 500 ids of 32 digits with quotes and commas.
const MAX_NAMED_BYTES: usize = 32 * 1024;

/// `POST /api/v2/library/tiles`
#[utoipa::path(
    post, path = "/api/v2/library/tiles", tag = "Library",
    summary = "Tiles of pictures by their ids",
    security(("access" = [])),
    request_body = Chosen,
    responses((status = 200, body = TilePage, description = "Newest first; those that are not held are left out. At most 500.")),
)]
pub async fn chosen_tiles(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TilePage>> {
    let chosen: Chosen = read_json(&app, &headers, body, MAX_NAMED_BYTES).await?;
    tiles::list_chosen(&app, member.account, chosen.ids).await.map(Json)
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

/// `GET /api/v2/library/search`
#[utoipa::path(
    get, path = "/api/v2/library/search", tag = "Library",
    summary = "Find pictures",
    security(("access" = [])),
    params(
        ("q" = Option<String>, Query, description = "Words of names, captions, cameras, folders and albums of devices, or their beginnings; all of them. Letters with and without marks and case are the same. Or the SHA-256 of a file, 64 hexadecimal digits. At most 256 bytes."),
        ("after_day" = Option<String>, Query, description = "Taken on this day or later."),
        ("before_day" = Option<String>, Query, description = "Taken on this day or before."),
        ("kind" = Option<String>, Query, description = "`photo`, `video` or `file`."),
        ("favourite" = Option<bool>, Query, description = "Marked, or not."),
        ("located" = Option<bool>, Query, description = "With a place, or without."),
        ("camera" = Option<String>, Query, description = "Exactly as details tell it."),
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u32>, Query, description = "At most 500, which is the default."),
    ),
    responses((status = 200, body = TilePage, description = "Newest first, the archive included. A page may be short or empty; only the absence of `next` is the end.")),
)]
pub async fn search(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Json<TilePage>> {
    let query = query.as_deref();
    let text = find_text(query, "q").unwrap_or_default();
    let filters = Filters {
        from_ms: read_day_of(query, "after_day")?.map(|day| day * DAY_MS),
        before_ms: read_day_of(query, "before_day")?.map(|day| (day + 1) * DAY_MS),
        kind: match find_value(query, "kind").as_deref() {
            None => None,
            Some("photo") => Some("photo"),
            Some("video") => Some("video"),
            Some("file") => Some("file"),
            Some(_) => return Err(Error::bad_request("kind must be photo, video or file")),
        },
        favourite: read_flag(query, "favourite")?,
        located: read_flag(query, "located")?,
        camera: find_text(query, "camera"),
    };
    let after = find_value(query, "after");
    let limit = read_limit(query)?;
    search::find(&app, member.account, &text, filters, after.as_deref(), limit).await.map(Json)
}

/// A value as a person typed it: percent-encoded, a blank also as `+`.
fn find_text(query: Option<&str>, key: &str) -> Option<String> {
    let value = find_value(query, key)?;
    Some(decode_wire_text(value.replace('+', "%20").as_bytes()))
}

fn read_day_of(query: Option<&str>, key: &str) -> Result<Option<i64>> {
    let wrong = || Error::bad_request(format!("{key} must be a day as 2024-05-12"));
    find_value(query, key).map(|text| read_day(&text).ok_or_else(wrong)).transpose()
}

fn read_flag(query: Option<&str>, key: &str) -> Result<Option<bool>> {
    match find_value(query, key).as_deref() {
        None => Ok(None),
        Some("1" | "true") => Ok(Some(true)),
        Some("0" | "false") => Ok(Some(false)),
        Some(_) => Err(Error::bad_request(format!("{key} must be true or false"))),
    }
}

/// `GET /api/v2/library/map?after=`
#[utoipa::path(
    get, path = "/api/v2/library/map", tag = "Library",
    summary = "Where pictures were taken",
    security(("access" = [])),
    params(("after" = Option<String>, Query, description = "`next` of the page before.")),
    responses((status = 200, body = MapPoints, description = "Pictures of the timeline, about 10,000 a page.")),
)]
pub async fn map(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Json<MapPoints>> {
    let after = find_value(query.as_deref(), "after");
    search::list_points(&app, member.account, after.as_deref()).await.map(Json)
}

/// `GET /api/v2/library/duplicates?kind=&after=`
#[utoipa::path(
    get, path = "/api/v2/library/duplicates", tag = "Library",
    summary = "Pictures that are the same but for their metadata, or that look alike",
    security(("access" = [])),
    params(
        ("kind" = Option<String>, Query, description = "`same`, which is the default, or `similar`."),
        ("after" = Option<String>, Query, description = "`next` of the page before, of the same kind."),
    ),
    responses((status = 200, body = Duplicates, description = "Groups of originals; nothing was changed. A page may be short or empty; only the absence of `next` is the end.")),
)]
pub async fn duplicates(
    State(app): State<App>,
    member: Member,
    RawQuery(query): RawQuery,
) -> Result<Json<Duplicates>> {
    let after = find_value(query.as_deref(), "after");
    let kind = match find_value(query.as_deref(), "kind").as_deref() {
        None | Some("same") => DuplicateKind::Same,
        Some("similar") => DuplicateKind::Similar,
        Some(_) => return Err(Error::bad_request("kind must be same or similar")),
    };
    duplicates::list(&app, member.account, kind, after.as_deref()).await.map(Json)
}

/// How many tiles are wanted: at most [`MAX_TILES`], which is also the default.
pub fn read_limit(query: Option<&str>) -> Result<i64> {
    let Some(text) = find_value(query, "limit") else { return Ok(MAX_TILES) };
    let limit = text.parse::<i64>().ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| Error::bad_request("limit must be a number from 1 on"))?;
    Ok(limit.min(MAX_TILES))
}
