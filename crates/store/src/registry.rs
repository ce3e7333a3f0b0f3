//! Which groups have their page file open.
//!
//! A group is opened when it is first used and stays open until others need its place. Whoever uses it holds an
//! `Arc`, so a group in use is never closed; the bound on how many are open gives way to that and is kept again by the
//! next opening. The system group is used all the time and stays.
//!
//! A page file takes no more calls after its first failure, and the database inside it neither. If that was a read, and
//! every row is durable, nothing is lost by opening the file again: so whoever wants the group next does that, as soon
//! as nobody else uses it. What is damaged fails again, by name; all else is readable.

mod cache;
mod error;
mod group;
mod mend;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use strongroom_seal::Random;
use strongroom_telemetry::names;

use crate::directory::{Directory, Lock};
use crate::disk::Disk;
use crate::keyring::{KeyError, Keyring, KeysPin, Usable};
use crate::log::Surroundings;
use crate::overlay::Budget;
use crate::pages::{Checkpointed, GroupDb, PageKeys, PagesError, RootSeq, journal_path};
use crate::poison::Poison;
use crate::{Damage, GroupId, Lsn, Place};

/// How long one waits for the others that use a group that is to be opened again: so often, so long each time. Who
/// waited in vain gets it as it is.
const REOPEN_ROUNDS: u32 = 20;
const REOPEN_ROUND: Duration = Duration::from_millis(5);

/// What a page file is known to have reached, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) applied: Lsn,
    /// 0 if there is no page file yet (`docs/spec/data-directory.md` §6).
    pub(crate) root: RootSeq,
}

impl Known {
    /// There is no page file yet.
    pub(crate) const NOTHING: Self = Self { applied: Lsn(0), root: RootSeq(0) };
}

impl From<Checkpointed> for Known {
    fn from(done: Checkpointed) -> Self {
        Self { applied: done.applied, root: done.root }
    }
}

pub(crate) use self::error::GroupError;
pub(crate) use self::group::OpenGroup;
pub(crate) use self::mend::{ApplyError, FlushError};

/// What the registry works with.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) directory: Arc<Directory>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) poison: Arc<Poison>,
    pub(crate) groups_open_max: usize,
    pub(crate) cache_bytes: usize,
    /// The log, from which pages can be made again, if they may be.
    pub(crate) log: Option<Surroundings>,
    /// The last command that was in the log when the store opened. No page file from before has a later one.
    pub(crate) logged: Lsn,
}

/// The open groups.
#[derive(Debug)]
pub(crate) struct Registry {
    setting: Setting,
    /// What the changes of page files may take that the disk has no space for.
    memory: Arc<Budget>,
    state: Mutex<State>,
    /// A slot stopped opening or closing.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<GroupId, Slot>,
    known: HashMap<GroupId, Known>,
    uses: u64,
    /// [`Self::uses`] when the cache was last shared anew.
    uses_seen: u64,
    roots_moved: u64,
    closed: bool,
    /// Held until the registry is closed.
    lock: Option<Lock>,
}

#[derive(Debug)]
enum Slot {
    /// About to be opened by one thread, which asks for its keys; others that want it wait. Nothing of the group is open,
    /// so who applies commands to it need not wait for a provider.
    Unwrapping,
    /// Being opened by one thread, with so much cache; the others wait.
    Opening {
        cache_bytes: usize,
    },
    /// Being closed by one thread; the others wait. What was applied is durable when it is done.
    Closing,
    Open {
        group: Arc<OpenGroup>,
        used: u64,
    },
    /// Closing failed, so rows that are applied may be missing in the file. Nobody gets to see it without them.
    Failed,
}

impl Registry {
    pub(crate) fn new(setting: Setting, lock: Lock, known: HashMap<GroupId, Known>) -> Self {
        let state = State { known, lock: Some(lock), ..State::default() };
        let memory = Budget::of(setting.cache_bytes);
        Self { setting, memory, state: Mutex::new(state), settled: Condvar::new() }
    }

    /// The group, opened if need be. Blocks on the disk then, and on the root key's provider if its key is not in
    /// memory.
    pub(crate) fn acquire(&self, id: GroupId) -> Result<Arc<OpenGroup>, GroupError> {
        let mut state = self.lock();
        let mut rounds = 0;
        let stale = loop {
            if state.is_stale(id) && rounds < REOPEN_ROUNDS {
                if let Some(stale) = state.take_unused(id) {
                    break Some(stale);
                }
                rounds += 1;
                let waited = self.settled.wait_timeout(state, REOPEN_ROUND);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            if let Some(found) = state.find(id)? {
                drop(state);
                if found.is_worth_mending() {
                    // If it fails, the group answers with that.
                    let _ = self.mend(&found);
                }
                return Ok(found);
            }
            if !state.slots.contains_key(&id) {
                break None;
            }
            state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        // Looked up under the lock: a dropping either is in the keyring by now, or finds the slot and waits for it.
        if !self.setting.keyring.contents().groups.contains_key(&id) {
            return Err(GroupError::NoSuchGroup { group: id });
        }
        state.slots.insert(id, Slot::Unwrapping);
        drop(state);
        if let Some(stale) = stale {
            tracing::warn!(group = %id, error = ?stale.fault(), "a group's pages are opened again after a failed read");
            // Its locks have to be gone before.
            drop(stale);
        }
        let pin = self.setting.keyring.pin(id);
        let unwrapped = self.keys(id, Keyring::usable);
        let mut state = self.lock();
        let opened = match unwrapped {
            _ if state.closed => Err(GroupError::Closed),
            // Dropped meanwhile, and its slot with it.
            _ if !state.slots.contains_key(&id) => Err(GroupError::NoSuchGroup { group: id }),
            Err(error) => Err(error),
            Ok(_) => {
                let known = state.known.get(&id).copied();
                let lock = state.lock.clone();
                let cache_bytes = state.cache_share(id, self.setting.cache_bytes);
                state.slots.insert(id, Slot::Opening { cache_bytes });
                drop(state);
                let opened = self.open(id, known, lock, pin, cache_bytes);
                state = self.lock();
                opened
            }
        };
        let answer = match opened {
            // Closed meanwhile: nobody gets to see the group any more, and dropping it lets go of the directory.
            Ok(_) if state.closed => Err(GroupError::Closed),
            Ok(group) => {
                let group = Arc::new(group);
                state.uses += 1;
                let used = state.uses;
                state.known.insert(id, group.known());
                state.slots.insert(id, Slot::Open { group: Arc::clone(&group), used });
                counter!(names::GROUP_OPENS).increment(1);
                Ok(group)
            }
            Err(error) => {
                state.slots.remove(&id);
                Err(error)
            }
        };
        self.settled.notify_all();
        self.keep_bound(state);
        if let Ok(group) = &answer
            && group.is_worth_mending()
        {
            // If it fails, the group answers with that.
            let _ = self.mend(group);
        }
        answer
    }

    /// The group if it is open now and need not be opened again; never waits for the disk.
    pub(crate) fn acquire_open(&self, id: GroupId) -> Result<Option<Arc<OpenGroup>>, GroupError> {
        let mut state = self.lock();
        if state.is_stale(id) {
            return Ok(None);
        }
        Ok(state.find(id)?.filter(|group| !group.is_worth_mending()))
    }

    /// Whether opening the group, which may be open already, asks nobody for a key.
    pub(crate) fn has_keys_in_memory(&self, id: GroupId) -> bool {
        !matches!(self.setting.keyring.usable_in_memory(id), Err(KeyError::NotInMemory { .. }))
    }

    /// Opens a group whose keys are in memory and stay there with `pin`.
    fn open(
        &self,
        id: GroupId,
        known: Option<Known>,
        lock: Option<Lock>,
        pin: KeysPin,
        cache_bytes: usize,
    ) -> Result<OpenGroup, GroupError> {
        // What this process closed itself may have later rows than the log had when it was opened.
        let last = self.setting.logged.max(known.map_or(Lsn(0), |known| known.applied));
        match self.open_db(id, known, last, cache_bytes, &self.setting.disk) {
            Ok(db) => Ok(OpenGroup::new(id, db, cache_bytes, lock, pin)),
            // It can do without the disk.
            Err(GroupError::Pages { error: error @ PagesError::NoSpace { .. }, .. })
                if self.setting.log.is_some() =>
            {
                let known = known.unwrap_or(Known::NOTHING);
                Ok(OpenGroup::broken(id, error, known, cache_bytes, lock, pin))
            }
            Err(error) => Err(error),
        }
    }

    /// `last` is the last command that its rows may have. Asks nobody for keys: whoever has the group, or is about to, has
    /// them pinned.
    fn open_db(
        &self,
        id: GroupId,
        known: Option<Known>,
        last: Lsn,
        cache_bytes: usize,
        disk: &Arc<dyn Disk>,
    ) -> Result<GroupDb, GroupError> {
        let Setting { directory, random, .. } = &self.setting;
        let keys = self.keys(id, Keyring::usable_in_memory)?;
        let path = directory.page_file(id);
        let random = Arc::clone(random);
        let opened = match known.filter(|known| known.root > RootSeq(0)) {
            Some(known) => {
                GroupDb::open(disk, &path, id, &keys, random, cache_bytes, known.root).and_then(|db| {
                    if db.applied() >= known.applied {
                        return Ok(db);
                    }
                    let why = "its rows are older than its root";
                    Err(Damage { file: path.clone(), at: Place::Whole, why }.into())
                })
            }
            // Whatever is there was begun after the last checkpoint, and all of it is in the log.
            None => match disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(PagesError::Io { path: path.clone(), source: Arc::new(error) })
                }
                _ => GroupDb::create(disk, &path, id, &keys, random, cache_bytes),
            },
        };
        let db = opened.map_err(|error| GroupError::Pages { group: id, error })?;
        let applied = db.applied();
        // Rows become durable only after their command is durable in the log (`docs/spec/data-directory.md` §6).
        if applied > last {
            db.freeze();
            return Err(GroupError::LogBehind { group: id, log: directory.log(), last, applied });
        }
        Ok(db)
    }

    /// Closes groups that nobody uses, least recently used first, until the bound is kept.
    fn keep_bound<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        loop {
            gauge!(names::GROUPS_OPEN).set(state.open_count() as f64);
            if state.open_count() <= self.setting.groups_open_max {
                return;
            }
            let Some(group) = state.take_idle() else { return };
            state = self.close_taken(state, group);
            self.settled.notify_all();
        }
    }

    /// Closes a group that was taken out, whose slot is closing.
    fn close_taken<'a>(&'a self, state: MutexGuard<'a, State>, group: OpenGroup) -> MutexGuard<'a, State> {
        let id = group.id;
        drop(state);
        let closed = self.close_one(group);
        counter!(names::GROUP_CLOSES).increment(1);
        let mut state = self.lock();
        match closed {
            Ok(known) => {
                state.known.insert(id, known);
                state.slots.remove(&id);
            }
            Err(Some(broken)) => {
                state.uses += 1;
                let used = state.uses;
                state.slots.insert(id, Slot::Open { group: Arc::new(*broken), used });
            }
            Err(None) => {
                state.slots.insert(id, Slot::Failed);
            }
        }
        state
    }

    /// Open groups with rows that are not durable, and those in memory, which are to leave it. Everything applied before the
    /// call is in these, or durable: what was being closed at the time is waited for.
    pub(crate) fn dirty(&self) -> Vec<Arc<OpenGroup>> {
        let mut state = self.lock();
        let is_dirty = |group: &&Arc<OpenGroup>| group.dirty() || group.in_memory().is_some();
        // At one moment, and held from then on: none of these can begin to be closed while others are waited for.
        let mut dirty: Vec<_> = state.open().filter(is_dirty).map(Arc::clone).collect();
        let is_closing = |slot: &Slot| matches!(slot, Slot::Closing);
        let closing: Vec<_> =
            state.slots.iter().filter(|(_, slot)| is_closing(slot)).map(|(id, _)| *id).collect();
        for id in closing {
            while state.slots.get(&id).is_some_and(is_closing) {
                state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            // It could not be closed, or was opened again since.
            let again = state.open().find(|group| group.id == id).filter(is_dirty);
            dirty.extend(again.map(Arc::clone));
        }
        dirty.sort_by_key(|group| group.id);
        dirty
    }

    /// The pages of a group were moved to another key: its file as it was before is not acceptable any more.
    pub(crate) fn root_moved(&self, group: &OpenGroup) {
        let root = group.known().root;
        let mut state = self.lock();
        // Not if it was dropped meanwhile, and not back.
        if let Some(known) = state.known.get_mut(&group.id)
            && known.root < root
        {
            known.root = root;
            state.roots_moved += 1;
        }
    }

    /// How often [`Self::root_moved`] had something new to tell.
    pub(crate) fn roots_moved(&self) -> u64 {
        self.lock().roots_moved
    }

    /// How many pages a group's page file has room for as it is; 0 if there is none, or it cannot be looked at now.
    pub(crate) fn pages_of(&self, group: GroupId) -> u64 {
        let file = self.setting.disk.open_read(&self.setting.directory.page_file(group));
        file.and_then(|file| file.len()).map_or(0, crate::pages::pages_in)
    }

    /// What the page file of a group has reached.
    pub(crate) fn known(&self, group: GroupId) -> Known {
        self.known_if_any(group).unwrap_or(Known::NOTHING)
    }

    fn known_if_any(&self, group: GroupId) -> Option<Known> {
        self.lock().known.get(&group).copied()
    }

    /// Not if it was dropped meanwhile.
    fn set_known(&self, group: GroupId, known: Known) {
        if let Some(before) = self.lock().known.get_mut(&group) {
            *before = known;
        }
    }

    /// The group has another active key, which seals its pages from now on.
    pub(crate) fn use_new_key(&self, id: GroupId) -> Result<(), GroupError> {
        let mut state = self.lock();
        // What is being opened may have looked up the keys before the keyring had the new one.
        while let Some(Slot::Opening { .. } | Slot::Closing) = state.slots.get(&id) {
            state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(Slot::Open { group, .. }) = state.slots.get(&id) else { return Ok(()) };
        let group = Arc::clone(group);
        drop(state);
        let keys = self.keys(id, Keyring::usable_in_memory)?;
        group.db()?.use_keys(&keys).map_err(|error| GroupError::Pages { group: id, error })
    }

    /// Unwraps what a replayed command gave the system group: log and pages are sealed with that next, and its pages were
    /// open before.
    pub(crate) fn unlock_system(&self) -> Result<(), GroupError> {
        self.keys(GroupId::SYSTEM, Keyring::usable).map(drop)
    }

    fn keys(
        &self,
        id: GroupId,
        usable: impl Fn(&Keyring, GroupId) -> Result<Usable, KeyError>,
    ) -> Result<PageKeys, GroupError> {
        let keyring = &self.setting.keyring;
        let (active, keys) = usable(keyring, id).map_err(|error| match error {
            KeyError::NoSuchGroup { .. } => GroupError::NoSuchGroup { group: id },
            error => GroupError::Key { group: id, error },
        })?;
        Ok(PageKeys { active, keys, uses: Arc::clone(keyring.uses()) })
    }

    /// The group is gone from the keyring: its file goes too. Readers that have it open finish.
    pub(crate) fn remove(&self, id: GroupId) -> io::Result<()> {
        let mut state = self.lock();
        while let Some(Slot::Opening { .. } | Slot::Closing) = state.slots.get(&id) {
            state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let slot = state.slots.remove(&id);
        state.known.remove(&id);
        drop(state);
        drop(slot);
        let pages = self.setting.directory.page_file(id);
        for path in [journal_path(&pages), pages] {
            match self.setting.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn open_count(&self) -> usize {
        self.lock().open_count()
    }

    /// Closes every group that nobody uses and opens no more.
    pub(crate) fn close(&self, last: impl FnOnce()) {
        let mut state = self.lock();
        state.closed = true;
        let lock = state.lock.take();
        let mut slots: Vec<_> = std::mem::take(&mut state.slots).into_iter().collect();
        drop(state);
        slots.sort_by_key(|(id, _)| *id);
        for (_, slot) in slots {
            if let Slot::Open { group, .. } = slot
                && let Ok(group) = Arc::try_unwrap(group)
            {
                let _ = self.close_one(group);
            }
        }
        last();
        drop(lock);
    }

    /// Opens no more groups and lets go of the open ones as they are.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        let (lock, slots) = (state.lock.take(), std::mem::take(&mut state.slots));
        drop(state);
        drop(slots);
        drop(lock);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, id: GroupId) -> Result<Option<Arc<OpenGroup>>, GroupError> {
        if self.closed {
            return Err(GroupError::Closed);
        }
        self.uses += 1;
        match self.slots.get_mut(&id) {
            Some(Slot::Open { group, used }) => {
                *used = self.uses;
                Ok(Some(Arc::clone(group)))
            }
            Some(Slot::Failed) => Err(GroupError::Failed { group: id }),
            Some(Slot::Unwrapping | Slot::Opening { .. } | Slot::Closing) | None => Ok(None),
        }
    }

    fn is_stale(&self, id: GroupId) -> bool {
        matches!(self.slots.get(&id), Some(Slot::Open { group, .. }) if group.stale())
    }

    /// Takes the group out if nobody holds it.
    fn take_unused(&mut self, id: GroupId) -> Option<OpenGroup> {
        match self.slots.get(&id) {
            Some(Slot::Open { group, .. }) if Arc::strong_count(group) == 1 => {}
            _ => return None,
        }
        match self.slots.remove(&id) {
            Some(Slot::Open { group, .. }) => Arc::into_inner(group),
            _ => None,
        }
    }

    fn open(&self) -> impl Iterator<Item = &Arc<OpenGroup>> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Open { group, .. } => Some(group),
            Slot::Unwrapping | Slot::Opening { .. } | Slot::Closing | Slot::Failed => None,
        })
    }

    fn open_count(&self) -> usize {
        self.open().count()
    }

    /// Takes the least recently used group that nobody holds, leaving its slot closing. Nobody can get hold of it
    /// meanwhile: that needs the lock under which this runs.
    fn take_idle(&mut self) -> Option<OpenGroup> {
        let idle = self.slots.iter().filter_map(|(id, slot)| match slot {
            Slot::Open { group, used }
                if *id != GroupId::SYSTEM
                    && Arc::strong_count(group) == 1
                    && !group.is_broken()
                    && group.in_memory().is_none() =>
            {
                Some((*used, *id))
            }
            _ => None,
        });
        let (_, id) = idle.min()?;
        match self.slots.insert(id, Slot::Closing) {
            Some(Slot::Open { group, .. }) => Arc::into_inner(group),
            _ => None,
        }
    }
}
