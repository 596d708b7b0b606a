//! Makes the next page of an offset listing a seek: (account, version, offset) → last arrival number.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use uuid::Uuid;

/// Entries kept; at 64 bytes each this is 256 KiB.
const MAX_ENTRIES: usize = 4096;

type Place = (Uuid, i64, i64);

/// A bounded memory of where pages ended. Wrong entries are impossible: a changed library has another version.
#[derive(Default)]
pub struct Cursors {
    state: Mutex<(HashMap<Place, i64>, VecDeque<Place>)>,
}

impl Cursors {
    /// The arrival number before row `offset`, if a page that ended there was served.
    pub fn find(&self, account: Uuid, version: i64, offset: i64) -> Option<i64> {
        self.lock().0.get(&(account, version, offset)).copied()
    }

    /// Notes that the row before `offset` has arrival number `seq`.
    pub fn remember(&self, account: Uuid, version: i64, offset: i64, seq: i64) {
        let mut state = self.lock();
        let place = (account, version, offset);
        if state.0.insert(place, seq).is_none() {
            state.1.push_back(place);
        }
        if state.1.len() > MAX_ENTRIES
            && let Some(oldest) = state.1.pop_front()
        {
            state.0.remove(&oldest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (HashMap<Place, i64>, VecDeque<Place>)> {
        match self.state.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_library_forgets_its_pages_and_memory_stays_bounded() {
        let cursors = Cursors::default();
        let account = Uuid::nil();
        cursors.remember(account, 1, 500, 77);
        assert_eq!(cursors.find(account, 1, 500), Some(77));
        assert_eq!(cursors.find(account, 2, 500), None);
        for offset in 0..10_000 {
            cursors.remember(account, 3, offset, offset);
        }
        assert_eq!(cursors.lock().0.len(), MAX_ENTRIES);
        assert_eq!(cursors.find(account, 1, 500), None);
    }
}
