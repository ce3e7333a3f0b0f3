//! One store, no accidents.

use super::*;
use crate::{CommitError, ReadError, Recovery};

#[test]
fn what_was_committed_is_read_at_once_and_after_a_clean_close() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert_eq!(store.recovered(), Recovery { clean: true, ..Recovery::default() });
    assert_eq!(store.epoch(), 1);
    let group = make_group(&store, "photos");
    let first = lsn(store.commit_blocking(put(group, "cat", "meow")).unwrap());
    let second = lsn(store.commit_blocking(put(group, "dog", "woof")).unwrap());
    assert!(second > first);
    assert_eq!(get(&store, group, "cat").as_deref(), Some("meow"));
    store.close().unwrap();

    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert_eq!(store.recovered(), Recovery { clean: true, ..Recovery::default() });
    assert_eq!(store.epoch(), 2);
    assert_eq!(get(&store, group, "dog").as_deref(), Some("woof"));
    assert_eq!(get(&store, GroupId::SYSTEM, "photos").as_deref(), Some("a group"));
    assert_eq!(store.groups(), [GroupId::SYSTEM, group]);
    store.close().unwrap();
}

#[test]
fn what_was_committed_is_replayed_after_a_drop_without_close() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let group = make_group(&store, "photos");
    for index in 0..50 {
        store.commit_blocking(put(group, &format!("key {index}"), &format!("value {index}"))).unwrap();
    }
    drop(store);
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert!(!store.recovered().clean);
    for index in 0..50 {
        assert_eq!(get(&store, group, &format!("key {index}")), Some(format!("value {index}")));
    }
}

#[test]
fn a_refused_command_changes_nothing_and_says_which_check() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(options(dir.path(), &OneKey::named("root"))).unwrap();
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "cat", "meow")).unwrap();
    let mut command = absent(absent(put(group, "cat", "purr"), "dog"), "cat");
    command.writes.push(Write::Put { key: "dog".into(), value: "woof".into() });
    assert_eq!(store.commit_blocking(command).unwrap(), Outcome::Refused { check: 1 });
    assert_eq!(get(&store, group, "cat").as_deref(), Some("meow"));
    assert_eq!(get(&store, group, "dog"), None);
}

#[test]
fn a_refused_making_of_a_group_leaves_no_group() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let first = make_group(&store, "photos");
    let again = |_| absent(put(GroupId::SYSTEM, "photos", "another"), "photos");
    let (second, outcome) = crate::store::block_on(store.create_group(again)).unwrap();
    assert_eq!(outcome, Outcome::Refused { check: 0 });
    assert_ne!(first, second);
    for _ in 0..2 {
        assert!(matches!(store.read(second), Err(ReadError::NoSuchGroup { .. })));
        let refused = store.commit_blocking(put(second, "a", "b"));
        assert!(matches!(refused, Err(CommitError::NoSuchGroup { .. })));
        assert!(matches!(store.group_key(second), Err(ReadError::NoSuchGroup { .. })));
    }
    drop(store);
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert_eq!(store.groups(), [GroupId::SYSTEM, first]);
    assert!(make_group(&store, "films") > second, "an id that was given out is not given out again");
}

#[test]
fn a_dropped_group_is_gone_for_good_with_its_file_and_its_log_records() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let (gone, kept) = (make_group(&store, "photos"), make_group(&store, "films"));
    for group in [gone, kept] {
        store.commit_blocking(put(group, "a", "row")).unwrap();
    }
    store.checkpoint().unwrap();
    store.commit_blocking(put(gone, "b", "row")).unwrap();
    let file = dir.path().join("pages").join(format!("{gone}.pages"));
    assert!(file.exists());
    let reading = store.read(gone).unwrap();
    let mut command = put(GroupId::SYSTEM, "photos", "gone");
    command.writes.push(Write::DropGroup { group: gone });
    store.commit_blocking(command).unwrap();
    assert!(!file.exists());
    assert_eq!(&*reading.get(b"b").unwrap().unwrap(), b"row", "who reads it finishes");
    assert!(matches!(store.commit_blocking(put(gone, "c", "d")), Err(CommitError::NoSuchGroup { .. })));
    assert!(matches!(store.read(gone), Err(ReadError::NoSuchGroup { .. })));
    drop(reading);
    drop(store);
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert_eq!(store.groups(), [GroupId::SYSTEM, kept]);
    assert!(matches!(store.read(gone), Err(ReadError::NoSuchGroup { .. })));
    assert_eq!(get(&store, kept, "a").as_deref(), Some("row"));
    assert!(make_group(&store, "photos again") > kept);
}

#[test]
fn groups_have_their_own_keys_and_keep_them() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let (a, b) = (make_group(&store, "a"), make_group(&store, "b"));
    let of_a = store.group_key(a).unwrap();
    assert_ne!(of_a.1, store.group_key(b).unwrap().1);
    assert_eq!(store.group_key_by_id(a, of_a.0).unwrap(), of_a.1);
    let other = store.group_key_by_id(a, 77);
    assert!(matches!(other, Err(ReadError::NoSuchKey { key_id: 77, .. })));
    store.close().unwrap();
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert_eq!(store.group_key(a).unwrap(), of_a);
}

#[test]
fn a_snapshot_does_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(options(dir.path(), &OneKey::named("root"))).unwrap();
    let group = make_group(&store, "photos");
    for key in ["a", "b", "c"] {
        store.commit_blocking(put(group, key, "old")).unwrap();
    }
    let reading = store.read(group).unwrap();
    for key in ["a", "b", "c", "d"] {
        store.commit_blocking(put(group, key, "new")).unwrap();
    }
    store.checkpoint().unwrap();
    let rows = reading.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).unwrap();
    let rows: Vec<_> = rows.rev().map(|row| row.unwrap()).map(|(key, value)| (key, value.to_vec())).collect();
    let old = |key: &str| (key.as_bytes().to_vec(), b"old".to_vec());
    assert_eq!(rows, [old("c"), old("b"), old("a")]);
    assert_eq!(get(&store, group, "d").as_deref(), Some("new"));
}

#[test]
fn a_closed_store_says_so_and_lets_go_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let clone = store.clone();
    store.close().unwrap();
    let refused = clone.commit_blocking(put(GroupId::SYSTEM, "a", "b"));
    assert!(matches!(refused, Err(CommitError::Closed)));
    assert!(matches!(clone.read(GroupId::SYSTEM), Err(ReadError::Closed)));
    assert!(matches!(clone.checkpoint(), Err(crate::StoreError::Closed)));
    let again = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert!(matches!(clone.close(), Err(crate::StoreError::Closed)));
    again.close().unwrap();
}

#[test]
fn thirty_two_writers_share_syncs_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let group = make_group(&store, "counter");
    store.commit_blocking(put(group, "count", "0")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| (0..20).for_each(|_| increment(&store, group)));
        }
    });
    assert_eq!(get(&store, group, "count").as_deref(), Some("640"));
    let status = store.status();
    assert_eq!(status.applied, status.lsn);
    assert_eq!(status.durable, status.lsn);
    assert!(status.fsyncs < status.commits, "{status:?}");
    drop(store);
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    assert_eq!(get(&store, group, "count").as_deref(), Some("640"));
}

/// Reads, adds one, writes if nobody else wrote meanwhile; again until it worked.
fn increment(store: &Store, group: GroupId) {
    loop {
        let count = get(store, group, "count").unwrap();
        let next = (count.parse::<u32>().unwrap() + 1).to_string();
        let mut command = put(group, "count", &next);
        command.checks.push(Check::Equals { key: "count".into(), value: count.into() });
        if let Outcome::Applied { .. } = store.commit_blocking(command).unwrap() {
            return;
        }
    }
}
