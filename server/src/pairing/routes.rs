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
#[utoipa::path(
    get, path = "/api/v2/server", tag = "Pairing",
    summary = "Who the server is and what it takes",
    responses((status = 200, body = ServerAnswer, description = "For anybody.")),
)]
pub async fn describe(State(app): State<App>, caller: Caller) -> Json<ServerAnswer> {
    Json(super::describe(&app, caller))
}

/// `POST /api/v2/pairing`
#[utoipa::path(
    post, path = "/api/v2/pairing", tag = "Pairing",
    summary = "Offer to add a device",
    security(("access" = [])),
    responses(
        (status = 200, body = PairingOffer, description = "A code, and the text of a picture (`QrPayload`)."),
    ),
)]
pub async fn offer(State(app): State<App>, member: Member) -> Result<Json<PairingOffer>> {
    Ok(Json(super::offer(&app, member.account).await?))
}

/// `POST /api/v2/pairing/claim`
#[utoipa::path(
    post, path = "/api/v2/pairing/claim", tag = "Pairing",
    summary = "Add this device by a code",
    request_body = PairingClaim,
    responses((status = 200, body = Session, description = "Signed in; the code is used up.")),
)]
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
#[utoipa::path(
    get, path = "/api/v2/endpoints", tag = "Pairing",
    summary = "Where the server can be reached, signed",
    security(("access" = []), ("upload_only" = [])),
    responses((status = 200, body = SignedEndpoints, description = "`payload` is the text of `Endpoints`.")),
)]
pub async fn endpoints(
    State(app): State<App>,
    _uploader: Uploader,
) -> Result<Json<SignedEndpoints>> {
    Ok(Json(super::endpoints::signed(&app)?))
}
