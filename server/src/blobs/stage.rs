//! Bytes on their way in: written and hashed while they arrive, in a file that no listing shows.
//!
//! Memory per upload is bounded by [`BUFFER_BYTES`] waiting and as much being written, whatever the file's size.
//! A permit of the disk is held only while bytes are written, never while waiting for the client.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{BlobError, free_bytes};

/// Bytes gathered before they are written: large enough that a task switch costs nothing beside the hash.
const BUFFER_BYTES: usize = 512 * 1024;
/// First bytes kept for finding out the media type.
const HEAD_BYTES: usize = 512;
/// Free space is looked at again after so many bytes.
const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// An upload whose bytes are arriving. Dropping it removes the file.
pub struct Stage {
    file: StagedFile,
    disk: Arc<Semaphore>,
    space: Arc<dyn Fn(u64) -> Result<(), BlobError> + Send + Sync>,
    work: Option<Work>,
    running: Option<JoinHandle<Result<Work, BlobError>>>,
    buffer: Vec<Bytes>,
    buffered_bytes: usize,
    received_bytes: u64,
    checked_bytes: u64,
}

/// Whole bytes, synced to disk, without a name. Dropping it removes the file.
#[derive(Debug)]
pub struct Staged {
    file: StagedFile,
    /// SHA-256 of the bytes.
    pub digest: [u8; 32],
    /// How many.
    pub size_bytes: u64,
    /// The first bytes, at most 512.
    pub head: Vec<u8>,
}

impl Staged {
    pub(super) fn path(&self) -> &PathBuf {
        &self.file.path
    }

    /// Bytes of a resumable upload. Its file is not removed with them: a failure is tried again.
    pub(super) fn resumed(path: PathBuf, digest: [u8; 32], size_bytes: u64, head: Vec<u8>) -> Self {
        Self { file: StagedFile { path, remove: false }, digest, size_bytes, head }
    }

    /// The file got a name, or was consumed otherwise: there is nothing to remove any more.
    pub(super) fn gone(mut self) {
        self.file.remove = false;
    }
}

#[derive(Debug)]
struct StagedFile {
    path: PathBuf,
    remove: bool,
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.remove {
            return;
        }
        let path = std::mem::take(&mut self.path);
        let remove = move || match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, "a given-up upload could not be removed; it is swept at the next start")
            }
        };
        // Removing a large file takes a while: not on a thread that serves others, if there is another.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

struct Work {
    path: PathBuf,
    file: Option<File>,
    hasher: Sha256,
    size_bytes: u64,
    head: Vec<u8>,
}

impl Work {
    fn write(&mut self, buffer: &[Bytes]) -> Result<(), BlobError> {
        let path = self.path.clone();
        let failed = |action, source| refused(&path, action, source);
        if self.file.is_none() {
            self.file = Some(create(&self.path).map_err(|source| failed("begin", source))?);
        }
        for bytes in buffer {
            let Some(file) = self.file.as_mut() else { return Ok(()) };
            crate::fault::point("write")
                .and_then(|()| file.write_all(bytes))
                .map_err(|s| failed("write", s))?;
            self.absorb(bytes);
        }
        Ok(())
    }

    /// Hashes and counts bytes that are in the file.
    fn absorb(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
        if self.head.len() < HEAD_BYTES {
            let wanted = bytes.len().min(HEAD_BYTES - self.head.len());
            self.head.extend_from_slice(&bytes[..wanted]);
        }
    }

    /// Fills the file with the bytes of another and takes over its time. What is hashed is what was written, not
    /// what was meant to be.
    fn copy(&mut self, source: &std::path::Path) -> Result<(), BlobError> {
        let failed = |error| BlobError::new("copy", source.display(), error);
        let from = File::open(source).map_err(failed)?;
        let modified = from.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
        let mut file = create(&self.path).map_err(failed)?;
        crate::fault::point("write").map_err(failed)?;
        let is_clone = share_blocks(&from, &file);
        let mut bytes = if is_clone { File::open(&self.path).map_err(failed)? } else { from };
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = bytes.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            if !is_clone {
                file.write_all(&buffer[..read]).map_err(failed)?;
            }
            self.absorb(&buffer[..read]);
        }
        file.set_modified(modified).map_err(failed)?;
        crate::fault::point("sync").and_then(|()| file.sync_all()).map_err(failed)
    }

    fn sync(&mut self) -> Result<(), BlobError> {
        let failed = |source| refused(&self.path, "sync", source);
        crate::fault::point("sync").map_err(failed)?;
        match &self.file {
            Some(file) => file.sync_data().map_err(failed),
            None => Ok(()),
        }
    }
}

/// Makes `to` a copy-on-write clone of `from`, which takes no space and no time. False, with `to` unchanged, where
/// the file system cannot.
#[cfg(target_os = "linux")]
fn share_blocks(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn share_blocks(_from: &File, _to: &File) -> bool {
    false
}

/// A write the disk refused; when it is full, with the room that is left, as clients are told.
pub(super) fn refused(
    path: &std::path::Path,
    action: &'static str,
    source: std::io::Error,
) -> BlobError {
    let error = BlobError::new(action, "an upload", source);
    let folder = path.parent().filter(|_| error.is_full());
    BlobError { free_bytes: folder.and_then(|folder| free_bytes(folder).ok()), ..error }
}

pub(super) fn create(path: &std::path::Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Stage {
    pub(super) fn new(
        path: PathBuf,
        disk: Arc<Semaphore>,
        space: Arc<dyn Fn(u64) -> Result<(), BlobError> + Send + Sync>,
    ) -> Self {
        let work = Work {
            path: path.clone(),
            file: None,
            hasher: Sha256::new(),
            size_bytes: 0,
            head: Vec::new(),
        };
        Self {
            file: StagedFile { path, remove: true },
            disk,
            space,
            work: Some(work),
            running: None,
            buffer: Vec::new(),
            buffered_bytes: 0,
            received_bytes: 0,
            checked_bytes: 0,
        }
    }

    /// Bytes received so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Takes bytes; waits only while the disk is more than a buffer behind.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.received_bytes += bytes.len() as u64;
        self.buffered_bytes += bytes.len();
        self.buffer.push(bytes);
        if self.buffered_bytes < BUFFER_BYTES {
            return Ok(());
        }
        let mut space = None;
        if self.received_bytes - self.checked_bytes >= SPACE_CHECK_BYTES {
            self.checked_bytes = self.received_bytes;
            space = Some(self.space.clone());
        }
        let mut work = self.idle_work().await?;
        let buffer = self.take_buffer();
        let write = move || {
            space.map_or(Ok(()), |require| require(0))?;
            work.write(&buffer).map(|()| work)
        };
        self.running = Some(self.spawn(write).await);
        Ok(())
    }

    /// Writes what is left and makes the bytes durable.
    pub async fn seal(mut self) -> Result<Staged, BlobError> {
        let mut work = self.idle_work().await?;
        let buffer = self.take_buffer();
        let task = self
            .spawn(move || {
                work.write(&buffer)?;
                work.sync()?;
                Ok(work)
            })
            .await;
        let work = join(task).await?;
        Ok(self.into_staged(work))
    }

    /// Takes a whole file of this machine instead of pushed bytes, with its modification time, and makes it durable.
    /// The file itself is only read. Reading holds one permit of the disk.
    pub async fn seal_copy(mut self, source: PathBuf) -> Result<Staged, BlobError> {
        let mut work = self.idle_work().await?;
        let task = self.spawn(move || work.copy(&source).map(|()| work)).await;
        let work = join(task).await?;
        Ok(self.into_staged(work))
    }

    fn into_staged(mut self, work: Work) -> Staged {
        let file =
            std::mem::replace(&mut self.file, StagedFile { path: PathBuf::new(), remove: false });
        Staged {
            file,
            digest: work.hasher.finalize().into(),
            size_bytes: work.size_bytes,
            head: work.head,
        }
    }

    fn take_buffer(&mut self) -> Vec<Bytes> {
        self.buffered_bytes = 0;
        std::mem::take(&mut self.buffer)
    }

    /// The file and the hash, once the disk has caught up.
    async fn idle_work(&mut self) -> Result<Work, BlobError> {
        match (self.work.take(), self.running.take()) {
            (Some(work), _) => Ok(work),
            (None, Some(running)) => join(running).await,
            (None, None) => Err(BlobError::new(
                "go on with",
                "an upload that failed",
                std::io::Error::other("it failed"),
            )),
        }
    }

    async fn spawn(
        &self,
        work: impl FnOnce() -> Result<Work, BlobError> + Send + 'static,
    ) -> JoinHandle<Result<Work, BlobError>> {
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.disk.clone().acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
    }
}

async fn join(task: JoinHandle<Result<Work, BlobError>>) -> Result<Work, BlobError> {
    task.await
        .map_err(|source| BlobError::new("write", "an upload", std::io::Error::other(source)))?
}
