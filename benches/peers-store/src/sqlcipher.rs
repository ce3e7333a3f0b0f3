//! SQLCipher the way its and SQLite's documentation recommend it for many small durable writes.
//!
//! WAL with `synchronous=FULL`, a raw key (so that opening derives none), prepared statements, a clustered table, one
//! transaction for the rows of a commit. SQLite has one writer at a time; writers take turns at one connection, which
//! is faster than to let as many connections wait for each other's file lock with a busy timeout.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::Connection;

use crate::driver::{Contender, Row};

pub(crate) struct SqlCipher {
    path: PathBuf,
    cache_bytes: usize,
    writer: Mutex<Connection>,
}

impl Contender for SqlCipher {
    type Writer<'a> = ();
    type Reader<'a> = Connection;

    fn open(dir: &Path, cache_bytes: usize) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let path = path(dir);
        let writer = connect(&path, cache_bytes);
        writer
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS rows(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
            )
            .unwrap();
        Self { path, cache_bytes, writer: Mutex::new(writer) }
    }

    fn writer(&self) {}

    fn commit(&self, (): &mut (), rows: &[Row]) {
        let mut writer = self.writer.lock().unwrap();
        let txn = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        {
            let mut insert = txn.prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2)").unwrap();
            for row in rows {
                insert.execute((row.key.as_slice(), row.value.as_slice())).unwrap();
            }
        }
        txn.commit().unwrap();
    }

    fn reader(&self) -> Connection {
        connect(&self.path, self.cache_bytes)
    }

    fn get(&self, reader: &mut Connection, key: &[u8]) -> usize {
        let mut select = reader.prepare_cached("SELECT value FROM rows WHERE key = ?1").unwrap();
        let mut found = select.query([key]).unwrap();
        found.next().unwrap().map_or(0, |row| row.get_ref(0).unwrap().as_blob().unwrap().len())
    }

    fn scan(&self, reader: &mut Connection, from: &[u8], most: usize) -> (usize, usize) {
        let mut select = reader
            .prepare_cached("SELECT key, value FROM rows WHERE key >= ?1 ORDER BY key LIMIT ?2")
            .unwrap();
        let mut rows = select.query((from, i64::try_from(most).unwrap_or(-1))).unwrap();
        let (mut count, mut bytes) = (0, 0);
        while let Some(row) = rows.next().unwrap() {
            std::hint::black_box(row.get_ref(0).unwrap().as_blob().unwrap().to_vec());
            bytes += row.get_ref(1).unwrap().as_blob().unwrap().len();
            count += 1;
        }
        (count, bytes)
    }

    fn settle(&self) {
        let writer = self.writer.lock().unwrap();
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }

    fn close(self) {
        self.writer.into_inner().unwrap().close().unwrap();
    }

    fn rows_file(&self, dir: &Path) -> PathBuf {
        path(dir)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("rows.db")
}

fn connect(path: &Path, cache_bytes: usize) -> Connection {
    let connection = Connection::open(path).unwrap();
    let ask = |pragma: &str| -> String {
        connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap()
    };
    let key = "07".repeat(32);
    connection.execute_batch(&format!("PRAGMA key = \"x'{key}'\"")).unwrap();
    // Its other library has no AES instructions and would be no match.
    assert_eq!(ask("cipher_provider"), "openssl");
    assert_eq!(ask("journal_mode = WAL"), "wal");
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA busy_timeout = 60000; PRAGMA cache_size = -{}",
            cache_bytes >> 10
        ))
        .unwrap();
    connection
}
