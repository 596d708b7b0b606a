//! Native routes of albums. Whoever may see the library sees them; a person changes them.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use photosync_protocol::v2::library::{
    Album, AlbumEdit, Albums, Changed, Chosen, NewAlbum, Reorder, TilePage,
};

use crate::accounts::native::Member;
use crate::accounts::web::Person;
use crate::boot::App;
use crate::error::Result;
use crate::http::extract::Sent;
use crate::library::routes::acts::MAX_CHOSEN_BYTES;
use crate::library::routes::browse::read_limit;
use crate::library::routes::find_value;

/// `GET /api/v2/albums`
#[utoipa::path(
    get, path = "/api/v2/albums", tag = "Albums",
    summary = "All albums, last changed first",
    security(("access" = [])),
    responses((status = 200, body = Albums, description = "At most 1,000.")),
)]
pub async fn list(State(app): State<App>, member: Member) -> Result<Json<Albums>> {
    super::list(&app, member.account).await.map(Json)
}

/// `POST /api/v2/albums`
#[utoipa::path(
    post, path = "/api/v2/albums", tag = "Albums",
    summary = "Make an album",
    security(("browser" = [])),
    request_body = NewAlbum,
    responses((status = 201, body = Album, description = "With the pictures that are held.")),
)]
pub async fn create(
    State(app): State<App>,
    person: Person,
    Sent(new): Sent<NewAlbum, MAX_CHOSEN_BYTES>,
) -> Result<(StatusCode, Json<Album>)> {
    let album = super::create(&app, person.0.account, new).await?;
    Ok((StatusCode::CREATED, Json(album)))
}

/// `GET /api/v2/albums/{id}`
#[utoipa::path(
    get, path = "/api/v2/albums/{id}", tag = "Albums",
    summary = "One album",
    security(("access" = [])),
    params(("id" = String, Path, description = "Of an album of this account.")),
    responses((status = 200, body = Album, description = "With count and cover.")),
)]
pub async fn get(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<Album>> {
    super::get(&app, member.account, &id).await.map(Json)
}

/// `PATCH /api/v2/albums/{id}`
#[utoipa::path(
    patch, path = "/api/v2/albums/{id}", tag = "Albums",
    summary = "Name, describe or order an album, or choose its cover",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an album of this account.")),
    request_body = AlbumEdit,
    responses((status = 200, body = Album, description = "As it is now.")),
)]
pub async fn edit(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    Sent(edit): Sent<AlbumEdit, MAX_CHOSEN_BYTES>,
) -> Result<Json<Album>> {
    super::edit(&app, person.0.account, &id, edit).await.map(Json)
}

/// `DELETE /api/v2/albums/{id}`
#[utoipa::path(
    delete, path = "/api/v2/albums/{id}", tag = "Albums",
    summary = "Forget an album",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an album of this account.")),
    responses((status = 204, description = "Its pictures stay.")),
)]
pub async fn delete(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    super::delete(&app, person.0.account, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v2/albums/{id}/tiles?after=&limit=`
#[utoipa::path(
    get, path = "/api/v2/albums/{id}/tiles", tag = "Albums",
    summary = "Tiles of an album in its order",
    security(("access" = [])),
    params(
        ("id" = String, Path, description = "Of an album of this account."),
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u32>, Query, description = "At most 500, which is the default."),
    ),
    responses((status = 200, body = TilePage, description = "Held ones only.")),
)]
pub async fn tiles(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<TilePage>> {
    let after = find_value(query.as_deref(), "after");
    let limit = read_limit(query.as_deref())?;
    super::list_tiles(&app, member.account, &id, after.as_deref(), limit).await.map(Json)
}

/// `POST /api/v2/albums/{id}/assets`
#[utoipa::path(
    post, path = "/api/v2/albums/{id}/assets", tag = "Albums",
    summary = "Add pictures at the end",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an album of this account.")),
    request_body = Chosen,
    responses((status = 200, body = Changed, description = "How many were not in it.")),
)]
pub async fn add(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    Sent(chosen): Sent<Chosen, MAX_CHOSEN_BYTES>,
) -> Result<Json<Changed>> {
    let changed = super::add(&app, person.0.account, &id, chosen.ids).await?;
    Ok(Json(Changed { changed }))
}

/// `POST /api/v2/albums/{id}/remove`
#[utoipa::path(
    post, path = "/api/v2/albums/{id}/remove", tag = "Albums",
    summary = "Take pictures out of an album",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an album of this account.")),
    request_body = Chosen,
    responses((status = 200, body = Changed, description = "How many were in it. They stay in the library.")),
)]
pub async fn remove(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    Sent(chosen): Sent<Chosen, MAX_CHOSEN_BYTES>,
) -> Result<Json<Changed>> {
    let changed = super::remove(&app, person.0.account, &id, chosen.ids).await?;
    Ok(Json(Changed { changed }))
}

/// `POST /api/v2/albums/{id}/order`
#[utoipa::path(
    post, path = "/api/v2/albums/{id}/order", tag = "Albums",
    summary = "Put pictures before another one",
    security(("browser" = [])),
    params(("id" = String, Path, description = "Of an album of this account.")),
    request_body = Reorder,
    responses((status = 200, body = Changed, description = "How many were moved; at most 500 a request.")),
)]
pub async fn order(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    Sent(order): Sent<Reorder, MAX_CHOSEN_BYTES>,
) -> Result<Json<Changed>> {
    let changed = super::reorder(&app, person.0.account, &id, order).await?;
    Ok(Json(Changed { changed }))
}
