//! The rows of one group: apply, checkpoint, read.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};
use strongroom_seal::Random;

use super::error::PagesError;
use super::file::{Backend, PageFile, Resealed, Setting};
use super::keys::PageKeys;
use super::moment::{Moment, Moments};
use super::reading::Reading;
use super::root::RootSeq;
use crate::disk::Disk;
use crate::{Check, Command, GroupId, Lsn, Outcome, Write};

const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");
const META: TableDefinition<'static, u8, u64> = TableDefinition::new("meta");
/// In [`META`]: the last command that was applied.
const APPLIED: u8 = 1;

/// A lower tag page covers 141 data pages, so tag pages of a 16th of the page cache's size, on top of it, cover more than
/// eight times what it holds: most misses then cost one read and not two.
const TAG_CACHE_SHARE: usize = 16;
const TAG_PAGES_MIN: usize = 4;

/// What a checkpoint made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpointed {
    /// The last command in it.
    pub(crate) applied: Lsn,
    /// The number of its root: the file is never again acceptable below it.
    pub(crate) root: RootSeq,
}

/// What a full check saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Rows in the group.
    pub(crate) rows: u64,
    /// For each key id in the file's table: pages under it, data and tag pages alike.
    pub(crate) pages_by_key: Vec<(u32, u64)>,
}

/// The rows of one group in its page file. One thread writes at a time; any number read.
#[derive(Debug)]
pub(crate) struct GroupDb {
    db: Database,
    file: Arc<PageFile>,
    path: PathBuf,
    group: GroupId,
    applied: AtomicU64,
    moments: Moments,
}

impl GroupDb {
    /// Makes the page file of a new group. It has its name only once it is complete and durable.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        path: &Path,
        group: GroupId,
        keys: &PageKeys,
        random: Arc<dyn Random>,
        cache_bytes: usize,
    ) -> Result<Self, PagesError> {
        let io = |error| PagesError::io(path, error);
        if disk.exists(path).map_err(io)? {
            return Err(PagesError::Exists { path: path.into() });
        }
        let unfinished = path.with_extension("new");
        if disk.exists(&unfinished).map_err(io)? {
            disk.remove(&unfinished).map_err(io)?;
        }
        let disk_file = disk.create_new(&unfinished).map_err(io)?;
        let setting = setting(disk, path, group, keys, random, cache_bytes);
        let file = PageFile::create(disk_file, &setting)?;
        let made = Self::start(file, path, group, cache_bytes)?;
        made.checkpoint()?;
        disk.rename(&unfinished, path).map_err(io)?;
        disk.sync_dir(path.parent().unwrap_or(Path::new("."))).map_err(io)?;
        Ok(made)
    }

    /// Opens the page file of a group, if its newest root is not older than `expect`.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        path: &Path,
        group: GroupId,
        keys: &PageKeys,
        random: Arc<dyn Random>,
        cache_bytes: usize,
        expect: RootSeq,
    ) -> Result<Self, PagesError> {
        let disk_file = disk.open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => PagesError::Missing { path: path.into() },
            _ => PagesError::io(path, error),
        })?;
        let setting = setting(disk, path, group, keys, random, cache_bytes);
        let file = PageFile::open(disk_file, &setting, expect)?;
        if file.length() == 0 {
            // redb would make an empty database of it.
            return Err(PagesError::damage(path, crate::Place::Whole, "the root has no database"));
        }
        Self::start(file, path, group, cache_bytes)
    }

    fn start(file: PageFile, path: &Path, group: GroupId, cache_bytes: usize) -> Result<Self, PagesError> {
        let file = Arc::new(file);
        let db = Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(Backend(Arc::clone(&file)))
            .map_err(|error| translate(&file, error))?;
        let applied = applied_in(&db, &file)?;
        let moments = Moments::default();
        Ok(Self { db, file, path: path.into(), group, applied: AtomicU64::new(applied.0), moments })
    }

    /// Applies commands in order, in one transaction that becomes visible at once and durable with the next
    /// [`Self::checkpoint`]. What comes of each depends on the rows and the commands alone.
    ///
    /// A command that was applied before (by its number) is not applied again, and its outcome is [`Outcome::Applied`]
    /// whatever it was then. `CreateGroup`, `DropGroup` and `RotateKey` have no rows and change nothing here.
    pub(crate) fn apply(&self, commands: &[(Lsn, &Command)]) -> Result<Vec<Outcome>, PagesError> {
        let mut applied = self.applied();
        let mut outcomes = Vec::with_capacity(commands.len());
        if commands.iter().all(|(lsn, _)| *lsn <= applied) {
            return Ok(commands.iter().map(|(lsn, _)| Outcome::Applied { lsn: *lsn }).collect());
        }
        let fail = |error: redb::Error| translate(&self.file, error);
        let mut txn = self.db.begin_write().map_err(|error| fail(error.into()))?;
        txn.set_durability(Durability::None).map_err(|error| fail(error.into()))?;
        {
            let mut rows = txn.open_table(ROWS).map_err(|error| fail(error.into()))?;
            for (lsn, command) in commands {
                if *lsn <= applied {
                    outcomes.push(Outcome::Applied { lsn: *lsn });
                    continue;
                }
                let outcome = run(&mut rows, *lsn, command).map_err(|error| fail(error.into()))?;
                outcomes.push(outcome);
                applied = *lsn;
            }
            let mut meta = txn.open_table(META).map_err(|error| fail(error.into()))?;
            meta.insert(APPLIED, applied.0).map_err(|error| fail(error.into()))?;
        }
        let change = self.moments.begin();
        txn.commit().map_err(|error| fail(error.into()))?;
        self.applied.store(applied.0, Ordering::Release);
        self.moments.end(change);
        Ok(outcomes)
    }

    /// Puts rows in as they are, which together with those before are what the commands up to `applied` made. Visible at
    /// once and durable with the next [`Self::checkpoint`]. For a restored group, before any command is applied.
    pub(crate) fn load(&self, batch: &[(Vec<u8>, Vec<u8>)], applied: Lsn) -> Result<(), PagesError> {
        let fail = |error: redb::Error| translate(&self.file, error);
        let mut txn = self.db.begin_write().map_err(|error| fail(error.into()))?;
        txn.set_durability(Durability::None).map_err(|error| fail(error.into()))?;
        {
            let mut rows = txn.open_table(ROWS).map_err(|error| fail(error.into()))?;
            for (key, value) in batch {
                rows.insert(key.as_slice(), value.as_slice()).map_err(|error| fail(error.into()))?;
            }
            let mut meta = txn.open_table(META).map_err(|error| fail(error.into()))?;
            meta.insert(APPLIED, applied.0).map_err(|error| fail(error.into()))?;
        }
        let change = self.moments.begin();
        txn.commit().map_err(|error| fail(error.into()))?;
        self.applied.store(applied.0, Ordering::Release);
        self.moments.end(change);
        Ok(())
    }

    /// The next roots are numbered past `root`.
    pub(crate) fn skip_roots(&self, root: RootSeq) {
        self.file.skip_roots(root);
    }

    /// Makes everything applied so far durable.
    pub(crate) fn checkpoint(&self) -> Result<Checkpointed, PagesError> {
        let fail = |error: redb::Error| translate(&self.file, error);
        let mut txn = self.db.begin_write().map_err(|error| fail(error.into()))?;
        // Read inside the transaction: no other can be applied until it ends.
        let applied = self.applied();
        txn.set_durability(Durability::Immediate).map_err(|error| fail(error.into()))?;
        txn.set_two_phase_commit(true);
        txn.set_quick_repair(true);
        txn.open_table(ROWS).map_err(|error| fail(error.into()))?;
        txn.open_table(META).map_err(|error| fail(error.into()))?;
        txn.commit().map_err(|error| fail(error.into()))?;
        Ok(Checkpointed { applied, root: self.root() })
    }

    /// The rows as of now. While it lives, the file stays open and locked, even past [`Self::close`].
    pub(crate) fn read(&self) -> Result<Reading, PagesError> {
        let fail = |error: redb::Error| translate(&self.file, error);
        let before = self.moments.settled();
        let txn = self.db.begin_read().map_err(|error| fail(error.into()))?;
        let rows = txn.open_table(ROWS).map_err(|error| fail(error.into()))?;
        let meta = txn.open_table(META).map_err(|error| fail(error.into()))?;
        let lsn =
            meta.get(APPLIED).map_err(|error| fail(error.into()))?.map_or(Lsn(0), |lsn| Lsn(lsn.value()));
        let moment = before.filter(|moment| self.is_at(*moment));
        Ok(Reading { rows, lsn, moment, group: self.group, file: Arc::clone(&self.file) })
    }

    /// Whether the rows are what they were at that moment, and no command is about to change them.
    pub(crate) fn is_at(&self, moment: Moment) -> bool {
        self.moments.is_at(moment)
    }

    /// The last command applied.
    pub(crate) fn applied(&self) -> Lsn {
        Lsn(self.applied.load(Ordering::Acquire))
    }

    /// The number of the last durable root.
    pub(crate) fn root(&self) -> RootSeq {
        self.file.seq()
    }

    /// Why the file takes no more calls, if it does not. Opening it again is the only way on.
    pub(crate) fn fault(&self) -> Option<PagesError> {
        self.file.fault().cloned()
    }

    /// What a call answers that finds no space.
    pub(crate) fn no_space(&self) -> PagesError {
        PagesError::io(&self.path, std::io::ErrorKind::StorageFull.into())
    }

    /// Whether [`Self::fault`] came from a read, so that what was durable before still is, as it was.
    pub(crate) fn read_failed(&self) -> bool {
        self.file.read_failed()
    }

    /// Tells, even when this is gone, whether an fsync of the file failed. Then it must not be opened again by this
    /// process; after any other failed write it may be, and is as at its last root.
    pub(crate) fn sync_failed(&self) -> Arc<AtomicBool> {
        self.file.sync_failed()
    }

    /// Whether a [`Reading`] lives.
    pub(crate) fn is_read(&self) -> bool {
        // This has the file, and the database in it.
        Arc::strong_count(&self.file) > 2
    }

    /// Tells whether the file is open still: snapshots of it outlive this.
    pub(crate) fn file_in_use(&self) -> Weak<dyn Any + Send + Sync> {
        let file: Weak<PageFile> = Arc::downgrade(&self.file);
        file
    }

    /// From now on nothing that was applied becomes durable, not even by dropping this. For when the store cannot make
    /// something else durable that must not come later than these rows.
    pub(crate) fn freeze(&self) {
        self.file.freeze();
    }

    /// Seals with other keys from now on: the active one of `keys`. Reads need all of them that pages are still under. Waits
    /// for writes under way, not for the disk's cache.
    pub(crate) fn use_keys(&self, keys: &PageKeys) -> Result<(), PagesError> {
        self.file.use_keys(keys)
    }

    /// Moves up to `max_pages` pages from other keys to the active one: one batch, crash-safe, beside reads and writes.
    /// When nothing is left, no page, tag page or root of the file needs another key, durably.
    pub(crate) fn reseal_some(&self, max_pages: usize) -> Result<Resealed, PagesError> {
        self.file.reseal(max_pages)
    }

    /// Looks for the first page that is not under the active key, and moves none. While it says that something is left to look
    /// at, it was not found yet.
    pub(crate) fn reseal_look(&self) -> Result<Resealed, PagesError> {
        self.file.reseal_look()
    }

    /// For each key id in the file's table: pages under it now, data and tag pages alike. Reads all tag pages.
    pub(crate) fn pages_by_key(&self) -> Result<Vec<(u32, u64)>, PagesError> {
        self.file.pages_by_key()
    }

    /// Checkpoints and closes, and says so in the file.
    pub(crate) fn close(self) -> Result<Checkpointed, PagesError> {
        let Checkpointed { applied, .. } = self.checkpoint()?;
        let Self { db, file, .. } = self;
        db.close().map_err(|error| translate(&file, error))?;
        file.close()?;
        Ok(Checkpointed { applied, root: file.seq() })
    }

    #[cfg(test)]
    pub(crate) fn path_for_test(&self) -> PathBuf {
        self.path.clone()
    }

    #[cfg(test)]
    pub(super) fn file_for_test(&self) -> &PageFile {
        &self.file
    }

    /// Checkpoints, then reads every tag page and every page of the database from the disk.
    /// Only while no [`Reading`] lives.
    pub(crate) fn verify(&mut self) -> Result<Verified, PagesError> {
        self.checkpoint()?;
        let pages_by_key = self.file.walk()?;
        match self.db.check_integrity() {
            Ok(true) => {}
            Ok(false) => {
                return Err(PagesError::damage(
                    &self.path,
                    crate::Place::Whole,
                    "the database inside the pages does not add up",
                ));
            }
            Err(error) => return Err(translate(&self.file, error)),
        }
        let mut rows = 0;
        let reading = self.read()?;
        let fail = |error: redb::StorageError| translate(&self.file, error);
        for row in reading.rows.range_owned::<&[u8]>(..).map_err(fail)? {
            row.map_err(fail)?;
            rows += 1;
        }
        Ok(Verified { rows, pages_by_key })
    }
}

fn setting<'a>(
    disk: &Arc<dyn Disk>,
    path: &'a Path,
    group: GroupId,
    keys: &'a PageKeys,
    random: Arc<dyn Random>,
    cache_bytes: usize,
) -> Setting<'a> {
    let tag_pages_max = tag_pages_max(cache_bytes);
    Setting { disk: Arc::clone(disk), path, group, keys, random, tag_pages_max }
}

fn tag_pages_max(cache_bytes: usize) -> usize {
    (cache_bytes / TAG_CACHE_SHARE / super::geometry::PAGE_LEN).max(TAG_PAGES_MIN)
}

fn applied_in(db: &Database, file: &PageFile) -> Result<Lsn, PagesError> {
    let fail = |error: redb::Error| translate(file, error);
    let txn = db.begin_read().map_err(|error| fail(error.into()))?;
    match txn.open_table(META) {
        Ok(meta) => {
            let lsn = meta.get(APPLIED).map_err(|error| fail(error.into()))?;
            Ok(lsn.map_or(Lsn(0), |lsn| Lsn(lsn.value())))
        }
        // A database being made.
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(Lsn(0)),
        Err(error) => Err(fail(error.into())),
    }
}

type Rows<'txn> = Table<'txn, &'static [u8], &'static [u8]>;

fn run(rows: &mut Rows<'_>, lsn: Lsn, command: &Command) -> Result<Outcome, redb::StorageError> {
    for (check, precondition) in command.checks.iter().enumerate() {
        if !holds(rows, precondition)? {
            return Ok(Outcome::Refused { check });
        }
    }
    for write in &command.writes {
        match write {
            Write::Put { key, value } => {
                rows.insert(key.as_slice(), value.as_slice())?;
            }
            Write::Delete { key } => {
                rows.remove(key.as_slice())?;
            }
            Write::CreateGroup { .. } | Write::DropGroup { .. } | Write::RotateKey { .. } => {}
        }
    }
    Ok(Outcome::Applied { lsn })
}

fn holds(rows: &Rows<'_>, check: &Check) -> Result<bool, redb::StorageError> {
    Ok(match check {
        Check::Absent { key } => rows.get(key.as_slice())?.is_none(),
        Check::Present { key } => rows.get(key.as_slice())?.is_some(),
        Check::Equals { key, value } => rows.get(key.as_slice())?.is_some_and(|have| have.value() == value),
        Check::RangeEmpty { from, to } => {
            from >= to || rows.range(from.as_slice()..to.as_slice())?.next().transpose()?.is_none()
        }
    })
}

/// The file's own failure, if redb's error is one or follows from one.
pub(super) fn translate(file: &PageFile, error: impl Into<redb::Error>) -> PagesError {
    match error.into() {
        redb::Error::Io(error) => PagesError::io(file.path(), error),
        redb::Error::DatabaseClosed => PagesError::Closed { path: file.path().into() },
        error => match file.fault() {
            Some(fault) => fault.clone(),
            None => PagesError::Database { path: file.path().into(), source: Arc::new(error) },
        },
    }
}
