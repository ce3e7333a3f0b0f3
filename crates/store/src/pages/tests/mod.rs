//! Behaviour of page files: rows, crashes, tampering, cost.

#![allow(clippy::cast_possible_truncation, reason = "dice and offsets of small test files")]

mod backend;
mod cost;
mod crash;
mod keys;
mod moving;
mod races;
mod rows;
mod tamper;
mod threads;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_seal::{GroupKey, Random, SeededRandom};

use super::{GroupDb, PageKeys, PagesError, RootSeq};
use crate::disk::Disk;
use crate::{Command, GroupId, Lsn, ReadError, Write};

const GROUP: GroupId = GroupId(7);
const CACHE: usize = 1 << 20;

fn random(seed: u64) -> Arc<dyn Random> {
    Arc::new(SeededRandom::dangerous_from_seed(seed))
}

fn keys() -> PageKeys {
    PageKeys {
        active: 1,
        keys: vec![(1, GroupKey::generate(random(1).as_ref()))],
        uses: crate::uses::KeyUses::for_test(),
    }
}

fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Write {
    Write::Put { key: key.into(), value: value.into() }
}

fn command(writes: Vec<Write>) -> Command {
    Command { group: GROUP, checks: Vec::new(), writes }
}

/// Applies one command and gives its number to the next.
fn apply(db: &GroupDb, writes: Vec<Write>) {
    let lsn = Lsn(db.applied().0 + 1);
    db.apply(&[(lsn, &command(writes))]).unwrap();
}

fn rows(db: &GroupDb) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
    let reading = db.read().map_err(|error| error.into_read(GROUP))?;
    let range = reading.range(Bound::Unbounded, Bound::Unbounded)?;
    range.map(|row| row.map(|(key, value)| (key, value.to_vec()))).collect()
}

/// A group's file on some disk, and what opens it.
struct Place {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    group: GroupId,
    keys: PageKeys,
    cache: usize,
}

impl Place {
    fn new(disk: Arc<dyn Disk>, path: impl AsRef<Path>) -> Self {
        Self { disk, path: path.as_ref().into(), group: GROUP, keys: keys(), cache: CACHE }
    }

    fn create(&self, seed: u64) -> Result<GroupDb, PagesError> {
        GroupDb::create(&self.disk, &self.path, self.group, &self.keys, random(seed), self.cache)
    }

    fn open(&self, seed: u64, expect: RootSeq) -> Result<GroupDb, PagesError> {
        GroupDb::open(&self.disk, &self.path, self.group, &self.keys, random(seed), self.cache, expect)
    }
}
