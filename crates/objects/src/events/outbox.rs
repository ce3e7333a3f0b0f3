//! The outbox: events that wait for their targets, in the rows of their bucket (`docs/spec/events.md` §3).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use strongroom_store::{Command, GroupId, Outcome, Reading, Write};
use strongroom_telemetry::names;
use tokio::sync::{OnceCell, watch};

use super::origin::{Cause, Origin};
use super::row::{event_key, event_of_key, queue_prefix};
use super::{Event, EventKey, EventKind, NotificationConfig};
use crate::buckets::Bucket;
use crate::objects::{Inner, Objects, blocking, carried_out};
use crate::rows::{end_of_prefix, table};
use crate::{BucketName, DocumentKind, ObjectError, ObjectName, VersionId};

/// Events that wait in one queue at most.
pub const EVENT_QUEUE_MAX: u64 = 10_000;
/// Rows removed by one command at most.
const BATCH: usize = 512;

/// The events of one bucket for one target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventQueue {
    /// The bucket.
    pub bucket: BucketName,
    /// The target's id.
    pub target: String,
    group: GroupId,
}

impl EventQueue {
    /// A queue that nobody looked for, for tests of who sorts events by their queues.
    pub fn dangerous_of(bucket: BucketName, target: &str, group: u32) -> Self {
        Self { bucket, target: target.to_owned(), group: GroupId(group) }
    }
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEvent {
    /// Its place in the queue.
    pub key: EventKey,
    /// What it says; `None` if its row is damaged.
    pub event: Option<Event>,
}

/// Why an event does not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventEnd {
    /// Its target has it.
    Delivered,
    /// It was too old when an attempt failed.
    Age,
    /// Its row is damaged.
    Damaged,
}

/// What a command does to a name, as far as events care.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    pub(crate) what: What,
    /// The version that came, changed or went, where there are versions.
    pub(crate) version: Option<VersionId>,
    pub(crate) size: Option<u64>,
    pub(crate) etag: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// An object was stored.
    Created,
    /// An object has other tags, retention or key; its content is the same.
    Amended,
    /// A version is gone.
    Removed,
    /// A delete marker came.
    Marked,
}

impl Happened {
    /// The kind of event that this is, if it is one.
    fn kind(&self, cause: Cause) -> Option<EventKind> {
        Some(match (self.what, cause) {
            (What::Created, Cause::Post) => EventKind::CreatedPost,
            (What::Created, Cause::Copy) => EventKind::CreatedCopy,
            (What::Created, Cause::CompleteMultipartUpload) => EventKind::CreatedCompleteMultipartUpload,
            (What::Created, _) => EventKind::CreatedPut,
            (What::Amended, Cause::PutTagging) => EventKind::TaggingPut,
            (What::Amended, Cause::DeleteTagging) => EventKind::TaggingDelete,
            (What::Amended, _) => return None,
            (What::Removed, Cause::Lifecycle) => EventKind::LifecycleDelete,
            (What::Removed, _) => EventKind::RemovedDelete,
            (What::Marked, Cause::Lifecycle) => EventKind::LifecycleDeleteMarkerCreated,
            (What::Marked, _) => EventKind::RemovedDeleteMarkerCreated,
        })
    }
}

/// An event whose row is part of a command that is about to be carried out.
#[derive(Debug)]
#[must_use = "who waits for events is told of it once the command was applied"]
pub(crate) struct Told(EventQueue, EventKey);

/// What is known in memory of the queues.
#[derive(Debug)]
pub(crate) struct Outbox {
    epoch: u32,
    count: AtomicU64,
    queues: Mutex<BTreeMap<EventQueue, Arc<Queue>>>,
    /// Whether rows of earlier runs have been counted.
    loaded: OnceCell<()>,
    changed: watch::Sender<()>,
    most: u64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Rows. Below zero for a moment if rows of earlier runs go before they were counted.
    rows: Mutex<i64>,
    /// The first place of those that came since the sender asked. Commands are not carried out in the order in which places were
    /// drawn, so a new row may stand before some that were read.
    fresh: Mutex<Option<EventKey>>,
    /// Held by who removes rows, so that each is counted once.
    removing: tokio::sync::Mutex<()>,
}

impl Queue {
    fn add(&self, rows: i64) -> i64 {
        let mut count = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        *count += rows;
        *count
    }

    fn fresh(&self) -> MutexGuard<'_, Option<EventKey>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    pub(crate) fn new(epoch: u32, most: u64) -> Self {
        Self {
            epoch,
            count: AtomicU64::new(0),
            queues: Mutex::default(),
            loaded: OnceCell::new(),
            changed: watch::Sender::new(()),
            most,
        }
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<EventQueue, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, queue: &EventQueue) -> Arc<Queue> {
        Arc::clone(self.queues().entry(queue.clone()).or_default())
    }
}

impl Inner {
    /// Adds the row of the event that a command is to `writes`, if a rule of the bucket asks for it. Called while the name is
    /// locked, so that for one name the places rise. Never a reason for a command to fail.
    pub(crate) fn tell(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        happened: &Happened,
        origin: &Origin,
        writes: &mut Vec<Write>,
    ) -> Option<Told> {
        let config = bucket.documents.json::<NotificationConfig>(DocumentKind::Notification);
        let config = config.inspect_err(|error| tracing::error!(%error, "events are lost")).ok()??;
        let kind = happened.kind(origin.cause)?;
        let rule = config.rule_for(kind, name.as_str())?;
        let key =
            EventKey { epoch: self.outbox.epoch, count: self.outbox.count.fetch_add(1, Ordering::Relaxed) };
        let event = Event {
            kind,
            at: self.options.clock.now(),
            name: name.clone(),
            version: happened.version,
            size: happened.size,
            etag: happened.etag.clone(),
            rule: rule.id.clone(),
            principal: origin.principal.clone(),
            source: origin.source.map(|source| source.to_string()).unwrap_or_default(),
            request_id: origin.request_id.clone(),
        };
        let target = rule.target.id();
        writes.push(Write::Put { key: event_key(target, key), value: event.encode() });
        let queue =
            EventQueue { bucket: bucket.name.clone(), target: target.to_owned(), group: bucket.group };
        Some(Told(queue, key))
    }

    /// What is to be done once the command was applied.
    pub(crate) async fn told(self: &Arc<Self>, told: Told) {
        let Told(queue, key) = told;
        let state = self.outbox.queue(&queue);
        let rows = state.add(1);
        {
            let mut fresh = state.fresh();
            *fresh = Some(fresh.map_or(key, |first| first.min(key)));
        }
        self.outbox.changed.send_replace(());
        if rows <= i64::try_from(self.outbox.most).unwrap_or(i64::MAX) {
            return;
        }
        // Somebody who makes room already makes enough.
        let Ok(_removing) = state.removing.try_lock() else { return };
        if let Err(error) = self.make_room(&queue, &state).await {
            tracing::warn!(target_id = queue.target, %error, "a full queue of events could not be cut");
        }
    }

    /// Drops the oldest events of a full queue, a few more than necessary, so that not every write does it.
    async fn make_room(self: &Arc<Self>, queue: &EventQueue, state: &Queue) -> Result<(), ObjectError> {
        let most = i64::try_from(self.outbox.most).unwrap_or(i64::MAX);
        let excess = state.add(0) - most + most / 100;
        let Some(excess) = usize::try_from(excess).ok().filter(|excess| *excess > 0) else { return Ok(()) };
        let (inner, at) = (Arc::clone(self), queue.clone());
        let oldest = blocking(move || {
            let reading = inner.store.read(at.group)?;
            let rows = rows_of(&reading, &at.target)?.take(excess);
            rows.map(|row| Ok(row?.0)).collect::<Result<Vec<_>, ObjectError>>()
        })
        .await?;
        let dropped = oldest.len();
        self.remove_rows(queue, state, oldest).await?;
        counter!(names::EVENTS_DROPPED, "reason" => "full").increment(dropped as u64);
        tracing::warn!(
            target_id = queue.target,
            dropped,
            "a queue of events is full: the oldest were dropped"
        );
        Ok(())
    }

    /// Removes rows that are there, of which nobody else removes any.
    async fn remove_rows(
        &self,
        queue: &EventQueue,
        state: &Queue,
        keys: Vec<Vec<u8>>,
    ) -> Result<(), ObjectError> {
        for keys in keys.chunks(BATCH) {
            let writes = keys.iter().map(|key| Write::Delete { key: key.clone() }).collect();
            let command = Command { group: queue.group, checks: Vec::new(), writes };
            match self.store.commit(command).await? {
                Outcome::Applied { .. } | Outcome::Refused { .. } => {}
            }
            state.add(-i64::try_from(keys.len()).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    /// Counts rows of earlier runs. Blocks.
    fn count_events(&self) -> Result<BTreeMap<EventQueue, i64>, ObjectError> {
        let mut found = BTreeMap::new();
        for (group, bucket) in self.buckets.names() {
            // A bucket that cannot be read answers that to who uses it; the others' events are sent.
            if let Err(error) = self.count_events_of(group, &bucket, &mut found) {
                tracing::warn!(%group, %error, "the events of a bucket cannot be read");
            }
        }
        Ok(found)
    }

    fn count_events_of(
        &self,
        group: GroupId,
        bucket: &BucketName,
        found: &mut BTreeMap<EventQueue, i64>,
    ) -> Result<(), ObjectError> {
        let reading = self.store.read(group)?;
        for row in reading.range(Bound::Included(&[table::EVENT]), Bound::Excluded(&[table::EVENT + 1]))? {
            let (row, _) = row?;
            let (target, key) = event_of_key(&row).ok_or(ObjectError::DamagedRow { table: "events" })?;
            // Those of this run were counted when they came.
            if key.epoch < self.outbox.epoch {
                let queue = EventQueue { bucket: bucket.clone(), target: target.to_owned(), group };
                *found.entry(queue).or_insert(0) += 1;
            }
        }
        Ok(())
    }
}

impl Objects {
    /// The queues that have events, those of earlier runs too. The first call looks through all buckets; later ones read nothing.
    ///
    /// # Errors
    /// [`ObjectError::Stopping`].
    pub async fn event_queues(&self) -> Result<Vec<EventQueue>, ObjectError> {
        let inner = &self.0;
        let load = || async {
            let at = Arc::clone(inner);
            for (queue, rows) in blocking(move || at.count_events()).await? {
                inner.outbox.queue(&queue).add(rows);
            }
            Ok::<(), ObjectError>(())
        };
        inner.outbox.loaded.get_or_try_init(load).await?;
        let mut queues = inner.outbox.queues();
        queues.retain(|queue, state| {
            let there = inner.buckets.find(&queue.bucket).is_some_and(|bucket| bucket.group == queue.group);
            let rows = u64::try_from(state.add(0)).unwrap_or(0);
            if !there && rows > 0 {
                counter!(names::EVENTS_DROPPED, "reason" => "bucket").increment(rows);
                tracing::warn!(target_id = queue.target, dropped = rows, "events went with their bucket");
            }
            there
        });
        Ok(queues.iter().filter(|(_, state)| state.add(0) > 0).map(|(queue, _)| queue.clone()).collect())
    }

    /// How many events wait, by their targets. Complete once [`Self::event_queues`] was called.
    pub fn event_counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (queue, state) in &*self.0.outbox.queues() {
            *counts.entry(queue.target.clone()).or_insert(0) += u64::try_from(state.add(0)).unwrap_or(0);
        }
        counts
    }

    /// Is told whenever an event was put into a queue.
    pub fn events_added(&self) -> watch::Receiver<()> {
        self.0.outbox.changed.subscribe()
    }

    /// The first place of what came into a queue since this was asked last, if anything did. It may be before places that were
    /// read already. For the queue's one sender.
    pub fn take_fresh_events(&self, queue: &EventQueue) -> Option<EventKey> {
        self.0.outbox.queue(queue).fresh().take()
    }

    /// The oldest events of a queue, `from` there on and at most `max` of them. None if its bucket is gone.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn pending_events(
        &self,
        queue: &EventQueue,
        from: EventKey,
        max: usize,
    ) -> Result<Vec<PendingEvent>, ObjectError> {
        let (inner, queue) = (Arc::clone(&self.0), queue.clone());
        let read = blocking(move || {
            let reading = inner.store.read(queue.group)?;
            let mut pending = Vec::new();
            for row in rows_from(&reading, &queue.target, from)?.take(max) {
                let (row, value) = row?;
                let (_, key) = event_of_key(&row).ok_or(ObjectError::DamagedRow { table: "events" })?;
                pending.push(PendingEvent { key, event: Event::decode(&value).ok() });
            }
            Ok(pending)
        });
        match read.await {
            Err(ObjectError::Read(strongroom_store::ReadError::NoSuchGroup { .. })) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Removes events that need not wait any longer. Those that are gone already do not matter.
    ///
    /// # Errors
    /// Those of reading and writing; then they may still be there.
    pub async fn end_events(
        &self,
        queue: &EventQueue,
        ended: &[(EventKey, EventEnd)],
    ) -> Result<(), ObjectError> {
        let (inner, queue, ended) = (Arc::clone(&self.0), queue.clone(), ended.to_vec());
        carried_out(async move {
            let state = inner.outbox.queue(&queue);
            let _removing = state.removing.lock().await;
            let (at, place) = (Arc::clone(&inner), queue.clone());
            let look = blocking(move || {
                let reading = at.store.read(place.group)?;
                let mut there = Vec::new();
                for (key, end) in ended {
                    let row = event_key(&place.target, key);
                    if reading.get(&row)?.is_some() {
                        there.push((row, end));
                    }
                }
                Ok(there)
            });
            let there = match look.await {
                Err(ObjectError::Read(strongroom_store::ReadError::NoSuchGroup { .. })) => return Ok(()),
                other => other?,
            };
            let keys = there.iter().map(|(row, _)| row.clone()).collect();
            inner.remove_rows(&queue, &state, keys).await?;
            for end in there.iter().map(|(_, end)| *end).collect::<BTreeSet<_>>() {
                let count = there.iter().filter(|(_, is)| *is == end).count();
                end.count(&queue.target, count);
            }
            Ok(())
        })
        .await
    }

    /// Whether the server has a webhook with this id.
    pub fn has_event_target(&self, id: &str) -> bool {
        self.0.options.event_targets.contains(id)
    }
}

impl EventEnd {
    fn count(self, target_id: &str, count: usize) {
        let reason = match self {
            Self::Delivered => return,
            Self::Age => "age",
            Self::Damaged => "damaged",
        };
        counter!(names::EVENTS_DROPPED, "reason" => reason).increment(count as u64);
        tracing::warn!(target_id, count, reason, "events were dropped");
    }
}

/// The rows of a queue, oldest first.
fn rows_of(reading: &Reading, target: &str) -> Result<strongroom_store::Range, ObjectError> {
    rows_from(reading, target, EventKey::FIRST)
}

/// The rows of a queue from a place on.
fn rows_from(
    reading: &Reading,
    target: &str,
    from: EventKey,
) -> Result<strongroom_store::Range, ObjectError> {
    let to = end_of_prefix(&queue_prefix(target));
    Ok(reading.range(Bound::Included(&event_key(target, from)), Bound::Excluded(&to))?)
}
