//! A disk in memory that fails and crashes as real ones do, the same way for the same seed.
//!
//! [`SimDisk`] implements [`Disk`]. A test runs its workload on it, plans trouble ([`SimDisk::plan`],
//! [`SimDisk::limit`], [`SimDisk::cut_power_after`]), then crashes it: [`SimDisk::cut_power`] loses what no sync
//! covered, [`SimDisk::kill`] loses nothing but the process. What the model allows after a power cut:
//!
//! * Each 512-byte sector written since the file's last sync holds one of the contents it had since then, the old one
//!   included, whatever became of its neighbours: writes tear and overtake one another.
//! * A file's length is one it had since its last sync. Bytes within it that never arrived are zero.
//! * Of the creations, renames and removals since a directory's last sync, some of the first happened.
//! * What was synced is there. Directories themselves are never lost.
//! * After a failed sync nothing is pending any more, although an unknown part never reached the disk: another sync
//!   succeeds and proves nothing.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::files::{Files, Inode, NameChange, Pending};
use crate::disk::{Disk, DiskFile};

const SECTOR_LEN: usize = 512;

/// A small deterministic generator for tests (SplitMix64). Not for keys.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice of this seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// Whether something with this chance happens.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.below(100) < usize::from(percent)
    }
}

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// [`DiskFile::read_at`].
    Read,
    /// [`DiskFile::write_at`].
    Write,
    /// [`DiskFile::set_len`].
    SetLen,
    /// [`DiskFile::sync`].
    Sync,
    /// [`Disk::create_new`].
    Create,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove`].
    Remove,
    /// [`Disk::sync_dir`].
    SyncDir,
}

/// A failure to come.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// Which calls count; `None` for all that change something.
    pub call: Option<Call>,
    /// How many of them still succeed.
    pub after: u64,
    /// What the call then answers. A write may have happened in part, and so may a sync.
    pub error: io::ErrorKind,
    /// Whether later ones fail too.
    pub lasting: bool,
}

/// A simulated disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

/// All files of a [`SimDisk`] at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot(Files);

#[derive(Debug)]
struct World {
    files: Files,
    dice: Dice,
    troubles: Vec<Trouble>,
    capacity: Option<u64>,
    /// Calls that change something until the power goes.
    power_left: Option<u64>,
    /// Counts crashes: handles of an earlier process are dead.
    boot: u64,
    handles: u64,
    calls: BTreeMap<Call, u64>,
}

impl SimDisk {
    /// An empty disk whose accidents follow from `seed`.
    pub fn from_seed(seed: u64) -> Self {
        let mut files = Files::default();
        files.dirs.insert(PathBuf::from("/"));
        Self(Arc::new(Mutex::new(World {
            files,
            dice: Dice::from_seed(seed),
            troubles: Vec::new(),
            capacity: None,
            power_left: None,
            boot: 0,
            handles: 0,
            calls: BTreeMap::new(),
        })))
    }

    /// Lets a call fail.
    pub fn plan(&self, trouble: Trouble) {
        self.world().troubles.push(trouble);
    }

    /// Forgets all planned failures, limits and power cuts.
    pub fn heal(&self) {
        let mut world = self.world();
        world.troubles.clear();
        (world.capacity, world.power_left) = (None, None);
    }

    /// Lets writes fail for lack of space once all files together have `bytes`; `None` lifts the limit.
    pub fn limit(&self, bytes: Option<u64>) {
        self.world().capacity = bytes;
    }

    /// Lets `calls` more calls that change something succeed, and none after them, until [`Self::cut_power`].
    pub fn cut_power_after(&self, calls: u64) {
        self.world().power_left = Some(calls);
    }

    /// Power goes and comes back: what no sync covered may be lost, in part. All handles are dead, trouble is over.
    pub fn cut_power(&self) {
        let mut world = self.world();
        let world = &mut *world;
        world.files.lose_names(&mut world.dice);
        let names: BTreeSet<u64> = world.files.names.values().copied().collect();
        world.files.inodes.retain(|inode, _| names.contains(inode));
        for inode in world.files.inodes.values_mut() {
            inode.durable = inode.left_by_power_cut(&mut world.dice);
            inode.content.clone_from(&inode.durable);
            inode.pending.clear();
        }
        world.restart();
    }

    /// The process dies: everything written stays. All handles are dead, trouble is over.
    pub fn kill(&self) {
        self.world().restart();
    }

    /// All files as they are, with what is durable of them.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.world().files.clone())
    }

    /// Puts the whole disk back. All handles are dead.
    pub fn restore(&self, snapshot: &Snapshot) {
        let mut world = self.world();
        world.files = snapshot.0.clone();
        world.restart();
    }

    /// How often this call was made so far.
    pub fn calls(&self, call: Call) -> u64 {
        self.world().calls.get(&call).copied().unwrap_or(0)
    }

    /// The paths of all files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.world().files.names.keys().cloned().collect()
    }

    /// A file's bytes; `None` if there is none.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        world.files.names.get(path).and_then(|inode| world.files.inodes.get(inode)).map(|i| i.content.clone())
    }

    /// Puts a file there behind everybody's back, durably; `None` removes it.
    pub fn put(&self, path: &Path, bytes: Option<Vec<u8>>) {
        let mut world = self.world();
        let files = &mut world.files;
        let Some(bytes) = bytes else {
            files.names.remove(path);
            files.durable_names.remove(path);
            return;
        };
        let inode = match files.names.get(path) {
            Some(&inode) => inode,
            None => files.new_inode(),
        };
        files.names.insert(path.to_path_buf(), inode);
        files.durable_names.insert(path.to_path_buf(), inode);
        let content = Inode { durable: bytes.clone(), content: bytes, ..Inode::default() };
        files.inodes.insert(inode, content);
    }

    /// Flips one bit of a file that is there, durably.
    pub fn flip(&self, path: &Path, bit: usize) {
        let mut bytes = self.bytes(path).expect("the test names a file that is there");
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.put(path, Some(bytes));
    }

    /// Cuts or grows a file that is there, durably.
    pub fn resize(&self, path: &Path, len: usize) {
        let mut bytes = self.bytes(path).expect("the test names a file that is there");
        bytes.resize(len, 0);
        self.put(path, Some(bytes));
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, world: &mut World, inode: u64) -> Arc<dyn DiskFile> {
        world.handles += 1;
        Arc::new(SimFile { disk: self.clone(), inode, boot: world.boot, handle: world.handles })
    }
}

impl World {
    fn restart(&mut self) {
        self.boot += 1;
        self.troubles.clear();
        self.power_left = None;
        for inode in self.files.inodes.values_mut() {
            inode.locked_by = None;
        }
    }

    /// Counts a call, and fails it if that was planned.
    fn call(&mut self, call: Call) -> io::Result<()> {
        *self.calls.entry(call).or_default() += 1;
        if call != Call::Read {
            match &mut self.power_left {
                Some(0) => return Err(io::Error::other("the power is off")),
                Some(left) => *left -= 1,
                None => {}
            }
        }
        let counts = |trouble: &Trouble| trouble.call.map_or(call != Call::Read, |of| of == call);
        let mut failed = None;
        for trouble in self.troubles.iter_mut().filter(|trouble| counts(trouble)) {
            match trouble.after.checked_sub(1) {
                Some(after) => trouble.after = after,
                None => failed = failed.or(Some(trouble.error)),
            }
            if trouble.lasting && failed.is_some() {
                trouble.after = 0;
            }
        }
        match failed {
            None => Ok(()),
            Some(kind) => {
                self.troubles.retain(|t| t.lasting || !counts(t) || t.after > 0);
                Err(kind.into())
            }
        }
    }

    fn inode(&mut self, of: &SimFile) -> io::Result<&mut Inode> {
        if of.boot != self.boot {
            return Err(io::Error::other("the process that opened this file is gone"));
        }
        self.files.inodes.get_mut(&of.inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How much of `data` there is room for.
    fn room_for(&self, file: &SimFile, data: &[u8], at: usize) -> usize {
        let Some(capacity) = self.capacity else { return data.len() };
        let used: u64 = self.files.inodes.values().map(|inode| inode.content.len() as u64).sum();
        let len = self.files.inodes.get(&file.inode).map_or(0, |inode| inode.content.len());
        let left = usize::try_from(capacity.saturating_sub(used)).unwrap_or(usize::MAX);
        data.len().min((len.saturating_add(left)).saturating_sub(at))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        let inode = *world.files.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&mut world, inode))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.call(Call::Create)?;
        if world.files.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| world.files.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = world.files.new_inode();
        world.files.change(NameChange::Link { path: path.to_path_buf(), inode });
        Ok(self.handle(&mut world, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call(Call::Rename)?;
        if !world.files.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.files.change(NameChange::Rename { from: from.to_path_buf(), to: to.to_path_buf() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call(Call::Remove)?;
        if !world.files.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.files.change(NameChange::Unlink { path: path.to_path_buf() });
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let dirs = path.ancestors().map(Path::to_path_buf);
        self.world().files.dirs.extend(dirs);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call(Call::SyncDir)?;
        world.files.sync_dir(path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        if !world.files.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let children = world.files.names.keys().chain(&world.files.dirs).filter(|p| p.parent() == Some(path));
        let mut names: Vec<_> = children
            .filter_map(|child| child.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let world = self.world();
        Ok(world.files.names.contains_key(path) || world.files.dirs.contains(path))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
    boot: u64,
    handle: u64,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut world = self.disk.world();
        let handle = self.handle;
        if let Ok(inode) = world.inode(self)
            && inode.locked_by == Some(handle)
        {
            inode.locked_by = None;
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.call(Call::Read)?;
        let content = &world.inode(self)?.content;
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let found = start.checked_add(out.len()).and_then(|end| content.get(start..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.inode(self)?;
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let called = world.call(Call::Write);
        let mut taken = world.room_for(self, data, at);
        if called.is_err() {
            // It may have happened up to the end of some sector.
            let end = (at + world.dice.below(taken + 1)) / SECTOR_LEN * SECTOR_LEN;
            taken = end.saturating_sub(at);
        }
        if taken > 0 {
            world.inode(self)?.change(Pending::Write { at, data: data[..taken].to_vec() });
        }
        called?;
        if taken < data.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().inode(self)?.content.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.inode(self)?;
        world.call(Call::SetLen)?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        world.inode(self)?.change(Pending::SetLen(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.inode(self)?;
        let called = world.call(Call::Sync);
        let mut dice = world.dice.clone();
        let power_is_off = world.power_left == Some(0) && called.is_err();
        let inode = world.inode(self)?;
        match &called {
            Ok(()) => inode.sync(),
            Err(_) if power_is_off => {}
            Err(_) => {
                inode.durable = inode.left_by_power_cut(&mut dice);
                inode.pending.clear();
            }
        }
        world.dice = dice;
        called
    }

    fn try_lock(&self) -> io::Result<bool> {
        let handle = self.handle;
        let mut world = self.disk.world();
        let inode = world.inode(self)?;
        let free = inode.locked_by.is_none_or(|by| by == handle);
        if free {
            inode.locked_by = Some(handle);
        }
        Ok(free)
    }
}

#[cfg(test)]
mod tests;
