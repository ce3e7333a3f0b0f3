//! Blobs: files that hold one sealed stream each.
//!
//! Layout, order of steps and crash cases: `docs/spec/blobs.md`.

mod buffers;
mod read;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use strongroom_seal::Random;
use strongroom_store::GroupId;
use strongroom_store::disk::{Disk, is_no_space, make_dir_durably};
use strongroom_telemetry::names;

use crate::ObjectError;
use crate::rows::BlobId;

use buffers::Buffers;
pub(crate) use read::{BlobReader, ReadFault, WINDOW_LEN};
pub(crate) use write::{BlobWriter, NewBlob, WrittenBlob};

const TEMP: &str = "tmp";

/// The directory of blobs.
#[derive(Debug)]
pub(crate) struct Blobs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    epoch: u32,
    /// By group, whether the directory of this epoch is there and durable.
    made: Mutex<HashMap<GroupId, Arc<Mutex<bool>>>>,
    /// Blobs in their place, or about to be, whose command has no known outcome yet.
    pending: AtomicUsize,
    /// Nobody places a blob any more.
    closed: AtomicBool,
    /// Something of this run stays that the next opening has to look for.
    unclean: AtomicBool,
    /// Directories that names went from, which a power cut may bring back.
    unsynced: Mutex<BTreeSet<PathBuf>>,
    /// For what is read of the files.
    batches: Arc<Buffers>,
    /// For what is handed out.
    windows: Arc<Buffers>,
}

impl Blobs {
    /// Opens the directory, makes it if needed, and removes what an earlier run was writing.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, epoch: u32) -> Result<Self, ObjectError> {
        let blobs = Self::at(disk, dir, epoch);
        let temp = blobs.dir.join(TEMP);
        let emptied = || {
            make_dir_durably(&*blobs.disk, &temp)?;
            // Also if it was there: a process that died may have made it and not come to this.
            let above = blobs.dir.parent().filter(|above| !above.as_os_str().is_empty());
            blobs.disk.sync_dir(above.unwrap_or(Path::new(".")))?;
            for name in blobs.disk.list(&temp)? {
                blobs.disk.remove(&temp.join(name))?;
            }
            blobs.disk.sync_dir(&blobs.dir)
        };
        emptied().map_err(|error| fault("opening the blob directory", error))?;
        Ok(blobs)
    }

    /// The directory as it is, of a store that is not open: all blobs are of earlier runs.
    pub(crate) fn look(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self::at(disk, dir, u32::MAX)
    }

    fn at(disk: Arc<dyn Disk>, dir: &Path, epoch: u32) -> Self {
        let (batches, windows) = read::buffers();
        Self {
            disk,
            dir: dir.to_owned(),
            epoch,
            made: Mutex::default(),
            pending: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            unclean: AtomicBool::new(false),
            unsynced: Mutex::default(),
            batches,
            windows,
        }
    }

    /// The run of the store that new blobs are of.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// A name for a new blob.
    pub(crate) fn new_id(&self, random: &dyn Random) -> BlobId {
        BlobId::generate(self.epoch, random)
    }

    /// Removes a blob. One that is not there is removed already. Returns how many bytes went with it: none while the file has
    /// another name, which is a blob of its own.
    pub(crate) fn remove(&self, group: GroupId, blob: &BlobId) -> io::Result<u64> {
        let path = self.path(group, blob);
        if !self.disk.exists(&path)? {
            return Ok(0);
        }
        let file = self.disk.open_read(&path)?;
        let freed = if file.links()? == 1 { file.len()? } else { 0 };
        drop(file);
        self.disk.remove(&path)?;
        self.gone_from(path.parent().unwrap_or(&self.dir));
        Ok(freed)
    }

    /// Takes note that a name went from a directory.
    fn gone_from(&self, dir: &Path) {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        if !unsynced.contains(dir) {
            unsynced.insert(dir.to_owned());
        }
    }

    /// How many directories [`Self::sync_removals`] would sync.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Makes durable that what was removed is gone.
    pub(crate) fn sync_removals(&self) -> io::Result<()> {
        let dirs = std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        for dir in dirs {
            match self.disk.sync_dir(&dir) {
                // It went as well, from a directory that is among them.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The groups that have a directory.
    pub(crate) fn groups(&self) -> io::Result<Vec<GroupId>> {
        let names = self.disk.list(&self.dir)?;
        Ok(names.iter().filter_map(|name| hex32(name)).map(GroupId).collect())
    }

    /// The blobs of a group that earlier runs wrote.
    pub(crate) fn of_earlier_runs(&self, group: GroupId) -> io::Result<Vec<BlobId>> {
        let dir = self.group_dir(group);
        if !self.disk.exists(&dir)? {
            return Ok(Vec::new());
        }
        let mut blobs = Vec::new();
        for epoch in
            self.disk.list(&dir)?.iter().filter_map(|name| hex32(name)).filter(|epoch| *epoch < self.epoch)
        {
            for name in self.disk.list(&self.epoch_dir(group, epoch))? {
                let mut id = [0; 16];
                if hex::decode_to_slice(&name, &mut id).is_ok() {
                    blobs.push(BlobId { epoch, id });
                }
            }
        }
        Ok(blobs)
    }

    /// Removes the group's directories of earlier runs that are empty. Best effort: an empty directory harms nobody.
    pub(crate) fn prune(&self, group: GroupId) {
        let dir = self.group_dir(group);
        for epoch in self.disk.list(&dir).unwrap_or_default().iter().filter_map(|name| hex32(name)) {
            if epoch < self.epoch {
                drop(self.disk.remove_dir(&self.epoch_dir(group, epoch)));
                self.gone_from(&dir);
            }
        }
    }

    /// Removes all blobs of a group that is gone. Returns how many could not be removed.
    pub(crate) fn remove_group(&self, group: GroupId) -> usize {
        self.made().remove(&group);
        let dir = self.group_dir(group);
        let mut left = 0;
        for epoch in self.disk.list(&dir).unwrap_or_default() {
            let epoch = dir.join(epoch);
            for name in self.disk.list(&epoch).unwrap_or_default() {
                match self.disk.remove(&epoch.join(name)) {
                    Ok(()) => counter!(names::BLOBS_COLLECTED, "reason" => "deleted").increment(1),
                    Err(_) => left += 1,
                }
            }
            drop(self.disk.remove_dir(&epoch));
            self.gone_from(&epoch);
        }
        drop(self.disk.remove_dir(&dir));
        self.gone_from(&dir);
        self.gone_from(&self.dir);
        left
    }

    /// Something of this run may stay that nothing refers to, or nothing knows of: a clean close does not say otherwise.
    pub(crate) fn set_unclean(&self) {
        self.unclean.store(true, Ordering::Release);
    }

    /// Lets nobody place a blob any more. Whether the command of each that was placed has had a known outcome, and
    /// nothing stays that the next opening has to look for.
    pub(crate) fn close(&self) -> bool {
        // Whoever places a blob counts it first and then looks whether this is set, so one of both sees the other.
        self.closed.store(true, Ordering::SeqCst);
        self.pending.load(Ordering::SeqCst) == 0 && !self.unclean.load(Ordering::Acquire)
    }

    /// Counts a blob that is about to be placed.
    fn begin_placing(&self) -> Result<(), ObjectError> {
        self.pending.fetch_add(1, Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            self.placing_ended();
            return Err(ObjectError::Stopping);
        }
        Ok(())
    }

    /// The command of a blob had an outcome, or there will be none.
    fn placing_ended(&self) {
        self.pending.fetch_sub(1, Ordering::SeqCst);
    }

    /// Makes the directory for new blobs of a group, durably.
    fn make_dir(&self, group: GroupId) -> io::Result<()> {
        let dir = Arc::clone(self.made().entry(group).or_default());
        // Held throughout, so that nobody renames into a directory whose own name is not durable yet. Blobs of other groups
        // do not wait for that.
        let mut made = dir.lock().unwrap_or_else(PoisonError::into_inner);
        if !*made {
            self.disk.create_dir_all(&self.epoch_dir(group, self.epoch))?;
            self.disk.sync_dir(&self.group_dir(group))?;
            self.disk.sync_dir(&self.dir)?;
            *made = true;
        }
        Ok(())
    }

    fn made(&self) -> MutexGuard<'_, HashMap<GroupId, Arc<Mutex<bool>>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn group_dir(&self, group: GroupId) -> PathBuf {
        self.dir.join(group.to_string())
    }

    fn epoch_dir(&self, group: GroupId, epoch: u32) -> PathBuf {
        self.group_dir(group).join(format!("{epoch:08x}"))
    }

    pub(crate) fn path(&self, group: GroupId, blob: &BlobId) -> PathBuf {
        self.epoch_dir(group, blob.epoch).join(hex::encode(blob.id))
    }
}

fn hex32(name: &str) -> Option<u32> {
    let right =
        name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    if right { u32::from_str_radix(name, 16).ok() } else { None }
}

/// What an error of the file system means to a write.
pub(crate) fn fault(doing: &'static str, source: io::Error) -> ObjectError {
    if is_no_space(&source) { ObjectError::NoSpace } else { ObjectError::Io { doing, source } }
}

#[cfg(test)]
mod tests;
