//! Who has a wrapped key in hand.
//!
//! An operation that reads or makes a wrapped object key, and then unwraps it or commits a row with it, holds on to a
//! [`WrapHeld`] in between. So it can be waited for that nobody has one that was wrapped under an older key of the group.
//! It is held over the disk, and never over a call of the KMS or the reading of content: whoever holds one keeps an older
//! key of the bucket, and changes of its settings, waiting. Keys that the group's key does not wrap need none.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use strongroom_store::GroupId;

/// All that are held.
#[derive(Debug, Default)]
pub(crate) struct Wraps {
    /// By group.
    held: Mutex<HashMap<GroupId, Held>>,
    /// The groups whose wraps are being renewed.
    renewed: Mutex<BTreeSet<GroupId>>,
}

/// Who renews a group's wraps is alone in it until this is dropped.
#[derive(Debug)]
pub(crate) struct Renewing<'a> {
    wraps: &'a Wraps,
    group: GroupId,
}

#[derive(Debug, Default)]
struct Held {
    /// What is held from now on.
    now: Arc<()>,
    /// What was held before somebody looked, while it is.
    earlier: Vec<Weak<()>>,
}

/// Somebody has a wrapped key in hand until this is dropped. Take it before the key is read or made.
#[derive(Debug)]
pub(crate) struct WrapHeld(#[expect(dead_code, reason = "held for what its drop does")] Arc<()>);

/// Those that held one at some moment.
#[derive(Debug)]
pub(crate) struct Earlier(Vec<Weak<()>>);

impl Wraps {
    /// Holds one of this group.
    pub(crate) fn hold(&self, group: GroupId) -> WrapHeld {
        WrapHeld(Arc::clone(&self.held().entry(group).or_default().now))
    }

    /// Those that hold one of this group at this moment; who comes later is not among them.
    pub(crate) fn earlier(&self, group: GroupId) -> Earlier {
        let mut table = self.held();
        let held = table.entry(group).or_default();
        held.earlier.retain(|earlier| earlier.strong_count() > 0);
        let now = std::mem::take(&mut held.now);
        held.earlier.push(Arc::downgrade(&now));
        Earlier(held.earlier.clone())
    }

    /// Begins to renew a group's wraps, unless somebody does already.
    pub(crate) fn renew(&self, group: GroupId) -> Option<Renewing<'_>> {
        let first = self.renewed().insert(group);
        // Not made in vain: its drop lets others in.
        first.then(|| Renewing { wraps: self, group })
    }

    /// The group is gone for good.
    pub(crate) fn forget(&self, group: GroupId) {
        self.held().remove(&group);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<GroupId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewed(&self) -> MutexGuard<'_, BTreeSet<GroupId>> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Renewing<'_> {
    fn drop(&mut self) {
        self.wraps.renewed().remove(&self.group);
    }
}

impl Earlier {
    /// Whether all of them are done.
    pub(crate) fn are_done(&self) -> bool {
        self.0.iter().all(|earlier| earlier.strong_count() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_came_before_are_waited_for_by_everybody_who_looks_and_those_who_come_after_by_nobody() {
        let wraps = Wraps::default();
        let group = GroupId(1);
        let _other = wraps.hold(GroupId(2));
        let first = wraps.hold(group);
        let looked = wraps.earlier(group);
        let second = wraps.hold(group);
        let looked_again = wraps.earlier(group);
        let third = wraps.hold(group);
        assert!(!looked.are_done() && !looked_again.are_done());
        drop(first);
        assert!(looked.are_done() && !looked_again.are_done());
        drop(second);
        assert!(looked_again.are_done());
        assert!(!wraps.earlier(group).are_done());
        drop(third);
        assert!(wraps.earlier(group).are_done());
    }

    #[test]
    fn one_at_a_time_renews_a_group() {
        let wraps = Wraps::default();
        let first = wraps.renew(GroupId(1));
        assert!(first.is_some() && wraps.renew(GroupId(1)).is_none() && wraps.renew(GroupId(2)).is_some());
        drop(first);
        assert!(wraps.renew(GroupId(1)).is_some());
    }
}
