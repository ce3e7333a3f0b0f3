//! How often each group key sealed and how much. `docs/spec/keyring.md` §9.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::keyring::Contents;
use crate::{Clock, GroupId};

/// What a key did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Used {
    pub(crate) seals: u64,
    pub(crate) bytes: u64,
    /// Seconds since 1970; 0 if it never sealed.
    pub(crate) last_at: u64,
}

/// The counts of all keys. Whoever seals under a key keeps its [`KeyUse`], so that sealing takes no lock.
pub(crate) struct KeyUses {
    clock: Arc<dyn Clock>,
    keys: RwLock<HashMap<(GroupId, u32), Arc<KeyUse>>>,
}

/// The counts of one key.
#[derive(Debug)]
pub(crate) struct KeyUse {
    clock: Arc<dyn Clock>,
    seals: AtomicU64,
    bytes: AtomicU64,
    last_at: AtomicU64,
}

impl KeyUses {
    /// Counts that go on from what the keyring says.
    pub(crate) fn new(contents: &Contents, clock: Arc<dyn Clock>) -> Self {
        let mut keys = HashMap::new();
        for (group, group_keys) in &contents.groups {
            for key in &group_keys.keys {
                let counted = KeyUse::starting(key.used(), Arc::clone(&clock));
                keys.insert((*group, key.id), Arc::new(counted));
            }
        }
        Self { clock, keys: RwLock::new(keys) }
    }

    /// Counts for keys that no keyring holds.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn for_test() -> Arc<Self> {
        Arc::new(Self { clock: Arc::new(crate::SystemClock), keys: RwLock::default() })
    }

    /// The counts of a key; from nothing if it is a new one.
    pub(crate) fn of(&self, group: GroupId, key_id: u32) -> Arc<KeyUse> {
        let known = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&(group, key_id)).cloned();
        known.unwrap_or_else(|| {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(KeyUse::starting(Used::default(), Arc::clone(&self.clock)));
            Arc::clone(keys.entry((group, key_id)).or_insert_with(fresh))
        })
    }

    /// Counts so many seals of so many bytes altogether.
    pub(crate) fn add(&self, group: GroupId, key_id: u32, seals: u64, bytes: u64) {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = keys.get(&(group, key_id)) {
            return known.add(seals, bytes);
        }
        drop(keys);
        self.of(group, key_id).add(seals, bytes);
    }

    /// What a key did, if it is known.
    pub(crate) fn used(&self, group: GroupId, key_id: u32) -> Option<Used> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&(group, key_id)).map(|counted| counted.used())
    }

    /// The group is gone, and what its keys did does not matter any more.
    pub(crate) fn forget(&self, group: GroupId) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != group);
    }
}

impl KeyUse {
    fn starting(from: Used, clock: Arc<dyn Clock>) -> Self {
        Self { clock, seals: from.seals.into(), bytes: from.bytes.into(), last_at: from.last_at.into() }
    }

    /// Counts so many seals of so many bytes altogether.
    pub(crate) fn add(&self, seals: u64, bytes: u64) {
        self.seals.fetch_add(seals, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.last_at.fetch_max(self.clock.now_seconds(), Ordering::Relaxed);
    }

    fn used(&self) -> Used {
        Used {
            seals: self.seals.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            last_at: self.last_at.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for KeyUses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyUses").finish_non_exhaustive()
    }
}
