//! Which groups there are to work on, and how far each is.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use strongroom_telemetry::names;

use super::pace::Pace;
use super::{ResealProgress, ResealStage};
use crate::keyring::Contents;
use crate::{Clock, GroupId, KeyState, KeyUser, ResealSettings};

/// Groups whose keys wait for the log are looked at together, at the latest after this long: one checkpoint serves all.
const GATHER: Duration = Duration::from_secs(10);

/// What the workers share.
#[derive(Debug)]
pub(crate) struct Board {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    settings: ResealSettings,
    pace: Pace,
    users: Vec<Arc<dyn KeyUser>>,
    users_complete: bool,
    /// Groups with readable keys, as of the keyring's generation `seen`.
    groups: BTreeMap<GroupId, Work>,
    seen: Option<u64>,
    stopping: bool,
    /// Counts what may give a resting worker something to do.
    events: u64,
}

#[derive(Debug)]
struct Work {
    active: u32,
    key_ids: Vec<u32>,
    stage: ResealStage,
    pages_done: u64,
    /// Nothing until somebody looked.
    pages_total: Option<u64>,
    bytes_moved: u64,
    trouble: Option<String>,
    /// A worker has it.
    busy: bool,
    /// Rests until then; `None` until somebody intervenes.
    rests_until: Option<Duration>,
    /// When it came to wait for the log.
    waits_since: Duration,
    /// How many users were asked about its values.
    asked: usize,
    /// Its pages may have been moved by an earlier run: how many is to be found out before anything else, also during a pause.
    to_look: bool,
}

/// What a worker is to do next.
#[derive(Debug)]
pub(super) enum Job {
    /// How far an earlier run came with the pages of this group, for its active key.
    Look(GroupId, u32),
    /// The next batch of pages of this group, for its active key.
    Pages(GroupId, u32),
    /// The values of this group, for its active key.
    Values(GroupId, u32, Vec<Arc<dyn KeyUser>>),
    /// These groups wait for the log.
    Log(Vec<Waiting>),
    /// Nothing to do until there are more events than these, or for so long.
    Rest(u64, Option<Duration>),
    /// End.
    Stop,
}

/// A group that waits for the log.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) group: GroupId,
    pub(super) active: u32,
    /// The keys that nothing else needs.
    pub(super) key_ids: Vec<u32>,
}

/// What came of a job, for one group.
#[derive(Debug)]
pub(super) enum Outcome {
    /// More of the same.
    Again,
    /// On to the next stage, or if it was the last one: see what the keyring says.
    Done,
    /// Not done; later again.
    Later(Duration),
    /// It went wrong; later again, or not before somebody intervenes.
    Trouble(String, Option<Duration>),
    /// The group is gone.
    Gone,
}

impl Board {
    /// The board of a store whose keyring has this at the opening.
    pub(crate) fn new(contents: &Contents, clock: Arc<dyn Clock>) -> Self {
        let settings = contents.reseal;
        let mut state = State {
            settings,
            pace: Pace::new(settings.kib_per_second, clock.ticks()),
            users: Vec::new(),
            users_complete: false,
            groups: BTreeMap::new(),
            seen: None,
            stopping: false,
            events: 0,
        };
        state.look_at(contents);
        show(settings);
        Self { clock, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// There may be something to do: the keyring changed.
    pub(crate) fn wake(&self) {
        self.tell(&mut self.lock());
    }

    /// The workers end after what they have in hand.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        self.tell(&mut state);
    }

    pub(super) fn settings(&self) -> ResealSettings {
        self.lock().settings
    }

    pub(crate) fn set(&self, settings: ResealSettings) {
        let mut state = self.lock();
        state.settings = settings;
        let now = self.now();
        state.pace.set_rate(settings.kib_per_second, now);
        for work in state.groups.values_mut() {
            work.rests_until = Some(now);
        }
        show(settings);
        self.tell(&mut state);
    }

    pub(super) fn add_user(&self, user: Arc<dyn KeyUser>) {
        let mut state = self.lock();
        state.users.push(user);
        state.look_again(self.now());
        self.tell(&mut state);
    }

    pub(super) fn complete_users(&self) {
        let mut state = self.lock();
        state.users_complete = true;
        state.look_again(self.now());
        self.tell(&mut state);
    }

    /// Bytes were moved in a group.
    pub(super) fn moved(&self, group: GroupId, bytes: u64, pages: Option<(u64, u64)>) {
        let mut state = self.lock();
        let now = self.now();
        state.pace.take(bytes, now);
        if let Some(work) = state.groups.get_mut(&group) {
            work.bytes_moved += bytes;
            if let Some((done, total)) = pages {
                (work.pages_done, work.pages_total) = (done, Some(total));
            }
        }
        state.show_left();
    }

    /// Waits until more may be moved. Whether to go on.
    pub(super) fn wait_for_pace(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopping || state.settings.paused {
                return false;
            }
            let wait = state.pace.wait(self.now());
            if wait == Duration::ZERO {
                return true;
            }
            state = self.wait(state, Some(wait));
        }
    }

    /// Groups that came since, of which nobody knows yet how many pages they have.
    pub(super) fn uncounted(&self, contents: &Contents) -> Vec<GroupId> {
        let mut state = self.lock();
        state.look_at(contents);
        let fresh = state.groups.iter().filter(|(_, work)| work.pages_total.is_none());
        fresh.map(|(group, _)| *group).collect()
    }

    /// A group has so many pages.
    pub(super) fn counted(&self, group: GroupId, pages: u64) {
        let mut state = self.lock();
        if let Some(work) = state.groups.get_mut(&group) {
            work.pages_total.get_or_insert(pages);
        }
        state.show_left();
    }

    /// How many pages may still be under an older key of their group.
    #[cfg(test)]
    pub(crate) fn pages_left(&self) -> u64 {
        self.lock().pages_left()
    }

    /// What to do next, by what the keyring has.
    pub(super) fn next(&self, contents: &Contents) -> Job {
        let mut state = self.lock();
        state.look_at(contents);
        state.next(self.now())
    }

    /// Waits until there are more events than these, or this long.
    pub(super) fn rest(&self, events: u64, most: Option<Duration>) {
        let state = self.lock();
        if state.events == events {
            drop(self.wait(state, most));
        }
    }

    /// What came of a job that was given for this active key.
    pub(super) fn done(&self, group: GroupId, active: u32, outcome: Outcome) {
        let now = self.now();
        let mut state = self.lock();
        let users = state.users.len();
        if let Some(work) = state.groups.get_mut(&group) {
            work.busy = false;
            // With another active key it all began anew.
            if work.active == active {
                work.finish(outcome, users, now);
            }
        }
        self.tell(&mut state);
    }

    /// What came of a look.
    pub(super) fn looked(&self, group: GroupId, active: u32, outcome: Outcome) {
        let now = self.now();
        let mut state = self.lock();
        if let Some(work) = state.groups.get_mut(&group) {
            work.busy = false;
            match outcome {
                Outcome::Done => work.to_look = false,
                other if work.active == active => work.finish(other, 0, now),
                _ => {}
            }
        }
        self.tell(&mut state);
    }

    pub(super) fn progress(&self, contents: &Contents) -> Vec<ResealProgress> {
        let mut state = self.lock();
        state.look_at(contents);
        let progress = |(group, work): (&GroupId, &Work)| ResealProgress {
            group: *group,
            key_ids: work.key_ids.clone(),
            stage: work.stage,
            pages_done: work.pages_done,
            pages_total: work.pages_total.unwrap_or(0),
            bytes_moved: work.bytes_moved,
            trouble: work.trouble.clone(),
        };
        state.groups.iter().map(progress).collect()
    }

    fn tell(&self, state: &mut State) {
        state.events += 1;
        self.changed.notify_all();
    }

    fn now(&self) -> Duration {
        self.clock.ticks()
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, most: Option<Duration>) -> MutexGuard<'a, State> {
        match most {
            Some(most) => self.changed.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0,
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes over which groups have readable keys.
    fn look_at(&mut self, contents: &Contents) {
        if self.seen.is_some_and(|seen| seen >= contents.generation) {
            return;
        }
        // Those that the opening finds: of a key that came since, nothing is moved yet.
        let to_look = self.seen.is_none();
        self.seen = Some(contents.generation);
        let readable = |keys: &crate::keyring::GroupKeys| -> Vec<u32> {
            keys.keys.iter().filter(|key| key.state == KeyState::Readable).map(|key| key.id).collect()
        };
        self.groups
            .retain(|group, _| contents.groups.get(group).is_some_and(|keys| !readable(keys).is_empty()));
        for (group, keys) in &contents.groups {
            let key_ids = readable(keys);
            if key_ids.is_empty() {
                continue;
            }
            let active = keys.active().id;
            let work = self.groups.entry(*group).or_insert_with(|| Work { to_look, ..Work::new(active) });
            work.key_ids = key_ids;
            if work.active != active {
                *work = Work {
                    key_ids: std::mem::take(&mut work.key_ids),
                    bytes_moved: work.bytes_moved,
                    busy: work.busy,
                    ..Work::new(active)
                };
            }
        }
        gauge!(names::RESEAL_GROUPS_LEFT).set(self.groups.len() as f64);
        self.show_left();
    }

    /// All pages of a group that nobody looked at yet count, and none of one whose pages are done.
    fn pages_left(&self) -> u64 {
        let moving = self.groups.values().filter(|work| work.stage == ResealStage::Pages);
        moving.map(|work| work.pages_total.unwrap_or(0).saturating_sub(work.pages_done)).sum()
    }

    fn show_left(&self) {
        gauge!(names::RESEAL_PAGES_LEFT).set(self.pages_left() as f64);
    }

    fn next(&mut self, now: Duration) -> Job {
        if self.stopping {
            return Job::Stop;
        }
        if let Some(job) = self.next_look(now) {
            return job;
        }
        if self.settings.paused || self.groups.is_empty() {
            return Job::Rest(self.events, None);
        }
        let wait = self.pace.wait(now);
        let ready = |work: &Work| !work.busy && work.rests_until.is_some_and(|until| until <= now);
        let at_log = |work: &Work| work.stage == ResealStage::Log;
        let first =
            self.groups.iter().find(|(_, work)| ready(work) && !at_log(work)).map(|(group, _)| *group);
        let overdue = self.groups.values().any(|w| ready(w) && at_log(w) && now >= w.waits_since + GATHER);
        let busy_elsewhere = self.groups.values().any(|work| work.busy && !at_log(work));
        if overdue || (first.is_none() && !busy_elsewhere) {
            let waiting = self.groups.iter_mut().filter(|(_, work)| ready(work) && at_log(work));
            let groups: Vec<_> = waiting
                .map(|(group, work)| {
                    work.busy = true;
                    Waiting { group: *group, active: work.active, key_ids: work.key_ids.clone() }
                })
                .collect();
            if !groups.is_empty() {
                return Job::Log(groups);
            }
        }
        let Some(group) = first else {
            let rests = self.groups.values().filter(|work| !work.busy).filter_map(|work| work.rests_until);
            let until = rests.filter(|until| *until > now).min();
            return Job::Rest(self.events, until.map(|until| until - now));
        };
        if wait > Duration::ZERO {
            return Job::Rest(self.events, Some(wait));
        }
        let work = self.groups.get_mut(&group).expect("it was found above");
        work.busy = true;
        if work.stage == ResealStage::Pages {
            return Job::Pages(group, work.active);
        }
        if !self.users_complete {
            // Until somebody says who they are.
            (work.busy, work.rests_until) = (false, None);
            return Job::Rest(self.events, Some(Duration::ZERO));
        }
        work.asked = self.users.len();
        Job::Values(group, work.active, self.users.clone())
    }

    fn next_look(&mut self, now: Duration) -> Option<Job> {
        let to_look =
            |work: &Work| work.to_look && !work.busy && work.rests_until.is_some_and(|until| until <= now);
        let (group, work) = self.groups.iter_mut().find(|(_, work)| to_look(work))?;
        work.busy = true;
        Some(Job::Look(*group, work.active))
    }

    /// Groups that wait for their users are looked at again.
    fn look_again(&mut self, now: Duration) {
        for work in self.groups.values_mut().filter(|work| work.stage != ResealStage::Pages) {
            work.rests_until = Some(now);
            if work.stage == ResealStage::Log {
                // The new one was not asked.
                work.stage = ResealStage::Values;
            }
        }
    }
}

impl Work {
    fn new(active: u32) -> Self {
        Self {
            active,
            key_ids: Vec::new(),
            stage: ResealStage::Pages,
            pages_done: 0,
            pages_total: None,
            bytes_moved: 0,
            trouble: None,
            busy: false,
            rests_until: Some(Duration::ZERO),
            waits_since: Duration::ZERO,
            asked: 0,
            to_look: false,
        }
    }

    fn finish(&mut self, outcome: Outcome, users: usize, now: Duration) {
        match outcome {
            Outcome::Again => self.trouble = None,
            // One was registered since, who is to be asked too.
            Outcome::Done if self.stage == ResealStage::Values && self.asked != users => {}
            Outcome::Done => {
                self.trouble = None;
                self.stage = match self.stage {
                    ResealStage::Pages => ResealStage::Values,
                    ResealStage::Values | ResealStage::Log => ResealStage::Log,
                };
                self.waits_since = now;
            }
            Outcome::Later(rest) => {
                self.trouble = None;
                self.rests_until = Some(now + rest);
            }
            Outcome::Trouble(trouble, rest) => {
                self.trouble = Some(trouble);
                self.rests_until = rest.map(|rest| now + rest);
            }
            // The keyring says so by now, or soon.
            Outcome::Gone => self.rests_until = None,
        }
    }
}

fn show(settings: ResealSettings) {
    gauge!(names::RESEAL_RATE_BYTES).set(f64::from(settings.kib_per_second) * 1024.0);
    gauge!(names::RESEAL_PAUSED).set(f64::from(u8::from(settings.paused)));
}
