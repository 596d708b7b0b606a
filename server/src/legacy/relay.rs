//! Version-1 routes of the relay, and the capacity file.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::error::ErrorCode;
use photosync_protocol::v1;
use serde_json::Value;

use crate::accounts::Device;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::{declared_bytes, drain, read_json, stage_body, too_large};
use crate::http::extract::Paging;
use crate::http::files::{FileAnswer, answer};
use crate::http::form::stage_file_part;
use crate::relay::{self, plans};

/// Largest device state, as the old servers.
const MAX_STATE_BYTES: usize = 102_400;

/// The old servers' headers against caching.
const NO_STORE: [(header::HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::PRAGMA, HeaderValue::from_static("no-cache")),
    (header::EXPIRES, HeaderValue::from_static("0")),
];

/// `GET /api/capacity` and its two well-known spellings: the operator's file, word for word.
pub async fn capacity(State(app): State<App>) -> Result<Response> {
    let missing = || Error::not_found("this server publishes no capacity");
    let path = app.config.capacity_file.clone();
    let text = tokio::fs::read_to_string(path).await.map_err(|_| missing())?;
    let _: Value = serde_json::from_str(&text).map_err(|_| missing())?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((NO_STORE, kind, text).into_response())
}

/// `POST /api/cloud/chunks`: the sealed bytes as they are, or in a multipart part `chunk`.
pub async fn put_chunk(
    State(app): State<App>,
    device: Device,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<v1::ChunkStored>> {
    let account = device.account;
    let declared = declared_bytes(&headers);
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let claimed = relay::parse_chunk_id(text(v1::CHUNK_ID_HEADER));
    let kind = text(header::CONTENT_TYPE.as_str()).trim().to_ascii_lowercase();
    let is_raw = kind.starts_with("application/octet-stream") || kind == "application/octetstream";
    let begun = async {
        if is_raw && claimed.is_none() {
            return Err(Error::bad_request(
                "the header X-Chunk-Id must be the SHA-256 of the body in hex",
            ));
        }
        if !is_raw && !kind.starts_with("multipart/form-data") {
            return Err(Error::bad_request(
                "a chunk is application/octet-stream or multipart/form-data",
            ));
        }
        if declared > app.config.chunk_bytes.saturating_add(64 * 1024) {
            return Err(too_large(app.config.chunk_bytes));
        }
        relay::begin_chunk(&app, account, declared).await
    };
    let stage = match begun.await {
        Ok(stage) => stage,
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    let staged = if is_raw {
        stage_body(&app, stage, body, app.config.chunk_bytes).await?
    } else {
        let part =
            stage_file_part(&app, &headers, body, "chunk", stage, app.config.chunk_bytes).await?;
        part.ok_or_else(|| Error::bad_request("the form has no part named chunk"))?.staged
    };
    let chunk_id = relay::store_chunk(&app, account, claimed, staged).await?;
    Ok(Json(v1::ChunkStored { chunk_id, stored: true }))
}

/// `GET /api/cloud/chunks/{id}`
pub async fn get_chunk(
    State(app): State<App>,
    device: Device,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let chunk_id = relay::parse_chunk_id(&id)
        .ok_or_else(|| Error::bad_request("a chunk id is a SHA-256 in hex"))?;
    plans::require_readable(&app, device.account).await?;
    let relay::Opened { file, size_bytes, modified_ms } =
        relay::open_chunk(&app, device.account, &chunk_id).await?;
    let media_type = "application/octet-stream".to_owned();
    answer(
        &headers,
        FileAnswer {
            file,
            first_byte: 0,
            size_bytes,
            media_type,
            name: None,
            modified_ms,
            tag: chunk_id,
        },
    )
}

/// `POST /api/cloud/manifests`
pub async fn put_manifest(
    State(app): State<App>,
    device: Device,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<v1::ManifestStored>> {
    let waiting = tokio::time::timeout(app.config.queue_wait, app.manifest_bodies.acquire()).await;
    let permit = waiting.map_err(|_| Error::busy())?.map_err(|_| Error::busy())?;
    let request: v1::ManifestRequest =
        read_json(&app, &headers, body, app.config.manifest_bytes).await?;
    let manifest_id =
        relay::sanitise_manifest_id(request.manifest_id.as_deref().unwrap_or_default());
    let encrypted = request.encrypted_manifest.filter(|text| !text.is_empty());
    let (Some(encrypted), false) = (encrypted, manifest_id.is_empty()) else {
        return Err(Error::bad_request("manifestId and encryptedManifest are required"));
    };
    if request.chunk_count.as_ref().and_then(Value::as_f64).is_some_and(|count| count <= 0.0) {
        return Err(Error::new(
            ErrorCode::EmptyFile,
            "a manifest without chunks describes an empty file",
        ));
    }
    let stored =
        relay::store_manifest(&app, device.account, manifest_id.clone(), encrypted).await?;
    drop(permit);
    let reason = (!stored).then(|| "manifestId".to_owned());
    Ok(Json(v1::ManifestStored { ok: true, manifest_id, skipped: !stored, reason }))
}

/// `GET /api/cloud/manifests`
pub async fn list_manifests(
    State(app): State<App>,
    device: Device,
    paging: Paging,
) -> Result<Response> {
    plans::require_readable(&app, device.account).await?;
    let (ids, total) =
        relay::list_manifests(&app, device.account, paging.offset, paging.limit).await?;
    let manifests = ids.into_iter().map(|manifest_id| v1::ListedManifest { manifest_id }).collect();
    Ok((NO_STORE, Json(v1::ManifestList { manifests, total })).into_response())
}

/// `GET /api/cloud/manifests/{id}`
pub async fn get_manifest(
    State(app): State<App>,
    device: Device,
    Path(id): Path<String>,
) -> Result<Response> {
    let manifest_id = relay::sanitise_manifest_id(&id);
    if manifest_id.is_empty() {
        return Err(Error::bad_request("a manifest id has letters, digits, _ and - only"));
    }
    plans::require_readable(&app, device.account).await?;
    let manifest = relay::get_manifest(&app, device.account, &manifest_id).await?;
    Ok((NO_STORE, Json(manifest)).into_response())
}

/// `GET /api/cloud/usage`
pub async fn usage(State(app): State<App>, device: Device) -> Result<Json<v1::Usage>> {
    Ok(Json(plans::usage(&app, device.account).await?))
}

/// `POST /api/cloud/purge`
pub async fn purge(State(app): State<App>, device: Device) -> Result<Json<v1::RelayPurged>> {
    let (chunks, manifests) = relay::purge(&app, device.account).await?;
    Ok(Json(v1::RelayPurged { ok: true, deleted: v1::RelayDeleted { chunks, manifests } }))
}

/// `GET /api/cloud/device-state`
pub async fn get_device_state(State(app): State<App>, device: Device) -> Result<Response> {
    plans::require_readable(&app, device.account).await?;
    let (state, updated_at) =
        relay::find_device_state(&app, device.account, &device.legacy_uuid).await?.unzip();
    Ok((NO_STORE, Json(v1::DeviceState { state, updated_at })).into_response())
}

/// `PUT /api/cloud/device-state`: `{state: {…}}` or the bare object.
pub async fn put_device_state(
    State(app): State<App>,
    device: Device,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<v1::DeviceStatePut>> {
    plans::require_readable(&app, device.account).await?;
    let body: Value = read_json(&app, &headers, body, MAX_STATE_BYTES).await?;
    let state = body.get("state").unwrap_or(&body);
    if !state.is_object() {
        return Err(Error::bad_request("the state must be a JSON object"));
    }
    let updated_at =
        relay::set_device_state(&app, device.account, &device.legacy_uuid, state).await?;
    Ok(Json(v1::DeviceStatePut { ok: true, updated_at }))
}
