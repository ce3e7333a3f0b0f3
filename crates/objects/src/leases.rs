//! Leases of readers on names: the removal of what a reader still needs waits for that reader, and for no other.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_store::GroupId;
use tokio::sync::Notify;

/// A name in a bucket: its head row.
pub(crate) type Name = (GroupId, Vec<u8>);

/// A blob that was dropped while a reader had a lease on its name stays until that reader is done; readers who come
/// later see the new entry and do not matter.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    state: Mutex<LeaseTable>,
    /// Told when something ends that somebody watches.
    pub(crate) told: Notify,
}

#[derive(Debug, Default)]
struct LeaseTable {
    next: u64,
    by_name: HashMap<Name, BTreeSet<u64>>,
    /// Holds on all names.
    holds: BTreeSet<u64>,
    /// The names of which the end of a lease is to be told, and whether that of a hold is.
    watched: HashSet<Name>,
    holds_watched: bool,
    ended: Ended,
}

/// What ended of what is watched. It is not watched any more.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) names: Vec<Name>,
    pub(crate) holds: bool,
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
    name: Name,
    ticket: u64,
}

impl Leases {
    /// A lease on a name.
    pub(crate) fn take(self: &Arc<Self>, group: GroupId, row: &[u8]) -> Lease {
        let mut state = self.state();
        let ticket = state.ticket();
        let name = (group, row.to_vec());
        state.by_name.entry(name.clone()).or_default().insert(ticket);
        Lease { leases: Arc::clone(self), name, ticket }
    }

    /// A lease on all names at once.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        let mut state = self.state();
        let ticket = state.ticket();
        state.holds.insert(ticket);
        Hold { leases: Arc::clone(self), ticket }
    }

    /// The moment now: leases taken before it keep what is dropped now.
    pub(crate) fn now(&self) -> u64 {
        self.state().next
    }

    /// Whether all holds that were taken before `moment` have ended.
    pub(crate) fn unheld(&self, moment: u64) -> bool {
        self.state().unheld(moment)
    }

    /// Whether all holds that were taken before `moment` have ended. If not, the end of one is told.
    pub(crate) fn unheld_or_told(&self, moment: u64) -> bool {
        let mut state = self.state();
        let unheld = state.unheld(moment);
        state.holds_watched |= !unheld;
        unheld
    }

    /// Whether all leases on the name that were taken before `moment` have ended. If not, the end of one is told.
    pub(crate) fn over_or_told(&self, name: &Name, moment: u64) -> bool {
        let mut state = self.state();
        let over = state.by_name.get(name).and_then(BTreeSet::first).is_none_or(|oldest| *oldest >= moment);
        if !over && !state.watched.contains(name) {
            state.watched.insert(name.clone());
        }
        over
    }

    /// What ended since the last call.
    pub(crate) fn ended(&self) -> Ended {
        std::mem::take(&mut self.state().ended)
    }

    fn state(&self) -> MutexGuard<'_, LeaseTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseTable {
    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn unheld(&self, moment: u64) -> bool {
        self.holds.first().is_none_or(|oldest| *oldest >= moment)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        state.holds.remove(&self.ticket);
        if std::mem::take(&mut state.holds_watched) {
            state.ended.holds = true;
            drop(state);
            self.leases.told.notify_one();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        if let Some(tickets) = state.by_name.get_mut(&self.name) {
            tickets.remove(&self.ticket);
            if tickets.is_empty() {
                state.by_name.remove(&self.name);
            }
        }
        if let Some(name) = state.watched.take(&self.name) {
            state.ended.names.push(name);
            drop(state);
            self.leases.told.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        (GroupId(1), text.into())
    }

    #[test]
    fn what_was_dropped_under_a_lease_waits_for_that_lease_alone() {
        let leases = Arc::new(Leases::default());
        let before = leases.take(GroupId(1), b"name");
        let other = leases.take(GroupId(1), b"other");
        let moment = leases.now();
        let after = leases.take(GroupId(1), b"name");
        assert!(!leases.over_or_told(&name("name"), moment));
        drop(other);
        assert!(leases.ended().names.is_empty(), "nobody waits for that one");
        drop(before);
        assert_eq!(leases.ended().names, [name("name")]);
        assert!(leases.over_or_told(&name("name"), moment));
        drop(after);
        assert!(leases.ended().names.is_empty() && leases.state().by_name.is_empty());
    }

    #[test]
    fn a_hold_keeps_what_is_dropped_after_it_and_nothing_that_was_dropped_before() {
        let leases = Arc::new(Leases::default());
        let before = leases.now();
        let hold = leases.hold();
        let after = leases.now();
        assert!(leases.unheld_or_told(before) && !leases.ended().holds);
        assert!(!leases.unheld_or_told(after) && !leases.unheld(after));
        drop(hold);
        assert!(leases.ended().holds && leases.unheld(after));
        drop(leases.hold());
        assert!(!leases.ended().holds, "nobody waits for that one");
    }
}
