//! Routes of browsers.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v2::web::{
    AcceptInvitation, Invitation, InvitationLook, WebLink, WebSession, WebSetup, WebSignIn,
    WebState,
};

use super::rules::{find_cookie, is_own_machine, is_own_page, set_cookie};
use super::{Person, SESSION_MS, SignedIn};
use crate::accounts::{Caller, native, require_attempt};
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::read_json;
use crate::http::extract::Peer;

/// Largest JSON body of these routes.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// `GET /api/v2/web`
#[utoipa::path(
    get, path = "/api/v2/web", tag = "Browsers",
    summary = "What a page needs to know first",
    responses((status = 200, body = WebState, description = "With the session of the cookie, if it is good.")),
)]
pub async fn state(State(app): State<App>, peer: Peer, headers: HeaderMap) -> Result<Response> {
    let cookie = find_cookie(&headers, peer.is_https());
    let state = super::state(&app, cookie, is_own_machine(peer.address, &headers)).await?;
    let is_signed_in = state.session.is_some();
    let answer = ([(header::CACHE_CONTROL, "no-store")], Json(state));
    Ok(match cookie.filter(|_| is_signed_in) {
        // Whoever uses it stays signed in.
        Some(cookie) => (with_cookie(cookie, peer, SESSION_MS / 1000), answer).into_response(),
        None => answer.into_response(),
    })
}

/// `POST /api/v2/web/session`
#[utoipa::path(
    post, path = "/api/v2/web/session", tag = "Browsers",
    summary = "Sign a browser in by password",
    request_body = WebSignIn,
    responses((status = 200, body = WebSession, description = "Signed in, with a cookie.")),
)]
pub async fn sign_in(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    require_own_page(&headers)?;
    require_attempt(&app, caller, "session")?;
    let asked: WebSignIn = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    let entered = super::sign_in(&app, &asked.email, &asked.password, agent(&headers)).await?;
    Ok(signed_in(StatusCode::OK, peer, entered))
}

/// `POST /api/v2/web/setup`
#[utoipa::path(
    post, path = "/api/v2/web/setup", tag = "Browsers",
    summary = "Make the first account",
    request_body = WebSetup,
    responses((status = 201, body = WebSession, description = "An administrator, signed in with a cookie.")),
)]
pub async fn set_up(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    require_own_page(&headers)?;
    require_attempt(&app, caller, "session")?;
    let WebSetup { code, email, password } =
        read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    let is_here = is_own_machine(peer.address, &headers);
    let entered = super::set_up(&app, &code, is_here, &email, password, agent(&headers)).await?;
    Ok(signed_in(StatusCode::CREATED, peer, entered))
}

/// `POST /api/v2/web/link`
#[utoipa::path(
    post, path = "/api/v2/web/link", tag = "Browsers",
    summary = "Sign a browser in by a link that works once",
    request_body = WebLink,
    responses((status = 200, body = WebSession, description = "Signed in, with a cookie.")),
)]
pub async fn enter(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    require_own_page(&headers)?;
    require_attempt(&app, caller, "session")?;
    let asked: WebLink = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    let entered = super::enter(&app, &asked.token, agent(&headers)).await?;
    Ok(signed_in(StatusCode::OK, peer, entered))
}

/// `POST /api/v2/web/invitation`
#[utoipa::path(
    post, path = "/api/v2/web/invitation", tag = "Browsers",
    summary = "Whom a link is for by which a password is chosen",
    request_body = InvitationLook,
    responses((status = 200, body = Invitation, description = "The link stays as it is.")),
)]
pub async fn look_at_invitation(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Invitation>> {
    require_own_page(&headers)?;
    require_attempt(&app, caller, "session")?;
    let asked: InvitationLook = read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    super::look_at_invitation(&app, &asked.token).await.map(Json)
}

/// `PUT /api/v2/web/invitation`
#[utoipa::path(
    put, path = "/api/v2/web/invitation", tag = "Browsers",
    summary = "Choose a password by a link that works once, and sign in",
    request_body = AcceptInvitation,
    responses((status = 200, body = WebSession, description = "Every other session of the account ended.")),
)]
pub async fn accept_invitation(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    require_own_page(&headers)?;
    require_attempt(&app, caller, "session")?;
    let AcceptInvitation { token, password } =
        read_json(&app, &headers, body, MAX_JSON_BYTES).await?;
    let entered = super::accept_invitation(&app, &token, password, agent(&headers)).await?;
    Ok(signed_in(StatusCode::OK, peer, entered))
}

/// `DELETE /api/v2/web/session`
#[utoipa::path(
    delete, path = "/api/v2/web/session", tag = "Browsers",
    summary = "Sign a browser out",
    security(("browser" = [])),
    responses((status = 204, description = "The session ended, and the cookie is gone.")),
)]
pub async fn sign_out(State(app): State<App>, peer: Peer, person: Person) -> Result<Response> {
    native::sign_out(&app, &person.0).await?;
    Ok((StatusCode::NO_CONTENT, with_cookie("", peer, 0)).into_response())
}

/// Signing in has no cookie to prove anything by: then the browser's word has to do.
fn require_own_page(headers: &HeaderMap) -> Result<()> {
    if is_own_page(headers) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::Forbidden, "this request does not come from a page of this server"))
}

fn agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default()
}

/// The cookie of a browser, for `life_s` seconds.
pub fn with_cookie(
    value: &str,
    peer: Peer,
    life_s: i64,
) -> AppendHeaders<[(header::HeaderName, String); 1]> {
    AppendHeaders([(header::SET_COOKIE, set_cookie(value, peer.is_https(), life_s))])
}

fn signed_in(status: StatusCode, peer: Peer, entered: SignedIn) -> Response {
    let cookie = with_cookie(&entered.cookie, peer, SESSION_MS / 1000);
    let uncached = [(header::CACHE_CONTROL, "no-store")];
    (status, uncached, cookie, Json(entered.session)).into_response()
}
