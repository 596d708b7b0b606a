//! The hash of a file that grows. It is carried along behind the writing, by one thread for as long as there is
//! something to hash: whoever writes does not stand still for it, and on a busy machine it does not wait for its turn
//! after every piece.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Bytes that may wait to be written and hashed, of all uploads together: enough that a thread that is kept from its processor
/// for some milliseconds does not stop the receiving.
const WAITING_BYTES: usize = 8 * 1024 * 1024;

/// Room for bytes that wait to be written and hashed.
#[derive(Clone, Debug)]
pub(super) struct HashRoom(Arc<Semaphore>);

impl Default for HashRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WAITING_BYTES)))
    }
}

impl HashRoom {
    /// Waits for room for these pieces; a piece larger than all of it takes all of it.
    pub(super) async fn take(&self, pieces: &[Bytes]) -> Option<OwnedSemaphorePermit> {
        let bytes = pieces.iter().map(Bytes::len).sum::<usize>().min(WAITING_BYTES);
        // The semaphore is never closed, and its size fits.
        self.0.clone().acquire_many_owned(u32::try_from(bytes).ok()?).await.ok()
    }
}

/// SHA-256 of the bytes so far.
#[derive(Debug, Default)]
pub(super) struct RunningHash(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    caught_up: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Of all bytes but those that wait; not of use while a thread adds some.
    hash: Sha256,
    waiting: VecDeque<Waiting>,
    is_running: bool,
}

#[derive(Debug)]
struct Waiting {
    pieces: Vec<Bytes>,
    _room: Option<OwnedSemaphorePermit>,
}

impl From<Sha256> for RunningHash {
    fn from(hash: Sha256) -> Self {
        let state = Mutex::new(State { hash, ..State::default() });
        Self(Arc::new(Shared { state, ..Shared::default() }))
    }
}

impl RunningHash {
    /// Adds bytes some time soon, and gives their room back then.
    pub(super) fn add(&self, pieces: Vec<Bytes>, room: Option<OwnedSemaphorePermit>) {
        let mut state = self.0.lock();
        state.waiting.push_back(Waiting { pieces, _room: room });
        if !std::mem::replace(&mut state.is_running, true) {
            let (shared, hash) = (self.0.clone(), std::mem::take(&mut state.hash));
            tokio::task::spawn_blocking(move || shared.catch_up(hash));
        }
    }

    /// The hash once all bytes that were added are in it.
    pub(super) async fn settle(&self) -> Sha256 {
        loop {
            let caught_up = self.0.caught_up.notified();
            {
                let state = self.0.lock();
                if !state.is_running {
                    return state.hash.clone();
                }
            }
            caught_up.await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        match self.state.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    fn catch_up(&self, mut hash: Sha256) {
        loop {
            let next = {
                let mut state = self.lock();
                let Some(next) = state.waiting.pop_front() else {
                    state.hash = hash;
                    state.is_running = false;
                    break;
                };
                next
            };
            next.pieces.iter().for_each(|bytes| hash.update(bytes));
        }
        self.caught_up.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_hashed_in_order_and_give_their_room_back() {
        let (room, hash) = (HashRoom::default(), RunningHash::default());
        let mut whole = Sha256::new();
        // Four times the room: the later ones wait for the earlier ones.
        for number in 0..32_u8 {
            let bytes = vec![number; WAITING_BYTES / 8];
            whole.update(&bytes);
            let pieces = vec![Bytes::from(bytes)];
            let taken = room.take(&pieces).await;
            assert!(taken.is_some());
            hash.add(pieces, taken);
        }
        assert_eq!(hash.settle().await.finalize(), whole.clone().finalize());
        assert_eq!(room.0.available_permits(), WAITING_BYTES);
        let again = RunningHash::from(hash.settle().await);
        whole.update(b"end");
        again.add(vec![Bytes::from_static(b"end")], None);
        assert_eq!(again.settle().await.finalize(), whole.finalize());
    }

    #[tokio::test]
    async fn a_piece_larger_than_the_room_takes_all_of_it() {
        let room = HashRoom::default();
        let taken = room.take(&[Bytes::from(vec![0; WAITING_BYTES + 1])]).await;
        assert!(taken.is_some());
        assert_eq!(room.0.available_permits(), 0);
    }
}
