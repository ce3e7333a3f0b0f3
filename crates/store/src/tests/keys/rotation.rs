//! New keys for groups.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::keyring::UNTIL_UNKNOWN;
use crate::log::LogKeys;
use crate::log_keys::KeySource;
use crate::{CommitError, LogKeyError, OutlineItem, outline};

/// For each key of a group, the last segment with a frame under it.
fn last_segments(disk: &SimDisk, group: GroupId) -> BTreeMap<u32, u64> {
    let mut last = BTreeMap::new();
    let mut current = 0;
    for item in outline(Arc::new(disk.clone()), Path::new("/store/log")).unwrap() {
        match item.unwrap() {
            OutlineItem::Segment { segment, .. } => current = segment.0,
            OutlineItem::Frame { group: of, key_id, .. } if of == group => {
                last.insert(key_id, current);
            }
            _ => {}
        }
    }
    last
}

fn until(store: &Store, group: GroupId) -> Vec<u64> {
    let contents = store.engine().keyring.contents();
    contents.groups[&group].keys.iter().map(|key| key.until_segment).collect()
}

#[test]
fn a_new_key_seals_pages_and_log_at_once_and_the_old_one_stays_readable() {
    let (disk, vault) = (SimDisk::from_seed(1), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    store.commit_blocking(put(group, "old", "1")).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(rotate(&store, group), 2);
    assert_eq!(states(&store, group), [(1, KeyState::Readable), (2, KeyState::Active)]);
    assert_eq!(key_of(&store, group, 2).created_at, 1_700_000_000);
    assert!(key_of(&store, group, 2).created_lsn > key_of(&store, group, 1).created_lsn);

    let old = key_of(&store, group, 1);
    store.commit_blocking(put(group, "new", "2")).unwrap();
    store.checkpoint().unwrap();
    store.commit_blocking(put(group, "newer", "3")).unwrap();
    assert_eq!(key_of(&store, group, 1), old, "the old key seals nothing any more");
    let new = key_of(&store, group, 2);
    assert!(new.seals > 0 && new.sealed_bytes > 0 && new.last_used_at == 1_700_000_000);
    assert_eq!(last_segments(&disk, group).into_keys().collect::<Vec<_>>(), [2]);

    store.close().unwrap();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    for (key, value) in [("old", "1"), ("new", "2"), ("newer", "3")] {
        assert_eq!(get(&store, group, key).as_deref(), Some(value));
    }
    assert_eq!(store.group_key(group).unwrap().0, 2);
    store.group_key_by_id(group, 1).unwrap();
}

#[test]
fn the_system_groups_key_changes_like_any_other() {
    let (disk, vault) = (SimDisk::from_seed(2), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    assert_eq!(rotate(&store, GroupId::SYSTEM), 2);
    // The log is told before it gets this one.
    store.commit_blocking(put(group, "k", "u")).unwrap();
    let old = key_of(&store, GroupId::SYSTEM, 1);
    store.commit_blocking(put(group, "k", "v")).unwrap();
    store.commit_blocking(put(GroupId::SYSTEM, "k", "v")).unwrap();
    // Frame headers and the mark are under the system key too.
    assert_eq!(key_of(&store, GroupId::SYSTEM, 1), old);
    drop(store);
    disk.kill();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    assert_eq!(states(&store, GroupId::SYSTEM), [(1, KeyState::Readable), (2, KeyState::Active)]);
    assert_eq!(get(&store, group, "k").as_deref(), Some("v"));
    store.close().unwrap();
}

#[test]
fn replay_rotates_nothing_twice() {
    let (disk, vault) = (SimDisk::from_seed(3), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    rotate(&store, group);
    store.commit_blocking(put(group, "k", "v")).unwrap();
    drop(store);
    for opening in 2..5 {
        disk.kill();
        let store = Store::create_or_open(with(&disk, &vault, opening)).unwrap();
        assert_eq!(states(&store, group), [(1, KeyState::Readable), (2, KeyState::Active)]);
        assert_eq!(get(&store, group, "k").as_deref(), Some("v"));
    }
}

#[test]
fn a_crash_at_any_call_of_a_rotation_leaves_the_old_key_or_the_new_one_and_all_rows() {
    for (seed, of_system) in [(4, false), (5, true)] {
        let (disk, vault) = (SimDisk::from_seed(seed), Vault::new());
        let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
        let group = make_group(&store, "a");
        store.commit_blocking(put(group, "before", "1")).unwrap();
        store.checkpoint().unwrap();
        store.commit_blocking(put(group, "before", "2")).unwrap();
        let rotated = if of_system { GroupId::SYSTEM } else { group };
        disk.record();
        rotate(&store, rotated);
        disk.label(1);
        store.commit_blocking(put(group, "after", "3")).unwrap();
        disk.label(2);
        store.checkpoint().unwrap();
        let pictures = disk.pictures();
        let mut found = [0; 2];
        for (picture, accident) in pictures.iter().flat_map(|p| (0..3).map(move |accident| (p, accident))) {
            let what = format!("call {}, accident {accident}, system {of_system}", picture.call);
            let disk = picture.files.disk(seed + accident);
            if accident == 0 {
                disk.kill()
            } else {
                disk.cut_power()
            }
            let store =
                Store::create_or_open(with(&disk, &vault, 9)).unwrap_or_else(|e| panic!("{what}: {e}"));
            let keys = states(&store, rotated).len();
            assert!(keys == 2 || picture.label == 0, "{what}");
            found[keys - 1] += 1;
            assert_eq!(get(&store, group, "before").as_deref(), Some("2"), "{what}");
            let after = get(&store, group, "after");
            assert!(after.as_deref() == Some("3") || picture.label < 2, "{what}");
            // The id of a rotation that counted is never given out again.
            assert_eq!(rotate(&store, rotated) as usize, keys + 1, "{what}");
            store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
            let store = Store::create_or_open(with(&disk, &vault, 10)).unwrap();
            assert_eq!(get(&store, group, "before").as_deref(), Some("2"), "{what}");
        }
        assert!(found[0] > 0 && found[1] > 0, "both outcomes were seen: {found:?}");
    }
}

#[test]
fn a_keys_last_segment_is_never_below_one_with_a_frame_under_it() {
    for seed in 6..10 {
        let (disk, vault) = (SimDisk::from_seed(seed), Vault::new());
        let small = |n| StoreOptions { segment_bytes: 4 << 10, ..with(&disk, &vault, n) };
        let store = Store::create_or_open(small(1)).unwrap();
        let group = make_group(&store, "a");
        std::thread::scope(|scope| {
            let writers = (0..3).map(|writer| {
                let store = store.clone();
                scope.spawn(move || {
                    for turn in 0..60 {
                        let value = "v".repeat(200);
                        store.commit_blocking(put(group, &format!("{writer} {turn}"), &value)).unwrap();
                    }
                })
            });
            let writers: Vec<_> = writers.collect();
            for turn in 0..8 {
                rotate(&store, if turn % 4 == 3 { GroupId::SYSTEM } else { group });
                if turn % 3 == 2 {
                    store.checkpoint().unwrap();
                }
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
        });
        let check = |store: &Store| {
            for of in [group, GroupId::SYSTEM] {
                let last = last_segments(&disk, of);
                let contents = store.engine().keyring.contents();
                for key in &contents.groups[&of].keys {
                    let fine =
                        key.until_segment == 0 || last.get(&key.id).is_none_or(|s| *s <= key.until_segment);
                    assert!(fine, "seed {seed}: {key:?} and its last frame in {last:?}");
                }
            }
        };
        check(&store);
        drop(store);
        disk.kill();
        let store = Store::create_or_open(small(2)).unwrap();
        assert!(!until(&store, group).contains(&UNTIL_UNKNOWN), "an opening knows");
        check(&store);
    }
}

#[test]
fn a_checkpoint_after_a_rotation_says_the_old_keys_last_segment() {
    let (disk, vault) = (SimDisk::from_seed(11), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    rotate(&store, group);
    assert_eq!(until(&store, group), [UNTIL_UNKNOWN, 0]);
    store.checkpoint().unwrap();
    assert_eq!(until(&store, group), [1, 0]);
    drop(store);
    disk.cut_power();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    assert_eq!(until(&store, group), [1, 0]);
}

#[test]
fn a_group_that_is_gone_has_no_keys_and_gets_none() {
    let (disk, vault) = (SimDisk::from_seed(12), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    rotate(&store, group);
    let drop_it = Command {
        group: GroupId::SYSTEM,
        checks: vec![],
        writes: vec![Write::DropGroup { group }, Write::Delete { key: b"a".to_vec() }],
    };
    store.commit_blocking(drop_it).unwrap();
    for group in [group, GroupId(99)] {
        let refused = block_on(store.rotate_group_key(group));
        assert!(matches!(refused, Err(CommitError::NoSuchGroup { .. })), "{refused:?}");
    }
    assert!(store.key_report().groups.iter().all(|report| report.group != group));
    drop(store);
    disk.kill();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    assert_eq!(store.groups(), [GroupId::SYSTEM]);
}

#[test]
fn a_rotation_comes_only_from_rotating() {
    let (disk, vault) = (SimDisk::from_seed(13), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let write = Write::RotateKey { group: GroupId::SYSTEM, key_id: 2, at: 0, wrapped_key: vec![] };
    let command = Command { group: GroupId::SYSTEM, checks: vec![], writes: vec![write] };
    assert!(matches!(store.commit_blocking(command), Err(CommitError::Misplaced { .. })));
}

#[test]
fn a_group_has_a_bounded_number_of_keys_that_something_needs() {
    let (disk, vault) = (SimDisk::from_seed(14), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    for id in 2..=64 {
        assert_eq!(rotate(&store, group), id);
    }
    let refused = block_on(store.rotate_group_key(group));
    assert!(matches!(refused, Err(CommitError::KeysExhausted { needed: 64, .. })), "{refused:?}");
    store.commit_blocking(put(group, "k", "v")).unwrap();
    store.engine().keyring.retire(group, 1).unwrap();
    assert_eq!(states(&store, group)[0], (1, KeyState::Retired));
    assert_eq!(key_of(&store, group, 1).root, None);
    assert_eq!(rotate(&store, group), 65);
}

#[test]
fn the_log_finds_a_key_that_only_a_record_has() {
    let (disk, vault) = (SimDisk::from_seed(15), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    let keyring = &store.engine().keyring;
    let source = KeySource::new(Arc::clone(keyring));
    let unknown = source.log_key(group, Some(2));
    assert!(matches!(unknown, Err(LogKeyError::Unknown { key_id: Some(2), .. })));
    let fresh = keyring.fresh_key(group, 2).unwrap();
    source.made(group, 2, fresh.wrapped);
    assert_eq!(source.log_key(group, Some(2)).unwrap(), (2, fresh.key));
    assert_eq!(source.log_key(group, None).unwrap().0, 1, "what seals is what the keyring says");
    assert!(source.log_key(group, Some(3)).is_err());
}
