//! Pages move to another key, in place, whatever happens meanwhile.

mod trouble;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::file::journal_path;
use super::super::geometry::{PAGE_LEN, Sealed, slot_place};
use super::*;
use crate::sim::{Dice, SimDisk, Survival, Trouble};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn on(sim: &SimDisk) -> Place {
    Place::new(Arc::new(sim.clone()), "/group.pages")
}

/// Key 1 and those up to `last`, which is active.
fn keys_to(last: u32) -> PageKeys {
    let mut keys = keys();
    for id in 2..=last {
        keys.keys.push((id, GroupKey::generate(random(u64::from(id) + 50).as_ref())));
    }
    keys.active = last;
    keys
}

fn only(keys: &PageKeys, id: u32) -> PageKeys {
    let mut keys = keys.clone();
    keys.keys.retain(|(key, _)| *key == id);
    keys.active = id;
    keys
}

/// Some `count` rows of which each takes about half a page.
fn filler(count: u16, round: u8) -> Vec<Write> {
    (0..count).map(|row| put(row.to_be_bytes(), vec![round; 1900])).collect()
}

fn model(count: u16, round: u8) -> Model {
    (0..count).map(|row| (row.to_be_bytes().to_vec(), vec![round; 1900])).collect()
}

/// Moves until nothing is left; how many pages.
fn move_all(db: &GroupDb, max: usize) -> Result<u64, PagesError> {
    let mut moved = 0;
    for _ in 0..100_000 {
        let step = db.reseal_some(max)?;
        moved += step.moved;
        assert!(step.done <= step.total && step.left != (step.done == step.total) || step.left, "{step:?}");
        if !step.left {
            return Ok(moved);
        }
    }
    panic!("it never ends");
}

/// The key ids in the headers of both root slots.
fn slot_keys(sim: &SimDisk, path: &Path) -> [u8; 2] {
    let bytes = sim.bytes(path).unwrap();
    [0, 1].map(|slot| bytes[slot_place(slot) as usize + 40])
}

fn data_page(sim: &SimDisk, path: &Path, page: u64) -> Vec<u8> {
    let at = Sealed::Data(page).place() as usize;
    sim.bytes(path).unwrap()[at..at + PAGE_LEN].to_vec()
}

#[test]
fn everything_moves_and_then_the_file_needs_no_older_key() {
    let sim = SimDisk::from_seed(1);
    let mut place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(300, 1));
    let before = db.checkpoint().unwrap();
    place.keys = keys_to(2);
    db.use_keys(&place.keys).unwrap();
    apply(&db, vec![put("new", "row")]);
    let moved = move_all(&db, 20).unwrap();
    assert!(moved >= 150, "{moved}");
    assert!(db.root() > before.root);
    assert_eq!(slot_keys(&sim, &place.path), [2, 2]);
    assert!(sim.bytes(&journal_path(&place.path)).is_none());
    let usage = db.pages_by_key().unwrap();
    assert!(usage[0] == (1, 0) && usage[1].1 > 150, "{usage:?}");
    let step = db.reseal_some(20).unwrap();
    assert_eq!((step.moved, step.to), (0, 2));
    let root = db.root();
    drop(db);
    place.keys = only(&place.keys, 2);
    let mut db = place.open(2, root).unwrap();
    db.verify().unwrap();
    let mut expected = model(300, 1);
    expected.insert("new".into(), "row".into());
    assert!(rows(&db).unwrap() == expected);
}

#[test]
fn a_file_that_is_open_can_let_go_of_the_older_key() {
    let place = on(&SimDisk::from_seed(1));
    let mut db = place.create(1).unwrap();
    apply(&db, filler(100, 1));
    let keys = keys_to(2);
    db.use_keys(&keys).unwrap();
    move_all(&db, 64).unwrap();
    db.use_keys(&only(&keys, 2)).unwrap();
    apply(&db, filler(50, 2));
    db.verify().unwrap();
    assert_eq!(rows(&db).unwrap().len(), 100);
    let error = db.use_keys(&PageKeys { active: 9, ..only(&keys, 2) }).unwrap_err();
    assert!(matches!(error, PagesError::KeyMissing { key_id: 9, .. }), "{error}");
}

#[test]
fn an_old_page_put_back_after_the_move_is_damage() {
    let sim = SimDisk::from_seed(1);
    let mut place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(300, 1));
    db.checkpoint().unwrap();
    let old = sim.bytes(&place.path).unwrap();
    place.keys = keys_to(2);
    db.use_keys(&place.keys).unwrap();
    move_all(&db, 64).unwrap();
    let done = db.close().unwrap();
    let moved = sim.bytes(&place.path).unwrap();
    let mut seen = 0;
    for page in 1..200 {
        let at = Sealed::Data(page).place() as usize;
        if old[at..at + PAGE_LEN] == moved[at..at + PAGE_LEN] {
            continue;
        }
        let mut replayed = moved.clone();
        replayed[at..at + PAGE_LEN].copy_from_slice(&old[at..at + PAGE_LEN]);
        sim.put(&place.path, Some(replayed));
        match place.open(page, done.root).and_then(|mut db| db.verify()) {
            Err(PagesError::Damage(_)) => seen += 1,
            Err(error) => panic!("page {page}: {error}"),
            // redb has let go of it since.
            Ok(verified) => assert_eq!(verified.rows, 300),
        }
    }
    assert!(seen > 100, "{seen}");
    // All of it is below what the store knows.
    sim.put(&place.path, Some(old));
    let error = place.open(1, done.root).unwrap_err();
    assert!(matches!(error, PagesError::RolledBack { .. }), "{error}");
}

/// What must hold after a crash at any point of the moving: the rows of the checkpoint, and the moving goes on to its end.
fn recovers(disk: &SimDisk, place: &Place, seed: u64, expect: RootSeq, expected: &Model) {
    let place = Place { disk: Arc::new(disk.clone()), keys: place.keys.clone(), ..on(disk) };
    let mut dice = Dice::from_seed(seed);
    disk.cut_power();
    // The way back may be cut short too.
    for _ in 0..dice.under(3) {
        disk.cut_power_after(dice.under(12));
        let _ = place.open(dice.roll(), expect);
        disk.cut_power();
    }
    let mut db = place.open(dice.roll(), expect).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    if dice.chance(30) {
        db.verify().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(rows(&db).unwrap() == *expected, "seed {seed}: other rows");
    move_all(&db, 16).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let root = db.root();
    drop(db);
    let place = Place { keys: only(&place.keys, place.keys.active), ..place };
    let mut db = place.open(dice.roll(), root).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(db.verify().unwrap().rows, expected.len() as u64, "seed {seed}");
    assert!(rows(&db).unwrap() == *expected, "seed {seed}: other rows at the end");
}

#[test]
fn a_crash_at_any_call_of_the_moving_or_of_the_way_back_loses_nothing() {
    let sim = SimDisk::from_seed(3);
    let mut place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(300, 1));
    let done = db.checkpoint().unwrap();
    place.keys = keys_to(2);
    sim.record();
    db.use_keys(&place.keys).unwrap();
    move_all(&db, 16).unwrap();
    let pictures = sim.pictures();
    drop(db);
    assert!(pictures.len() > 150, "{}", pictures.len());
    for (seed, picture) in (0..).zip(&pictures) {
        for lot in 0..3 {
            let seed = seed * 10 + lot;
            recovers(&picture.files.disk(seed), &place, seed, done.root, &model(300, 1));
        }
    }
}

/// Rows, checkpoints, changes of keys, moving and crashes in any order.
fn mixed(seed: u64) {
    let mut dice = Dice::from_seed(seed);
    let sim = SimDisk::from_seed(seed);
    let mut place = on(&sim);
    place.cache = if dice.chance(50) { 48 << 10 } else { 1 << 20 };
    let mut db = place.create(dice.roll()).unwrap();
    let (mut live, mut lsn) = (Model::new(), Lsn(0));
    let mut begun = BTreeMap::from([(lsn, live.clone())]);
    let mut done = (lsn, db.root());
    for _ in 0..3 {
        sim.cut_power_after(dice.under(900));
        if dice.chance(40) {
            let from = dice.under(300);
            sim.full_between(from, from + dice.under(60));
        }
        let mut steps = || -> Result<(), PagesError> {
            for _ in 0..60 {
                match dice.under(10) {
                    0 => {
                        place.keys = keys_to(place.keys.active + 1);
                        db.use_keys(&place.keys)?;
                    }
                    1..4 => match db.reseal_some(1 + dice.below(40)) {
                        Err(PagesError::NoSpace { .. }) if db.fault().is_none() => {}
                        other => drop(other?),
                    },
                    4 => {
                        begun.insert(lsn, live.clone());
                        done = (lsn, db.checkpoint()?.root);
                    }
                    _ => {
                        let first = dice.below(150) as u16;
                        let rows = first..first + 1 + dice.below(30) as u16;
                        let value = vec![dice.below(250) as u8; 500 + dice.below(3000)];
                        let gone = dice.chance(25);
                        let write = |row: u16| match gone {
                            true => Write::Delete { key: row.to_be_bytes().to_vec() },
                            false => put(row.to_be_bytes(), value.clone()),
                        };
                        let next = Lsn(lsn.0 + 1);
                        db.apply(&[(next, &command(rows.clone().map(write).collect()))])?;
                        lsn = next;
                        for row in rows {
                            let key = row.to_be_bytes().to_vec();
                            if gone {
                                live.remove(&key)
                            } else {
                                live.insert(key, value.clone())
                            };
                        }
                    }
                }
            }
            Ok(())
        };
        let end = steps();
        if end.is_ok() {
            sim.cut_power_after(0);
        }
        drop(db);
        for _ in 0..dice.under(3) {
            sim.cut_power();
            sim.cut_power_after(dice.under(10));
            let _ = place.open(dice.roll(), done.1);
        }
        sim.cut_power();
        db = place.open(dice.roll(), done.1).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        lsn = db.applied();
        assert!(lsn >= done.0, "seed {seed}");
        live = rows(&db).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(begun.get(&lsn) == Some(&live), "seed {seed}: other rows");
    }
    move_all(&db, 50).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let root = db.root();
    drop(db);
    place.keys = only(&place.keys, place.keys.active);
    let mut db = place.open(1, root).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(db.verify().unwrap().rows, live.len() as u64, "seed {seed}");
    assert!(rows(&db).unwrap() == live, "seed {seed}");
}

#[test]
fn rows_keys_moving_and_crashes_in_any_order() {
    (0..120).for_each(mixed);
}

#[test]
#[ignore = "soak: minutes"]
fn rows_keys_moving_and_crashes_in_any_order_soak() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(5_000);
    (5_000_000..5_000_000 + seeds).for_each(mixed);
}

/// A disk as a crash left it: pages of a batch are overwritten, no root names them, and the journal is whole.
fn half_moved() -> (SimDisk, Place, RootSeq) {
    let sim = SimDisk::from_seed(4);
    let mut place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(60, 1));
    let done = db.checkpoint().unwrap();
    place.keys = keys_to(2);
    db.use_keys(&place.keys).unwrap();
    let first = (1..).find(|page| data_page(&sim, &place.path, *page) != [0; PAGE_LEN]).unwrap();
    let before = data_page(&sim, &place.path, first);
    sim.record();
    db.reseal_some(16).unwrap();
    drop(db);
    let pictures = sim.pictures();
    let overwritten = |disk: &SimDisk| data_page(disk, &place.path, first) != before;
    let at = pictures.iter().position(|picture| overwritten(&picture.files.disk(1))).unwrap();
    // All sixteen are written by then, and nothing after them.
    let disk = pictures[at + 15].files.disk(1);
    disk.cut_power_keeping(Survival::Everything);
    place.disk = Arc::new(disk.clone());
    (disk, place, done.root)
}

#[test]
fn a_journal_that_is_whole_puts_back_what_was_overwritten() {
    let (disk, place, root) = half_moved();
    let db = place.open(1, root).unwrap();
    assert!(rows(&db).unwrap() == model(60, 1));
    assert!(disk.bytes(&journal_path(&place.path)).is_none());
}

#[test]
fn a_journal_that_is_changed_cut_short_or_gone_never_gives_wrong_rows() {
    let (disk, place, root) = half_moved();
    let path = journal_path(&place.path);
    let (whole, pages) = (disk.bytes(&path).unwrap(), disk.snapshot());
    let mut damaged = 0;
    let mut check = |journal: Option<Vec<u8>>| {
        disk.restore(&pages);
        disk.put(&path, journal);
        match place.open(1, root).and_then(|mut db| db.verify().map(|_| db)) {
            Ok(db) => assert!(rows(&db).unwrap() == model(60, 1)),
            Err(PagesError::Damage(_)) => damaged += 1,
            Err(error) => panic!("{error}"),
        }
    };
    check(None);
    check(Some(Vec::new()));
    let mut dice = Dice::from_seed(1);
    for _ in 0..60 {
        check(Some(whole[..dice.below(whole.len())].to_vec()));
        let mut flipped = whole.clone();
        // Half of them in the header and the list.
        let most = if dice.chance(50) { 800 } else { whole.len() };
        let at = dice.below(most);
        flipped[at] ^= 1 << dice.below(8);
        check(Some(flipped));
    }
    let mut longer = whole.clone();
    longer.resize(whole.len() + 9000, 0xAA);
    check(Some(longer));
    assert!(damaged > 40, "{damaged}");
}

#[test]
fn a_journal_of_another_file_or_of_an_earlier_batch_puts_back_nothing() {
    let (disk, place, root) = half_moved();
    let path = journal_path(&place.path);
    let journal = disk.bytes(&path).unwrap();
    let db = place.open(1, root).unwrap();
    move_all(&db, 64).unwrap();
    let done = db.close().unwrap();
    disk.put(&path, Some(journal.clone()));
    let mut db = place.open(2, done.root).unwrap();
    assert_eq!(db.verify().unwrap().rows, 60);
    assert!(disk.bytes(&path).is_none());

    let other = SimDisk::from_seed(9);
    let place = on(&other);
    let db = place.create(77).unwrap();
    apply(&db, filler(60, 3));
    let done = db.close().unwrap();
    other.put(&path, Some(journal));
    let place = Place { keys: keys_to(2), ..place };
    let mut db = place.open(78, done.root).unwrap();
    assert!(other.bytes(&path).is_none());
    db.verify().unwrap();
    assert!(rows(&db).unwrap() == model(60, 3));
}

#[test]
fn reads_and_writes_go_on_while_pages_move_from_key_to_key() {
    let mut place = on(&SimDisk::from_seed(1));
    // Far too small: reads come from the disk.
    place.cache = 64 << 10;
    let db = place.create(1).unwrap();
    for round in 0..10u16 {
        apply(&db, (0..100u16).map(|row| put((round * 100 + row).to_be_bytes(), vec![0; 2000])).collect());
    }
    db.checkpoint().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                let mut dice = Dice::from_seed(seed);
                while !stop.load(Ordering::Relaxed) {
                    let reading = db.read().unwrap();
                    for _ in 0..20 {
                        let row = dice.under(500) as u16;
                        let [a, b] =
                            [row, row + 500].map(|row| reading.get(&row.to_be_bytes()).unwrap().unwrap());
                        assert_eq!(a.as_ref(), b.as_ref());
                    }
                }
            });
        }
        let (db, stop) = (&db, &stop);
        scope.spawn(move || {
            let mut dice = Dice::from_seed(99);
            let mut step = 0u64;
            while !stop.load(Ordering::Relaxed) {
                let row = dice.under(500) as u16;
                let value = vec![step as u8; 1000 + dice.below(2000)];
                apply(db, vec![put(row.to_be_bytes(), value.clone()), put((row + 500).to_be_bytes(), value)]);
                step += 1;
                if step.is_multiple_of(10) {
                    db.checkpoint().unwrap();
                }
            }
        });
        for last in 2..8 {
            db.use_keys(&keys_to(last)).unwrap();
            move_all(db, 64).unwrap();
            // Whoever needs an older key now fails.
            db.use_keys(&only(&keys_to(last), last)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let done = db.close().unwrap();
    place.keys = only(&keys_to(7), 7);
    let mut db = place.open(2, done.root).unwrap();
    assert_eq!(db.verify().unwrap().rows, 1000);
}
