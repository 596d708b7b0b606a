//! Archives of originals, made while they are sent. What is in one is written down when it is asked for, so that its length is
//! exact; a file that is gone or damaged by then ends the connection, so that nobody takes a part for the whole.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use photosync_protocol::names::stored_name;
use photosync_protocol::v2::library::{Download, MAX_TILES, NewDownload};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::edits::{distinct, require_few};
use super::queries::downloads::{self as sql, ToPack};
use super::queries::edits::list_moving_ids;
use super::zip::{self, Packed, Sent};
use super::{STEP_ROWS, listing};
use crate::albums;
use crate::auth::random_id;
use crate::boot::App;
use crate::db::{DbResult, Tx};
use crate::error::{Error, Result};

/// How long an archive can be fetched: an hour.
const LIFETIME_MS: i64 = 3_600_000;
/// Archives of an account that wait at the same time; the oldest goes for a new one.
const MAX_WAITING: usize = 8;
/// Bytes read from disk at once.
const PIECE_BYTES: u64 = 256 * 1024;
/// Entries of the directory that are sent at once.
const STEP_ENTRIES: usize = 500;

/// One archive: about 150 bytes of memory for each file.
#[derive(Debug)]
pub struct Plan {
    account: Uuid,
    expires_at_ms: i64,
    /// What it is called when it is saved.
    pub name: String,
    /// Exact length.
    pub size_bytes: u64,
    files: Vec<(Box<str>, Packed)>,
}

/// Archives that can be fetched, by id.
#[derive(Default)]
pub struct Downloads {
    plans: Mutex<HashMap<String, Arc<Plan>>>,
}

impl Downloads {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Plan>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, id: String, plan: Plan, now_ms: i64) {
        let mut plans = self.lock();
        plans.retain(|_, other| other.expires_at_ms > now_ms);
        let account = plan.account;
        let own = || plans.iter().filter(|(_, other)| other.account == account);
        if own().count() >= MAX_WAITING {
            let oldest = own().min_by_key(|(_, other)| other.expires_at_ms);
            let oldest = oldest.map(|(id, _)| id.clone()).unwrap_or_default();
            plans.remove(&oldest);
        }
        plans.insert(id, Arc::new(plan));
    }

    fn find(&self, id: &str, account: Uuid, now_ms: i64) -> Option<Arc<Plan>> {
        let plan = self.lock().get(id).cloned();
        plan.filter(|plan| plan.account == account && plan.expires_at_ms > now_ms)
    }
}

/// Writes down what is in an archive, and says how long it will be.
pub async fn create(app: &App, account: Uuid, wanted: NewDownload) -> Result<Download> {
    require_few(&wanted.ids)?;
    let given = [!wanted.ids.is_empty(), wanted.album.is_some(), wanted.everything];
    if given.iter().filter(|is_given| **is_given).count() != 1 {
        return Err(Error::bad_request("say either ids, or album, or everything"));
    }
    let now_ms = app.clock.now_ms();
    let mut title = format!("photosync-{}", &crate::clock::iso_utc(now_ms)[..10]);
    let rows = if let Some(album_id) = &wanted.album {
        title = albums::get(app, account, album_id).await?.name;
        let ids = list_album(app, account, album_id).await?;
        list_chosen(app, account, ids).await?
    } else if wanted.everything {
        list_everything(app, account).await?
    } else {
        list_chosen(app, account, wanted.ids).await?
    };
    if rows.is_empty() {
        return Err(Error::not_found("none of these files is there"));
    }
    let files: Vec<(Box<str>, Packed)> = rows.into_iter().map(packed).collect();
    let plan = Plan {
        account,
        expires_at_ms: now_ms + LIFETIME_MS,
        name: stored_name(&format!("{title}.zip")),
        size_bytes: zip::length_of(files.iter().map(|(_, file)| file)),
        files,
    };
    let id = random_id();
    let told = Download {
        path: format!("/api/v2/library/downloads/{id}"),
        size_bytes: plan.size_bytes,
        files: plan.files.len() as u64,
    };
    app.downloads.keep(id, plan, now_ms);
    Ok(told)
}

fn packed(row: ToPack) -> (Box<str>, Packed) {
    // The name that the disk has for it: no two held files of an account share one, whatever their case, and every system
    // that unpacks the archive can keep it.
    let size_bytes = u64::try_from(row.size_bytes).unwrap_or(0);
    let file = Packed { name: row.stored_name.into(), size_bytes, wall_ms: row.taken_ms };
    (row.asset_id.into(), file)
}

async fn list_album(app: &App, account: Uuid, album_id: &str) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = albums::list_tiles(app, account, album_id, after.as_deref(), MAX_TILES).await?;
        ids.extend(page.tiles.into_iter().map(|tile| tile.id));
        if page.next.is_none() {
            return Ok(ids);
        }
        after = page.next;
    }
}

/// The held ones of these, each with its moving halves.
async fn list_chosen(app: &App, account: Uuid, ids: Vec<String>) -> Result<Vec<ToPack>> {
    let mut rows: Vec<ToPack> = Vec::new();
    for step in distinct(ids).chunks(STEP_ROWS as usize) {
        let step = step.to_vec();
        rows.append(&mut app.db.read(move |tx| find_all(tx, account, &step)).await?);
    }
    // A half that was chosen itself came with its still already.
    let mut seen = std::collections::HashSet::new();
    rows.retain(|row| seen.insert(row.asset_id.clone()));
    Ok(rows)
}

fn find_all(tx: &mut dyn Tx, account: Uuid, ids: &[String]) -> DbResult<Vec<ToPack>> {
    let mut rows = Vec::new();
    for id in ids {
        rows.extend(sql::find_to_pack(tx, account, id)?);
        for half in list_moving_ids(tx, account, id)? {
            rows.extend(sql::find_to_pack(tx, account, &half)?);
        }
    }
    Ok(rows)
}

async fn list_everything(app: &App, account: Uuid) -> Result<Vec<ToPack>> {
    let mut rows: Vec<ToPack> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.seq);
        let mut step =
            app.db.read(move |tx| sql::list_to_pack(tx, account, after, STEP_ROWS)).await?;
        let is_end = (step.len() as i64) < STEP_ROWS;
        rows.append(&mut step);
        if is_end {
            return Ok(rows);
        }
    }
}

/// An archive that can still be fetched.
pub fn get(app: &App, account: Uuid, id: &str) -> Result<Arc<Plan>> {
    app.downloads
        .find(id, account, app.clock.now_ms())
        .ok_or_else(|| Error::not_found("there is no such download, or its hour is over"))
}

/// A file that is being sent.
struct Open {
    file: File,
    left: u64,
    crc: crc32fast::Hasher,
    hash: Sha256,
    digest: [u8; 32],
}

/// How far an archive is.
struct Sending {
    app: App,
    plan: Arc<Plan>,
    open: Option<Open>,
    sent: Vec<Sent>,
    offset: u64,
    listed: usize,
    directory_bytes: u64,
    is_done: bool,
}

/// The bytes of an archive, as fast as they are taken.
pub fn send(
    app: &App,
    plan: Arc<Plan>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static + use<> {
    let sending = Sending {
        app: app.clone(),
        plan,
        open: None,
        sent: Vec::new(),
        offset: 0,
        listed: 0,
        directory_bytes: 0,
        is_done: false,
    };
    stream::try_unfold(sending, |mut sending| async move {
        match sending.next().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, sending))),
            Err(error) => {
                let account = sending.plan.account;
                tracing::warn!(%account, %error, causes = error.cause_chain(), "an archive was cut off");
                Err(std::io::Error::other(error))
            }
        }
    })
}

impl Sending {
    /// The next bytes; `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(open) = self.open.take() {
            return self.go_on(open).await.map(Some);
        }
        let plan = self.plan.clone();
        if let Some((asset_id, file)) = plan.files.get(self.sent.len()) {
            let original = listing::open_by_id(&self.app, plan.account, asset_id).await?;
            let asset = original.asset;
            if u64::try_from(asset.size_bytes) != Ok(file.size_bytes) {
                return Err(Error::internal("send a file that has another length by now"));
            }
            self.open = Some(Open {
                file: original.file,
                left: file.size_bytes,
                crc: crc32fast::Hasher::new(),
                hash: Sha256::new(),
                digest: asset.digest,
            });
            return Ok(Some(file.header().into()));
        }
        if self.listed < plan.files.len() {
            let to = plan.files.len().min(self.listed + STEP_ENTRIES);
            let mut piece = Vec::new();
            for index in self.listed..to {
                piece.extend(plan.files[index].1.entry(self.sent[index]));
            }
            self.listed = to;
            self.directory_bytes += piece.len() as u64;
            return Ok(Some(piece.into()));
        }
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(None);
        }
        let count = plan.files.len() as u64;
        Ok(Some(zip::end(count, self.offset, self.directory_bytes).into()))
    }

    /// The next piece of a file, or what stands after its last.
    async fn go_on(&mut self, open: Open) -> Result<Bytes> {
        if open.left > 0 {
            let read = tokio::task::spawn_blocking(move || read_piece(open));
            let read = read.await.map_err(std::io::Error::other).and_then(|read| read);
            let (open, piece) =
                read.map_err(|source| Error::internal("read an original").caused_by(source))?;
            self.open = Some(open);
            return Ok(piece);
        }
        let file = &self.plan.files[self.sent.len()].1;
        let is_right: [u8; 32] = open.hash.finalize().into();
        if is_right != open.digest {
            return Err(Error::internal("send a file whose bytes are damaged"));
        }
        let crc = open.crc.finalize();
        let descriptor = file.descriptor(crc);
        let offset = self.offset;
        self.offset += file.header().len() as u64 + file.size_bytes + descriptor.len() as u64;
        self.sent.push(Sent { crc, offset });
        Ok(descriptor.into())
    }
}

fn read_piece(mut open: Open) -> std::io::Result<(Open, Bytes)> {
    crate::fault::point("read")?;
    let wanted = open.left.min(PIECE_BYTES);
    let mut piece = vec![0; usize::try_from(wanted).unwrap_or(0)];
    open.file.read_exact(&mut piece)?;
    open.crc.update(&piece);
    open.hash.update(&piece);
    open.left -= wanted;
    Ok((open, piece.into()))
}
