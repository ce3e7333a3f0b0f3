//! Unwrapped group keys in memory: bounded, wiped when they leave.

use std::collections::BTreeMap;

use strongroom_seal::GroupKey;

use crate::GroupId;

/// More than the groups that can be open at once by a wide margin; 32 secret bytes each.
const KEYS_MAX: usize = 4096;

/// The most recently used group keys.
#[derive(Debug, Default)]
pub(super) struct Cache {
    keys: BTreeMap<(GroupId, u32), (u64, GroupKey)>,
    uses: u64,
}

impl Cache {
    pub(super) fn get(&mut self, group: GroupId, id: u32) -> Option<GroupKey> {
        self.uses += 1;
        let (used, key) = self.keys.get_mut(&(group, id))?;
        *used = self.uses;
        Some(key.clone())
    }

    pub(super) fn insert(&mut self, group: GroupId, id: u32, key: GroupKey) {
        if self.keys.len() >= KEYS_MAX && !self.keys.contains_key(&(group, id)) {
            self.evict();
        }
        self.uses += 1;
        self.keys.insert((group, id), (self.uses, key));
    }

    pub(super) fn remove(&mut self, group: GroupId) {
        self.keys.retain(|(of, _), _| *of != group);
    }

    pub(super) fn remove_key(&mut self, group: GroupId, id: u32) {
        self.keys.remove(&(group, id));
    }

    /// Drops the older half, so that a full cache costs its length once in many insertions.
    fn evict(&mut self) {
        let mut uses: Vec<u64> = self.keys.values().map(|(used, _)| *used).collect();
        uses.sort_unstable();
        let median = uses[uses.len() / 2];
        self.keys.retain(|_, (used, _)| *used >= median);
    }
}

#[cfg(test)]
mod tests {
    use strongroom_seal::SeededRandom;

    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_was_used_last() {
        let random = SeededRandom::dangerous_from_seed(1);
        let mut cache = Cache::default();
        let first = GroupKey::generate(&random);
        cache.insert(GroupId(0), 1, first.clone());
        for group in 1..20_000 {
            cache.insert(GroupId(group), 1, GroupKey::generate(&random));
            assert!(cache.keys.len() <= KEYS_MAX);
            assert_eq!(cache.get(GroupId(0), 1), Some(first.clone()));
        }
        cache.remove(GroupId(0));
        assert_eq!(cache.get(GroupId(0), 1), None);
    }
}
