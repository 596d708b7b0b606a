//! What a tray shows of this server: a line a second over the loopback listener, until one of both ends.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use photosync_protocol::control::{STATUS_EVERY_MS, Status};

use crate::accounts::queries;
use crate::boot::App;
use crate::error::{Error, Result};

/// How this server is now.
async fn status(app: &App) -> Result<Status> {
    let accounts = app.db.read(queries::count_active).await?;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        port: app.presence.listening().first().map_or(0, std::net::SocketAddr::port),
        accounts: u64::try_from(accounts).unwrap_or(0),
        stored: app.metrics.stored.get(),
        received_bytes: app.metrics.received_bytes.get(),
        was_reached: app.presence.was_reached(),
        free_bytes: app.originals.free_bytes().await.ok(),
    })
}

async fn line(app: &App) -> Result<String> {
    let mut line = serde_json::to_string(&status(app).await?)
        .map_err(|source| Error::internal("write down the state").caused_by(source))?;
    line.push('\n');
    Ok(line)
}

/// Lines of [`Status`], the first at once. The stream ends with the process: until then the data folder is held, and who
/// waits for the end of a server must not start another.
pub async fn stream_status(app: App) -> Result<Response> {
    let first = line(&app).await?;
    let later = stream::unfold(app, |app| async {
        tokio::time::sleep(Duration::from_millis(STATUS_EVERY_MS)).await;
        match line(&app).await {
            Ok(line) => Some((Ok::<_, Infallible>(line), app)),
            // Closed already: nothing more to tell.
            Err(_) if app.is_stopping() => std::future::pending().await,
            Err(_) => None,
        }
    });
    let lines = stream::iter([Ok(first)]).chain(later);
    let kind = (header::CONTENT_TYPE, "application/x-ndjson");
    Ok(([kind], Body::from_stream(lines)).into_response())
}
