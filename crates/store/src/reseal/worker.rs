//! The threads that re-seal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use metrics::counter;
use strongroom_telemetry::names;

use super::ResealStatus;
use super::board::{Board, Job, Outcome, Waiting};
use crate::checkpoint::ToCheckpoint;
use crate::commit::ToLog;
use crate::disk::is_no_space;
use crate::engine::Engine;
use crate::pages::PagesError;
use crate::registry::GroupError;
use crate::{Cause, GroupId, KeyUser, ResealSettings, StoreError};

/// Pages in a batch: so few that who waits for the disk meanwhile waits for milliseconds, so many that the batch's three
/// syncs are a small part.
const BATCH_PAGES: usize = 128;
/// With a low rate batches are smaller, so that there are this many of them in a second and the rate holds over seconds.
const BATCHES_PER_SECOND: usize = 4;
const PAGE_KIB: usize = 4;
/// Without a rate a worker rests after each batch as long as the batch took, at most this long: others want the disk too.
const BREATH: Duration = Duration::from_millis(20);
/// How long a group rests for want of space, for a provider that does not answer, or for a log that is still needed.
const REST_NO_SPACE: Duration = Duration::from_secs(10);
const REST_TROUBLE: Duration = Duration::from_secs(60);
const REST_LOG: Duration = Duration::from_secs(10);
/// A user that is not done is asked again after this long.
const REST_USER: Duration = Duration::from_secs(1);

/// What came of a worker's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It did something.
    Worked,
    /// Nothing to do until there are more events than these, or for so long.
    Rest(u64, Option<Duration>),
    /// Nothing any more.
    Stop,
}

/// What re-sealing works with. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Resealer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) logger: Sender<ToLog>,
    pub(crate) checkpointer: Sender<ToCheckpoint>,
    pub(crate) workers: usize,
}

impl Resealer {
    /// Starts the threads.
    pub(crate) fn start(&self) -> io::Result<Vec<JoinHandle<()>>> {
        let start = |index| {
            let worker = self.clone();
            thread::Builder::new().name(format!("store-reseal-{index}")).spawn(move || worker.run())
        };
        (0..self.workers).map(start).collect()
    }

    pub(super) fn board(&self) -> &Board {
        &self.engine.board
    }

    pub(super) fn status(&self) -> ResealStatus {
        ResealStatus {
            settings: self.board().settings(),
            workers: self.workers,
            groups: self.board().progress(&self.engine.keyring.contents()),
        }
    }

    /// Makes settings durable, then lets them hold.
    pub(super) fn set(&self, settings: ResealSettings) -> Result<(), StoreError> {
        if self.engine.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        self.change_keyring(|keyring| keyring.set_reseal(settings))?;
        self.board().set(settings);
        Ok(())
    }

    fn run(&self) {
        loop {
            match self.step() {
                Step::Worked => {}
                Step::Rest(events, most) => self.board().rest(events, most),
                Step::Stop => return,
            }
        }
    }

    /// Does one job if there is any. A test that starts no worker calls it itself, and decides what comes in between.
    pub(crate) fn step(&self) -> Step {
        let (engine, board) = (&*self.engine, self.board());
        if engine.closed.load(Ordering::Acquire) || engine.poison.get().is_some() {
            return Step::Stop;
        }
        let contents = engine.keyring.contents();
        for group in board.uncounted(&contents) {
            board.counted(group, engine.registry.pages_of(group));
        }
        match board.next(&contents) {
            Job::Look(group, active) => {
                let outcome = self.look(group).unwrap_or_else(|error| trouble(group, &error));
                board.looked(group, active, outcome);
            }
            Job::Pages(group, active) => board.done(group, active, self.pages(group, active)),
            Job::Values(group, active, users) => {
                board.done(group, active, self.values(group, active, &users));
            }
            Job::Log(groups) => {
                for (group, active, outcome) in self.log(groups) {
                    board.done(group, active, outcome);
                }
            }
            Job::Rest(events, most) => return Step::Rest(events, most),
            Job::Stop => return Step::Stop,
        }
        Step::Worked
    }

    /// Finds out how far a group's pages are, and moves none.
    fn look(&self, group: GroupId) -> Result<Outcome, GroupError> {
        // Not longer than for a look: a group in use is not closed to make room.
        let open = self.engine.registry.acquire(group)?;
        let step = open.db_on_disk()?.reseal_look().map_err(|error| GroupError::Pages { group, error })?;
        self.board().moved(group, 0, Some((step.done, step.total)));
        Ok(if step.left { Outcome::Again } else { Outcome::Done })
    }

    /// Moves a batch of a group's pages.
    fn pages(&self, group: GroupId, active: u32) -> Outcome {
        let began = Instant::now();
        let rate = self.board().settings().kib_per_second;
        let batch = match rate {
            0 => BATCH_PAGES,
            rate => (rate as usize / PAGE_KIB / BATCHES_PER_SECOND).clamp(1, BATCH_PAGES),
        };
        let outcome = self.batch(group, active, batch).unwrap_or_else(|error| trouble(group, &error));
        if rate == 0 && matches!(outcome, Outcome::Again) {
            thread::sleep(began.elapsed().min(BREATH));
        }
        outcome
    }

    fn batch(&self, group: GroupId, active: u32, batch: usize) -> Result<Outcome, GroupError> {
        let registry = &self.engine.registry;
        // What is moved the active key seals.
        if let Err(error) = self.engine.check_key(group) {
            return Ok(Outcome::Trouble(error.to_string(), Some(REST_TROUBLE)));
        }
        // Not longer than for a batch: a group in use is not closed to make room.
        let open = registry.acquire(group)?;
        let pages = |error| GroupError::Pages { group, error };
        let step = open.db_on_disk()?.reseal_some(batch).map_err(pages)?;
        self.board().moved(group, step.bytes, Some((step.done, step.total)));
        counter!(names::RESEAL_MOVED_BYTES).increment(step.bytes);
        if step.to != active {
            // The keyring has a new key before the open file seals with it. All under the one before is not done.
            registry.use_new_key(group)?;
            return Ok(Outcome::Again);
        }
        if step.left {
            return Ok(Outcome::Again);
        }
        // From the next checkpoint on the file as it was before is no longer acceptable.
        registry.root_moved(&open);
        Ok(Outcome::Done)
    }

    /// Lets those who have values in the group's rows wrap them anew.
    fn values(&self, group: GroupId, active: u32, users: &[Arc<dyn KeyUser>]) -> Outcome {
        let board = self.board();
        for user in users {
            let mut pace = |bytes| {
                board.moved(group, bytes, None);
                counter!(names::RESEAL_MOVED_BYTES).increment(bytes);
                !self.engine.closed.load(Ordering::Acquire) && board.wait_for_pace()
            };
            match user.rewrap(group, active, &mut pace) {
                Ok(true) => {}
                Ok(false) => return Outcome::Later(REST_USER),
                Err(_) if self.engine.closed.load(Ordering::Acquire) => return Outcome::Later(REST_USER),
                Err(error) => {
                    tracing::warn!(%group, %error, "values under an older key could not be wrapped anew; the key stays");
                    return Outcome::Trouble(error.to_string(), Some(REST_TROUBLE));
                }
            }
        }
        Outcome::Done
    }

    /// Retires the keys that the log does not need any more; asks for a checkpoint, which lets go of the log, first.
    fn log(&self, groups: Vec<Waiting>) -> Vec<(GroupId, u32, Outcome)> {
        let checkpointed = self.checkpoint();
        let later = |waiting: Waiting, outcome| (waiting.group, waiting.active, outcome);
        if let Err(error) = checkpointed {
            let outcome = || Outcome::Trouble(error.to_string(), Some(REST_LOG));
            return groups.into_iter().map(|waiting| later(waiting, outcome())).collect();
        }
        let first = self.engine.figures.log_first.load(Ordering::Acquire);
        let contents = self.engine.keyring.contents();
        let mut answers = Vec::with_capacity(groups.len());
        for waiting in groups {
            let group = waiting.group;
            let Some(keys) = contents.groups.get(&group) else {
                answers.push(later(waiting, Outcome::Gone));
                continue;
            };
            let mut outcome = Outcome::Done;
            for key_id in &waiting.key_ids {
                let needed = keys
                    .keys
                    .iter()
                    .find(|key| key.id == *key_id)
                    .is_some_and(|key| key.until_segment >= first);
                if needed {
                    // Somebody keeps the log, or a command came in between.
                    self.engine.figures.checkpoint_forced.store(true, Ordering::Release);
                    outcome = Outcome::Later(REST_LOG);
                } else if let Err(error) = self.retire(group, *key_id) {
                    outcome = Outcome::Trouble(error.to_string(), Some(REST_TROUBLE));
                }
            }
            answers.push(later(waiting, outcome));
        }
        answers
    }

    fn retire(&self, group: GroupId, key_id: u32) -> Result<(), StoreError> {
        self.change_keyring(|keyring| keyring.retire(group, key_id))?;
        counter!(names::KEY_RETIREMENTS).increment(1);
        tracing::info!(%group, key_id, "a key retired");
        // The open file lets go of it too.
        match self.engine.registry.use_new_key(group) {
            Ok(()) | Err(GroupError::NoSuchGroup { .. }) => {}
            Err(error) => {
                tracing::warn!(%group, %error, "a retired key stays in memory until the group is closed")
            }
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        let (done, answer) = mpsc::channel();
        self.checkpointer.send(ToCheckpoint::Now(done)).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    /// Changes the keyring and tells the log, which guards it.
    fn change_keyring(
        &self,
        change: impl FnOnce(&crate::keyring::Keyring) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        if let Some(cause) = self.engine.poison.get() {
            return Err(StoreError::Poisoned { cause });
        }
        let keyring = &self.engine.keyring;
        match change(keyring) {
            Ok(()) => {}
            Err(error) if is_no_space(&error) => return Err(StoreError::NoSpace),
            Err(error) => {
                let cause = self.engine.poison.set(Cause::Keyring { error: error.to_string() });
                return Err(StoreError::Poisoned { cause });
            }
        }
        let changed =
            ToLog::KeyringChanged { generation: keyring.contents().generation, rotated: Vec::new() };
        self.logger.send(changed).map_err(|_| StoreError::Closed)
    }
}

/// What one group's error means for its work; others go on.
fn trouble(group: GroupId, error: &GroupError) -> Outcome {
    let rest = match error {
        GroupError::NoSuchGroup { .. } => return Outcome::Gone,
        GroupError::Closed => return Outcome::Later(REST_TROUBLE),
        GroupError::Pages { error: PagesError::NoSpace { .. }, .. } => Some(REST_NO_SPACE),
        GroupError::Pages { error: PagesError::Damage(_) | PagesError::KeyMissing { .. }, .. }
        | GroupError::Failed { .. }
        | GroupError::LogBehind { .. } => None,
        GroupError::Pages { .. } | GroupError::Key { .. } => Some(REST_TROUBLE),
    };
    tracing::warn!(%group, %error, "moving a group's pages to its new key rests; its older keys stay");
    Outcome::Trouble(error.to_string(), rest)
}
