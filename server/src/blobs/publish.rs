//! Gives finished files their names, in groups: every waiting file is renamed, then each folder is synced once.
//! With eight uploads in flight this saves most of the flushes that would otherwise come one after another.

use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::local::sync_dir;

/// Renames that one folder sync covers at most.
const MAX_GROUP: usize = 64;

/// What happens if the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Say so, and touch nothing.
    New,
    /// Replace it: only for bytes known to be damaged.
    Heal,
}

struct Order {
    from: PathBuf,
    to: PathBuf,
    mode: Mode,
    reply: oneshot::Sender<io::Result<()>>,
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
        let (reply, done) = oneshot::channel();
        let ended = || io::Error::other("the publishing thread has ended");
        self.orders.send(Order { from, to, mode, reply }).map_err(|_| ended())?;
        done.await.map_err(|_| ended())?
    }
}

fn work(queue: &mut UnboundedReceiver<Order>) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < MAX_GROUP {
            let Ok(next) = queue.try_recv() else { break };
            group.push(next);
        }
        let mut results: Vec<io::Result<()>> = group.iter().map(rename).collect();
        let mut folders: Vec<&Path> = group.iter().filter_map(|order| order.to.parent()).collect();
        folders.sort_unstable();
        folders.dedup();
        for folder in folders {
            let synced = crate::fault::point("sync_dir").and_then(|()| sync_dir(folder));
            let Err(error) = synced else { continue };
            for (order, result) in group.iter().zip(&mut results) {
                if order.to.parent() == Some(folder) && result.is_ok() {
                    // The name may or may not survive: take it back, so that nothing half-done stays.
                    if order.mode == Mode::New {
                        let _ = std::fs::remove_file(&order.to);
                    }
                    *result = Err(io::Error::new(error.kind(), error.to_string()));
                }
            }
        }
        for (order, result) in group.into_iter().zip(results) {
            // A closed reply means that the server is stopping; the file is adopted at the next start.
            let _ = order.reply.send(result);
        }
    }
}

fn rename(order: &Order) -> io::Result<()> {
    crate::fault::point("publish")?;
    match order.mode {
        Mode::Heal => std::fs::rename(&order.from, &order.to),
        Mode::New => rename_new(&order.from, &order.to),
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

/// Renames without ever replacing.
#[cfg(not(target_os = "linux"))]
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    link_new(from, to)
}

/// A hard link never replaces; where there are none (exFAT, SMB), the name reservation of ingest is what keeps
/// two uploads apart.
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
}
