//! One group's trouble stays with that group, and lack of space passes.

use std::io;

use super::*;
use crate::sim::{Call, SimDisk, Trouble};
use crate::{CommitError, ReadError, StoreError};

fn rows(store: &Store, group: GroupId, count: usize) {
    for index in 0..count {
        let value = format!("{index} ").repeat(50);
        store.commit_blocking(put(group, &format!("row {index:03}"), &value)).unwrap();
    }
}

fn count(store: &Store, group: GroupId) -> Result<usize, ReadError> {
    let reading = store.read(group)?;
    let rows = reading.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded)?;
    rows.map(|row| row.map(drop)).collect::<Result<Vec<_>, _>>().map(|rows| rows.len())
}

#[test]
fn a_checkpoint_without_space_loses_nothing_and_works_when_there_is_space() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(1);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let group = make_group(&store, "photos");
    rows(&store, group, 100);
    // The log has its next segment; the pages have no space.
    disk.full_between(8, 1_000_000);
    let refused = store.checkpoint();
    assert!(matches!(refused, Err(StoreError::NoSpace)), "{refused:?}");
    assert_eq!(count(&store, group).unwrap(), 100, "reads go on");
    assert_eq!(store.status().poisoned, None);
    disk.heal();
    store.commit_blocking(put(group, "later", "works")).unwrap();
    store.checkpoint().unwrap();
    assert!(store.status().groups_failed.is_empty());
    drop(store);
    disk.kill();
    let store = Store::create_or_open(simulated(disk, &keys, 2)).unwrap();
    assert_eq!(count(&store, group).unwrap(), 101);
}

#[test]
fn a_group_is_not_made_without_space_for_its_key_and_is_when_there_is() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(2);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    make_group(&store, "films");
    disk.limit(Some(0));
    let refused = crate::store::block_on(store.create_group(|_| put(GroupId::SYSTEM, "photos", "a group")));
    assert!(matches!(refused, Err(CommitError::NoSpace)), "{refused:?}");
    assert_eq!(get(&store, GroupId::SYSTEM, "photos"), None);
    disk.limit(None);
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "a", "b")).unwrap();
    assert_eq!(store.status().poisoned, None);
}

#[test]
fn a_keyring_that_loses_its_space_at_the_last_moment_waits_for_it() {
    for after in 0..8 {
        let keys = OneKey::named("root");
        let disk = SimDisk::from_seed(3);
        let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
        make_group(&store, "films");
        let error = io::ErrorKind::StorageFull;
        disk.plan(Trouble { call: Some(Call::Write), after, error, lasting: false });
        let command = |_| put(GroupId::SYSTEM, "photos", "a group");
        let made = crate::store::block_on(store.create_group(command));
        let groups = match made {
            Ok((group, _)) => {
                disk.heal();
                match store.commit_blocking(put(group, "a", "b")) {
                    // The log's mark, which is written over and needs no space on a real disk.
                    Err(CommitError::Poisoned { cause: crate::Cause::Log { .. } }) => continue,
                    other => drop(other.unwrap()),
                }
                3
            }
            Err(CommitError::NoSpace) => 2,
            Err(CommitError::Poisoned { cause: crate::Cause::Log { .. } }) => continue,
            Err(error) => panic!("write {after}: {error}"),
        };
        assert_eq!(store.groups().len(), groups, "write {after}");
        disk.heal();
        match store.checkpoint() {
            Err(StoreError::Poisoned { cause: crate::Cause::Log { .. } }) => {}
            other => other.unwrap(),
        }
        drop(store);
        disk.kill();
        let store = Store::create_or_open(simulated(disk, &keys, 2)).unwrap();
        assert_eq!(store.groups().len(), groups, "write {after}");
    }
}

#[test]
fn a_read_that_failed_beside_rows_in_the_log_is_made_good_by_the_next_checkpoint() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(4);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let (group, other) = (make_group(&store, "photos"), make_group(&store, "films"));
    rows(&store, group, 300);
    store.close().unwrap();
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 2)).unwrap();
    store.commit_blocking(put(group, "zz", "kept")).unwrap();
    disk.plan(Trouble { call: Some(Call::Read), after: 0, error: io::ErrorKind::Other, lasting: false });
    assert!(count(&store, group).is_err());
    assert!(store.commit_blocking(put(group, "zz", "never")).is_err(), "not while the file takes no calls");
    store.commit_blocking(put(other, "a", "b")).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.status().poisoned, None);
    assert_eq!(count(&store, group).unwrap(), 301);
    assert_eq!(get(&store, group, "zz").as_deref(), Some("kept"));
    store.commit_blocking(put(group, "zzz", "goes on")).unwrap();
    store.close().unwrap();
}

#[test]
fn a_group_whose_file_is_damaged_does_not_keep_the_others_from_opening() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(5);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let (broken, other) = (make_group(&store, "photos"), make_group(&store, "films"));
    rows(&store, broken, 50);
    rows(&store, other, 50);
    store.checkpoint().unwrap();
    for group in [broken, other] {
        store.commit_blocking(put(group, "zz", "only in the log")).unwrap();
    }
    drop(store);
    disk.kill();
    let file = std::path::PathBuf::from(format!("/store/pages/{broken}.pages"));
    let sound = disk.bytes(&file).unwrap();
    disk.put(&file, Some(vec![7; 9000]));

    for seed in 2..4 {
        let store = Store::create_or_open(simulated(disk.clone(), &keys, seed)).unwrap();
        let failed = store.status().groups_failed;
        assert!(matches!(&failed[..], [(group, ReadError::Damage(_))] if *group == broken), "{failed:?}");
        let named = |error: &crate::Damage| error.file == file;
        assert!(matches!(count(&store, broken), Err(ReadError::Damage(damage)) if named(&damage)));
        let refused = store.commit_blocking(put(broken, "zz", "never"));
        assert!(matches!(&refused, Err(CommitError::Damage(damage)) if named(damage)), "{refused:?}");
        assert_eq!(count(&store, other).unwrap(), 51);
        store.commit_blocking(put(other, "more", "rows")).unwrap();
        store
            .commit_blocking(Command {
                writes: vec![Write::Delete { key: "more".into() }],
                ..put(other, "", "")
            })
            .unwrap();
        // The other group's rows become durable, and the log stays.
        let behind = store.checkpoint();
        assert!(
            matches!(behind, Err(StoreError::GroupBehind { group, .. }) if group == broken),
            "{behind:?}"
        );
        drop(store);
        disk.kill();
    }
    disk.put(&file, Some(sound));
    let store = Store::create_or_open(simulated(disk, &keys, 9)).unwrap();
    assert_eq!(store.status().groups_failed.len(), 0);
    assert_eq!(get(&store, broken, "zz").as_deref(), Some("only in the log"));
    assert_eq!(count(&store, broken).unwrap(), 51);
    store.close().unwrap();
}
