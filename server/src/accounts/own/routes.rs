//! Routes of a person about their own account.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use photosync_protocol::v2::admin::Ended;
use photosync_protocol::v2::web::{Me, MeEdit, PasswordChange, PasswordChanged, SignOutElsewhere};

use crate::accounts::web::routes::with_cookie;
use crate::accounts::web::{Person, SESSION_MS};
use crate::accounts::{Caller, require_attempt};
use crate::boot::App;
use crate::error::Result;
use crate::http::extract::{Peer, Sent};
use crate::library::details;

/// `PATCH /api/v2/me`
#[utoipa::path(
    patch, path = "/api/v2/me", tag = "Browsers",
    summary = "What the person wants to be called",
    security(("browser" = [])),
    request_body = MeEdit,
    responses((status = 200, body = Me, description = "As it is now.")),
)]
pub async fn rename(
    State(app): State<App>,
    person: Person,
    Sent(edit): Sent<MeEdit>,
) -> Result<Json<Me>> {
    super::rename(&app, &person, &edit.name).await?;
    details::get_me(&app, person.0.account).await.map(Json)
}

/// `POST /api/v2/me/password`
#[utoipa::path(
    post, path = "/api/v2/me/password", tag = "Browsers",
    summary = "Change the own password",
    security(("browser" = [])),
    request_body = PasswordChange,
    responses((status = 200, body = PasswordChanged, description = "Other browsers are signed out; this one has a new cookie.")),
)]
pub async fn change_password(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    person: Person,
    Sent(asked): Sent<PasswordChange>,
) -> Result<Response> {
    require_attempt(&app, caller, "session")?;
    let changed = super::change_password(&app, &person, asked).await?;
    let cookie = with_cookie(&changed.cookie, peer, SESSION_MS / 1000);
    let uncached = [(header::CACHE_CONTROL, "no-store")];
    Ok((uncached, cookie, Json(changed.told)).into_response())
}

/// `POST /api/v2/me/sign-out`
#[utoipa::path(
    post, path = "/api/v2/me/sign-out", tag = "Browsers",
    summary = "Sign out everywhere else",
    security(("browser" = [])),
    request_body = SignOutElsewhere,
    responses((status = 200, body = Ended, description = "This browser stays signed in.")),
)]
pub async fn sign_out_elsewhere(
    State(app): State<App>,
    person: Person,
    Sent(asked): Sent<SignOutElsewhere>,
) -> Result<Json<Ended>> {
    super::sign_out_elsewhere(&app, &person, asked.devices).await.map(Json)
}
