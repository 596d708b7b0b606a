//! Native routes about meeting this server.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use photosync_protocol::v2::ServerAnswer;
use photosync_protocol::v2::session::{PairingClaim, PairingOffer, Session, SignedEndpoints};

use crate::accounts::native::{Member, Uploader};
use crate::accounts::{Caller, require_attempt};
use crate::boot::App;
use crate::error::Result;
use crate::http::body::read_json;

/// Largest JSON body of these routes.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// `GET /api/v2/server`
pub async fn describe(State(app): State<App>, caller: Caller) -> Json<ServerAnswer> {
    Json(super::describe(&app, caller))
}

/// `POST /api/v2/pairing`
pub async fn offer(State(app): State<App>, member: Member) -> Result<Json<PairingOffer>> {
    Ok(Json(super::offer(&app, member.account).await?))
}

/// `POST /api/v2/pairing/claim`
pub async fn claim(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Session>> {
    require_attempt(&app, caller, "pairing/claim")?;
    let request: PairingClaim = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    Ok(Json(super::claim(&app, request).await?))
}

/// `GET /api/v2/endpoints`: whoever may add files may know where to bring them.
pub async fn endpoints(
    State(app): State<App>,
    _uploader: Uploader,
) -> Result<Json<SignedEndpoints>> {
    Ok(Json(super::endpoints::signed(&app)?))
}
