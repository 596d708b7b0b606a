//! Server-sent events: tells a page that the library changed, so that it asks what.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use photosync_protocol::error::ErrorCode;
use uuid::Uuid;

use super::queries;
use crate::boot::App;
use crate::clock::Stopwatch;
use crate::error::{Error, Result};

/// Streams that one session has open at the same time: as many tabs.
const MAX_STREAMS: usize = 8;
/// A line is sent this often although nothing changed, so that nobody in between takes the connection for a dead one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A line comes at most so often: an import changes the library with every file.
const TOGETHER: Duration = Duration::from_secs(1);
/// A stream ends after so long: the browser opens the next by itself, and is asked again who it is.
const LIFETIME_MS: u64 = 15 * 60 * 1000;

/// Streams by session.
#[derive(Default)]
pub struct Listeners {
    sessions: Mutex<HashMap<String, usize>>,
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream of a session, counted while it lives.
struct Listening {
    app: App,
    session_id: String,
}

impl Listening {
    fn begin(app: &App, session_id: &str) -> Result<Self> {
        let mut sessions = app.listeners.lock();
        let count = sessions.entry(session_id.to_owned()).or_default();
        if *count >= MAX_STREAMS {
            let message = "this session listens for changes often enough";
            return Err(Error::new(ErrorCode::TooManyRequests, message).retry_after(60));
        }
        *count += 1;
        drop(sessions);
        Ok(Self { app: app.clone(), session_id: session_id.to_owned() })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut sessions = self.app.listeners.lock();
        if let Some(count) = sessions.get_mut(&self.session_id) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.session_id);
            }
        }
    }
}

/// The version of the library now and after every change, as lines of server-sent events. Ends when the server stops.
pub fn listen(
    app: &App,
    account: Uuid,
    session_id: &str,
) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + 'static + use<>> {
    let listening = Listening::begin(app, session_id)?;
    // From here on no change is missed: the first version is read afterwards.
    let changes = app.changes.subscribe(account);
    let watch = Stopwatch::start();
    let begin = (listening, changes, None::<Stopwatch>);
    Ok(stream::try_unfold(begin, move |(listening, mut changes, told)| async move {
        let app = listening.app.clone();
        if let Some(last) = told {
            let changed = tokio::select! {
                () = app.stop_wanted() => return Ok(None),
                changed = tokio::time::timeout(KEEP_ALIVE, changes.changed()) => changed,
            };
            if watch.elapsed_ms() > LIFETIME_MS {
                return Ok(None);
            }
            if changed.is_err() {
                let line = Bytes::from_static(b": still here\n\n");
                return Ok(Some((line, (listening, changes, told))));
            }
            tokio::select! {
                () = app.stop_wanted() => return Ok(None),
                () = tokio::time::sleep(TOGETHER.saturating_sub(last.elapsed())) => {}
            }
            changes.mark_unchanged();
        }
        let totals = app.db.read(move |tx| queries::listed::find_totals(tx, account)).await;
        let (_, version) = totals.map_err(std::io::Error::other)?;
        let line = Bytes::from(format!("data: {{\"version\":{version}}}\n\n"));
        Ok(Some((line, (listening, changes, Some(Stopwatch::start())))))
    }))
}
