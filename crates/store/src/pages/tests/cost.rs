//! What sealing costs beside plain redb of the same content: space always, time on demand.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use redb::{Database, Durability, TableDefinition};

use super::*;
use crate::disk::OsDisk;
use crate::sim::Dice;

const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");

/// The same batches for both.
fn batch(dice: &mut Dice, rows: usize, length: u64) -> Command {
    let row = |_| {
        let mut key = dice.roll().to_be_bytes().to_vec();
        key.extend(dice.roll().to_be_bytes());
        put(key, vec![dice.roll() as u8; (length / 2 + dice.under(length)) as usize])
    };
    command((0..rows).map(row).collect())
}

struct Plain(Database);

impl Plain {
    fn create(path: &Path, cache: usize) -> Self {
        Self(Database::builder().set_cache_size(cache).create(path).unwrap())
    }

    fn apply(&self, command: &Command) {
        let mut txn = self.0.begin_write().unwrap();
        txn.set_durability(Durability::None).unwrap();
        let mut table = txn.open_table(ROWS).unwrap();
        for write in &command.writes {
            if let Write::Put { key, value } = write {
                table.insert(key.as_slice(), value.as_slice()).unwrap();
            }
        }
        drop(table);
        txn.commit().unwrap();
    }

    fn checkpoint(&self) {
        let mut txn = self.0.begin_write().unwrap();
        txn.set_quick_repair(true);
        txn.open_table(ROWS).unwrap();
        txn.commit().unwrap();
    }
}

#[test]
fn the_file_takes_at_most_one_and_a_half_percent_more_space_than_plain_redb() {
    let dir = tempfile::tempdir().unwrap();
    let plain_path = dir.path().join("plain.redb");
    let mut place = Place::new(Arc::new(OsDisk), dir.path().join("group.pages"));
    place.cache = 16 << 20;
    let db = place.create(1).unwrap();
    let plain = Plain::create(&plain_path, place.cache);
    let mut dice = Dice::from_seed(1);
    for step in 0..24u64 {
        let command = batch(&mut dice, 2000, 600);
        db.apply(&[(Lsn(step + 1), &command)]).unwrap();
        plain.apply(&command);
        if step % 6 == 5 {
            db.checkpoint().unwrap();
            plain.checkpoint();
        }
    }
    db.close().unwrap();
    drop(plain);
    let [sealed, plain] =
        [&place.path, &plain_path].map(|path| std::fs::metadata(path).unwrap().blocks() * 512);
    let percent = (sealed as f64 / plain as f64 - 1.0) * 100.0;
    println!("{plain} bytes plain, {sealed} sealed: {percent:.2} % more");
    assert!(plain > 30 << 20, "{plain}");
    assert!(percent <= 1.5, "{percent:.2} %");
}

#[test]
#[ignore = "a measurement"]
fn time_beside_plain_redb() {
    let mut lines = Vec::new();
    for (rows, rounds) in [(1, 2000), (10, 1000), (100, 300), (1000, 60)] {
        let dir = tempfile::tempdir_in(std::env::var("BENCH_DIR").unwrap_or("/dev/shm".into())).unwrap();
        let mut place = Place::new(Arc::new(OsDisk), dir.path().join("group.pages"));
        place.cache = 64 << 20;
        let db = place.create(1).unwrap();
        let plain = Plain::create(&dir.path().join("plain.redb"), place.cache);
        let mut dice = Dice::from_seed(1);
        let mut lsn = 0;
        let mut samples: [Vec<Duration>; 4] = Default::default();
        let mut time = |kind: usize, work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            samples[kind].push(start.elapsed());
        };
        // 100,000 rows first, unmeasured.
        for _ in 0..50 {
            let command = batch(&mut dice, 2000, 100);
            lsn += 1;
            db.apply(&[(Lsn(lsn), &command)]).unwrap();
            plain.apply(&command);
        }
        db.checkpoint().unwrap();
        plain.checkpoint();
        for round in 0..rounds {
            let command = batch(&mut dice, rows, 100);
            lsn += 1;
            time(0, &mut || plain.apply(&command));
            time(1, &mut || drop(db.apply(&[(Lsn(lsn), &command)]).unwrap()));
            if round % 10 == 9 {
                time(2, &mut || plain.checkpoint());
                time(3, &mut || {
                    db.checkpoint().unwrap();
                });
            }
        }
        let [a, b, c, d] = samples.map(|mut samples| {
            samples.sort();
            samples[samples.len() / 2]
        });
        lines.push(format!(
            "{rows:>5} rows: apply {a:?} -> {b:?}; checkpoint of 10 such {c:?} -> {d:?} ({:.2}x)",
            d.as_secs_f64() / c.as_secs_f64()
        ));
    }
    println!("p50, plain -> sealed\n{}", lines.join("\n"));
}
