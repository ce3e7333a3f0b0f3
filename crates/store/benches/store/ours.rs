//! The store's public API as a contender.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_seal::{Context, Envelope, OsRandom, RootKey, SEALS, record};
use strongroom_store::{Command, GroupId, Outcome, RootKeyError, RootKeys, Store, StoreOptions, Write};
use zeroize::Zeroizing;

use crate::driver::{Clock, Contender, Row};
use crate::reseal;

/// Made first, so it has the first id after the system's.
pub(crate) const GROUP: GroupId = GroupId(1);
/// The system's group and ours; each gets half of the cache.
const GROUPS: usize = 2;

/// A store with one group.
pub(crate) struct Ours(pub(crate) Store);

impl Contender for Ours {
    type Writer<'a> = ();
    type Reader<'a> = ();

    fn open(dir: &Path, cache_bytes: usize) -> Self {
        let store = Store::create_or_open(options(dir, cache_bytes)).unwrap();
        if !store.groups().contains(&GROUP) {
            make_group(&store);
        }
        Self(store)
    }

    fn writer(&self) {}

    fn commit(&self, (): &mut (), rows: &[Row]) {
        let outcome = self.0.commit_blocking(puts(rows)).unwrap();
        assert!(matches!(outcome, Outcome::Applied { .. }));
    }

    fn reader(&self) {}

    fn get(&self, (): &mut (), key: &[u8]) -> usize {
        self.0.read(GROUP).unwrap().get(key).unwrap().map_or(0, |value| value.len())
    }

    fn scan(&self, (): &mut (), from: &[u8], most: usize) -> (usize, usize) {
        let rows = self.0.read(GROUP).unwrap().range(Bound::Included(from), Bound::Unbounded).unwrap();
        rows.take(most).fold((0, 0), |(count, bytes), row| (count + 1, bytes + row.unwrap().1.len()))
    }

    fn settle(&self) {
        self.0.checkpoint().unwrap();
    }

    fn close(self) {
        self.0.close().unwrap();
    }

    fn rows_file(&self, dir: &Path) -> PathBuf {
        dir.join("pages").join(format!("{GROUP}.pages"))
    }

    fn special(dir: &Path, order: &[&str]) -> String {
        match order {
            ["seals"] => format!(r#"{{"seals":{SEALS}}}"#),
            ["reseal", filled, seconds, kib] => {
                let [filled, seconds] = [filled, seconds].map(|word| word.parse().unwrap());
                reseal::measure(dir, filled, seconds, kib.parse().unwrap())
            }
            ["recover", mib] => recover(&dir.join("recover"), mib.parse().unwrap()),
            _ => panic!("unknown order: {order:?}"),
        }
    }
}

/// Fills a log that no checkpoint shortens, drops the store as if killed, and times the opening that replays it.
fn recover(dir: &Path, mib: u64) -> String {
    const ROWS: u64 = 100;
    let mut setting = options(dir, 512 << 20);
    setting.checkpoint_bytes = u64::MAX;
    let store = Ours(Store::create_or_open(setting.clone()).unwrap());
    make_group(&store.0);
    // The group's page file is there already, as it is in a store that has been used for a while.
    store.settle();
    let mut next = 0;
    while store.0.status().log_bytes < mib << 20 {
        std::thread::scope(|scope| {
            for _ in 0..32 {
                let (store, from) = (&store, next);
                next += ROWS;
                scope.spawn(move || {
                    let rows: Vec<Row> = (from..from + ROWS).map(|n| crate::driver::row(1, n)).collect();
                    store.commit(&mut (), &rows);
                });
            }
        });
    }
    let log_bytes = store.0.status().log_bytes;
    drop(store);
    let clock = Clock::start();
    let store = Store::create_or_open(setting).unwrap();
    let took = clock.stop(next / ROWS, next, &mut []);
    let replayed = store.recovered().replayed;
    assert!(replayed >= next / ROWS, "{replayed} commands of {}", next / ROWS);
    drop(store);
    std::fs::remove_dir_all(dir).unwrap();
    format!(r#"{{"log_bytes":{log_bytes},{}"#, &took[1..])
}

fn make_group(store: &Store) {
    let command = |_| Command { group: GroupId::SYSTEM, checks: vec![], writes: vec![] };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (group, _) = runtime.block_on(store.create_group(command)).unwrap();
    assert_eq!(group, GROUP);
}

fn puts(rows: &[Row]) -> Command {
    let put = |row: &Row| Write::Put { key: row.key.to_vec(), value: row.value.to_vec() };
    Command { group: GROUP, checks: vec![], writes: rows.iter().map(put).collect() }
}

fn options(dir: &Path, cache_bytes: usize) -> StoreOptions {
    let mut options = StoreOptions::new(dir, Arc::new(OneKey));
    options.groups_open_max = GROUPS;
    options.cache_bytes = cache_bytes * GROUPS;
    options
}

/// A root key that is the same in every run, for rows that are no secret.
#[derive(Debug)]
struct OneKey;

impl OneKey {
    fn key() -> RootKey {
        RootKey::from_bytes(&mut [7; 32])
    }
}

impl RootKeys for OneKey {
    fn wrap(&self, _: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        let blob = record::seal(&Self::key(), context, key, &OsRandom);
        Ok(Envelope { provider: "bench".into(), key_id: "bench".into(), key_version: 1, blob })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let key = record::open(&Self::key(), context, &envelope.blob).unwrap();
        Ok(Zeroizing::new(key.as_slice().try_into().unwrap()))
    }
}
