//! Native routes about sessions and devices.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use photosync_protocol::v2::session::{Refresh, Session, SignIn};

use super::native::{self, Member, Presented};
use super::{Caller, require_attempt};
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
