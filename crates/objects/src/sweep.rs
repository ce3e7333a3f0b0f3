//! Removing blobs: those that were dropped, and those that a crash left behind (`docs/spec/blobs.md` §4–5).

mod waiting;

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::counter;
use strongroom_store::{Command, CommitError, GroupId, ReadError, Store, Write};
use strongroom_telemetry::names;
use tokio::sync::{mpsc, oneshot};

use crate::ObjectError;
use crate::blobs::{Blobs, fault};
use crate::leases::{Ended, Leases};
use crate::objects::blocking;
use crate::rows::{self, BlobId, table};

use waiting::{Things, Waiting};

/// Rows removed by one command at most.
const BATCH: usize = 512;
/// A close syncs no more directories than this: looking through them at the next opening costs less.
const SYNCS_MAX: usize = 1000;

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
            waiting: Waiting::new(Arc::clone(&leases)),
            leases,
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
    /// Dropped, and not yet removed because of a reader or a backup.
    waiting: Waiting,
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
                () = leases.told.notified() => {
                    self.remove_ended(leases.ended()).await;
                    continue;
                }
            };
            match task {
                Some(Task::Dropped(garbage)) => {
                    let blobs = self.waiting.dropped(garbage);
                    self.remove(Things { blobs, groups: Vec::new() }).await;
                }
                Some(Task::GroupDropped(group)) => {
                    let groups = self.waiting.group_dropped(group, leases.now()).into_iter().collect();
                    self.remove(Things { blobs: Vec::new(), groups }).await;
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

    /// Removes what no reader needs any more now that these have ended.
    async fn remove_ended(&mut self, ended: Ended) {
        // There may be a great many when a backup ends.
        let mut waiting = std::mem::replace(&mut self.waiting, Waiting::new(Arc::clone(&self.leases)));
        let looked = blocking(move || {
            let ready = waiting.ended(ended);
            Ok((waiting, ready))
        });
        let Ok((waiting, ready)) = looked.await else {
            // What waited is the next opening's.
            self.complete = false;
            return;
        };
        self.waiting = waiting;
        self.remove(ready).await;
    }

    async fn remove(&mut self, ready: Things) {
        let Things { blobs: mut ready, groups } = ready;
        for group in groups {
            let blobs = Arc::clone(&self.blobs);
            let left = blocking(move || Ok(blobs.remove_group(group))).await;
            self.complete &= matches!(left, Ok(0));
        }
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

    async fn finish(&mut self) {
        self.remove_ended(self.leases.ended()).await;
        self.stop.store(true, Ordering::Release);
        let swept = match self.earlier.take() {
            Some(sweep) => matches!(sweep.await, Ok(Ok(()))),
            None => false,
        };
        // Said even if something else stands in the way: from here on nobody places a blob.
        let settled = self.blobs.close();
        let settled = settled && self.blobs.unsynced() <= SYNCS_MAX;
        if swept && self.complete && self.waiting.is_empty() && settled {
            let (store, blobs) = (self.store.clone(), Arc::clone(&self.blobs));
            // If it fails, the next opening has something to look through.
            drop(blocking(move || mark_swept(&store, &blobs, blobs.epoch())).await);
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
    if unheld { mark_swept(store, blobs, last) } else { Err(ObjectError::Stopping) }
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
    let freed = blobs.remove(group, blob).map_err(|error| fault("removing a blob", error))?;
    counter!(names::BLOBS_COLLECTED, "reason" => reason).increment(1);
    counter!(names::BLOBS_COLLECTED_BYTES).increment(freed);
    Ok(())
}

/// Says that nothing is left of an epoch: once that is so after a power cut, too.
fn mark_swept(store: &Store, blobs: &Blobs, epoch: u32) -> Result<(), ObjectError> {
    blobs.sync_removals().map_err(|error| fault("making removals of blobs durable", error))?;
    let value = rows::encode_epoch(epoch);
    let writes = vec![Write::Put { key: rows::BLOBS_SWEPT.to_vec(), value }];
    store.commit_blocking(Command { group: GroupId::SYSTEM, checks: Vec::new(), writes })?;
    Ok(())
}
