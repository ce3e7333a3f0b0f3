//! Who waits for whom within this process: writers of one name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use strongroom_store::GroupId;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

type Key = (GroupId, Vec<u8>);

/// Locks by row key.
///
/// They only spare retries: what decides between two writers are the checks of their commands.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    locks: Mutex<LockTable>,
}

#[derive(Debug, Default)]
struct LockTable {
    by_key: HashMap<Key, Weak<RwLock<()>>>,
    /// At this many entries those that nobody holds are thrown out.
    tidy_at: usize,
}

impl Locks {
    /// Waits until nobody else has the lock of this row.
    pub(crate) async fn alone(&self, group: GroupId, row: &[u8]) -> OwnedRwLockWriteGuard<()> {
        self.lock(group, row).write_owned().await
    }

    /// Waits until nobody has the lock of this row alone.
    pub(crate) async fn shared(&self, group: GroupId, row: &[u8]) -> OwnedRwLockReadGuard<()> {
        self.lock(group, row).read_owned().await
    }

    fn lock(&self, group: GroupId, row: &[u8]) -> Arc<RwLock<()>> {
        let mut table = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if table.by_key.len() >= table.tidy_at {
            table.by_key.retain(|_, lock| lock.strong_count() > 0);
            table.tidy_at = (2 * table.by_key.len()).max(1024);
        }
        let entry = table.by_key.entry((group, row.to_vec())).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let lock = Arc::new(RwLock::new(()));
            *entry = Arc::downgrade(&lock);
            lock
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn locks_that_nobody_holds_are_thrown_out() {
        let locks = Locks::default();
        for number in 0..5000u32 {
            drop(locks.alone(GroupId(1), &number.to_le_bytes()).await);
        }
        assert!(locks.locks.lock().unwrap().by_key.len() <= 1024);
    }
}
