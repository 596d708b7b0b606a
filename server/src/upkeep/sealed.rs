//! Looking after the relay: collecting what no backup uses, reading every object back in turn, comparing objects with
//! the disk, and finding their order again. The server can open none of them; it knows only what clients said.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::check::Report;
use super::verify::read_back;
use crate::accounts;
use crate::accounts::queries::{find_fact, set_fact};
use crate::blobs::{Key, LocalStore, hash_file};
use crate::boot::App;
use crate::clock::DAY_MS;
use crate::db::DbResult;
use crate::error::{Error, Result};
use crate::relay::queries::chains::{self, Link};
use crate::relay::queries::objects::{self, Object};
use crate::relay::{damage, journal, parse_chunk_id};

/// Rows that one transaction looks at.
const STEP_ROWS: i64 = 1000;
/// Pause after a failure of the disk or the database.
const PAUSE: Duration = Duration::from_secs(60);
/// Objects between two notes of how far the reading is: so many are read again after a crash.
const NOTE_EVERY: u32 = 100;
/// Bytes that an object counts as at least: opening one costs as much as reading this.
const LEAST_BYTES: i64 = 16 * 1024;
/// Slowest reading, bytes a second.
const LEAST_RATE: i64 = 256 * 1024;
/// The fact that says how far the reading is.
const SCRUB_FACT: &str = "relay_scrub";

/// Puts in the trash what came by version 2 longer ago than the grace time and is named by no segment. Returns how
/// many objects. Files stay where they are until the trash period is over; one that is just being sent again comes
/// back with its row.
pub async fn collect(app: &App) -> Result<usize> {
    let now_ms = app.clock.now_ms();
    let before_ms = now_ms - app.config.relay_grace_days * DAY_MS;
    let mut collected = 0;
    loop {
        // Looked for by reading: a transaction that writes nothing would still wake the disk.
        if !app.db.read(move |tx| objects::has_collectable(tx, before_ms)).await? {
            return Ok(collected);
        }
        let step =
            app.db.write(move |tx| objects::collect(tx, before_ms, now_ms, STEP_ROWS)).await?;
        collected += step;
    }
}

/// Runs until it is dropped: reads every object back once in `storage.relay_scrub_days`, at low priority. Damaged ones
/// are not held any more, so that clients send them again.
pub async fn scrub(app: App) {
    if app.config.relay_scrub_days <= 0 {
        return;
    }
    loop {
        let wait = match scrub_pass(&app, |cost| cost).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, causes = error.cause_chain(), "reading sealed objects back stopped; it goes on later");
                PAUSE
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// How far the reading is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    /// When this round began, Unix milliseconds.
    began_at_ms: i64,
    account: String,
    chunk_id: String,
}

impl Cursor {
    fn start(began_at_ms: i64) -> Self {
        Self { began_at_ms, account: String::new(), chunk_id: String::new() }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let began_at_ms = parts.next()?.parse().ok()?;
        let (account, chunk_id) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { began_at_ms, account, chunk_id })
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.began_at_ms, self.account, self.chunk_id)
    }
}

/// Goes on with the round to its end without a rest, or begins the next one if its days are over. Returns how many
/// objects were read.
#[cfg(test)]
pub(crate) async fn read_all_back(app: &App) -> Result<u64> {
    let mut read = 0;
    scrub_pass(app, |_| {
        read += 1;
        Duration::ZERO
    })
    .await?;
    Ok(read)
}

/// Goes on with the round; returns how long to rest after it. `pause`: how long to rest after so many milliseconds'
/// worth of reading.
async fn scrub_pass(app: &App, mut pause: impl FnMut(Duration) -> Duration) -> Result<Duration> {
    let days_ms = app.config.relay_scrub_days.saturating_mul(DAY_MS);
    let noted: Option<String> = app.db.read(|tx| find_fact(tx, SCRUB_FACT)).await?;
    let now_ms = app.clock.now_ms();
    let noted = noted.as_deref().and_then(Cursor::parse);
    let mut cursor = noted.unwrap_or_else(|| Cursor::start(now_ms));
    let bytes: i64 = accounts::list(app).await?.iter().map(|account| account.relay_bytes).sum();
    // Twice as fast as needed, for the server does not run all the time.
    let rate = (bytes / (days_ms / 1000).max(1) * 2).max(LEAST_RATE);
    let mut since_note = 0;
    while let Some(size_bytes) = scrub_next(app, &mut cursor).await? {
        since_note += 1;
        if since_note == NOTE_EVERY {
            since_note = 0;
            note(app, &cursor).await?;
        }
        let cost_ms = size_bytes.max(LEAST_BYTES).saturating_mul(1000) / rate;
        let cost = Duration::from_millis(u64::try_from(cost_ms).unwrap_or(0));
        tokio::time::sleep(pause(cost)).await;
    }
    let now_ms = app.clock.now_ms();
    let rest_ms = (cursor.began_at_ms + days_ms - now_ms).clamp(0, DAY_MS);
    if cursor.began_at_ms + days_ms <= now_ms {
        note(app, &Cursor::start(now_ms)).await?;
    } else if since_note > 0 {
        note(app, &cursor).await?;
    }
    // At least a minute: an empty relay has nothing to read.
    Ok(Duration::from_millis(u64::try_from(rest_ms).unwrap_or(0)).max(PAUSE))
}

async fn note(app: &App, cursor: &Cursor) -> Result<()> {
    let text = cursor.text();
    Ok(app.db.write(move |tx| set_fact(tx, SCRUB_FACT, &text)).await?)
}

/// Reads the next object back; its length, or `None` at the end.
async fn scrub_next(app: &App, cursor: &mut Cursor) -> Result<Option<i64>> {
    let (account, after) = (cursor.account.clone(), cursor.chunk_id.clone());
    let next = app.db.read(move |tx| objects::list_next(tx, &account, &after, 1)).await?;
    let Some((account, object)) = next.into_iter().next() else { return Ok(None) };
    cursor.account = account.to_string();
    cursor.chunk_id.clone_from(&object.chunk_id);
    if object.is_damaged {
        return Ok(Some(0));
    }
    let path = app.relay_chunks.path(&Key::chunk(account, &object.chunk_id));
    match read_back(path).await {
        Ok((digest, _)) if hex::encode(digest) == object.chunk_id => {}
        // Gone with its row, sent again, or really damaged: this is decided under the lock of its bytes.
        Ok(_) | Err(_) => {
            let noted = damage::note(app, account, &object.chunk_id).await;
            if app.relay_chunks.find_volume_id().await.is_none() {
                noted?;
            } else if let Err(error) = noted {
                // Nobody knows about this one, but the others wait.
                let (chunk, causes) = (&object.chunk_id, error.cause_chain());
                tracing::warn!(%account, chunk, %error, causes, "a sealed object could not be read back");
            }
        }
    }
    Ok(Some(object.size_bytes))
}

/// Compares every sealed object outside the trash with its file (length always, bytes if `read_bytes`), every file with
/// its row, and every place in a chain with its object. Version-1 manifests are not looked at.
pub async fn check(app: &App, read_bytes: bool, report: &mut Report) -> Result<()> {
    let (mut account, mut after) = (String::new(), String::new());
    loop {
        let (from, start) = (account.clone(), after.clone());
        let page = app.db.read(move |tx| objects::list_next(tx, &from, &start, STEP_ROWS)).await?;
        let Some((last_account, last)) = page.last() else { break };
        account = last_account.to_string();
        after.clone_from(&last.chunk_id);
        let store = app.relay_chunks.clone();
        let look = move || -> Vec<(Uuid, Object, Option<String>)> {
            let look = |(account, object): (Uuid, Object)| {
                let wrong = compare(&store, account, &object, read_bytes);
                (account, object, wrong)
            };
            page.into_iter().map(look).collect()
        };
        for (account, object, wrong) in blocking(look).await? {
            report.sealed += 1;
            let id = &object.chunk_id;
            if let Some(wrong) = wrong {
                report.disagreements.push(format!("{wrong}: the sealed object {id} of {account}"));
            } else if object.is_damaged {
                report.disagreements.push(format!(
                    "wanted: the sealed object {id} of {account} was found damaged and waits to be sent again"
                ));
            }
        }
    }
    let dangling = app.db.read(chains::list_dangling).await?;
    report.disagreements.extend(dangling.into_iter().map(|(account, link)| {
        let what = if link.writer.is_empty() { "keyring" } else { "segment" };
        format!("missing: {what} {} {} of {account} is not held", link.sequence, link.writer)
    }));
    check_files(app, report).await
}

/// What is wrong with the file of an object outside the trash.
fn compare(store: &LocalStore, account: Uuid, object: &Object, read_bytes: bool) -> Option<String> {
    let key = Key::chunk(account, &object.chunk_id);
    let found = match store.find_size_here(&key) {
        Ok(Some(found)) => found,
        Ok(None) => return Some("missing".into()),
        Err(error) => return Some(format!("unreadable ({})", error.source)),
    };
    if i64::try_from(found) != Ok(object.size_bytes) {
        return Some(format!("damaged ({found} bytes, the index says {})", object.size_bytes));
    }
    if !read_bytes {
        return None;
    }
    match hash_file(&store.path(&key)) {
        Ok((digest, _)) if hex::encode(digest) == object.chunk_id => None,
        Ok(_) => Some("damaged (the bytes have changed)".into()),
        Err(error) => Some(format!("unreadable ({error})")),
    }
}

/// Files of objects without a row. Nothing is wrong with one: an upload that was cut off between its name and its row,
/// or one that is just there.
async fn check_files(app: &App, report: &mut Report) -> Result<()> {
    for account in accounts::list(app).await? {
        let account = account.account_uuid;
        for folder in folders_of(app, account).await? {
            let names = list_files(folder).await?;
            report.files += names.len() as u64;
            for step in names.chunks(STEP_ROWS as usize) {
                let asked = step.to_vec();
                let known: HashSet<String> = app
                    .db
                    .read(move |tx| -> DbResult<HashSet<String>> {
                        let mut known = HashSet::new();
                        for id in asked {
                            if objects::has_row(tx, account, &id)? {
                                known.insert(id);
                            }
                        }
                        Ok(known)
                    })
                    .await?;
                let unknown = step.iter().filter(|name| !known.contains(*name));
                report.spares.extend(unknown.map(|name| {
                    format!("spare: the relay file {name} of {account} has no entry, and is kept if it is sent again")
                }));
            }
        }
    }
    Ok(())
}

/// The 256 folders of an account's objects; none if it has none.
async fn folders_of(app: &App, account: Uuid) -> Result<Vec<PathBuf>> {
    let folder = app.relay_chunks.account_folder(account).join("chunks");
    blocking(move || {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    })
    .await
}

async fn list_files(folder: PathBuf) -> Result<Vec<String>> {
    blocking(move || {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    })
    .await
}

/// Does work with files where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|source| Error::internal("look through the relay").caused_by(source))
}

/// Finds the order of an account's objects again after its database was lost: from what was written beside them.
/// Returns one sentence for each place whose object is not there.
pub async fn rebuild_order(app: &App, account: Uuid) -> Result<Vec<String>> {
    let (segments, keyrings) = journal::read(app, account).await?;
    let mut left = Vec::new();
    for link in segments.into_iter().chain(keyrings) {
        let place = match link.writer.as_str() {
            "" => format!("keyring {}", link.sequence),
            writer => format!("segment {} of the chain {writer}", link.sequence),
        };
        if !restore_place(app, account, link).await? {
            left.push(format!("{place} of {account} is not on disk"));
        }
    }
    Ok(left)
}

/// Gives an object its place again; false if it is not held.
async fn restore_place(app: &App, account: Uuid, link: Link) -> Result<bool> {
    if parse_chunk_id(&link.chunk_id).as_ref() != Some(&link.chunk_id) {
        return Ok(false);
    }
    let now_ms = app.clock.now_ms();
    app.db
        .write(move |tx| -> Result<bool> {
            let own = [link.chunk_id.clone()];
            if !objects::mark_live(tx, account, &own, now_ms)?.is_empty() {
                return Ok(false);
            }
            match link.writer.as_str() {
                "" => chains::store_keyring(tx, account, &link, "", now_ms)?,
                _ => chains::store_segment(tx, account, &link, "", now_ms)?,
            }
            Ok(true)
        })
        .await
}
