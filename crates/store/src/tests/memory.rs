//! Groups whose pages the disk has no space for: they stay readable, and take commands as long as the log has space.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::sim::{Call, SimDisk, Survival, Trouble};
use crate::store::block_on;
use crate::{CommitError, KeyState, StoreError};

const ROWS: u32 = 2000;

/// Memory enough for what the test changes, of which the page file's cache keeps little.
fn tight(disk: &SimDisk, keys: &Arc<OneKey>, seed: u64) -> StoreOptions {
    StoreOptions { cache_bytes: 8 << 20, ..simulated(disk.clone(), keys, seed) }
}

fn name(row: u32) -> String {
    format!("row {row:05}")
}

/// What each row is to hold.
type Model = BTreeMap<String, String>;

/// A store with rows that are in the pages of the group, and a disk that is full now.
struct Full {
    disk: SimDisk,
    keys: Arc<OneKey>,
    store: Store,
    group: GroupId,
    model: Model,
}

impl Full {
    fn new(seed: u64) -> Self {
        let (disk, keys) = (SimDisk::from_seed(seed), OneKey::named("root"));
        let store = Store::create_or_open(tight(&disk, &keys, seed)).unwrap();
        // So many that the last one's cache is small.
        let group = ["a", "b", "c", "photos"].map(|name| make_group(&store, name))[3];
        let mut model = Model::new();
        for first in (0..ROWS).step_by(100) {
            let row = |row: u32| (name(row), format!("first {row} ").repeat(100));
            let rows: Vec<_> = (first..first + 100).map(row).collect();
            let put = |(key, value): &(String, String)| Write::Put {
                key: key.clone().into(),
                value: value.clone().into(),
            };
            let writes = rows.iter().map(put).collect();
            store.commit_blocking(Command { group, checks: vec![], writes }).unwrap();
            model.extend(rows);
        }
        store.checkpoint().unwrap();
        disk.full_in(Some(Path::new("/store/pages")));
        Self { disk, keys, store, group, model }
    }

    /// Changes rows all over the pages: more than the cache holds.
    fn change(&mut self) {
        for row in 0..ROWS {
            let (key, value) = (name(row), format!("second {row} ").repeat(150));
            self.store.commit_blocking(put(self.group, &key, &value)).unwrap();
            self.model.insert(key, value);
        }
        assert_eq!(self.store.status().groups_in_memory, [self.group]);
        assert!(self.store.status().groups_failed.is_empty());
    }

    #[track_caller]
    fn check(&self) {
        check(&self.store, self.group, &self.model);
    }
}

#[track_caller]
fn check(store: &Store, group: GroupId, model: &Model) {
    let rows = store.read(group).unwrap();
    let rows = rows.range(Bound::Unbounded, Bound::Unbounded).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let found: Model = rows.map(|row| row.map(|(key, value)| (text(&key), text(&value))).unwrap()).collect();
    assert!(found == *model, "{} rows, expected {}", found.len(), model.len());
}

#[test]
fn rows_stay_readable_and_changeable_and_reach_the_disk_when_it_has_space() {
    rows_stay_without_space(false);
}

#[test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    rows_stay_without_space(true);
}

fn rows_stay_without_space(quota: bool) {
    let mut full = Full::new(1);
    full.disk.by_quota(quota);
    full.change();
    full.check();
    // Still full: nothing is given up.
    assert!(matches!(full.store.checkpoint(), Err(StoreError::NoSpace)));
    full.check();
    full.disk.full_in(None);
    full.store.checkpoint().unwrap();
    assert!(full.store.status().groups_in_memory.is_empty());
    full.check();
    let Full { disk, keys, store, group, model } = full;
    store.close().unwrap();
    let store = Store::create_or_open(tight(&disk, &keys, 2)).unwrap();
    check(&store, group, &model);
}

#[test]
fn nothing_is_lost_if_the_process_dies_meanwhile() {
    let mut full = Full::new(2);
    full.change();
    let _ = full.store.checkpoint();
    let Full { disk, keys, store, group, model } = full;
    disk.cut_power();
    drop(store);
    disk.full_in(None);
    let store = Store::create_or_open(tight(&disk, &keys, 3)).unwrap();
    check(&store, group, &model);
}

#[test]
fn a_store_that_is_closed_meanwhile_opens_with_everything() {
    let mut full = Full::new(3);
    full.change();
    assert!(full.store.clone().close().is_err());
    let Full { disk, keys, store, group, model } = full;
    drop(store);
    disk.full_in(None);
    let store = Store::create_or_open(tight(&disk, &keys, 4)).unwrap();
    check(&store, group, &model);
}

#[test]
fn the_file_on_the_disk_is_not_touched_meanwhile() {
    let mut full = Full::new(4);
    full.change();
    let pages = || {
        let files = full.disk.files().into_iter().filter(|path| path.starts_with("/store/pages"));
        files.map(|path| (full.disk.bytes(&path), path)).collect::<Vec<_>>()
    };
    let before = pages();
    for row in 0..20 {
        let _ = full.store.commit_blocking(put(full.group, &name(row), "third"));
    }
    let _ = full.store.checkpoint();
    assert!(pages() == before, "a file among the pages changed");
}

#[test]
fn a_snapshot_is_not_lost_on_the_way_back_to_the_disk() {
    let mut full = Full::new(5);
    full.change();
    let (snapshot, seen) = (full.store.read(full.group).unwrap(), full.model.clone());
    full.disk.full_in(None);
    // The file is not written to while somebody reads it as it was.
    assert!(full.store.checkpoint().is_err());
    assert_eq!(full.store.status().groups_in_memory, [full.group]);
    let value = |key: &str| snapshot.get(key.as_bytes()).unwrap().map(|value| value.to_vec());
    assert!(seen.iter().all(|(key, expected)| value(key).as_deref() == Some(expected.as_bytes())));
    drop(snapshot);
    full.store.checkpoint().unwrap();
    assert!(full.store.status().groups_in_memory.is_empty());
    full.check();
}

#[test]
fn a_root_that_is_only_in_the_systems_cache_does_not_count_as_durable() {
    let mut in_memory = 0;
    for after in 0..24 {
        let (disk, keys) = (SimDisk::from_seed(1), OneKey::named("root"));
        let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
        let group = make_group(&store, "photos");
        store.commit_blocking(put(group, "row", "first")).unwrap();
        store.checkpoint().unwrap();
        // Because of this the file is not opened again, and what changes in it is in memory.
        let snapshot = store.read(group).unwrap();
        store.commit_blocking(put(group, "row", "second")).unwrap();
        disk.plan(Trouble { call: Some(Call::Write), after, error: io::ErrorKind::Other, lasting: false });
        // The write that fails may be the root's, and may have happened all the same.
        let _ = store.checkpoint();
        disk.heal();
        if store.status().groups_in_memory == [group] {
            in_memory += 1;
            // Whatever comes of these must not give back the log of what is only there.
            let _ = store.checkpoint();
        }
        drop(snapshot);
        disk.cut_power_keeping(Survival::Nothing);
        drop(store);
        let store = Store::create_or_open(simulated(disk, &keys, 2)).unwrap();
        let row = store.read(group).unwrap();
        let row = row.get(b"row").unwrap().map(|value| value.to_vec());
        assert_eq!(row.as_deref(), Some(b"second".as_slice()), "write {after} failed");
    }
    // Among them are the writes of both roots of the checkpoint.
    assert!(in_memory > 8, "{in_memory}");
}

#[test]
fn a_command_does_not_wait_for_a_snapshot_that_its_caller_holds() {
    let (disk, keys) = (SimDisk::from_seed(9), OneKey::named("root"));
    let store = Store::create_or_open(tight(&disk, &keys, 1)).unwrap();
    let photos = make_group(&store, "photos");
    for group in [GroupId::SYSTEM, photos] {
        store.commit_blocking(put(group, "row", "kept")).unwrap();
    }
    store.checkpoint().unwrap();
    disk.full_in(Some(Path::new("/store/pages")));
    let held = [GroupId::SYSTEM, photos].map(|group| store.read(group).unwrap());
    let value = "long ".repeat(2000);
    for group in [GroupId::SYSTEM, photos] {
        for row in 0..200 {
            store.commit_blocking(put(group, &name(row), &value)).unwrap();
        }
    }
    assert_eq!(store.status().groups_in_memory, [GroupId::SYSTEM, photos]);
    // Nor do pages go where a snapshot still looks.
    disk.full_in(None);
    assert!(store.checkpoint().is_err());
    assert_eq!(store.status().groups_in_memory, [GroupId::SYSTEM, photos]);
    drop(held);
    store.checkpoint().unwrap();
    assert!(store.status().groups_in_memory.is_empty());
    for group in [GroupId::SYSTEM, photos] {
        assert_eq!(get(&store, group, "row").as_deref(), Some("kept"));
        assert!((0..200).all(|row| get(&store, group, &name(row)).as_deref() == Some(&*value)));
    }
}

#[test]
fn pages_move_to_a_new_key_only_once_they_are_on_the_disk() {
    let mut full = Full::new(6);
    full.change();
    block_on(full.store.rotate_group_key(full.group)).unwrap();
    full.store.key_users_are_complete();
    for _ in 0..50 {
        let _ = full.store.resealer().step();
    }
    let states = |store: &Store, group| {
        let report = store.key_report();
        let keys = &report.groups.iter().find(|of| of.group == group).unwrap().keys;
        keys.iter().map(|key| key.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&full.store, full.group), [KeyState::Readable, KeyState::Active]);
    full.check();
    full.disk.full_in(None);
    full.store.checkpoint().unwrap();
    assert!(full.store.status().groups_in_memory.is_empty());
    full.check();
}

#[test]
fn changes_that_fit_neither_disk_nor_memory_are_refused_by_name_and_come_back() {
    let (disk, keys) = (SimDisk::from_seed(7), OneKey::named("root"));
    // The least: hardly any memory for pages without a place.
    let options = |seed| StoreOptions { cache_bytes: 1 << 20, ..simulated(disk.clone(), &keys, seed) };
    let store = Store::create_or_open(options(1)).unwrap();
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "row", "kept")).unwrap();
    store.checkpoint().unwrap();
    let mut model = Model::from([("row".to_owned(), "kept".to_owned())]);
    disk.full_in(Some(Path::new("/store/pages")));
    let failed = (0..400).any(|row| {
        let (key, value) = (name(row), format!("{row} ").repeat(3000));
        let answer = store.commit_blocking(put(group, &key, &value));
        // In the log: it counts once there is space.
        model.insert(key, value);
        match answer {
            Ok(_) => false,
            Err(CommitError::NotAppliedYet { .. }) => true,
            Err(error) => panic!("row {row}: {error}"),
        }
    });
    assert!(failed);
    let refused = store.commit_blocking(put(group, "more", "of it"));
    assert!(matches!(refused, Err(CommitError::NoSpace)), "{refused:?}");
    let unreadable = store.read(group).err().unwrap().to_string();
    assert!(unreadable.contains("no space"), "{unreadable}");
    assert_eq!(store.status().groups_failed.len(), 1);
    disk.full_in(None);
    store.checkpoint().unwrap();
    check(&store, group, &model);
}

#[test]
fn commands_that_come_while_pages_leave_the_memory_are_not_lost() {
    let (disk, keys) = (SimDisk::from_seed(8), OneKey::named("root"));
    let store = Store::create_or_open(tight(&disk, &keys, 1)).unwrap();
    let group = make_group(&store, "photos");
    let value = |row: u32| format!("{row} ").repeat(200);
    let (enough, rows, mut without_space) = (AtomicBool::new(false), AtomicU32::new(0), 0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !enough.load(Ordering::Acquire) {
                let row = rows.load(Ordering::Acquire);
                store.commit_blocking(put(group, &name(row), &value(row))).unwrap();
                rows.store(row + 1, Ordering::Release);
            }
        });
        let more_rows = || {
            let before = rows.load(Ordering::Acquire);
            while rows.load(Ordering::Acquire) < before + 3 && !writer.is_finished() {
                std::thread::yield_now();
            }
        };
        for _ in 0..100 {
            more_rows();
            disk.full_in(Some(Path::new("/store/pages")));
            // With room in the file for what changed it has been written.
            without_space += u32::from(matches!(store.checkpoint(), Err(StoreError::NoSpace)));
            more_rows();
            disk.full_in(None);
            let _ = store.checkpoint();
        }
        enough.store(true, Ordering::Release);
    });
    assert!(without_space > 0);
    store.checkpoint().unwrap();
    assert!(store.status().groups_in_memory.is_empty());
    let model: Model = (0..rows.into_inner()).map(|row| (name(row), value(row))).collect();
    check(&store, group, &model);
    drop(store);
    disk.kill();
    let store = Store::create_or_open(tight(&disk, &keys, 2)).unwrap();
    check(&store, group, &model);
}

#[test]
fn what_a_crash_left_of_a_look_for_space_is_removed() {
    let (disk, keys) = (SimDisk::from_seed(10), OneKey::named("root"));
    let store = Store::create_or_open(tight(&disk, &keys, 1)).unwrap();
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "row", "kept")).unwrap();
    store.close().unwrap();
    let left = PathBuf::from(format!("/store/pages/{group}.new"));
    disk.put(&left, Some(vec![0; 1 << 20]));
    let store = Store::create_or_open(tight(&disk, &keys, 2)).unwrap();
    assert_eq!(disk.bytes(&left), None);
    assert_eq!(get(&store, group, "row").as_deref(), Some("kept"));
}
