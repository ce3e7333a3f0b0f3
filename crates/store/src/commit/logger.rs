//! The log thread: makes batches durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use strongroom_telemetry::names;

use super::{Request, Rotated, SharedApplier, ToApply, ToLog};
use crate::checkpoint::ToCheckpoint;
use crate::disk::is_no_space;
use crate::engine::Engine;
use crate::log::{Entry, Log, WriteError};
use crate::{Cause, CommitError, GroupId, LogKeyError, Lsn, RootKeyError};

/// A batch is what waits, up to this many bytes: enough to make the sync's cost small, little enough that the first
/// in it does not wait long for the last.
const BATCH_BYTES: usize = 8 << 20;
const BATCH_COMMANDS: usize = 4096;
/// How long a batch waits for more when others are writing too: about what the slowest good disks take to sync, and
/// long enough that a fast one syncs for several commands at once instead of for each.
const LINGER: Duration = Duration::from_millis(1);
/// A batch waits no longer once nothing came for this long.
const LINGER_GAP: Duration = Duration::from_micros(250);

/// Owns the log.
#[derive(Debug)]
pub(crate) struct Logger {
    pub(crate) engine: Arc<Engine>,
    pub(crate) log: Log,
    pub(crate) requests: Receiver<ToLog>,
    pub(crate) applier: Sender<ToApply>,
    /// For a command that nobody else's command follows: it saves the way to the apply thread.
    pub(crate) shared: Arc<SharedApplier>,
    /// How many batches and barriers went to the apply thread.
    pub(crate) sent: u64,
    /// What came while the batch before was made durable.
    pub(crate) carried: Option<ToLog>,
    pub(crate) checkpointer: Sender<ToCheckpoint>,
    /// Log bytes since the last checkpoint began.
    pub(crate) since_checkpoint: u64,
    /// Whether the last batch had more than one command: then others are writing, and it pays to wait for them.
    pub(crate) crowded: bool,
}

impl Logger {
    /// Works until told to end.
    pub(crate) fn run(mut self) {
        while let Some(message) = self.carried.take().or_else(|| self.requests.recv().ok()) {
            match message {
                ToLog::Commit(first) => {
                    let (batch, next) = self.gather(first);
                    self.carried = next;
                    self.commit(batch);
                }
                ToLog::Rotate { rotated, reached } => {
                    let result = self.log.rotate();
                    if result.is_ok() {
                        self.since_checkpoint = 0;
                        self.hand_on(ToApply::Barrier(reached));
                    }
                    let last = Lsn(self.log.next_lsn().0 - 1);
                    let _ = rotated.send(self.checked(result).map(|segment| Rotated { segment, last }));
                }
                ToLog::Checkpoint { payload, keep, done } => {
                    let result = self.checkpoint(&payload, keep);
                    let _ = done.send(self.checked(result));
                }
                ToLog::Pin { pinned, reached } => {
                    let _ = pinned.send(self.log.pin());
                    self.hand_on(ToApply::Barrier(reached));
                }
                ToLog::KeyringChanged { generation, rotated } => {
                    // On a full disk the system group's old key goes on until a segment can be started.
                    let result = self.log.keys_changed(&rotated);
                    let _ = self.checked(result);
                    let result = self.log.keyring_changed(generation);
                    let _ = self.checked(result);
                }
                ToLog::Close { done } => return self.close(&done),
                ToLog::Stop => return,
            }
            self.show();
        }
    }

    /// What waits by now or comes soon, and the first other message behind it. A writer alone is never kept waiting.
    fn gather(&mut self, first: Request) -> (Vec<Request>, Option<ToLog>) {
        let mut bytes = first.payload.len();
        let mut batch = vec![first];
        let mut other = None;
        let mut until = None;
        while bytes < BATCH_BYTES && batch.len() < BATCH_COMMANDS {
            let next = match self.requests.try_recv() {
                Ok(message) => message,
                Err(_) if !self.crowded && batch.len() == 1 => break,
                Err(_) => {
                    let until = *until.get_or_insert_with(|| Instant::now() + LINGER);
                    let left = until.saturating_duration_since(Instant::now()).min(LINGER_GAP);
                    match self.requests.recv_timeout(left) {
                        Ok(message) => message,
                        Err(_) => break,
                    }
                }
            };
            match next {
                ToLog::Commit(request) => {
                    bytes += request.payload.len();
                    batch.push(request);
                }
                message => {
                    other = Some(message);
                    break;
                }
            }
        }
        self.crowded = batch.len() > 1;
        (batch, other)
    }

    /// One append, one sync, then on to the apply thread.
    fn commit(&mut self, mut batch: Vec<Request>) {
        if let Some(cause) = self.engine.poison.get() {
            return refuse(batch, &CommitError::Poisoned { cause });
        }
        // Commands of one group next to each other share a frame and a transaction. Stable: a group's order stays.
        batch.sort_by_key(|request| request.command.group);
        let bytes_before = self.log.bytes();
        let Some(batch) = self.append(batch) else { return };
        let began = Instant::now();
        let synced = self.log.sync();
        histogram!(names::LOG_FSYNC_SECONDS).record(began.elapsed().as_secs_f64());
        if let Err(error) = self.checked(synced) {
            let cause = self.engine.poison.set(log_cause(&error));
            let requests = batch.into_iter().map(|(_, request)| request).collect();
            return refuse(requests, &CommitError::Poisoned { cause });
        }
        self.count(&batch, self.log.bytes().saturating_sub(bytes_before));
        // Before anyone is answered: a checkpoint that is asked for next must not take it that nothing was logged.
        self.show();
        if self.carried.is_none() {
            self.carried = self.requests.try_recv().ok();
        }
        // With another command behind it, the next sync and this application are better done side by side.
        let batch = match self.carried {
            None => self.shared.alone(batch, self.sent),
            Some(_) => Err(batch),
        };
        if let Err(batch) = batch {
            self.hand_on(ToApply::Batch(batch));
        }
    }

    fn hand_on(&mut self, message: ToApply) {
        self.sent += 1;
        // Fails only if the apply thread died; then the requests are dropped, which their callers notice.
        let _ = self.applier.send(message);
    }

    /// Appends what can be appended and answers the rest; `None` if nothing was.
    fn append(&mut self, mut batch: Vec<Request>) -> Option<Vec<(Lsn, Request)>> {
        loop {
            if batch.is_empty() {
                return None;
            }
            let first = self.log.next_lsn().0;
            let entries: Vec<Entry<'_>> = (first..)
                .zip(&batch)
                .map(|(lsn, request)| Entry {
                    lsn: Lsn(lsn),
                    group: request.command.group,
                    payload: &request.payload,
                })
                .collect();
            match self.log.append(&entries) {
                Ok(()) => return Some((first..).map(Lsn).zip(batch).collect()),
                Err(WriteError::Key { group, source }) => batch = without(batch, group, source),
                Err(WriteError::NotWritten { source }) if is_no_space(&source) => {
                    refuse(batch, &CommitError::NoSpace);
                    return None;
                }
                Err(error) => {
                    let cause = self.engine.poison.set(log_cause(&error));
                    refuse(batch, &CommitError::Poisoned { cause });
                    return None;
                }
            }
        }
    }

    fn count(&mut self, batch: &[(Lsn, Request)], bytes: u64) {
        let figures = &self.engine.figures;
        let commands = batch.len() as u64;
        figures.batches.fetch_add(1, Ordering::Relaxed);
        figures.fsyncs.fetch_add(1, Ordering::Relaxed);
        figures.logged.fetch_add(commands, Ordering::Relaxed);
        counter!(names::LOG_APPENDS).increment(1);
        counter!(names::LOG_APPENDED_BYTES).increment(bytes);
        counter!(names::LOG_FSYNCS).increment(1);
        histogram!(names::LOG_COMMANDS_PER_FSYNC).record(commands as f64);
        self.since_checkpoint += bytes;
        if self.since_checkpoint >= self.engine.checkpoint_bytes
            && !figures.checkpoint_wanted.swap(true, Ordering::AcqRel)
        {
            let _ = self.checkpointer.send(ToCheckpoint::Due);
        }
    }

    fn checkpoint(&mut self, payload: &[u8], keep: Option<crate::log::SegmentId>) -> Result<Lsn, WriteError> {
        let lsn = self.log.append_checkpoint(payload)?;
        self.log.sync()?;
        let Some(keep) = keep else { return Ok(lsn) };
        match self.log.release_before(keep) {
            // The next release tries again.
            Err(WriteError::Leftover(error)) => tracing::warn!(%error, "a log segment could not be removed"),
            other => other?,
        }
        // Before the answer: who waited for it looks here.
        self.engine.figures.log_first.store(self.log.first_segment().0, Ordering::Release);
        Ok(lsn)
    }

    fn close(self, done: &Sender<Result<(), WriteError>>) {
        for message in self.requests.try_iter() {
            match message {
                ToLog::Commit(request) => request.refuse(CommitError::Closed),
                // Whoever waits for the others notices that the answer's sender is gone.
                _ => drop(message),
            }
        }
        let closed = self.log.close_clean();
        if let Err(error) = &closed {
            self.engine.poison.set(log_cause(error));
        }
        let _ = done.send(closed);
    }

    /// Poisons the store if the log is.
    fn checked<T>(&self, result: Result<T, WriteError>) -> Result<T, WriteError> {
        match &result {
            Err(error @ WriteError::Poisoned { .. }) => drop(self.engine.poison.set(log_cause(error))),
            Err(WriteError::NotWritten { source }) if is_no_space(source) => {}
            Err(error) => drop(self.engine.poison.set(log_cause(error))),
            Ok(_) => {}
        }
        result
    }

    /// Figures for whoever asks.
    fn show(&self) {
        let figures = &self.engine.figures;
        let (lsn, durable, bytes) = (self.log.next_lsn().0 - 1, self.log.durable_lsn().0, self.log.bytes());
        figures.lsn.store(lsn, Ordering::Release);
        figures.durable.store(durable, Ordering::Release);
        figures.log_bytes.store(bytes, Ordering::Release);
        gauge!(names::LOG_BYTES).set(bytes as f64);
        gauge!(names::LOG_SEGMENTS).set(self.log.segments() as f64);
        gauge!(names::LOG_APPENDED_LSN).set(lsn as f64);
    }
}

fn refuse(batch: Vec<Request>, error: &CommitError) {
    for request in batch {
        request.refuse(error.clone());
    }
}

/// The batch without the commands of a group that has no key; they are answered.
fn without(batch: Vec<Request>, group: GroupId, why: LogKeyError) -> Vec<Request> {
    let (without, rest): (Vec<_>, _) = batch.into_iter().partition(|request| request.command.group == group);
    let error = match why {
        // Dropped after the command was let in.
        LogKeyError::Forgotten { .. } | LogKeyError::Unknown { .. } => CommitError::NoSuchGroup { group },
        LogKeyError::Locked { .. } => CommitError::RootKey(RootKeyError::Unavailable {
            provider: "root key".to_owned(),
            reason: why.to_string(),
        }),
    };
    refuse(without, &error);
    rest
}

fn log_cause(error: &WriteError) -> Cause {
    Cause::Log { error: error.to_string() }
}

impl From<&WriteError> for CommitError {
    fn from(error: &WriteError) -> Self {
        match error {
            WriteError::NotWritten { source } if is_no_space(source) => Self::NoSpace,
            error => Self::Poisoned { cause: log_cause(error) },
        }
    }
}

impl From<&WriteError> for crate::StoreError {
    fn from(error: &WriteError) -> Self {
        match error {
            WriteError::NotWritten { source } if is_no_space(source) => Self::NoSpace,
            error => Self::Poisoned { cause: log_cause(error) },
        }
    }
}
