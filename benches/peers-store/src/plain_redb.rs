//! redb as its users have it, a durable transaction for every commit; or lazy, durable only when it settles, which is
//! what the store does with it below its log.

use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use crate::driver::{Contender, Row};

const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");

pub(crate) struct PlainRedb<const LAZY: bool>(Database);

impl<const LAZY: bool> Contender for PlainRedb<LAZY> {
    type Writer<'a> = ();
    type Reader<'a> = ();

    fn open(dir: &Path, cache_bytes: usize) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let db = Database::builder().set_cache_size(cache_bytes).create(path(dir)).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(ROWS).unwrap();
        txn.commit().unwrap();
        Self(db)
    }

    fn writer(&self) {}

    fn commit(&self, (): &mut (), rows: &[Row]) {
        let mut txn = self.0.begin_write().unwrap();
        if LAZY {
            txn.set_durability(Durability::None).unwrap();
        }
        {
            let mut table = txn.open_table(ROWS).unwrap();
            for row in rows {
                table.insert(row.key.as_slice(), row.value.as_slice()).unwrap();
            }
        }
        txn.commit().unwrap();
    }

    fn reader(&self) {}

    fn get(&self, (): &mut (), key: &[u8]) -> usize {
        let table = self.0.begin_read().unwrap().open_table(ROWS).unwrap();
        table.get(key).unwrap().map_or(0, |value| value.value().len())
    }

    fn scan(&self, (): &mut (), from: &[u8], most: usize) -> (usize, usize) {
        let table = self.0.begin_read().unwrap().open_table(ROWS).unwrap();
        let rows = table.range(from..).unwrap().take(most);
        rows.fold((0, 0), |(count, bytes), row| {
            let (key, value) = row.unwrap();
            // As with the store, whoever scans gets the keys to keep.
            std::hint::black_box(key.value().to_vec());
            (count + 1, bytes + value.value().len())
        })
    }

    fn settle(&self) {
        if LAZY {
            let mut txn = self.0.begin_write().unwrap();
            txn.set_two_phase_commit(true);
            txn.set_quick_repair(true);
            txn.commit().unwrap();
        }
    }

    fn close(self) {}

    fn rows_file(&self, dir: &Path) -> PathBuf {
        path(dir)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("rows.redb")
}
