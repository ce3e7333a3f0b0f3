//! Several versions of a group's key, and nonces that never meet.

use std::collections::HashMap;

use super::*;
use crate::sim::{SimDisk, Survival};

fn on(sim: &SimDisk) -> Place {
    Place::new(Arc::new(sim.clone()), "/group.pages")
}

fn filler(round: u8) -> Vec<Write> {
    (0..80u8).map(|row| put([row], vec![round; 2000])).collect()
}

#[test]
fn pages_under_an_older_key_stay_readable_and_new_ones_are_under_the_active_key() {
    let sim = SimDisk::from_seed(1);
    let mut place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(0));
    let done = db.close().unwrap();
    place.keys.keys.push((2, GroupKey::generate(random(9).as_ref())));
    place.keys.active = 2;
    let mut db = place.open(2, done.root).unwrap();
    apply(&db, vec![put("new", "row")]);
    let usage = db.verify().unwrap().pages_by_key;
    assert!(usage[0].0 == 1 && usage[0].1 >= 40, "{usage:?}");
    assert!(usage[1].0 == 2 && usage[1].1 >= 3, "{usage:?}");
    assert_eq!(rows(&db).unwrap().len(), 81);
    let done = db.close().unwrap();
    // Without the older key the file opens, and what is under it says which key it needs.
    place.keys.keys.remove(0);
    let error: Result<(), _> = place.open(3, done.root).and_then(|db| {
        db.checkpoint()?;
        match rows(&db).unwrap_err() {
            ReadError::NoSuchKey { key_id, .. } => {
                Err(PagesError::KeyMissing { path: place.path.clone(), key_id })
            }
            error => panic!("{error}"),
        }
    });
    assert!(matches!(error, Err(PagesError::KeyMissing { key_id: 1, .. })), "{error:?}");
    // And without the newer one, the root does.
    place.keys = keys();
    let error = place.open(3, done.root).unwrap_err();
    assert!(matches!(error, PagesError::KeyMissing { key_id: 2, .. }), "{error}");
}

#[test]
fn another_key_of_the_same_id_opens_nothing() {
    let sim = SimDisk::from_seed(1);
    let mut place = on(&sim);
    let done = place.create(1).unwrap().close().unwrap();
    place.keys.keys[0].1 = GroupKey::generate(random(77).as_ref());
    assert!(matches!(place.open(2, done.root).unwrap_err(), PagesError::Damage(_)));
}

#[test]
fn a_key_table_that_is_full_reuses_the_place_of_a_key_without_pages() {
    let sim = SimDisk::from_seed(1);
    let mut place = on(&sim);
    let mut done = place.create(0).unwrap().close().unwrap();
    for key_id in 2..=140u32 {
        place.keys.keys.push((key_id, GroupKey::generate(random(key_id.into()).as_ref())));
        place.keys.active = key_id;
        let db = place.open(key_id.into(), done.root).unwrap();
        apply(&db, vec![put(b"k".as_slice(), key_id.to_le_bytes())]);
        done = db.close().unwrap();
    }
    let mut db = place.open(0, done.root).unwrap();
    let usage = db.verify().unwrap().pages_by_key;
    assert_eq!(usage.len(), 127);
    assert_eq!(rows(&db).unwrap()[b"k".as_slice()], 140u32.to_le_bytes());
}

#[test]
fn no_nonce_seals_twice_even_when_the_file_is_put_back_to_an_older_state() {
    let sim = SimDisk::from_seed(1);
    let place = on(&sim);
    let db = place.create(1).unwrap();
    apply(&db, filler(0));
    let done = db.close().unwrap();
    let backup = sim.bytes(&place.path).unwrap();
    let mut sealed: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut total = 0;
    for round in 1..20u8 {
        sim.cut_power_keeping(Survival::Everything);
        sim.put(&place.path, Some(backup.clone()));
        let db = place.open(100 + u64::from(round), done.root).unwrap();
        // The same rows in the same places each time, with other content.
        apply(&db, filler(round));
        db.checkpoint().unwrap();
        db.file_for_test()
            .tree()
            .walk(|entry| {
                let (nonce, rest) = entry.as_bytes().split_at(12);
                let before = sealed.insert(nonce.to_vec(), rest.to_vec());
                assert!(before.is_none_or(|before| before == rest), "a nonce sealed two pages");
                total += 1;
            })
            .unwrap();
        sim.cut_power_after(0);
    }
    assert!(sealed.len() > 20 * 19 && total > sealed.len(), "{} {total}", sealed.len());
}

#[test]
fn a_file_in_use_is_not_opened_again() {
    let sim = SimDisk::from_seed(1);
    let place = on(&sim);
    let db = place.create(1).unwrap();
    assert!(matches!(place.open(2, RootSeq(0)).unwrap_err(), PagesError::InUse { .. }));
    assert!(matches!(place.create(2).unwrap_err(), PagesError::Exists { .. }));
    drop(db);
    place.open(2, RootSeq(0)).unwrap();
    sim.remove(&place.path).unwrap();
    assert!(matches!(place.open(2, RootSeq(0)).unwrap_err(), PagesError::Missing { .. }));
}
