//! Whose turn it is: at most one request works on an upload at a time, and a newer one takes it over.
//!
//! Between requests the open file and its running hash wait here, so that the bytes need not be read back at the end.
//! Only a bounded number of idle ones is kept; what is dropped costs a second reading, nothing else. After a failure of
//! the disk an entry stays until its upload goes on or ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch};
use uuid::Uuid;

use super::durable::Sync;
use crate::blobs::Resumable;

/// Idle uploads whose file stays open.
const MAX_ENTRIES: usize = 256;
/// A request that was taken over ends within this: it waits for nothing but writes of at most 1 MiB.
const YIELD_WAIT: Duration = Duration::from_millis(500);
/// Longest wait for an upload that is being completed: reading back and storing a large file takes a while, and only
/// its end is an answer.
const FINISH_WAIT: Duration = Duration::from_secs(100);

/// The uploads that somebody works on or did lately.
#[derive(Clone, Default)]
pub struct Registry {
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<String, Slot>,
    tick: u64,
}

struct Slot {
    entry: Arc<Entry>,
    used: u64,
}

/// What one process knows of one upload.
pub struct Entry {
    open: Arc<AsyncMutex<Option<Resumable>>>,
    /// Number of the newest request that wants to write.
    newest: watch::Sender<u64>,
    finishing: AtomicBool,
    /// A sync failed: bytes after the durable prefix may be gone although the file still shows them.
    damaged: AtomicBool,
    received_at_ms: AtomicI64,
    /// Whose upload it is, once that was looked up.
    owner: OnceLock<Uuid>,
    pub(super) sync: Sync,
}

/// Why a request did not get its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTurn {
    /// A newer request wants it.
    Preempted,
    /// Whoever has it does not come to an end.
    Busy,
}

/// The right to work on an upload, until it is dropped.
pub struct Turn {
    /// The open file, if it is open.
    pub open: OwnedMutexGuard<Option<Resumable>>,
    /// The upload's entry.
    pub entry: Arc<Entry>,
    newest: watch::Receiver<u64>,
    mine: u64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Table> {
        match self.table.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    fn entry(&self, id: &str) -> Arc<Entry> {
        let mut table = self.lock();
        table.tick += 1;
        let tick = table.tick;
        if let Some(slot) = table.entries.get_mut(id) {
            slot.used = tick;
            return slot.entry.clone();
        }
        if table.entries.len() >= MAX_ENTRIES {
            // An entry is only ever cloned under this lock: one that nobody else holds is idle. One that is damaged says
            // what the disk will not say again.
            let idle = table.entries.iter().filter(|(_, slot)| {
                Arc::strong_count(&slot.entry) == 1 && !slot.entry.is_damaged()
            });
            let oldest = idle.min_by_key(|(_, slot)| slot.used).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                table.entries.remove(&oldest);
            }
        }
        let entry = Arc::new(Entry {
            open: Arc::default(),
            newest: watch::Sender::new(0),
            finishing: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            received_at_ms: AtomicI64::new(0),
            owner: OnceLock::new(),
            sync: Sync::default(),
        });
        table.entries.insert(id.to_owned(), Slot { entry: entry.clone(), used: tick });
        entry
    }

    /// Waits for the turn to write; whoever has it now is told to end. Ends itself when a newer request comes.
    pub async fn take_over(&self, id: &str) -> Result<Turn, NoTurn> {
        let entry = self.entry(id);
        let mine = entry.claim();
        let mut turn = entry.wait(mine).await?;
        let is_newest = *turn.newest.borrow_and_update() == mine;
        is_newest.then_some(turn).ok_or(NoTurn::Preempted)
    }

    /// Waits for the turn to look, after telling whoever has it now to end: a client that asks where it stopped has no
    /// other connection that matters.
    pub async fn look(&self, id: &str) -> Result<Turn, NoTurn> {
        let entry = self.entry(id);
        let mine = entry.claim();
        entry.wait(mine).await
    }

    /// The turn, if nobody has it.
    pub fn try_idle(&self, id: &str) -> Option<Turn> {
        let entry = self.entry(id);
        let open = entry.open.clone().try_lock_owned().ok()?;
        let newest = entry.newest.subscribe();
        let mine = *newest.borrow();
        Some(Turn { open, entry, newest, mine })
    }

    /// Whether a request received bytes of this upload after `since_ms` and is still at it.
    pub fn is_receiving(&self, id: &str, since_ms: i64) -> bool {
        let table = self.lock();
        let entry = table.entries.get(id).map(|slot| &slot.entry);
        entry.is_some_and(|entry| {
            entry.received_at_ms.load(Ordering::Relaxed) > since_ms
                && entry.open.try_lock().is_err()
        })
    }

    /// Whether an upload is known to belong to this account. If not, that must be looked up.
    pub fn is_owner(&self, id: &str, account: Uuid) -> bool {
        let table = self.lock();
        table.entries.get(id).is_some_and(|slot| slot.entry.owner.get() == Some(&account))
    }

    /// The uploads that have an entry.
    pub fn list(&self) -> Vec<String> {
        self.lock().entries.keys().cloned().collect()
    }

    /// Closes an upload that is over.
    pub fn forget(&self, id: &str) {
        self.lock().entries.remove(id);
    }
}

impl Entry {
    fn claim(&self) -> u64 {
        let mut mine = 0;
        self.newest.send_modify(|newest| {
            *newest += 1;
            mine = *newest;
        });
        mine
    }

    async fn wait(self: &Arc<Self>, mine: u64) -> Result<Turn, NoTurn> {
        let newest = self.newest.subscribe();
        let lock = self.open.clone().lock_owned();
        tokio::pin!(lock);
        let mut allowed = YIELD_WAIT;
        loop {
            if self.finishing.load(Ordering::Acquire) {
                allowed = FINISH_WAIT;
            }
            match tokio::time::timeout(allowed, &mut lock).await {
                Ok(open) => return Ok(Turn { open, entry: self.clone(), newest, mine }),
                Err(_) if allowed < FINISH_WAIT && self.finishing.load(Ordering::Acquire) => {}
                Err(_) => return Err(NoTurn::Busy),
            }
        }
    }

    /// Notes whose upload it is.
    pub fn note_owner(&self, account: Uuid) {
        // It never changes.
        let _ = self.owner.set(account);
    }

    /// Notes that bytes arrived.
    pub fn note_received(&self, now_ms: i64) {
        self.received_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Notes that a sync failed.
    pub fn note_damage(&self) {
        self.damaged.store(true, Ordering::Release);
    }

    /// The file was cut to its durable prefix.
    pub fn clear_damage(&self) {
        self.damaged.store(false, Ordering::Release);
    }

    /// Whether a sync failed.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }
}

impl Turn {
    /// Ends when a newer request wants the upload.
    pub async fn preempted(&mut self) {
        let mine = self.mine;
        // The sender lives in the entry that this turn holds: waiting never fails.
        let _ = self.newest.wait_for(|newest| *newest > mine).await;
    }

    /// From now on others wait for the end instead of taking over.
    pub fn begin_finishing(&self) {
        self.entry.finishing.store(true, Ordering::Release);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.entry.finishing.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_request_takes_over_and_the_older_one_is_told() {
        let registry = Registry::default();
        let mut first = registry.take_over("a").await.unwrap();
        let (second, ()) = tokio::join!(registry.take_over("a"), async {
            first.preempted().await;
            drop(first);
        });
        let second = second.unwrap();
        assert!(registry.try_idle("a").is_none());
        drop(second);
        assert!(registry.try_idle("a").is_some());
    }

    #[tokio::test]
    async fn of_two_that_wait_the_newest_wins() {
        let registry = Registry::default();
        let mut first = registry.take_over("a").await.unwrap();
        let (second, third, ()) =
            tokio::join!(registry.take_over("a"), registry.take_over("a"), async {
                first.preempted().await;
                drop(first);
            });
        assert_eq!(second.err(), Some(NoTurn::Preempted));
        assert!(third.is_ok());
    }

    #[tokio::test]
    async fn one_that_does_not_yield_is_busy_and_one_that_finishes_is_waited_for() {
        let registry = Registry::default();
        let held = registry.take_over("a").await.unwrap();
        assert_eq!(registry.look("a").await.err(), Some(NoTurn::Busy));
        held.begin_finishing();
        let looking = registry.look("a");
        tokio::pin!(looking);
        let early = tokio::time::timeout(2 * YIELD_WAIT, &mut looking).await;
        assert!(early.is_err(), "it waits longer than for a request that receives");
        drop(held);
        assert!(looking.await.is_ok());
    }

    #[tokio::test]
    async fn only_idle_entries_make_room() {
        let registry = Registry::default();
        let held = registry.take_over("held").await.unwrap();
        for number in 0..2 * MAX_ENTRIES {
            drop(registry.take_over(&number.to_string()).await.unwrap());
        }
        assert!(registry.lock().entries.len() <= MAX_ENTRIES);
        assert!(registry.try_idle("held").is_none(), "somebody still works on it");
        drop(held);
    }
}
