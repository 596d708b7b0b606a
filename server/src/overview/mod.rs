//! What an administrator sees of the whole server, at a browser: room, jobs, health, updates, settings. Nothing here changes
//! anything, but for trying previews again and looking for a newer version.

pub mod queries;
pub mod routes;

use photosync_protocol::v2::admin::{
    Health, Jobs, MediaFailure, MediaJobs, MissingProgram, ReadingBack, Retried, Settings, Storage,
    StoragePlace, Updates,
};

use crate::accounts::devices;
use crate::boot::App;
use crate::doctor::{self, Server};
use crate::error::{Error, Result};
use crate::updates::{self, install};
use crate::upkeep::backup;
use crate::upkeep::scrub::{self, STORES};

/// How much is stored, and how much room there is.
pub async fn storage(app: &App) -> Result<Storage> {
    let sums = app.db.read(queries::sum_up).await?;
    let config = &app.config;
    let sealed = config.relay_chunks.as_ref().unwrap_or(&config.relay);
    Ok(Storage {
        places: vec![
            StoragePlace {
                holds: "originals".into(),
                path: config.uploads.display().to_string(),
                free_bytes: app.originals.free_bytes().await.ok(),
            },
            StoragePlace {
                holds: "sealed".into(),
                path: sealed.display().to_string(),
                free_bytes: app.relay_chunks.free_bytes().await.ok(),
            },
        ],
        reserve_bytes: app.originals.reserve_bytes(),
        held_count: sums.held_count,
        held_bytes: sums.held_bytes,
        sealed_bytes: sums.relay_bytes,
        trash_count: sums.trash_count,
        trash_bytes: sums.trash_bytes,
        trash_days: config.trash_days,
    })
}

/// What the server does by itself, and how far it is.
pub async fn jobs(app: &App) -> Result<Jobs> {
    let counts = crate::media::count(app).await?;
    let failed = counts.failed.into_iter();
    let missing = crate::media::missing_tools(&app.config).into_iter();
    let mut reading = Vec::new();
    for store in STORES {
        let oldest_at_ms = scrub::oldest_ms(app, store).await?;
        reading.push(ReadingBack { holds: store.name().to_owned(), oldest_at_ms });
    }
    Ok(Jobs {
        media: MediaJobs {
            waiting: counts.waiting,
            failed: failed.map(|(class, count)| MediaFailure { class, count }).collect(),
            missing_programs: missing
                .map(|(purpose, package)| MissingProgram {
                    purpose: purpose.to_owned(),
                    package: package.to_owned(),
                })
                .collect(),
        },
        reading,
        reading_days: app.config.scrub_days,
        backup: backup::status(app).await?,
        overdue: devices::list_overdue(app).await?,
    })
}

/// Tries previews again that could not be made, of one class of failures or of all.
pub async fn retry_media(app: &App, class: Option<String>) -> Result<Retried> {
    let count = crate::media::retry_failed(app, class).await?;
    Ok(Retried { count })
}

/// What the doctor says of the data and of what this process can do with it. It tries the disks, and leaves nothing there.
pub async fn health(app: &App) -> Result<Health> {
    let (config, clock) = (app.config.clone(), app.clock.clone());
    let findings =
        tokio::task::spawn_blocking(move || doctor::examine(&config, &clock, Server::Runs))
            .await
            .map_err(|source| Error::internal("look at this server").caused_by(source))?;
    Ok(Health { looked_at_ms: app.clock.now_ms(), findings })
}

/// Which version runs, and how a newer one gets here. Programs are replaced from the command line only: whoever has a
/// browser must not be able to.
pub fn updates(app: &App) -> Updates {
    let package_manager = app.media.program().and_then(install::package_manager);
    Updates {
        version: updates::running_version().to_owned(),
        newer_version: app.newer_version(),
        looks_daily: app.config.update_check,
        has_source: install::require_source(app.config.update_url.as_deref()).is_ok(),
        package_manager: package_manager.map(str::to_owned),
    }
}

/// Looks for a newer version now.
pub async fn look_for_updates(app: &App) -> Result<Updates> {
    updates::check::look_now(app).await?;
    Ok(updates(app))
}

/// Every setting with its value and where that came from; of secrets only whether there is one.
pub fn settings(app: &App) -> Settings {
    Settings {
        data_folder: app.config.data_dir.display().to_string(),
        settings: app.config.shown.clone(),
    }
}
