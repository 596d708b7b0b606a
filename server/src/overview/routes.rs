//! Routes of administrators about the server.

use axum::Json;
use axum::extract::State;
use photosync_protocol::v2::admin::{
    Health, Jobs, Retried, RetryMedia, Settings, Storage, Updates,
};

use crate::accounts::admin::Admin;
use crate::boot::App;
use crate::error::Result;
use crate::http::extract::Sent;

/// `GET /api/v2/admin/storage`
#[utoipa::path(
    get, path = "/api/v2/admin/storage", tag = "Administration",
    summary = "How much is stored, and how much room there is",
    security(("browser" = [])),
    responses((status = 200, body = Storage, description = "Of all accounts together.")),
)]
pub async fn storage(State(app): State<App>, _admin: Admin) -> Result<Json<Storage>> {
    super::storage(&app).await.map(Json)
}

/// `GET /api/v2/admin/jobs`
#[utoipa::path(
    get, path = "/api/v2/admin/jobs", tag = "Administration",
    summary = "What the server does by itself, and how far it is",
    security(("browser" = [])),
    responses((status = 200, body = Jobs, description = "Previews, reading back, backups, late devices.")),
)]
pub async fn jobs(State(app): State<App>, _admin: Admin) -> Result<Json<Jobs>> {
    super::jobs(&app).await.map(Json)
}

/// `POST /api/v2/admin/jobs/media/retry`
#[utoipa::path(
    post, path = "/api/v2/admin/jobs/media/retry", tag = "Administration",
    summary = "Try previews again that could not be made",
    security(("browser" = [])),
    request_body = RetryMedia,
    responses((status = 200, body = Retried, description = "How many.")),
)]
pub async fn retry_media(
    State(app): State<App>,
    _admin: Admin,
    Sent(asked): Sent<RetryMedia>,
) -> Result<Json<Retried>> {
    super::retry_media(&app, asked.class).await.map(Json)
}

/// `GET /api/v2/admin/health`
#[utoipa::path(
    get, path = "/api/v2/admin/health", tag = "Administration",
    summary = "What the doctor says of the data",
    security(("browser" = [])),
    responses((status = 200, body = Health, description = "Looked at now.")),
)]
pub async fn health(State(app): State<App>, _admin: Admin) -> Result<Json<Health>> {
    super::health(&app).await.map(Json)
}

/// `GET /api/v2/admin/updates`
#[utoipa::path(
    get, path = "/api/v2/admin/updates", tag = "Administration",
    summary = "Which version runs, and whether a newer one is there",
    security(("browser" = [])),
    responses((status = 200, body = Updates, description = "As far as it is known.")),
)]
pub async fn updates(State(app): State<App>, _admin: Admin) -> Json<Updates> {
    Json(super::updates(&app))
}

/// `POST /api/v2/admin/updates/look`
#[utoipa::path(
    post, path = "/api/v2/admin/updates/look", tag = "Administration",
    summary = "Look for a newer version now",
    security(("browser" = [])),
    responses((status = 200, body = Updates, description = "Nothing is installed.")),
)]
pub async fn look_for_updates(State(app): State<App>, _admin: Admin) -> Result<Json<Updates>> {
    super::look_for_updates(&app).await.map(Json)
}

/// `GET /api/v2/admin/settings`
#[utoipa::path(
    get, path = "/api/v2/admin/settings", tag = "Administration",
    summary = "Every setting, its value and where that came from",
    security(("browser" = [])),
    responses((status = 200, body = Settings, description = "Of secrets only whether there is one.")),
)]
pub async fn settings(State(app): State<App>, _admin: Admin) -> Json<Settings> {
    Json(super::settings(&app))
}
