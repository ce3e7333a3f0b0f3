//! Which event is sent next: no clock, no socket (`docs/spec/events.md` §4).

use std::collections::{BTreeMap, HashSet};

use strongroom_objects::events::{Event, EventEnd, EventKey, EventQueue, PendingEvent};
use strongroom_objects::{ObjectName, Timestamp};

/// The first pause after a failure, in milliseconds.
const PAUSE_MS_FIRST: u64 = 1000;
/// The longest pause.
const PAUSE_MS_MAX: u64 = 300_000;

/// An event of a target: oldest first over all queues.
pub(super) type EventId = (EventKey, EventQueue);

/// The moment of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Milliseconds of a clock that only goes forward: for pauses.
    pub(super) ticks: u64,
    /// The time of day: for ages.
    pub(super) time: Timestamp,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The target has the event.
    Delivered,
    /// The target takes nothing now.
    Trouble,
    /// The target does not take this event.
    Unwanted,
}

/// The events that a sender knows of, and the state of its target.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: BTreeMap<EventId, Entry>,
    age_ms_max: u64,
    /// Attempts in a row that found the target in trouble.
    failures: u32,
    /// No attempt before this tick.
    paused_until: u64,
    sent: usize,
}

#[derive(Debug)]
struct Entry {
    event: Option<Event>,
    state: State,
    /// Attempts in which the target did not want it.
    refusals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { until: u64 },
    Sent,
    Ended(EventEnd),
}

impl Schedule {
    pub(super) fn new(age_ms_max: u64) -> Self {
        Self { entries: BTreeMap::new(), age_ms_max, failures: 0, paused_until: 0, sent: 0 }
    }

    /// How many events it knows.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many attempts in a row found the target in trouble.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// When the oldest event happened.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.entries.values().filter_map(|entry| Some(entry.event.as_ref()?.at)).min()
    }

    /// Takes in what waits in a queue. Those it knows are passed over.
    pub(super) fn offer(&mut self, queue: &EventQueue, pending: Vec<PendingEvent>, now: Now) {
        for PendingEvent { key, event } in pending {
            let state = match &event {
                None => State::Ended(EventEnd::Damaged),
                // The attempt that failed last was later than this event may wait.
                Some(event) if self.failures > 0 && self.is_too_old(event, now) => {
                    State::Ended(EventEnd::Age)
                }
                Some(_) => State::Waiting { until: 0 },
            };
            self.entries.entry((key, queue.clone())).or_insert(Entry { event, state, refusals: 0 });
        }
    }

    /// The event to send now, if any. It is answered before another of the same object is given.
    pub(super) fn next(&mut self, now: Now) -> Option<(EventId, Event)> {
        // A target in trouble is tried with one event.
        if now.ticks < self.paused_until || (self.failures > 0 && self.sent > 0) {
            return None;
        }
        let mut held = HashSet::<(&EventQueue, &ObjectName)>::new();
        let mut found = None;
        for (id, entry) in &self.entries {
            let (Some(event), State::Waiting { .. } | State::Sent) = (&entry.event, entry.state) else {
                continue;
            };
            let first = held.insert((&id.1, &event.name));
            if first && matches!(entry.state, State::Waiting { until } if until <= now.ticks) {
                found = Some(id.clone());
                break;
            }
        }
        let id = found?;
        let entry = self.entries.get_mut(&id)?;
        entry.state = State::Sent;
        self.sent += 1;
        Some((id, entry.event.clone()?))
    }

    /// What came of an attempt. `draw` is random.
    pub(super) fn answered(&mut self, id: &EventId, attempt: Attempt, now: Now, draw: u32) {
        self.sent = self.sent.saturating_sub(1);
        let (age_ms_max, failures) = (self.age_ms_max, self.failures);
        let too_old = |event: &Event| now.time.0.saturating_sub(event.at.0) > age_ms_max;
        if let Some(entry) = self.entries.get_mut(id) {
            entry.state = match attempt {
                Attempt::Delivered => State::Ended(EventEnd::Delivered),
                _ if entry.event.as_ref().is_none_or(too_old) => State::Ended(EventEnd::Age),
                Attempt::Trouble => State::Waiting { until: 0 },
                Attempt::Unwanted => {
                    entry.refusals = entry.refusals.saturating_add(1);
                    State::Waiting { until: now.ticks + pause_ms(entry.refusals, draw) }
                }
            };
        }
        match attempt {
            Attempt::Delivered | Attempt::Unwanted => {
                self.failures = 0;
                self.paused_until = 0;
            }
            Attempt::Trouble => {
                // Those that were under way together are one failure.
                if now.ticks >= self.paused_until {
                    self.failures = failures.saturating_add(1);
                    self.paused_until = now.ticks + pause_ms(self.failures, draw);
                }
                for entry in self.entries.values_mut() {
                    if matches!(entry.state, State::Waiting { .. })
                        && entry.event.as_ref().is_some_and(too_old)
                    {
                        entry.state = State::Ended(EventEnd::Age);
                    }
                }
            }
        }
    }

    /// What is to be removed from the queues.
    pub(super) fn ended(&self) -> BTreeMap<EventQueue, Vec<(EventKey, EventEnd)>> {
        let mut ended = BTreeMap::<_, Vec<_>>::new();
        for ((key, queue), entry) in &self.entries {
            if let State::Ended(end) = entry.state {
                ended.entry(queue.clone()).or_default().push((*key, end));
            }
        }
        ended
    }

    /// Forgets events that are in no queue any more.
    pub(super) fn removed(&mut self, queue: &EventQueue, ended: &[(EventKey, EventEnd)]) {
        for (key, _) in ended {
            self.entries.remove(&(*key, queue.clone()));
        }
    }

    /// The tick at which a pause ends that something waits for.
    pub(super) fn wakes_at(&self, now: Now) -> Option<u64> {
        let waits = self.entries.values().filter_map(|entry| match entry.state {
            State::Waiting { until } => Some(until.max(self.paused_until)),
            State::Sent | State::Ended(_) => None,
        });
        waits.filter(|at| *at > now.ticks).min()
    }

    fn is_too_old(&self, event: &Event, now: Now) -> bool {
        now.time.0.saturating_sub(event.at.0) > self.age_ms_max
    }
}

/// The pause after the `nth` failure in a row, counted from 1: doubled each time, and between half of it and the whole, so that
/// many senders do not come back at once.
pub(super) fn pause_ms(nth: u32, draw: u32) -> u64 {
    let whole = PAUSE_MS_FIRST.saturating_mul(1 << nth.saturating_sub(1).min(16)).min(PAUSE_MS_MAX);
    let half = whole / 2;
    half + u64::from(draw) * half / u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use strongroom_objects::BucketName;
    use strongroom_objects::events::EventKind;

    use super::*;

    const AGE_MS_MAX: u64 = 3_600_000;
    const BEGIN: u64 = 1_700_000_000_000;

    fn at(ticks: u64) -> Now {
        Now { ticks, time: Timestamp(BEGIN + ticks) }
    }

    fn queue(bucket: &str) -> EventQueue {
        EventQueue::dangerous_of(BucketName::parse(bucket).unwrap(), "orders", 1)
    }

    fn pending(count: u64, name: &str) -> PendingEvent {
        let event = Event {
            kind: EventKind::CreatedPut,
            at: Timestamp(BEGIN + count),
            name: ObjectName::parse(name).unwrap(),
            version: None,
            size: None,
            etag: None,
            rule: String::new(),
            principal: String::new(),
            source: String::new(),
            request_id: String::new(),
        };
        PendingEvent { key: EventKey::dangerous_from_parts(1, count), event: Some(event) }
    }

    fn schedule(events: &[(u64, &str)]) -> Schedule {
        let mut schedule = Schedule::new(AGE_MS_MAX);
        schedule.offer(
            &queue("one"),
            events.iter().map(|(count, name)| pending(*count, name)).collect(),
            at(0),
        );
        schedule
    }

    /// Takes the next event and says which it is.
    fn take(schedule: &mut Schedule, now: Now) -> Option<(EventId, u64, String)> {
        let (id, event) = schedule.next(now)?;
        let count = event.at.0 - BEGIN;
        Some((id, count, event.name.as_str().to_owned()))
    }

    fn ends(schedule: &Schedule) -> Vec<EventEnd> {
        schedule.ended().into_values().flatten().map(|(_, end)| end).collect()
    }

    #[test]
    fn events_of_one_object_go_one_after_the_other_and_others_at_once() {
        let mut schedule = schedule(&[(1, "a"), (2, "a"), (3, "b"), (4, "a")]);
        let (first, count, _) = take(&mut schedule, at(0)).unwrap();
        assert_eq!(count, 1);
        let (_, _, other) = take(&mut schedule, at(0)).unwrap();
        assert_eq!(other, "b");
        assert!(take(&mut schedule, at(0)).is_none());
        schedule.answered(&first, Attempt::Delivered, at(1), 0);
        assert_eq!(take(&mut schedule, at(1)).unwrap().1, 2);
        assert!(take(&mut schedule, at(1)).is_none());
        let ended = schedule.ended();
        schedule.removed(&queue("one"), &ended[&queue("one")]);
        assert_eq!(schedule.len(), 3);
    }

    #[test]
    fn the_same_name_in_two_buckets_is_two_objects() {
        let mut schedule = schedule(&[(1, "a")]);
        schedule.offer(&queue("two"), vec![pending(2, "a")], at(0));
        assert!(take(&mut schedule, at(0)).is_some() && take(&mut schedule, at(0)).is_some());
    }

    #[test]
    fn an_event_that_is_known_is_not_taken_in_twice() {
        let mut schedule = schedule(&[(1, "a")]);
        let (id, ..) = take(&mut schedule, at(0)).unwrap();
        schedule.offer(&queue("one"), vec![pending(1, "a")], at(0));
        assert!(take(&mut schedule, at(0)).is_none());
        schedule.answered(&id, Attempt::Delivered, at(0), 0);
        schedule.offer(&queue("one"), vec![pending(1, "a")], at(0));
        assert!(take(&mut schedule, at(0)).is_none(), "not while it is still to be removed");
    }

    #[test]
    fn a_target_in_trouble_is_tried_with_one_event_after_growing_pauses() {
        let mut schedule = schedule(&[(1, "a"), (2, "b"), (3, "c")]);
        let mut now = 0;
        for nth in 1..12 {
            let (id, count, _) = take(&mut schedule, at(now)).unwrap();
            assert_eq!(count, 1, "the oldest first");
            schedule.answered(&id, Attempt::Trouble, at(now), u32::MAX);
            let pause = (1000 << (nth - 1)).min(300_000);
            assert_eq!(schedule.wakes_at(at(now)), Some(now + pause));
            assert!(take(&mut schedule, at(now + pause - 1)).is_none());
            now += pause;
        }
        let (id, ..) = take(&mut schedule, at(now)).unwrap();
        assert!(take(&mut schedule, at(now)).is_none(), "one event tries it");
        schedule.answered(&id, Attempt::Delivered, at(now), 0);
        assert_eq!(schedule.failures(), 0);
        assert!(take(&mut schedule, at(now)).is_some() && take(&mut schedule, at(now)).is_some());
    }

    #[test]
    fn failures_of_events_under_way_together_are_one() {
        let mut schedule = schedule(&[(1, "a"), (2, "b")]);
        let (one, ..) = take(&mut schedule, at(0)).unwrap();
        let (two, ..) = take(&mut schedule, at(0)).unwrap();
        schedule.answered(&one, Attempt::Trouble, at(1), 0);
        schedule.answered(&two, Attempt::Trouble, at(2), 0);
        assert_eq!(schedule.failures(), 1);
        assert_eq!(schedule.wakes_at(at(2)), Some(501), "at least half a pause");
    }

    #[test]
    fn an_event_that_is_not_wanted_holds_up_its_object_alone_until_it_is_too_old() {
        let mut schedule = schedule(&[(1, "a"), (2, "a"), (3, "b")]);
        let (refused, ..) = take(&mut schedule, at(0)).unwrap();
        schedule.answered(&refused, Attempt::Unwanted, at(0), u32::MAX);
        let (other, _, name) = take(&mut schedule, at(0)).unwrap();
        assert_eq!(name, "b");
        schedule.answered(&other, Attempt::Delivered, at(0), 0);
        assert!(take(&mut schedule, at(999)).is_none());
        let late = AGE_MS_MAX + 10;
        let (again, count, _) = take(&mut schedule, at(late)).unwrap();
        assert_eq!(count, 1);
        schedule.answered(&again, Attempt::Unwanted, at(late), 0);
        assert_eq!(ends(&schedule), [EventEnd::Age, EventEnd::Delivered]);
        assert_eq!(take(&mut schedule, at(late)).unwrap().1, 2, "the next of the object is tried");
    }

    #[test]
    fn age_counts_only_once_an_attempt_failed() {
        let late = AGE_MS_MAX + 10;
        let mut schedule = schedule(&[(1, "a"), (2, "b")]);
        schedule.offer(&queue("one"), vec![pending(late, "c")], at(late));
        let (id, ..) = take(&mut schedule, at(late)).unwrap();
        schedule.answered(&id, Attempt::Trouble, at(late), 0);
        assert_eq!(ends(&schedule), [EventEnd::Age, EventEnd::Age]);
        schedule.offer(&queue("one"), vec![pending(3, "d")], at(late));
        assert_eq!(ends(&schedule).len(), 3, "what was not known yet is as old");
        assert_eq!(take(&mut schedule, at(late + 1000)).unwrap().2, "c");
    }

    #[test]
    fn a_damaged_row_is_ended_and_holds_up_nothing() {
        let mut schedule = Schedule::new(AGE_MS_MAX);
        let damaged = PendingEvent { event: None, ..pending(1, "a") };
        schedule.offer(&queue("one"), vec![damaged, pending(2, "a")], at(0));
        assert_eq!(ends(&schedule), [EventEnd::Damaged]);
        assert_eq!(take(&mut schedule, at(0)).unwrap().1, 2);
    }
}
