//! A snapshot is the store at one place in its log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::tests::{absent, get, lsn};
use crate::{Command, Lsn, Outcome, Write};

#[test]
fn a_store_comes_back_with_its_groups_keys_and_numbers() {
    let place = Place::new();
    let store = place.open();
    let group = make_group(&store, "album");
    let gone = make_group(&store, "gone");
    fill(&store, group, 3000, 400);
    let drop = Write::DropGroup { group: gone };
    store.commit_blocking(Command { group: GroupId::SYSTEM, checks: vec![], writes: vec![drop] }).unwrap();
    let (before, key, id) = (Model::of(&store), store.group_key(group).unwrap(), store.epoch());
    let snapshot = place.backup(&store);
    assert_eq!((snapshot.number, snapshot.lsn, snapshot.groups), (1, store.status().durable, 2));
    store.close().unwrap();

    let restored = place.try_restore(None).unwrap();
    assert_eq!(restored.snapshot, snapshot);
    let store = Store::create_or_open(place.options("restored")).unwrap();
    assert_same(&Model::of(&store), &before);
    assert_eq!(store.group_key(group).unwrap(), key);
    assert!(store.epoch() > id);
    assert!(store.status().durable > snapshot.lsn);
    let format = |name: &str| std::fs::read(place.dir.path().join(name).join("FORMAT")).unwrap();
    assert_eq!(format("restored"), format("store"));

    // It goes on like any other.
    store.commit_blocking(put(group, "after", "restoring")).unwrap();
    assert!(make_group(&store, "new") > gone, "ids are never given out again");
    drop_without_closing(store);
    let store = Store::create_or_open(place.options("restored")).unwrap();
    assert_eq!(get(&store, group, "after").as_deref(), Some("restoring"));
    store.close().unwrap();
}

fn drop_without_closing(store: Store) {
    drop(store);
}

/// Changes of every kind are made at each report of the backup, between checkpoints that would like to give back log.
#[test]
fn what_happens_at_any_moment_of_a_backup_is_in_or_out_by_its_place_in_the_log() {
    let place = Place::new();
    let store = place.open();
    let groups: Vec<_> = ["a", "b", "c"].iter().map(|name| make_group(&store, name)).collect();
    for group in &groups {
        fill(&store, *group, 9000, 100);
    }
    store.checkpoint().unwrap();
    let mut models: BTreeMap<Lsn, Model> = BTreeMap::from([(store.status().durable, Model::of(&store))]);
    let run = |command: Command, models: &mut BTreeMap<Lsn, Model>| {
        if let Outcome::Applied { lsn } = store.commit_blocking(command).unwrap() {
            models.insert(lsn, Model::of(&store));
        }
    };
    let system = |write| Command { group: GroupId::SYSTEM, checks: vec![], writes: vec![write] };
    let mut round = 0;
    let snapshot = store.backup(&BackupOptions::new(place.target()), &mut |progress| {
        round += 1;
        if round > 15 {
            return true;
        }
        for group in store.groups() {
            run(put(group, "row 000007", &format!("{round} {:?}", progress.stage)), &mut models);
        }
        run(absent(put(groups[0], "refused", "never"), "row 000001"), &mut models);
        let made = crate::store::block_on(
            store.create_group(|group| put(GroupId::SYSTEM, &format!("made in {round}"), &group.to_string())),
        );
        models.insert(lsn(made.unwrap().1), Model::of(&store));
        if round % 4 == 0 {
            run(system(Write::DropGroup { group: *store.groups().last().unwrap() }), &mut models);
        }
        if round == 5 {
            // One whose rows may have been read.
            run(system(Write::DropGroup { group: groups[1] }), &mut models);
        }
        store.checkpoint().unwrap();
        true
    });
    let snapshot = snapshot.unwrap();
    assert!(round > 15 && snapshot.commands > 20, "{round} {snapshot:?}");
    let restored = place.restored_model(None);
    let (_, expected) = models.range(..=snapshot.lsn).next_back().unwrap();
    assert_same(&restored, expected);
    assert!(!restored.groups.contains_key(&groups[1]));
    // The log that was kept for the backup is given back.
    store.checkpoint().unwrap();
    store.commit_blocking(put(groups[0], "one", "more")).unwrap();
    store.checkpoint().unwrap();
    assert!(store.status().log_bytes < 64 << 10, "{}", store.status().log_bytes);
    store.close().unwrap();
}

#[test]
fn a_backup_under_four_writers_has_every_command_up_to_its_end_and_none_after() {
    let place = Place::new();
    let store = place.open();
    let groups: Vec<_> = (0..4).map(|index| make_group(&store, &format!("group {index}"))).collect();
    for group in &groups {
        fill(&store, *group, 4000, 100);
    }
    let base = Model::of(&store);
    let began = store.status().durable;
    let stop = AtomicBool::new(false);
    let log = Mutex::new(BTreeMap::new());
    let mut snapshots = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..4usize {
            let (store, stop, log, groups) = (&store, &stop, &log, &groups);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let group = groups[(writer + number) % groups.len()];
                    let row = format!("row {:06}", number % 500);
                    let command = put(group, &row, &format!("writer {writer} number {number}"));
                    match store.commit_blocking(command.clone()).unwrap() {
                        Outcome::Applied { lsn } => drop(log.lock().unwrap().insert(lsn, command)),
                        refused => panic!("{refused:?}"),
                    }
                    number += 1;
                }
            });
        }
        for _ in 0..3 {
            snapshots.push(place.backup(&store));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let log: BTreeMap<Lsn, Command> = log.into_inner().unwrap();
    assert!(snapshots[0].lsn >= began);
    assert!(snapshots[2].commands > 0, "nothing was written meanwhile");
    for snapshot in snapshots {
        let mut expected = base.clone();
        for command in log.range(..=snapshot.lsn).map(|(_, command)| command) {
            let rows = expected.groups.get_mut(&command.group).unwrap();
            for write in &command.writes {
                if let Write::Put { key, value } = write {
                    rows.insert(key.clone(), value.clone());
                }
            }
        }
        assert_same(&place.restored_model(Some(snapshot.number)), &expected);
    }
    store.close().unwrap();
}

#[test]
fn a_second_backup_writes_what_changed_and_no_more() {
    let place = Place::new();
    let store = place.open();
    let (large, small) = (make_group(&store, "large"), make_group(&store, "small"));
    fill(&store, large, 40_000, 600);
    fill(&store, small, 10, 10);
    let first = place.backup(&store);
    assert!(first.new_bytes > 20 << 20, "{first:?}");
    let before = Model::of(&store);

    let same = place.backup(&store);
    assert_eq!(same.new_bytes, 0, "{same:?}");
    store.commit_blocking(put(large, "row 010000", "changed")).unwrap();
    store.commit_blocking(put(large, "row 010001a", "new")).unwrap();
    let third = place.backup(&store);
    // One place: its chunk of at most 4 MiB. Where that ended for its length alone, the cut moves, and so on until content
    // makes one; the keys that say where are random, and that it takes more than 12 MB to find one is beyond all odds.
    assert!(third.new_bytes > 0);
    assert!(third.new_bytes < first.new_bytes / 2, "{third:?} {first:?}");
    let after = Model::of(&store);
    store.close().unwrap();

    assert_same(&place.restored_model(Some(1)), &before);
    assert_same(&place.restored_model(Some(2)), &before);
    assert_same(&place.restored_model(None), &after);
    let keys = &*place.keys;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let listed = snapshots(&place.target(), &disk, keys).unwrap();
    assert_eq!(listed, [first, same, third.clone()]);
    let verified = verify(&place.target(), &disk, keys, None, &mut |_| true).unwrap();
    assert_eq!(verified.snapshot, third);
    let numbers: Vec<_> = outline(&place.target(), &disk).unwrap().iter().map(|found| found.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn rows_and_names_are_nowhere_in_the_target() {
    let place = Place::new();
    let store = place.open();
    let group = make_group(&store, "a bucket's telling name");
    store.commit_blocking(put(group, "a telling key", "a telling value")).unwrap();
    place.backup(&store);
    let needles = [&b"telling"[..], b"bucket's"];
    for file in files(&place.target()) {
        let bytes = std::fs::read(&file).unwrap();
        for needle in needles {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", file.display());
        }
    }
    store.close().unwrap();
}
