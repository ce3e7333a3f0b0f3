//! Which event is sent next: no clock, no socket (`docs/spec/events.md` §4).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

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

/// Events of one object that are known at a time: more would take the room of others.
const LINE_MAX: usize = 128;

/// The events that a sender knows of, and the state of its target.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: BTreeMap<EventId, Entry>,
    lines: HashMap<LineId, Line>,
    queues: BTreeMap<EventQueue, Known>,
    /// The first of each line that may be sent now.
    ready: BTreeSet<EventId>,
    /// Those that the target did not want, and when they are tried again.
    later: BTreeSet<(u64, EventId)>,
    ended: BTreeMap<EventQueue, BTreeMap<EventKey, EventEnd>>,
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
    /// Attempts in which the target did not want it.
    refusals: u32,
    /// Whether it is under way.
    sent: bool,
    /// When it is tried again, if that is later.
    until: Option<u64>,
}

/// An object of a bucket.
type LineId = (EventQueue, ObjectName);

/// The events of one object, the first of which is sent before the others.
#[derive(Debug, Default)]
struct Line {
    keys: VecDeque<EventKey>,
    /// The target did not want the first: it is the only one that is known, and takes nobody's room.
    refused: bool,
    /// The first that was passed over for want of room. What follows it is passed over as well, so that the order holds.
    passed: Option<EventKey>,
}

/// What is known of a queue.
#[derive(Debug, Default)]
struct Known {
    entries: usize,
    /// Entries of lines whose first was refused.
    refused: usize,
    /// Where there is something that was passed over and has room now.
    behind: Option<EventKey>,
}

impl Schedule {
    pub(super) fn new(age_ms_max: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            lines: HashMap::new(),
            queues: BTreeMap::new(),
            ready: BTreeSet::new(),
            later: BTreeSet::new(),
            ended: BTreeMap::new(),
            age_ms_max,
            failures: 0,
            paused_until: 0,
            sent: 0,
        }
    }

    /// How many attempts in a row found the target in trouble.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// When the oldest event happened.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.entries.values().find_map(|entry| Some(entry.event.as_ref()?.at))
    }

    /// How many more events of a queue may be known, if it may have `share` of its own. Refused ones do not count, up to
    /// `refused_max`.
    pub(super) fn room(&self, queue: &EventQueue, share: usize, refused_max: usize) -> usize {
        let known = self.queues.get(queue);
        share.saturating_sub(known.map_or(0, |known| known.entries - known.refused.min(refused_max)))
    }

    /// From where on a queue has to be read again, if anything that was passed over has room now.
    pub(super) fn take_behind(&mut self, queue: &EventQueue) -> Option<EventKey> {
        self.queues.get_mut(queue)?.behind.take()
    }

    /// Takes in what waits in a queue, read in order `from` a place on. Those it knows are passed over, and those for which their
    /// object has no room.
    pub(super) fn offer(&mut self, queue: &EventQueue, from: EventKey, pending: Vec<PendingEvent>, now: Now) {
        for PendingEvent { key, event } in pending {
            let id = (key, queue.clone());
            if self.entries.contains_key(&id) {
                continue;
            }
            match &event {
                None => self.note_end(&id, EventEnd::Damaged),
                // The attempt that failed last was later than this event may wait.
                Some(event) if self.failures > 0 && self.is_too_old(event, now) => {
                    self.note_end(&id, EventEnd::Age);
                }
                Some(event) => {
                    let line = self.lines.entry((queue.clone(), event.name.clone())).or_default();
                    if line.passed.is_some_and(|passed| from > passed) {
                        continue;
                    }
                    if line.keys.len() >= if line.refused { 1 } else { LINE_MAX } {
                        line.passed = Some(line.passed.map_or(key, |passed| passed.min(key)));
                        continue;
                    }
                    line.passed = None;
                    line.keys.push_back(key);
                    if line.keys.len() == 1 {
                        self.ready.insert(id.clone());
                    }
                }
            }
            self.queues.entry(queue.clone()).or_default().entries += 1;
            self.entries.insert(id, Entry { event, refusals: 0, sent: false, until: None });
        }
    }

    /// The event to send now, if any. It is answered before another of the same object is given.
    pub(super) fn next(&mut self, now: Now) -> Option<(EventId, Event)> {
        // A target in trouble is tried with one event.
        if now.ticks < self.paused_until || (self.failures > 0 && self.sent > 0) {
            return None;
        }
        while self.later.first().is_some_and(|(until, _)| *until <= now.ticks) {
            let Some((_, id)) = self.later.pop_first() else { break };
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.until = None;
            }
            self.ready.insert(id);
        }
        let id = self.ready.pop_first()?;
        let entry = self.entries.get_mut(&id)?;
        entry.sent = true;
        self.sent += 1;
        Some((id, entry.event.clone()?))
    }

    /// What came of an attempt. `draw` is random.
    pub(super) fn answered(&mut self, id: &EventId, attempt: Attempt, now: Now, draw: u32) {
        self.sent = self.sent.saturating_sub(1);
        let age_ms_max = self.age_ms_max;
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.sent = false;
        let too_old = entry.event.as_ref().is_none_or(|event| age_ms(event, now) > age_ms_max);
        match attempt {
            Attempt::Delivered => self.end(id, EventEnd::Delivered),
            _ if too_old => self.end(id, EventEnd::Age),
            Attempt::Trouble => {
                self.ready.insert(id.clone());
            }
            Attempt::Unwanted => self.refused(id, now, draw),
        }
        match attempt {
            Attempt::Delivered | Attempt::Unwanted => {
                self.failures = 0;
                self.paused_until = 0;
            }
            Attempt::Trouble => {
                // Those that were under way together are one failure.
                if now.ticks >= self.paused_until {
                    self.failures = self.failures.saturating_add(1);
                    self.paused_until = now.ticks + pause_ms(self.failures, draw);
                }
                self.end_old(now);
            }
        }
    }

    /// Has a refused event wait alone; what follows of its object is read again once it is its turn.
    fn refused(&mut self, id: &EventId, now: Now, draw: u32) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.refusals = entry.refusals.saturating_add(1);
        let until = now.ticks + pause_ms(entry.refusals, draw);
        entry.until = Some(until);
        self.later.insert((until, id.clone()));
        let Some(event) = &entry.event else { return };
        let line = self.lines.get_mut(&(id.1.clone(), event.name.clone()));
        let Some(line) = line.filter(|line| !line.refused) else { return };
        line.refused = true;
        let known = self.queues.entry(id.1.clone()).or_default();
        known.refused += 1;
        let followers = line.keys.split_off(1);
        line.passed = followers.front().copied().or(line.passed);
        for key in followers {
            known.entries -= 1;
            self.entries.remove(&(key, id.1.clone()));
        }
    }

    /// Ends all that wait and are too old.
    fn end_old(&mut self, now: Now) {
        let old = |entry: &Entry| {
            !entry.sent && entry.event.as_ref().is_some_and(|event| self.is_too_old(event, now))
        };
        let old: Vec<EventId> =
            self.entries.iter().filter(|(_, entry)| old(entry)).map(|(id, _)| id.clone()).collect();
        for id in &old {
            self.end(id, EventEnd::Age);
        }
    }

    /// Takes an event out of its line, if it is in one; the next one may go.
    fn end(&mut self, id: &EventId, end: EventEnd) {
        let Some(Entry { event: Some(event), until, .. }) = self.entries.get(id) else { return };
        let (line_id, until) = ((id.1.clone(), event.name.clone()), *until);
        let Some(line) = self.lines.get_mut(&line_id) else { return };
        let Some(at) = line.keys.iter().position(|key| *key == id.0) else { return };
        line.keys.remove(at);
        self.ready.remove(id);
        if let Some(until) = until {
            self.later.remove(&(until, id.clone()));
        }
        if at == 0 {
            if std::mem::take(&mut line.refused) {
                self.queues.entry(id.1.clone()).or_default().refused -= 1;
            }
            if let Some(next) = line.keys.front() {
                self.ready.insert((*next, id.1.clone()));
            }
        }
        if let Some(passed) = line.passed.filter(|_| line.keys.len() <= LINE_MAX / 2) {
            let known = self.queues.entry(id.1.clone()).or_default();
            known.behind = Some(known.behind.map_or(passed, |behind| behind.min(passed)));
        }
        if line.keys.is_empty() {
            self.lines.remove(&line_id);
        }
        self.note_end(id, end);
    }

    fn note_end(&mut self, id: &EventId, end: EventEnd) {
        self.ended.entry(id.1.clone()).or_default().insert(id.0, end);
    }

    /// What is to be removed from the queues.
    pub(super) fn ended(&self) -> BTreeMap<EventQueue, Vec<(EventKey, EventEnd)>> {
        let listed = |(queue, ended): (&EventQueue, &BTreeMap<EventKey, EventEnd>)| {
            (queue.clone(), ended.iter().map(|(key, end)| (*key, *end)).collect())
        };
        self.ended.iter().map(listed).collect()
    }

    /// Forgets events that are in no queue any more.
    pub(super) fn removed(&mut self, queue: &EventQueue, ended: &[(EventKey, EventEnd)]) {
        for (key, _) in ended {
            if self.entries.remove(&(*key, queue.clone())).is_some() {
                self.queues.entry(queue.clone()).or_default().entries -= 1;
            }
        }
        if let Some(left) = self.ended.get_mut(queue) {
            for (key, _) in ended {
                left.remove(key);
            }
            if left.is_empty() {
                self.ended.remove(queue);
            }
        }
    }

    /// The tick at which a pause ends that something waits for.
    pub(super) fn wakes_at(&self, now: Now) -> Option<u64> {
        let ready = (!self.ready.is_empty()).then_some(self.paused_until);
        let later = self.later.first().map(|(until, _)| (*until).max(self.paused_until));
        [ready, later].into_iter().flatten().filter(|at| *at > now.ticks).min()
    }

    fn is_too_old(&self, event: &Event, now: Now) -> bool {
        age_ms(event, now) > self.age_ms_max
    }
}

fn age_ms(event: &Event, now: Now) -> u64 {
    now.time.0.saturating_sub(event.at.0)
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
            EventKey::FIRST,
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
        assert_eq!(schedule.room(&queue("one"), 100, 0), 97);
    }

    #[test]
    fn the_same_name_in_two_buckets_is_two_objects() {
        let mut schedule = schedule(&[(1, "a")]);
        schedule.offer(&queue("two"), EventKey::FIRST, vec![pending(2, "a")], at(0));
        assert!(take(&mut schedule, at(0)).is_some() && take(&mut schedule, at(0)).is_some());
    }

    #[test]
    fn an_event_that_is_known_is_not_taken_in_twice() {
        let mut schedule = schedule(&[(1, "a")]);
        let (id, ..) = take(&mut schedule, at(0)).unwrap();
        schedule.offer(&queue("one"), EventKey::FIRST, vec![pending(1, "a")], at(0));
        assert!(take(&mut schedule, at(0)).is_none());
        schedule.answered(&id, Attempt::Delivered, at(0), 0);
        schedule.offer(&queue("one"), EventKey::FIRST, vec![pending(1, "a")], at(0));
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
        let from = schedule.take_behind(&queue("one")).expect("what follows has its turn");
        schedule.offer(&queue("one"), from, vec![pending(2, "a"), pending(3, "b")], at(late));
        assert_eq!(take(&mut schedule, at(late)).unwrap().1, 2, "the next of the object is tried");
    }

    #[test]
    fn age_counts_only_once_an_attempt_failed() {
        let late = AGE_MS_MAX + 10;
        let mut schedule = schedule(&[(1, "a"), (2, "b")]);
        schedule.offer(&queue("one"), EventKey::FIRST, vec![pending(late, "c")], at(late));
        let (id, ..) = take(&mut schedule, at(late)).unwrap();
        schedule.answered(&id, Attempt::Trouble, at(late), 0);
        assert_eq!(ends(&schedule), [EventEnd::Age, EventEnd::Age]);
        schedule.offer(&queue("one"), EventKey::FIRST, vec![pending(3, "d")], at(late));
        assert_eq!(ends(&schedule).len(), 3, "what was not known yet is as old");
        assert_eq!(take(&mut schedule, at(late + 1000)).unwrap().2, "c");
    }

    #[test]
    fn a_damaged_row_is_ended_and_holds_up_nothing() {
        let mut schedule = Schedule::new(AGE_MS_MAX);
        let damaged = PendingEvent { event: None, ..pending(1, "a") };
        schedule.offer(&queue("one"), EventKey::FIRST, vec![damaged, pending(2, "a")], at(0));
        assert_eq!(ends(&schedule), [EventEnd::Damaged]);
        assert_eq!(take(&mut schedule, at(0)).unwrap().1, 2);
    }

    const MANY: u64 = 5000;

    /// All events of a queue of which `names` gives each its object.
    fn many(names: impl Fn(u64) -> String) -> Vec<PendingEvent> {
        (1..=MANY).map(|count| pending(count, &names(count))).collect()
    }

    #[test]
    fn however_many_events_of_refused_objects_there_are_they_take_no_room() {
        for names in [|_| "same".to_owned(), |count| format!("object{count}")] {
            let mut schedule = Schedule::new(AGE_MS_MAX);
            for pending in many(names).chunks(100) {
                schedule.offer(&queue("one"), pending[0].key, pending.to_vec(), at(0));
                while let Some((id, ..)) = take(&mut schedule, at(0)) {
                    schedule.answered(&id, Attempt::Unwanted, at(0), u32::MAX);
                }
                assert_eq!(schedule.room(&queue("one"), 1000, 10_000), 1000);
            }
            schedule.offer(&queue("one"), pending(MANY + 1, "b").key, vec![pending(MANY + 1, "b")], at(0));
            assert_eq!(take(&mut schedule, at(0)).unwrap().2, "b");
        }
    }

    #[test]
    fn what_was_passed_over_comes_in_order_once_its_object_is_taken() {
        let (all, mut schedule, mut sent) =
            (many(|_| "same".to_owned()), Schedule::new(AGE_MS_MAX), Vec::new());
        let (mut now, mut from, mut refused) = (0, Some(EventKey::FIRST), 0);
        while sent.len() < all.len() {
            if let Some(from) = from.take() {
                let read: Vec<_> = all.iter().filter(|one| one.key >= from).cloned().collect();
                schedule.offer(&queue("one"), from, read, at(now));
            }
            let Some((id, count, _)) = take(&mut schedule, at(now)) else {
                now = schedule.wakes_at(at(now)).expect("something is left to be sent");
                continue;
            };
            // Each thousandth is refused twice.
            let attempt = match count % 1000 == 0 && refused < 2 {
                true => Attempt::Unwanted,
                false => Attempt::Delivered,
            };
            schedule.answered(&id, attempt, at(now), 0);
            refused = if attempt == Attempt::Unwanted { refused + 1 } else { 0 };
            if attempt == Attempt::Delivered {
                sent.push(count);
            }
            // Rows stay as they would if the store did not remove them: they are not sent again.
            from = schedule.take_behind(&queue("one"));
        }
        assert!(sent.iter().copied().eq(1..=MANY));
        assert!(take(&mut schedule, at(now)).is_none());
    }

    #[test]
    fn a_passed_over_event_that_is_dropped_holds_up_nothing() {
        let mut schedule = schedule(&[(1, "a"), (2, "a"), (3, "a")]);
        let (id, ..) = take(&mut schedule, at(0)).unwrap();
        schedule.answered(&id, Attempt::Unwanted, at(0), 0);
        let (id, ..) = take(&mut schedule, at(1000)).unwrap();
        schedule.answered(&id, Attempt::Delivered, at(1000), 0);
        let from = schedule.take_behind(&queue("one")).unwrap();
        assert_eq!(from, pending(2, "a").key);
        // The second fell out of the full queue meanwhile.
        schedule.offer(&queue("one"), from, vec![pending(3, "a")], at(1000));
        assert_eq!(take(&mut schedule, at(1000)).unwrap().1, 3);
    }
}
