//! The simulated disk as the store's door to the file system.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::BLOCK_LEN;
use super::files::{Files, Inode, NameChange, Pending};
use super::{Call, Dice, Picture, SECTOR_LEN, SimDisk, Snapshot, Trouble};
use crate::disk::{Disk, DiskFile};

#[derive(Debug)]
pub(super) struct World {
    pub(super) files: Files,
    pub(super) dice: Dice,
    pub(super) troubles: Vec<Trouble>,
    /// In bytes.
    pub(super) capacity: Option<u64>,
    /// A directory in which there is no space.
    pub(super) full_dir: Option<PathBuf>,
    /// Counts of changing calls between which there is no space.
    pub(super) full: Option<Range<u64>>,
    /// What a call answers that finds no space.
    pub(super) no_space: io::ErrorKind,
    /// Calls that change something until the power goes.
    pub(super) power_left: Option<u64>,
    pub(super) calls: BTreeMap<Call, u64>,
    pub(super) changes: u64,
    pub(super) pictures: Option<Vec<Picture>>,
    pub(super) label: u64,
    pub(super) trace: Option<Vec<String>>,
    /// Calls that change something wait.
    pub(super) held: bool,
    /// The names of the threads whose calls do.
    pub(super) waiting: Vec<String>,
    /// Counts crashes: handles of an earlier process are dead.
    pub(super) boot: u64,
    handles: u64,
    /// Inodes that are locked, each with the handle that has it.
    locks: BTreeMap<u64, u64>,
}

impl World {
    pub(super) fn new(files: Files, seed: u64) -> Self {
        Self {
            files,
            dice: Dice::from_seed(seed),
            troubles: Vec::new(),
            capacity: None,
            full_dir: None,
            full: None,
            no_space: io::ErrorKind::StorageFull,
            power_left: None,
            calls: BTreeMap::new(),
            changes: 0,
            pictures: None,
            label: 0,
            trace: None,
            held: false,
            waiting: Vec::new(),
            boot: 0,
            handles: 0,
            locks: BTreeMap::new(),
        }
    }

    pub(super) fn restart(&mut self) {
        self.boot += 1;
        self.troubles.clear();
        (self.power_left, self.full) = (None, None);
        self.locks.clear();
    }

    pub(super) fn picture(&self) -> Picture {
        Picture { call: self.changes, label: self.label, files: Snapshot(self.files.clone()) }
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
            if self.pictures.is_some() {
                let picture = self.picture();
                self.pictures.get_or_insert_default().push(picture);
            }
            self.changes += 1;
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

    /// Writes a call down that is about to be made.
    fn note(&mut self, call: impl FnOnce(&Files) -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(call(&self.files));
        }
    }

    /// How many more blocks of 4096 bytes a file of this name can take.
    fn free_blocks(&self, name: &Path) -> usize {
        if self.full_dir.as_ref().is_some_and(|dir| name.starts_with(dir)) {
            return 0;
        }
        // The call that asks was counted already.
        if self.full.as_ref().is_some_and(|full| full.contains(&(self.changes.saturating_sub(1)))) {
            return 0;
        }
        let Some(capacity) = self.capacity else { return usize::MAX };
        let blocks = usize::try_from(capacity / BLOCK_LEN as u64).unwrap_or(usize::MAX);
        blocks.saturating_sub(self.files.allocated())
    }

    fn inode(&self, of: &SimFile) -> io::Result<&Inode> {
        self.check(of)?;
        self.files.inodes.get(&of.inode).map(|inode| &**inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode_mut(&mut self, of: &SimFile) -> io::Result<&mut Inode> {
        self.check(of)?;
        self.files.inode_mut(of.inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn check(&self, of: &SimFile) -> io::Result<()> {
        if of.boot == self.boot {
            return Ok(());
        }
        Err(io::Error::other("the process that opened this file is gone"))
    }
}

impl SimDisk {
    /// Refuses what is asked by a process that is gone.
    fn check_process(&self, world: &World) -> io::Result<()> {
        match self.process {
            Some(boot) if boot != world.boot => Err(io::Error::other("the process that asks is gone")),
            _ => Ok(()),
        }
    }

    fn handle(&self, world: &mut World, inode: u64) -> Arc<dyn DiskFile> {
        world.handles += 1;
        Arc::new(SimFile { disk: self.clone(), inode, boot: world.boot, handle: world.handles })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        self.check_process(&world)?;
        let inode = *world.files.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&mut world, inode))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.turn();
        self.check_process(&world)?;
        world.note(|_| format!("create {}", path.display()));
        world.call(Call::Create)?;
        if world.files.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| world.files.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if world.free_blocks(path) == 0 {
            return Err(world.no_space.into());
        }
        let inode = world.files.new_inode();
        world.files.change_name(NameChange::Link { path: path.to_path_buf(), inode });
        Ok(self.handle(&mut world, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.turn();
        self.check_process(&world)?;
        world.note(|_| format!("rename {} to {}", from.display(), to.display()));
        world.call(Call::Rename)?;
        let Some(&inode) = world.files.names.get(from) else { return Err(io::ErrorKind::NotFound.into()) };
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        world.files.change_name(NameChange::Rename { from, to, inode });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.turn();
        self.check_process(&world)?;
        world.note(|_| format!("link {} as {}", from.display(), to.display()));
        world.call(Call::Link)?;
        let Some(&inode) = world.files.names.get(from) else { return Err(io::ErrorKind::NotFound.into()) };
        if world.files.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !to.parent().is_some_and(|dir| world.files.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.files.change_name(NameChange::Link { path: to.to_path_buf(), inode });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.turn();
        self.check_process(&world)?;
        world.note(|_| format!("remove {}", path.display()));
        world.call(Call::Remove)?;
        if !world.files.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.files.change_name(NameChange::Unlink { path: path.to_path_buf() });
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        self.check_process(&world)?;
        let dirs = path.ancestors().map(Path::to_path_buf);
        Arc::make_mut(&mut world.files.dirs).extend(dirs);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.turn();
        self.check_process(&world)?;
        world.note(|_| format!("sync names in {}", path.display()));
        world.call(Call::SyncDir)?;
        world.files.sync_dir(path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        self.check_process(&world)?;
        if !world.files.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = world.files.names.keys().chain(world.files.dirs.iter());
        let children = all.filter(|child| child.parent() == Some(path));
        let mut names: Vec<_> = children
            .filter_map(|child| child.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let world = self.world();
        self.check_process(&world)?;
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
        if world.boot == self.boot && world.locks.get(&self.inode) == Some(&self.handle) {
            world.locks.remove(&self.inode);
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.note(|files| format!("read {} at {at}, {} bytes", files.name_of(self.inode), out.len()));
        let called = world.call(Call::Read);
        let filled = if called.is_ok() { out.len() } else { world.dice.below(out.len() + 1) };
        let content = &world.inode(self)?.content;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let there = content.len().saturating_sub(at);
        content.read(&mut out[..filled.min(there)], at);
        called?;
        if filled <= there { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        let mut world = self.disk.turn();
        world.inode(self)?;
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let power_was_on = world.power_left != Some(0);
        world.note(|files| {
            let hash =
                data.iter().fold(0u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
            format!("write {} at {at}, {} bytes, {hash:016x}", files.name_of(self.inode), data.len())
        });
        let called = world.call(Call::Write);
        let free = world.free_blocks(Path::new(&world.files.name_of(self.inode)));
        let mut taken = world.inode(self)?.fits(at, data.len(), free);
        if called.is_err() {
            // It may have happened up to the end of some sector.
            let end = (at + world.dice.below(taken + 1)) / SECTOR_LEN * SECTOR_LEN;
            taken = if power_was_on { end.saturating_sub(at) } else { 0 };
        }
        if taken > 0 {
            world.inode_mut(self)?.change(Pending::Write { at, data: data[..taken].into() });
        }
        called?;
        if taken < data.len() { Err(world.no_space.into()) } else { Ok(()) }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().inode(self)?.content.len() as u64)
    }

    fn links(&self) -> io::Result<u64> {
        let world = self.disk.world();
        world.inode(self)?;
        Ok(world.files.names.values().filter(|inode| **inode == self.inode).count() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.turn();
        world.inode(self)?;
        world.note(|files| format!("length of {} to {len}", files.name_of(self.inode)));
        world.call(Call::SetLen)?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        world.inode_mut(self)?.change(Pending::SetLen(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.turn();
        world.inode(self)?;
        let power_was_on = world.power_left != Some(0);
        world.note(|files| format!("sync {}", files.name_of(self.inode)));
        let called = world.call(Call::Sync);
        let mut dice = world.dice.clone();
        let inode = world.inode_mut(self)?;
        match &called {
            Ok(()) => inode.sync(),
            Err(_) if power_was_on => inode.fail_sync(&mut dice),
            Err(_) => {}
        }
        world.dice = dice;
        called
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut world = self.disk.world();
        world.inode(self)?;
        let free = world.locks.get(&self.inode).is_none_or(|by| *by == self.handle);
        if free {
            world.locks.insert(self.inode, self.handle);
        }
        Ok(free)
    }
}
