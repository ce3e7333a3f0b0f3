//! Checkpoints: rows become durable in their pages, log is given back. `docs/spec/data-directory.md` §6.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_telemetry::names;

use crate::commit::{Rotated, ToApply, ToLog};
use crate::disk::is_no_space;
use crate::engine::Engine;
use crate::keeper::ToKeeper;
use crate::keyring::{GROUPS_MADE_MAX, LogFloor};
use crate::log::Pin;
use crate::pages::{PagesError, RootSeq};
use crate::registry::{FlushError, GroupError, Known, OpenGroup};
use crate::{COMMAND_LEN_MAX, Cause, GroupId, Lsn, StoreError};

const VERSION: u8 = 1;
/// How often it is tried to make groups whole whose pages failed, and looked whether the cache is well shared.
const REGULARLY: Duration = Duration::from_secs(10);
const ENTRY_LEN: usize = 4 + 8 + 8;
const HEAD_LEN: usize = 1 + 8 + 8 + 4 + 4;
const _: () = assert!(
    HEAD_LEN + GROUPS_MADE_MAX * ENTRY_LEN <= COMMAND_LEN_MAX / 4 * 3,
    "a record of all groups that are made fits into the log"
);

/// What a checkpoint record says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    /// Every command up to here is durable in its group's pages.
    pub(crate) reached: Lsn,
    pub(crate) keyring_generation: u64,
    pub(crate) next_group: u32,
    /// Ascending by group.
    pub(crate) groups: Vec<(GroupId, Known)>,
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).u64(self.reached.0).u64(self.keyring_generation).u32(self.next_group);
        out.u32(u32::try_from(self.groups.len()).expect("the keyring bounds the number of groups"));
        for (group, known) in &self.groups {
            out.u32(group.0).u64(known.applied.0).u64(known.root.0);
        }
        out.finish()
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let out_of_range = |field| DecodeError::OutOfRange { field };
        let mut input = Reader::new(payload);
        if input.u8("checkpoint version")? != VERSION {
            return Err(out_of_range("checkpoint version"));
        }
        let reached = Lsn(input.u64("lsn")?);
        let keyring_generation = input.u64("keyring generation")?;
        let next_group = input.u32("next group id")?;
        let count = input.count(ENTRY_LEN, "group count")?;
        let mut groups: Vec<(GroupId, Known)> = Vec::with_capacity(count);
        for _ in 0..count {
            let group = GroupId(input.u32("group id")?);
            if groups.last().is_some_and(|(last, _)| *last >= group) {
                return Err(out_of_range("group id"));
            }
            let known = Known { applied: Lsn(input.u64("applied lsn")?), root: RootSeq(input.u64("root")?) };
            groups.push((group, known));
        }
        input.finish("checkpoint record")?;
        Ok(Self { reached, keyring_generation, next_group, groups })
    }

    pub(crate) fn known(&self) -> HashMap<GroupId, Known> {
        self.groups.iter().copied().collect()
    }
}

/// What the checkpoint thread is told.
#[derive(Debug)]
pub(crate) enum ToCheckpoint {
    /// Enough log has gathered.
    Due,
    /// Make one now.
    Now(Sender<Result<(), StoreError>>),
    /// Pin the log at a moment at which everything in it is applied. Between checkpoints: while one is made, commands of
    /// the group that is being written wait.
    Pin(Sender<Result<Pin, StoreError>>),
    /// End.
    Stop,
}

/// Makes checkpoints, one at a time.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) messages: Receiver<ToCheckpoint>,
    pub(crate) logger: Sender<ToLog>,
    pub(crate) applier: Sender<ToApply>,
    pub(crate) keeper: Sender<ToKeeper>,
    /// The record of the newest checkpoint, if nothing at all has been logged since.
    pub(crate) last: Option<Lsn>,
    /// What [`Registry::roots_moved`](crate::registry::Registry::roots_moved) was at the newest checkpoint.
    pub(crate) roots_moved: u64,
    /// Where the log was cut, oldest first, as far back as it may have to be kept.
    pub(crate) cuts: Vec<Rotated>,
}

impl Checkpointer {
    /// Works until told to end.
    pub(crate) fn run(mut self) {
        let mut shared = Instant::now();
        loop {
            // Between two messages as well: a busy store never waits that long for one.
            if shared.elapsed() >= REGULARLY {
                self.engine.registry.share_cache_anew();
                shared = Instant::now();
            }
            let message = match self.messages.recv_timeout(REGULARLY) {
                Ok(message) => message,
                // What failed for lack of space, or once, may work by now.
                Err(RecvTimeoutError::Timeout) if self.engine.registry.is_sound() => continue,
                Err(RecvTimeoutError::Timeout) => ToCheckpoint::Due,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match message {
                ToCheckpoint::Due => drop(self.timed()),
                ToCheckpoint::Now(done) => drop(done.send(self.timed())),
                ToCheckpoint::Pin(done) => drop(done.send(self.pin())),
                ToCheckpoint::Stop => return,
            }
        }
    }

    fn timed(&mut self) -> Result<(), StoreError> {
        self.engine.figures.checkpoint_wanted.store(false, Ordering::Release);
        let began = Instant::now();
        let result = self.checkpoint();
        let outcome = match &result {
            Ok(()) => "ok",
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed");
                "failed"
            }
        };
        counter!(names::CHECKPOINTS, "outcome" => outcome).increment(1);
        histogram!(names::CHECKPOINT_SECONDS).record(began.elapsed().as_secs_f64());
        result
    }

    fn pin(&self) -> Result<Pin, StoreError> {
        let (pinned, answer) = mpsc::channel();
        let (reached, barrier) = mpsc::channel();
        self.tell_log(ToLog::Pin { pinned, reached })?;
        let pin = answer.recv().map_err(|_| self.gone("log"))?;
        let reached = barrier.recv().map_err(|_| self.gone("apply"))?;
        self.check_poison()?;
        // Whoever pins the log reads the keyring and the rows next, which lack what waits.
        if reached.system_waits {
            return Err(StoreError::NoSpace);
        }
        Ok(pin)
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let engine = Arc::clone(&self.engine);
        engine.registry.mend_all();
        let roots_moved = engine.registry.roots_moved();
        let idle = self.last.is_some_and(|last| last.0 == engine.figures.lsn.load(Ordering::Acquire));
        let forced = engine.figures.checkpoint_forced.swap(false, Ordering::AcqRel);
        if idle && self.roots_moved == roots_moved && !forced {
            return Ok(());
        }
        // The keyring has what took their place already, so no segment from the next one on is under them.
        let replaced = engine.keyring.contents().until_unknown();
        let (rotated, answer) = mpsc::channel();
        let (reached, barrier) = mpsc::channel();
        self.tell_log(ToLog::Rotate { rotated, reached })?;
        let cut = answer.recv().map_err(|_| self.gone("log"))?.map_err(|error| StoreError::from(&error))?;
        barrier.recv().map_err(|_| self.gone("apply"))?;
        self.check_poison()?;
        let mut behind = None;
        // Before the first command that is only in the log.
        let mut reached = cut.last;
        for group in engine.registry.dirty() {
            if let Err(error) = self.flush(&group)?
                && !matches!(error, GroupError::NoSuchGroup { .. })
            {
                // All rows of a group in memory may be on the disk, and no place for others.
                let needed = group.first_dirty().or(group.in_memory().is_none().then_some(Lsn(1)));
                if let Some(first) = needed {
                    reached = reached.min(Lsn(first.0 - 1));
                }
                behind = behind.or(Some((group.id, error)));
            }
        }
        self.check_poison()?;
        self.cuts.push(cut);
        let kept = self.cuts.iter().rposition(|cut| cut.last <= reached);
        let keep = kept.map(|at| self.cuts[at].segment);
        self.cuts.drain(..kept.unwrap_or(0));
        let record = self.record(reached);
        let (done, answer) = mpsc::channel();
        self.tell_log(ToLog::Checkpoint { payload: record.encode(), keep, done })?;
        let lsn = answer.recv().map_err(|_| self.gone("log"))?.map_err(|error| StoreError::from(&error))?;
        self.last = Some(lsn).filter(|_| behind.is_none());
        self.record_floor(LogFloor { segment: cut.segment.0, lsn }, &replaced)?;
        self.roots_moved = roots_moved;
        engine.figures.checkpoints.fetch_add(1, Ordering::Relaxed);
        let _ = self.keeper.send(ToKeeper::Check);
        match behind {
            None => Ok(()),
            Some((_, GroupError::Pages { error: PagesError::NoSpace { .. }, .. })) => {
                Err(StoreError::NoSpace)
            }
            Some((group, error)) => Err(StoreError::GroupBehind { group, error: error.into() }),
        }
    }

    /// Tells the keyring what the log has, durably, by now. Last, when the log has given back what it could: on a full
    /// disk the next checkpoint tells it, and until then the keyring knows of less. `replaced` are keys that no segment
    /// from the floor's on is under.
    fn record_floor(&self, floor: LogFloor, replaced: &[(GroupId, u32)]) -> Result<(), StoreError> {
        let keyring = &self.engine.keyring;
        let replacing = keyring.replace(|contents| {
            contents.floor = floor;
            contents.set_until(replaced, floor.segment - 1);
        });
        match replacing {
            Ok(()) => self.tell_log(ToLog::KeyringChanged {
                generation: keyring.contents().generation,
                rotated: Vec::new(),
            }),
            Err(error) if is_no_space(&error) => {
                tracing::warn!(%error, "the keyring could not be told how far the log is");
                Ok(())
            }
            Err(error) => {
                let cause = self.engine.poison.set(Cause::Keyring { error: error.to_string() });
                Err(StoreError::Poisoned { cause })
            }
        }
    }

    /// Makes one group's rows durable while the others go on. The inner error says why they stay in the log.
    fn flush(&self, group: &OpenGroup) -> Result<Result<(), GroupError>, StoreError> {
        let (held, holding) = mpsc::channel();
        let gone = |_| self.gone("apply");
        self.applier.send(ToApply::Hold(group.id, held)).map_err(|_| self.gone("apply"))?;
        if !holding.recv().map_err(gone)? {
            let path = self.engine.keyring.path().to_owned();
            return Ok(Err(GroupError::Pages { group: group.id, error: PagesError::NoSpace { path } }));
        }
        let flushed = match self.engine.registry.flush(group) {
            Ok(()) => Ok(Ok(())),
            Err(FlushError::Later(error)) => Ok(Err(error)),
            Err(FlushError::Fatal(error)) => {
                let cause = Cause::Pages { group: group.id, error: error.to_string() };
                Err(StoreError::Poisoned { cause: self.engine.poison.set(cause) })
            }
        };
        // Released either way: what waits is to be answered.
        self.applier.send(ToApply::Release(group.id)).map_err(|_| self.gone("apply"))?;
        flushed
    }

    fn record(&self, reached: Lsn) -> Record {
        let contents = self.engine.keyring.contents();
        Record {
            reached,
            keyring_generation: contents.generation,
            next_group: contents.next_group,
            groups: contents.groups.keys().map(|id| (*id, self.engine.registry.known(*id))).collect(),
        }
    }

    fn check_poison(&self) -> Result<(), StoreError> {
        match self.engine.poison.get() {
            Some(cause) => Err(StoreError::Poisoned { cause }),
            None => Ok(()),
        }
    }

    fn tell_log(&self, message: ToLog) -> Result<(), StoreError> {
        self.logger.send(message).map_err(|_| self.gone("log"))
    }

    /// A thread of the store ended under another: closing, or a defect.
    fn gone(&self, thread: &'static str) -> StoreError {
        if self.engine.closed.load(Ordering::Acquire) {
            return StoreError::Closed;
        }
        StoreError::Poisoned { cause: self.engine.poison.set(Cause::Thread { thread }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Record {
        let known = |applied, root| Known { applied: Lsn(applied), root: RootSeq(root) };
        Record {
            reached: Lsn(900),
            keyring_generation: 7,
            next_group: 12,
            groups: vec![
                (GroupId(0), known(880, 4)),
                (GroupId(3), known(0, 0)),
                (GroupId(11), known(901, 2)),
            ],
        }
    }

    #[test]
    fn a_record_reads_back() {
        assert_eq!(Record::decode(&example().encode()), Ok(example()));
    }

    #[test]
    fn mangled_records_are_refused_or_have_one_encoding() {
        let bytes = example().encode();
        for at in 0..bytes.len() {
            assert!(Record::decode(&bytes[..at]).is_err(), "cut at {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            if let Ok(record) = Record::decode(&flipped) {
                assert_eq!(record.encode(), flipped, "byte {at}");
            }
        }
    }
}
