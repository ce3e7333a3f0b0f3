//! Disks that fail or are full, keys that are not to be had, more groups than may be open, and what is on the disk.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::sim::{Call, SimDisk, Trouble};
use crate::{Cause, CommitError, OpenError, ReadError, StoreError};

#[test]
fn a_thousand_groups_live_with_sixteen_open() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let bounded = || StoreOptions { groups_open_max: 16, ..options(dir.path(), &keys) };
    let store = Store::create_or_open(bounded()).unwrap();
    let make = |thread: usize| {
        let store = &store;
        move || {
            (0..125).map(|index| make_group(store, &format!("bucket {thread} {index}"))).collect::<Vec<_>>()
        }
    };
    let groups: Vec<GroupId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(make(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for (index, group) in groups.iter().enumerate().step_by(9) {
        store.commit_blocking(put(*group, "row", &index.to_string())).unwrap();
        assert!(store.status().groups_open <= 16);
    }
    drop(store);
    let store = Store::create_or_open(bounded()).unwrap();
    assert_eq!(store.status().groups, 1001);
    for (index, group) in groups.iter().enumerate().step_by(9) {
        assert_eq!(get(&store, *group, "row"), Some(index.to_string()));
        assert!(store.status().groups_open <= 16);
    }
    store.close().unwrap();
}

#[test]
fn a_group_in_use_stays_open_when_others_need_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { groups_open_max: 2, ..options(dir.path(), &OneKey::named("root")) };
    let store = Store::create_or_open(options).unwrap();
    let groups: Vec<_> = (0..6).map(|index| make_group(&store, &format!("{index}"))).collect();
    for group in &groups {
        store.commit_blocking(put(*group, "row", "value")).unwrap();
    }
    let readings: Vec<_> = groups.iter().map(|group| store.read(*group).unwrap()).collect();
    let values: Vec<_> = readings.iter().map(|reading| reading.get(b"row").unwrap().unwrap()).collect();
    drop(readings);
    for group in &groups {
        store.commit_blocking(put(*group, "row", "other")).unwrap();
    }
    assert!(values.iter().all(|value| &**value == b"value"));
    drop(values);
    assert_eq!(get(&store, groups[0], "row").as_deref(), Some("other"));
    let another = make_group(&store, "another");
    assert_eq!(get(&store, another, "row"), None);
    assert!(store.status().groups_open <= 2, "the next opening keeps the bound again");
}

#[test]
fn no_space_refuses_commands_and_the_store_goes_on_when_there_is_space() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(1);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "before", "kept")).unwrap();
    disk.limit(Some(0));
    // More than the zeros that the log has ahead.
    let refused = store.commit_blocking(put(group, "while", &"long ".repeat(100_000)));
    assert!(matches!(refused, Err(CommitError::NoSpace)), "{refused:?}");
    assert_eq!(get(&store, group, "while"), None);
    disk.limit(None);
    store.commit_blocking(put(group, "after", "kept")).unwrap();
    drop(store);
    disk.kill();
    let store = Store::create_or_open(simulated(disk, &keys, 2)).unwrap();
    let found = ["before", "while", "after"].map(|key| get(&store, group, key));
    assert_eq!(found, [Some("kept".into()), None, Some("kept".into())]);
}

#[test]
fn a_store_that_was_killed_on_a_full_disk_names_it_and_opens_when_there_is_space() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(6);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "row", "kept")).unwrap();
    drop(store);
    disk.kill();
    let opens = |what: &str| {
        let opened = Store::create_or_open(simulated(disk.clone(), &keys, 2));
        if let Err(error) = &opened {
            assert!(
                matches!(error, OpenError::NoSpace { path } if path.starts_with("/store")),
                "{what}: {error}"
            );
            assert!(error.to_string().contains("make room"), "{error}");
        }
        let opens = opened.is_ok();
        drop(opened);
        disk.kill();
        opens
    };
    disk.limit(Some(0));
    assert!(!opens("full"));
    // Whichever new file has no space: of pages, of the log, of the keyring.
    let made = (0..).find(|after| {
        disk.heal();
        let error = io::ErrorKind::StorageFull;
        disk.plan(Trouble { call: Some(Call::Create), after: *after, error, lasting: true });
        opens(&format!("{after} files were made"))
    });
    assert!(made.is_some_and(|made| made >= 2), "{made:?}");
    disk.heal();
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 3)).unwrap();
    assert_eq!(get(&store, group, "row").as_deref(), Some("kept"));
    store.commit_blocking(put(group, "row", "newer")).unwrap();
    store.close().unwrap();
}

/// Wherever the space runs out: the command is refused, or it waits and counts when there is space again. Nothing stops.
#[test]
fn no_space_for_the_system_group_lets_its_commands_wait() {
    let mut waited = 0;
    for calls in 0.. {
        let what = format!("no space after {calls} calls");
        let keys = OneKey::named("root");
        let disk = SimDisk::from_seed(5);
        // Rows that do not fit the cache are written when they are applied.
        let options = StoreOptions { cache_bytes: 1 << 12, ..simulated(disk.clone(), &keys, 1) };
        let store = Store::create_or_open(options).unwrap();
        make_group(&store, "a");
        let before = disk.changes();
        disk.full_between(calls, 1 << 40);
        let (making, made) = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let command = |_| {
                    let rows =
                        (0..4).map(|row| put(GroupId::SYSTEM, &format!("b{row}"), &"long ".repeat(200_000)));
                    let writes = rows.flat_map(|command| command.writes).collect();
                    Command { group: GroupId::SYSTEM, checks: vec![], writes }
                };
                crate::store::block_on(store.create_group(command))
            });
            while !thread.is_finished() && !store.engine().system_waits.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            let waits = !thread.is_finished();
            if waits {
                waited += 1;
                let refused = store.commit_blocking(put(GroupId::SYSTEM, "c", "later"));
                assert!(matches!(refused, Err(CommitError::NoSpace)), "{what}: {refused:?}");
                // Commands of other groups are their own affair, and a checkpoint keeps what the log has.
                drop(store.checkpoint());
            }
            disk.heal();
            (waits, thread.join().unwrap())
        });
        let spared = !making && disk.changes() - before < calls;
        match &made {
            Ok(_) => {}
            Err(CommitError::NoSpace) if !making => {}
            Err(error) => panic!("{what}: {error}"),
        }
        let group = make_group(&store, "d");
        store.commit_blocking(put(group, "k", "v")).unwrap();
        assert_eq!(get(&store, GroupId::SYSTEM, "b0").is_some(), made.is_ok(), "{what}");
        let model = super::model::Model::of(&store);
        drop(store);
        disk.kill();
        let store = Store::create_or_open(simulated(disk, &keys, 2)).unwrap();
        assert_eq!(super::model::Model::of(&store), model, "{what}");
        if spared {
            break;
        }
    }
    assert!(waited > 0, "rows or the keyring of some command had no space");
}

#[test]
fn a_failed_sync_stops_writing_with_its_cause_and_reads_go_on() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(2);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "before", "kept")).unwrap();
    disk.plan(Trouble { call: Some(Call::Sync), after: 0, error: io::ErrorKind::Other, lasting: false });
    let is_log = |cause: &Cause| matches!(cause, Cause::Log { .. });
    for _ in 0..2 {
        let refused = store.commit_blocking(put(group, "after", "unknown"));
        assert!(matches!(&refused, Err(CommitError::Poisoned { cause }) if is_log(cause)), "{refused:?}");
    }
    assert!(store.status().poisoned.as_ref().is_some_and(is_log));
    assert_eq!(get(&store, group, "before").as_deref(), Some("kept"));
    assert_eq!(get(&store, group, "after"), None, "what is not known to be durable is not shown");
    assert!(matches!(store.checkpoint(), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.close(), Err(StoreError::Poisoned { .. })));
    disk.kill();
    let store = Store::create_or_open(simulated(disk, &keys, 2)).unwrap();
    assert!(!store.recovered().clean);
    assert_eq!(get(&store, group, "before").as_deref(), Some("kept"));
    store.commit_blocking(put(group, "later", "works")).unwrap();
}

#[test]
fn a_keyring_that_cannot_be_replaced_stops_writing_before_anything_else_is_durable() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(3);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    store.commit_blocking(put(GroupId::SYSTEM, "row", "kept")).unwrap();
    // From here on the system group's page file counts, with whatever becomes durable in it.
    store.checkpoint().unwrap();
    disk.plan(Trouble { call: Some(Call::Rename), after: 0, error: io::ErrorKind::Other, lasting: false });
    let command = |_| put(GroupId::SYSTEM, "photos", "a group");
    let refused = crate::store::block_on(store.create_group(command));
    let poisoned = |cause: &Cause| matches!(cause, Cause::Keyring { .. });
    assert!(matches!(&refused, Err(CommitError::Poisoned { cause }) if poisoned(cause)), "{refused:?}");
    drop(store);
    // The command is in the log, so the group comes into being with its row.
    disk.kill();
    let store = Store::create_or_open(simulated(disk, &keys, 2)).unwrap();
    assert_eq!(get(&store, GroupId::SYSTEM, "photos").as_deref(), Some("a group"));
    assert_eq!(store.groups().len(), 2);
    store.commit_blocking(put(store.groups()[1], "a", "b")).unwrap();
}

/// A provider that can be switched off.
#[derive(Debug)]
struct Switched {
    inner: Arc<OneKey>,
    off: AtomicBool,
}

impl Switched {
    fn check(&self) -> Result<(), RootKeyError> {
        if self.off.load(Ordering::Relaxed) {
            return Err(RootKeyError::Unavailable { provider: "test".into(), reason: "switched off".into() });
        }
        Ok(())
    }
}

impl RootKeys for Switched {
    fn wrap(
        &self,
        key_id: Option<&str>,
        key: &[u8; 32],
        context: &Context,
    ) -> Result<Envelope, RootKeyError> {
        self.check()?;
        self.inner.wrap(key_id, key, context)
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        self.check()?;
        self.inner.unwrap(envelope, context)
    }
}

#[test]
fn a_provider_that_is_down_stops_what_needs_it_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let switched = Arc::new(Switched { inner: Arc::clone(&keys), off: AtomicBool::new(false) });
    let with = || StoreOptions { root_keys: Arc::<Switched>::clone(&switched), ..options(dir.path(), &keys) };
    let store = Store::create_or_open(with()).unwrap();
    let (hot, cold) = (make_group(&store, "hot"), make_group(&store, "cold"));
    for group in [hot, cold] {
        store.commit_blocking(put(group, "row", "value")).unwrap();
    }
    store.close().unwrap();
    let store = Store::create_or_open(with()).unwrap();
    assert_eq!(get(&store, hot, "row").as_deref(), Some("value"));
    switched.off.store(true, Ordering::Relaxed);
    store.commit_blocking(put(hot, "row", "newer")).unwrap();
    let down = |error: &RootKeyError| matches!(error, RootKeyError::Unavailable { .. });
    assert!(matches!(store.read(cold), Err(ReadError::RootKey(error)) if down(&error)));
    let refused = store.commit_blocking(put(cold, "row", "newer"));
    assert!(matches!(&refused, Err(CommitError::RootKey(error)) if down(error)), "{refused:?}");
    let refused = crate::store::block_on(store.create_group(|_| put(GroupId::SYSTEM, "new", "group")));
    assert!(matches!(&refused, Err(CommitError::RootKey(error)) if down(error)), "{refused:?}");
    drop(store);
    let refused = Store::create_or_open(with());
    assert!(matches!(&refused, Err(OpenError::RootKey { source, .. }) if down(source)));
    switched.off.store(false, Ordering::Relaxed);
    let store = Store::create_or_open(with()).unwrap();
    assert_eq!(get(&store, hot, "row").as_deref(), Some("newer"));
    assert_eq!(get(&store, cold, "row").as_deref(), Some("value"));
    assert_eq!(store.groups().len(), 3, "the group that was not made is not there");
}

#[test]
fn no_file_and_no_file_name_holds_a_readable_byte_of_a_row() {
    const CANARY: &str = "canary-6f1d8ab2-row";
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let group = make_group(&store, &format!("{CANARY}-name"));
    for index in 0..200 {
        let row = put(group, &format!("{CANARY}-{index}"), &format!("{CANARY} value").repeat(50));
        store.commit_blocking(row).unwrap();
    }
    assert_not_found(dir.path(), CANARY);
    store.checkpoint().unwrap();
    assert_not_found(dir.path(), CANARY);
    store.commit_blocking(put(group, CANARY, CANARY)).unwrap();
    store.close().unwrap();
    assert_not_found(dir.path(), CANARY);
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert_eq!(get(&store, group, CANARY).as_deref(), Some(CANARY));
    drop(store);
    assert_not_found(dir.path(), CANARY);
}

fn assert_not_found(dir: &Path, canary: &str) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        assert!(!path.to_string_lossy().contains(canary));
        if path.is_dir() {
            assert_not_found(&path, canary);
        } else {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{} holds it", path.display());
        }
    }
}
