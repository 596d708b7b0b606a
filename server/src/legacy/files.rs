//! Version-1 routes about originals.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use photosync_protocol::error::ErrorCode;
use photosync_protocol::names::parse_wire_name;
use photosync_protocol::v1;

use crate::accounts::Device;
use crate::boot::App;
use crate::clock::iso_utc;
use crate::error::{Error, Result};
use crate::http::body::{declared_bytes, drain, stage_body};
use crate::http::extract::Paging;
use crate::http::files::{FileAnswer, answer};
use crate::http::form::stage_file_part;
use crate::library::{self, Listed, STEP_ROWS};
use crate::uploads::{self, Arrived, Finished, Origin};

/// Originals have no size limit but the disk.
const NO_LIMIT: u64 = u64::MAX;

/// `POST /api/upload`: multipart, one part `file`.
pub async fn upload_multipart(
    State(app): State<App>,
    device: Device,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<v1::UploadAnswer>> {
    let stage = match uploads::begin(&app, device.account, declared_bytes(&headers)).await {
        Ok(stage) => stage,
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    let part = stage_file_part(&app, &headers, body, "file", stage, NO_LIMIT)
        .await?
        .ok_or_else(|| Error::bad_request("the form has no part named file"))?;
    let name = parse_wire_name(&part.file_name).map_err(bad_name)?;
    finish(
        &app,
        Arrived {
            account: device.account,
            name,
            staged: part.staged,
            arrived_at_ms: None,
            origin: Origin::default(),
        },
    )
    .await
}

/// `POST /api/upload/raw`: the body is the file, whatever its type says; the name is in a header.
pub async fn upload_raw(
    State(app): State<App>,
    device: Device,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<v1::UploadAnswer>> {
    let header =
        headers.get(v1::FILENAME_HEADER).or_else(|| headers.get(v1::FILENAME_HEADER_ALIAS));
    let begun = async {
        let header = header
            .ok_or_else(|| Error::new(ErrorCode::BadName, "the header X-Filename is missing"))?;
        let name = parse_wire_name(header.as_bytes()).map_err(bad_name)?;
        let stage = uploads::begin(&app, device.account, declared_bytes(&headers)).await?;
        Ok((name, stage))
    };
    let (name, stage) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            drain(body).await;
            return Err(error);
        }
    };
    let staged = stage_body(&app, stage, body, NO_LIMIT).await?;
    finish(
        &app,
        Arrived {
            account: device.account,
            name,
            staged,
            arrived_at_ms: None,
            origin: Origin::default(),
        },
    )
    .await
}

fn bad_name(error: photosync_protocol::names::NameError) -> Error {
    Error::new(ErrorCode::BadName, error.to_string())
}

async fn finish(app: &App, arrived: Arrived) -> Result<Json<v1::UploadAnswer>> {
    let Finished { name, duplicate, .. } = uploads::finish(app, arrived).await?;
    let message = if duplicate {
        app.metrics.duplicates.inc();
        "The server has this file already"
    } else {
        app.metrics.stored.inc();
        "The file is safe"
    };
    Ok(Json(v1::UploadAnswer { message: message.into(), filename: name, duplicate }))
}

/// `GET /api/files`: a page, or everything, in order of arrival.
pub async fn list(State(app): State<App>, device: Device, paging: Paging) -> Result<Response> {
    if paging.limit == 0 {
        return list_everything(app, device).await;
    }
    let page = library::list_page(&app, device.account, paging.offset, paging.limit).await?;
    let files = page.rows.into_iter().map(listed_file).collect();
    Ok(Json(v1::FileList { files, total: page.total }).into_response())
}

fn listed_file(row: Listed) -> v1::ListedFile {
    v1::ListedFile {
        filename: row.name,
        size: row.size_bytes,
        created_at: iso_utc(row.arrived_at_ms),
    }
}

/// Streams the whole listing in steps, so that a million files take no more memory than a thousand. `total` comes
/// last and is exactly the number of rows that were written.
async fn list_everything(app: App, device: Device) -> Result<Response> {
    enum Next {
        Rows { after: i64, written: i64 },
        Nothing,
    }
    let account = device.account;
    let pieces = stream::try_unfold(Next::Rows { after: 0, written: 0 }, move |next| {
        let app = app.clone();
        async move {
            let Next::Rows { after, written } = next else { return Ok::<_, std::io::Error>(None) };
            let rows = library::list_step(&app, account, after, STEP_ROWS)
                .await
                .map_err(std::io::Error::other)?;
            let mut text = String::from(if written == 0 { "{\"files\":[" } else { "" });
            let (last, count) = (rows.last().map(|row| row.seq), rows.len() as i64);
            for (index, row) in rows.into_iter().enumerate() {
                if written > 0 || index > 0 {
                    text.push(',');
                }
                text += &serde_json::to_string(&listed_file(row)).map_err(std::io::Error::other)?;
            }
            let next = match last.filter(|_| count == STEP_ROWS) {
                Some(after) => Next::Rows { after, written: written + count },
                None => {
                    text += &format!("],\"total\":{}}}", written + count);
                    Next::Nothing
                }
            };
            Ok(Some((Bytes::from(text), next)))
        }
    });
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(pieces)).into_response())
}

/// `GET /api/files/{name}`
pub async fn download(
    State(app): State<App>,
    device: Device,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response> {
    let segment = uri.path().strip_prefix("/api/files/").unwrap_or_default();
    let original = library::open_by_segment(&app, device.account, segment.as_bytes()).await?;
    let asset = original.asset;
    let found = FileAnswer {
        file: original.file,
        first_byte: 0,
        size_bytes: u64::try_from(asset.size_bytes).unwrap_or(0),
        media_type: asset.media_type,
        name: Some(asset.name),
        modified_ms: asset.arrived_at_ms,
        tag: hex::encode(asset.digest),
    };
    answer(&headers, found)
}

/// `POST /api/files/purge`
pub async fn purge(State(app): State<App>, device: Device) -> Result<Json<v1::FilesPurged>> {
    let files = library::purge(&app, device.account).await?;
    Ok(Json(v1::FilesPurged { ok: true, deleted: v1::FilesDeleted { files } }))
}
