//! Who waits for whom within this process: writers of one name, and the removal of what a reader still needs.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use strongroom_store::GroupId;
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

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

/// Leases of readers on names. A blob that was dropped while a reader had a lease on its name stays until that
/// reader is done; readers who come later see the new entry and do not matter.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    state: Mutex<LeaseTable>,
    /// Told whenever a lease ends while somebody waits for one.
    pub(crate) ended: Notify,
    /// Whether somebody waits.
    pub(crate) awaited: AtomicBool,
}

#[derive(Debug, Default)]
struct LeaseTable {
    next: u64,
    by_name: HashMap<Key, BTreeSet<u64>>,
    /// Holds on all names.
    holds: BTreeSet<u64>,
}

/// Keeps all blobs that are there when it is taken.
#[derive(Debug)]
pub(crate) struct Hold {
    leases: Arc<Leases>,
    ticket: u64,
}

/// Keeps the blobs of a name that are there when it is taken. Take it before reading the entry.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Arc<Leases>,
    key: Key,
    ticket: u64,
}

impl Leases {
    /// A lease on a name.
    pub(crate) fn take(self: &Arc<Self>, group: GroupId, row: &[u8]) -> Lease {
        let mut state = self.state();
        let ticket = state.next;
        state.next += 1;
        let key = (group, row.to_vec());
        state.by_name.entry(key.clone()).or_default().insert(ticket);
        Lease { leases: Arc::clone(self), key, ticket }
    }

    /// A lease on all names at once.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        let mut state = self.state();
        let ticket = state.next;
        state.next += 1;
        state.holds.insert(ticket);
        Hold { leases: Arc::clone(self), ticket }
    }

    /// Whether all holds that were taken before `moment` have ended.
    pub(crate) fn unheld(&self, moment: u64) -> bool {
        self.state().holds.first().is_none_or(|oldest| *oldest >= moment)
    }

    /// The moment now: leases taken before it keep what is dropped now.
    pub(crate) fn now(&self) -> u64 {
        self.state().next
    }

    /// Whether all leases on the name that were taken before `moment` have ended.
    pub(crate) fn over(&self, group: GroupId, row: &[u8], moment: u64) -> bool {
        let state = self.state();
        let leased = state.by_name.get(&(group, row.to_vec())).and_then(BTreeSet::first);
        leased.into_iter().chain(state.holds.first()).all(|oldest| *oldest >= moment)
    }

    fn state(&self) -> MutexGuard<'_, LeaseTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.leases.state().holds.remove(&self.ticket);
        if self.leases.awaited.load(Ordering::Acquire) {
            self.leases.ended.notify_one();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        if let Some(tickets) = state.by_name.get_mut(&self.key) {
            tickets.remove(&self.ticket);
            if tickets.is_empty() {
                state.by_name.remove(&self.key);
            }
        }
        drop(state);
        if self.leases.awaited.load(Ordering::Acquire) {
            self.leases.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_under_a_lease_waits_for_that_lease_alone() {
        let leases = Arc::new(Leases::default());
        let group = GroupId(1);
        let before = leases.take(group, b"name");
        let other = leases.take(group, b"other");
        let moment = leases.now();
        let after = leases.take(group, b"name");
        assert!(!leases.over(group, b"name", moment));
        drop(before);
        assert!(leases.over(group, b"name", moment));
        drop((after, other));
        assert!(leases.state().by_name.is_empty());
    }

    #[test]
    fn a_hold_keeps_what_is_dropped_after_it_and_nothing_that_was_dropped_before() {
        let leases = Arc::new(Leases::default());
        let before = leases.now();
        let hold = leases.hold();
        let after = leases.now();
        assert!(leases.over(GroupId(1), b"name", before) && leases.unheld(before));
        assert!(!leases.over(GroupId(1), b"name", after) && !leases.unheld(after));
        drop(hold);
        assert!(leases.over(GroupId(1), b"name", after) && leases.unheld(after));
    }

    #[tokio::test]
    async fn locks_that_nobody_holds_are_thrown_out() {
        let locks = Locks::default();
        for number in 0..5000u32 {
            drop(locks.alone(GroupId(1), &number.to_le_bytes()).await);
        }
        assert!(locks.locks.lock().unwrap().by_key.len() <= 1024);
    }
}
