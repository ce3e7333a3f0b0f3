//! Groups whose page file failed: kept apart from the others, and made whole again from the log
//! (`docs/spec/data-directory.md` §9).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};

use super::{GroupError, Known, OpenGroup, REOPEN_ROUND, REOPEN_ROUNDS, Registry, Slot};
use crate::disk::Disk;
use crate::log::{Kind, LogError, Surroundings, live};
use crate::overlay::{Budget, OverlayDisk};
use crate::pages::{GroupDb, PagesError};
use crate::{Cause, Command, GroupId, Lsn, OpenError, Outcome, ReadError, encode};

/// Commands read from the log are applied whenever this many bytes of them have gathered.
const GATHERED_BYTES: usize = 8 << 20;

/// Why commands were not applied.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// What is durable is not known any more.
    Fatal(PagesError),
    /// The group is broken. The commands count as soon as it is whole.
    Later(GroupError),
}

/// Why a group's rows are not durable.
#[derive(Debug)]
pub(crate) enum FlushError {
    /// What is durable is not known any more.
    Fatal(PagesError),
    /// They are in the log, which has to stay.
    Later(GroupError),
}

impl FlushError {
    /// For who has no log to keep.
    pub(crate) fn into_group(self, group: GroupId) -> GroupError {
        match self {
            Self::Fatal(error) => GroupError::Pages { group, error },
            Self::Later(error) => error,
        }
    }
}

impl From<FlushError> for OpenError {
    fn from(error: FlushError) -> Self {
        match error {
            FlushError::Fatal(error) => error.into(),
            FlushError::Later(error) => error.into(),
        }
    }
}

impl Registry {
    /// Applies commands that the log has if the group is whole and stays so. Otherwise nothing is applied, and it takes
    /// [`Self::apply`], which may have to read the log and wait for those who still read the pages.
    pub(crate) fn apply_if_whole(
        &self,
        open: &OpenGroup,
        commands: &[(Lsn, &Command)],
    ) -> Option<Vec<Outcome>> {
        // Whoever makes the group whole must not do so between the rows and the note that they were taken: what is made of the
        // log would lack them.
        let _turn = match open.mending.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let db = open.db().ok()?;
        match open.apply(&db, commands) {
            Ok(outcomes) => {
                open.hold_back(None);
                Some(outcomes)
            }
            Err(error) => {
                // If nothing will help, the next call says so again.
                if !failed_for_good(&db) {
                    open.break_with(error);
                }
                None
            }
        }
    }

    /// Applies commands that the log has. If the pages fail, they are made again from the log at once.
    pub(crate) fn apply(
        &self,
        open: &OpenGroup,
        commands: &[(Lsn, &Command)],
    ) -> Result<Vec<Outcome>, ApplyError> {
        // Before the rows: see [`Self::apply_if_whole`].
        let _turn = open.mending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(db) = open.db() {
            match open.apply(&db, commands) {
                Ok(outcomes) => {
                    open.hold_back(None);
                    return Ok(outcomes);
                }
                Err(error) if failed_for_good(&db) => return Err(ApplyError::Fatal(error)),
                Err(error) => open.break_with(error),
            }
        }
        let apply = |db: Arc<GroupDb>| {
            open.apply(&db, commands).map_err(|error| {
                open.break_with(error.clone());
                GroupError::Pages { group: open.id, error }
            })
        };
        let again = match self.mend_in_turn(open).and_then(apply) {
            // What is in the log fitted, these do not.
            Err(error) if error.is_no_space() => self.make_in_memory(open, error).and_then(apply),
            again => again,
        };
        // Whoever makes the group whole after this turn applies these commands too; but those of the system group are
        // for the apply thread alone, which makes of them what the keyring is to be.
        let first = commands.first().map(|(lsn, _)| *lsn).filter(|_| open.id == GroupId::SYSTEM);
        match again {
            Ok(outcomes) => {
                open.hold_back(None);
                Ok(outcomes)
            }
            Err(error) => {
                open.hold_back(first);
                open.take(commands);
                Err(ApplyError::Later(error))
            }
        }
    }

    /// Makes a broken group whole: its file at its last root, and everything since from the log.
    pub(crate) fn mend(&self, open: &OpenGroup) -> Result<(), GroupError> {
        let _turn = open.mending.lock().unwrap_or_else(PoisonError::into_inner);
        self.mend_in_turn(open).map(drop)
    }

    /// [`Self::mend`], if there is hope; else the answer is what is wrong.
    pub(crate) fn mend_if_worth(&self, open: &OpenGroup) -> Result<(), GroupError> {
        match open.fault() {
            // Whoever found that out is about to put what changes in memory.
            Some(PagesError::NoSpace { .. }) => self.mend(open),
            Some(_) if open.is_worth_mending() => self.mend(open),
            _ => open.check(),
        }
    }

    /// Makes groups whole that failed and may be sound by now, those too whose rows are all durable.
    pub(crate) fn mend_all(&self) {
        let broken: Vec<_> = self.lock().open().filter(|group| group.is_worth_mending()).cloned().collect();
        for group in broken {
            // If it fails, the group goes on answering with that.
            let _ = self.mend(&group);
        }
    }

    /// Groups whose pages are in memory for lack of space, ascending.
    pub(crate) fn in_memory(&self) -> Vec<GroupId> {
        let state = self.lock();
        state.open().filter(|group| group.in_memory().is_some()).map(|group| group.id).collect()
    }

    /// If the group's changes are in memory, the disk has space for them and nobody reads them for a moment, the group is as
    /// broken from now on and can be made whole. The caller has its turn, and keeps commands of this group away: one that was
    /// applied to what is in memory now would be missing from what is made of the log.
    fn leave_memory(&self, open: &OpenGroup) -> Result<(), GroupError> {
        let Some(bytes) = open.in_memory() else { return Ok(()) };
        let path = self.setting.directory.page_file(open.id);
        let no_space = PagesError::NoSpace { path: path.clone() };
        let stays = |why: &dyn std::fmt::Display| {
            tracing::debug!(group = %open.id, %why, "what changes in a group's pages stays in memory");
            Err(GroupError::Pages { group: open.id, error: no_space.clone() })
        };
        if let Err(error) = self.has_space(&path, bytes) {
            return stays(&error);
        }
        open.leave(true);
        let left = within_rounds(|| open.break_unless_read(no_space.clone()));
        open.leave(false);
        if left { Ok(()) } else { stays(&"somebody goes on reading them") }
    }

    /// Writes so many bytes to a file that is of no use, and removes it.
    fn has_space(&self, pages: &Path, bytes: usize) -> io::Result<()> {
        const PIECE: usize = 256 << 10;
        let disk = &self.setting.disk;
        // What is left behind under this name is removed by whoever makes the page file.
        let probe = pages.with_extension("new");
        match disk.remove(&probe) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create_new(&probe)?;
        let zeros = vec![0; PIECE];
        let mut pieces = (0..bytes).step_by(PIECE);
        let written = pieces.try_for_each(|at| file.write_at(&zeros, at as u64));
        let written = written.and_then(|()| file.sync());
        drop(file);
        disk.remove(&probe)?;
        written
    }

    /// Makes the group's rows durable. The caller keeps commands of this group away meanwhile.
    pub(crate) fn flush(&self, open: &OpenGroup) -> Result<(), FlushError> {
        let _turn = open.mending.lock().unwrap_or_else(PoisonError::into_inner);
        self.leave_memory(open).map_err(FlushError::Later)?;
        let db = self.mend_in_turn(open).map_err(|error| match open.db() {
            Ok(db) if failed_for_good(&db) => FlushError::Fatal(fault(&db)),
            _ => FlushError::Later(error),
        })?;
        // There was less space than it seemed.
        open.db_on_disk().map_err(FlushError::Later)?;
        match db.checkpoint() {
            Ok(done) => {
                open.reached(done.applied);
                self.set_known(open.id, done.into());
                Ok(())
            }
            Err(error) if failed_for_good(&db) => Err(FlushError::Fatal(error)),
            Err(error) => {
                open.break_with(error.clone());
                drop(db);
                // So that reads and commands go on meanwhile. If it fails, the group answers with that.
                let _ = self.mend_in_turn(open);
                Err(FlushError::Later(GroupError::Pages { group: open.id, error }))
            }
        }
    }

    /// The caller has the group's turn.
    fn mend_in_turn(&self, open: &OpenGroup) -> Result<Arc<GroupDb>, GroupError> {
        if let Ok(db) = open.db() {
            match db.fault() {
                None => return Ok(db),
                Some(error) if failed_for_good(&db) => {
                    return Err(GroupError::Pages { group: open.id, error });
                }
                Some(error) => open.break_with(error),
            }
        }
        if still_read(open) {
            let error = open.db().err().unwrap_or(GroupError::Failed { group: open.id });
            return self.make_in_memory(open, error);
        }
        // Opening the file on the disk made its newest root durable.
        let durable = |applied| open.reached(applied);
        match self.make_again(open, &self.setting.disk, durable) {
            Ok(made) => {
                let db = Arc::new(made);
                open.set_whole(Arc::clone(&db));
                tracing::info!(group = %open.id, "a group's pages are whole again");
                Ok(db)
            }
            Err(error) => {
                if let GroupError::Pages { error, .. } = &error {
                    open.break_with(error.clone());
                }
                if error.is_no_space() { self.make_in_memory(open, error) } else { Err(error) }
            }
        }
    }

    /// The rows of a broken group all the same, from the file as it is and the log, with all that would be written to the
    /// file in memory. If that fails too, the group goes on answering with what broke it.
    fn make_in_memory(&self, open: &OpenGroup, error: GroupError) -> Result<Arc<GroupDb>, GroupError> {
        let taken = Budget::within(&self.memory);
        let overlay = OverlayDisk::over(Arc::clone(&self.setting.disk), Arc::clone(&taken));
        let disk: Arc<dyn Disk> = Arc::new(overlay);
        // The newest root may be one of which a write failed and that is nowhere but in the system's cache; a sync of the overlay
        // does not change that.
        let Ok(made) = self.make_again(open, &disk, |_| {}) else { return Err(error) };
        let db = Arc::new(made);
        open.set_in_memory(Arc::clone(&db), taken);
        tracing::warn!(group = %open.id, %error, "what changes in a group's pages stays in log and memory for now");
        Ok(db)
    }

    /// The rows of the file at its newest root and of the log past it. `opened` is told the last command that the file has.
    fn make_again(
        &self,
        open: &OpenGroup,
        disk: &Arc<dyn Disk>,
        opened: impl FnOnce(Lsn),
    ) -> Result<GroupDb, GroupError> {
        let id = open.id;
        let pages = |error| GroupError::Pages { group: id, error };
        let Some(log) = &self.setting.log else {
            return Err(open.db().err().unwrap_or(GroupError::Failed { group: id }));
        };
        let last = open.taken().max(self.setting.logged);
        let db = self.open_db(id, self.known_if_any(id), last, open.cache_bytes, disk)?;
        opened(db.applied());
        apply_from_log(log, &db, id, open.whole_at()).inspect_err(|_| db.freeze()).map_err(pages)?;
        Ok(db)
    }

    /// Closes a group that nobody has. If that fails and the rows are in the log, the answer is the group, broken.
    pub(super) fn close_one(&self, mut group: OpenGroup) -> Result<Known, Option<Box<OpenGroup>>> {
        if group.stale() {
            // Nothing to make durable, and nothing could be: the file stays as after a kill.
            return Ok(group.known());
        }
        let Some(db) = group.take_db() else { return Err(Some(Box::new(group))) };
        let sync_failed = db.sync_failed();
        db.close().map(Known::from).map_err(|error| {
            if sync_failed.load(Ordering::Acquire) {
                self.setting.poison.set(Cause::Pages { group: group.id, error: error.to_string() });
                return None;
            }
            tracing::warn!(group = %group.id, %error, "a group's pages could not be closed; its log is kept");
            group.break_with(error);
            Some(Box::new(group))
        })
    }

    /// Notes at an opening that a group's pages cannot take what the log has for it. The other groups go on. Its keys were
    /// unwrapped when that was found out.
    pub(crate) fn set_broken(&self, id: GroupId, error: PagesError) -> Arc<OpenGroup> {
        let mut state = self.lock();
        let known = state.known.get(&id).copied().unwrap_or(Known::NOTHING);
        let cache_bytes = state.cache_share(id, self.setting.cache_bytes);
        let (lock, keys) = (state.lock.clone(), self.setting.keyring.pin(id));
        let group = Arc::new(OpenGroup::broken(id, error, known, cache_bytes, lock, keys));
        state.slots.insert(id, Slot::Open { group: Arc::clone(&group), used: 0 });
        group
    }

    /// Whether no group's pages failed or are in memory for lack of space.
    pub(crate) fn is_sound(&self) -> bool {
        self.lock().open().all(|group| !group.is_broken() && group.in_memory().is_none())
    }

    /// Groups whose pages failed, and how, ascending.
    pub(crate) fn failed(&self) -> Vec<(GroupId, ReadError)> {
        let state = self.lock();
        let broken = state.open().filter(|group| group.is_broken());
        let mut failed: Vec<_> = broken
            .filter_map(|group| {
                let error = group.fault()?;
                Some((group.id, GroupError::Pages { group: group.id, error }.into()))
            })
            .collect();
        failed.sort_by_key(|(id, _)| *id);
        failed
    }
}

/// Whether somebody goes on reading the file as it was, however long one waits for him. The places of the pages that he sees
/// must not be written over.
fn still_read(open: &OpenGroup) -> bool {
    !within_rounds(|| !open.still_read())
}

/// Whether it is so now or soon.
fn within_rounds(is_so: impl Fn() -> bool) -> bool {
    for _ in 0..REOPEN_ROUNDS {
        if is_so() {
            return true;
        }
        std::thread::sleep(REOPEN_ROUND);
    }
    is_so()
}

/// Applies what the log has for a group past its rows, up to `to`.
fn apply_from_log(log: &Surroundings, db: &GroupDb, id: GroupId, to: Lsn) -> Result<(), PagesError> {
    let unreadable = |why: &str| {
        let source = Arc::new(std::io::Error::other(why.to_owned()));
        PagesError::Io { path: log.dir.clone(), source }
    };
    let mut gathered: Vec<(Lsn, Command)> = Vec::new();
    let mut bytes = 0;
    let apply = |gathered: Vec<(Lsn, Command)>| {
        let commands: Vec<_> = gathered.iter().map(|(lsn, command)| (*lsn, command)).collect();
        db.apply(&commands).map(drop)
    };
    let from = Lsn(db.applied().0 + 1);
    let shown = live::range(log, id, from, to, |record| {
        if record.kind != Kind::Command {
            return Ok(());
        }
        let command = encode::decode(id, record.payload).map_err(|_| unreadable("no command"))?;
        gathered.push((record.lsn, command));
        bytes += record.payload.len();
        if bytes >= GATHERED_BYTES {
            bytes = 0;
            apply(std::mem::take(&mut gathered))?;
        }
        Ok::<_, MendError>(())
    });
    shown.map_err(|error| match error {
        MendError::Pages(error) => error,
        MendError::Log(error) => unreadable(&error.to_string()),
    })?;
    apply(gathered)
}

/// Why a group was not made whole.
enum MendError {
    Pages(PagesError),
    Log(LogError),
}

impl From<PagesError> for MendError {
    fn from(error: PagesError) -> Self {
        Self::Pages(error)
    }
}

impl From<LogError> for MendError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// An fsync failed: opening the file again in this process would prove nothing.
fn failed_for_good(db: &GroupDb) -> bool {
    db.sync_failed().load(Ordering::Acquire)
}

fn fault(db: &GroupDb) -> PagesError {
    db.fault().unwrap_or(PagesError::Closed { path: PathBuf::new() })
}
