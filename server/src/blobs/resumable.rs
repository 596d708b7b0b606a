//! Bytes on their way in that may stop and go on later, also after a restart: `<account>/.staging/tus-<id>`.
//!
//! The file's length is the offset: bytes are only ever added at the end, and whatever fails halfway is cut off again.
//! The hash is carried along while bytes arrive; after a restart it is gone, and the file is read back at the end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::durable::sync_dir;
use super::local::{LocalStore, blocking};
use super::running_hash::RunningHash;
use super::stage::{Staged, create, refused};
use super::{BlobError, STAGING};

/// First part of the name of every resumable file: `sweep_staging` tells them apart by it.
pub const RESUMABLE_PREFIX: &str = "tus-";
/// First bytes read for finding out the media type.
const HEAD_BYTES: u64 = 512;
/// Bytes read at once when hashing or joining.
const READ_BYTES: usize = 256 * 1024;

/// An open file of an upload that is not complete.
#[derive(Debug)]
pub struct Resumable {
    path: PathBuf,
    file: Arc<File>,
    length_bytes: u64,
    /// Of the whole file so far; `None` when earlier bytes were not seen by this process.
    hash: Option<RunningHash>,
    /// Whether the file's name survives a power cut: once it does, its folder need not be synced again.
    has_durable_name: Arc<AtomicBool>,
}

/// A place in the file to go back to.
pub struct Mark {
    length_bytes: u64,
    hash: Option<Sha256>,
}

impl Resumable {
    /// `file` stands at its end.
    fn new(path: PathBuf, file: File, length_bytes: u64) -> Self {
        let hash = hash_at(length_bytes);
        Self { path, file: Arc::new(file), length_bytes, hash, has_durable_name: Arc::default() }
    }

    /// Bytes in the file.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Where the file is now, for [`Self::go_back`].
    pub async fn mark(&self) -> Mark {
        Mark { length_bytes: self.length_bytes, hash: self.settled_hash().await }
    }

    async fn settled_hash(&self) -> Option<Sha256> {
        match &self.hash {
            Some(hash) => Some(hash.settle().await),
            None => None,
        }
    }

    /// What [`sync`] needs.
    pub fn handle(&self) -> ResumableHandle {
        ResumableHandle {
            file: self.file.clone(),
            path: self.path.clone(),
            has_durable_name: self.has_durable_name.clone(),
        }
    }

    /// Adds bytes at the end, and leaves the hash to the caller. After a refusal the file ends where it ended before;
    /// where it could not be cut off, the outer error says that nobody knows what it holds.
    fn append(&mut self, pieces: &[Bytes]) -> Result<Result<(), BlobError>, BlobError> {
        for bytes in pieces {
            let written =
                crate::fault::point("write").and_then(|()| (&*self.file).write_all(bytes));
            if let Err(source) = written {
                let error = refused(&self.path, "write", source);
                self.cut_to(self.length_bytes)?;
                return Ok(Err(error));
            }
        }
        self.length_bytes += pieces.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        Ok(Ok(()))
    }

    /// Cuts the file off at `length_bytes` and goes on from there.
    fn cut_to(&mut self, length_bytes: u64) -> Result<(), BlobError> {
        let failed = |source| BlobError::new("cut off", "an upload", source);
        crate::fault::point("cut")
            .and_then(|()| self.file.set_len(length_bytes))
            .map_err(failed)?;
        io::Seek::seek(&mut &*self.file, io::SeekFrom::Start(length_bytes)).map_err(failed)?;
        if length_bytes != self.length_bytes {
            self.hash = hash_at(length_bytes);
            self.length_bytes = length_bytes;
        }
        Ok(())
    }
}

/// The hash of a file of which nothing was seen but its length.
fn hash_at(length_bytes: u64) -> Option<RunningHash> {
    (length_bytes == 0).then(RunningHash::default)
}

/// Makes the bytes durable and reads the first ones.
fn finish(file: &File, path: &Path) -> Result<Vec<u8>, BlobError> {
    // Its name here need not be durable: it gets another one, durably, before anything is acknowledged.
    crate::fault::point("sync")
        .and_then(|()| file.sync_data())
        .map_err(|source| refused(path, "sync", source))?;
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head))
        .map_err(read_back)?;
    Ok(head)
}

fn read_back(source: io::Error) -> BlobError {
    BlobError::new("read back", "an upload", source)
}

/// Makes a resumable file durable without holding it.
#[derive(Clone, Debug)]
pub struct ResumableHandle {
    file: Arc<File>,
    path: PathBuf,
    has_durable_name: Arc<AtomicBool>,
}

impl ResumableHandle {
    /// Makes every byte written so far, and the file's name, survive a power cut. Blocks.
    pub fn sync(&self) -> Result<(), BlobError> {
        let failed = |source| refused(&self.path, "sync", source);
        crate::fault::point("sync").and_then(|()| self.file.sync_data()).map_err(failed)?;
        if !self.has_durable_name.load(Ordering::Acquire) {
            self.path.parent().map_or(Ok(()), sync_dir).map_err(failed)?;
            self.has_durable_name.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Takes the first `length_bytes` out of the system's memory once they are on the disk. They are read again when
    /// somebody wants the photo, not now; bytes that come next find this memory warm instead of looking for more,
    /// which costs more than the copying. What is not on the disk yet stays.
    pub fn release(&self, length_bytes: u64) {
        #[cfg(target_os = "linux")]
        if let Some(length) = std::num::NonZeroU64::new(length_bytes) {
            // A hint: without it the bytes only stay in memory for longer.
            let _ = rustix::fs::fadvise(&*self.file, 0, Some(length), rustix::fs::Advice::DontNeed);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = length_bytes;
    }
}

impl LocalStore {
    fn resumable_path(&self, account: Uuid, id: &str) -> PathBuf {
        self.account_folder(account).join(STAGING).join(format!("{RESUMABLE_PREFIX}{id}"))
    }

    /// Bytes of a resumable file; 0 if there is none.
    pub async fn resumable_bytes(&self, account: Uuid, id: &str) -> Result<i64, BlobError> {
        let path = self.resumable_path(account, id);
        blocking(move || match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            other => other
                .map(|metadata| i64::try_from(metadata.len()).unwrap_or(i64::MAX))
                .map_err(|source| BlobError::new("look at", "an upload", source)),
        })
        .await
    }

    /// Begins a resumable file of `declared_bytes` (0 if unknown). Refused at once when the disk has no room for it.
    pub async fn create_resumable(
        &self,
        account: Uuid,
        id: &str,
        declared_bytes: u64,
    ) -> Result<Resumable, BlobError> {
        let (store, path) = (self.clone(), self.resumable_path(account, id));
        blocking(move || {
            store.make_room(account, declared_bytes)?;
            let file = create(&path).map_err(|source| refused(&path, "begin", source))?;
            Ok(Resumable::new(path, file, 0))
        })
        .await
    }

    /// Opens a resumable file where it ended; `None` if there is none.
    pub async fn open_resumable(
        &self,
        account: Uuid,
        id: &str,
    ) -> Result<Option<Resumable>, BlobError> {
        let path = self.resumable_path(account, id);
        blocking(move || {
            let failed = |source| BlobError::new("open", "an upload", source);
            let mut file = match File::options().write(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other.map_err(failed)?,
            };
            let length_bytes = io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed)?;
            Ok(Some(Resumable::new(path, file, length_bytes)))
        })
        .await
    }

    /// Adds bytes at the end, holding one permit of the disk. Their hash follows behind. After a refusal (the inner
    /// error) the file ends where it ended before. After the outer one the handle is gone: whoever opens the file again
    /// takes its length for the offset, and reads its bytes back for their hash.
    pub async fn append_resumable(
        &self,
        mut resumable: Resumable,
        pieces: Vec<Bytes>,
    ) -> Result<(Resumable, Result<(), BlobError>), BlobError> {
        let room = self.hash_room.take(&pieces).await;
        let _permit = self.disk_permit().await;
        blocking(move || {
            let outcome = resumable.append(&pieces)?;
            if let (Ok(()), Some(hash)) = (&outcome, &resumable.hash) {
                hash.add(pieces, room);
            }
            Ok((resumable, outcome))
        })
        .await
    }

    /// Forgets everything after `mark`.
    pub async fn go_back(
        &self,
        mut resumable: Resumable,
        mark: Mark,
    ) -> Result<Resumable, BlobError> {
        blocking(move || {
            resumable.cut_to(mark.length_bytes)?;
            resumable.hash = mark.hash.map(RunningHash::from);
            Ok(resumable)
        })
        .await
    }

    /// Cuts a closed resumable file off at `length_bytes`; does nothing if it is shorter. Its length afterwards, or
    /// `None` if there is none (any more): one that has a second name is an original already, for a power cut may leave
    /// both names of a rename. Then only the name here goes.
    pub async fn cut_resumable(
        &self,
        account: Uuid,
        id: &str,
        length_bytes: u64,
    ) -> Result<Option<u64>, BlobError> {
        let Some(mut resumable) = self.open_resumable(account, id).await? else { return Ok(None) };
        blocking(move || {
            if resumable.length_bytes > length_bytes {
                let failed = |source| BlobError::new("cut off", "an upload", source);
                if has_second_name(&resumable.file).map_err(failed)? {
                    std::fs::remove_file(&resumable.path).map_err(failed)?;
                    return Ok(None);
                }
                resumable.cut_to(length_bytes)?;
                resumable.handle().sync()?;
            }
            Ok(Some(resumable.length_bytes))
        })
        .await
    }

    /// Makes the bytes durable and finds their digest, reading them back if need be. The file stays when the result
    /// is dropped: only [`Self::remove_resumable`] or a published name takes it away.
    pub async fn seal_resumable(&self, resumable: Resumable) -> Result<Staged, BlobError> {
        let _permit = self.disk_permit().await;
        let (file, path) = (resumable.file.clone(), resumable.path.clone());
        let finishing = blocking(move || finish(&file, &path));
        let (head, hash) = tokio::join!(finishing, resumable.settled_hash());
        let (head, path) = (head?, resumable.path);
        let (path, digest) = match hash {
            Some(hash) => (path, hash.finalize().into()),
            None => {
                blocking(move || {
                    let (digest, _) = super::hash_file(&path).map_err(read_back)?;
                    Ok((path, digest))
                })
                .await?
            }
        };
        Ok(Staged::resumed(path, digest, resumable.length_bytes, head))
    }

    /// Joins complete resumable files, in order, into a new one. Refused when the disk has no room for all of it.
    pub async fn join_resumables(
        &self,
        account: Uuid,
        id: &str,
        parts: Vec<String>,
        whole_bytes: u64,
    ) -> Result<Resumable, BlobError> {
        let mut joined = self.create_resumable(account, id, whole_bytes).await?;
        let paths: Vec<PathBuf> = parts.iter().map(|p| self.resumable_path(account, p)).collect();
        let _permit = self.disk_permit().await;
        let made = joined.path.clone();
        let joined = blocking(move || {
            let mut hash = Sha256::new();
            for path in paths {
                copy_into(&mut joined, &mut hash, &path)?;
            }
            joined.hash = Some(hash.into());
            Ok(joined)
        })
        .await;
        if joined.is_err() {
            // What is left, if this fails too, has no row and is swept at the next start.
            let _ = std::fs::remove_file(made);
        }
        joined
    }

    /// Removes a resumable file. Does nothing if there is none.
    pub async fn remove_resumable(&self, account: Uuid, id: &str) -> Result<(), BlobError> {
        let path = self.resumable_path(account, id);
        blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BlobError::new("remove", "an upload", error))
            }
            _ => Ok(()),
        })
        .await
    }
}

/// Whether the file has a name beside the one it was opened by.
#[cfg(unix)]
fn has_second_name(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) > 1)
}

/// Cannot be told here.
#[cfg(not(unix))]
fn has_second_name(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn copy_into(joined: &mut Resumable, hash: &mut Sha256, part: &Path) -> Result<(), BlobError> {
    let failed = |source| BlobError::new("join", "the parts of an upload", source);
    // Only who may write may sync, on some systems.
    let mut file = File::options().read(true).write(true).open(part).map_err(failed)?;
    // What the disk did not take would be read back as something else.
    crate::fault::point("sync").and_then(|()| file.sync_data()).map_err(failed)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        joined.append(&[Bytes::copy_from_slice(&buffer[..read])])??;
        hash.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store() -> (tempfile::TempDir, LocalStore, Uuid) {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::start(dir.path().to_owned(), 2, 0).unwrap();
        let account = Uuid::max();
        store.create_account_folder(account).unwrap();
        (dir, store, account)
    }

    async fn append(store: &LocalStore, file: Resumable, bytes: &'static [u8]) -> Resumable {
        let (file, outcome) =
            store.append_resumable(file, vec![Bytes::from_static(bytes)]).await.unwrap();
        outcome.unwrap();
        file
    }

    #[tokio::test]
    async fn bytes_that_came_in_parts_and_after_a_reopening_have_the_digest_of_the_whole() {
        let (_dir, store, account) = store().await;
        let file = store.create_resumable(account, "a", 0).await.unwrap();
        let file = append(&store, file, b"one").await;
        drop(file);
        let file = store.open_resumable(account, "a").await.unwrap().unwrap();
        assert_eq!(file.length_bytes(), 3);
        let file = append(&store, file, b"two").await;
        let staged = store.seal_resumable(file).await.unwrap();
        assert_eq!(staged.digest, <[u8; 32]>::from(Sha256::digest(b"onetwo")));
        assert_eq!((staged.size_bytes, staged.head.as_slice()), (6, &b"onetwo"[..]));
        drop(staged);
        assert!(store.open_resumable(account, "a").await.unwrap().is_some(), "it stays");
        store.remove_resumable(account, "a").await.unwrap();
        assert!(store.open_resumable(account, "a").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn going_back_forgets_bytes_in_file_and_hash() {
        let (_dir, store, account) = store().await;
        let file = store.create_resumable(account, "a", 0).await.unwrap();
        let file = append(&store, file, b"kept").await;
        let mark = file.mark().await;
        let file = append(&store, file, b"wrong").await;
        let file = store.go_back(file, mark).await.unwrap();
        let file = append(&store, file, b"right").await;
        let staged = store.seal_resumable(file).await.unwrap();
        assert_eq!(staged.digest, <[u8; 32]>::from(Sha256::digest(b"keptright")));
    }

    #[tokio::test]
    async fn a_file_that_can_neither_be_written_nor_cut_off_is_given_up() {
        let (_dir, store, account) = store().await;
        let mut file = store.create_resumable(account, "a", 0).await.unwrap();
        file = append(&store, file, b"whole").await;
        // Open for reading only: writing fails, and so does cutting.
        file.file = Arc::new(File::open(&file.path).unwrap());
        let appended = store.append_resumable(file, vec![Bytes::from_static(b"lost")]).await;
        assert!(appended.is_err(), "no handle, and no hash that may be wrong, comes back");
        let file = store.open_resumable(account, "a").await.unwrap().unwrap();
        assert_eq!(file.length_bytes(), 5);
        assert!(file.hash.is_none(), "its bytes are read back");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_that_is_an_original_already_is_not_cut_and_loses_only_its_name_here() {
        let (_dir, store, account) = store().await;
        let file = store.create_resumable(account, "a", 0).await.unwrap();
        drop(append(&store, file, b"the whole photo").await);
        let original = store.account_folder(account).join("a.jpg");
        std::fs::hard_link(store.resumable_path(account, "a"), &original).unwrap();
        assert_eq!(store.cut_resumable(account, "a", 15).await.unwrap(), Some(15), "no cut needed");
        assert_eq!(store.cut_resumable(account, "a", 3).await.unwrap(), None);
        assert_eq!(std::fs::read(&original).unwrap(), b"the whole photo");
        assert!(store.open_resumable(account, "a").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn joined_parts_are_the_whole_in_order() {
        let (_dir, store, account) = store().await;
        for (id, bytes) in [("a", &b"one"[..]), ("b", b"two")] {
            let file = store.create_resumable(account, id, 0).await.unwrap();
            append(&store, file, bytes).await;
        }
        let parts = vec!["b".to_owned(), "a".to_owned()];
        let file = store.join_resumables(account, "c", parts, 6).await.unwrap();
        let staged = store.seal_resumable(file).await.unwrap();
        assert_eq!(staged.digest, <[u8; 32]>::from(Sha256::digest(b"twoone")));
        let missing = vec!["a".to_owned(), "nowhere".to_owned()];
        assert!(store.join_resumables(account, "d", missing, 6).await.is_err());
        assert!(store.open_resumable(account, "d").await.unwrap().is_none(), "nothing is left");
    }

    #[tokio::test]
    async fn sweeping_leaves_resumable_files_with_a_row_only() {
        let (_dir, store, account) = store().await;
        for id in ["live", "lost"] {
            drop(store.create_resumable(account, id, 0).await.unwrap());
        }
        let keep = std::collections::HashSet::from(["live".to_owned()]);
        assert_eq!(store.sweep_staging(&keep).unwrap(), 1);
        assert!(store.open_resumable(account, "live").await.unwrap().is_some());
        assert!(store.open_resumable(account, "lost").await.unwrap().is_none());
    }
}
