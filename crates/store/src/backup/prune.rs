//! Removing the oldest snapshots of a target, and what no other one names (`docs/spec/backup.md` §12).

use std::collections::HashSet;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chunk::{ChunkRef, Items, Kind};
use super::manifest::Manifest;
use super::read::{Source, Target, hex};
use super::writer::lock;
use super::{BackupError, FilePath};
use crate::Store;
use crate::disk::Disk;

/// What was removed from a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pruned {
    /// The numbers of the snapshots, ascending.
    pub snapshots: Vec<u64>,
    /// Chunks that no snapshot names any more.
    pub chunks: u64,
    /// Copied files that no snapshot names any more.
    pub files: u64,
    /// The bytes of both.
    pub bytes: u64,
}

impl Store {
    /// Keeps the newest `keep` snapshots of a target that has this store's, and removes the others with all that only they
    /// need. Needs no snapshot to be damaged that stays, and none to be unreadable that goes. Blocks.
    ///
    /// # Errors
    /// Nothing was removed, or less than there was to remove; what stays is whole either way.
    pub fn prune_backups(
        &self,
        target: &Path,
        disk: &Arc<dyn Disk>,
        keep: NonZeroU64,
    ) -> Result<Pruned, BackupError> {
        let (_, root_keys) = self.engine().keyring.random_and_root_keys();
        let locked = lock(target, &**disk)?;
        let target = Target::open(target, disk)?;
        let newest = target.pick(None)?;
        let (header, _) = target.header(newest)?;
        if header.store != self.engine().keyring.store() {
            return Err(BackupError::OtherStore { dir: target.dir });
        }
        let source = target.unlock(&header, &*root_keys)?;
        let pruned = prune(&source, keep);
        drop(locked);
        pruned
    }
}

fn prune(source: &Source, keep: NonZeroU64) -> Result<Pruned, BackupError> {
    let target = &source.target;
    let mut numbers = target.numbers()?;
    numbers.retain(|number| *number > 0);
    let kept = usize::try_from(keep.get()).unwrap_or(usize::MAX);
    let (old, kept) = numbers.split_at(numbers.len().saturating_sub(kept));
    // All are read before anything goes: one that cannot be read may be the reason for somebody to need the others.
    let mut named = Named::default();
    for number in kept {
        named.all_of(source, &manifest(source, *number)?)?;
    }
    for number in old {
        manifest(source, *number)?;
    }
    let mut pruned = Pruned::default();
    for number in old {
        let path = target.snapshot_path(*number);
        target.disk.remove(&path).map_err(BackupError::io(&path))?;
        pruned.snapshots.push(*number);
    }
    // A manifest must not come back once something that it names is gone.
    let snapshots = target.snapshots_dir();
    target.disk.sync_dir(&snapshots).map_err(BackupError::io(&snapshots))?;
    let chunks = target.dir.join("chunks");
    for folder in names_in(&*target.disk, &chunks)? {
        let folder = chunks.join(folder);
        for name in names_in(&*target.disk, &folder)? {
            if name.len() == 64 && !named.chunks.contains(&short(&name)) {
                pruned.bytes += remove(&*target.disk, &folder.join(name))?;
                pruned.chunks += 1;
            }
        }
    }
    named.sweep_files(source, &mut pruned)?;
    Ok(pruned)
}

fn manifest(source: &Source, number: u64) -> Result<Manifest, BackupError> {
    let (header, body) = source.target.header(number)?;
    source.manifest(&header, &body)
}

/// What snapshots that stay consist of. Names are kept in part: what is taken for named by chance only stays longer.
#[derive(Debug, Default)]
struct Named {
    chunks: HashSet<u64>,
    files: HashSet<u64>,
}

/// The first 64 bits of a name in hex.
fn short(name: &str) -> u64 {
    name.get(..16).and_then(|start| u64::from_str_radix(start, 16).ok()).unwrap_or(0)
}

impl Named {
    fn all_of(&mut self, source: &Source, manifest: &Manifest) -> Result<(), BackupError> {
        let rows = manifest.groups.iter().map(|part| &part.chunks);
        let files = [&manifest.file_chunks, &manifest.late_file_chunks];
        for chunks in rows.chain([&manifest.command_chunks]).chain(files) {
            self.chunks.extend(chunks.iter().map(|chunk: &ChunkRef| short(&hex(&chunk.name))));
        }
        for chunks in files {
            let mut entries = Items::new(source, Kind::Files, chunks);
            while let Some(entry) = entries.file()? {
                self.files.insert(Self::of_path(source, &entry.path));
            }
        }
        Ok(())
    }

    fn of_path(source: &Source, path: &FilePath) -> u64 {
        let hash = source.keys.name.hash(path.as_str().as_bytes());
        u64::from_le_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
    }

    /// Removes copies of files that nothing names, wherever they are below `blobs/`.
    fn sweep_files(&self, source: &Source, pruned: &mut Pruned) -> Result<(), BackupError> {
        let target = &source.target;
        let home = target.files_dir();
        let mut folders: Vec<(PathBuf, String)> = vec![(home, String::new())];
        while let Some((folder, below)) = folders.pop() {
            for name in names_in(&*target.disk, &folder)? {
                let path = folder.join(&name);
                let below = if below.is_empty() { name } else { format!("{below}/{name}") };
                // What this program did not put there stays.
                let Some(ours) = FilePath::parse(&below) else { continue };
                if target.disk.list(&path).is_ok() {
                    folders.push((path, below));
                } else if !self.files.contains(&Self::of_path(source, &ours)) {
                    pruned.bytes += remove(&*target.disk, &path)?;
                    pruned.files += 1;
                }
            }
        }
        Ok(())
    }
}

/// Removes a file and says how long it was.
fn remove(disk: &dyn Disk, path: &Path) -> Result<u64, BackupError> {
    let length = disk.open_read(path).and_then(|file| file.len()).map_err(BackupError::io(path))?;
    disk.remove(path).map_err(BackupError::io(path))?;
    Ok(length)
}

fn names_in(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, BackupError> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(BackupError::io(dir)),
    }
}
