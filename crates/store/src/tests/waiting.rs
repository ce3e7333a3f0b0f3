//! Commands of the system group that wait for space, and what goes on beside, behind and after them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::*;
use crate::keyring::Growth;
use crate::sim::{Call, SimDisk, Trouble};
use crate::store::block_on;
use crate::{CommitError, RootKeyChangeError, StoreError};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

type Made = Result<(GroupId, Outcome), CommitError>;

/// A store in which the making of a group waits for space for the keyring. The log has its space, and so have rows.
struct Waiting {
    keys: Arc<OneKey>,
    disk: SimDisk,
    store: Store,
    groups: [GroupId; 2],
    making: JoinHandle<Made>,
}

impl Waiting {
    fn new(seed: u64) -> Self {
        let keys = OneKey::named("root");
        let disk = SimDisk::from_seed(seed);
        let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
        let groups = ["a", "b"].map(|name| make_group(&store, name));
        for group in groups {
            store.commit_blocking(put(group, "row", "value")).unwrap();
        }
        // What is asked for before the command is logged is there; what the replacement then needs is not.
        store.engine().keyring.prepare(1 << 20, Growth::default()).unwrap();
        for call in [Call::SetLen, Call::Create] {
            let error = io::ErrorKind::StorageFull;
            disk.plan(Trouble { call: Some(call), after: 0, error, lasting: true });
        }
        let shared = store.clone();
        let make = move || block_on(shared.create_group(|_| put(GroupId::SYSTEM, "late", "a group")));
        let making = thread::spawn(make);
        while !store.engine().system_waits.load(Ordering::Acquire) {
            assert!(!making.is_finished(), "it waits");
            thread::yield_now();
        }
        Self { keys, disk, store, groups, making }
    }

    /// What a caller sees that looked just before the command began to wait.
    fn look_away(&self) {
        self.store.engine().system_waits.store(false, Ordering::Release);
    }

    fn reopen(self) -> Store {
        self.disk.kill();
        Store::create_or_open(simulated(self.disk, &self.keys, 2)).unwrap()
    }
}

/// The answer of something that may hang; a failed test is better than one that never ends.
fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, answer) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    answer.recv_timeout(LONG).unwrap_or_else(|_| panic!("{what} does not end"))
}

#[test]
fn a_command_that_waits_for_space_gets_it_while_others_are_busy() {
    let waiting = Waiting::new(1);
    let stop = Arc::new(AtomicBool::new(false));
    let commits = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let writers = waiting.groups.iter().zip(&commits).map(|(group, commits)| {
        let (store, group) = (waiting.store.clone(), *group);
        let (stop, commits) = (Arc::clone(&stop), Arc::clone(commits));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                store.commit_blocking(put(group, "row", "again")).unwrap();
                commits.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    while commits.iter().any(|commits| commits.load(Ordering::Relaxed) < 100) {
        thread::yield_now();
    }
    waiting.disk.heal();
    let Waiting { making, store, .. } = waiting;
    let made = in_time("a command that waited for space", move || making.join().unwrap());
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let (group, _) = made.unwrap();
    store.commit_blocking(put(group, "row", "value")).unwrap();
    store.checkpoint().unwrap();
}

#[test]
fn no_key_is_rotated_behind_a_command_that_waits() {
    let waiting = Waiting::new(2);
    let (store, group) = (waiting.store.clone(), waiting.groups[0]);
    let rotated = in_time("a rotation", move || block_on(store.rotate_group_key(group)));
    assert!(matches!(rotated, Err(CommitError::NoSpace)), "{rotated:?}");
    waiting.disk.heal();
    waiting.making.join().unwrap().unwrap();
    assert_eq!(block_on(waiting.store.rotate_group_key(group)).unwrap(), 2);
}

#[test]
fn a_store_closes_while_commands_wait_one_behind_another() {
    let mut waiting = Waiting::new(3);
    let store = waiting.store.clone();
    let mut behind;
    // It is on its way when this has been polled once, unless somebody looked in between.
    let waker = std::task::Waker::noop();
    loop {
        waiting.look_away();
        behind = Box::pin(store.commit(put(GroupId::SYSTEM, "behind", "a row")));
        if behind.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending() {
            break;
        }
    }
    let closing = waiting.store.clone();
    let closed = in_time("closing", move || closing.close());
    assert!(matches!(closed, Err(StoreError::NoSpace | StoreError::Poisoned { .. })), "{closed:?}");
    let poisoned = |error: &CommitError| matches!(error, CommitError::Poisoned { .. });
    let (done, answer) = mpsc::channel();
    let making = std::mem::replace(&mut waiting.making, thread::spawn(|| Err(CommitError::Closed)));
    thread::scope(|scope| {
        scope.spawn(move || done.send(block_on(behind)));
        let behind = answer.recv_timeout(LONG).expect("it is answered");
        assert!(behind.is_err_and(|error| poisoned(&error)));
    });
    assert!(making.join().unwrap().is_err_and(|error| poisoned(&error)));
    drop(store);
    let store = waiting.reopen();
    let found = ["late", "behind"].map(|key| get(&store, GroupId::SYSTEM, key));
    assert_eq!(found, [Some("a group".into()), Some("a row".into())], "both are in the log");
}

#[test]
fn a_root_key_change_that_waited_for_a_group_until_the_store_gave_up_is_none() {
    let waiting = Waiting::new(4);
    let store = waiting.store.clone();
    let (asked, asking) = mpsc::channel();
    let changing = thread::spawn(move || {
        let mut change = Box::pin(store.change_root_key(None));
        // The key thread has the order when this has been polled once.
        let waker = std::task::Waker::noop();
        assert!(change.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        asked.send(()).unwrap();
        block_on(change)
    });
    asking.recv_timeout(LONG).unwrap();
    let store = waiting.store.clone();
    let closed = in_time("closing", move || store.close());
    assert!(closed.is_err());
    let changed = in_time("a change of the root key", move || changing.join().unwrap());
    // The group's key, in the log, is under the old root key.
    let none = |error| matches!(error, RootKeyChangeError::Closed | RootKeyChangeError::Poisoned { .. });
    assert!(changed.is_err_and(none));
}

#[test]
fn the_log_is_not_pinned_for_a_backup_while_a_command_waits() {
    let waiting = Waiting::new(5);
    let refused = waiting.store.pin_log();
    assert!(matches!(refused, Err(StoreError::NoSpace)), "rows and keyring lack what waits: {refused:?}");
    waiting.disk.heal();
    waiting.making.join().unwrap().unwrap();
    waiting.store.pin_log().unwrap();
}
