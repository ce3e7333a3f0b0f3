//! A read that fails: what is damaged fails by name, and all else stays readable.
//!
//! With its debug assertions redb reads every page of a database when it opens it, so that one damaged page would fail the
//! opening. The workspace builds it without them.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use super::*;
use crate::sim::{Call, SimDisk, Trouble};
use crate::{CommitError, ReadError};

const ROWS: usize = 300;
const PAGE: usize = 4096;

fn key(index: usize) -> String {
    format!("row {index:04}")
}

fn value(index: usize) -> String {
    format!("{index} ").repeat(700)
}

fn fill(store: &Store) -> GroupId {
    let group = make_group(store, "photos");
    for index in 0..ROWS {
        store.commit_blocking(put(group, &key(index), &value(index))).unwrap();
    }
    group
}

fn read(store: &Store, group: GroupId, index: usize) -> Result<(), ReadError> {
    let found = store.read(group)?.get(key(index).as_bytes())?;
    assert_eq!(found.as_deref(), Some(value(index).as_bytes()), "row {index}");
    Ok(())
}

/// The rows that cannot be read; each says which page is damaged.
fn unreadable(store: &Store, group: GroupId, file: &Path) -> Vec<usize> {
    let damaged = |index: &usize| match read(store, group, *index) {
        Ok(()) => false,
        Err(ReadError::Damage(damage)) => {
            assert_eq!(damage.file, file, "{damage}");
            true
        }
        Err(other) => panic!("row {index}: {other}"),
    };
    (0..ROWS).filter(damaged).collect()
}

/// A closed store with a page of which some rows, and not the last ones, need.
struct Damaged {
    dir: tempfile::TempDir,
    keys: Arc<OneKey>,
    group: GroupId,
    file: std::path::PathBuf,
    rows: Vec<usize>,
}

impl Damaged {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = OneKey::named("root");
        let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
        let group = fill(&store);
        store.close().unwrap();
        let file = dir.path().join(format!("pages/{group}.pages"));
        let bytes = fs::read(&file).unwrap();
        let written = |page: &usize| bytes[page * PAGE..][..PAGE].iter().any(|byte| *byte != 0);
        // Behind the root slots.
        for page in (128..bytes.len() / PAGE).filter(written).step_by(7) {
            let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
            let at = page * PAGE + 100;
            open.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
            if let Ok(store) = Store::create_or_open(options(dir.path(), &keys)) {
                let opens = store.read(group).is_ok();
                let rows = if opens { unreadable(&store, group, &file) } else { Vec::new() };
                drop(store);
                if !rows.is_empty() && rows.len() < ROWS / 10 && *rows.last().unwrap() < ROWS - 20 {
                    return Self { dir, keys, group, file, rows };
                }
            }
            fs::write(&file, &bytes).unwrap();
        }
        panic!("no page holds just some of the rows");
    }

    fn open(&self) -> Store {
        Store::create_or_open(options(self.dir.path(), &self.keys)).unwrap()
    }
}

#[test]
fn a_damaged_page_takes_only_its_own_rows_with_it() {
    let damaged = Damaged::new();
    let Damaged { group, file, rows, .. } = &damaged;
    let store = damaged.open();
    for _ in 0..2 {
        assert_eq!(unreadable(&store, *group, file), *rows);
    }
    assert!(read(&store, *group, rows[0]).is_err());
    store.commit_blocking(put(*group, "zz", "written after a failed read")).unwrap();
    assert_eq!(get(&store, *group, "zz").as_deref(), Some("written after a failed read"));
    assert_eq!(store.status().poisoned, None);
}

#[test]
fn others_who_read_at_the_time_are_waited_for() {
    let damaged = Damaged::new();
    let Damaged { group, rows, .. } = &damaged;
    let store = damaged.open();
    let reading = store.read(*group).unwrap();
    assert!(reading.get(key(rows[0]).as_bytes()).is_err());
    std::thread::scope(|scope| {
        let other = scope.spawn(|| read(&store, *group, ROWS - 1));
        drop(reading);
        other.join().unwrap().unwrap();
    });
}

#[test]
fn rows_that_are_only_in_the_log_are_not_given_up_for_it() {
    let damaged = Damaged::new();
    let Damaged { group, file, rows, .. } = &damaged;
    let store = damaged.open();
    let other = make_group(&store, "films");
    store.commit_blocking(put(*group, "zz", "kept")).unwrap();
    for _ in 0..2 {
        let is_named = |error| matches!(error, ReadError::Damage(damage) if damage.file == *file);
        assert!(read(&store, *group, rows[0]).is_err_and(is_named));
        // Not logged, since it could not be applied: that would stop the store.
        let refused = store.commit_blocking(put(*group, "zz", "never"));
        assert!(matches!(&refused, Err(CommitError::Damage(damage)) if damage.file == *file), "{refused:?}");
    }
    store.commit_blocking(put(other, "a", "b")).unwrap();
    assert_eq!(store.status().poisoned, None);
    drop(store);
    let store = damaged.open();
    assert_eq!(get(&store, *group, "zz").as_deref(), Some("kept"));
    store.checkpoint().unwrap();
    assert_eq!(unreadable(&store, *group, file), *rows);
}

#[test]
fn a_damaged_group_can_make_room_for_others() {
    let damaged = Damaged::new();
    let bounded = StoreOptions { groups_open_max: 2, ..options(damaged.dir.path(), &damaged.keys) };
    let store = Store::create_or_open(bounded).unwrap();
    assert!(read(&store, damaged.group, damaged.rows[0]).is_err());
    for name in ["films", "songs", "letters"] {
        let other = make_group(&store, name);
        store.commit_blocking(put(other, "a", "b")).unwrap();
    }
    assert_eq!(store.status().poisoned, None);
    assert_eq!(unreadable(&store, damaged.group, &damaged.file), damaged.rows);
    store.close().unwrap();
    assert_eq!(unreadable(&damaged.open(), damaged.group, &damaged.file), damaged.rows);
}

#[test]
fn a_disk_that_fails_to_read_once_is_read_again() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(5);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let group = fill(&store);
    store.close().unwrap();
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 2)).unwrap();
    read(&store, group, 0).unwrap();
    disk.plan(Trouble { call: Some(Call::Read), after: 0, error: io::ErrorKind::Other, lasting: false });
    let failed = read(&store, group, ROWS - 1);
    assert!(matches!(failed, Err(ReadError::Io { .. })), "{failed:?}");
    for index in 0..ROWS {
        read(&store, group, index).unwrap();
    }
    store.commit_blocking(put(group, "zz", "written")).unwrap();
    store.close().unwrap();
}

#[test]
fn a_failed_read_beside_rows_that_are_only_in_the_log_refuses_commands_before_they_are_logged() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(6);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let group = fill(&store);
    let other = make_group(&store, "films");
    store.close().unwrap();
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 2)).unwrap();
    store.commit_blocking(put(group, "zz", "kept")).unwrap();
    disk.plan(Trouble { call: Some(Call::Read), after: 0, error: io::ErrorKind::Other, lasting: false });
    for _ in 0..2 {
        let failed = read(&store, group, 0);
        assert!(matches!(failed, Err(ReadError::Io { .. })), "the first failure, by name: {failed:?}");
        let refused = store.commit_blocking(put(group, "zz", "never"));
        assert!(matches!(refused, Err(CommitError::Unreadable(ReadError::Io { .. }))), "{refused:?}");
    }
    store.commit_blocking(put(other, "a", "b")).unwrap();
    assert_eq!(store.status().poisoned, None);
    drop(store);
    disk.kill();
    let store = Store::create_or_open(simulated(disk, &keys, 3)).unwrap();
    assert_eq!(get(&store, group, "zz").as_deref(), Some("kept"));
    (0..ROWS).for_each(|index| read(&store, group, index).unwrap());
}
