//! Which files were hashed, what the server said of them, and receipts to keep: one SQLite file of the profile.
//!
//! Nothing here is the only copy of anything: a damaged or newer file is set aside and begun anew, which costs
//! one reading of all files. Calls block for milliseconds, [`Cache::merge`] longer.

mod queries;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use photosync_protocol::digest::Digest;
use photosync_protocol::v2::settled::Tally;
pub use queries::Moved;
use rusqlite::{Connection, ErrorCode};

use crate::error::{Error, Result};
use crate::scan::{Found, Root};

/// A file may be written again within the same tick of its clock: a digest computed so soon after the last change is
/// not believed at the next run. File systems that keep whole seconds tick every two.
const COARSE_TICK_NS: i64 = 2_000_000_000;
/// The same for those that keep parts of a second: above the 10 ms a kernel's coarse clock may take.
const FINE_TICK_NS: i64 = 50_000_000;

/// A time no file has: stands in the row of a file whose own time is not to be believed.
const NO_TIME_NS: i64 = i64::MIN;

/// A row of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Bytes of the absolute path.
    pub path: Vec<u8>,
    /// Length.
    pub size_bytes: u64,
    /// Last change, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Number of the file in its file system; 0 where there is none.
    pub inode: u64,
    /// SHA-256, if it was read since.
    pub digest: Option<Digest>,
    /// Whether the server has nothing more to get.
    pub is_settled: bool,
}

impl Known {
    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        bytes_path(&self.path)
    }

    /// Whether a file that was just looked at is the one whose digest this is.
    pub fn is_still(&self, now: &Found) -> bool {
        let is_same_time = self.mtime_ns == NO_TIME_NS || self.mtime_ns == now.mtime_ns;
        (self.size_bytes, self.inode) == (now.size_bytes, now.inode) && is_same_time
    }
}

impl Moved {
    /// Where it was.
    pub fn from_path(&self) -> PathBuf {
        bytes_path(&self.from)
    }

    /// Where it is.
    pub fn to_path(&self) -> PathBuf {
        bytes_path(&self.to)
    }
}

/// What is to be done for a file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The file as it was found.
    pub file: Found,
    /// Its digest, if it is known already.
    pub digest: Option<Digest>,
}

/// Numbers for `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Different files.
    pub digests: u64,
    /// Of these, how many need nothing more.
    pub settled: u64,
    /// Files.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
}

/// The open cache.
pub struct Cache {
    db: Mutex<Connection>,
    path: PathBuf,
}

impl Cache {
    /// Opens the cache, or begins a new one.
    pub fn open(path: &Path) -> Result<Self> {
        let db = match open(path) {
            Ok(Some(db)) => db,
            Ok(None) => anew(path)?,
            Err(cause) if is_damage(&cause) => anew(path)?,
            Err(cause) => return Err(Error::storage("open", path, &cause)),
        };
        Ok(Self { db: Mutex::new(db), path: path.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.lock()).map_err(|cause| Error::storage("use", &self.path, &cause))
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.run(|db| {
            let behaviour = rusqlite::TransactionBehavior::Immediate;
            let tx = rusqlite::Transaction::new_unchecked(db, behaviour)?;
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        })
    }

    /// What the server said belongs to one device of one account: forgets it when another signed in.
    pub fn belong_to(&self, device: &str) -> Result<()> {
        self.write(|db| {
            if queries::find_fact(db, "device")?.as_deref() != Some(device) {
                queries::unsettle_all(db)?;
                queries::put_fact(db, "device", device)?;
            }
            Ok(())
        })
    }

    /// Compares what was found below a root with what is known: changed files lose their digest, and vanished ones
    /// their row, except below `unread` folders, of which nothing is known. Answers the files for which something
    /// is to be done, and how many need nothing.
    ///
    /// `found` must be sorted by path bytes.
    pub fn merge(
        &self,
        root: &Root,
        found: Vec<Found>,
        unread: &[PathBuf],
    ) -> Result<(Vec<Pending>, u64)> {
        let mut pending: Vec<Pending> = Vec::new();
        let mut settled = 0;
        let mut gone: Vec<Known> = Vec::new();
        // Places in `pending`: at a first backup these are all files there are, and a copy of each would be most of the
        // memory of the run.
        let (mut changed, mut appeared) = (Vec::new(), Vec::new());
        let mut found = found.into_iter().peekable();
        self.run(|db| {
            queries::each_file_below(db, &path_bytes(&root.start), |known| {
                while let Some(new) = found.next_if(|file| *path_bytes(&file.path) < *known.path) {
                    appeared.push(pending.len());
                    pending.push(Pending { file: new, digest: None });
                }
                match found.next_if(|file| *path_bytes(&file.path) == *known.path) {
                    Some(file) if !file.is_as(&known) => {
                        changed.push(pending.len());
                        pending.push(Pending { file, digest: None });
                    }
                    Some(_) if known.is_settled => settled += 1,
                    Some(file) => pending.push(Pending { file, digest: known.digest }),
                    None => gone.push(known),
                }
            })
        })?;
        let known_count = pending.len();
        pending.extend(found.map(|file| Pending { file, digest: None }));
        appeared.extend(known_count..pending.len());
        gone.retain(|known| {
            let path = known.path();
            !unread.iter().any(|folder| path.starts_with(folder))
        });
        let moved = find_moved(&gone, appeared.iter().map(|at| &pending[*at].file));
        if !changed.is_empty() || !appeared.is_empty() || !gone.is_empty() {
            self.write(|db| {
                for at in changed.iter().chain(&appeared) {
                    queries::put_file(db, &pending[*at].file.known(None))?;
                }
                gone.iter().try_for_each(|known| queries::remove_file(db, &known.path))?;
                moved.iter().try_for_each(|moved| queries::put_move(db, moved))?;
                gone.iter().try_for_each(|known| queries::remove_move(db, &known.path))?;
                queries::remove_undone_moves(db)
            })?;
        }
        Ok((pending, settled))
    }

    /// Up to `limit` moves of which the server is to be told, to places of which it was.
    pub fn list_moves(&self, limit: usize) -> Result<Vec<Moved>> {
        self.run(|db| queries::list_moves(db, limit))
    }

    /// The server was told of these.
    pub fn forget_moves(&self, moves: &[Moved]) -> Result<()> {
        self.write(|db| moves.iter().try_for_each(|moved| queries::remove_move(db, &moved.to)))
    }

    /// Remembers the digest of a file that was read at `read_at_ns`, unless it is too fresh to be believed later.
    pub fn record(&self, file: &Found, digest: Digest, read_at_ns: i64) -> Result<()> {
        let tick = if file.mtime_ns % 1_000_000_000 == 0 { COARSE_TICK_NS } else { FINE_TICK_NS };
        let is_too_fresh = read_at_ns.saturating_sub(file.mtime_ns) < tick;
        let mut known = file.known(Some(digest));
        if is_too_fresh {
            // The row counts for what this device wants safe, and is read again next time.
            known.mtime_ns = NO_TIME_NS;
        }
        self.run(|db| queries::put_file(db, &known))
    }

    /// Takes a file out that cannot be read, so that nothing is claimed of it.
    pub fn forget_file(&self, path: &Path) -> Result<()> {
        self.run(|db| queries::remove_file(db, &path_bytes(path)))
    }

    /// Nothing more to do for these.
    pub fn settle(&self, digests: &[Digest]) -> Result<()> {
        self.write(|db| digests.iter().try_for_each(|digest| queries::settle(db, digest)))
    }

    /// The server lost these, or never had them.
    pub fn unsettle(&self, digests: &[Digest]) -> Result<()> {
        self.write(|db| digests.iter().try_for_each(|digest| queries::unsettle(db, digest)))
    }

    /// Up to `limit` files that the server holds and of whose place it was not told, in order of their path's bytes
    /// after `after`.
    pub fn list_untold(&self, after: &[u8], limit: usize) -> Result<Vec<Known>> {
        self.run(|db| queries::list_untold(db, after, limit))
    }

    /// The server was told where these lie.
    pub fn set_told(&self, told: &[(PathBuf, Digest)]) -> Result<()> {
        self.write(|db| {
            told.iter()
                .try_for_each(|(path, digest)| queries::set_told(db, &path_bytes(path), digest))
        })
    }

    /// Count and sum of everything this device wants safe.
    pub fn tally(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        self.run(|db| queries::each_digest(db, |digest| tally.add(&digest)))?;
        Ok(tally)
    }

    /// Every different digest, in order.
    pub fn digests(&self) -> Result<Vec<Digest>> {
        let mut digests = Vec::new();
        self.run(|db| queries::each_digest(db, |digest| digests.push(digest)))?;
        Ok(digests)
    }

    /// The newest file with that digest.
    pub fn find_file(&self, digest: &Digest) -> Result<Option<Found>> {
        let known = self.run(|db| queries::find_file(db, digest))?;
        Ok(known.map(|known| Found {
            path: bytes_path(&known.path),
            size_bytes: known.size_bytes,
            mtime_ns: known.mtime_ns,
            inode: known.inode,
        }))
    }

    /// The digest of a file, if it is known and the file is as it was.
    pub fn find_digest(&self, file: &Found) -> Result<Option<Digest>> {
        let known = self.run(|db| queries::find_known(db, &path_bytes(&file.path)))?;
        Ok(known.filter(|known| file.is_as(known)).and_then(|known| known.digest))
    }

    /// Numbers for `status`.
    pub fn counts(&self) -> Result<Counts> {
        let (digests, settled, files, bytes) = self.run(queries::counts)?;
        Ok(Counts { digests, settled, files, bytes })
    }

    /// Keeps receipts, as (digest, when verified, JSON).
    pub fn keep_receipts(&self, account: &str, receipts: &[(Digest, i64, String)]) -> Result<()> {
        self.write(|db| {
            receipts.iter().try_for_each(|(digest, at_ms, text)| {
                queries::put_receipt(db, account, digest, *at_ms, text)
            })
        })
    }

    /// The kept receipt, as JSON.
    pub fn find_receipt(&self, account: &str, digest: &Digest) -> Result<Option<String>> {
        self.run(|db| queries::find_receipt(db, account, digest))
    }

    /// How many receipts are kept for an account.
    pub fn count_receipts(&self, account: &str) -> Result<u64> {
        self.run(|db| queries::count_receipts(db, account))
    }

    /// A remembered fact.
    pub fn find_fact(&self, name: &str) -> Result<Option<String>> {
        self.run(|db| queries::find_fact(db, name))
    }

    /// Remembers a fact.
    pub fn put_fact(&self, name: &str, value: &str) -> Result<()> {
        self.run(|db| queries::put_fact(db, name, value))
    }
}

/// Files that vanished in one place and appeared in another. Only what a file system says of one and the same file counts:
/// number, length and time. A disk that was unplugged moves nothing, nor does a copy.
fn find_moved<'a>(gone: &[Known], appeared: impl Iterator<Item = &'a Found>) -> Vec<Moved> {
    let mut left: HashMap<(u64, u64, i64), Option<&Known>> = HashMap::new();
    for known in gone.iter().filter(|known| known.inode != 0 && known.mtime_ns != NO_TIME_NS) {
        left.entry((known.inode, known.size_bytes, known.mtime_ns))
            .and_modify(|twice| *twice = None)
            .or_insert(Some(known));
    }
    let mut moved = Vec::new();
    for file in appeared {
        let known = left.remove(&(file.inode, file.size_bytes, file.mtime_ns)).flatten();
        if let Some((known, digest)) = known.and_then(|known| Some((known, known.digest?))) {
            let to = path_bytes(&file.path).into_owned();
            moved.push(Moved { from: known.path.clone(), to, digest });
        }
    }
    moved
}

fn open(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let db = Connection::open(path)?;
    Ok(queries::prepare(&db)?.then_some(db))
}

fn anew(path: &Path) -> Result<Connection> {
    let aside = path.with_extension("db.old");
    std::fs::rename(path, &aside).map_err(|cause| Error::storage("set aside", path, &cause))?;
    for ending in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        let _ = std::fs::remove_file(beside);
    }
    match open(path) {
        Ok(Some(db)) => Ok(db),
        Ok(None) => Err(Error::storage("make", path, &"its layout is not the one just written")),
        Err(cause) => Err(Error::storage("make", path, &cause)),
    }
}

fn is_damage(cause: &rusqlite::Error) -> bool {
    let damage = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
    cause.sqlite_error_code().is_some_and(|code| damage.contains(&code))
}

/// The bytes of a path: the path itself on Unix, UTF-8 elsewhere.
pub fn path_bytes(path: &Path) -> std::borrow::Cow<'_, [u8]> {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).into();
    #[cfg(not(unix))]
    return path.to_string_lossy().into_owned().into_bytes().into();
}

fn bytes_path(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    return PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes));
    #[cfg(not(unix))]
    return PathBuf::from(String::from_utf8_lossy(bytes).into_owned());
}

// Their paths are those of Unix.
#[cfg(test)]
#[cfg(unix)]
mod tests;
