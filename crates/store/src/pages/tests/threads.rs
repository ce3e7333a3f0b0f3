//! Readers run beside the writer, with caches far too small for what they read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::sim::{Dice, SimDisk};

#[test]
fn readers_beside_a_writer_see_whole_commands_while_tag_pages_come_and_go() {
    let sim = SimDisk::from_seed(1);
    let mut place = Place::new(Arc::new(sim), "/group.pages");
    place.cache = 64 << 10;
    let db = place.create(1).unwrap();
    // Some 4 MiB: seven lower tag pages, of which four stay in memory.
    for round in 0..10 {
        apply(&db, (0..100u16).map(|row| put((round * 100 + row).to_be_bytes(), vec![0; 4000])).collect());
    }
    db.checkpoint().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..4 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                let mut dice = Dice::from_seed(seed);
                while !stop.load(Ordering::Relaxed) {
                    let reading = db.read().unwrap();
                    // Each command gives one value to a row and to the row 500 further on.
                    for _ in 0..20 {
                        let row = dice.under(500) as u16;
                        let [a, b] =
                            [row, row + 500].map(|row| reading.get(&row.to_be_bytes()).unwrap().unwrap());
                        assert_eq!(a.as_ref(), b.as_ref());
                    }
                }
            });
        }
        let mut dice = Dice::from_seed(99);
        for step in 0..300u64 {
            let row = dice.under(500) as u16;
            let value = vec![step as u8; 3000 + dice.under(2000) as usize];
            apply(&db, vec![put(row.to_be_bytes(), value.clone()), put((row + 500).to_be_bytes(), value)]);
            if step % 10 == 9 {
                db.checkpoint().unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    db.checkpoint().unwrap();
    assert!(db.file_for_test().tree().cached() <= 4, "{}", db.file_for_test().tree().cached());
}

#[test]
fn tag_pages_in_memory_are_bounded_once_they_are_flushed() {
    let sim = SimDisk::from_seed(1);
    let mut place = Place::new(Arc::new(sim), "/group.pages");
    place.cache = 1 << 20;
    let db = place.create(1).unwrap();
    for round in 0..30u16 {
        apply(&db, (0..100u16).map(|row| put((round * 100 + row).to_be_bytes(), vec![1; 4000])).collect());
        db.checkpoint().unwrap();
    }
    assert_eq!(rows(&db).unwrap().len(), 3000);
    db.checkpoint().unwrap();
    let bound = (1 << 20) / 16 / 4096;
    assert!(db.file_for_test().tree().cached() <= bound, "{}", db.file_for_test().tree().cached());
}

#[test]
fn a_file_whose_rows_were_all_deleted_is_sound_and_fills_again() {
    let place = Place::new(Arc::new(SimDisk::from_seed(1)), "/group.pages");
    let mut db = place.create(1).unwrap();
    let fill = |db: &GroupDb| {
        for round in 0..10u16 {
            apply(db, (0..100u16).map(|row| put((round * 100 + row).to_be_bytes(), vec![1; 4000])).collect());
        }
        db.checkpoint().unwrap();
    };
    fill(&db);
    apply(&db, (0..1000u16).map(|row| Write::Delete { key: row.to_be_bytes().to_vec() }).collect());
    for _ in 0..3 {
        apply(&db, vec![put("a", "b")]);
        db.checkpoint().unwrap();
    }
    assert_eq!(db.verify().unwrap().rows, 1);
    fill(&db);
    assert_eq!(db.verify().unwrap().rows, 1001);
    let done = db.close().unwrap();
    assert_eq!(rows(&place.open(2, done.root).unwrap()).unwrap().len(), 1001);
}
