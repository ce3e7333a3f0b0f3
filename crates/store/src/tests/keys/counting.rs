//! Counts of uses, and keys that change by themselves.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::sim::{Call, SimDisk, Trouble};
use crate::{CommitError, KeyLimits, ReadError};

#[derive(Debug)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now_seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn limited(disk: &SimDisk, vault: &Arc<Vault>, seed: u64, key_limits: KeyLimits) -> StoreOptions {
    StoreOptions { key_limits, ..with(disk, vault, seed) }
}

/// Waits until the key thread did what it was told before.
fn settled(store: &Store) {
    let missing = block_on(store.rotate_group_key(GroupId(u32::MAX)));
    assert!(matches!(missing, Err(CommitError::NoSuchGroup { .. })), "{missing:?}");
}

fn seals(store: &Store, group: GroupId, id: u32) -> (u64, u64) {
    let key = key_of(store, group, id);
    (key.seals, key.sealed_bytes)
}

#[test]
fn log_pages_and_values_count_for_the_key_that_sealed_them() {
    let (disk, vault) = (SimDisk::from_seed(1), Vault::new());
    let clock = Arc::new(SetClock(1_000.into()));
    let options = StoreOptions { clock: Arc::<SetClock>::clone(&clock), ..with(&disk, &vault, 1) };
    let store = Store::create_or_open(options).unwrap();
    let (group, idle) = (make_group(&store, "a"), make_group(&store, "b"));
    assert_eq!(key_of(&store, idle, 1).last_used_at, 0);
    store.commit_blocking(put(group, "0", "0")).unwrap();
    // From here on the page file is there.
    let before = seals(&store, group, 1);
    store.commit_blocking(put(group, "1", &"1".repeat(5000))).unwrap();
    let logged = seals(&store, group, 1);
    assert!(logged.0 > before.0 && logged.1 >= before.1 + 5000, "{before:?} {logged:?}");
    clock.0.store(2_000, Ordering::Relaxed);
    store.checkpoint().unwrap();
    let paged = seals(&store, group, 1);
    assert!(paged.0 >= logged.0 + 3 && paged.1 >= logged.1 + 3 * 4096, "{logged:?} {paged:?}");
    assert_eq!(key_of(&store, group, 1).last_used_at, 2_000);
    store.note_key_use(group, 1, 7, 224);
    assert_eq!(seals(&store, group, 1), (paged.0 + 7, paged.1 + 224));
    assert_eq!(seals(&store, idle, 1), (0, 0));
}

#[test]
fn a_close_leaves_the_counts_as_they_are() {
    let (disk, vault) = (SimDisk::from_seed(2), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    store.commit_blocking(put(group, "k", "v")).unwrap();
    store.checkpoint().unwrap();
    store.note_key_use(group, 1, 1_000, 1_000);
    let before = seals(&store, group, 1);
    store.close().unwrap();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    let after = seals(&store, group, 1);
    assert!(after.0 >= before.0 && after.0 < before.0 + 200, "closing seals a little: {before:?} {after:?}");
    assert_eq!(key_of(&store, group, 1).last_used_at, 1_700_000_000);
}

#[test]
fn a_crash_at_any_moment_leaves_no_lower_count_than_was_used() {
    // Reserves of 3 seals and 2 KiB, so that they are used up all the time.
    let limits = KeyLimits { seals: 50, bytes: 32 << 10, age_seconds: 0 };
    let rounds = 12;
    for seed in 3..6 {
        let (disk, vault) = (SimDisk::from_seed(seed), Vault::new());
        let store = Store::create_or_open(limited(&disk, &vault, 1, limits)).unwrap();
        let group = make_group(&store, "a");
        // What the report said when the label was set.
        let mut said: Vec<Vec<KeyReport>> = vec![Vec::new()];
        disk.record();
        for round in 1..=rounds {
            store.commit_blocking(put(group, &round.to_string(), "v")).unwrap();
            store.note_key_use(group, of_group(&store, group).keys.last().unwrap().id, 4, 100);
            if round % 5 == 0 {
                store.checkpoint().unwrap();
            }
            said.push(of_group(&store, group).keys);
            disk.label(round);
        }
        for picture in disk.pictures().iter().step_by(3) {
            let disk = picture.files.disk(seed);
            if picture.call % 2 == 0 {
                disk.kill()
            } else {
                disk.cut_power()
            }
            let contents = {
                let store = Store::create_or_open(with(&disk, &vault, 9)).unwrap();
                of_group(&store, group).keys
            };
            for was in &said[usize::try_from(picture.label).unwrap()] {
                let now = contents.iter().find(|key| key.id == was.id).unwrap();
                let fine = now.seals >= was.seals && now.sealed_bytes >= was.sealed_bytes;
                assert!(fine, "seed {seed}, call {}: was {was:?}, is {now:?}", picture.call);
            }
        }
    }
}

#[test]
fn a_key_that_sealed_too_often_is_followed_by_another() {
    let (disk, vault) = (SimDisk::from_seed(7), Vault::new());
    let limits = KeyLimits { seals: 200, ..KeyLimits::default() };
    let store = Store::create_or_open(limited(&disk, &vault, 1, limits)).unwrap();
    let group = make_group(&store, "a");
    store.note_key_use(group, 1, 150, 0);
    settled(&store);
    assert_eq!(states(&store, group), [(1, KeyState::Active)]);
    // No checkpoint is needed: the count tells the key thread.
    store.note_key_use(group, 1, 50, 0);
    settled(&store);
    assert_eq!(states(&store, group), [(1, KeyState::Readable), (2, KeyState::Active)]);
    // And the system group's, by frames of others.
    for turn in 0..250 {
        store.commit_blocking(put(group, "k", &turn.to_string())).unwrap();
    }
    settled(&store);
    assert!(states(&store, GroupId::SYSTEM).len() > 1);
    assert!(states(&store, group).len() > 2);
    drop(store);
    disk.kill();
    let store = Store::create_or_open(limited(&disk, &vault, 2, limits)).unwrap();
    assert_eq!(get(&store, group, "k").as_deref(), Some("249"));
}

#[test]
fn a_key_that_sealed_too_much_is_followed_by_another() {
    let (disk, vault) = (SimDisk::from_seed(8), Vault::new());
    let limits = KeyLimits { bytes: 1 << 30, ..KeyLimits::default() };
    let store = Store::create_or_open(limited(&disk, &vault, 1, limits)).unwrap();
    let group = make_group(&store, "a");
    store.note_key_use(group, 1, 1, 1 << 30);
    settled(&store);
    assert_eq!(states(&store, group), [(1, KeyState::Readable), (2, KeyState::Active)]);
}

#[test]
fn a_key_that_is_too_old_is_followed_by_another_at_the_next_checkpoint() {
    let (disk, vault) = (SimDisk::from_seed(9), Vault::new());
    let clock = Arc::new(SetClock(1_000.into()));
    let limits = KeyLimits { age_seconds: 100, ..KeyLimits::default() };
    let options = limited(&disk, &vault, 1, limits);
    let store =
        Store::create_or_open(StoreOptions { clock: Arc::<SetClock>::clone(&clock), ..options }).unwrap();
    let group = make_group(&store, "a");
    for (now, keys) in [(1_099, 1), (1_100, 2), (1_150, 2), (1_200, 3)] {
        clock.0.store(now, Ordering::Relaxed);
        store.commit_blocking(put(group, "k", "v")).unwrap();
        store.checkpoint().unwrap();
        settled(&store);
        let system = of_group(&store, GroupId::SYSTEM).keys;
        assert_eq!(of_group(&store, group).keys.len(), keys, "at {now}: {:?}", of_group(&store, group));
        assert_eq!(system.len(), keys, "at {now}: {system:?}");
    }
}

#[test]
fn a_full_disk_stops_no_counting() {
    let (disk, vault) = (SimDisk::from_seed(10), Vault::new());
    let limits = KeyLimits { seals: 1_600, ..KeyLimits::default() };
    let store = Store::create_or_open(limited(&disk, &vault, 1, limits)).unwrap();
    let group = make_group(&store, "a");
    let error = std::io::ErrorKind::StorageFull;
    disk.plan(Trouble { call: Some(Call::Create), after: 0, error, lasting: true });
    store.note_key_use(group, 1, 500, 0);
    settled(&store);
    disk.heal();
    assert!(seals(&store, group, 1).0 >= 500);
    store.commit_blocking(put(group, "k", "v")).unwrap();
    store.close().unwrap();
    let store = Store::create_or_open(limited(&disk, &vault, 2, limits)).unwrap();
    assert!(seals(&store, group, 1).0 >= 500);
}

#[test]
fn a_key_that_is_used_up_stops_the_writes_of_its_group_alone_until_the_rotation_that_failed_succeeds() {
    let (disk, vault) = (SimDisk::from_seed(11), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let (group, other) = (make_group(&store, "a"), make_group(&store, "b"));
    store.commit_blocking(put(group, "k", "v")).unwrap();
    store.commit_blocking(put(other, "k", "v")).unwrap();
    vault.disable("root");
    // Far past the limit at which it is to have a successor, and not used up.
    store.note_key_use(group, 1, (1 << 32) - (1 << 25), 0);
    settled(&store);
    assert_eq!(states(&store, group), [(1, KeyState::Active)]);
    store.commit_blocking(put(group, "k", "w")).unwrap();
    assert!(store.group_key(group).is_ok());
    store.note_key_use(group, 1, 1 << 24, 0);
    settled(&store);
    let lsn = store.status().lsn;
    let refused = store.commit_blocking(put(group, "k", "x"));
    assert!(matches!(refused, Err(CommitError::KeyUsedUp { group: of, key_id: 1 }) if of == group));
    let refused = store.group_key(group).map(|(id, _)| id);
    assert!(matches!(refused, Err(ReadError::KeyUsedUp { key_id: 1, .. })), "{refused:?}");
    assert_eq!((store.status().lsn, get(&store, group, "k").as_deref()), (lsn, Some("w")));
    assert!(key_of(&store, group, 1).is_used_up());
    store.group_key_by_id(group, 1).unwrap();
    store.commit_blocking(put(other, "k", "w")).unwrap();
    store.checkpoint().unwrap();
    settled(&store);
    assert_eq!(states(&store, group), [(1, KeyState::Active)], "tried again, in vain");
    vault.enable("root");
    store.commit_blocking(put(other, "k", "x")).unwrap();
    store.checkpoint().unwrap();
    settled(&store);
    assert_eq!(states(&store, group), [(1, KeyState::Readable), (2, KeyState::Active)]);
    assert!(!key_of(&store, group, 1).is_used_up() && store.group_key(group).unwrap().0 == 2);
    store.commit_blocking(put(group, "k", "x")).unwrap();
}

#[test]
fn the_system_groups_key_is_used_up_for_all_groups_and_can_still_be_followed_by_another() {
    let (disk, vault) = (SimDisk::from_seed(12), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    store.commit_blocking(put(group, "k", "v")).unwrap();
    vault.disable("root");
    store.note_key_use(GroupId::SYSTEM, 1, 1 << 32, 0);
    settled(&store);
    let refused = store.commit_blocking(put(group, "k", "w"));
    assert!(matches!(refused, Err(CommitError::KeyUsedUp { group: GroupId::SYSTEM, key_id: 1 })));
    assert_eq!(get(&store, group, "k").as_deref(), Some("v"));
    vault.enable("root");
    assert_eq!(rotate(&store, GroupId::SYSTEM), 2);
    store.commit_blocking(put(group, "k", "w")).unwrap();
    drop(store);
    disk.kill();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    assert_eq!(get(&store, group, "k").as_deref(), Some("w"));
    store.commit_blocking(put(group, "k", "x")).unwrap();
}
