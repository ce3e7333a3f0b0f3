//! Removing blobs: those that were dropped, and those that a crash left behind (`docs/spec/blobs.md` §4–5).

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::counter;
use strongroom_store::{Command, CommitError, GroupId, ReadError, Store, Write};
use strongroom_telemetry::names;
use tokio::sync::{mpsc, oneshot};

use crate::ObjectError;
use crate::blobs::{Blobs, fault};
use crate::locks::Leases;
use crate::objects::blocking;
use crate::rows::{self, BlobId, table};

/// Rows removed by one command at most.
const BATCH: usize = 512;

/// A blob that a command dropped.
#[derive(Debug)]
pub(crate) struct Garbage {
    pub(crate) group: GroupId,
    pub(crate) blob: BlobId,
    /// The name's head row: readers have their leases on it.
    pub(crate) row: Arc<[u8]>,
    /// [`Leases::now`] after the drop.
    pub(crate) moment: u64,
}

/// The background work on blobs.
#[derive(Debug)]
pub(crate) struct Sweeper {
    tasks: mpsc::UnboundedSender<Task>,
}

#[derive(Debug)]
enum Task {
    Dropped(Vec<Garbage>),
    GroupDropped(GroupId),
    EarlierRuns,
    Close(oneshot::Sender<()>),
}

impl Sweeper {
    pub(crate) fn start(store: Store, blobs: Arc<Blobs>, leases: Arc<Leases>) -> Self {
        let (tasks, todo) = mpsc::unbounded_channel();
        let worker = Worker {
            store,
            blobs,
            leases,
            waiting: Vec::new(),
            waiting_groups: Vec::new(),
            earlier: None,
            stop: Arc::default(),
            complete: true,
        };
        tokio::spawn(worker.run(todo));
        Self { tasks }
    }

    /// Removes these once no reader needs them.
    pub(crate) fn dropped(&self, garbage: Vec<Garbage>) {
        if !garbage.is_empty() {
            drop(self.tasks.send(Task::Dropped(garbage)));
        }
    }

    /// Removes all blobs of a group that is gone.
    pub(crate) fn drop_group(&self, group: GroupId) {
        drop(self.tasks.send(Task::GroupDropped(group)));
    }

    /// Removes what earlier runs left.
    pub(crate) fn sweep_earlier_runs(&self) {
        drop(self.tasks.send(Task::EarlierRuns));
    }

    /// Does what can be done now, and stops.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.tasks.send(Task::Close(done)).is_ok() {
            drop(closed.await);
        }
    }
}

struct Worker {
    store: Store,
    blobs: Arc<Blobs>,
    leases: Arc<Leases>,
    /// Dropped, and not yet removed because of a reader.
    waiting: Vec<Garbage>,
    /// Groups that are gone and whose blobs a hold keeps, with the moment when they were gone.
    waiting_groups: Vec<(GroupId, u64)>,
    /// The sweep of earlier runs, and whether it came to its end.
    earlier: Option<tokio::task::JoinHandle<Result<(), ObjectError>>>,
    stop: Arc<AtomicBool>,
    /// Whether everything was removed that should be: then a clean close can say so.
    complete: bool,
}

impl Worker {
    async fn run(mut self, mut todo: mpsc::UnboundedReceiver<Task>) {
        let leases = Arc::clone(&self.leases);
        loop {
            let task = tokio::select! {
                task = todo.recv() => task,
                () = leases.ended.notified() => {
                    self.remove_ready().await;
                    continue;
                }
            };
            match task {
                Some(Task::Dropped(garbage)) => {
                    self.waiting.extend(garbage);
                    self.remove_ready().await;
                }
                Some(Task::GroupDropped(group)) => {
                    self.waiting_groups.push((group, leases.now()));
                    self.remove_ready().await;
                }
                Some(Task::EarlierRuns) => {
                    let (store, blobs) = (self.store.clone(), Arc::clone(&self.blobs));
                    let (leases, stop) = (Arc::clone(&leases), Arc::clone(&self.stop));
                    let work = move || sweep(&store, &blobs, &leases, &stop);
                    self.earlier = Some(tokio::task::spawn_blocking(work));
                }
                Some(Task::Close(done)) => {
                    self.finish().await;
                    let _ = done.send(());
                    return;
                }
                None => {
                    self.stop.store(true, Ordering::Release);
                    return;
                }
            }
        }
    }

    /// Removes what no reader needs any more.
    async fn remove_ready(&mut self) {
        // Said before looking: a lease that ends after the look is then told.
        self.await_leases();
        let (groups, kept) = std::mem::take(&mut self.waiting_groups)
            .into_iter()
            .partition(|(_, moment)| self.leases.unheld(*moment));
        self.waiting_groups = kept;
        let groups: Vec<(GroupId, u64)> = groups;
        for (group, _) in groups {
            let blobs = Arc::clone(&self.blobs);
            let left = blocking(move || Ok(blobs.remove_group(group))).await;
            self.complete &= matches!(left, Ok(0));
        }
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|garbage: &Garbage| self.leases.over(garbage.group, &garbage.row, garbage.moment));
        self.waiting = waiting;
        self.await_leases();
        let mut ready: Vec<Garbage> = ready;
        ready.sort_by_key(|garbage| garbage.group);
        for batch in ready.chunk_by(|one, next| one.group == next.group).flat_map(|group| group.chunks(BATCH))
        {
            let group = batch[0].group;
            let ids: Vec<_> = batch.iter().map(|garbage| garbage.blob).collect();
            let (store, blobs) = (self.store.clone(), Arc::clone(&self.blobs));
            let removed = blocking(move || remove(&store, &blobs, group, &ids, "deleted")).await;
            self.complete &= removed.is_ok();
        }
    }

    /// Whether the end of a lease is to be told.
    fn await_leases(&self) {
        let waiting = !self.waiting.is_empty() || !self.waiting_groups.is_empty();
        self.leases.awaited.store(waiting, Ordering::Release);
    }

    async fn finish(&mut self) {
        self.remove_ready().await;
        self.stop.store(true, Ordering::Release);
        let swept = match self.earlier.take() {
            Some(sweep) => matches!(sweep.await, Ok(Ok(()))),
            None => false,
        };
        let waiting = !self.waiting.is_empty() || !self.waiting_groups.is_empty();
        if swept && self.complete && !waiting && self.blobs.pending() == 0 {
            let (store, epoch) = (self.store.clone(), self.blobs.epoch());
            // If it fails, the next opening has something to look through.
            drop(blocking(move || mark_swept(&store, epoch)).await);
        }
    }
}

/// Removes what earlier runs left, group after group. Blocks.
fn sweep(store: &Store, blobs: &Blobs, leases: &Leases, stop: &AtomicBool) -> Result<(), ObjectError> {
    let swept = sweep_groups(store, blobs, leases, stop);
    match &swept {
        Ok(()) | Err(ObjectError::Stopping) => {}
        Err(error) => tracing::warn!(%error, "leftovers of earlier runs stay until the next start"),
    }
    swept
}

fn sweep_groups(store: &Store, blobs: &Blobs, leases: &Leases, stop: &AtomicBool) -> Result<(), ObjectError> {
    let Some(last) = blobs.epoch().checked_sub(1) else { return Ok(()) };
    let swept = match store.read(GroupId::SYSTEM)?.get(rows::BLOBS_SWEPT)? {
        Some(row) => rows::decode_epoch(&row).map_err(|error| error.of("sweep"))?,
        None => 0,
    };
    if swept >= last {
        return Ok(());
    }
    // Directories first: a group that is made meanwhile is then among the groups.
    let dirs = blobs.groups().map_err(|error| fault("listing blobs", error))?;
    let groups = store.groups();
    // Looked at after the groups: a hold taken later than that is not of those that are gone.
    let unheld = leases.unheld(u64::MAX);
    for group in dirs.iter().filter(|group| unheld && !groups.contains(group)) {
        blobs.remove_group(*group);
    }
    for group in groups.into_iter().filter(|group| *group != GroupId::SYSTEM) {
        if stop.load(Ordering::Acquire) {
            return Err(ObjectError::Stopping);
        }
        match sweep_group(store, blobs, group) {
            // Its bucket was deleted meanwhile.
            Err(ObjectError::Read(ReadError::NoSuchGroup { .. })) => {}
            other => other?,
        }
    }
    // What is left of groups that are gone has to wait for the next start.
    if unheld { mark_swept(store, last) } else { Err(ObjectError::Stopping) }
}

fn sweep_group(store: &Store, blobs: &Blobs, group: GroupId) -> Result<(), ObjectError> {
    let files = blobs.of_earlier_runs(group).map_err(|error| fault("listing blobs", error))?;
    let reading = store.read(group)?;
    let mut garbage = Vec::new();
    for row in reading.range(Bound::Included(&[table::GARBAGE]), Bound::Excluded(&[table::GARBAGE + 1]))? {
        let (key, value) = row?;
        let dropped = rows::decode_epoch(&value).map_err(|error| error.of("garbage"))?;
        if dropped < blobs.epoch() {
            garbage.push(BlobId::of_key(&key).ok_or(ObjectError::DamagedRow { table: "garbage" })?);
        }
    }
    for batch in garbage.chunks(BATCH) {
        remove(store, blobs, group, batch, "deleted")?;
    }
    for blob in files {
        let known = reading.get(&rows::owner_key(&blob))?.is_some()
            || reading.get(&rows::garbage_key(&blob))?.is_some();
        if !known {
            unlink(blobs, group, &blob, "orphan")?;
        }
    }
    blobs.prune(group);
    Ok(())
}

/// Removes blobs, then their garbage rows. Blocks.
fn remove(
    store: &Store,
    blobs: &Blobs,
    group: GroupId,
    ids: &[BlobId],
    reason: &'static str,
) -> Result<(), ObjectError> {
    for blob in ids {
        unlink(blobs, group, blob, reason)?;
    }
    let writes = ids.iter().map(|blob| Write::Delete { key: rows::garbage_key(blob) }).collect();
    match store.commit_blocking(Command { group, checks: Vec::new(), writes }) {
        Ok(_) | Err(CommitError::NoSuchGroup { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn unlink(blobs: &Blobs, group: GroupId, blob: &BlobId, reason: &'static str) -> Result<(), ObjectError> {
    let length = blobs.remove(group, blob).map_err(|error| fault("removing a blob", error))?;
    counter!(names::BLOBS_COLLECTED, "reason" => reason).increment(1);
    counter!(names::BLOBS_COLLECTED_BYTES).increment(length);
    Ok(())
}

fn mark_swept(store: &Store, epoch: u32) -> Result<(), ObjectError> {
    let value = rows::encode_epoch(epoch);
    let writes = vec![Write::Put { key: rows::BLOBS_SWEPT.to_vec(), value }];
    store.commit_blocking(Command { group: GroupId::SYSTEM, checks: Vec::new(), writes })?;
    Ok(())
}
