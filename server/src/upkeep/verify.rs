//! Reads files back from the disk and compares their hash with the index: the only thing that makes a file
//! *verified*. One file at a time, at low priority: what somebody asked for, and everything in turn.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore, oneshot};

use super::scrub::{Looked, Passed, Place, Rounds};
use crate::blobs::{BlobError, Key, sync_file};
use crate::boot::App;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::library::queries::{Asset, safety};
use crate::library::{quarantine, require_storage, take_back};

/// The queue is looked at this often even if nobody asks.
const EVERY: Duration = Duration::from_secs(3600);
/// Pause after a failure of the disk or the database.
const PAUSE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const READ_BYTES: usize = 1024 * 1024;

/// Wakes the worker, and keeps everybody else from reading beside it.
pub struct Verifier {
    wanted: Notify,
    reading: Semaphore,
    /// How far reading everything back is.
    pub(super) rounds: Rounds,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { wanted: Notify::new(), reading: Semaphore::new(1), rounds: Rounds::default() }
    }
}

impl Verifier {
    /// Something waits to be read back.
    pub fn wake(&self) {
        self.wanted.notify_one();
    }
}

/// Runs until it is dropped: reads back what is in the queue, then waits to be woken.
pub async fn run(app: App) {
    loop {
        let wait = match verify_next(&app).await {
            Ok(true) => continue,
            Ok(false) => EVERY,
            Err(error) => {
                tracing::warn!(%error, causes = error.cause_chain(), "a file could not be read back; it is tried again");
                PAUSE
            }
        };
        let _ = tokio::time::timeout(wait, app.verifier.wanted.notified()).await;
    }
}

/// Reads back the file that waits longest; false if none does.
async fn verify_next(app: &App) -> Result<bool> {
    let Some(asset) = app.db.read(safety::find_queued).await? else { return Ok(false) };
    let _reading = app.verifier.reading.acquire().await.map_err(|_| Error::busy())?;
    let asset_id = asset.asset_id.clone();
    if let Err(error) = verify(app, asset).await {
        let now_ms = app.clock.now_ms();
        app.db.write(move |tx| safety::requeue(tx, &asset_id, now_ms)).await?;
        return Err(error);
    }
    Ok(true)
}

/// Reads a file back now, unless another one is being read; false then.
pub async fn verify_if_idle(app: &App, asset: Asset) -> Result<bool> {
    let Ok(_reading) = app.verifier.reading.try_acquire() else { return Ok(false) };
    verify(app, asset).await?;
    Ok(true)
}

/// Reads one file back. Right bytes: it is verified. Wrong, missing or unreadable ones: it is wanted again. Either way
/// it waits no longer. An error says that nobody knows, as when the disk is not there. Returns whether it is lost.
async fn verify(app: &App, asset: Asset) -> Result<bool> {
    let mut is_right = false;
    if asset.listed {
        require_storage(app).await?;
        let key = Key::original(asset.account_uuid, &asset.stored_name);
        match read_back(app.originals.path(&key)).await {
            Ok((digest, _)) => is_right = digest == asset.digest,
            Err(error) if is_loss(&error) => {}
            Err(source) => return Err(BlobError::new("read back", key, source).into()),
        }
    }
    let is_lost = asset.listed && !is_right;
    if is_lost {
        quarantine(app, asset.clone()).await?;
    }
    let now_ms = app.clock.now_ms();
    let settle = move |tx: &mut dyn Tx| {
        if is_right {
            safety::set_verified(tx, &asset, now_ms)?;
        }
        safety::dequeue(tx, &asset.asset_id)
    };
    app.db.write(settle).await?;
    Ok(is_lost)
}

/// Takes back every original that was set aside and has the right bytes after all: a backup may have a whole copy of what
/// the server lost, and the reason may have been a cable. How many.
pub(super) async fn take_back_all(app: &App) -> Result<usize> {
    /// Rows read at once.
    const STEP_ROWS: i64 = 1000;
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let start = after.clone();
        let read = move |tx: &mut dyn Tx| safety::list_quarantined(tx, &start, STEP_ROWS);
        let page = app.db.read(read).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.asset_id);
        for asset in page {
            let key = Key::original(asset.account_uuid, &asset.stored_name);
            let found = read_back(app.originals.path(&key)).await;
            if found.is_ok_and(|(digest, _)| digest == asset.digest)
                && take_back(app, asset).await?
            {
                count += 1;
            }
        }
    }
    if count > 0 {
        tracing::info!(
            count,
            "originals that were set aside have the right bytes, and count again"
        );
    }
    Ok(count)
}

/// Reads the next held original after a place back, unless that was done since `since_ms`; `None` at the end.
pub(super) async fn read_next(app: &App, place: &Place, since_ms: i64) -> Result<Option<Passed>> {
    let (account, after) = (place.account.clone(), place.after.parse().unwrap_or(0));
    let next = app.db.read(move |tx| safety::find_next(tx, &account, after)).await?;
    let Some(asset) = next else { return Ok(None) };
    let place = Place { account: asset.account_uuid.to_string(), after: asset.seq.to_string() };
    if asset.verified_at_ms.is_some_and(|verified_at_ms| verified_at_ms >= since_ms) {
        return Ok(Some(Passed { place, read_bytes: 0, outcome: Looked::Well }));
    }
    let _reading = app.verifier.reading.acquire().await.map_err(|_| Error::busy())?;
    let (size_bytes, asset_id) = (asset.size_bytes, asset.asset_id.clone());
    let outcome = match verify(app, asset).await {
        Ok(true) => Looked::Lost,
        Ok(false) => Looked::Well,
        Err(error) if app.originals.find_volume_id().await.is_none() => return Err(error),
        Err(error) => {
            // Nobody knows about this one, but the others wait.
            let causes = error.cause_chain();
            tracing::warn!(asset = asset_id, %error, causes, "an original could not be read back");
            Looked::Unread
        }
    };
    let read_bytes = if outcome == Looked::Unread { 0 } else { size_bytes };
    Ok(Some(Passed { place, read_bytes, outcome }))
}

/// Whether an error of reading means that these bytes are gone: no file, or a sector that cannot be read.
fn is_loss(error: &io::Error) -> bool {
    /// `EIO` on every Unix.
    const UNREADABLE: i32 = 5;
    error.kind() == io::ErrorKind::NotFound
        || cfg!(unix) && error.raw_os_error() == Some(UNREADABLE)
}

/// Digest and length of a file as the disk has it. Runs on a thread of its own, so that its low priority is no other
/// work's.
pub(super) async fn read_back(path: PathBuf) -> io::Result<([u8; 32], u64)> {
    let (answer, result) = oneshot::channel();
    let work = move || {
        yield_to_others();
        // Nobody waits any more when the server stops.
        let _ = answer.send(hash_from_disk(&path));
    };
    std::thread::Builder::new().name("verify".into()).stack_size(1 << 20).spawn(work)?;
    result.await.map_err(io::Error::other)?
}

tokio::task_local! {
    /// Set in what the server does without being asked.
    static UNASKED: ();
}

/// Does work that nobody waits for: the files of a backup and of its trial are read at low priority then.
pub(super) async fn unasked<W: Future>(work: W) -> W::Output {
    UNASKED.scope((), work).await
}

/// Whether nobody waits for what is being done.
pub(super) fn is_unasked() -> bool {
    UNASKED.try_with(|()| ()).is_ok()
}

/// On Linux a priority is a thread's own. If it cannot be set, the thread is only less polite.
pub(super) fn yield_to_others() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 10);
}

/// Digest and length of a file as the disk has it, not as memory does.
pub(super) fn hash_from_disk(path: &Path) -> io::Result<([u8; 32], u64)> {
    // What is not on the disk yet cannot be read from it.
    sync_file(path)?;
    if let Some(hashed) = hash_past_memory(path)? {
        return Ok(hashed);
    }
    let mut file = File::open(path)?;
    forget_cached(&file);
    let (mut hasher, mut buffer, mut size_bytes) = (Sha256::new(), vec![0; READ_BYTES], 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher.finalize().into(), size_bytes));
        }
        hasher.update(&buffer[..read]);
        size_bytes += read as u64;
    }
}

/// The same by reads that go past the memory of the system: they cost a tenth of the processor time, drop nothing that
/// others use from memory, and cannot be answered from there. `None` where that is not to be had.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn hash_past_memory(path: &Path) -> io::Result<Option<([u8; 32], u64)>> {
    use std::os::unix::fs::{FileExt, OpenOptionsExt};

    /// Where such reads have to begin, in the file and in memory: no disk has larger sectors.
    const ALIGNED_BYTES: usize = 4096;
    let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(direct).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
        opened => opened?,
    };
    let size_bytes = file.metadata()?.len();
    let mut memory = vec![0; READ_BYTES + ALIGNED_BYTES];
    let start = memory.as_ptr().align_offset(ALIGNED_BYTES);
    let Some(buffer) = memory.get_mut(start..start + READ_BYTES) else { return Ok(None) };
    let (mut hasher, mut at) = (Sha256::new(), 0);
    while at < size_bytes {
        let read = match file.read_at(buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            read => read?,
        };
        hasher.update(&buffer[..read]);
        at += read as u64;
        // A read in the middle that ends early leaves no place where the next one could begin.
        if read < READ_BYTES && at < size_bytes {
            return Ok(None);
        }
    }
    Ok((at == size_bytes).then(|| (hasher.finalize().into(), size_bytes)))
}

/// Only Linux has such reads.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn hash_past_memory(_path: &Path) -> io::Result<Option<([u8; 32], u64)>> {
    Ok(None)
}

/// Drops the file's pages from memory: what is read then comes from the disk. A hint that file systems in memory
/// ignore; other systems than Linux have none.
fn forget_cached(file: &File) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = file;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_memory_and_through_it_a_file_has_one_hash() {
        // Where nothing can be read past memory (a file system in memory), there is nothing to compare.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("file");
        for size in [0, 1, 4095, 4096, 4097, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES + 5] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let expected = (Sha256::digest(&bytes).into(), size as u64);
            assert_eq!(hash_from_disk(&path).unwrap(), expected, "{size}");
            if let Some(past) = hash_past_memory(&path).unwrap() {
                assert_eq!(past, expected, "{size}");
            }
        }
    }
}
