//! How the memory for page caches is shared among the groups that are open.
//!
//! A page file's cache has the size that it was opened with. So whoever is opened gets half of what nobody has, the system
//! group, which is opened first and holds little, an eighth of all. Now and then it is looked whether a group that is used
//! has far less than its part of the memory while others that nobody uses have more: those are closed, and it is opened
//! anew with what they leave.

use std::sync::Arc;

use super::{OpenGroup, Registry, Slot, State};
use crate::GroupId;

/// A page file with less cache than this would read each page again and again, so each one gets this.
const LEAST: usize = 1 << 20;
const SYSTEM_PART: usize = 8;

impl State {
    /// What a group gets that is opened now.
    pub(super) fn cache_share(&self, id: GroupId, total: usize) -> usize {
        let share = if id == GroupId::SYSTEM { total / SYSTEM_PART } else { self.cache_left(total) / 2 };
        share.max(LEAST)
    }

    /// What no group has.
    fn cache_left(&self, total: usize) -> usize {
        let taken = self.slots.values().map(|slot| match slot {
            Slot::Open { group, .. } => group.cache_bytes,
            Slot::Opening { cache_bytes } => *cache_bytes,
            Slot::Unwrapping | Slot::Closing | Slot::Failed => 0,
        });
        total.saturating_sub(taken.sum())
    }

    /// Buckets' groups that are open, each with whether it was used since the count of uses was `since`.
    fn users(&self, since: u64) -> impl Iterator<Item = (bool, &Arc<OpenGroup>)> {
        self.slots.values().filter_map(move |slot| match slot {
            Slot::Open { group, used }
                if group.id != GroupId::SYSTEM && !group.is_broken() && group.in_memory().is_none() =>
            {
                Some((*used > since, group))
            }
            _ => None,
        })
    }

    /// Takes a group out that nobody holds, leaving its slot closing.
    fn take(&mut self, id: GroupId) -> Option<OpenGroup> {
        match self.slots.get(&id) {
            Some(Slot::Open { group, .. }) if Arc::strong_count(group) == 1 && !group.stale() => {}
            _ => return None,
        }
        match self.slots.insert(id, Slot::Closing) {
            Some(Slot::Open { group, .. }) => Arc::into_inner(group),
            _ => None,
        }
    }
}

impl Registry {
    /// Closes groups that were not used since the last call if one that was has far less cache than its part, and that one
    /// too, so that its next use opens it with more.
    pub(crate) fn share_cache_anew(&self) {
        let total = self.setting.cache_bytes;
        let mut state = self.lock();
        let uses = state.uses;
        let since = std::mem::replace(&mut state.uses_seen, uses);
        if state.closed {
            return;
        }
        let users = state.users(since).filter(|(used, _)| *used).count();
        let part = (total - total / SYSTEM_PART) / users.max(1);
        // Twice as much is worth reading its pages again, less is not.
        let cramped: Vec<GroupId> = state
            .users(since)
            .filter(|(used, group)| *used && group.cache_bytes < part / 2)
            .map(|(_, group)| group.id)
            .collect();
        if cramped.is_empty() {
            return;
        }
        let idle: Vec<GroupId> = state
            .users(since)
            .filter(|(used, group)| !*used && group.cache_bytes > LEAST)
            .map(|(_, group)| group.id)
            .collect();
        for id in idle {
            if state.cache_left(total) >= part {
                break;
            }
            if let Some(group) = state.take(id) {
                state = self.close_taken(state, group);
            }
        }
        for id in cramped {
            let now =
                state.users(since).find(|(_, group)| group.id == id).map(|(_, group)| group.cache_bytes);
            let Some(now) = now else { continue };
            if state.cache_share(id, total) < 2 * now {
                break;
            }
            if let Some(group) = state.take(id) {
                state = self.close_taken(state, group);
            }
        }
        self.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{OneKey, get, make_group, put, simulated};
    use crate::{Store, StoreOptions, sim::SimDisk};

    const TOTAL: usize = 64 << 20;

    fn store() -> Store {
        let options = simulated(SimDisk::from_seed(5), &OneKey::named("k"), 1);
        Store::create_or_open(StoreOptions { cache_bytes: TOTAL, ..options }).unwrap()
    }

    fn shares(store: &Store) -> Vec<(u32, usize)> {
        let state = store.engine().registry.lock();
        state.open().map(|group| (group.id.0, group.cache_bytes >> 20)).collect()
    }

    fn group(store: &Store, name: &str) -> GroupId {
        let group = make_group(store, name);
        store.commit_blocking(put(group, "key", name)).unwrap();
        group
    }

    #[test]
    fn a_group_alone_has_half_of_the_cache_and_each_further_one_half_of_the_rest() {
        let store = store();
        for name in ["a", "b", "c", "d", "e", "f", "g"] {
            group(&store, name);
        }
        let expected = [(0, 8), (1, 28), (2, 14), (3, 7), (4, 3), (5, 1), (6, 1), (7, 1)];
        assert_eq!(shares(&store), expected);
    }

    #[test]
    fn a_group_that_is_used_gets_the_cache_of_those_that_are_not() {
        let store = store();
        let groups = ["a", "b", "c", "d", "e", "f", "g"].map(|name| group(&store, name));
        let registry = &store.engine().registry;
        registry.share_cache_anew();
        let (last, before) = (groups[6], shares(&store));
        // Nobody is used: nothing changes.
        registry.share_cache_anew();
        assert_eq!(shares(&store), before);
        assert_eq!(get(&store, last, "key").as_deref(), Some("g"));
        registry.share_cache_anew();
        // The next use opens it with what is there now.
        assert_eq!(get(&store, last, "key").as_deref(), Some("g"));
        let share = |id: GroupId| shares(&store).into_iter().find(|(group, _)| *group == id.0);
        assert!(share(last).unwrap().1 >= 24, "{:?}", shares(&store));
        // And then it has its part.
        let before = shares(&store);
        registry.share_cache_anew();
        assert_eq!(get(&store, last, "key").as_deref(), Some("g"));
        registry.share_cache_anew();
        assert_eq!(shares(&store), before);
        for (group, name) in groups.into_iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
            assert_eq!(get(&store, group, "key").as_deref(), Some(name));
        }
    }

    #[test]
    fn a_group_that_somebody_holds_is_left_open() {
        let store = store();
        let groups = ["a", "b", "c", "d", "e", "f", "g"].map(|name| group(&store, name));
        let registry = &store.engine().registry;
        registry.share_cache_anew();
        let held = [store.read(groups[0]).unwrap(), store.read(groups[6]).unwrap()];
        registry.share_cache_anew();
        registry.share_cache_anew();
        let open: Vec<u32> = shares(&store).into_iter().map(|(id, _)| id).collect();
        assert!(open.contains(&groups[0].0) && open.contains(&groups[6].0), "{open:?}");
        assert!(held.iter().all(|reading| reading.get(b"key").unwrap().is_some()));
    }
}
