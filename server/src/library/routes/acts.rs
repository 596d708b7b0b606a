//! Native routes of what a person does to pictures. No device reaches them by its token.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use photosync_protocol::v2::library::{Changed, Chosen, Different, Edit};

use crate::accounts::web::Person;
use crate::boot::App;
use crate::error::Result;
use crate::http::body::read_json;
use crate::library::{duplicates, edits};

/// Longest request: 10,000 ids of 32 digits with quotes and commas, and a caption.
pub const MAX_CHOSEN_BYTES: usize = 512 * 1024;

/// `PATCH /api/v2/library/assets`
#[utoipa::path(
    patch, path = "/api/v2/library/assets", tag = "Library",
    summary = "Mark, rate, describe, archive or date pictures",
    security(("browser" = [])),
    request_body = Edit,
    responses((status = 200, body = Changed, description = "How many of them are held.")),
)]
pub async fn edit(
    State(app): State<App>,
    person: Person,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>> {
    let edit: Edit = read_json(&app, &headers, body, MAX_CHOSEN_BYTES).await?;
    let changed = edits::edit(&app, person.0.account, edit).await?;
    Ok(Json(Changed { changed }))
}

/// `POST /api/v2/library/trash`
#[utoipa::path(
    post, path = "/api/v2/library/trash", tag = "Library",
    summary = "Put pictures into the trash",
    security(("browser" = [])),
    request_body = Chosen,
    responses((status = 200, body = Changed, description = "How many were held. Moving halves go with their stills.")),
)]
pub async fn trash(
    State(app): State<App>,
    person: Person,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>> {
    let chosen: Chosen = read_json(&app, &headers, body, MAX_CHOSEN_BYTES).await?;
    let changed = edits::trash(&app, person.0.account, chosen.ids).await?;
    Ok(Json(Changed { changed }))
}

/// `POST /api/v2/library/restore`
#[utoipa::path(
    post, path = "/api/v2/library/restore", tag = "Library",
    summary = "Take pictures back out of the trash",
    security(("browser" = [])),
    request_body = Chosen,
    responses((status = 200, body = Changed, description = "How many came back.")),
)]
pub async fn restore(
    State(app): State<App>,
    person: Person,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>> {
    let chosen: Chosen = read_json(&app, &headers, body, MAX_CHOSEN_BYTES).await?;
    let changed = edits::restore(&app, person.0.account, chosen.ids).await?;
    Ok(Json(Changed { changed }))
}

/// `POST /api/v2/library/trash/empty`
#[utoipa::path(
    post, path = "/api/v2/library/trash/empty", tag = "Library",
    summary = "Remove for good what a person put into the trash",
    security(("browser" = [])),
    responses((status = 200, body = Changed, description = "How many files. What a device's purge put there stays its time.")),
)]
pub async fn empty_trash(State(app): State<App>, person: Person) -> Result<Json<Changed>> {
    let changed = edits::empty_trash(&app, person.0.account).await?;
    Ok(Json(Changed { changed }))
}

/// `POST /api/v2/library/duplicates/different`
#[utoipa::path(
    post, path = "/api/v2/library/duplicates/different", tag = "Library",
    summary = "Say that pictures are different, whatever they look like",
    security(("browser" = [])),
    request_body = Different,
    responses((status = 204, description = "No two of them are suggested together any more, or again.")),
)]
pub async fn tell_apart(
    State(app): State<App>,
    person: Person,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode> {
    let said: Different = read_json(&app, &headers, body, MAX_CHOSEN_BYTES).await?;
    duplicates::tell_apart(&app, person.0.account, said).await?;
    Ok(StatusCode::NO_CONTENT)
}
