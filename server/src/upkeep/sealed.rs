//! Looking after the relay: collecting what no backup uses, reading objects back, comparing objects with the disk, and finding their order again. The server can open none of them; it knows only what clients said.

use std::collections::HashSet;
use std::path::PathBuf;

use uuid::Uuid;

use super::check::Report;
use super::scrub::{Looked, Passed, Place};
use super::sweep::Amount;
use super::verify::{hash_from_disk, read_back};
use crate::accounts;
use crate::blobs::{Key, LocalStore};
use crate::boot::App;
use crate::db::DbResult;
use crate::error::{Error, Result};
use crate::relay::queries::chains::{self, Link};
use crate::relay::queries::list_next_manifests;
use crate::relay::queries::objects::{self, Object};
use crate::relay::{damage, journal, parse_chunk_id};

/// Rows that one transaction looks at.
const STEP_ROWS: i64 = 1000;

/// Puts in the trash what came by version 2 before `before_ms` and is named by no segment. Returns how many objects, and
/// their bytes. Files stay where they are until the trash period is over; one that is just being sent again comes
/// back with its row.
pub async fn collect(app: &App, before_ms: i64) -> Result<Amount> {
    let now_ms = app.clock.now_ms();
    let mut collected = Amount::default();
    loop {
        // Looked for by reading: a transaction that writes nothing would still wake the disk.
        if !app.db.read(move |tx| objects::has_collectable(tx, before_ms)).await? {
            return Ok(collected);
        }
        let step =
            app.db.write(move |tx| objects::collect(tx, before_ms, now_ms, STEP_ROWS)).await?;
        step.into_iter().for_each(|bytes| collected.add(bytes));
    }
}

/// Reads the next object back; `None` at the end.
pub(super) async fn read_next(app: &App, place: &Place) -> Result<Option<Passed>> {
    let Place { account, after } = place.clone();
    let next = app.db.read(move |tx| objects::list_next(tx, &account, &after, 1)).await?;
    let Some((account, object)) = next.into_iter().next() else { return Ok(None) };
    let place = Place { account: account.to_string(), after: object.chunk_id.clone() };
    if object.is_damaged {
        return Ok(Some(Passed { place, read_bytes: 0, outcome: Looked::Well }));
    }
    let path = app.relay_chunks.path(&Key::chunk(account, &object.chunk_id));
    let outcome = match read_back(path).await {
        Ok((digest, _)) if hex::encode(digest) == object.chunk_id => Looked::Well,
        // Gone with its row, sent again, or really damaged: this is decided under the lock of its bytes.
        Ok(_) | Err(_) => match damage::note(app, account, &object.chunk_id).await {
            Ok(true) => Looked::Lost,
            Ok(false) => Looked::Well,
            Err(error) if app.relay_chunks.find_volume_id().await.is_none() => return Err(error),
            Err(error) => {
                // Nobody knows about this one, but the others wait.
                let (chunk, causes) = (&object.chunk_id, error.cause_chain());
                tracing::warn!(%account, chunk, %error, causes, "a sealed object could not be read back");
                Looked::Unread
            }
        },
    };
    let read_bytes = if outcome == Looked::Unread { 0 } else { object.size_bytes };
    Ok(Some(Passed { place, read_bytes, outcome }))
}

/// Compares every sealed object outside the trash with its file (length always, bytes if `read_bytes`), every file with
/// its row, every place in a chain with its object, and every manifest of version 1 with its length.
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
    check_manifests(app, report).await?;
    check_files(app, report).await
}

/// Compares every manifest of version 1 outside the trash with the length of its file: no row knows its hash.
async fn check_manifests(app: &App, report: &mut Report) -> Result<()> {
    let (mut account, mut after) = (String::new(), String::new());
    loop {
        let (from, start) = (account.clone(), after.clone());
        let page = app.db.read(move |tx| list_next_manifests(tx, &from, &start, STEP_ROWS)).await?;
        let Some((last_account, last, _)) = page.last() else { return Ok(()) };
        account = last_account.to_string();
        after.clone_from(last);
        let store = app.relay.clone();
        let look = move || -> Vec<String> {
            let look = |(account, id, size_bytes): (Uuid, String, i64)| {
                let wrong = match store.find_size_here(&Key::manifest(account, &id)) {
                    Ok(Some(found)) if i64::try_from(found) == Ok(size_bytes) => return None,
                    Ok(Some(found)) => {
                        format!("damaged ({found} bytes, the index says {size_bytes})")
                    }
                    Ok(None) => "missing".into(),
                    Err(error) => format!("unreadable ({})", error.source),
                };
                Some(format!("{wrong}: the sealed manifest {id} of {account}"))
            };
            page.into_iter().filter_map(look).collect()
        };
        report.disagreements.extend(blocking(look).await?);
    }
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
    match hash_from_disk(&store.path(&key)) {
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
