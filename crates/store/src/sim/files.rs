//! What the simulated disk holds: contents and names, each with what a power cut can leave of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{BLOCK_LEN, Content};
use super::{Dice, SECTOR_LEN, Survival};

pub(super) type Names = BTreeMap<PathBuf, u64>;

/// All of a disk. Copies share what they do not change.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    pub(super) inodes: BTreeMap<u64, Arc<Inode>>,
    pub(super) names: Arc<Names>,
    durable_names: Arc<Names>,
    pending_names: Arc<Vec<NameChange>>,
    pub(super) dirs: Arc<BTreeSet<PathBuf>>,
    next_inode: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What a reader sees.
    pub(super) content: Content,
    /// What a power cut leaves at least.
    durable: Content,
    /// What leads from `durable` to `content`.
    pending: Vec<Pending>,
    /// A sync failed: `pending` does not lead from `durable` to `content` any more.
    diverged: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Pending {
    Write { at: usize, data: Arc<[u8]> },
    SetLen(usize),
}

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link {
        path: PathBuf,
        inode: u64,
    },
    /// Names a file's inode, so that the new directory's sync makes it durable whatever the old one's is.
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: u64,
    },
    Unlink {
        path: PathBuf,
    },
}

impl Files {
    pub(super) fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Arc::default());
        self.next_inode
    }

    pub(super) fn inode_mut(&mut self, inode: u64) -> Option<&mut Inode> {
        self.inodes.get_mut(&inode).map(Arc::make_mut)
    }

    /// What a file is called, for who reads what happened.
    pub(super) fn name_of(&self, inode: u64) -> String {
        let name = self.names.iter().find(|(_, at)| **at == inode);
        name.map_or_else(|| format!("nameless {inode}"), |(path, _)| path.display().to_string())
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(Arc::make_mut(&mut self.names));
        Arc::make_mut(&mut self.pending_names).push(change);
    }

    /// Puts a file there, or removes it, durably.
    pub(super) fn put(&mut self, path: &Path, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            Arc::make_mut(&mut self.names).remove(path);
            Arc::make_mut(&mut self.durable_names).remove(path);
            return;
        };
        let inode = match self.names.get(path) {
            Some(&inode) => inode,
            None => self.new_inode(),
        };
        Arc::make_mut(&mut self.names).insert(path.to_path_buf(), inode);
        Arc::make_mut(&mut self.durable_names).insert(path.to_path_buf(), inode);
        let content = Content::from_bytes(bytes);
        let now = Inode { durable: content.clone(), content, ..Inode::default() };
        self.inodes.insert(inode, Arc::new(now));
    }

    pub(super) fn has_unsynced_names(&self) -> bool {
        !self.pending_names.is_empty()
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let changes = std::mem::take(Arc::make_mut(&mut self.pending_names));
        let (now, later): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.is_in(dir));
        let durable = Arc::make_mut(&mut self.durable_names);
        now.iter().for_each(|change| change.apply(durable));
        self.pending_names = Arc::new(later);
    }

    /// What a power cut leaves.
    pub(super) fn cut_power(&mut self, survival: Survival, dice: &mut Dice) {
        let changes = std::mem::take(Arc::make_mut(&mut self.pending_names));
        self.happen_in_part(&changes, survival, dice);
        self.names = Arc::clone(&self.durable_names);
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
        for inode in self.inodes.values_mut().filter(|inode| !inode.is_durable()) {
            Arc::make_mut(inode).cut_power(survival, dice);
        }
    }

    /// Of changes that were not synced any may have happened, but none of a name whose earlier change did not.
    fn happen_in_part(&mut self, changes: &[NameChange], survival: Survival, dice: &mut Dice) {
        let percent = survival.percent(dice);
        let durable = Arc::make_mut(&mut self.durable_names);
        let mut missing: BTreeSet<&Path> = BTreeSet::new();
        for change in changes {
            let paths = change.paths();
            let depends = paths.iter().flatten().any(|path| missing.contains(path));
            if !depends && dice.chance(percent) {
                change.apply(durable);
            } else {
                missing.extend(paths.into_iter().flatten());
            }
        }
    }

    /// Blocks that all files together take.
    pub(super) fn allocated(&self) -> usize {
        // A file of several names takes its blocks once.
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        let inodes = named.iter().filter_map(|inode| self.inodes.get(inode));
        inodes.map(|inode| inode.content.allocated()).sum()
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
        }
    }

    fn paths(&self) -> [Option<&Path>; 2] {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => [Some(path), None],
            Self::Rename { from, to, .. } => [Some(from), Some(to)],
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Link { path, .. } | Self::Rename { to: path, .. } | Self::Unlink { path }) = self;
        path.parent() == Some(dir)
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: Pending) {
        change.apply(&mut self.content);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        if self.diverged {
            // What a failed sync dropped stays lost.
            self.pending.iter().for_each(|change| change.apply(&mut self.durable));
        } else {
            self.durable = self.content.clone();
        }
        self.pending.clear();
    }

    pub(super) fn fail_sync(&mut self, dice: &mut Dice) {
        self.durable = self.left(Survival::ByLot, dice);
        self.pending.clear();
        self.diverged = true;
    }

    /// A power cut would change nothing.
    fn is_durable(&self) -> bool {
        self.pending.is_empty() && !self.diverged
    }

    fn cut_power(&mut self, survival: Survival, dice: &mut Dice) {
        self.durable = self.left(survival, dice);
        self.content = self.durable.clone();
        self.pending.clear();
        self.diverged = false;
    }

    /// The bytes that are there after the power went, as the module's documentation describes.
    fn left(&self, survival: Survival, dice: &mut Dice) -> Content {
        let percent = survival.percent(dice);
        let mut disk = self.durable.clone();
        if percent == 0 {
            return disk;
        }
        let mut cache = self.durable.clone();
        let mut len = disk.len();
        let mut buffer = [0; SECTOR_LEN];
        for change in &self.pending {
            change.apply(&mut cache);
            if let Pending::Write { at, data } = change {
                for sector in at / SECTOR_LEN..(at + data.len()).div_ceil(SECTOR_LEN) {
                    if dice.chance(percent) {
                        let start = sector * SECTOR_LEN;
                        let piece = &mut buffer[..SECTOR_LEN.min(cache.len() - start)];
                        cache.read(piece, start);
                        disk.write(start, piece);
                    }
                }
            }
            if dice.chance(percent) {
                len = cache.len();
                if matches!(change, Pending::SetLen(_)) {
                    disk.set_len(len);
                }
            }
        }
        disk.set_len(len);
        disk
    }

    /// How many of the bytes from `at` on fit, if this many more blocks may be taken.
    pub(super) fn fits(&self, at: usize, len: usize, mut free: usize) -> usize {
        for block in at / BLOCK_LEN..(at + len).div_ceil(BLOCK_LEN) {
            if !self.content.is_allocated(block) {
                match free.checked_sub(1) {
                    Some(left) => free = left,
                    None => return (block * BLOCK_LEN).saturating_sub(at),
                }
            }
        }
        len
    }
}

impl Pending {
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Write { at, data } => content.write(*at, data),
            Self::SetLen(len) => content.set_len(*len),
        }
    }
}
