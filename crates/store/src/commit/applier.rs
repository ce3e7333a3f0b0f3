//! The apply thread: durable commands become rows, in log order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};

use metrics::{counter, gauge};
use strongroom_telemetry::names;

use super::{Request, ToApply, ToLog};
use crate::engine::Engine;
use crate::keeper::ToKeeper;
use crate::registry::ApplyError;
use crate::{Cause, Command, CommitError, GroupId, Lsn, Outcome, groups};

/// Applies batches.
#[derive(Debug)]
pub(crate) struct Applier {
    pub(crate) engine: Arc<Engine>,
    pub(crate) messages: Receiver<ToApply>,
    pub(crate) logger: Sender<ToLog>,
    pub(crate) keeper: Sender<ToKeeper>,
    /// Groups whose pages are being made durable, and what waits for that. Their commands may be applied after later
    /// ones of other groups, which nobody can tell: no command depends on another group's rows.
    pub(crate) held: HashMap<GroupId, Vec<Run>>,
}

/// Commands of one group that stand together in the log.
type Run = Vec<(Lsn, Request)>;

impl Applier {
    /// Works until told to end.
    pub(crate) fn run(mut self) {
        while let Ok(message) = self.messages.recv() {
            match message {
                ToApply::Batch(batch) => self.batch(batch),
                ToApply::Barrier(reached) => drop(reached.send(())),
                ToApply::Hold(group, held) => {
                    self.held.entry(group).or_default();
                    let _ = held.send(());
                }
                ToApply::Release(group) => {
                    for run in self.held.remove(&group).unwrap_or_default() {
                        self.apply(group, run);
                    }
                }
                ToApply::Stop => return,
            }
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

    fn apply(&self, group: GroupId, run: Run) {
        let engine = &*self.engine;
        let last = run.last().map_or(Lsn(0), |(lsn, _)| *lsn);
        match self.outcomes(group, &run) {
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

    fn outcomes(&self, group: GroupId, run: &Run) -> Result<Vec<Outcome>, CommitError> {
        let engine = &*self.engine;
        if let Some(cause) = engine.poison.get() {
            return Err(CommitError::Poisoned { cause });
        }
        // Dropped after the command was logged: it has no effect, now and in each replay.
        let Some((_, first)) = run.first().filter(|_| engine.keyring.contents().groups.contains_key(&group))
        else {
            return Err(CommitError::NoSuchGroup { group });
        };
        let commands: Vec<(Lsn, &Command)> =
            run.iter().map(|(lsn, request)| (*lsn, &request.command)).collect();
        let applied = engine.registry.apply(&first.group, &commands);
        let outcomes = applied.map_err(|error| self.pages_failed(group, error))?;
        if group == GroupId::SYSTEM {
            let freeze = |_: &CommitError| first.group.db().map_or((), |db| db.freeze());
            self.change_groups(&commands, &outcomes).inspect_err(freeze)?;
        }
        Ok(outcomes)
    }

    /// What the system group's commands mean for the keyring. The checkpoint of the system group waits for this: it
    /// holds the group first, and a run is applied as a whole.
    fn change_groups(&self, commands: &[(Lsn, &Command)], outcomes: &[Outcome]) -> Result<(), CommitError> {
        let engine = &*self.engine;
        let changes = groups::changes(commands, outcomes);
        if changes.is_empty() {
            return Ok(());
        }
        if let Err(error) = engine.keyring.replace(|contents| groups::make(&changes, contents)) {
            let cause = engine.poison.set(Cause::Keyring { error: error.to_string() });
            return Err(CommitError::Poisoned { cause });
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
        Ok(())
    }

    /// The log has commands that the pages do not take. Of the system group they may make or drop groups, so nothing
    /// can go on; other groups are kept apart until they are whole.
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
