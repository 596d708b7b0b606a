//! Continuous backup: runs again when something appears, and now and then in any case.
//!
//! Notices of the operating system only say when to look; what is to be done is always found by looking. So a notice
//! that is lost costs time, never a photo.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::backup::{self, Options};
use crate::connection::Connection;
use crate::error::{Error, Kind, Result};
use crate::pause::Pauses;
use crate::profile::Profile;
use crate::report::Event;

/// Quiet time after the last change before a run begins: 2 s, for a camera writes a file in several steps.
const QUIET: Duration = Duration::from_secs(2);
/// Without any notice a run begins all the same: 15 minutes. Network drives tell nothing.
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);
/// A stream of changes delays a run at most so long: 30 s.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Backs up again and again until the run is interrupted, and then answers that error. A server that is away is waited
/// for; only a server that refuses this device ends it.
pub async fn run(connection: Arc<Connection>, profile: &Profile, options: &Options) -> Result<()> {
    let changed = Arc::new(Notify::new());
    let watcher = watch(options.paths.clone(), changed.clone());
    if let Err(error) = &watcher {
        let text = format!("{error}; looking every 15 minutes instead");
        connection.report().event(&Event::Note { text });
    }
    let mut pauses = Pauses::default();
    loop {
        match backup::run(connection.clone(), profile, options).await {
            Ok(_) => pauses.reset(),
            Err(error) if matches!(error.kind, Kind::Unreachable | Kind::Refused) => {
                let pause = pauses.next(None);
                let wait_s = pause.as_secs_f64();
                connection.report().event(&Event::Waiting { reason: error.message, wait_s });
                connection.unless_stopped(tokio::time::sleep(pause)).await?;
                continue;
            }
            Err(error) => return Err(error),
        }
        connection.unless_stopped(wait(&changed)).await?;
    }
}

/// Until something changed and then nothing for a while, or long enough.
async fn wait(changed: &Notify) {
    let first = tokio::time::timeout(LONGEST_REST, changed.notified()).await;
    if first.is_err() {
        return;
    }
    let settle = async { while tokio::time::timeout(QUIET, changed.notified()).await.is_ok() {} };
    let _ = tokio::time::timeout(LONGEST_DELAY, settle).await;
}

fn watch(paths: Vec<PathBuf>, changed: Arc<Notify>) -> Result<notify::RecommendedWatcher> {
    let failed = |cause: notify::Error| {
        Error::new(Kind::Storage, format!("changes of the folders cannot be watched: {cause}"))
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            changed.notify_one();
        }
    })
    .map_err(failed)?;
    for path in paths {
        watcher.watch(&path, RecursiveMode::Recursive).map_err(failed)?;
    }
    Ok(watcher)
}
