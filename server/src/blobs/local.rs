//! A storage root on a local disk.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore};
use uuid::Uuid;

use super::durable::{sync_dir, sync_file};
use super::publish::{Mode, Move, Publisher, rename_new, rename_over};
use super::resumable::RESUMABLE_PREFIX;
use super::running_hash::HashRoom;
use super::stage::{Stage, Staged};
use super::{BlobError, Key, STAGING};
use crate::auth::random_id;

/// Bytes read at once when hashing a file again.
const READ_BYTES: usize = 256 * 1024;
/// Folders remembered as durable: about 10 MB. Forgetting them costs each one more flush.
const MAX_KNOWN_FOLDERS: usize = 50_000;

/// One storage root. Cheap to clone.
#[derive(Clone)]
pub struct LocalStore {
    root: Arc<PathBuf>,
    publisher: Publisher,
    disk: Arc<Semaphore>,
    pub(super) hash_room: HashRoom,
    /// Folders that survive a power cut, as far as this run knows: a folder that is merely there may be what a killed
    /// run or a failed flush left. Held for writing while folders are made.
    durable: Arc<RwLock<HashSet<PathBuf>>>,
    reserve_bytes: u64,
}

/// Uploads of one account that begin one after the other.
pub struct Stages {
    staging: PathBuf,
    store: LocalStore,
}

impl Stages {
    /// The next one.
    pub fn begin(&self) -> Stage {
        let store = self.store.clone();
        let space = Arc::new(move |bytes| store.require_space(bytes));
        Stage::new(self.staging.join(random_id()), self.store.disk.clone(), space)
    }
}

/// What became of bytes that wanted a name.
#[derive(Debug)]
pub enum CommitOutcome {
    /// They have it, durably.
    Stored,
    /// The same bytes had it already, durably now.
    AlreadyStored,
    /// Other bytes have it; here are yours back.
    Taken(Staged),
}

impl LocalStore {
    /// A store on `root`, which exists. `disk_tasks`: writes at once. `reserve_bytes`: space that uploads leave free.
    pub fn start(root: PathBuf, disk_tasks: usize, reserve_bytes: u64) -> io::Result<Self> {
        let publisher = Publisher::start()?;
        let disk = Arc::new(Semaphore::new(disk_tasks.max(1)));
        let (hash_room, durable) = (HashRoom::default(), Arc::default());
        Ok(Self { root: Arc::new(root), publisher, disk, hash_room, durable, reserve_bytes })
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// An account's folder.
    pub fn account_folder(&self, account: Uuid) -> PathBuf {
        self.root.join(account.to_string())
    }

    /// The file of a key.
    pub fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.relative())
    }

    /// Creates an account's folder and its staging folder, durably. Does nothing if they are there.
    pub fn create_account_folder(&self, account: Uuid) -> Result<(), BlobError> {
        let folder = self.account_folder(account);
        let failed = |source| BlobError::new("create the folder of", account, source);
        create_private_dir(&folder).map_err(failed)?;
        create_private_dir(&folder.join(STAGING)).map_err(failed)?;
        sync_dir(&folder).and_then(|()| sync_dir(&self.root)).map_err(failed)
    }

    /// Begins an upload of `declared_bytes` (0 if unknown). Refused at once when the disk has no room for it.
    pub async fn stage(&self, account: Uuid, declared_bytes: u64) -> Result<Stage, BlobError> {
        Ok(self.stages(account, declared_bytes).await?.begin())
    }

    /// Begins many uploads that have `declared_bytes` together: the disk is asked once.
    pub async fn stages(&self, account: Uuid, declared_bytes: u64) -> Result<Stages, BlobError> {
        let store = self.clone();
        let staging = blocking(move || store.make_room(account, declared_bytes)).await?;
        Ok(Stages { staging, store: self.clone() })
    }

    /// The staging folder of an account, which is there afterwards; refused when the disk has no room for
    /// `declared_bytes`. Blocks.
    pub(super) fn make_room(
        &self,
        account: Uuid,
        declared_bytes: u64,
    ) -> Result<PathBuf, BlobError> {
        self.require_space(declared_bytes)?;
        let staging = self.account_folder(account).join(STAGING);
        if !staging.is_dir() {
            // A crash, a full disk or a backup that left hidden folders out. Never on an unmounted disk, though.
            if !matches!(super::volume::find_id(&self.root), Ok(Some(_))) {
                let source = io::Error::new(io::ErrorKind::NotFound, "the storage is not there");
                return Err(BlobError::new("begin", "an upload", source));
            }
            self.create_account_folder(account)?;
        }
        Ok(staging)
    }

    /// One of the writes at once. The semaphore is never closed, so there is always a permit in the end.
    pub(super) async fn disk_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.disk.clone().acquire_owned().await.ok()
    }

    /// Refuses when fewer than `wanted_bytes` are free besides the reserve. Where the disk cannot tell, it is not asked.
    pub async fn require_room(&self, wanted_bytes: u64) -> Result<(), BlobError> {
        let store = self.clone();
        blocking(move || store.require_space(wanted_bytes)).await
    }

    fn require_space(&self, wanted_bytes: u64) -> Result<(), BlobError> {
        let Ok(free_bytes) = free_bytes(&self.root) else { return Ok(()) };
        if free_bytes < self.reserve_bytes.saturating_add(wanted_bytes) {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(BlobError {
                free_bytes: Some(free_bytes.saturating_sub(self.reserve_bytes)),
                ..BlobError::new("make room for", "an upload", source)
            });
        }
        Ok(())
    }

    /// Gives staged bytes a name, durably, without ever replacing anything.
    pub async fn commit_new(&self, staged: Staged, key: &Key) -> Result<CommitOutcome, BlobError> {
        let to = self.path(key);
        self.create_parents(&[&to], &key.to_string()).await?;
        let published = self.publisher.publish(staged.path().clone(), to, Mode::New).await;
        self.outcome(staged, key, published).await
    }

    /// As [`Self::commit_new`] for many, in order: all are renamed, then each folder is synced once. Each succeeds or
    /// fails by itself; an error of the whole means that none has got a name.
    pub async fn commit_new_batch(
        &self,
        batch: Vec<(Staged, Key)>,
    ) -> Result<Vec<Result<CommitOutcome, BlobError>>, BlobError> {
        let failed = |source| BlobError::new("publish", "a batch", source);
        let to_move = |(staged, key): &(Staged, Key)| Move {
            from: staged.path().clone(),
            to: self.path(key),
        };
        let moves: Vec<Move> = batch.iter().map(to_move).collect();
        let files: Vec<&Path> = moves.iter().map(|one| one.to.as_path()).collect();
        self.create_parents(&files, "a batch").await?;
        let published = self.publisher.publish_all(moves, Mode::New).await.map_err(failed)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for ((staged, key), published) in batch.into_iter().zip(published) {
            outcomes.push(self.outcome(staged, &key, published).await);
        }
        Ok(outcomes)
    }

    /// What an order to publish came to.
    async fn outcome(
        &self,
        staged: Staged,
        key: &Key,
        published: io::Result<()>,
    ) -> Result<CommitOutcome, BlobError> {
        match published {
            Ok(()) => {
                staged.gone();
                Ok(CommitOutcome::Stored)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.holds(key, &staged.digest, staged.size_bytes).await? {
                    return Ok(CommitOutcome::AlreadyStored);
                }
                Ok(CommitOutcome::Taken(staged))
            }
            Err(source) => Err(self.full(BlobError::new("publish", key, source)).await),
        }
    }

    /// Replaces damaged or missing bytes by good ones with the digest they should have. The only call that
    /// replaces anything; the caller has compared digests.
    pub async fn heal(&self, staged: Staged, key: &Key) -> Result<(), BlobError> {
        let to = self.path(key);
        self.create_parents(&[&to], &key.to_string()).await?;
        match self.publisher.publish(staged.path().clone(), to, Mode::Heal).await {
            Ok(()) => {
                staged.gone();
                Ok(())
            }
            Err(source) => Err(self.full(BlobError::new("heal", key, source)).await),
        }
    }

    /// Whether the file of `key` has this length and, read again from the start, this digest. If so it is
    /// synced, so that its bytes and name survive a power cut.
    pub async fn holds(
        &self,
        key: &Key,
        digest: &[u8; 32],
        size_bytes: u64,
    ) -> Result<bool, BlobError> {
        let (path, digest, subject) = (self.path(key), *digest, key.to_string());
        blocking(move || {
            let failed = |source| BlobError::new("compare", &subject, source);
            match path.symlink_metadata() {
                Ok(metadata) if metadata.is_file() && metadata.len() == size_bytes => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(failed(error)),
            }
            if hash_file(&path).map_err(failed)?.0 != digest {
                return Ok(false);
            }
            sync_file(&path).map_err(failed)?;
            path.parent().map_or(Ok(()), sync_dir).map_err(failed)?;
            Ok(true)
        })
        .await
    }

    /// The folders of these files are there afterwards, durably.
    async fn create_parents(&self, files: &[&Path], whose: &str) -> Result<(), BlobError> {
        let durable = self.durable.read().await;
        let parents: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        let wanted = parents.into_iter().filter(|one| !(durable.contains(*one) && one.is_dir()));
        let wanted: Vec<PathBuf> = wanted.map(Path::to_owned).collect();
        drop(durable);
        if wanted.is_empty() {
            return Ok(());
        }
        // It goes with the work: a caller that gives up must not let others rely on folders that are not durable yet.
        let mut durable = self.durable.clone().write_owned().await;
        let (root, whose) = (self.root.clone(), whose.to_owned());
        blocking(move || {
            create_dirs_durably(&root, &wanted)
                .map_err(|source| BlobError::new("create a folder for", &whose, source))?;
            if durable.len() + wanted.len() > MAX_KNOWN_FOLDERS {
                durable.clear();
            }
            durable.extend(wanted);
            Ok(())
        })
        .await
    }

    /// Length of the file, or `None` if there is none (or something that is no regular file).
    pub async fn find_size(&self, key: &Key) -> Result<Option<u64>, BlobError> {
        let (store, key) = (self.clone(), key.clone());
        blocking(move || store.find_size_here(&key)).await
    }

    /// As [`Self::find_size`], for work that runs on a blocking thread already and asks about many files.
    pub fn find_size_here(&self, key: &Key) -> Result<Option<u64>, BlobError> {
        match self.path(key).symlink_metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(BlobError::new("look at", key, source)),
        }
    }

    /// Opens the file for reading, with its length; `None` if there is none.
    pub async fn open(&self, key: &Key) -> Result<Option<(File, u64)>, BlobError> {
        let (path, subject) = (self.path(key), key.to_string());
        blocking(move || {
            let opened = File::open(&path).and_then(|file| {
                let metadata = file.metadata()?;
                Ok(metadata.is_file().then_some((file, metadata.len())))
            });
            match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other.map_err(|source| BlobError::new("open", &subject, source)),
            }
        })
        .await
    }

    /// Moves a file to another key of the same root, durably, replacing nothing. False if there is no such file.
    pub async fn relocate(&self, from: &Key, to: &Key) -> Result<bool, BlobError> {
        let (source, target) = (self.path(from), self.path(to));
        self.create_parents(&[&target], &to.to_string()).await?;
        let subject = from.to_string();
        blocking(move || {
            match rename_new(&source, &target) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(BlobError::new("move", &subject, error)),
            }
            for folder in [target.parent(), source.parent()].into_iter().flatten() {
                sync_dir(folder).map_err(|error| BlobError::new("move", &subject, error))?;
            }
            Ok(true)
        })
        .await
    }

    /// Removes a file for good. Does nothing if there is none.
    pub async fn remove(&self, key: &Key) -> Result<(), BlobError> {
        let (path, subject) = (self.path(key), key.to_string());
        blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BlobError::new("remove", &subject, error))
            }
            _ => Ok(()),
        })
        .await
    }

    /// Bytes that may still be written on this root's disk.
    pub async fn free_bytes(&self) -> io::Result<u64> {
        let root = self.root.clone();
        let looked = tokio::task::spawn_blocking(move || free_bytes(&root)).await;
        looked.map_err(io::Error::other)?
    }

    /// The id in this root's marker file; `None` while its disk is not mounted, or if it cannot be read.
    pub async fn find_volume_id(&self) -> Option<String> {
        let root = self.root.clone();
        let looked = tokio::task::spawn_blocking(move || super::volume::find_id(&root)).await;
        looked.ok()?.ok()?
    }

    /// Bytes of the disk that uploads leave free.
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    async fn full(&self, error: BlobError) -> BlobError {
        let free_bytes = if error.is_full() { self.free_bytes().await.ok() } else { None };
        BlobError { free_bytes, ..error }
    }

    /// Removes what uploads of an earlier run left half-done. Whole files are never touched, nor are resumable ones
    /// with these ids.
    pub fn sweep_staging(&self, resumable: &HashSet<String>) -> io::Result<u64> {
        let staged = self.find_staged(resumable)?;
        staged.iter().try_for_each(std::fs::remove_file)?;
        Ok(staged.len() as u64)
    }

    /// The staged files of all accounts, but for resumable ones with these ids.
    pub fn find_staged(&self, resumable: &HashSet<String>) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for account in std::fs::read_dir(&*self.root)? {
            let staging = account?.path().join(STAGING);
            let Ok(entries) = std::fs::read_dir(&staging) else { continue };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let id = name.to_str().and_then(|name| name.strip_prefix(RESUMABLE_PREFIX));
                if id.is_some_and(|id| resumable.contains(id)) {
                    continue;
                }
                found.push(entry.path());
            }
        }
        Ok(found)
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.map_err(|source| {
        BlobError::new("finish", "a task of the disk", io::Error::other(source))
    })?
}

/// SHA-256 and length of a file, read from its start.
pub fn hash_file(path: &Path) -> io::Result<([u8; 32], u64)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer, mut size) = (Sha256::new(), vec![0; READ_BYTES], 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher.finalize().into(), size));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

/// Creates a folder only its owner can read. Does nothing if it is there.
pub fn create_private_dir(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Creates folders and makes them durable, with everything above them up to the root, each synced once.
fn create_dirs_durably(root: &Path, folders: &[PathBuf]) -> io::Result<()> {
    let mut changed = BTreeSet::new();
    for folder in folders {
        create_private_dir(folder)?;
        changed.extend(folder.ancestors().take_while(|above| above.starts_with(root)));
    }
    // The longest path comes last in this order: what is deeper is synced first.
    changed.into_iter().rev().try_for_each(|folder| {
        crate::fault::point("sync_new_dir")?;
        sync_dir(folder)
    })
}

/// Writes a small file so that it is either the old one or the new one, whatever happens; readable by its owner only.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = folder.join(format!(".{}.tmp", random_id()));
    let write = || {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rename_over(&temporary, path)?;
        sync_dir(folder)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

/// Adds a line to a small file, durably; readable by its owner only. A line torn by a crash swallows no other: blank
/// lines mean nothing.
pub fn append_durably(path: &Path, line: &str) -> io::Result<()> {
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let is_new = !path.exists();
    let mut file = options.open(path)?;
    file.write_all(format!("\n{line}\n").as_bytes())?;
    file.sync_data()?;
    if is_new { path.parent().map_or(Ok(()), sync_dir) } else { Ok(()) }
}

/// Bytes an unprivileged process may still write on the disk of `path`.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes this user may still write on the disk of `path`.
#[cfg(windows)]
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    fs4::available_space(path)
}
