//! Native ways in: one raw request for one file.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use photosync_protocol::digest::Digest;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::names::parse_wire_name;
use photosync_protocol::v2::claims::{Claims, header_of};
use photosync_protocol::v2::{AssetAnswer, NAME_HEADER, REPR_DIGEST_HEADER, Safety};

use super::{Arrived, Finished, Origin};
use crate::accounts::native::Uploader;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::{declared_bytes, drain, stage_body};

/// What a raw request says in its headers.
struct Announced {
    name: String,
    digest: Option<Digest>,
    origin: Origin,
}

/// `PUT /api/v2/library/assets`: the body is the file, everything else is in headers. Repeating it answers the same
/// asset; with a digest that is held already, before the body is read.
#[utoipa::path(
    put, path = "/api/v2/library/assets", tag = "Library",
    summary = "Send one file in one request",
    security(("access" = []), ("upload_only" = [])),
    params(
        ("PhotoSync-Name" = String, Header, description = "Percent-encoded UTF-8."),
        (
            "Repr-Digest" = Option<String>,
            Header,
            description = "`sha-256=:…:` (RFC 9530): what is held already is answered before the body is read.",
        ),
    ),
    request_body(
        content = crate::http::openapi::RawBytes,
        content_type = "application/octet-stream",
        description = "The file as it is.",
    ),
    responses(
        (status = 201, body = AssetAnswer, description = "New here."),
        (status = 200, body = AssetAnswer, description = "Held already."),
    ),
)]
pub async fn put_asset(
    State(app): State<App>,
    uploader: Uploader,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<AssetAnswer>)> {
    let account = uploader.account;
    let begun = async {
        let announced = read_headers(uploader, &headers)?;
        if let Some(digest) = announced.digest {
            let origin = announced.origin.clone();
            if let Some(held) = super::find_held(&app, account, digest.0, origin).await? {
                return Ok((announced, Err(held)));
            }
        }
        let stage = super::begin(&app, account, declared_bytes(&headers)).await?;
        Ok((announced, Ok(stage)))
    };
    let (announced, stage) = match begun.await {
        Ok((announced, Ok(stage))) => (announced, stage),
        Ok((_, Err(held))) => {
            // A client that waits to be asked for its body is never asked.
            if !headers.contains_key(header::EXPECT) {
                drain(body).await;
            }
            return Ok(answer(&app, held));
        }
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    let staged = stage_body(&app, stage, body, u64::MAX).await?;
    if announced.digest.is_some_and(|declared| declared.0 != staged.digest) {
        let message = "the bytes that arrived do not have the declared digest; nothing was stored";
        return Err(Error::new(ErrorCode::DigestMismatch, message));
    }
    let Announced { name, origin, .. } = announced;
    let arrived = Arrived { account, name, staged, arrived_at_ms: None, origin };
    let finished = super::finish(&app, arrived).await?;
    Ok(answer(&app, finished))
}

fn read_headers(uploader: Uploader, headers: &HeaderMap) -> Result<Announced> {
    let name = headers
        .get(NAME_HEADER)
        .ok_or_else(|| Error::new(ErrorCode::BadName, "the header PhotoSync-Name is missing"))?;
    let name = parse_wire_name(name.as_bytes())
        .map_err(|error| Error::new(ErrorCode::BadName, error.to_string()))?;
    let digest = match headers.get(REPR_DIGEST_HEADER) {
        None => None,
        Some(value) => Digest::from_repr_digest(value.to_str().unwrap_or_default())
            .map_err(|error| Error::bad_request(error.to_string()))?,
    };
    let claims = Claims::read(|key| {
        let value = headers.get(header_of(key))?;
        let bytes: Vec<u8> = percent_encoding::percent_decode(value.as_bytes()).collect();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    })
    .map_err(|error| Error::bad_request(error.to_string()))?;
    Ok(Announced { name, digest, origin: Origin { device_id: Some(uploader.device_id), claims } })
}

fn answer(app: &App, finished: Finished) -> (StatusCode, Json<AssetAnswer>) {
    let (status, counter) = if finished.duplicate {
        (StatusCode::OK, &app.metrics.duplicates)
    } else {
        (StatusCode::CREATED, &app.metrics.stored)
    };
    counter.inc();
    let Finished { asset_id, digest, name, .. } = finished;
    let asset = AssetAnswer { id: asset_id, digest: Digest(digest), name, state: Safety::Received };
    (status, Json(asset))
}
