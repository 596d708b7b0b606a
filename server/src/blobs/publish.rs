//! Gives finished files their names, in groups: every waiting file is renamed, then each folder is synced once.
//! With eight uploads in flight this saves most of the flushes that would otherwise come one after another, and whole
//! batches of sealed objects share the flushes of their folders.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::durable::{in_the_end, sync_dir};

/// Orders of a group: several batches share the flushes of their folders.
const MAX_ORDERS: usize = 64;
/// Renames of a group at most, unless one order alone has more.
const MAX_MOVES: usize = 4096;
/// Folders flushed at once: the disk takes the flushes of several together.
const FLUSHES_AT_ONCE: usize = 4;

/// What happens if the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Say so, and touch nothing.
    New,
    /// Replace it: only for bytes known to be damaged.
    Heal,
}

/// From where to where a file goes.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
}

struct Order {
    moves: Vec<Move>,
    mode: Mode,
    reply: oneshot::Sender<Vec<io::Result<()>>>,
}

/// Handle of the publishing thread; the thread ends with the last handle.
#[derive(Clone)]
pub(super) struct Publisher {
    orders: UnboundedSender<Order>,
}

impl Publisher {
    pub(super) fn start() -> io::Result<Self> {
        let (orders, mut queue) = unbounded_channel();
        std::thread::Builder::new()
            .name("publish".into())
            .stack_size(256 * 1024)
            .spawn(move || work(&mut queue))?;
        Ok(Self { orders })
    }

    /// Renames `from` to `to` and makes the new name durable. `AlreadyExists` if it is taken.
    pub(super) async fn publish(&self, from: PathBuf, to: PathBuf, mode: Mode) -> io::Result<()> {
        let done = self.publish_all(vec![Move { from, to }], mode).await?;
        done.into_iter().next().unwrap_or_else(|| Err(ended()))
    }

    /// As [`Self::publish`] for many, in order; each succeeds or fails by itself.
    pub(super) async fn publish_all(
        &self,
        moves: Vec<Move>,
        mode: Mode,
    ) -> io::Result<Vec<io::Result<()>>> {
        let (reply, done) = oneshot::channel();
        self.orders.send(Order { moves, mode, reply }).map_err(|_| ended())?;
        done.await.map_err(|_| ended())
    }
}

fn ended() -> io::Error {
    io::Error::other("the publishing thread has ended")
}

fn work(queue: &mut UnboundedReceiver<Order>) {
    while let Some(first) = queue.blocking_recv() {
        let mut move_count = first.moves.len();
        let mut group = vec![first];
        while group.len() < MAX_ORDERS && move_count < MAX_MOVES {
            let Ok(next) = queue.try_recv() else { break };
            move_count += next.moves.len();
            group.push(next);
        }
        let mut results: Vec<Vec<io::Result<()>>> = group.iter().map(rename_all).collect();
        let targets = group.iter().flat_map(|order| &order.moves);
        let mut folders: Vec<&Path> = targets.filter_map(|one| one.to.parent()).collect();
        folders.sort_unstable();
        folders.dedup();
        let unsynced = sync_all(&folders);
        for (order, results) in group.iter().zip(&mut results) {
            for (one, result) in order.moves.iter().zip(results) {
                let error = one.to.parent().and_then(|folder| unsynced.get(folder));
                if let (Some(error), true) = (error, result.is_ok()) {
                    // The name may or may not survive: take it back, so that nothing half-done stays.
                    if order.mode == Mode::New {
                        let _ = std::fs::remove_file(&one.to);
                    }
                    *result = Err(io::Error::new(error.kind(), error.to_string()));
                }
            }
        }
        for (order, results) in group.into_iter().zip(results) {
            // A closed reply means that the server is stopping; the files are adopted at the next start.
            let _ = order.reply.send(results);
        }
    }
}

/// Makes the names in each folder durable. Answers those that failed.
fn sync_all<'a>(folders: &[&'a Path]) -> BTreeMap<&'a Path, io::Error> {
    let sync = |folder: &&'a Path| {
        let synced = crate::fault::point("sync_dir").and_then(|()| sync_dir(folder));
        synced.err().map(|error| (*folder, error))
    };
    if folders.len() < 2 * FLUSHES_AT_ONCE {
        return folders.iter().filter_map(sync).collect();
    }
    let share = folders.len().div_ceil(FLUSHES_AT_ONCE);
    std::thread::scope(|scope| {
        let flush = |some: &[&'a Path]| some.iter().filter_map(sync).collect::<Vec<_>>();
        let begin = |some| std::thread::Builder::new().spawn_scoped(scope, move || flush(some));
        let running: Vec<_> = folders.chunks(share).map(|some| (some, begin(some))).collect();
        let failed = running.into_iter().flat_map(|(some, begun)| {
            // Where the system gives no more threads, this one flushes.
            let Ok(one) = begun else { return flush(some) };
            one.join().unwrap_or_else(|_| {
                let ended = |folder: &&'a Path| (*folder, io::Error::other("a flush panicked"));
                some.iter().map(ended).collect()
            })
        });
        failed.collect()
    })
}

fn rename_all(order: &Order) -> Vec<io::Result<()>> {
    order.moves.iter().map(|one| rename(one, order.mode)).collect()
}

fn rename(one: &Move, mode: Mode) -> io::Result<()> {
    crate::fault::point("publish")?;
    match mode {
        Mode::Heal => rename_over(&one.from, &one.to),
        Mode::New => rename_new(&one.from, &one.to),
    }?;
    crate::fault::point("published")
}

/// Renames without ever replacing.
#[cfg(target_os = "linux")]
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems (NFS, older FUSE) know no such flag.
        Err(Errno::INVAL | Errno::NOSYS) => link_new(from, to),
        other => other.map_err(io::Error::from),
    }
}

/// Renames without ever replacing: `MoveFileExW` with `MOVEFILE_WRITE_THROUGH` alone. A name that is taken is not tried
/// twice: that is no program in the way.
#[cfg(windows)]
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (of_any_length(from)?, of_any_length(to)?);
    in_the_end(|| atomicwrites::move_atomic(&from, &to))
}

/// Renames without ever replacing.
#[cfg(not(any(target_os = "linux", windows)))]
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    link_new(from, to)
}

/// Renames over whatever is there. On the disk when it returns, or when the folder is synced.
pub(super) fn rename_over(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(windows)]
    let (from, to) = (&of_any_length(from)?, &of_any_length(to)?);
    in_the_end(|| {
        #[cfg(windows)]
        return atomicwrites::replace_atomic(from, to);
        #[cfg(not(windows))]
        std::fs::rename(from, to)
    })
}

/// The same path with the prefix `\\?\`: without it a path of more than 260 letters is not found.
#[cfg(windows)]
fn of_any_length(path: &Path) -> io::Result<std::path::PathBuf> {
    use std::path::{Component, Prefix};
    let path = std::path::absolute(path)?;
    let mut rest = path.components();
    let Some(Component::Prefix(prefix)) = rest.next() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut long = std::ffi::OsString::from(r"\\?\");
    match prefix.kind() {
        Prefix::Disk(_) => long.push(&path),
        Prefix::UNC(server, share) => {
            long.push(r"UNC\");
            long.push(server);
            long.push(r"\");
            long.push(share);
            long.push(rest.as_path());
        }
        _ => return Ok(path),
    }
    Ok(long.into())
}

/// A hard link never replaces; where there are none (exFAT, SMB), the name reservation of ingest is what keeps
/// two uploads apart.
#[cfg(any(not(windows), test))]
fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => std::fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(from, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renaming_never_replaces_by_either_road() {
        for road in [rename_new, link_new] {
            let dir = tempfile::tempdir().unwrap();
            let (a, b) = (dir.path().join("a"), dir.path().join("b"));
            std::fs::write(&a, "new").unwrap();
            std::fs::write(&b, "old").unwrap();
            assert_eq!(road(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read_to_string(&b).unwrap(), "old");
            std::fs::remove_file(&b).unwrap();
            road(&a, &b).unwrap();
            assert_eq!(std::fs::read_to_string(&b).unwrap(), "new");
            assert!(!a.exists());
        }
    }

    #[test]
    fn a_path_longer_than_windows_likes_is_renamed_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("f".repeat(150)).join("g".repeat(150));
        std::fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("a"), folder.join("b".repeat(200)));
        for (bytes, road) in [("new", rename_new as fn(&Path, &Path) -> _), ("newer", rename_over)]
        {
            std::fs::write(&from, bytes).unwrap();
            road(&from, &to).unwrap();
            sync_dir(&folder).unwrap();
            assert_eq!(std::fs::read_to_string(&to).unwrap(), bytes);
            assert!(!from.exists());
        }
    }

    #[test]
    fn a_name_that_differs_in_case_only_is_taken_where_the_disk_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (a, photo, same) =
            (dir.path().join("a"), dir.path().join("Photo.jpg"), dir.path().join("photo.JPG"));
        std::fs::write(&photo, "old").unwrap();
        std::fs::write(&a, "new").unwrap();
        let ignores_case = same.exists();
        assert_eq!(rename_new(&a, &same).is_err(), ignores_case);
        assert_eq!(std::fs::read_to_string(&photo).unwrap(), "old");
    }
}
