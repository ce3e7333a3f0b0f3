//! A store's life: random commands, one after the other or many at once, with a picture of the disk before each call.

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use strongroom_seal::SeededRandom;

use super::history::{Complaint, Ledger, Moment, Rows, all_rows, rows};
use super::user::User;
use super::{SetClock, Tally};
use crate::reseal::Step;
use crate::sim::{Dice, SimDisk};
use crate::store::block_on;
use crate::{
    Check, Clock, Command, CommitError, GroupId, KeyState, Outcome, ReadError, Reading, RootKeyChangeError,
    Store, StoreError, Write,
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// One store while it lives.
pub(super) struct Life<'a> {
    pub(super) store: &'a Store,
    pub(super) disk: &'a SimDisk,
    clock: &'a Arc<SetClock>,
    pub(super) ledger: Ledger,
    /// By label.
    pub(super) moments: Vec<Moment>,
    /// Calls may fail.
    pub(super) troubled: bool,
    /// No call may stop the store: there was no trouble but a lack of space.
    pub(super) must_go_on: bool,
    /// Runs are to be repeatable call for call.
    pub(super) exact: bool,
    /// Snapshots that outlive what comes after them, each with what it must show.
    readings: Vec<(Reading, Arc<Rows>)>,
    /// Between which calls that change something there was what.
    pub(super) during: Vec<(Op, Range<u64>)>,
    pub(super) tally: Tally,
    user: Arc<User>,
}

const LOG_THREAD: &str = "store-log";
/// How long at most somebody waits for what comes at once.
const STUCK: Duration = Duration::from_secs(120);

/// How many turns of a worker are taken at most where all the work is to be done: far more than there can be.
const TURNS_MAX: usize = 5000;

/// What takes many calls, and may be cut short between any two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Checkpoint,
    Rotation,
    RootChange,
}

/// How a step ended.
enum End {
    Done,
    /// Nothing of it counts.
    Refused,
    /// Nobody knows; the store takes no more commands.
    Stopped,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        store: &'a Store,
        disk: &'a SimDisk,
        clock: &'a Arc<SetClock>,
        ledger: Ledger,
        exact: bool,
        seed: u64,
    ) -> Self {
        let moments = vec![ledger.moment()];
        disk.label(0);
        let user = User::of(store, Arc::new(SeededRandom::dangerous_from_seed(seed)));
        Self {
            store,
            disk,
            ledger,
            moments,
            troubled: false,
            must_go_on: false,
            exact,
            readings: Vec::new(),
            during: Vec::new(),
            tally: Tally::default(),
            clock,
            user,
        }
    }

    /// Lives until the steps are done or the store stops. Whether it still goes on.
    pub(super) fn go(&mut self, dice: &mut Dice, steps: usize) -> Result<bool, Complaint> {
        for _ in 0..steps {
            if let End::Stopped = self.step(dice)? {
                if self.must_go_on {
                    return Err(format!(
                        "lack of space stopped the store: {:?}",
                        self.store.status().poisoned
                    ));
                }
                if !self.troubled {
                    return Err(format!("the store stopped by itself: {:?}", self.store.status().poisoned));
                }
                self.readings.clear();
                return Ok(false);
            }
        }
        self.readings.clear();
        Ok(true)
    }

    fn step(&mut self, dice: &mut Dice) -> Result<End, Complaint> {
        if self.exact && dice.chance(15) {
            return self.turns(dice);
        }
        let user = Arc::clone(&self.user);
        let _turn = user.turn();
        let end = match dice.below(26) {
            0 => self.unmake(NAMES[dice.below(4)]),
            1..=3 => self.make(NAMES[dice.below(4)]),
            4 | 5 => self.during(Op::Checkpoint, Self::checkpoint),
            6 | 7 => self.look(dice),
            8..=10 => self.many(dice),
            11 => self.during(Op::Rotation, |life| life.rotate(dice)),
            12 => self.during(Op::RootChange, |life| life.change_root(dice)),
            _ => {
                let command = self.command(dice);
                self.one(command)
            }
        };
        self.settle();
        end
    }

    fn during<T>(&mut self, op: Op, work: impl FnOnce(&mut Self) -> T) -> T {
        let from = self.disk.changes();
        let done = work(self);
        self.during.push((op, from + 1..self.disk.changes()));
        done
    }

    fn command(&self, dice: &mut Dice) -> Command {
        let group = self.some_group(dice);
        self.command_for(group, dice)
    }

    fn command_for(&self, group: GroupId, dice: &mut Dice) -> Command {
        let key = |dice: &mut Dice| format!("key {:02}", dice.below(12)).into_bytes();
        let checks = (0..usize::from(dice.chance(20))).map(|_| match dice.below(4) {
            0 => Check::Absent { key: key(dice) },
            1 => Check::Present { key: key(dice) },
            2 => {
                let key = key(dice);
                let value = self.ledger.groups[&group].get(&key).map_or(vec![1], |value| value.to_vec());
                Check::Equals { key, value }
            }
            _ => Check::RangeEmpty { from: key(dice), to: key(dice) },
        });
        let checks = checks.collect();
        let writes = (0..=dice.below(3)).map(|_| match dice.below(6) {
            0 => Write::Delete { key: key(dice) },
            // Under trouble the key may not be to be had.
            1 => self.user.row(group, dice).unwrap_or_else(|| Write::Delete { key: key(dice) }),
            _ => Write::Put { key: key(dice), value: value(dice) },
        });
        Command { group, checks, writes: writes.collect() }
    }

    /// Some turns of a worker, which moves pages, lets values be wrapped anew and retires keys. No row says anything else.
    fn turns(&mut self, dice: &mut Dice) -> Result<End, Complaint> {
        for _ in 0..=dice.below(12) {
            match self.store.resealer().step() {
                Step::Worked => {}
                Step::Rest(..) => self.clock.set(self.clock.ticks() + Duration::from_secs(11)),
                Step::Stop => return Ok(End::Stopped),
            }
            self.settle();
        }
        Ok(End::Done)
    }

    /// Whatever was replaced retires, if nothing keeps it. What a worker says rests for a while, which goes by at once.
    pub(super) fn retire_all(&mut self) -> Result<(), Complaint> {
        self.readings.clear();
        for _ in 0..TURNS_MAX {
            if self.store.reseal_status().groups.is_empty() {
                return Ok(());
            }
            match self.store.resealer().step() {
                Step::Worked => {}
                Step::Rest(..) => self.clock.set(self.clock.ticks() + Duration::from_secs(61)),
                Step::Stop => return Err(format!("re-sealing ended: {:?}", self.store.status().poisoned)),
            }
        }
        Err(format!("keys do not retire: {:?}", self.store.reseal_status()))
    }

    /// What became of keys.
    pub(super) fn count_keys(&mut self) {
        for keys in self.store.key_report().groups.iter().map(|group| &group.keys) {
            self.tally.keys_replaced += keys.len() as u64 - 1;
            let retired = keys.iter().filter(|key| key.state == KeyState::Retired);
            self.tally.keys_retired += retired.count() as u64;
        }
    }

    /// Labels what comes with what may be found from now on.
    fn expect(&mut self, moment: Moment) {
        self.moments.push(moment);
        self.disk.label(self.moments.len() as u64 - 1);
    }

    /// Something was answered. What is unknown stays possible.
    fn answered(&mut self, end: &End) {
        if !matches!(end, End::Stopped) {
            let now = self.ledger.moment();
            self.expect(now);
        }
    }

    fn one(&mut self, command: Command) -> Result<End, Complaint> {
        let mut moment = self.ledger.moment();
        moment.under_way(&command);
        self.expect(moment);
        let answer = self.store.commit_blocking(command.clone());
        let end = self.outcome(&command, answer)?;
        self.answered(&end);
        Ok(end)
    }

    /// Notes what came of a command.
    fn outcome(&mut self, command: &Command, answer: Answer) -> Result<End, Complaint> {
        match (answer, self.ledger.after(command)) {
            (Ok(Outcome::Applied { .. }), Some(rows)) => self.ledger.set(command.group, rows),
            (Ok(Outcome::Refused { .. }), None) => {}
            (Ok(outcome), after) => {
                return Err(format!(
                    "{command:?} ended as {outcome:?}, expected to apply: {}",
                    after.is_some()
                ));
            }
            // Durable, so it counts, and is seen as soon as its group is.
            (Err(CommitError::NotAppliedYet { .. }), after) if self.troubled => {
                if let Some(rows) = after {
                    self.ledger.set(command.group, rows);
                }
            }
            (Err(error), _) => return self.failed(&error),
        }
        Ok(End::Done)
    }

    fn failed(&mut self, error: &CommitError) -> Result<End, Complaint> {
        let end = match error {
            CommitError::NoSpace => {
                self.tally.refused_for_space += 1;
                End::Refused
            }
            CommitError::Unreadable(_) => End::Refused,
            CommitError::Poisoned { .. } | CommitError::Damage(_) => End::Stopped,
            other => return Err(format!("an answer that nothing explains: {other}")),
        };
        if self.troubled { Ok(end) } else { Err(format!("a command failed without trouble: {error}")) }
    }

    /// Several commands at once, of the system group and one other.
    fn many(&mut self, dice: &mut Dice) -> Result<End, Complaint> {
        let other = self.some_group(dice);
        // Keeps it open, so that commands are on their way once they were begun.
        let pin = match self.store.read(other) {
            Ok(pin) => pin,
            Err(error) => return self.unreadable(&error),
        };
        let mut commands: Vec<Command> = (0..2 + dice.below(4))
            .map(|_| {
                let group = if dice.chance(30) { GroupId::SYSTEM } else { other };
                self.command_for(group, dice)
            })
            .collect();
        if !self.exact {
            // Beside the store's own threads a group may have to be opened again, and whoever waits for that is overtaken. No
            // order is promised among commands that are begun at once, so there is one for each group.
            let mut seen = BTreeSet::new();
            commands.retain(|command| seen.insert(command.group));
        }
        let mut moment = self.ledger.moment();
        commands.iter().for_each(|command| moment.under_way(command));
        self.expect(moment);
        let mut begun: Vec<_> = commands.iter().map(|command| Begun::new(self.store, command)).collect();
        if self.exact {
            // The first one occupies the log; the others gather behind it and become one batch.
            let mut first = Begun::new(self.store, &nothing());
            self.disk.hold();
            let began = Instant::now();
            while !first.poll() && !self.disk.is_waited_for_by(LOG_THREAD) {
                assert!(began.elapsed() < STUCK, "the log is not asked for: {:?}", self.store.status());
                std::thread::yield_now();
            }
            poll_all(&mut begun);
            self.disk.go_on();
            let _ = first.wait();
        } else {
            poll_all(&mut begun);
        }
        let mut end = End::Done;
        let mut unknown = Vec::new();
        for (command, begun) in commands.iter().zip(begun) {
            let answer = begun.wait();
            // Behind one of unknown outcome nothing is known of the others, but that they are in order.
            if !matches!(end, End::Stopped) {
                match self.outcome(command, answer)? {
                    End::Done => continue,
                    other => end = other,
                }
            }
            unknown.push(command);
        }
        drop(pin);
        if matches!(end, End::Stopped) {
            let mut moment = self.ledger.moment();
            unknown.into_iter().for_each(|command| moment.under_way(command));
            self.expect(moment);
        }
        self.answered(&end);
        Ok(end)
    }

    fn make(&mut self, name: &str) -> Result<End, Complaint> {
        let (ledger, disk, label) = (self.ledger.clone(), self.disk.clone(), self.moments.len() as u64);
        let mut made = None;
        let answer = block_on(self.store.create_group(|group: GroupId| {
            let key = name.as_bytes().to_vec();
            let checks = vec![Check::Absent { key: key.clone() }];
            let writes = vec![Write::Put { key, value: group.0.to_le_bytes().to_vec() }];
            let command = Command { group: GroupId::SYSTEM, checks, writes };
            let mut moment = ledger.moment();
            moment.under_way(&command);
            moment.may_make(group);
            disk.label(label);
            made = Some((group, command.clone(), moment));
            command
        }));
        let Some((group, command, moment)) = made else {
            return match answer {
                Err(error) => self.failed(&error),
                Ok(_) => Err("a group was made that nobody asked for".into()),
            };
        };
        self.moments.push(moment);
        let applies = self.ledger.after(&command).is_some();
        let end = self.outcome(&command, answer.map(|(_, outcome)| outcome))?;
        if applies && matches!(end, End::Done) {
            self.ledger.set(group, Rows::new());
        }
        self.answered(&end);
        Ok(end)
    }

    fn unmake(&mut self, name: &str) -> Result<End, Complaint> {
        let Some(group) = self.ledger.group(name) else { return Ok(End::Done) };
        let writes = vec![Write::Delete { key: name.as_bytes().to_vec() }, Write::DropGroup { group }];
        let command = Command { group: GroupId::SYSTEM, checks: vec![], writes };
        let mut moment = self.ledger.moment();
        moment.under_way(&command);
        self.expect(moment);
        let answer = self.store.commit_blocking(command.clone());
        let end = self.outcome(&command, answer)?;
        if matches!(end, End::Done) {
            self.ledger.groups.remove(&group);
        }
        self.answered(&end);
        Ok(end)
    }

    fn checkpoint(&mut self) -> Result<End, Complaint> {
        let end = match self.store.checkpoint() {
            Ok(()) => End::Done,
            Err(StoreError::NoSpace | StoreError::GroupBehind { .. }) if self.troubled => End::Refused,
            Err(StoreError::Poisoned { .. }) => End::Stopped,
            Err(other) => return Err(format!("a checkpoint failed: {other}")),
        };
        Ok(end)
    }

    /// Another key for a group. No row changes.
    fn rotate(&mut self, dice: &mut Dice) -> Result<End, Complaint> {
        let group = self.some_group(dice);
        let end = match block_on(self.store.rotate_group_key(group)) {
            Ok(_) => {
                self.tally.rotations += 1;
                End::Done
            }
            Err(CommitError::KeysExhausted { .. }) => End::Done,
            Err(error) => self.failed(&error)?,
        };
        Ok(end)
    }

    /// The other root key. No row changes.
    fn change_root(&mut self, dice: &mut Dice) -> Result<End, Complaint> {
        let to = if dice.chance(50) { "first" } else { "second" };
        let end = match block_on(self.store.change_root_key(Some(to.to_owned()))) {
            Ok(_) => {
                self.tally.root_changes += 1;
                End::Done
            }
            Err(RootKeyChangeError::NoSpace) if self.troubled => End::Refused,
            Err(RootKeyChangeError::Poisoned { .. }) if self.troubled => End::Stopped,
            Err(error) => return Err(format!("the root key was not changed: {error}")),
        };
        Ok(end)
    }

    /// The disk is sound again. A checkpoint makes good what failed.
    pub(super) fn recover(&mut self) -> Result<(), Complaint> {
        self.readings.clear();
        self.troubled = false;
        self.store.checkpoint().map_err(|error| format!("after the trouble a checkpoint failed: {error}"))?;
        let failed = self.store.status().groups_failed;
        if failed.is_empty() {
            Ok(())
        } else {
            Err(format!("after the trouble these stay broken: {failed:?}"))
        }
    }

    /// Reads a group, and keeps what it read open for a while.
    fn look(&mut self, dice: &mut Dice) -> Result<End, Complaint> {
        let group = self.some_group(dice);
        match rows(self.store, group) {
            Ok(Ok(found)) if found == *self.ledger.groups[&group] => {}
            Ok(Err(complaint)) => return Err(complaint),
            Ok(Ok(_)) => return Err(format!("group {group} shows other rows than were acknowledged")),
            Err(error) => return self.unreadable(&error),
        }
        if dice.chance(40) {
            match self.store.read(group) {
                Ok(reading) => self.readings.push((reading, Arc::clone(&self.ledger.groups[&group]))),
                Err(error) => return self.unreadable(&error),
            }
        }
        if self.readings.len() > 2 || dice.chance(30) {
            for (reading, expected) in std::mem::take(&mut self.readings) {
                match all_rows(&reading) {
                    Ok(found) if found == *expected => {}
                    Ok(_) => return Err("a snapshot changed".into()),
                    Err(error) => return self.unreadable(&error),
                }
            }
        }
        Ok(End::Done)
    }

    fn unreadable(&self, error: &ReadError) -> Result<End, Complaint> {
        if self.troubled { Ok(End::Refused) } else { Err(format!("a read failed without trouble: {error}")) }
    }

    fn some_group(&self, dice: &mut Dice) -> GroupId {
        let index = dice.below(self.ledger.groups.len());
        *self.ledger.groups.keys().nth(index).expect("the index is below the count")
    }

    /// Waits until the log thread has done what it was told, then the key thread, which may have told it more.
    fn settle(&self) {
        if self.exact {
            let _ = self.store.commit_blocking(nothing());
            let _ = block_on(self.store.check_keys_now());
            let _ = self.store.commit_blocking(nothing());
        }
    }
}

/// A command on its way.
struct Begun<'a> {
    future: Pin<Box<dyn Future<Output = Answer> + 'a>>,
    answer: Option<Answer>,
}

type Answer = Result<Outcome, CommitError>;

impl<'a> Begun<'a> {
    fn new(store: &'a Store, command: &Command) -> Self {
        Self { future: Box::pin(store.commit(command.clone())), answer: None }
    }

    /// Whether the answer is there.
    fn poll(&mut self) -> bool {
        if self.answer.is_none() {
            let mut context = TaskContext::from_waker(Waker::noop());
            if let Poll::Ready(answer) = self.future.as_mut().poll(&mut context) {
                self.answer = Some(answer);
            }
        }
        self.answer.is_some()
    }

    fn wait(mut self) -> Answer {
        match self.answer.take() {
            Some(answer) => answer,
            None => block_on(self.future),
        }
    }
}

fn poll_all(begun: &mut [Begun<'_>]) {
    for begun in begun {
        let _ = begun.poll();
    }
}

/// A command that is refused.
fn nothing() -> Command {
    let checks = vec![Check::Present { key: b"no such row".to_vec() }];
    Command { group: GroupId::SYSTEM, checks, writes: vec![] }
}

/// Mostly short, with a byte that tells it from others.
fn value(dice: &mut Dice) -> Vec<u8> {
    let len = match dice.below(40) {
        0 => 12_000 + dice.below(20_000),
        1..5 => 1000 + dice.below(5000),
        // Never four bytes: those name groups.
        _ => 5 + dice.below(120),
    };
    let stamp = dice.roll().to_le_bytes();
    stamp.into_iter().cycle().take(len).collect()
}
