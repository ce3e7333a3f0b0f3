//! One target's sender (`docs/spec/events.md` §4).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use strongroom_objects::events::{Event, EventKey, EventQueue};
use strongroom_objects::{Clock, ObjectError, Objects, Timestamp};
use strongroom_seal::Random;
use strongroom_telemetry::names;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::message;
use super::schedule::{Attempt, EventId, Now, Schedule};
use super::target::{Answer, Target};

/// Events on their way to one target at a time.
const AT_ONCE: usize = 8;
/// Events that a sender knows of at a time.
const KNOWN_MAX: usize = 1024;
/// The least that each queue may show of itself.
const SHARE_MIN: usize = 16;
/// Refused events that a sender knows of beside those, at a time.
const REFUSED_MAX: usize = 65_536;
/// How long to wait when the store itself does not do what is asked.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What operators are told of a target.
#[derive(Debug, Clone, Default)]
pub(crate) struct TargetStatus {
    /// When the oldest event that waits happened.
    pub(crate) oldest: Option<Timestamp>,
    /// Attempts in a row that found the target in trouble.
    pub(crate) failures: u32,
    /// When the last attempt ended and what it gave.
    pub(crate) last: Option<(Timestamp, String)>,
}

/// How far a queue was read.
#[derive(Debug)]
struct Place {
    next: EventKey,
    /// Whether there was nothing more.
    end: bool,
}

/// Attempts under way, by their tasks.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<Answer>,
    events: HashMap<tokio::task::Id, EventId>,
}

impl Sending {
    async fn next(&mut self) -> Option<(EventId, Answer)> {
        let done = self.tasks.join_next_with_id().await?;
        self.done(done)
    }

    fn try_next(&mut self) -> Option<(EventId, Answer)> {
        let done = self.tasks.try_join_next_with_id()?;
        self.done(done)
    }

    /// Nobody cancels these tasks. A defect in one is reported where it happened; its event waits like one that is not wanted.
    fn done(
        &mut self,
        done: Result<(tokio::task::Id, Answer), tokio::task::JoinError>,
    ) -> Option<(EventId, Answer)> {
        let (task, answer) = match done {
            Ok(done) => done,
            Err(error) => (error.id(), (Attempt::Unwanted, "a defect in the sender".to_owned())),
        };
        self.events.remove(&task).map(|id| (id, answer))
    }
}

/// Sends the events of one target until it is dropped.
pub(super) struct Sender {
    pub(super) id: String,
    pub(super) target: Arc<Target>,
    pub(super) objects: Objects,
    pub(super) region: Arc<str>,
    pub(super) age_max: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) status: Arc<Mutex<TargetStatus>>,
}

impl Sender {
    /// Goes on until the future is dropped. What is under way then is sent again by the next run.
    pub(super) async fn run(self) {
        let started = Instant::now();
        let age_ms = u64::try_from(self.age_max.as_millis()).unwrap_or(u64::MAX);
        let mut schedule = Schedule::new(age_ms);
        let mut sending = Sending::default();
        let mut places = BTreeMap::new();
        let mut added = self.objects.events_added();
        let mut look = true;
        loop {
            let now = Now {
                ticks: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                time: self.clock.now(),
            };
            let mut retry = None;
            if look {
                added.mark_unchanged();
                match self.fill(&mut schedule, &mut places, now).await {
                    Ok(()) => look = false,
                    Err(error) => {
                        tracing::warn!(target_id = self.id, %error, "events cannot be read");
                        retry = Some(Instant::now() + STORE_PAUSE);
                    }
                }
            }
            while sending.tasks.len() < AT_ONCE {
                let Some((id, event)) = schedule.next(now) else { break };
                self.send(&mut sending, id, event).await;
            }
            match self.remove(&mut schedule).await {
                // There may be more in the queues than was known of.
                Ok(removed) => look |= removed,
                Err(error) => {
                    tracing::warn!(target_id = self.id, %error, "events cannot be removed");
                    retry = Some(Instant::now() + STORE_PAUSE);
                }
            }
            if look && retry.is_none() {
                continue;
            }
            self.show(&schedule, now);
            let wake = schedule.wakes_at(now).map(|tick| started + Duration::from_millis(tick));
            let wake = [wake, retry].into_iter().flatten().min();
            tokio::select! {
                Some((id, answer)) = sending.next() => {
                    self.answered(&mut schedule, &id, answer, started);
                    while let Some((id, answer)) = sending.try_next() {
                        self.answered(&mut schedule, &id, answer, started);
                    }
                    // One that was refused left its room to others.
                    look = true;
                }
                changed = added.changed() => {
                    // The objects are gone; this future is about to be.
                    if changed.is_err() { return }
                    look = true;
                }
                () = sleep_until(wake), if wake.is_some() => look |= retry.is_some(),
            }
        }
    }

    /// Takes in the oldest events of all queues of the target, as many as there is room for.
    async fn fill(
        &self,
        schedule: &mut Schedule,
        places: &mut BTreeMap<EventQueue, Place>,
        now: Now,
    ) -> Result<(), ObjectError> {
        let mut queues = self.objects.event_queues().await?;
        queues.retain(|queue| queue.target == self.id);
        if places.len() > queues.len() {
            places.retain(|queue, _| queues.contains(queue));
        }
        let share = |most: usize| (most / queues.len().max(1)).max(SHARE_MIN);
        for queue in &queues {
            let place = places.entry(queue.clone()).or_insert(Place { next: EventKey::FIRST, end: false });
            // What came since the last look may stand before what was read.
            let back = [self.objects.take_fresh_events(queue), schedule.take_behind(queue)];
            for back in back.into_iter().flatten() {
                *place = Place { next: place.next.min(back), end: false };
            }
            if let Err(error) = self.read_on(schedule, queue, place, share, now).await {
                // One bucket that cannot be read holds up no other; it is looked at again with the next event.
                tracing::warn!(target_id = self.id, %error, "events of a bucket cannot be read");
            }
        }
        Ok(())
    }

    /// Reads a queue from its place on until there is no more room or no more to read.
    async fn read_on(
        &self,
        schedule: &mut Schedule,
        queue: &EventQueue,
        place: &mut Place,
        share: impl Fn(usize) -> usize,
        now: Now,
    ) -> Result<(), ObjectError> {
        while !place.end {
            let room = schedule.room(queue, share(KNOWN_MAX), share(REFUSED_MAX));
            // Not for each event that was delivered.
            if room * 4 < share(KNOWN_MAX) {
                break;
            }
            let pending = self.objects.pending_events(queue, place.next, room).await?;
            let from = place.next;
            place.end = pending.len() < room;
            if let Some(last) = pending.last() {
                place.next = last.key.next();
            }
            schedule.offer(queue, from, pending, now);
        }
        Ok(())
    }

    async fn send(&self, sending: &mut Sending, id: EventId, event: Event) {
        let (key, queue) = &id;
        let owner = self.objects.head_bucket(&queue.bucket).await.map(|info| info.owner).unwrap_or_default();
        let body = message::of_object(&event, *key, queue.bucket.as_str(), &owner, &self.region);
        let target = Arc::clone(&self.target);
        let task = sending.tasks.spawn(async move { target.send(body).await });
        sending.events.insert(task.id(), id);
    }

    fn answered(&self, schedule: &mut Schedule, id: &EventId, (attempt, words): Answer, started: Instant) {
        let ticks = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = Now { ticks, time: self.clock.now() };
        let mut draw = [0; 4];
        self.random.fill(&mut draw);
        let before = schedule.failures();
        schedule.answered(id, attempt, now, u32::from_le_bytes(draw));
        let target = self.id.clone();
        match attempt {
            Attempt::Delivered => counter!(names::EVENTS_DELIVERED, "target" => target).increment(1),
            Attempt::Trouble => {
                counter!(names::EVENTS_FAILED, "target" => target, "reason" => "trouble").increment(1);
            }
            Attempt::Unwanted => {
                counter!(names::EVENTS_FAILED, "target" => target, "reason" => "unwanted").increment(1);
            }
        }
        match (before, schedule.failures()) {
            (0, 1..) => tracing::warn!(
                target_id = self.id,
                answer = words,
                "a webhook is in trouble; its events wait"
            ),
            (1.., 0) => tracing::info!(target_id = self.id, answer = words, "a webhook takes events again"),
            _ => {}
        }
        if attempt == Attempt::Unwanted {
            tracing::warn!(
                target_id = self.id,
                answer = words,
                "a webhook does not take an event; it is tried again"
            );
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.failures = schedule.failures();
        status.last = Some((now.time, words));
    }

    /// Removes what need not wait any longer; whether there was any.
    async fn remove(&self, schedule: &mut Schedule) -> Result<bool, ObjectError> {
        let ended = schedule.ended();
        for (queue, ended) in &ended {
            self.objects.end_events(queue, ended).await?;
            schedule.removed(queue, ended);
        }
        Ok(!ended.is_empty())
    }

    fn show(&self, schedule: &Schedule, now: Now) {
        let oldest = schedule.oldest();
        self.status.lock().unwrap_or_else(PoisonError::into_inner).oldest = oldest;
        let pending = self.objects.event_counts().get(&self.id).copied().unwrap_or(0);
        let age_ms = oldest.map_or(0, |at| now.time.0.saturating_sub(at.0));
        #[allow(clippy::cast_precision_loss, reason = "a gauge need not be exact past 2^52")]
        let (pending, age) = (pending as f64, age_ms as f64 / 1000.0);
        gauge!(names::EVENTS_PENDING, "target" => self.id.clone()).set(pending);
        gauge!(names::EVENTS_OLDEST_SECONDS, "target" => self.id.clone()).set(age);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use strongroom_objects::BucketName;

    use super::*;

    #[tokio::test]
    async fn a_defect_in_an_attempt_does_not_leave_its_event_under_way_for_ever() {
        let queue = EventQueue::dangerous_of(BucketName::parse("bucket").unwrap(), "orders", 1);
        let id = (EventKey::dangerous_from_parts(1, 2), queue);
        let mut sending = Sending::default();
        let task = sending.tasks.spawn(async { panic!("a defect that this test makes") });
        sending.events.insert(task.id(), id.clone());
        let (of, (attempt, _)) = sending.next().await.unwrap();
        assert_eq!((of, attempt), (id, Attempt::Unwanted));
        assert!(sending.next().await.is_none());
    }
}
