//! Moving pages when something stands in the way: pages that do not open, disks that are full or fail, tables that are full.

use super::*;

#[test]
fn pages_that_a_crash_left_without_their_entry_do_not_hold_the_older_key() {
    let sim = SimDisk::from_seed(5);
    let mut place = on(&sim);
    place.cache = 32 << 10;
    let db = place.create(1).unwrap();
    apply(&db, filler(200, 1));
    db.checkpoint().unwrap();
    apply(&db, filler(200, 2));
    let done = db.checkpoint().unwrap();
    // Free pages of the first round are overwritten, with entries that no root names.
    apply(&db, filler(200, 3));
    sim.kill();
    drop(db);
    let db = place.open(2, done.root).unwrap();
    place.keys = keys_to(2);
    db.use_keys(&place.keys).unwrap();
    move_all(&db, 10).unwrap();
    let lost = db.pages_by_key().unwrap();
    assert_eq!(lost[0], (1, 0));
    let mut is_lost = 0;
    db.file_for_test()
        .tree()
        .walk(|entry| is_lost += u32::from(*entry == crate::pages::entry::Entry::LOST))
        .unwrap();
    assert!(is_lost > 0);
    let root = db.root();
    drop(db);
    place.keys = only(&place.keys, 2);
    let mut db = place.open(3, root).unwrap();
    assert!(rows(&db).unwrap() == model(200, 2));
    apply(&db, filler(200, 4));
    db.verify().unwrap();
    assert!(rows(&db).unwrap() == model(200, 4));
}

#[test]
fn a_damaged_page_stays_damaged_and_all_others_move() {
    let sim = SimDisk::from_seed(5);
    let mut place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(200, 1));
    let done = db.close().unwrap();
    let mut seen = false;
    for page in 20..60 {
        let whole = sim.snapshot();
        sim.flip(&place.path, Sealed::Data(page).place() as usize * 8 + 77);
        place.keys = keys_to(2);
        let db = place.open(2, done.root).unwrap();
        move_all(&db, 33).unwrap();
        let root = db.root();
        drop(db);
        place.keys = only(&place.keys, 2);
        let mut db = place.open(3, root).unwrap();
        match db.verify() {
            Err(PagesError::Damage(damage)) => {
                assert_eq!(damage.at, crate::Place::Page(page));
                seen = true;
            }
            other => assert_eq!(other.unwrap().rows, 200),
        }
        drop(db);
        sim.restore(&whole);
    }
    assert!(seen);
}

#[test]
fn without_space_for_the_journal_nothing_happens_and_it_goes_on_later() {
    let sim = SimDisk::from_seed(6);
    let mut place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(200, 1));
    db.checkpoint().unwrap();
    place.keys = keys_to(2);
    db.use_keys(&place.keys).unwrap();
    db.reseal_some(8).unwrap();
    for after in 0..3 {
        for error in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other] {
            // Writing the journal, its sync, and for a new one its name.
            sim.plan(Trouble { call: None, after, error, lasting: false });
            let failed = db.reseal_some(32);
            if after < 2 {
                let failed = failed.unwrap_err();
                let full = matches!(failed, PagesError::NoSpace { .. });
                assert_eq!(full, error == std::io::ErrorKind::StorageFull, "{failed}");
                assert!(db.fault().is_none());
            }
            sim.heal();
            if db.fault().is_none() {
                db.reseal_some(8).unwrap();
            }
        }
    }
    let root = db.root();
    drop(db);
    sim.kill();
    let db = place.open(9, root).unwrap();
    move_all(&db, 100).unwrap();
    assert!(rows(&db).unwrap() == model(200, 1));
}

#[test]
fn without_space_for_tag_pages_what_was_moved_stays_moved_and_it_goes_on_later() {
    for batch in [20, 100, 200] {
        let sim = SimDisk::from_seed(7);
        let mut place = on(&sim);
        // Or redb wants to write when it reads.
        place.cache = 16 << 20;
        let db = place.create(1).unwrap();
        apply(&db, filler(600, 1));
        db.checkpoint().unwrap();
        place.keys = keys_to(2);
        db.use_keys(&place.keys).unwrap();
        // The journal has its place by then, the second copies of later tag pages have not.
        db.reseal_some(batch).unwrap();
        let done = db.root();
        sim.limit(Some(0));
        let mut failed = 0;
        for _ in 0..30 {
            if let Err(error) = db.reseal_some(batch) {
                assert!(matches!(error, PagesError::NoSpace { .. }), "{error}");
                failed += 1;
            }
            assert!(db.fault().is_none());
        }
        assert!(failed > 0);
        assert!(rows(&db).unwrap() == model(600, 1));
        let crashed = sim.snapshot().disk(8);
        recovers(&crashed, &place, 8, done, &model(600, 1));
        sim.limit(None);
        apply(&db, filler(100, 2));
        move_all(&db, batch).unwrap();
        let mut expected = model(600, 1);
        expected.extend(model(100, 2));
        assert!(rows(&db).unwrap() == expected);
        let crashed = sim.snapshot().disk(9);
        recovers(&crashed, &place, 9, db.root(), &model(600, 1));
    }
}

#[test]
fn a_failure_after_the_first_overwriting_stops_the_file_and_its_next_opening_puts_back() {
    for after in 2..22 {
        let sim = SimDisk::from_seed(after);
        let mut place = on(&sim);
        let db = place.create(1).unwrap();
        apply(&db, filler(100, 1));
        db.checkpoint().unwrap();
        place.keys = keys_to(2);
        db.use_keys(&place.keys).unwrap();
        db.reseal_some(16).unwrap();
        let root = db.root();
        sim.plan(Trouble { call: None, after, error: std::io::ErrorKind::Other, lasting: true });
        db.reseal_some(16).unwrap_err();
        assert!(db.fault().is_some(), "{after}");
        sim.heal();
        db.reseal_some(16).unwrap_err();
        drop(db);
        recovers(&sim, &place, after, root, &model(100, 1));
    }
}

#[test]
fn a_frozen_file_moves_nothing() {
    let place = on(&SimDisk::from_seed(1));
    let db = place.create(1).unwrap();
    db.use_keys(&keys_to(2)).unwrap();
    db.freeze();
    assert!(matches!(db.reseal_some(16).unwrap_err(), PagesError::Closed { .. }));
}

#[test]
fn keys_change_more_often_than_a_file_has_places_for_them() {
    let sim = SimDisk::from_seed(1);
    let mut place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(10, 1));
    for last in 2..200 {
        place.keys = keys_to(last);
        db.use_keys(&place.keys).unwrap();
        apply(&db, vec![put("k", last.to_be_bytes())]);
        // Sometimes everything is moved in between, and sometimes not.
        if last % 20 == 0 {
            move_all(&db, 256).unwrap();
        }
    }
    db.checkpoint().unwrap();
    let root = db.root();
    drop(db);
    let mut db = place.open(2, root).unwrap();
    assert_eq!(db.verify().unwrap().rows, 11);
}
