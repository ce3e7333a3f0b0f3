//! Whoever seals and applies commands has the keys in memory: a provider that refuses or hangs keeps only those waiting
//! who need it.

use std::sync::Condvar;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use strongroom_seal::GroupKey;

use super::*;
use crate::CommitError;

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// A provider that answers, refuses, or does not answer for as long as the test likes.
#[derive(Debug)]
struct Moody {
    inner: Arc<OneKey>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    waiting: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Mood {
    #[default]
    Answers,
    Refuses,
    Hangs,
}

impl Moody {
    fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
        self.changed.notify_all();
    }

    fn wait_for(&self, waiting: usize) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.waiting < waiting).unwrap());
    }

    fn ask(&self) -> Result<(), RootKeyError> {
        let mut state = self.state.lock().unwrap();
        if state.mood == Mood::Hangs {
            state.waiting += 1;
            self.changed.notify_all();
            state = self.changed.wait_while(state, |state| state.mood == Mood::Hangs).unwrap();
            state.waiting -= 1;
        }
        match state.mood {
            Mood::Refuses => {
                Err(RootKeyError::Unavailable { provider: "test".into(), reason: "it refuses".into() })
            }
            Mood::Answers | Mood::Hangs => Ok(()),
        }
    }
}

impl RootKeys for Moody {
    fn wrap(&self, id: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        self.ask()?;
        self.inner.wrap(id, key, context)
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        self.ask()?;
        self.inner.unwrap(envelope, context)
    }
}

struct Place {
    disk: SimDisk,
    moody: Arc<Moody>,
}

impl Place {
    fn new(seed: u64) -> Self {
        let inner = OneKey::named("root");
        let moody = Moody { inner, state: Mutex::default(), changed: Condvar::new() };
        Self { disk: SimDisk::from_seed(seed), moody: Arc::new(moody) }
    }

    fn options(&self, seed: u64) -> StoreOptions {
        let root_keys = Arc::<Moody>::clone(&self.moody);
        StoreOptions { root_keys, ..simulated(self.disk.clone(), &self.moody.inner, seed) }
    }

    fn open(&self, seed: u64) -> Store {
        Store::create_or_open(self.options(seed)).unwrap()
    }
}

/// More keys of groups that nobody uses than are kept.
fn crowd_out(store: &Store) {
    let keyring = &store.engine().keyring;
    let others = 1_000_000..1_010_000;
    others.for_each(|group| keyring.remember(GroupId(group), 1, GroupKey::generate(&OsRandom)));
}

fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, answer) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    answer.recv_timeout(LONG).unwrap_or_else(|_| panic!("{what} does not end"))
}

#[test]
fn a_group_in_use_takes_commands_for_as_long_as_its_provider_is_away() {
    for mood in [Mood::Refuses, Mood::Hangs] {
        let place = Place::new(1);
        let store = place.open(1);
        let group = make_group(&store, "a");
        store.commit_blocking(put(group, "row", "1")).unwrap();
        place.moody.set(mood);
        crowd_out(&store);
        let shared = store.clone();
        in_time("what needs no provider", move || {
            // Each of them asks for keys again: a new segment has ciphers of its own.
            for value in ["2", "3"] {
                shared.checkpoint().unwrap();
                shared.commit_blocking(put(group, "row", value)).unwrap();
                shared.commit_blocking(put(GroupId::SYSTEM, "row", value)).unwrap();
            }
        });
        assert_eq!(store.status().poisoned, None);
        assert_eq!(get(&store, group, "row").as_deref(), Some("3"));
        place.moody.set(Mood::Answers);
        store.close().unwrap();
    }
}

#[test]
fn a_group_with_several_keys_gets_another_without_asking_for_the_earlier_ones() {
    let place = Place::new(2);
    let store = place.open(1);
    let group = make_group(&store, "a");
    for id in 2..5 {
        store.commit_blocking(put(group, "row", "value")).unwrap();
        crowd_out(&store);
        assert_eq!(rotate(&store, group), id);
        assert!(store.engine().keyring.usable_in_memory(group).is_ok(), "key {id}");
    }
    store.commit_blocking(put(group, "row", "last")).unwrap();
    store.close().unwrap();
}

#[test]
fn groups_whose_keys_are_here_do_not_wait_for_those_whose_keys_are_not() {
    let place = Place::new(3);
    let store = place.open(1);
    let cold: Vec<_> = (0..40).map(|n| make_group(&store, &format!("cold {n}"))).collect();
    let hot = make_group(&store, "hot");
    store.close().unwrap();
    let store = place.open(2);
    store.commit_blocking(put(hot, "row", "1")).unwrap();
    place.moody.set(Mood::Hangs);
    // More than there are threads to open them, with more bytes than may be on their way at once.
    let large = |group| {
        let rows = (0..6).map(|row| put(group, &format!("row {row}"), &"x".repeat(1 << 20)));
        Command { group, checks: vec![], writes: rows.flat_map(|row| row.writes).collect() }
    };
    let writers = cold.iter().map(|group| {
        let mut commit = Box::pin(store.commit(large(*group)));
        let waker = std::task::Waker::noop();
        assert!(commit.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        commit
    });
    let writers: Vec<_> = writers.collect();
    place.moody.wait_for(1);
    let shared = store.clone();
    let dropped = cold[0];
    in_time("what needs no provider", move || {
        shared.commit_blocking(large(hot)).unwrap();
        // Its keyring entry goes although somebody is asking for its key.
        let write = Write::DropGroup { group: dropped };
        let command = Command { group: GroupId::SYSTEM, checks: vec![], writes: vec![write] };
        shared.commit_blocking(command).unwrap();
        shared.commit_blocking(put(hot, "row", "2")).unwrap();
        shared.checkpoint().unwrap();
    });
    place.moody.set(Mood::Answers);
    for (group, commit) in cold.iter().zip(writers) {
        match block_on(commit) {
            Err(CommitError::NoSuchGroup { group }) => assert_eq!(group, dropped),
            other => assert!(matches!(other, Ok(Outcome::Applied { .. })), "{group}: {other:?}"),
        }
    }
    assert_eq!(get(&store, hot, "row").as_deref(), Some("2"));
    store.close().unwrap();
}
