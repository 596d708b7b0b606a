//! Native routes about sessions and devices.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use photosync_protocol::v2::session::{Devices, Refresh, Session, SignIn, UploadToken};

use super::native::{self, Member, Presented};
use super::{Caller, devices, require_attempt};
use crate::boot::App;
use crate::error::Result;
use crate::http::body::read_json;

/// Largest JSON body of these routes.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// `POST /api/v2/session`
pub async fn sign_in(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Session>> {
    require_attempt(&app, caller, "session")?;
    let request: SignIn = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    let presented = Presented { device_name: request.device_name, device_id: request.device_id };
    Ok(Json(native::sign_in(&app, &request.email, &request.password, presented).await?))
}

/// `POST /api/v2/session/refresh`
pub async fn refresh(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Session>> {
    let request: Refresh = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    Ok(Json(native::refresh(&app, &request.refresh_token).await?))
}

/// `DELETE /api/v2/session`
pub async fn sign_out(State(app): State<App>, member: Member) -> Result<StatusCode> {
    native::sign_out(&app, &member).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v2/devices`
pub async fn list_devices(State(app): State<App>, member: Member) -> Result<Json<Devices>> {
    Ok(Json(devices::list(&app, &member).await?))
}

/// `DELETE /api/v2/devices/{id}`
pub async fn revoke_device(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    devices::revoke(&app, &member, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v2/devices/{id}/upload-token`
pub async fn issue_upload_token(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<UploadToken>> {
    Ok(Json(devices::issue_upload_token(&app, &member, &id).await?))
}

/// `DELETE /api/v2/devices/{id}/upload-token`
pub async fn revoke_upload_token(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    devices::revoke_upload_token(&app, &member, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
