//! Unwrapped group keys in memory: bounded, wiped when they leave.
//!
//! What seals and applies commands must not wait for a key management service. So the keys of a group in use are pinned:
//! they stay for as long as somebody holds a [`Pin`], and only the others make way for one another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_seal::GroupKey;

use crate::GroupId;

/// Keys that nobody pinned: more than the groups that can be open at once by a wide margin; 32 secret bytes each.
const LOOSE_MAX: usize = 4096;

/// All keys of groups in use, and the most recently used ones of others.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pinned: BTreeMap<GroupId, Pinned>,
    loose: BTreeMap<(GroupId, u32), (u64, GroupKey)>,
    uses: u64,
}

#[derive(Debug, Default)]
struct Pinned {
    pins: usize,
    keys: BTreeMap<u32, GroupKey>,
}

/// Keeps a group's keys in memory: those that are there and those that come.
#[derive(Debug)]
pub(crate) struct Pin {
    cache: Arc<Mutex<Cache>>,
    group: GroupId,
}

impl Pin {
    pub(super) fn new(cache: &Arc<Mutex<Cache>>, group: GroupId) -> Self {
        cache.lock().unwrap_or_else(PoisonError::into_inner).pin(group);
        Self { cache: Arc::clone(cache), group }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).unpin(self.group);
    }
}

impl Cache {
    pub(super) fn get(&mut self, group: GroupId, id: u32) -> Option<GroupKey> {
        if let Some(pinned) = self.pinned.get(&group) {
            return pinned.keys.get(&id).cloned();
        }
        self.uses += 1;
        let (used, key) = self.loose.get_mut(&(group, id))?;
        *used = self.uses;
        Some(key.clone())
    }

    pub(super) fn insert(&mut self, group: GroupId, id: u32, key: GroupKey) {
        if let Some(pinned) = self.pinned.get_mut(&group) {
            pinned.keys.insert(id, key);
            return;
        }
        if self.loose.len() >= LOOSE_MAX && !self.loose.contains_key(&(group, id)) {
            self.evict();
        }
        self.uses += 1;
        self.loose.insert((group, id), (self.uses, key));
    }

    pub(super) fn remove(&mut self, group: GroupId) {
        if let Some(pinned) = self.pinned.get_mut(&group) {
            pinned.keys.clear();
        }
        self.take_loose(group);
    }

    pub(super) fn remove_key(&mut self, group: GroupId, id: u32) {
        if let Some(pinned) = self.pinned.get_mut(&group) {
            pinned.keys.remove(&id);
        }
        self.loose.remove(&(group, id));
    }

    fn pin(&mut self, group: GroupId) {
        if !self.pinned.contains_key(&group) {
            let keys = self.take_loose(group);
            self.pinned.insert(group, Pinned { pins: 0, keys });
        }
        self.pinned.entry(group).or_default().pins += 1;
    }

    fn unpin(&mut self, group: GroupId) {
        let Some(pinned) = self.pinned.get_mut(&group) else { return };
        pinned.pins -= 1;
        if pinned.pins == 0 {
            let keys = self.pinned.remove(&group).unwrap_or_default().keys;
            keys.into_iter().for_each(|(id, key)| self.insert(group, id, key));
        }
    }

    fn take_loose(&mut self, group: GroupId) -> BTreeMap<u32, GroupKey> {
        let ids: Vec<u32> =
            self.loose.range((group, 0)..=(group, u32::MAX)).map(|((_, id), _)| *id).collect();
        ids.into_iter().filter_map(|id| Some((id, self.loose.remove(&(group, id))?.1))).collect()
    }

    /// Drops the older half, so that a full cache costs its length once in many insertions.
    fn evict(&mut self) {
        let mut uses: Vec<u64> = self.loose.values().map(|(used, _)| *used).collect();
        uses.sort_unstable();
        let median = uses[uses.len() / 2];
        self.loose.retain(|_, (used, _)| *used >= median);
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
            assert!(cache.loose.len() <= LOOSE_MAX);
            assert_eq!(cache.get(GroupId(0), 1), Some(first.clone()));
        }
        cache.remove(GroupId(0));
        assert_eq!(cache.get(GroupId(0), 1), None);
    }

    #[test]
    fn the_keys_of_a_pinned_group_stay_until_the_last_pin_goes() {
        let random = SeededRandom::dangerous_from_seed(2);
        let cache = Arc::new(Mutex::new(Cache::default()));
        let keys: Vec<_> = (1..=3).map(|_| GroupKey::generate(&random)).collect();
        let others = |from: u32| {
            let mut cache = cache.lock().unwrap();
            (from..from + 10_000).for_each(|group| {
                cache.insert(GroupId(group), 1, GroupKey::generate(&random));
                assert!(cache.loose.len() <= LOOSE_MAX);
            });
        };
        let found = || [1, 2, 3].map(|id| cache.lock().unwrap().get(GroupId(7), id));
        cache.lock().unwrap().insert(GroupId(7), 1, keys[0].clone());
        let pins = [(); 2].map(|()| Pin::new(&cache, GroupId(7)));
        cache.lock().unwrap().insert(GroupId(7), 2, keys[1].clone());
        others(100);
        assert_eq!(found(), [Some(keys[0].clone()), Some(keys[1].clone()), None]);
        let [first, second] = pins;
        drop(first);
        cache.lock().unwrap().remove_key(GroupId(7), 1);
        others(100_000);
        assert_eq!(found(), [None, Some(keys[1].clone()), None]);
        drop(second);
        assert_eq!(found(), [None, Some(keys[1].clone()), None], "nobody needed the place yet");
        others(200_000);
        assert_eq!(found(), [None, None, None]);
    }
}
