//! Backups as their users see them.

mod attacks;
mod consistency;
mod faults;
mod files;
mod forks;
mod prune;
mod rotation;
mod vector;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::disk::{Disk, OsDisk};
use crate::tests::model::Model;
use crate::tests::{OneKey, make_group, options, put};
use crate::{GroupId, Store, StoreOptions};

/// A store in a directory of its own, and a place for backups and one for restoring beside it.
struct Place {
    dir: tempfile::TempDir,
    keys: Arc<OneKey>,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), keys: OneKey::named("root") }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    fn restored(&self) -> PathBuf {
        self.dir.path().join("restored")
    }

    /// Segments and checkpoints are short, so that a backup sees many.
    fn options(&self, name: &str) -> StoreOptions {
        StoreOptions {
            segment_bytes: 16 << 10,
            checkpoint_bytes: 64 << 10,
            ..options(&self.dir.path().join(name), &self.keys)
        }
    }

    fn open(&self) -> Store {
        Store::create_or_open(self.options("store")).unwrap()
    }

    fn backup(&self, store: &Store) -> SnapshotInfo {
        store.backup(&BackupOptions::new(self.target()), &mut |_| true).unwrap()
    }

    fn restore_options(&self, snapshot: Option<u64>) -> RestoreOptions {
        RestoreOptions { snapshot, ..RestoreOptions::new(self.target(), self.options("restored")) }
    }

    fn try_restore(&self, snapshot: Option<u64>) -> Result<Restored, BackupError> {
        restore(&self.restore_options(snapshot), &mut |_| true)
    }

    /// Restores, opens, hands over what is there, and removes it again.
    fn restored_model(&self, snapshot: Option<u64>) -> Model {
        self.try_restore(snapshot).unwrap();
        let store = Store::create_or_open(self.options("restored")).unwrap();
        assert!(store.recovered().clean);
        assert_eq!(store.recovered().replayed, 0);
        let model = Model::of(&store);
        store.close().unwrap();
        std::fs::remove_dir_all(self.restored()).unwrap();
        model
    }
}

/// Says where two differ, and not all that they hold.
fn assert_same(found: &Model, expected: &Model) {
    let ids = |model: &Model| model.groups.keys().copied().collect::<Vec<_>>();
    assert_eq!(ids(found), ids(expected));
    for (group, rows) in &found.groups {
        let other = &expected.groups[group];
        let differ = |one: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>, key: &Vec<u8>| {
            one.get(key).map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let keys = rows.keys().chain(other.keys()).find(|key| rows.get(*key) != other.get(*key));
        if let Some(key) = keys {
            let (found, expected) = (differ(rows, key), differ(other, key));
            panic!("{group} {:?}: {found:?} and not {expected:?}", String::from_utf8_lossy(key));
        }
    }
}

/// Everything below a directory, with its content.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn fill(store: &Store, group: GroupId, rows: u32, length: usize) {
    for batch in (0..rows).collect::<Vec<_>>().chunks(500) {
        let writes = batch.iter().map(|row| crate::Write::Put {
            key: format!("row {row:06}").into_bytes(),
            value: format!("{row} ").repeat(length / 5).into_bytes(),
        });
        let command = crate::Command { group, checks: vec![], writes: writes.collect() };
        store.commit_blocking(command).unwrap();
    }
}
