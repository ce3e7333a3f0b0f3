//! Older keys are re-sealed away, and retire when nothing needs them.

mod turns;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::sim::{Dice, SimDisk, Trouble};
use crate::store::block_on;
use crate::{KeyState, KeyUser, KeyUserError, ResealSettings, ResealStage, ResealStatus};

fn with(disk: &SimDisk, keys: &Arc<OneKey>, seed: u64) -> StoreOptions {
    StoreOptions { reseal_workers: 2, ..simulated(disk.clone(), keys, seed) }
}

fn states(store: &Store, group: GroupId) -> Vec<(u32, KeyState)> {
    let report = store.key_report();
    let found = report.groups.iter().find(|of| of.group == group).unwrap();
    found.keys.iter().map(|key| (key.id, key.state)).collect()
}

fn rotate(store: &Store, group: GroupId) -> u32 {
    block_on(store.rotate_group_key(group)).unwrap_or_else(|error| panic!("{error} {:?}", store.status()))
}

/// Waits for what the workers will bring about.
#[track_caller]
fn until(store: &Store, what: impl Fn(&ResealStatus) -> bool) -> ResealStatus {
    let began = Instant::now();
    loop {
        let status = store.reseal_status();
        if what(&status) {
            return status;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{status:?} {:?}", store.status().poisoned);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn retired(status: &ResealStatus) -> bool {
    status.groups.is_empty()
}

fn fill(store: &Store, group: GroupId, rows: u32, value: &str) {
    for first in (0..rows).step_by(50) {
        let row = |row: u32| Write::Put { key: row.to_be_bytes().to_vec(), value: value.repeat(200).into() };
        let writes = (first..rows.min(first + 50)).map(row).collect();
        store.commit_blocking(Command { group, checks: vec![], writes }).unwrap();
    }
}

fn count(store: &Store, group: GroupId) -> usize {
    let rows = store.read(group).unwrap();
    let all = rows.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).unwrap();
    all.collect::<Result<Vec<_>, _>>().unwrap().len()
}

#[test]
fn an_older_key_retires_when_pages_values_and_log_are_done_and_the_store_opens_without_it() {
    let (disk, keys) = (SimDisk::from_seed(1), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let group = make_group(&store, "a");
    fill(&store, group, 1000, "x");
    store.checkpoint().unwrap();
    rotate(&store, group);
    rotate(&store, GroupId::SYSTEM);
    // Nobody has said yet whether rows have values under the key.
    let waits =
        until(&store, |s| s.groups.len() == 2 && s.groups.iter().all(|g| g.stage == ResealStage::Values));
    assert!(waits.groups[1].bytes_moved > 200_000, "{waits:?}");
    assert_eq!(waits.groups[1].pages_done, waits.groups[1].pages_total);
    assert_eq!((waits.groups[1].group, &waits.groups[1].key_ids[..]), (group, &[1][..]));
    assert_eq!(states(&store, group), [(1, KeyState::Readable), (2, KeyState::Active)]);
    store.key_users_are_complete();
    until(&store, retired);
    for group in [group, GroupId::SYSTEM] {
        assert_eq!(states(&store, group), [(1, KeyState::Retired), (2, KeyState::Active)]);
        let by_key = store.engine().registry.acquire(group).unwrap().db().unwrap().pages_by_key().unwrap();
        assert!(by_key.iter().all(|(id, pages)| *id == 2 || *pages == 0), "{by_key:?}");
    }
    assert_eq!(count(&store, group), 1000);
    drop(store);
    disk.kill();
    let store = Store::create_or_open(with(&disk, &keys, 2)).unwrap();
    assert!(store.group_key_by_id(group, 1).is_err());
    assert_eq!(count(&store, group), 1000);
    assert!(disk.files().iter().all(|path| path.extension().is_none_or(|end| end != "reseal")));
    store.close().unwrap();
}

#[test]
fn a_pause_and_a_rate_outlive_the_process_and_the_work_goes_on_by_itself() {
    let (disk, keys) = (SimDisk::from_seed(2), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let settings = ResealSettings { paused: true, kib_per_second: 77 };
    block_on(store.set_reseal(settings)).unwrap();
    let group = make_group(&store, "a");
    fill(&store, group, 300, "x");
    rotate(&store, group);
    store.key_users_are_complete();
    drop(store);
    disk.cut_power();
    let store = Store::create_or_open(with(&disk, &keys, 2)).unwrap();
    store.key_users_are_complete();
    let status = store.reseal_status();
    assert_eq!((status.settings, status.workers, status.groups.len()), (settings, 2, 1));
    assert_eq!((status.groups[0].bytes_moved, status.groups[0].stage), (0, ResealStage::Pages));
    block_on(store.set_reseal(ResealSettings { paused: false, kib_per_second: 0 })).unwrap();
    until(&store, retired);
    assert_eq!(states(&store, group), [(1, KeyState::Retired), (2, KeyState::Active)]);
    store.close().unwrap();
    let store = Store::create_or_open(with(&disk, &keys, 3)).unwrap();
    assert_eq!(store.reseal_status().settings, ResealSettings::default());
}

#[test]
fn what_was_moved_before_a_crash_is_seen_by_the_next_opening_also_during_a_pause() {
    let (disk, keys) = (SimDisk::from_seed(9), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let group = make_group(&store, "a");
    fill(&store, group, 6000, "xxxx");
    store.checkpoint().unwrap();
    store.key_users_are_complete();
    block_on(store.set_reseal(ResealSettings { paused: false, kib_per_second: 400 })).unwrap();
    rotate(&store, group);
    until(&store, |s| s.groups.iter().any(|group| group.bytes_moved > 200_000));
    block_on(store.set_reseal(ResealSettings { paused: true, kib_per_second: 0 })).unwrap();
    drop(store);
    disk.cut_power();
    let open = |seed| Store::create_or_open(with(&disk, &keys, seed)).unwrap();
    let store = open(2);
    // Fifty pages were moved; there are others before them that need no moving.
    let seen = until(&store, |s| s.groups.iter().any(|group| group.pages_done >= 49)).groups;
    assert!(seen[0].pages_done < seen[0].pages_total, "{seen:?}");
    assert_eq!((seen[0].bytes_moved, seen[0].stage), (0, ResealStage::Pages));
    drop(store);
    disk.kill();
    // Once more: nothing was moved in between.
    let store = open(3);
    until(&store, |s| s.groups.iter().any(|group| group.pages_done == seen[0].pages_done));
    block_on(store.set_reseal(ResealSettings::default())).unwrap();
    store.key_users_are_complete();
    until(&store, retired);
    assert_eq!(count(&store, group), 6000);
    store.close().unwrap();
}

#[test]
fn a_rate_in_force_slows_the_work_and_another_one_holds_at_once() {
    let (disk, keys) = (SimDisk::from_seed(3), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let group = make_group(&store, "a");
    fill(&store, group, 2000, "x");
    store.key_users_are_complete();
    // With this rate it would take minutes.
    block_on(store.set_reseal(ResealSettings { paused: false, kib_per_second: 4 })).unwrap();
    rotate(&store, group);
    let status = until(&store, |s| s.groups.iter().any(|group| group.bytes_moved > 0));
    assert!(status.groups[0].bytes_moved < 40_000, "{status:?}");
    block_on(store.set_reseal(ResealSettings::default())).unwrap();
    until(&store, retired);
}

/// Is asked for its values and says what the test wants.
#[derive(Debug, Default)]
struct User {
    asked: AtomicUsize,
    done: AtomicBool,
    fails: AtomicBool,
}

impl KeyUser for User {
    fn rewrap(
        &self,
        _: GroupId,
        active: u32,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, KeyUserError> {
        self.asked.fetch_add(1, Ordering::AcqRel);
        assert_eq!(active, 2);
        if self.fails.load(Ordering::Acquire) {
            return Err(KeyUserError::new(std::io::Error::other("a value does not open")));
        }
        Ok(pace(100) && self.done.load(Ordering::Acquire))
    }
}

#[test]
fn every_user_of_a_key_is_asked_until_it_is_done_and_before_that_the_key_stays() {
    let (disk, keys) = (SimDisk::from_seed(4), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let group = make_group(&store, "a");
    let (ready, slow) = (Arc::new(User::default()), Arc::new(User::default()));
    ready.done.store(true, Ordering::Release);
    slow.fails.store(true, Ordering::Release);
    store.add_key_user(Arc::<User>::clone(&ready));
    store.add_key_user(Arc::<User>::clone(&slow));
    rotate(&store, group);
    until(&store, |s| s.groups.iter().any(|group| group.stage == ResealStage::Values));
    assert_eq!(ready.asked.load(Ordering::Acquire), 0, "not all are known");
    store.key_users_are_complete();
    let status = until(&store, |s| s.groups.iter().any(|group| group.trouble.is_some()));
    assert!(status.groups[0].trouble.as_ref().unwrap().contains("does not open"), "{status:?}");
    slow.fails.store(false, Ordering::Release);
    // Whoever intervenes has it tried again.
    block_on(store.set_reseal(ResealSettings::default())).unwrap();
    until(&store, |_| slow.asked.load(Ordering::Acquire) >= 3);
    assert_eq!(states(&store, group), [(1, KeyState::Readable), (2, KeyState::Active)]);
    slow.done.store(true, Ordering::Release);
    until(&store, retired);
    assert!(ready.asked.load(Ordering::Acquire) >= 3);
}

#[test]
fn a_group_that_is_dropped_meanwhile_leaves_and_others_go_on() {
    let (disk, keys) = (SimDisk::from_seed(5), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let groups: Vec<_> = ["a", "b", "c"].iter().map(|name| make_group(&store, name)).collect();
    for group in &groups {
        fill(&store, *group, 200, "x");
        rotate(&store, *group);
    }
    until(&store, |s| s.groups.len() == 3);
    let writes = vec![Write::DropGroup { group: groups[1] }];
    store.commit_blocking(Command { group: GroupId::SYSTEM, checks: vec![], writes }).unwrap();
    store.key_users_are_complete();
    until(&store, retired);
    assert_eq!(states(&store, groups[0])[0].1, KeyState::Retired);
    assert_eq!(states(&store, groups[2])[0].1, KeyState::Retired);
    store.close().unwrap();
    assert!(
        !disk
            .files()
            .iter()
            .any(|path| path.starts_with("/store/pages") && path.to_string_lossy().contains("00000002"))
    );
}

#[test]
fn a_damaged_tag_page_stops_its_group_and_no_other() {
    let (disk, keys) = (SimDisk::from_seed(6), OneKey::named("k"));
    let store = Store::create_or_open(StoreOptions { groups_open_max: 2, ..with(&disk, &keys, 1) }).unwrap();
    let groups: Vec<_> = ["a", "b"].iter().map(|name| make_group(&store, name)).collect();
    for group in &groups {
        fill(&store, *group, 800, "xxxxxxxx");
    }
    let path = store.engine().registry.acquire(groups[0]).unwrap().db().unwrap().path_for_test();
    store.close().unwrap();
    // Both copies of the second lower tag page: no row of the first ones needs it to open the file.
    let second = 2 * (256 << 10) + 4096 * (2 + 143);
    for copy in [0, 4096] {
        disk.flip(&path, (second + copy + 9) * 8);
    }
    let store = Store::create_or_open(with(&disk, &keys, 2)).unwrap();
    store.key_users_are_complete();
    for group in &groups {
        rotate(&store, *group);
    }
    let status = until(&store, |s| s.groups.len() == 1 && s.groups[0].trouble.is_some());
    assert_eq!(status.groups[0].group, groups[0]);
    assert_eq!(states(&store, groups[0])[0].1, KeyState::Readable);
    assert_eq!(states(&store, groups[1])[0].1, KeyState::Retired);
}

#[test]
fn on_a_full_disk_the_work_rests_and_the_store_goes_on() {
    let (disk, keys) = (SimDisk::from_seed(7), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let group = make_group(&store, "a");
    fill(&store, group, 500, "x");
    store.checkpoint().unwrap();
    block_on(store.set_reseal(ResealSettings { paused: true, kib_per_second: 0 })).unwrap();
    rotate(&store, group);
    store.checkpoint().unwrap();
    // Only the resealer makes files now.
    disk.plan(Trouble {
        call: Some(crate::sim::Call::Create),
        after: 1,
        error: std::io::ErrorKind::StorageFull,
        lasting: true,
    });
    block_on(store.set_reseal(ResealSettings::default())).unwrap();
    let status = until(&store, |s| s.groups.iter().any(|group| group.trouble.is_some()));
    assert!(status.groups[0].trouble.as_ref().unwrap().contains("no space"), "{status:?}");
    store.commit_blocking(put(group, "k", "v")).unwrap();
    assert!(store.status().poisoned.is_none());
    disk.heal();
    store.key_users_are_complete();
    block_on(store.set_reseal(ResealSettings::default())).unwrap();
    until(&store, retired);
    assert_eq!(get(&store, group, "k").as_deref(), Some("v"));
    store.close().unwrap();
}

#[test]
fn many_groups_retire_their_keys_with_few_checkpoints_while_few_are_open() {
    let (disk, keys) = (SimDisk::from_seed(8), OneKey::named("k"));
    let store = Store::create_or_open(StoreOptions { groups_open_max: 4, ..with(&disk, &keys, 1) }).unwrap();
    let groups: Vec<_> = (0..60).map(|name| make_group(&store, &name.to_string())).collect();
    store.key_users_are_complete();
    block_on(store.set_reseal(ResealSettings { paused: true, kib_per_second: 0 })).unwrap();
    for group in &groups {
        store.commit_blocking(put(*group, "k", "v")).unwrap();
        rotate(&store, *group);
    }
    let before = store.status().checkpoints;
    block_on(store.set_reseal(ResealSettings::default())).unwrap();
    until(&store, retired);
    let made = store.status().checkpoints - before;
    assert!(made <= 6, "{made}");
    for group in &groups {
        assert_eq!(states(&store, *group)[0].1, KeyState::Retired);
        assert_eq!(get(&store, *group, "k").as_deref(), Some("v"));
    }
    assert!(store.status().groups_open <= 6);
}

/// Writes and rotations while the workers work; then the power goes at some moment, several times. What was acknowledged
/// is there, and in the end the older keys retire.
fn crashes(seed: u64) {
    let mut dice = Dice::from_seed(seed);
    let (disk, keys) = (SimDisk::from_seed(seed), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, seed)).unwrap();
    let groups = [make_group(&store, "a"), make_group(&store, "b")];
    for group in groups {
        fill(&store, group, 150, "x");
    }
    store.close().unwrap();
    let mut model: BTreeMap<(GroupId, String), Vec<Option<String>>> = BTreeMap::new();
    for life in 0..4 {
        let open = || Store::create_or_open(with(&disk, &keys, seed * 100 + life));
        if life > 0 && dice.chance(40) {
            disk.cut_power_after(dice.under(30));
            drop(open());
            disk.cut_power();
        }
        let store = open().unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        store.key_users_are_complete();
        for ((group, key), values) in &mut model {
            let found = get(&store, *group, key);
            assert!(values.contains(&found), "seed {seed}, life {life}: {key} is {found:?}, not {values:?}");
            // What is there now stays.
            *values = vec![found];
        }
        for group in groups {
            assert!(count(&store, group) >= 150, "seed {seed}, life {life}");
        }
        if life == 3 {
            for group in groups {
                rotate(&store, group);
            }
            until(&store, retired);
            for group in groups {
                assert!(count(&store, group) >= 150, "seed {seed}");
                let older = states(&store, group).into_iter().rev().skip(1);
                assert!(older.into_iter().all(|(_, state)| state == KeyState::Retired));
            }
            store.close().unwrap();
            return;
        }
        disk.cut_power_after(dice.under(600));
        for step in 0..200u32 {
            let group = groups[dice.below(2)];
            let done = match dice.under(20) {
                0 | 1 => block_on(store.rotate_group_key(group)).is_ok(),
                2 => store.checkpoint().is_ok(),
                _ => {
                    let (key, value) = (format!("k{}", dice.under(30)), format!("{life}/{step}"));
                    let values = model.entry((group, key.clone())).or_insert_with(|| vec![None]);
                    let done = store.commit_blocking(put(group, &key, &value)).is_ok();
                    if done {
                        *values = vec![Some(value)]
                    } else {
                        values.push(Some(value))
                    }
                    done
                }
            };
            if !done {
                break;
            }
        }
        disk.cut_power_after(0);
        drop(store);
        disk.cut_power();
    }
}

#[test]
fn whatever_happens_while_keys_rotate_and_pages_move_nothing_acknowledged_is_lost() {
    (0..40).for_each(crashes);
}

#[test]
#[ignore = "soak: minutes"]
fn whatever_happens_while_keys_rotate_and_pages_move_nothing_acknowledged_is_lost_soak() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(5_000);
    (7_000_000..7_000_000 + seeds).for_each(crashes);
}

#[test]
fn pages_that_are_left_count_before_anybody_begins_and_go_with_their_group() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(71);
    let store = Store::create_or_open(simulated(disk, &keys, 1)).unwrap();
    let groups = ["a", "b"].map(|name| make_group(&store, name));
    for (group, rows) in groups.iter().zip([200, 400]) {
        fill(&store, *group, rows, "value");
    }
    store.checkpoint().unwrap();
    block_on(store.set_reseal(ResealSettings { paused: true, kib_per_second: 0 })).unwrap();
    for group in groups {
        rotate(&store, group);
    }
    let left = || {
        store.resealer().step();
        store.engine().board.pages_left()
    };
    let pages = |group| store.engine().registry.pages_of(group);
    assert!(groups.iter().all(|group| pages(*group) > 10));
    assert_eq!(left(), pages(groups[0]) + pages(groups[1]));
    let drop_it = |group: GroupId| {
        let writes = vec![Write::DropGroup { group }];
        store.commit_blocking(Command { group: GroupId::SYSTEM, checks: vec![], writes }).unwrap();
    };
    drop_it(groups[0]);
    assert_eq!(left(), pages(groups[1]));
    drop_it(groups[1]);
    assert_eq!(left(), 0);
}
