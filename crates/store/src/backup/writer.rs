//! Writing to a target: only what is not there, and the manifest last (`docs/spec/backup.md` §1).

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_seal::{BackupKey, Random, record};

use super::chunk::{ChunkRef, FileEntry};
use super::format;
use super::keys::{Keys, TargetId, wrap_context};
use super::manifest::{self, Header, Manifest, Written};
use super::progress::Reporter;
use super::read::{Source, Target, hash_pieces, hex};
use super::{BackupError, FilePath};
use crate::RootKeys;
use crate::directory::StoreId;
use crate::disk::{Disk, DiskFile, make_dir_durably};

/// What a writer needs of its surroundings.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) random: Arc<dyn Random>,
    pub(super) root_keys: Arc<dyn RootKeys>,
    /// The root key that wraps the store's keys.
    pub(super) root: String,
    pub(super) store: StoreId,
}

/// A target that only this process writes to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) source: Source,
    _lock: Arc<dyn DiskFile>,
}

impl Opened {
    /// Opens the target, or makes one in a directory that is missing or empty.
    pub(super) fn open(dir: &Path, means: &Means) -> Result<Self, BackupError> {
        let disk = &means.disk;
        let io = BackupError::io;
        make_dir_durably(&**disk, dir).map_err(io(dir))?;
        // Names first: what is no target does not get a LOCK.
        is_target(dir, &**disk)?;
        let lock = lock(dir, &**disk)?;
        let there = is_target(dir, &**disk)?;
        let tmp = dir.join("tmp");
        make_dir_durably(&**disk, &tmp).map_err(io(&tmp))?;
        for name in disk.list(&tmp).map_err(io(&tmp))? {
            let left = tmp.join(name);
            disk.remove(&left).map_err(io(&left))?;
        }
        if !there {
            let mut id = TargetId([0; 16]);
            means.random.fill(&mut id.0);
            write_file(dir, means, &dir.join("FORMAT"), format::line(id).as_bytes())?;
            disk.sync_dir(&tmp).map_err(io(&tmp))?;
            disk.sync_dir(dir).map_err(io(dir))?;
        }
        let target = Target::open(dir, disk)?;
        let source = match target.numbers()?.pop() {
            Some(newest) => {
                let (header, _) = target.header(newest)?;
                if header.store != means.store {
                    return Err(BackupError::OtherStore { dir: dir.to_owned() });
                }
                target.unlock(&header, &*means.root_keys)?
            }
            None => begin(target, means)?,
        };
        Ok(Self { source, _lock: lock })
    }
}

/// A fresh key for a target, durable in the manifest that is no snapshot.
fn begin(target: Target, means: &Means) -> Result<Source, BackupError> {
    let source = Source { keys: Keys::new(BackupKey::generate(&*means.random), target.id), target };
    write_manifest(&source, means, 0, &[])?;
    Ok(source)
}

/// Writes a manifest and gives it its name, durably.
fn write_manifest(source: &Source, means: &Means, number: u64, body: &[u8]) -> Result<(), BackupError> {
    let target = &source.target;
    let context = wrap_context(target.id, means.store);
    let root = Some(means.root.as_str());
    let wrapped = means.root_keys.wrap(root, source.keys.backup.dangerous_expose(), &context);
    let header = Header::new(target.id, means.store, number, wrapped.map_err(BackupError::NotWrapped)?);
    let path = target.snapshot_path(number);
    let sealed = record::seal(&source.keys.manifest, &header.context(), body, &*means.random);
    let bytes = [header.bytes, sealed].concat();
    if bytes.len() as u64 > manifest::LEN_MAX {
        return Err(BackupError::damage(&path, "it would be longer than a manifest may be"));
    }
    let dir = target.snapshots_dir();
    means.disk.create_dir_all(&dir).map_err(BackupError::io(&dir))?;
    means.disk.sync_dir(&target.dir).map_err(BackupError::io(&target.dir))?;
    write_file(&target.dir, means, &path, &bytes)?;
    for dir in [target.dir.join("tmp"), dir] {
        means.disk.sync_dir(&dir).map_err(BackupError::io(&dir))?;
    }
    Ok(())
}

/// Writes a whole file: synced before it has its name. The name is durable once its directory is synced.
fn write_file(dir: &Path, means: &Means, path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let temporary = temporary(dir, &*means.random);
    let written = (|| {
        let file = means.disk.create_new(&temporary)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        means.disk.rename(&temporary, path)
    })();
    written.map_err(|error| {
        // What stays is removed by the next backup.
        let _ = means.disk.remove(&temporary);
        BackupError::io(path)(error)
    })
}

fn temporary(dir: &Path, random: &dyn Random) -> PathBuf {
    let mut name = [0; 16];
    random.fill(&mut name);
    dir.join("tmp").join(hex(&name))
}

/// Whether the directory is a target. One that is not, and cannot become one, is an error.
fn is_target(dir: &Path, disk: &dyn Disk) -> Result<bool, BackupError> {
    let names = disk.list(dir).map_err(BackupError::io(dir))?;
    if names.iter().any(|name| name == "FORMAT") {
        return Ok(true);
    }
    match names.into_iter().find(|name| !["LOCK", "tmp", "lost+found"].contains(&name.as_str())) {
        Some(found) => Err(BackupError::NotABackup { dir: dir.to_owned(), found }),
        None => Ok(false),
    }
}

pub(super) fn lock(dir: &Path, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>, BackupError> {
    let path = dir.join("LOCK");
    let file = match disk.create_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path),
        other => other,
    }
    .map_err(BackupError::io(&path))?;
    match file.try_lock() {
        Ok(true) => Ok(file),
        Ok(false) => Err(BackupError::InUse { dir: dir.to_owned() }),
        Err(error) => Err(BackupError::io(&path)(error)),
    }
}

/// One snapshot being written.
pub(super) struct Writer<'a> {
    source: &'a Source,
    means: Means,
    pub(super) reporter: Reporter<'a>,
    written: Written,
    /// Directories that are there.
    made: HashSet<PathBuf>,
    /// Directories with names that may not be durable.
    unsynced: BTreeSet<PathBuf>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(source: &'a Source, means: Means, reporter: Reporter<'a>) -> Self {
        let (made, unsynced) = (HashSet::new(), BTreeSet::new());
        Self { source, means, reporter, written: Written::default(), made, unsynced }
    }

    pub(super) fn keys(&self) -> &'a Keys {
        &self.source.keys
    }

    /// A chunk with this content is in the target.
    pub(super) fn chunk(&mut self, plain: &[u8]) -> Result<ChunkRef, BackupError> {
        let length = u32::try_from(plain.len()).expect("a chunk is bounded far below 4 GiB");
        let chunk = ChunkRef { name: self.keys().name.hash(plain), length };
        let path = self.source.chunk_path(&chunk);
        self.place(&path)?;
        let sealed_len = (plain.len() + record::OVERHEAD) as u64;
        if self.length_of(&path)? != Some(sealed_len) {
            let context = self.source.target.chunk_context(&chunk);
            let sealed = record::seal(&self.keys().chunk, &context, plain, &*self.means.random);
            write_file(&self.source.target.dir, &self.means, &path, &sealed)?;
            self.written.chunks += 1;
            self.written.chunk_bytes += sealed_len;
            self.reporter.now.written_bytes += sealed_len;
        }
        self.reporter.tell()?;
        Ok(chunk)
    }

    /// A copy of the file is in the target. `None` if there is no such file. `known` is what the snapshot before says of
    /// the copy.
    pub(super) fn file(
        &mut self,
        from: &Path,
        path: &FilePath,
        known: Option<FileEntry>,
    ) -> Result<Option<FileEntry>, BackupError> {
        let entry = self.copied(from, path, known)?;
        if let Some(entry) = &entry {
            self.reporter.now.files += 1;
            self.reporter.now.file_bytes += entry.length;
        }
        self.reporter.tell()?;
        Ok(entry)
    }

    fn copied(
        &mut self,
        from: &Path,
        path: &FilePath,
        known: Option<FileEntry>,
    ) -> Result<Option<FileEntry>, BackupError> {
        let to = path.in_dir(&self.source.target.files_dir());
        let there = self.length_of(&to)?;
        if let Some(known) = known.filter(|known| there == Some(known.length)) {
            return Ok(Some(known));
        }
        let original = match self.means.disk.open_read(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(BackupError::io(from))?,
        };
        let length = original.len().map_err(BackupError::io(from))?;
        self.place(&to)?;
        if there == Some(length) {
            let digest = hash_pieces(&*original, from, length, &self.keys().file, &mut |_, _| Ok(()))?;
            let copy = self.means.disk.open_read(&to).map_err(BackupError::io(&to))?;
            if hash_pieces(&*copy, &to, length, &self.keys().file, &mut |_, _| Ok(()))? == digest {
                return Ok(Some(FileEntry { path: path.clone(), length, digest }));
            }
        }
        let digest = self.copy(&*original, from, length, &to)?;
        self.written.files += 1;
        self.written.file_bytes += length;
        Ok(Some(FileEntry { path: path.clone(), length, digest }))
    }

    fn copy(
        &mut self,
        original: &dyn DiskFile,
        from: &Path,
        length: u64,
        to: &Path,
    ) -> Result<[u8; strongroom_seal::MAC_LEN], BackupError> {
        let temporary = temporary(&self.source.target.dir, &*self.means.random);
        let disk = Arc::clone(&self.means.disk);
        let key = &self.keys().file;
        let reporter = &mut self.reporter;
        let copied = (|| {
            let copy = disk.create_new(&temporary).map_err(BackupError::io(to))?;
            let digest = hash_pieces(original, from, length, key, &mut |piece, at| {
                copy.write_at(piece, at).map_err(BackupError::io(to))?;
                reporter.now.written_bytes += piece.len() as u64;
                reporter.tell()
            })?;
            copy.sync().map_err(BackupError::io(to))?;
            disk.rename(&temporary, to).map_err(BackupError::io(to))?;
            Ok(digest)
        })();
        if copied.is_err() {
            let _ = disk.remove(&temporary);
        }
        copied
    }

    /// The file's directory is there, and will be synced: also for a file that is there already, because its name may be
    /// left from a backup that ended before it synced it.
    fn place(&mut self, path: &Path) -> Result<(), BackupError> {
        let dir = path.parent().unwrap_or(&self.source.target.dir);
        if !self.made.contains(dir) {
            self.means.disk.create_dir_all(dir).map_err(BackupError::io(dir))?;
            self.made.insert(dir.to_owned());
            let within = |up: &&Path| up.starts_with(&self.source.target.dir);
            self.unsynced.extend(dir.ancestors().take_while(within).map(Path::to_owned));
        }
        Ok(())
    }

    fn length_of(&self, path: &Path) -> Result<Option<u64>, BackupError> {
        match self.means.disk.open_read(path) {
            Ok(file) => file.len().map(Some).map_err(BackupError::io(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackupError::io(path)(error)),
        }
    }

    /// Makes everything durable, then the manifest that names it. The answer is the snapshot's number.
    pub(super) fn commit(mut self, mut manifest: Manifest) -> Result<(u64, Manifest), BackupError> {
        // What has left it has to be known to have been there.
        let tmp = self.source.target.dir.join("tmp");
        self.means.disk.sync_dir(&tmp).map_err(BackupError::io(&tmp))?;
        for dir in std::mem::take(&mut self.unsynced) {
            self.means.disk.sync_dir(&dir).map_err(BackupError::io(&dir))?;
            self.reporter.tell()?;
        }
        manifest.written = self.written;
        let number = self.source.target.numbers()?.pop().unwrap_or(0) + 1;
        write_manifest(self.source, &self.means, number, &manifest.encode())?;
        Ok((number, manifest))
    }
}
