//! How an unfinished upload becomes durable: while it grows, a moment after each request, and when the server stops.
//! Only that much of it is relied on after a power cut (`recover`).

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::receive::expiry;
use super::registry::Entry;
use super::{queries, recover};
use crate::blobs::ResumableHandle;
use crate::boot::App;
use crate::db::DbError;

/// Bytes after which a growing file is made durable up to here, beside the receiving …
pub(super) const SYNC_BYTES: u64 = 32 * 1024 * 1024;
/// … and how long after the end of a request fewer of them wait. A sync makes the file system commit and the database
/// too: for each request of a client that sends small ones it would cost more than its bytes.
const SYNC_PAUSE: Duration = Duration::from_secs(1);
/// Longest time that a server that stops takes for it: with the 5 s its requests get, less than the 10 s after which a
/// tray app kills it.
const STOP_WAIT: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Wish {
    /// The file, and the length that should become durable.
    wanted: Option<(ResumableHandle, u64)>,
    /// Length of the newest attempt.
    begun_bytes: u64,
    /// Whether a task sees to it.
    has_task: bool,
}

/// What should become durable of one upload, and who sees to it.
#[derive(Default)]
pub(super) struct Sync {
    wish: Mutex<Wish>,
    /// So much waits that the task should not wait for more.
    enough: Notify,
    /// Held while the file is made durable or cut off: a failure shows before anything else relies on it, and nothing
    /// counts as durable that was cut off meanwhile.
    pub(super) running: AsyncMutex<()>,
}

impl Sync {
    fn lock(&self) -> MutexGuard<'_, Wish> {
        match self.wish.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Notes what should become durable, at once when [`SYNC_BYTES`] wait for it. Whether there must be a task for it.
    fn want(&self, handle: ResumableHandle, length_bytes: u64) -> bool {
        let mut wish = self.lock();
        if length_bytes.saturating_sub(wish.begun_bytes) >= SYNC_BYTES {
            self.enough.notify_one();
        }
        wish.wanted = Some((handle, length_bytes));
        !std::mem::replace(&mut wish.has_task, true)
    }

    /// What its task should see to now.
    fn next(&self) -> Option<(ResumableHandle, u64)> {
        let mut wish = self.lock();
        let next = wish.wanted.take();
        if let Some((_, length_bytes)) = &next {
            wish.begun_bytes = *length_bytes;
        }
        next
    }

    /// Whether its task ends, because nobody wants more.
    fn ends(&self) -> bool {
        let mut wish = self.lock();
        wish.has_task = wish.wanted.is_some();
        !wish.has_task
    }

    /// The file has so many bytes, and all of them are durable.
    pub(super) fn note_all(&self, length_bytes: u64) {
        let mut wish = self.lock();
        wish.wanted = None;
        wish.begun_bytes = length_bytes;
    }
}

/// Makes the first `length_bytes` durable and then says so in the database, in a task of its own: at once when
/// [`SYNC_BYTES`] wait for it, otherwise [`SYNC_PAUSE`] later. One at a time for each upload, with the newest wish.
pub fn make_durable(
    app: &App,
    id: &str,
    entry: &Arc<Entry>,
    handle: ResumableHandle,
    length_bytes: u64,
) {
    if !entry.sync.want(handle, length_bytes) {
        return;
    }
    let (app, id, entry) = (app.clone(), id.to_owned(), entry.clone());
    tokio::spawn(async move {
        loop {
            // Either way it is time.
            let _ = tokio::time::timeout(SYNC_PAUSE, entry.sync.enough.notified()).await;
            let running = entry.sync.running.lock().await;
            if let Some((handle, length_bytes)) = entry.sync.next() {
                sync_once(&app, &id, &entry, handle, length_bytes).await;
            }
            drop(running);
            if entry.sync.ends() {
                return;
            }
        }
    });
}

/// Makes every unfinished upload durable before the server stops, so that a restart of the machine costs none of its
/// bytes. Requests that still receive end here.
pub async fn make_all_durable(app: &App) {
    // All at once: one that is being completed may take longer than this waits.
    let all = join_all(app.tus.list().into_iter().map(async |id| {
        let Ok(turn) = app.tus.take_over(&id).await else { return false };
        let _running = turn.entry.sync.running.lock().await;
        if let Some((handle, length_bytes)) = turn.entry.sync.next() {
            sync_once(app, &id, &turn.entry, handle, length_bytes).await;
            // Its task has nothing left to wait for.
            turn.entry.sync.enough.notify_one();
        }
        true
    }));
    let reached = tokio::time::timeout(STOP_WAIT, all).await;
    if !reached.is_ok_and(|all| all.into_iter().all(|is_reached| is_reached)) {
        tracing::warn!(
            "stopping: some unfinished uploads are still busy; a restart of the machine may cost the end of them"
        );
    }
}

async fn sync_once(app: &App, id: &str, entry: &Entry, handle: ResumableHandle, length_bytes: u64) {
    let sync = move || handle.sync().map(|()| handle.release(length_bytes));
    let synced = tokio::task::spawn_blocking(sync).await;
    if let Ok(Err(error)) = &synced {
        // What the disk dropped is never written again by itself: these bytes are asked for once more.
        entry.note_damage();
        recover::distrust_files(app).await;
        tracing::error!(upload = id, %error, cause = %error.source, "an upload could not be made durable");
    }
    // The disk says only once that it dropped something: after that a success means nothing.
    if !matches!(synced, Ok(Ok(()))) || entry.is_damaged() {
        return;
    }
    let (id, expires_at_ms) = (id.to_owned(), expiry(app));
    let synced_bytes = i64::try_from(length_bytes).unwrap_or(i64::MAX);
    let noted: std::result::Result<(), DbError> =
        app.db.write(move |tx| queries::raise_synced(tx, &id, synced_bytes, expires_at_ms)).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "how far an upload is durable could not be noted; a power cut would cost more of it");
    }
}
