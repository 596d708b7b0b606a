//! Names and digests that an upload is about to use.
//!
//! Names are reserved, never locked: nobody waits for a name, a taken one means the next number. The only thing
//! waited for is the stripe of an (account, digest), so that the same bytes arriving twice become one asset.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use uuid::Uuid;

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

/// A lock for every digest of every account. Two digests never share one, so that whole batches go side by side.
#[derive(Clone, Default)]
pub struct Stripes {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    held: Mutex<HashSet<(Uuid, [u8; 32])>>,
    freed: Notify,
}

/// Holds the stripes of some digests until it is dropped.
pub struct StripeGuard {
    shared: Arc<Shared>,
    keys: Vec<(Uuid, [u8; 32])>,
}

impl Stripes {
    /// Waits until nobody else decides about these bytes of this account. Always taken before the database.
    pub async fn lock(&self, account: Uuid, digest: &[u8; 32]) -> StripeGuard {
        self.lock_all(account, std::iter::once(*digest)).await
    }

    /// Waits until nobody else decides about any of these. All are taken at once or none: two batches that share
    /// digests never hold one each that the other waits for.
    pub async fn lock_all(
        &self,
        account: Uuid,
        digests: impl IntoIterator<Item = [u8; 32]>,
    ) -> StripeGuard {
        let mut keys: Vec<_> = digests.into_iter().map(|digest| (account, digest)).collect();
        keys.sort_unstable();
        keys.dedup();
        loop {
            let mut freed = std::pin::pin!(self.shared.freed.notified());
            // From here on no release is missed, also one that comes before the wait.
            freed.as_mut().enable();
            {
                let mut held = self.shared.held();
                if keys.iter().all(|key| !held.contains(key)) {
                    held.extend(keys.iter().copied());
                    return StripeGuard { shared: self.shared.clone(), keys };
                }
            }
            freed.await;
        }
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, HashSet<(Uuid, [u8; 32])>> {
        match self.held.lock() {
            Ok(held) => held,
            // Nothing here panics while holding it.
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

impl Drop for StripeGuard {
    fn drop(&mut self) {
        let mut held = self.shared.held();
        for key in &self.keys {
            held.remove(key);
        }
        drop(held);
        self.shared.freed.notify_waiters();
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

    #[tokio::test]
    async fn a_batch_waits_for_every_stripe_it_shares_and_for_no_other() {
        let (stripes, account) = (Stripes::default(), Uuid::nil());
        let digest = |number| [number; 32];
        let first = stripes.lock_all(account, [digest(1), digest(2), digest(2)]).await;
        let apart = stripes.lock_all(account, [digest(3)]).await;
        let _other_account = stripes.lock(Uuid::max(), &digest(1)).await;
        let (waiting, keys) = (stripes.clone(), [digest(2), digest(3)]);
        let waiting = tokio::spawn(async move { drop(waiting.lock_all(account, keys).await) });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "it must wait for the other stripe too");
        let _free_meanwhile = stripes.lock(account, &digest(1)).await;
        drop(apart);
        tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.unwrap().unwrap();
        assert_eq!(stripes.shared.held().len(), 2);
    }
}
