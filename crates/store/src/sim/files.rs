//! What the simulated disk holds: contents and names, each with what a power cut can leave of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Dice, SECTOR_LEN};

#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    pub(super) pending_names: Vec<NameChange>,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) next_inode: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What a reader sees.
    pub(super) content: Vec<u8>,
    /// What a power cut leaves at least.
    pub(super) durable: Vec<u8>,
    /// What leads from `durable` to `content`.
    pub(super) pending: Vec<Pending>,
    pub(super) locked_by: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) enum Pending {
    Write { at: usize, data: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link { path: PathBuf, inode: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
}

impl Files {
    pub(super) fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Inode::default());
        self.next_inode
    }

    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let (now, later): (Vec<_>, Vec<_>) = self.pending_names.drain(..).partition(|c| c.is_in(dir));
        now.iter().for_each(|change| change.apply(&mut self.durable_names));
        self.pending_names = later;
    }

    /// Of each directory's changes, some of the first happened.
    pub(super) fn lose_names(&mut self, dice: &mut Dice) {
        let dirs: BTreeSet<PathBuf> = self.pending_names.iter().map(NameChange::dir).collect();
        for dir in dirs {
            let changes: Vec<_> = self.pending_names.iter().filter(|c| c.is_in(&dir)).cloned().collect();
            let happened = dice.below(changes.len() + 1);
            changes[..happened].iter().for_each(|change| change.apply(&mut self.durable_names));
        }
        self.pending_names.clear();
        self.names.clone_from(&self.durable_names);
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
        }
    }

    pub(super) fn dir(&self) -> PathBuf {
        let (Self::Link { path, .. } | Self::Rename { to: path, .. } | Self::Unlink { path }) = self;
        path.parent().unwrap_or(Path::new("/")).to_path_buf()
    }

    pub(super) fn is_in(&self, dir: &Path) -> bool {
        self.dir() == dir
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: Pending) {
        change.apply(&mut self.content);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        // Not a copy of the content: what a failed sync dropped stays lost.
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// The bytes that are there after the power went, as the module's documentation describes.
    pub(super) fn left_by_power_cut(&self, dice: &mut Dice) -> Vec<u8> {
        let percent = match dice.below(4) {
            0 => 0,
            1 => 100,
            _ => u8::try_from(10 + dice.below(81)).unwrap_or(50),
        };
        let mut cache = self.durable.clone();
        let mut disk = self.durable.clone();
        let mut len = disk.len();
        for change in &self.pending {
            change.apply(&mut cache);
            if let Pending::Write { at, data } = change {
                for sector in at / SECTOR_LEN..(at + data.len()).div_ceil(SECTOR_LEN) {
                    if dice.chance(percent) {
                        let start = sector * SECTOR_LEN;
                        let end = (start + SECTOR_LEN).min(cache.len());
                        disk.resize(disk.len().max(end), 0);
                        disk[start..end].copy_from_slice(&cache[start..end]);
                    }
                }
            }
            if dice.chance(percent) {
                len = cache.len();
                if matches!(change, Pending::SetLen(_)) {
                    disk.truncate(len);
                }
            }
        }
        disk.resize(len, 0);
        disk
    }
}

impl Pending {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, data } => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}
