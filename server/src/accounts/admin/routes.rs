//! Routes of administrators about accounts.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::v2::admin::{
    Ended, HandedLink, InvitedUser, NewLink, NewPassword, NewUser, User, UserEdit, Users,
};
use serde::Serialize;
use uuid::Uuid;

use super::Admin;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::extract::Sent;

/// What is no UUID names no account.
fn account_of(id: &str) -> Result<Uuid> {
    Uuid::try_parse(id).map_err(|_| Error::not_found("there is no such account"))
}

/// What holds a secret is kept by no cache.
fn uncached<T: Serialize>(status: StatusCode, answer: T) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// `GET /api/v2/admin/users`
#[utoipa::path(
    get, path = "/api/v2/admin/users", tag = "Administration",
    summary = "All accounts",
    security(("browser" = [])),
    responses((status = 200, body = Users, description = "By e-mail; deleted ones until they are erased.")),
)]
pub async fn list(State(app): State<App>, admin: Admin) -> Result<Json<Users>> {
    super::list(&app, &admin).await.map(Json)
}

/// `POST /api/v2/admin/users`
#[utoipa::path(
    post, path = "/api/v2/admin/users", tag = "Administration",
    summary = "Invite somebody",
    security(("browser" = [])),
    request_body = NewUser,
    responses((status = 201, body = InvitedUser, description = "With the link by which the password is chosen.")),
)]
pub async fn invite(
    State(app): State<App>,
    admin: Admin,
    Sent(new): Sent<NewUser>,
) -> Result<Response> {
    super::invite(&app, &admin, new).await.map(|invited| uncached(StatusCode::CREATED, invited))
}

/// `PATCH /api/v2/admin/users/{id}`
#[utoipa::path(
    patch, path = "/api/v2/admin/users/{id}", tag = "Administration",
    summary = "Change somebody's role, name or quota, lock or unlock",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an account.")),
    request_body = UserEdit,
    responses((status = 200, body = User, description = "As it is now.")),
)]
pub async fn edit(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
    Sent(edit): Sent<UserEdit>,
) -> Result<Json<User>> {
    super::edit(&app, &admin, account_of(&id)?, edit).await.map(Json)
}

/// `POST /api/v2/admin/users/{id}/password`
#[utoipa::path(
    post, path = "/api/v2/admin/users/{id}/password", tag = "Administration",
    summary = "Set somebody's password",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of another account.")),
    request_body = NewPassword,
    responses((status = 200, body = Ended, description = "All sessions of the account ended.")),
)]
pub async fn set_password(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
    Sent(new): Sent<NewPassword>,
) -> Result<Json<Ended>> {
    super::set_password(&app, &admin, account_of(&id)?, new.password).await.map(Json)
}

/// `POST /api/v2/admin/users/{id}/link`
#[utoipa::path(
    post, path = "/api/v2/admin/users/{id}/link", tag = "Administration",
    summary = "Hand out a link that works once",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an account.")),
    request_body = NewLink,
    responses((status = 200, body = HandedLink, description = "Shown this one time.")),
)]
pub async fn offer_link(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
    Sent(new): Sent<NewLink>,
) -> Result<Response> {
    let link = super::offer_link(&app, &admin, account_of(&id)?, new.kind).await?;
    Ok(uncached(StatusCode::OK, link))
}

/// `POST /api/v2/admin/users/{id}/sign-out`
#[utoipa::path(
    post, path = "/api/v2/admin/users/{id}/sign-out", tag = "Administration",
    summary = "Sign somebody out everywhere",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an account.")),
    responses((status = 200, body = Ended, description = "Browsers, phones and computers.")),
)]
pub async fn sign_out(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<Json<Ended>> {
    super::sign_out(&app, &admin, account_of(&id)?).await.map(Json)
}

/// `DELETE /api/v2/admin/users/{id}`
#[utoipa::path(
    delete, path = "/api/v2/admin/users/{id}", tag = "Administration",
    summary = "Delete somebody's account",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of another account.")),
    responses((status = 204, description = "It can be brought back until the trash period is over.")),
)]
pub async fn delete(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    super::delete(&app, &admin, account_of(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v2/admin/users/{id}/restore`
#[utoipa::path(
    post, path = "/api/v2/admin/users/{id}/restore", tag = "Administration",
    summary = "Bring a deleted account back",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an account.")),
    responses((status = 200, body = User, description = "As it was, but for its sessions.")),
)]
pub async fn restore(
    State(app): State<App>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<Json<User>> {
    super::restore(&app, &admin, account_of(&id)?).await.map(Json)
}
