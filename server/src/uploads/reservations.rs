//! Names and digests that an upload is about to use.
//!
//! Names are reserved, never locked: nobody waits for a name, a taken one means the next number. The only thing
//! waited for is one of 1,024 stripes by (account, digest), so that the same bytes arriving twice become one asset.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use uuid::Uuid;

/// Enough that two uploads at once rarely share one, at 64 KiB of memory.
const STRIPES: usize = 1024;

/// Names in use by uploads that are not committed yet.
#[derive(Clone, Default)]
pub struct Names {
    held: Arc<Mutex<HashSet<(Uuid, String)>>>,
}

/// Holds a listed and a stored name of one account until it is dropped.
pub struct NameGuard {
    names: Names,
    keys: [(Uuid, String); 2],
}

impl Names {
    /// Reserves both folded names, or neither.
    pub fn try_reserve(
        &self,
        account: Uuid,
        name_fold: &str,
        stored_fold: &str,
    ) -> Option<NameGuard> {
        // A prefix keeps listed and stored names apart: only equals of one kind collide.
        let keys = [(account, format!("n{name_fold}")), (account, format!("s{stored_fold}"))];
        let mut held = self.lock();
        if keys.iter().any(|key| held.contains(key)) {
            return None;
        }
        held.extend(keys.iter().cloned());
        drop(held);
        Some(NameGuard { names: self.clone(), keys })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(Uuid, String)>> {
        match self.held.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        let mut held = self.names.lock();
        for key in &self.keys {
            held.remove(key);
        }
    }
}

/// One lock for many digests.
#[derive(Clone)]
pub struct Stripes {
    locks: Arc<[Arc<AsyncMutex<()>>]>,
}

impl Default for Stripes {
    fn default() -> Self {
        Self { locks: (0..STRIPES).map(|_| Arc::default()).collect() }
    }
}

impl Stripes {
    /// Waits until nobody else decides about these bytes of this account. Always taken before the database.
    pub async fn lock(&self, account: Uuid, digest: &[u8; 32]) -> OwnedMutexGuard<()> {
        let mut hasher = DefaultHasher::new();
        (account, digest).hash(&mut hasher);
        let stripe = usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0);
        self.locks[stripe].clone().lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_name_is_taken_until_its_guard_is_gone() {
        let names = Names::default();
        let account = Uuid::nil();
        let guard = names.try_reserve(account, "a.jpg", "a.jpg").unwrap();
        assert!(names.try_reserve(account, "a.jpg", "b.jpg").is_none());
        assert!(names.try_reserve(account, "b.jpg", "a.jpg").is_none());
        assert!(names.try_reserve(Uuid::max(), "a.jpg", "a.jpg").is_some());
        drop(guard);
        assert!(names.try_reserve(account, "a.jpg", "a.jpg").is_some());
    }
}
