//! What every test of the log starts from.

mod crash;
mod failure;
mod formats;
mod marks;
mod offline;
mod prepared;
mod round_trip;
mod snapshot;
mod survey;
mod tamper;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use strongroom_seal::{GroupKey, SeededRandom};

use super::{
    Entry, Kind, Log, LogError, LogKeyError, LogKeys, LogOptions, Record, Scanned, SegmentId, Surroundings,
};
use crate::disk::Disk;
use crate::sim::SimDisk;
use crate::{GroupId, Lsn};

/// Keys of groups: made from group and key id, forgotten at will.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) store: [u8; 16],
    /// Active key id of each known group; `None` for a forgotten one.
    pub(super) groups: Mutex<HashMap<GroupId, Option<u32>>>,
}

impl Keys {
    pub(super) fn with(groups: impl IntoIterator<Item = u32>) -> Arc<Self> {
        let groups = groups.into_iter().map(|group| (GroupId(group), Some(1))).collect();
        Arc::new(Self { store: [7; 16], groups: Mutex::new(groups) })
    }

    pub(super) fn set(&self, group: u32, active: Option<u32>) {
        self.groups.lock().unwrap().insert(GroupId(group), active);
    }
}

impl LogKeys for Keys {
    fn store_id(&self) -> [u8; 16] {
        self.store
    }

    fn log_key(&self, group: GroupId, key_id: Option<u32>) -> Result<(u32, GroupKey), LogKeyError> {
        let active = match self.groups.lock().unwrap().get(&group) {
            None => return Err(LogKeyError::Unknown { group, key_id }),
            Some(None) => return Err(LogKeyError::Forgotten { group }),
            Some(&Some(active)) => active,
        };
        let id = key_id.unwrap_or(active);
        if id == 0 || id > active {
            return Err(LogKeyError::Unknown { group, key_id });
        }
        let mut bytes = [self.store[0]; 32];
        bytes[..4].copy_from_slice(&group.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&id.to_le_bytes());
        Ok((id, GroupKey::from_bytes(&mut bytes)))
    }
}

pub(super) const OPTIONS: LogOptions = LogOptions { segment_bytes: 4096, ahead: 0 };

pub(super) fn around(disk: Arc<dyn Disk>, dir: &Path, keys: Arc<Keys>, seed: u64) -> Surroundings {
    let random = Arc::new(SeededRandom::dangerous_from_seed(seed));
    Surroundings { disk, dir: dir.to_path_buf(), keys, random }
}

/// A record that a test owns.
pub(super) type Owned = (u64, u32, Kind, Vec<u8>);

pub(super) fn owned(record: Record<'_>) -> Owned {
    (record.lsn.0, record.group.0, record.kind, record.payload.to_vec())
}

/// Reads the log and all its records.
pub(super) fn scan(around: &Surroundings) -> Result<(Scanned, Vec<Owned>), LogError> {
    let mut records = Vec::new();
    let scanned = Scanned::scan(around.clone(), OPTIONS, |record| {
        records.push(owned(record));
        Ok::<_, LogError>(())
    })?;
    Ok((scanned, records))
}

/// Appends one command per item as one batch, without sync.
pub(super) fn append(log: &mut Log, batch: &[(u32, &[u8])]) -> Vec<Owned> {
    let first = log.next_lsn().0;
    let entries: Vec<Entry<'_>> = (first..)
        .zip(batch)
        .map(|(lsn, &(group, payload))| Entry { lsn: Lsn(lsn), group: GroupId(group), payload })
        .collect();
    log.append(&entries).unwrap();
    entries.iter().map(|e| (e.lsn.0, e.group.0, Kind::Command, e.payload.to_vec())).collect()
}

/// Where the log of a simulated disk is.
pub(super) fn log_dir() -> PathBuf {
    PathBuf::from("/data/log")
}

/// The file of a segment there.
pub(super) fn segment_file(segment: u64) -> PathBuf {
    log_dir().join(SegmentId(segment).file_name())
}

pub(super) fn mark_file() -> PathBuf {
    log_dir().join("mark")
}

/// A simulated disk and what is around a log on it, with groups 0 to 3.
pub(super) fn simulated(seed: u64) -> (SimDisk, Arc<Keys>, Surroundings) {
    let disk = SimDisk::from_seed(seed);
    let keys = Keys::with(0..4);
    let around = around(Arc::new(disk.clone()), &log_dir(), Arc::clone(&keys), seed);
    (disk, keys, around)
}

/// The error of a log that must not be read.
pub(super) fn refused(around: &Surroundings) -> LogError {
    match scan(around) {
        Ok((scanned, records)) => panic!("accepted {} records: {scanned:?}", records.len()),
        Err(error) => error,
    }
}
