//! Takes the bytes of one request into an upload's file, in pieces, while watching for a newer request.
//!
//! Whatever reached the server counts, however the request ended: it is written before anybody hears of the end.
//! Memory: one piece waiting, one being written, and a bounded number that wait for their hash.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha1::Digest as _;
use tokio::task::JoinHandle;

use super::durable::{SYNC_BYTES, make_durable};
use super::registry::{Entry, Turn};
use super::rules::{Algorithm, Checksum};
use crate::blobs::{BlobError, Resumable};
use crate::boot::App;
use crate::clock::{DAY_MS, Stopwatch};
use crate::error::{Error, Result};

/// Bytes gathered before they are written: enough that a change of threads costs little, and no more than a newer
/// request can wait for …
const PIECE_BYTES: usize = 1024 * 1024;
/// … in so many parts at most: each costs some memory of its own, however short it is.
const PIECE_PARTS: usize = 4096;
/// A client that sends slowly has what it sent written after this pause.
const PAUSE: Duration = Duration::from_millis(200);
/// A request that is taken over may still bring what reached this machine already: it ends after this silence …
const LAST_SILENCE: Duration = Duration::from_millis(20);
/// … and after this many milliseconds at the latest.
const LAST_CALL_MS: u64 = 150;
/// Bytes of one request that came over a longer time than this become durable, however few they are.
const SLOW_MS: i64 = 10_000;
/// Free space is looked at again after so many bytes.
const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// How a request's bytes ended.
#[derive(Debug)]
pub enum End {
    /// With the last one.
    Whole,
    /// The connection broke, or fell silent for too long.
    Broken(io::Error),
    /// A newer request took over.
    Preempted,
    /// More came than the upload takes; the surplus was not written.
    TooLong,
    /// The disk refused.
    Disk(BlobError),
    /// The bytes do not have their checksum, or ended before it could be compared: none was kept.
    ChecksumMismatch,
}

/// Receives `body` at the end of the open file of `turn`; takes `most_bytes` at most. The file stays in the turn.
pub async fn receive(
    app: &App,
    id: &str,
    turn: &mut Turn,
    body: impl Stream<Item = io::Result<Bytes>> + Unpin,
    most_bytes: Option<u64>,
    checksum: Option<Checksum>,
) -> Result<End> {
    let open = turn.open.take().ok_or_else(|| Error::internal("find the open upload"))?;
    let mark = if checksum.is_some() { Some(open.mark().await) } else { None };
    let mut writer = Writer {
        app,
        id,
        entry: turn.entry.clone(),
        synced_bytes: open.length_bytes(),
        synced_at_ms: app.clock.now_ms(),
        checked_bytes: open.length_bytes(),
        // Until the checksum is compared, nothing of the piece may count as durable.
        syncs: checksum.is_none(),
        open: Some(open),
        running: None,
    };
    let mut summing = checksum.map(Summing::new);
    let mut end = pump(app, turn, body, most_bytes, &mut writer, summing.as_mut()).await;
    let Some(mut open) = writer.open.take() else {
        // Part of a piece may be in the file. Only a piece with a checksum may not stay.
        if mark.is_some() {
            turn.entry.note_damage();
        }
        return Err(lost().into());
    };
    if let (Some(summing), Some(mark)) = (summing, mark) {
        let is_right = matches!(end, End::Whole) && summing.matches();
        if !is_right {
            open = match app.originals.go_back(open, mark).await {
                Ok(open) => open,
                Err(error) => {
                    // Its bytes are in the file still.
                    turn.entry.note_damage();
                    return Err(error.into());
                }
            };
        }
        if matches!(end, End::Whole) && !is_right {
            end = End::ChecksumMismatch;
        }
    }
    *turn.open = Some(open);
    Ok(end)
}

async fn pump(
    app: &App,
    turn: &mut Turn,
    mut body: impl Stream<Item = io::Result<Bytes>> + Unpin,
    most_bytes: Option<u64>,
    writer: &mut Writer<'_>,
    mut summing: Option<&mut Summing>,
) -> End {
    let entry = turn.entry.clone();
    let (mut buffer, mut buffered_bytes, mut taken_bytes) = (Vec::new(), 0, 0_u64);
    let mut last_call = None;
    let end = loop {
        if last_call.is_some_and(|began: Stopwatch| began.elapsed_ms() > LAST_CALL_MS) {
            break End::Preempted;
        }
        let next = tokio::select! {
            biased;
            () = turn.preempted(), if last_call.is_none() => {
                last_call = Some(Stopwatch::start());
                continue;
            }
            next = body.next() => next,
            () = tokio::time::sleep(LAST_SILENCE), if last_call.is_some() => break End::Preempted,
            () = tokio::time::sleep(PAUSE), if buffered_bytes > 0 => {
                if let Err(error) = writer.write(std::mem::take(&mut buffer)).await {
                    return End::Disk(error);
                }
                buffered_bytes = 0;
                continue;
            }
        };
        let bytes = match next {
            None => break End::Whole,
            Some(Err(error)) => break End::Broken(error),
            Some(Ok(bytes)) => bytes,
        };
        taken_bytes += bytes.len() as u64;
        if most_bytes.is_some_and(|most| taken_bytes > most) {
            break End::TooLong;
        }
        app.metrics.received_bytes.inc_by(bytes.len() as u64);
        if let Some(summing) = &mut summing {
            summing.update(&bytes);
        }
        entry.note_received(app.clock.now_ms());
        buffered_bytes += bytes.len();
        buffer.push(bytes);
        if buffered_bytes < PIECE_BYTES && buffer.len() < PIECE_PARTS {
            continue;
        }
        buffered_bytes = 0;
        if let Err(error) = writer.write(std::mem::take(&mut buffer)).await {
            return End::Disk(error);
        }
    };
    if let Err(error) = writer.write(buffer).await {
        return End::Disk(error);
    }
    match writer.settle().await {
        Ok(()) => end,
        Err(error) => End::Disk(error),
    }
}

/// Writes one piece while the next one arrives.
struct Writer<'a> {
    app: &'a App,
    id: &'a str,
    entry: Arc<Entry>,
    open: Option<Resumable>,
    running: Option<JoinHandle<std::result::Result<(Resumable, Written), BlobError>>>,
    synced_bytes: u64,
    synced_at_ms: i64,
    checked_bytes: u64,
    syncs: bool,
}

type Written = std::result::Result<(), BlobError>;

impl Writer<'_> {
    /// Begins to write a piece once the one before it is written.
    async fn write(&mut self, pieces: Vec<Bytes>) -> Written {
        self.settle().await?;
        let Some(open) = self.open.take() else { return Err(lost()) };
        if pieces.is_empty() {
            self.open = Some(open);
            return Ok(());
        }
        let length_bytes = open.length_bytes();
        if length_bytes - self.checked_bytes >= SPACE_CHECK_BYTES {
            self.checked_bytes = length_bytes;
            if let Err(error) = self.app.originals.require_room(0).await {
                self.open = Some(open);
                return Err(error);
            }
        }
        let (now_ms, waiting_bytes) = (self.app.clock.now_ms(), length_bytes - self.synced_bytes);
        let is_time = waiting_bytes >= SYNC_BYTES
            || (waiting_bytes > 0 && now_ms - self.synced_at_ms >= SLOW_MS);
        if self.syncs && is_time {
            (self.synced_bytes, self.synced_at_ms) = (length_bytes, now_ms);
            make_durable(self.app, self.id, &self.entry, open.handle(), length_bytes);
        }
        let store = self.app.originals.clone();
        let task = async move { store.append_resumable(open, pieces).await };
        self.running = Some(tokio::spawn(task));
        Ok(())
    }

    /// Waits for the piece that is being written.
    async fn settle(&mut self) -> Written {
        let Some(running) = self.running.take() else { return Ok(()) };
        let joined = running
            .await
            .map_err(|source| BlobError::new("write", "an upload", io::Error::other(source)))?;
        let (open, outcome) = joined?;
        self.open = Some(open);
        outcome
    }
}

fn lost() -> BlobError {
    BlobError::new("go on with", "an upload that failed", io::Error::other("it failed"))
}

/// When an upload expires that somebody works on now.
pub fn expiry(app: &App) -> i64 {
    app.clock.now_ms() + app.config.upload_expires_days * DAY_MS
}

/// The checksum of a piece while it arrives.
struct Summing {
    wanted: Vec<u8>,
    state: SummingState,
}

enum SummingState {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Summing {
    fn new(checksum: Checksum) -> Self {
        let state = match checksum.algorithm {
            Algorithm::Sha1 => SummingState::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => SummingState::Sha256(<sha2::Sha256 as sha2::Digest>::new()),
        };
        Self { wanted: checksum.bytes, state }
    }

    fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            SummingState::Sha1(hash) => hash.update(bytes),
            SummingState::Sha256(hash) => sha2::Digest::update(hash, bytes),
        }
    }

    fn matches(self) -> bool {
        match self.state {
            SummingState::Sha1(hash) => hash.finalize()[..] == self.wanted[..],
            SummingState::Sha256(hash) => sha2::Digest::finalize(hash)[..] == self.wanted[..],
        }
    }
}
