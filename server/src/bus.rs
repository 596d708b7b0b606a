//! Tells whoever looks at a library that it changed. Published after the commit, by whoever made the change; nothing is kept
//! for those who do not listen, and many changes in a row are one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

/// Listeners by account.
#[derive(Default)]
pub struct Changes {
    accounts: Mutex<HashMap<Uuid, watch::Sender<()>>>,
}

impl Changes {
    /// The library of `account` changed, and whoever asks now is told the new state.
    pub fn publish(&self, account: Uuid) {
        let mut accounts = self.lock();
        let Some(sender) = accounts.get(&account) else { return };
        if sender.receiver_count() == 0 {
            accounts.remove(&account);
            return;
        }
        sender.send_replace(());
    }

    /// Hears of every change from now on.
    pub fn subscribe(&self, account: Uuid) -> watch::Receiver<()> {
        self.lock().entry(account).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_hears_of_the_own_account_only_and_nobody_is_kept() {
        let changes = Changes::default();
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut listener = changes.subscribe(own);
        changes.publish(other);
        assert!(!listener.has_changed().unwrap());
        changes.publish(own);
        changes.publish(own);
        listener.changed().await.unwrap();
        assert!(!listener.has_changed().unwrap(), "two changes in a row are one");
        drop(listener);
        changes.publish(own);
        assert!(changes.lock().is_empty());
    }
}
