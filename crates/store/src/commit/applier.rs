//! Durable commands become rows, in log order: on the apply thread, or, when a writer is alone, on the log thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use strongroom_telemetry::names;

use super::{Reached, Request, ToApply, ToLog};
use crate::disk::is_no_space;
use crate::engine::Engine;
use crate::keeper::ToKeeper;
use crate::pages::PagesError;
use crate::registry::{ApplyError, GroupError};
use crate::{Cause, Command, CommitError, GroupId, Lsn, Outcome, groups};

/// The apply thread.
#[derive(Debug)]
pub(crate) struct ApplyThread {
    pub(crate) messages: Receiver<ToApply>,
    pub(crate) applier: Arc<SharedApplier>,
}

/// Whoever has the turn applies. The apply thread waits for it, the log thread never does.
#[derive(Debug)]
pub(crate) struct SharedApplier {
    turn: Mutex<Applier>,
    /// How many batches and barriers the apply thread is through with.
    done: AtomicU64,
}

/// Applies batches.
#[derive(Debug)]
pub(crate) struct Applier {
    pub(crate) engine: Arc<Engine>,
    pub(crate) logger: Sender<ToLog>,
    pub(crate) keeper: Sender<ToKeeper>,
    /// Groups whose pages are being made durable, and what waits for that. Their commands may be applied after later
    /// ones of other groups, which nobody can tell: no command depends on another group's rows.
    pub(crate) held: HashMap<GroupId, Vec<Run>>,
    /// Commands of the system group that wait for space: for their rows, or for the keyring.
    pub(crate) waiting: Option<Waiting>,
}

/// Commands of one group that stand together in the log.
type Run = Vec<(Lsn, Request)>;

#[derive(Debug)]
pub(crate) struct Waiting {
    run: Run,
    /// What became of them, if their rows are applied.
    outcomes: Option<Vec<Outcome>>,
}

/// Why commands are not done.
enum NotDone {
    /// There is no space for the rows, or, if they are applied with these outcomes, for the keyring.
    Waits(Option<Vec<Outcome>>),
    Failed(CommitError),
}

/// How often it is tried whether there is space by now.
const RETRY: Duration = Duration::from_millis(20);

impl ApplyThread {
    /// Works until told to end.
    pub(crate) fn run(self) {
        // When it is looked whether what waits has its space. Only what this thread applies can wait, so it alone looks.
        let mut next_try: Option<Instant> = None;
        loop {
            let message = match next_try {
                None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.messages.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let mut applier = self.applier.turn();
            let counts = matches!(&message, Ok(ToApply::Batch(_) | ToApply::Barrier(_)));
            match message {
                Ok(ToApply::Batch(batch)) => applier.batch(batch),
                Ok(ToApply::Barrier(reached)) => {
                    let _ = reached.send(Reached { system_waits: applier.waiting.is_some() });
                }
                Ok(ToApply::Hold(group, held)) => {
                    // What the keyring does not have yet must not become durable in the system group's rows.
                    let free = group != GroupId::SYSTEM || applier.waiting.is_none();
                    if free {
                        applier.held.entry(group).or_default();
                    }
                    let _ = held.send(free);
                }
                Ok(ToApply::Release(group)) => applier.release(group),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(ToApply::Stop) | Err(RecvTimeoutError::Disconnected) => return applier.give_up(),
            }
            // After any message: others may send theirs without a pause.
            if next_try.is_some_and(|at| at <= Instant::now()) {
                applier.try_again();
                next_try = None;
            }
            let waits = applier.waiting.is_some();
            next_try = waits.then(|| next_try.unwrap_or_else(|| Instant::now() + RETRY));
            drop(applier);
            if counts {
                self.applier.done.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

impl SharedApplier {
    pub(crate) fn new(applier: Applier) -> Self {
        Self { turn: Mutex::new(applier), done: AtomicU64::new(0) }
    }

    fn turn(&self) -> MutexGuard<'_, Applier> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a command at once if it can come to nothing but rows and nothing of the log is still to be applied before it:
    /// if the apply thread is through with all `sent` batches and barriers. Otherwise it is given back, and so it is if
    /// the group has to be made whole first: that takes its time, and the other groups wait for this thread.
    pub(super) fn alone(&self, batch: Run, sent: u64) -> Result<(), Run> {
        let only_rows =
            matches!(batch.as_slice(), [(_, request)] if request.command.group != GroupId::SYSTEM);
        if !only_rows || self.done.load(Ordering::Acquire) != sent {
            return Err(batch);
        }
        match self.turn.try_lock() {
            Ok(applier) => applier.alone(batch),
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => Err(batch),
        }
    }
}

impl Applier {
    fn release(&mut self, group: GroupId) {
        let mut runs = self.held.remove(&group).unwrap_or_default().into_iter();
        while let Some(run) = runs.next() {
            self.apply(group, run);
            if let Some(held) = self.held.get_mut(&group) {
                // It waits for space, and the rest behind it.
                held.extend(runs);
                return;
            }
        }
    }

    /// Whether there is space by now.
    fn try_again(&mut self) {
        let Some(Waiting { run, outcomes }) = self.waiting.take() else { return };
        if self.engine.closed.load(Ordering::Acquire) || self.engine.poison.get().is_some() {
            self.waiting = Some(Waiting { run, outcomes });
            return self.give_up();
        }
        let done = match outcomes {
            None => self.outcomes(GroupId::SYSTEM, &run),
            Some(outcomes) => self.with_keyring(&run, outcomes),
        };
        self.settle(GroupId::SYSTEM, run, done);
        if self.waiting.is_none() {
            self.release(GroupId::SYSTEM);
        }
    }

    /// The store ends while commands wait. They are in the log, and the next opening makes rows and keyring of them. So
    /// are those behind them, whose callers wait as well: some of these are threads that have to end before this one.
    fn give_up(&mut self) {
        let Some(Waiting { run, outcomes }) = self.waiting.take() else { return };
        freeze(&run);
        let error = "there is no space for it".to_owned();
        let cause = match outcomes {
            Some(_) => Cause::Keyring { error },
            None => Cause::Pages { group: GroupId::SYSTEM, error },
        };
        let cause = self.engine.poison.set(cause);
        self.answer(run, Err(CommitError::Poisoned { cause: cause.clone() }));
        for run in self.held.remove(&GroupId::SYSTEM).unwrap_or_default() {
            self.answer(run, Err(CommitError::Poisoned { cause: cause.clone() }));
        }
    }

    fn batch(&mut self, batch: Run) {
        let mut rest = batch.into_iter().peekable();
        while let Some((_, first)) = rest.peek() {
            let group = first.command.group;
            let mut run = Vec::new();
            while let Some(item) = rest.next_if(|(_, request)| request.command.group == group) {
                run.push(item);
            }
            match self.held.get_mut(&group) {
                Some(waiting) => waiting.push(run),
                None => self.apply(group, run),
            }
        }
    }

    fn alone(&self, run: Run) -> Result<(), Run> {
        let engine = &*self.engine;
        let Some((_, first)) = run.first() else { return Ok(()) };
        let group = first.command.group;
        if self.held.contains_key(&group)
            || engine.poison.get().is_some()
            || !engine.keyring.contents().groups.contains_key(&group)
        {
            return Err(run);
        }
        match engine.registry.apply_if_whole(&first.group, &commands(&run)) {
            Some(outcomes) => {
                self.answer(run, Ok(outcomes));
                Ok(())
            }
            None => Err(run),
        }
    }

    fn apply(&mut self, group: GroupId, run: Run) {
        let done = self.outcomes(group, &run);
        self.settle(group, run, done);
    }

    fn settle(&mut self, group: GroupId, run: Run, done: Result<Vec<Outcome>, NotDone>) {
        match done {
            Ok(outcomes) => {
                if group == GroupId::SYSTEM {
                    // Before the answer: who has it may ask for more.
                    self.engine.system_waits.store(false, Ordering::Release);
                }
                self.answer(run, Ok(outcomes));
            }
            Err(NotDone::Failed(error)) => self.answer(run, Err(error)),
            Err(NotDone::Waits(outcomes)) => {
                if !self.engine.system_waits.swap(true, Ordering::AcqRel) {
                    tracing::warn!("a command of the system group waits for space");
                }
                self.held.entry(group).or_default();
                self.waiting = Some(Waiting { run, outcomes });
            }
        }
    }

    fn answer(&self, run: Run, outcomes: Result<Vec<Outcome>, CommitError>) {
        let engine = &*self.engine;
        let last = run.last().map_or(Lsn(0), |(lsn, _)| *lsn);
        match outcomes {
            Ok(outcomes) => {
                let applied = engine.figures.applied.fetch_max(last.0, Ordering::AcqRel).max(last.0);
                gauge!(names::LOG_APPLIED_LSN).set(applied as f64);
                for ((_, request), outcome) in run.into_iter().zip(outcomes) {
                    engine.figures.commits.fetch_add(1, Ordering::Relaxed);
                    let label = match outcome {
                        Outcome::Applied { .. } => "applied",
                        Outcome::Refused { .. } => "refused",
                    };
                    counter!(names::COMMITS, "outcome" => label).increment(1);
                    let Request { answer, group, permit, making, .. } = request;
                    // Given back first: whoever is answered may look at how much is open.
                    drop((group, permit, making));
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(error) => {
                counter!(names::COMMITS, "outcome" => "failed").increment(run.len() as u64);
                for (_, request) in run {
                    request.refuse(error.clone());
                }
            }
        }
    }

    fn outcomes(&self, group: GroupId, run: &Run) -> Result<Vec<Outcome>, NotDone> {
        let engine = &*self.engine;
        if let Some(cause) = engine.poison.get() {
            return Err(NotDone::Failed(CommitError::Poisoned { cause }));
        }
        // Dropped after the command was logged: it has no effect, now and in each replay.
        let Some((_, first)) = run.first().filter(|_| engine.keyring.contents().groups.contains_key(&group))
        else {
            return Err(NotDone::Failed(CommitError::NoSuchGroup { group }));
        };
        let applied = engine.registry.apply(&first.group, &commands(run));
        let outcomes = applied.map_err(|error| match error {
            ApplyError::Later(GroupError::Pages {
                group: GroupId::SYSTEM,
                error: PagesError::NoSpace { .. },
            }) => NotDone::Waits(None),
            error => NotDone::Failed(self.pages_failed(group, error)),
        })?;
        if group != GroupId::SYSTEM {
            return Ok(outcomes);
        }
        self.with_keyring(run, outcomes)
    }

    /// The keyring as the system group's commands with these outcomes want it.
    fn with_keyring(&self, run: &Run, outcomes: Vec<Outcome>) -> Result<Vec<Outcome>, NotDone> {
        match self.change_groups(&commands(run), &outcomes) {
            Ok(true) => Ok(outcomes),
            Ok(false) => Err(NotDone::Waits(Some(outcomes))),
            Err(error) => {
                freeze(run);
                Err(NotDone::Failed(error))
            }
        }
    }

    /// What the system group's commands mean for the keyring; `false` if there is no space for that now. The checkpoint of the system group waits for this: it
    /// holds the group first, and a run is applied as a whole.
    fn change_groups(&self, commands: &[(Lsn, &Command)], outcomes: &[Outcome]) -> Result<bool, CommitError> {
        let engine = &*self.engine;
        let changes = groups::changes(commands, outcomes);
        if changes.is_empty() {
            return Ok(true);
        }
        match engine.keyring.replace(|contents| groups::make(&changes, contents)) {
            Ok(()) => {}
            Err(error) if is_no_space(&error) => return Ok(false),
            Err(error) => {
                let cause = engine.poison.set(Cause::Keyring { error: error.to_string() });
                return Err(CommitError::Poisoned { cause });
            }
        }
        let contents = engine.keyring.contents();
        gauge!(names::GROUPS).set(contents.groups.len() as f64);
        for group in groups::dropped(&changes) {
            engine.keyring.forget(group);
            if let Err(error) = engine.registry.remove(group) {
                // It has no key any more; the next opening removes it.
                tracing::warn!(%group, %error, "a dropped group's page file could not be removed");
            }
        }
        let rotated = groups::rotated(&changes);
        for group in &rotated {
            if let Err(error) = engine.registry.use_new_key(*group) {
                // The file takes no more calls. Whoever opens it again finds the new key active.
                tracing::warn!(%group, %error, "a group's open pages could not be given its new key");
            }
        }
        if contents.behind(&engine.keyring.root()) > 0 {
            let _ = self.keeper.send(ToKeeper::Check);
        }
        if !rotated.is_empty() {
            engine.board.wake();
        }
        let _ = self.logger.send(ToLog::KeyringChanged { generation: contents.generation, rotated });
        Ok(true)
    }

    /// The log has commands that the pages do not take, and not for lack of space. Of the system group they may make or
    /// drop groups, so nothing can go on; other groups are kept apart until they are whole.
    fn pages_failed(&self, group: GroupId, error: ApplyError) -> CommitError {
        let error = match error {
            ApplyError::Later(error) if group != GroupId::SYSTEM => {
                return CommitError::NotAppliedYet { group, error: error.into() };
            }
            ApplyError::Later(error) => error.to_string(),
            ApplyError::Fatal(error) => error.to_string(),
        };
        CommitError::Poisoned { cause: self.engine.poison.set(Cause::Pages { group, error }) }
    }
}

fn commands(run: &Run) -> Vec<(Lsn, &Command)> {
    run.iter().map(|(lsn, request)| (*lsn, &request.command)).collect()
}

/// Rows of the system group that the keyring does not go with never become durable.
fn freeze(run: &Run) {
    if let Some(Ok(db)) = run.first().map(|(_, request)| request.group.db()) {
        db.freeze();
    }
}
