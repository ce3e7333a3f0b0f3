//! Keys: rotation, limits, change of the root key, keys for who holds no root key.

mod counting;
mod issuing;
mod memory;
mod room;
mod root;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use super::*;
use crate::sim::SimDisk;
use crate::store::block_on;
use crate::{GroupReport, KeyReport, KeyState};

/// A provider with several keys, each with versions.
#[derive(Debug, Default)]
struct Vault(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    keys: BTreeMap<String, Vec<Option<RootKey>>>,
    disabled: BTreeSet<String>,
    wraps: u64,
}

impl Vault {
    /// With a key `root` that has one version.
    fn new() -> Arc<Self> {
        let vault = Arc::new(Self::default());
        vault.add_version("root");
        vault
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    fn add_version(&self, key_id: &str) {
        let key = Some(RootKey::generate(&OsRandom));
        self.held().keys.entry(key_id.to_owned()).or_default().push(key);
    }

    fn destroy(&self, key_id: &str, version: u32) {
        self.held().keys.get_mut(key_id).unwrap()[version as usize - 1] = None;
    }

    fn remove(&self, key_id: &str) {
        self.held().keys.remove(key_id);
    }

    fn disable(&self, key_id: &str) {
        self.held().disabled.insert(key_id.to_owned());
    }

    fn enable(&self, key_id: &str) {
        self.held().disabled.remove(key_id);
    }
}

impl RootKeys for Vault {
    fn wrap(
        &self,
        key_id: Option<&str>,
        key: &[u8; 32],
        context: &Context,
    ) -> Result<Envelope, RootKeyError> {
        let mut held = self.held();
        held.wraps += 1;
        let key_id = key_id.unwrap_or("root").to_owned();
        if held.disabled.contains(&key_id) {
            return Err(RootKeyError::Disabled { key_id });
        }
        let Some(versions) = held.keys.get(&key_id) else { return Err(RootKeyError::Missing { key_id }) };
        let newest = versions.last().unwrap().as_ref().unwrap();
        let blob = record::seal(newest, context, key, &OsRandom);
        Ok(Envelope { provider: "vault".into(), key_id, key_version: count(versions), blob })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let held = self.held();
        let (key_id, key_version) = (envelope.key_id.clone(), envelope.key_version);
        if held.disabled.contains(&key_id) {
            return Err(RootKeyError::Disabled { key_id });
        }
        let Some(versions) = held.keys.get(&key_id) else { return Err(RootKeyError::Missing { key_id }) };
        let version = versions.get(key_version as usize - 1).and_then(Option::as_ref);
        let version = version.ok_or(RootKeyError::NoSuchVersion { key_id: key_id.clone(), key_version })?;
        let key = record::open(version, context, &envelope.blob);
        let key = key.map_err(|_| RootKeyError::Wrong { key_id })?;
        Ok(Zeroizing::new(key.as_slice().try_into().unwrap()))
    }

    fn newest_version(&self, key_id: &str) -> Result<Option<u32>, RootKeyError> {
        let held = self.held();
        let versions = held.keys.get(key_id).ok_or(RootKeyError::Missing { key_id: key_id.to_owned() })?;
        Ok(Some(count(versions)))
    }
}

/// A store on a simulated disk with these root keys.
fn with(disk: &SimDisk, vault: &Arc<Vault>, seed: u64) -> StoreOptions {
    let unused = OneKey::named("unused");
    StoreOptions { root_keys: Arc::<Vault>::clone(vault), ..simulated(disk.clone(), &unused, seed) }
}

fn of_group(store: &Store, group: GroupId) -> GroupReport {
    store.key_report().groups.into_iter().find(|report| report.group == group).unwrap()
}

fn key_of(store: &Store, group: GroupId, id: u32) -> KeyReport {
    of_group(store, group).keys.into_iter().find(|key| key.id == id).unwrap()
}

fn states(store: &Store, group: GroupId) -> Vec<(u32, KeyState)> {
    of_group(store, group).keys.iter().map(|key| (key.id, key.state)).collect()
}

fn rotate(store: &Store, group: GroupId) -> u32 {
    block_on(store.rotate_group_key(group)).unwrap()
}

fn count(versions: &[Option<RootKey>]) -> u32 {
    u32::try_from(versions.len()).unwrap()
}
