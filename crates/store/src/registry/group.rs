//! One open group: its page file, or why there is none for now.

use std::any::Any;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

use super::{GroupError, Known};
use crate::directory::Lock;
use crate::keyring::KeysPin;
use crate::overlay::Budget;
use crate::pages::{GroupDb, PagesError, RootSeq};
use crate::{Command, GroupId, Lsn, Outcome};

/// A group whose page file is open, or broke (`docs/spec/data-directory.md` §9).
#[derive(Debug)]
pub(crate) struct OpenGroup {
    pub(crate) id: GroupId,
    /// What the page file's cache may take, whether it is open or broken.
    pub(super) cache_bytes: usize,
    body: RwLock<Body>,
    /// The last command that is durable in the page file.
    durable: AtomicU64,
    /// The first command that is not. Counts while there is one.
    first: AtomicU64,
    /// The last command that the group took: applied, or due as soon as a broken group is whole.
    taken: AtomicU64,
    /// From this command on the log is not applied when the group is made whole.
    held_back: AtomicU64,
    /// Files that it had open before, of which there may be snapshots. Until those are gone the pages that they see are not
    /// written over.
    earlier: Mutex<Vec<Weak<dyn Any + Send + Sync>>>,
    /// What is in memory is about to go to the disk: who wants the group waits for that.
    leaving: AtomicBool,
    /// Held by whoever makes the group whole.
    pub(super) mending: Mutex<()>,
    /// Who seals this group's commands, applies them or makes the group whole asks nobody for its keys.
    _keys: KeysPin,
    /// The data directory stays locked while one of its files is open.
    _lock: Option<Lock>,
}

#[derive(Debug)]
enum Body {
    Whole(Arc<GroupDb>),
    /// The disk has no space for what the log has: all changes to the file are in memory, and none of them counts for what is
    /// durable.
    InMemory {
        db: Arc<GroupDb>,
        root: RootSeq,
        taken: Arc<Budget>,
    },
    /// The file failed while there were rows that are only in the log.
    Broken {
        error: PagesError,
        root: RootSeq,
    },
}

impl OpenGroup {
    pub(super) fn new(
        id: GroupId,
        db: GroupDb,
        cache_bytes: usize,
        lock: Option<Lock>,
        keys: KeysPin,
    ) -> Self {
        let applied = db.applied().0;
        Self::with(id, Body::Whole(Arc::new(db)), applied, cache_bytes, lock, keys)
    }

    /// A group whose file could not be opened, or not brought up to date.
    pub(super) fn broken(
        id: GroupId,
        error: PagesError,
        known: Known,
        cache_bytes: usize,
        lock: Option<Lock>,
        keys: KeysPin,
    ) -> Self {
        let body = Body::Broken { error, root: known.root };
        Self::with(id, body, known.applied.0, cache_bytes, lock, keys)
    }

    fn with(
        id: GroupId,
        body: Body,
        durable: u64,
        cache_bytes: usize,
        lock: Option<Lock>,
        keys: KeysPin,
    ) -> Self {
        Self {
            id,
            cache_bytes,
            body: RwLock::new(body),
            durable: durable.into(),
            first: 0.into(),
            taken: durable.into(),
            held_back: u64::MAX.into(),
            earlier: Mutex::default(),
            leaving: AtomicBool::new(false),
            mending: Mutex::new(()),
            _keys: keys,
            _lock: lock,
        }
    }

    /// The rows.
    pub(crate) fn db(&self) -> Result<Arc<GroupDb>, GroupError> {
        match &*self.body() {
            Body::Whole(db) | Body::InMemory { db, .. } => Ok(Arc::clone(db)),
            Body::Broken { error, .. } => Err(GroupError::Pages { group: self.id, error: error.clone() }),
        }
    }

    /// The rows, if what changes in the file is on its way to the disk.
    pub(crate) fn db_on_disk(&self) -> Result<Arc<GroupDb>, GroupError> {
        match &*self.body() {
            Body::InMemory { db, .. } => Err(GroupError::Pages { group: self.id, error: db.no_space() }),
            _ => self.db(),
        }
    }

    /// How much of the file is in memory because the disk has no space for it.
    pub(crate) fn in_memory(&self) -> Option<usize> {
        match &*self.body() {
            Body::InMemory { taken, .. } => Some(taken.used()),
            Body::Whole(_) | Body::Broken { .. } => None,
        }
    }

    /// Refuses if the pages take no more calls, before a command is logged that could not be applied.
    pub(crate) fn check(&self) -> Result<(), GroupError> {
        match self.fault() {
            Some(error) => Err(GroupError::Pages { group: self.id, error }),
            None => Ok(()),
        }
    }

    /// What is wrong with the file, if something is.
    pub(crate) fn fault(&self) -> Option<PagesError> {
        match &*self.body() {
            Body::Whole(db) | Body::InMemory { db, .. } => db.fault(),
            Body::Broken { error, .. } => Some(error.clone()),
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        matches!(&*self.body(), Body::Broken { .. })
    }

    /// Whether it is broken, and not for damage, which does not go away by itself; or is about to go from memory to the disk.
    pub(super) fn is_worth_mending(&self) -> bool {
        match &*self.body() {
            Body::Whole(_) => false,
            Body::InMemory { .. } => self.leaving.load(Ordering::Acquire),
            Body::Broken { error, .. } => matches!(error, PagesError::NoSpace { .. } | PagesError::Io { .. }),
        }
    }

    /// Whether there are rows that are only in the log.
    pub(crate) fn dirty(&self) -> bool {
        let taken = match &*self.body() {
            Body::Whole(db) | Body::InMemory { db, .. } => db.applied().max(self.taken()),
            Body::Broken { .. } => self.taken(),
        };
        taken.0 > self.durable.load(Ordering::Acquire)
    }

    /// The first command that the log must keep for this group.
    pub(crate) fn first_dirty(&self) -> Option<Lsn> {
        self.dirty().then(|| Lsn(self.first.load(Ordering::Acquire).max(1)))
    }

    /// The last command that the group took.
    pub(super) fn taken(&self) -> Lsn {
        Lsn(self.taken.load(Ordering::Acquire))
    }

    /// Commands from this one on stay out when the group is made whole.
    pub(super) fn hold_back(&self, from: Option<Lsn>) {
        self.held_back.store(from.map_or(u64::MAX, |from| from.0), Ordering::Release);
    }

    /// The last command that the group has once it is whole.
    pub(super) fn whole_at(&self) -> Lsn {
        self.taken().min(Lsn(self.held_back.load(Ordering::Acquire) - 1))
    }

    /// Whether a read failed and all rows are durable. With rows that are not, the file would come back without them.
    pub(super) fn stale(&self) -> bool {
        self.db().is_ok_and(|db| db.read_failed()) && !self.dirty()
    }

    pub(super) fn known(&self) -> Known {
        let root = match &*self.body() {
            Body::Whole(db) => db.root(),
            Body::InMemory { root, .. } | Body::Broken { root, .. } => *root,
        };
        Known { applied: Lsn(self.durable.load(Ordering::Acquire)), root }
    }

    /// Applies commands to the rows and notes them as taken.
    pub(super) fn apply(
        &self,
        db: &GroupDb,
        commands: &[(Lsn, &Command)],
    ) -> Result<Vec<Outcome>, PagesError> {
        let outcomes = db.apply(commands)?;
        self.take(commands);
        Ok(outcomes)
    }

    /// Notes that the group took commands: they are in its rows, or will be once it is whole.
    pub(super) fn take(&self, commands: &[(Lsn, &Command)]) {
        let (Some((first, _)), Some((last, _))) = (commands.first(), commands.last()) else { return };
        // Not `dirty`: the rows may have these commands already.
        if self.taken().0 <= self.durable.load(Ordering::Acquire) {
            self.first.store(first.0, Ordering::Release);
        }
        self.taken.fetch_max(last.0, Ordering::AcqRel);
    }

    /// All rows up to here are durable.
    pub(super) fn reached(&self, applied: Lsn) {
        self.durable.fetch_max(applied.0, Ordering::AcqRel);
    }

    /// The file takes no more calls, and nothing of it becomes durable any more.
    pub(super) fn break_with(&self, error: PagesError) {
        self.break_body(&mut self.body.write().unwrap_or_else(PoisonError::into_inner), error);
    }

    /// [`Self::break_with`] for what is in memory, unless somebody reads it, is about to, or has a snapshot of before. Whether it
    /// was done: then nobody gets to see what is in memory any more.
    pub(super) fn break_unless_read(&self, error: PagesError) -> bool {
        let mut body = self.body.write().unwrap_or_else(PoisonError::into_inner);
        if let Body::InMemory { db, .. } = &*body
            && (Arc::strong_count(db) > 1 || db.is_read() || self.still_read())
        {
            return false;
        }
        self.break_body(&mut body, error);
        true
    }

    fn break_body(&self, body: &mut Body, error: PagesError) {
        let (db, root) = match body {
            Body::Whole(db) => (&*db, db.root()),
            Body::InMemory { db, root, .. } => (&*db, *root),
            Body::Broken { error: earlier, .. } => {
                *earlier = error;
                return;
            }
        };
        tracing::warn!(group = %self.id, %error, "a group's pages failed; its log is kept");
        db.freeze();
        self.earlier().push(db.file_in_use());
        *body = Body::Broken { error, root };
    }

    /// While it leaves the memory, whoever wants the group waits for its turn.
    pub(super) fn leave(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Release);
    }

    /// Whether somebody has a snapshot of a file that this group had open before.
    pub(super) fn still_read(&self) -> bool {
        let mut earlier = self.earlier();
        earlier.retain(|file| file.strong_count() > 0);
        !earlier.is_empty()
    }

    fn earlier(&self) -> MutexGuard<'_, Vec<Weak<dyn Any + Send + Sync>>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_whole(&self, db: Arc<GroupDb>) {
        *self.body.write().unwrap_or_else(PoisonError::into_inner) = Body::Whole(db);
    }

    /// As [`Self::set_whole`], with all changes in memory, of which `taken` counts the bytes.
    pub(super) fn set_in_memory(&self, db: Arc<GroupDb>, taken: Arc<Budget>) {
        let root = self.known().root;
        *self.body.write().unwrap_or_else(PoisonError::into_inner) = Body::InMemory { db, root, taken };
    }

    /// Takes the rows out to close them; nobody else has the group. Not if what they would be closed with is in memory.
    pub(super) fn take_db(&mut self) -> Option<GroupDb> {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Body::Whole(db) = body else { return None };
        let earlier = self.earlier.get_mut().unwrap_or_else(PoisonError::into_inner);
        earlier.push(db.file_in_use());
        let closed = Body::Broken { error: PagesError::Closed { path: PathBuf::new() }, root: db.root() };
        match std::mem::replace(body, closed) {
            Body::Whole(db) => Arc::try_unwrap(db).map_err(|db| *body = Body::Whole(db)).ok(),
            Body::InMemory { .. } | Body::Broken { .. } => None,
        }
    }

    fn body(&self) -> RwLockReadGuard<'_, Body> {
        self.body.read().unwrap_or_else(PoisonError::into_inner)
    }
}
