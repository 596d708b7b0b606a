//! The look for a newer version that the server takes once a day. It only informs: the log, the metric, the tray.

use std::time::Duration;

use photosync_protocol::error::ErrorCode;

use super::install::{self, Found};
use super::{UpdateError, running_version};
use crate::accounts::queries::{find_fact, set_fact};
use crate::boot::App;
use crate::db::{DbError, DbResult, Tx};
use crate::error::Error;

/// The fact under which the highest number of a manifest is remembered.
const SEQUENCE_FACT: &str = "update_sequence";
/// From the start to the first look: a machine that just came up has other things to do.
const FIRST: Duration = Duration::from_secs(600);
/// Between two looks.
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// Looks until it is dropped, unless `update.check` is off.
pub async fn run(app: App) {
    if !app.config.update_check {
        return;
    }
    if let Err(error) = install::require_source(app.config.update_url.as_deref()) {
        tracing::info!("no look for newer versions: {error}");
        return;
    }
    let first = crate::fault::value("FIRST_CHECK_MS").and_then(|ms| ms.parse().ok());
    tokio::time::sleep(first.map_or(FIRST, Duration::from_millis)).await;
    loop {
        if let Err(error) = look(&app).await {
            tracing::warn!("could not look for a newer version: {error}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Looks now, because somebody asked.
pub async fn look_now(app: &App) -> Result<(), Error> {
    look(app).await.map_err(|error| match error {
        UpdateError::Unavailable(_) | UpdateError::Refused(_) => {
            Error::new(ErrorCode::Conflict, error.to_string())
        }
        UpdateError::Failed(_) => {
            let message = "the place where releases come from could not be asked; the log of the server says why";
            Error::new(ErrorCode::Internal, message).caused_by(error)
        }
    })
}

async fn look(app: &App) -> Result<(), UpdateError> {
    let failed = |error: DbError| UpdateError::Failed(error.to_string());
    let seen: Option<String> = app
        .db
        .read(|tx: &mut dyn Tx| -> DbResult<_> { find_fact(tx, SEQUENCE_FACT) })
        .await
        .map_err(failed)?;
    let seen = seen.and_then(|text| text.parse().ok()).unwrap_or(0);
    let url = app.config.update_url.clone();
    let found = tokio::task::spawn_blocking(move || install::look(url.as_deref(), seen, None))
        .await
        .map_err(|error| UpdateError::Failed(error.to_string()))??;
    let sequence = found.manifest.sequence;
    if sequence > seen {
        app.db
            .write(move |tx: &mut dyn Tx| -> DbResult<()> {
                set_fact(tx, SEQUENCE_FACT, &sequence.to_string())
            })
            .await
            .map_err(failed)?;
    }
    tell(app, &found);
    Ok(())
}

fn tell(app: &App, found: &Found) {
    let running = running_version();
    app.metrics.update_available.set(i64::from(found.offer.is_some()));
    app.set_newer_version(found.offer.as_ref().map(|offer| offer.version.clone()));
    let Some(offer) = &found.offer else {
        tracing::info!("version {running} is the newest");
        return;
    };
    if found.is_unsafe {
        let oldest = &found.manifest.minimum_version;
        tracing::warn!(
            newer = offer.version,
            "version {running} has a known hole, fixed since {oldest}: version {} is there (`photosync-server update`)",
            offer.version
        );
    } else {
        tracing::info!(
            newer = offer.version,
            "version {} is there; this is {running} (`photosync-server update`)",
            offer.version
        );
    }
}
