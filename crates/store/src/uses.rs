//! How often each group key sealed and how much. `docs/spec/keyring.md` §9.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use crate::keeper::ToKeeper;
use crate::keyring::{Contents, KeyEntry, Keyring};
use crate::{Clock, GroupId, KeyLimits, KeyState};

/// How far the keyring is ahead of what was counted: as much as a busy store seals in some seconds.
const RESERVE: Used = Used { seals: 1 << 20, bytes: 8 << 30, last_at: 0 };
/// A reserve is at most this share of a limit, so that a crash does not cost a key its life.
const RESERVE_SHARE: u64 = 16;

/// How often a group key seals at the very most: what NIST SP 800-38D §8.3 allows, whatever keeps it from being followed by
/// another.
const SEALS_MOST: u64 = 1 << 32;
/// For what comes without asking: the pages of commands that are in the log, marks, the rotation itself. 64 GiB of pages.
const SEALS_KEPT_BACK: u64 = 1 << 24;
/// From here on nothing new is taken that the key would seal.
pub(crate) const SEALS_USED_UP: u64 = SEALS_MOST - SEALS_KEPT_BACK;

/// What a key did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Used {
    pub(crate) seals: u64,
    pub(crate) bytes: u64,
    /// Seconds since 1970; 0 if it never sealed.
    pub(crate) last_at: u64,
}

/// Whether the keyring gets the counts with a reserve for what comes, or as they are because nothing comes any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    Reserve,
    Nothing,
}

/// The counts of all keys. Whoever seals under a key keeps its [`KeyUse`], so that sealing takes no lock.
pub(crate) struct KeyUses {
    shared: Arc<Shared>,
    keys: RwLock<HashMap<(GroupId, u32), Arc<KeyUse>>>,
}

/// The counts of one key.
#[derive(Debug)]
pub(crate) struct KeyUse {
    shared: Arc<Shared>,
    seals: AtomicU64,
    bytes: AtomicU64,
    last_at: AtomicU64,
    /// Past one of these there is something to do.
    due_seals: AtomicU64,
    due_bytes: AtomicU64,
    /// What the durable keyring says.
    kept_seals: AtomicU64,
    kept_bytes: AtomicU64,
    /// The key thread was told.
    told: AtomicBool,
}

/// What all counts have in common.
struct Shared {
    clock: Arc<dyn Clock>,
    limits: KeyLimits,
    keeper: OnceLock<Sender<ToKeeper>>,
    keyring: OnceLock<Weak<Keyring>>,
    /// Some key is used up, or was: then it is worth looking which.
    some_used_up: AtomicBool,
}

impl KeyUses {
    /// Counts that go on from what the keyring says.
    pub(crate) fn new(contents: &Contents, clock: Arc<dyn Clock>, limits: KeyLimits) -> Self {
        let shared = Shared::new(clock, limits);
        let this = Self { shared: Arc::new(shared), keys: RwLock::default() };
        for (group, group_keys) in &contents.groups {
            for key in &group_keys.keys {
                this.insert(*group, key.id, key.used());
            }
        }
        this
    }

    /// Counts for keys that no keyring holds.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn for_test() -> Arc<Self> {
        let limits = KeyLimits::default();
        let clock = Arc::new(crate::SystemClock);
        let shared = Shared::new(clock, limits);
        Arc::new(Self { shared: Arc::new(shared), keys: RwLock::default() })
    }

    /// Who is told that something is due, and what is written when a reserve is used up.
    pub(crate) fn connect(&self, keyring: &Arc<Keyring>, keeper: Sender<ToKeeper>) {
        let _ = (self.shared.keyring.set(Arc::downgrade(keyring)), self.shared.keeper.set(keeper));
    }

    /// The counts of a key; from nothing if it is a new one.
    pub(crate) fn of(&self, group: GroupId, key_id: u32) -> Arc<KeyUse> {
        self.known(group, key_id).unwrap_or_else(|| self.insert(group, key_id, Used::default()))
    }

    /// Counts so many seals of so many bytes altogether.
    pub(crate) fn add(&self, group: GroupId, key_id: u32, seals: u64, bytes: u64) {
        self.of(group, key_id).add(seals, bytes);
    }

    /// What a key did, if it is known.
    pub(crate) fn used(&self, group: GroupId, key_id: u32) -> Option<Used> {
        self.known(group, key_id).map(|counted| counted.used())
    }

    /// Whether a key sealed so often that it takes nothing new.
    pub(crate) fn is_used_up(&self, group: GroupId, key_id: u32) -> bool {
        self.some_used_up() && self.used(group, key_id).is_some_and(|used| used.seals >= SEALS_USED_UP)
    }

    /// Whether there may be a key of which [`Self::is_used_up`] says so.
    pub(crate) fn some_used_up(&self) -> bool {
        self.shared.some_used_up.load(Ordering::Relaxed)
    }

    /// The group is gone, and what its keys did does not matter any more.
    pub(crate) fn forget(&self, group: GroupId) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != group);
    }

    /// Puts the counts into what will be the keyring.
    pub(crate) fn fill(&self, contents: &mut Contents, ahead: Ahead) {
        let reserve = self.shared.reserve();
        for (group, keys) in &mut contents.groups {
            for key in &mut keys.keys {
                let Some(used) = self.used(*group, key.id) else { continue };
                key.last_used_at = used.last_at;
                let (mut seals, mut bytes) = (used.seals, used.bytes);
                if ahead == Ahead::Reserve {
                    // A key that is not active goes on with what it has left, and gets more only if it needs it.
                    let (left_seals, left_bytes) = (key.seals, key.sealed_bytes);
                    let active = key.state == KeyState::Active;
                    if active || seals > left_seals {
                        seals += reserve.seals
                    } else {
                        seals = left_seals
                    }
                    if active || bytes > left_bytes { bytes += reserve.bytes } else { bytes = left_bytes }
                }
                (key.seals, key.sealed_bytes) = (seals, bytes);
            }
        }
    }

    /// The durable keyring has these counts.
    pub(crate) fn kept(&self, contents: &Contents) {
        for (group, keys) in &contents.groups {
            for key in &keys.keys {
                self.of(*group, key.id).kept(key);
            }
        }
    }

    /// Whether half of a reserve is used.
    pub(crate) fn need_reserve(&self, contents: &Contents) -> bool {
        let reserve = self.shared.reserve();
        let keys = contents.groups.iter().flat_map(|(group, keys)| keys.keys.iter().map(|key| (*group, key)));
        keys.filter(|(_, key)| key.state == KeyState::Active).any(|(group, key)| {
            let used = self.used(group, key.id).unwrap_or_default();
            used.seals + reserve.seals / 2 > key.seals || used.bytes + reserve.bytes / 2 > key.sealed_bytes
        })
    }

    /// The active keys that are past a limit.
    pub(crate) fn past_limits(&self, contents: &Contents) -> Vec<GroupId> {
        let limits = &self.shared.limits;
        let now = self.shared.clock.now_seconds();
        let past = |group: GroupId, key: &KeyEntry| {
            let used = self.used(group, key.id).unwrap_or_default();
            let age = now.saturating_sub(key.created_at);
            used.seals >= limits.seals
                || used.bytes >= limits.bytes
                || (limits.age_seconds > 0 && age >= limits.age_seconds)
        };
        let groups = contents.groups.iter();
        groups.filter(|(group, keys)| past(**group, keys.active())).map(|(group, _)| *group).collect()
    }

    fn known(&self, group: GroupId, key_id: u32) -> Option<Arc<KeyUse>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&(group, key_id)).cloned()
    }

    fn insert(&self, group: GroupId, key_id: u32, from: Used) -> Arc<KeyUse> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(KeyUse::starting(from, Arc::clone(&self.shared)));
        Arc::clone(keys.entry((group, key_id)).or_insert_with(fresh))
    }
}

impl KeyUse {
    /// Nothing is due before the keyring was written for the first time.
    fn starting(from: Used, shared: Arc<Shared>) -> Self {
        shared.note_used_up(from.seals);
        Self {
            shared,
            seals: from.seals.into(),
            bytes: from.bytes.into(),
            last_at: from.last_at.into(),
            due_seals: u64::MAX.into(),
            due_bytes: u64::MAX.into(),
            kept_seals: u64::MAX.into(),
            kept_bytes: u64::MAX.into(),
            told: false.into(),
        }
    }

    /// Counts so many seals of so many bytes altogether.
    pub(crate) fn add(&self, seals: u64, bytes: u64) {
        let seals = self.seals.fetch_add(seals, Ordering::Relaxed).saturating_add(seals);
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.shared.note_used_up(seals);
        self.last_at.fetch_max(self.shared.clock.now_seconds(), Ordering::Relaxed);
        if seals > self.due_seals.load(Ordering::Relaxed) || bytes > self.due_bytes.load(Ordering::Relaxed) {
            self.due(seals, bytes);
        }
    }

    #[cold]
    fn due(&self, seals: u64, bytes: u64) {
        if !self.told.swap(true, Ordering::Relaxed)
            && let Some(keeper) = self.shared.keeper.get()
        {
            let _ = keeper.send(ToKeeper::Check);
        }
        let (kept_seals, kept_bytes) = (&self.kept_seals, &self.kept_bytes);
        if seals <= kept_seals.load(Ordering::Relaxed) && bytes <= kept_bytes.load(Ordering::Relaxed) {
            return;
        }
        let Some(keyring) = self.shared.keyring.get().and_then(Weak::upgrade) else { return };
        if let Err(error) = keyring.replace(|_| ()) {
            tracing::warn!(%error, "the keyring could not be told how often its keys sealed");
            // Tried again when as much was sealed once more, and not with each page.
            let reserve = self.shared.reserve();
            kept_seals.fetch_max(seals.saturating_add(reserve.seals), Ordering::Relaxed);
            kept_bytes.fetch_max(bytes.saturating_add(reserve.bytes), Ordering::Relaxed);
        }
    }

    fn kept(&self, key: &KeyEntry) {
        let (reserve, limits) = (self.shared.reserve(), &self.shared.limits);
        let due = |kept: u64, reserve: u64, limit: u64, used: u64| {
            let half = if key.state == KeyState::Active { kept.saturating_sub(reserve / 2) } else { kept };
            // What is past its limit was said; the next check tries again.
            if used < limit { half.min(limit - 1) } else { half }
        };
        let used = self.used();
        self.kept_seals.store(key.seals, Ordering::Relaxed);
        self.kept_bytes.store(key.sealed_bytes, Ordering::Relaxed);
        self.due_seals.store(due(key.seals, reserve.seals, limits.seals, used.seals), Ordering::Relaxed);
        self.due_bytes
            .store(due(key.sealed_bytes, reserve.bytes, limits.bytes, used.bytes), Ordering::Relaxed);
        self.told.store(false, Ordering::Relaxed);
    }

    fn used(&self) -> Used {
        Used {
            seals: self.seals.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            last_at: self.last_at.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn new(clock: Arc<dyn Clock>, limits: KeyLimits) -> Self {
        Self { clock, limits, keeper: OnceLock::new(), keyring: OnceLock::new(), some_used_up: false.into() }
    }

    fn note_used_up(&self, seals: u64) {
        if seals >= SEALS_USED_UP {
            self.some_used_up.store(true, Ordering::Relaxed);
        }
    }

    fn reserve(&self) -> Used {
        let share = |limit: u64| (limit / RESERVE_SHARE).max(1);
        Used {
            seals: RESERVE.seals.min(share(self.limits.seals)),
            bytes: RESERVE.bytes.min(share(self.limits.bytes)),
            last_at: 0,
        }
    }
}

impl fmt::Debug for KeyUses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyUses").finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}
