//! `/api/v2/library/assets/{id}/renditions/{recipe}`: small pictures and playable films, as files that a browser keeps; the film
//! inside a picture; asking for a playable film.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use photosync_protocol::v2::films::Playable;

use super::{Recipe, films, get_rendition};
use crate::accounts::native::Member;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::files::{FileAnswer, answer};
use crate::library::listing;

/// The rendition of a film that every browser plays.
const PLAYABLE: &str = "playable";

/// `GET` or `HEAD /api/v2/library/assets/{id}/renditions/{recipe}?v=`
#[utoipa::path(
    get, path = "/api/v2/library/assets/{id}/renditions/{recipe}", tag = "Library",
    summary = "A small picture of an original",
    security(("access" = [])),
    params(
        ("id" = String, Path, description = "Of an asset of this account, also in the trash."),
        ("recipe" = String, Path, description = "`thumb`: short side 320, long side at most 640. `screen`: long side at most 2,048. `playable`: a film that every browser plays, once it was asked for and is ready; `Range` is answered."),
        ("v" = Option<String>, Query, description = "Anything that changes with the picture: then the answer may be kept for a year."),
    ),
    responses(
        (
            status = 200,
            body = crate::http::openapi::RawBytes,
            content_type = "image/webp",
            description = "The picture, `image/webp` or `image/jpeg`, or the film, `video/mp4`. Until it is made, and if it cannot be made, the answer is 404 `not_found`.",
        ),
    ),
)]
pub async fn get(
    State(app): State<App>,
    member: Member,
    Path((id, recipe)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response> {
    let recipe = match recipe.as_str() {
        PLAYABLE => None,
        name => Some(
            Recipe::from_name(name)
                .ok_or_else(|| Error::not_found("there is no such kind of picture"))?,
        ),
    };
    let shown = match recipe {
        None => films::open(&app, member.account, &id).await?,
        Some(recipe) => get_rendition(&app, member.account, &id, recipe).await?,
    };
    let name = recipe.map_or(PLAYABLE, Recipe::name);
    let found = FileAnswer {
        file: shown.file,
        first_byte: 0,
        size_bytes: shown.size_bytes,
        media_type: shown.media_type.to_owned(),
        name: None,
        modified_ms: shown.made_at_ms,
        tag: format!("{id}-{name}-{:x}-{:x}", shown.made_at_ms, shown.size_bytes),
    };
    let mut response = answer(&headers, found)?;
    let is_versioned =
        query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("v=")));
    // A film can be made again, and be another one; a browser that has half of it asks for the rest by its tag.
    let kept = match is_versioned && recipe.is_some() {
        true => "private, max-age=31536000, immutable",
        false => "private, no-cache",
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    shut_in(&mut response);
    Ok(response)
}

/// Whatever is in it, a browser shows it and runs nothing.
fn shut_in(response: &mut Response) {
    for (name, value) in [
        (header::CONTENT_DISPOSITION, "inline"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

/// `GET` or `HEAD /api/v2/library/assets/{id}/motion`
#[utoipa::path(
    get, path = "/api/v2/library/assets/{id}/motion", tag = "Library",
    summary = "The film inside a Motion Photo; HEAD is answered too",
    security(("access" = [])),
    params(
        ("id" = String, Path, description = "Of a held picture whose details tell of a film inside it."),
        ("Range" = Option<String>, Header, description = "RFC 9110 §14."),
    ),
    responses(
        (status = 200, body = crate::http::openapi::RawBytes, content_type = "video/mp4", description = "A part of the original, byte for byte."),
        (status = 206, body = crate::http::openapi::RawBytes, content_type = "video/mp4", description = "The range."),
    ),
)]
pub async fn get_motion(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let motion = films::find_motion(&app, member.account, &id).await?;
    let original = listing::open_by_id(&app, member.account, &id).await?;
    let size_bytes = u64::try_from(original.asset.size_bytes).unwrap_or(0);
    let found = FileAnswer {
        file: original.file,
        // Found in the same bytes: what is listed has the digest it had then.
        first_byte: motion.at.min(size_bytes),
        size_bytes: motion.length.min(size_bytes.saturating_sub(motion.at)),
        media_type: "video/mp4".to_owned(),
        name: None,
        modified_ms: original.asset.arrived_at_ms,
        tag: format!("{}-motion", hex::encode(original.asset.digest)),
    };
    let mut response = answer(&headers, found)?;
    shut_in(&mut response);
    Ok(response)
}

/// `GET /api/v2/library/assets/{id}/playable`
#[utoipa::path(
    get, path = "/api/v2/library/assets/{id}/playable", tag = "Library",
    summary = "How far the version of a film is that every browser plays",
    security(("access" = [])),
    params(("id" = String, Path, description = "Of a held film, or of a picture with a film inside.")),
    responses((status = 200, body = Playable, description = "It is not asked for by this.")),
)]
pub async fn playable(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<Playable>> {
    films::get(&app, member.account, &id).await.map(Json)
}

/// `POST /api/v2/library/assets/{id}/playable`
#[utoipa::path(
    post, path = "/api/v2/library/assets/{id}/playable", tag = "Library",
    summary = "Ask for a version of a film that every browser plays",
    security(("access" = [])),
    params(("id" = String, Path, description = "Of a held film, or of a picture with a film inside.")),
    responses((status = 200, body = Playable, description = "How far it is. What was asked for last is made first.")),
)]
pub async fn want_playable(
    State(app): State<App>,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<Playable>> {
    films::want(&app, member.account, &id).await.map(Json)
}
