//! The store as its users see it.

mod basics;
mod contain;
mod crash;
mod freshness;
mod gate;
mod keys;
mod memory;

pub(crate) mod model;
mod reopen;
mod reseal;
mod simulation;
mod speed;
mod tamper;
mod trouble;
mod waiting;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_seal::{Context, Envelope, OsRandom, Random, RootKey, SeededRandom, record};
use zeroize::Zeroizing;

use crate::disk::Disk;
use crate::{
    Check, Clock, Command, GroupId, Lsn, Outcome, RootKeyError, RootKeys, Store, StoreOptions, Write,
};

/// A provider with one key.
#[derive(Debug)]
pub(crate) struct OneKey {
    key: RootKey,
    id: String,
    random: Arc<dyn Random>,
}

impl OneKey {
    pub(crate) fn named(id: &str) -> Arc<Self> {
        Self::drawn(id, Arc::new(OsRandom))
    }

    /// One whose bytes can be had again.
    pub(crate) fn drawn(id: &str, random: Arc<dyn Random>) -> Arc<Self> {
        Arc::new(Self { key: RootKey::generate(&*random), id: id.to_owned(), random })
    }
}

impl RootKeys for OneKey {
    fn wrap(&self, _: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        let blob = record::seal(&self.key, context, key, &*self.random);
        Ok(Envelope { provider: "test".into(), key_id: self.id.clone(), key_version: 3, blob })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let key_id = envelope.key_id.clone();
        if key_id != self.id {
            return Err(RootKeyError::Missing { key_id });
        }
        let key = record::open(&self.key, context, &envelope.blob);
        let key = key.map_err(|_| RootKeyError::Wrong { key_id })?;
        Ok(Zeroizing::new(key.as_slice().try_into().expect("only keys are wrapped")))
    }
}

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now_seconds(&self) -> u64 {
        1_700_000_000
    }
}

/// A clock that goes on only when told.
#[derive(Debug, Default)]
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn set(&self, to: Duration) {
        let nanos = u64::try_from(to.as_nanos()).expect("a test does not take centuries");
        self.0.store(nanos, Ordering::Release);
    }
}

impl Clock for SetClock {
    fn now_seconds(&self) -> u64 {
        1_700_000_000
    }

    fn ticks(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire))
    }
}

pub(crate) fn options(dir: &Path, keys: &Arc<OneKey>) -> StoreOptions {
    let mut options = StoreOptions::new(dir, Arc::<OneKey>::clone(keys));
    options.cache_bytes = 16 << 20;
    options.clock = Arc::new(StoppedClock);
    options
}

pub(crate) fn simulated(disk: impl Disk + 'static, keys: &Arc<OneKey>, seed: u64) -> StoreOptions {
    let random: Arc<dyn Random> = Arc::new(SeededRandom::dangerous_from_seed(seed));
    // What depends on the calls to the disk is to be the same each time; who wants re-sealing asks for it.
    StoreOptions { disk: Arc::new(disk), random, reseal_workers: 0, ..options(Path::new("/store"), keys) }
}

pub(crate) fn put(group: GroupId, key: &str, value: &str) -> Command {
    Command { group, checks: vec![], writes: vec![Write::Put { key: key.into(), value: value.into() }] }
}

pub(crate) fn absent(mut command: Command, key: &str) -> Command {
    command.checks.push(Check::Absent { key: key.into() });
    command
}

pub(crate) fn get(store: &Store, group: GroupId, key: &str) -> Option<String> {
    let value = store.read(group).unwrap().get(key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// Makes a group whose name is a row of the system group.
pub(crate) fn make_group(store: &Store, name: &str) -> GroupId {
    let command = |_| absent(put(GroupId::SYSTEM, name, "a group"), name);
    let (group, outcome) = crate::store::block_on(store.create_group(command)).unwrap();
    assert!(matches!(outcome, Outcome::Applied { .. }));
    group
}

pub(crate) fn lsn(outcome: Outcome) -> Lsn {
    match outcome {
        Outcome::Applied { lsn } => lsn,
        Outcome::Refused { check } => panic!("check {check} refused the command"),
    }
}
