//! `/api/v2/library/assets/{id}/renditions/{recipe}`: small pictures, as files that a browser keeps.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::{Recipe, get_rendition};
use crate::accounts::native::Member;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::files::{FileAnswer, answer};

/// `GET` or `HEAD /api/v2/library/assets/{id}/renditions/{recipe}?v=`
#[utoipa::path(
    get, path = "/api/v2/library/assets/{id}/renditions/{recipe}", tag = "Library",
    summary = "A small picture of an original",
    security(("access" = [])),
    params(
        ("id" = String, Path, description = "Of an asset of this account, also in the trash."),
        ("recipe" = String, Path, description = "`thumb`: short side 320, long side at most 640. `screen`: long side at most 2,048."),
        ("v" = Option<String>, Query, description = "Anything that changes with the picture: then the answer may be kept for a year."),
    ),
    responses(
        (
            status = 200,
            body = crate::http::openapi::RawBytes,
            content_type = "image/webp",
            description = "The picture, `image/webp` or `image/jpeg`. Until it is made, and if it cannot be made, the answer is 404 `not_found`.",
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
    let recipe = Recipe::from_name(&recipe)
        .ok_or_else(|| Error::not_found("there is no such kind of picture"))?;
    let shown = get_rendition(&app, member.account, &id, recipe).await?;
    let found = FileAnswer {
        file: shown.file,
        size_bytes: shown.size_bytes,
        media_type: shown.media_type.to_owned(),
        name: None,
        modified_ms: shown.made_at_ms,
        tag: format!("{id}-{}-{:x}-{:x}", recipe.name(), shown.made_at_ms, shown.size_bytes),
    };
    let mut response = answer(&headers, found)?;
    let is_versioned =
        query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("v=")));
    let kept = match is_versioned {
        true => "private, max-age=31536000, immutable",
        false => "private, no-cache",
    };
    for (name, value) in [
        (header::CACHE_CONTROL, kept),
        (header::CONTENT_DISPOSITION, "inline"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
