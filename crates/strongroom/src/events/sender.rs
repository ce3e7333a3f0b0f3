//! One target's sender (`docs/spec/events.md` §4).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use strongroom_objects::events::Event;
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
        let mut sending = JoinSet::<(EventId, Answer)>::new();
        let mut added = self.objects.events_added();
        let mut look = true;
        loop {
            let now = Now {
                ticks: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                time: self.clock.now(),
            };
            let mut retry = None;
            if look && schedule.len() < KNOWN_MAX {
                added.mark_unchanged();
                match self.fill(&mut schedule, now).await {
                    Ok(()) => look = false,
                    Err(error) => {
                        tracing::warn!(target_id = self.id, %error, "events cannot be read");
                        retry = Some(Instant::now() + STORE_PAUSE);
                    }
                }
            }
            while sending.len() < AT_ONCE {
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
            if look && retry.is_none() && schedule.len() < KNOWN_MAX {
                continue;
            }
            self.show(&schedule, now);
            let wake = schedule.wakes_at(now).map(|tick| started + Duration::from_millis(tick));
            let wake = [wake, retry].into_iter().flatten().min();
            tokio::select! {
                Some(done) = sending.join_next() => {
                    self.answered(&mut schedule, done, started);
                    while let Some(done) = sending.try_join_next() {
                        self.answered(&mut schedule, done, started);
                    }
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

    /// Takes in the oldest events of all queues of the target.
    async fn fill(&self, schedule: &mut Schedule, now: Now) -> Result<(), ObjectError> {
        let mut queues = self.objects.event_queues().await?;
        queues.retain(|queue| queue.target == self.id);
        let share = (KNOWN_MAX / queues.len().max(1)).max(SHARE_MIN);
        for queue in &queues {
            match self.objects.pending_events(queue, share).await {
                Ok(pending) => schedule.offer(queue, pending, now),
                // One bucket that cannot be read holds up no other; it is looked at again with the next event.
                Err(error) => {
                    tracing::warn!(target_id = self.id, %error, "events of a bucket cannot be read")
                }
            }
        }
        Ok(())
    }

    async fn send(&self, sending: &mut JoinSet<(EventId, Answer)>, id: EventId, event: Event) {
        let (key, queue) = &id;
        let owner = self.objects.head_bucket(&queue.bucket).await.map(|info| info.owner).unwrap_or_default();
        let body = message::of_object(&event, *key, queue.bucket.as_str(), &owner, &self.region);
        let target = Arc::clone(&self.target);
        sending.spawn(async move { (id, target.send(body).await) });
    }

    fn answered(
        &self,
        schedule: &mut Schedule,
        done: Result<(EventId, Answer), tokio::task::JoinError>,
        started: Instant,
    ) {
        // Nobody cancels these tasks, and a defect in one was reported where it happened.
        let Ok((id, (attempt, words))) = done else { return };
        let ticks = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = Now { ticks, time: self.clock.now() };
        let mut draw = [0; 4];
        self.random.fill(&mut draw);
        let before = schedule.failures();
        schedule.answered(&id, attempt, now, u32::from_le_bytes(draw));
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
