//! From a snapshot to a store (`docs/spec/backup.md` §8).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chunk::{FileEntry, Items, Kind};
use super::manifest::{GroupPart, Header, Manifest};
use super::progress::Reporter;
use super::read::{Source, Target};
use super::verify::{Commands, Rows, SnapshotInfo};
use super::{Attachments, BackupError, BackupProgress, BackupStage};
use crate::checkpoint::Record;
use crate::directory::{Directory, Lock};
use crate::disk::{Disk, OsDisk};
use crate::keyring::{Contents, Keyring, LogFloor, Means, Room, contents_of};
use crate::log::{Log, LogOptions, SegmentId, Surroundings};
use crate::log_keys::KeySource;
use crate::pages::RootSeq;
use crate::poison::Poison;
use crate::registry::{Registry, Setting};
use crate::{Command, GroupId, Lsn, StoreError, StoreOptions, groups};

/// How far numbers that only grow are ahead of those of the store that the snapshot is of, so that no file of the one
/// passes for one of the other.
const STEP: u64 = 1 << 32;
/// Rows are put in by transactions of about this many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// Rows become durable after this many bytes at the latest, which bounds what has to be kept in memory.
const DURABLE_BYTES: usize = 64 << 20;
/// Commands gather up to this many bytes before they are applied.
const GATHERED_BYTES: usize = 32 << 20;

/// What is restored, and where.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The target of the backups.
    pub target: PathBuf,
    /// Its file system.
    pub target_disk: Arc<dyn Disk>,
    /// Which snapshot; the newest if none is named.
    pub snapshot: Option<u64>,
    /// The store to be: its directory, which is missing or empty, and what unwraps its keys.
    pub store: StoreOptions,
    /// Which rows stand for files, and where the files go.
    pub attachments: Option<Arc<dyn Attachments>>,
}

impl RestoreOptions {
    /// The newest snapshot, without files.
    pub fn new(target: impl Into<PathBuf>, store: StoreOptions) -> Self {
        let target_disk = Arc::new(OsDisk);
        Self { target: target.into(), target_disk, snapshot: None, store, attachments: None }
    }
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The snapshot.
    pub snapshot: SnapshotInfo,
    /// Commands that were applied to its rows.
    pub replayed: u64,
    /// Files that were copied.
    pub files: u64,
}

/// Makes a store from a snapshot. Everything is verified on the way. Blocks.
///
/// # Errors
/// Whatever the error, the directory is as it was found, or, if even that failed, marked so that no store opens in it.
pub fn restore(
    options: &RestoreOptions,
    progress: &mut dyn FnMut(&BackupProgress) -> bool,
) -> Result<Restored, BackupError> {
    let target = Target::open(&options.target, &options.target_disk)?;
    let number = target.pick(options.snapshot)?;
    let (header, body) = target.header(number)?;
    let source = target.unlock(&header, &*options.store.root_keys)?;
    let manifest = source.manifest(&header, &body)?;
    let path = source.target.snapshot_path(number);
    let contents = contents_of(&manifest.keyring, header.store)
        .ok_or_else(|| BackupError::damage(&path, "its keyring is malformed"))?;

    let StoreOptions { dir, disk, .. } = &options.store;
    let existed = disk.exists(dir).map_err(BackupError::io(dir))?;
    let (directory, lock) = Directory::lock_for_restoring(dir, disk, header.store)
        .map_err(|error| BackupError::place(dir, error))?;
    let directory = Arc::new(directory);
    let restoring = Restoring {
        options,
        source: &source,
        manifest: &manifest,
        directory: Arc::clone(&directory),
        reporter: Reporter::new(progress),
        poison: Arc::default(),
    };
    match restoring.run(&header, contents, &lock) {
        Ok(restored) => {
            directory.restored()?;
            Ok(restored)
        }
        Err(error) => {
            // What went wrong first is what there is to be told; what could not be removed is marked as half restored.
            if let Err(left) = directory.abandon_restoring() {
                tracing::warn!(error = %left, "what a restoring made that failed could not be removed");
            } else if !existed {
                // Best effort: an empty directory can be restored into again.
                let _ = disk.remove_dir(dir);
            }
            Err(error)
        }
    }
}

struct Restoring<'a> {
    options: &'a RestoreOptions,
    source: &'a Source,
    manifest: &'a Manifest,
    directory: Arc<Directory>,
    reporter: Reporter<'a>,
    poison: Arc<Poison>,
}

impl Restoring<'_> {
    fn run(mut self, header: &Header, mut contents: Contents, lock: &Lock) -> Result<Restored, BackupError> {
        let disk = Arc::clone(&self.options.store.disk);
        for dir in [self.directory.log(), self.directory.pages()] {
            disk.create_dir_all(&dir).map_err(BackupError::io(&dir))?;
        }
        contents.generation = contents.generation.saturating_add(STEP);
        let keyring = Arc::new(Keyring::restore(&self.directory, contents, &self.means())?);
        let registry = self.registry(&keyring, lock);

        let replayed = self.groups(&keyring, &registry)?;
        let files = self.files()?;
        self.check_files(&keyring, &registry)?;

        self.reporter.enter(BackupStage::Ending)?;
        for group in registry.dirty() {
            registry.flush(&group).map_err(|error| error.into_group(group.id))?;
        }
        let known = keyring.contents().groups.keys().map(|id| (*id, registry.known(*id))).collect();
        registry.close(|| ());
        if let Some(cause) = self.poison.get() {
            return Err(StoreError::Poisoned { cause }.into());
        }
        let record = Record {
            reached: self.manifest.to,
            keyring_generation: keyring.contents().generation,
            next_group: keyring.contents().next_group,
            groups: known,
        };
        self.log(&keyring, &record)?;
        Ok(Restored { snapshot: SnapshotInfo::new(header, self.manifest), replayed, files })
    }

    /// Rows, then commands. The system group first, so that it is known which groups there are.
    fn groups(&mut self, keyring: &Arc<Keyring>, registry: &Registry) -> Result<u64, BackupError> {
        let manifest = self.manifest;
        self.reporter.now.groups_total = manifest.groups.len() as u64;
        self.reporter.enter(BackupStage::Rows)?;
        let (system, others): (Vec<_>, Vec<_>) =
            manifest.groups.iter().partition(|part| part.group == GroupId::SYSTEM);
        for part in system {
            self.load(registry, part)?;
        }
        let mut replayed = self.replay(keyring, registry, |group| group == GroupId::SYSTEM)?;
        registry.unlock_system()?;
        let there = keyring.contents();
        let mut bare: BTreeSet<GroupId> = there.groups.keys().copied().collect();
        for part in others.into_iter().filter(|part| there.groups.contains_key(&part.group)) {
            self.load(registry, part)?;
            bare.remove(&part.group);
        }
        bare.remove(&GroupId::SYSTEM);
        for group in bare {
            // Made while the snapshot was taken: all that it has are commands.
            let part = GroupPart { group, lsn: Lsn(0), root: 0, rows: 0, chunks: Vec::new() };
            self.load(registry, &part)?;
        }
        self.reporter.enter(BackupStage::Log)?;
        replayed += self.replay(keyring, registry, |group| group != GroupId::SYSTEM)?;
        Ok(replayed)
    }

    fn load(&mut self, registry: &Registry, part: &GroupPart) -> Result<(), BackupError> {
        let open = registry.acquire(part.group)?;
        let db = open.db()?;
        db.skip_roots(RootSeq(part.root.saturating_add(STEP)));
        let mut rows = Rows::new(self.source, part);
        let mut batch = Vec::new();
        let (mut bytes, mut volatile) = (0, 0);
        while let Some((key, value)) = rows.next()? {
            bytes += key.len() + value.len();
            batch.push((key, value));
            self.reporter.now.rows += 1;
            if bytes < BATCH_BYTES {
                continue;
            }
            db.load(&batch, part.lsn)?;
            batch.clear();
            volatile += std::mem::take(&mut bytes);
            if volatile >= DURABLE_BYTES {
                registry.flush(&open).map_err(|error| error.into_group(open.id))?;
                volatile = 0;
            }
            self.reporter.tell()?;
        }
        db.load(&batch, part.lsn)?;
        registry.flush(&open).map_err(|error| error.into_group(open.id))?;
        self.reporter.now.groups += 1;
        self.reporter.tell()
    }

    fn replay(
        &mut self,
        keyring: &Keyring,
        registry: &Registry,
        wanted: impl Fn(GroupId) -> bool,
    ) -> Result<u64, BackupError> {
        let mut commands = Commands::new(self.source, self.manifest);
        let mut gathered: BTreeMap<GroupId, Vec<(Lsn, Command)>> = BTreeMap::new();
        let (mut bytes, mut replayed) = (0, 0);
        while let Some((lsn, group, command, length)) = commands.next()? {
            if !wanted(group) {
                continue;
            }
            gathered.entry(group).or_default().push((lsn, command));
            bytes += length;
            if bytes >= GATHERED_BYTES {
                replayed += self.apply(keyring, registry, std::mem::take(&mut gathered))?;
                bytes = 0;
                self.reporter.tell()?;
            }
        }
        Ok(replayed + self.apply(keyring, registry, gathered)?)
    }

    fn apply(
        &self,
        keyring: &Keyring,
        registry: &Registry,
        gathered: BTreeMap<GroupId, Vec<(Lsn, Command)>>,
    ) -> Result<u64, BackupError> {
        let mut replayed = 0;
        for (group, commands) in gathered {
            if !keyring.contents().groups.contains_key(&group) {
                continue;
            }
            let open = registry.acquire(group)?;
            let db = open.db()?;
            let applied = db.applied();
            let new = commands.iter().filter(|(lsn, _)| *lsn > applied);
            let new: Vec<_> = new.map(|(lsn, command)| (*lsn, command)).collect();
            let outcomes = db.apply(&new)?;
            replayed += new.len() as u64;
            if group == GroupId::SYSTEM {
                let changes = groups::changes(&new, &outcomes);
                if !groups::all_made(&changes, &keyring.contents()) {
                    let path = self.directory.keyring();
                    let made = keyring.replace(|contents| groups::make(&changes, contents));
                    made.map_err(BackupError::io(&path))?;
                }
            }
            registry.flush(&open).map_err(|error| error.into_group(open.id))?;
        }
        Ok(replayed)
    }

    fn files(&mut self) -> Result<u64, BackupError> {
        self.reporter.enter(BackupStage::Files)?;
        let Some(attachments) = self.options.attachments.clone() else { return Ok(0) };
        let manifest = self.manifest;
        let mut dirs = BTreeSet::new();
        let mut listed = 0;
        for chunks in [&manifest.file_chunks, &manifest.late_file_chunks] {
            let mut items = Items::new(self.source, Kind::Files, chunks);
            while let Some(entry) = items.file()? {
                self.file(attachments.dir(), &entry, &mut dirs)?;
                listed += 1;
            }
        }
        if listed != manifest.files {
            return Err(BackupError::damage(
                &self.source.target.snapshots_dir(),
                "a snapshot has another number of files than it says",
            ));
        }
        let disk = &self.options.store.disk;
        for dir in dirs {
            disk.sync_dir(&dir).map_err(BackupError::io(&dir))?;
        }
        Ok(listed)
    }

    fn file(
        &mut self,
        dir: &Path,
        entry: &FileEntry,
        dirs: &mut BTreeSet<PathBuf>,
    ) -> Result<(), BackupError> {
        let disk = Arc::clone(&self.options.store.disk);
        let path = entry.path.in_dir(dir);
        let io = || BackupError::io(&path);
        let parent = path.parent().unwrap_or(dir);
        if !dirs.contains(parent) {
            disk.create_dir_all(parent).map_err(io())?;
            let root = self.directory.root();
            dirs.extend(parent.ancestors().take_while(|up| up.starts_with(root)).map(Path::to_owned));
        }
        if disk.exists(&path).map_err(io())? {
            // Listed twice: its row was there and was written again meanwhile.
            disk.remove(&path).map_err(io())?;
        }
        let file = disk.create_new(&path).map_err(io())?;
        let reporter = &mut self.reporter;
        self.source.file(entry, |piece, at| {
            file.write_at(piece, at).map_err(io())?;
            reporter.now.written_bytes += piece.len() as u64;
            reporter.tell()
        })?;
        file.sync().map_err(io())?;
        reporter.now.files += 1;
        reporter.now.file_bytes += entry.length;
        Ok(())
    }

    /// Every row that stands for a file has it.
    fn check_files(&self, keyring: &Keyring, registry: &Registry) -> Result<(), BackupError> {
        let Some(attachments) = &self.options.attachments else { return Ok(()) };
        for group in keyring.contents().groups.keys() {
            let Some((from, to)) = attachments.keys(*group) else { continue };
            let reading = registry.acquire(*group)?.db()?.read()?;
            for row in reading.range(Bound::Included(&from), Bound::Excluded(&to))? {
                let (key, _) = row?;
                let Some(path) = attachments.file_of(*group, &key) else { continue };
                let restored = path.in_dir(attachments.dir());
                if !self.options.store.disk.exists(&restored).map_err(BackupError::io(&restored))? {
                    let file = path.in_dir(&self.source.target.files_dir());
                    return Err(BackupError::Missing { file });
                }
            }
        }
        Ok(())
    }

    /// A log of one segment with one record, as a store leaves it that was closed.
    fn log(&self, keyring: &Arc<Keyring>, record: &Record) -> Result<(), BackupError> {
        let options = &self.options.store;
        let around = Surroundings {
            disk: Arc::clone(&options.disk),
            dir: self.directory.log(),
            keys: Arc::new(KeySource::new(Arc::clone(keyring))),
            random: Arc::clone(&options.random),
        };
        let log_options = LogOptions { segment_bytes: options.segment_bytes, ahead: 0 };
        let segment = SegmentId(self.manifest.segment.saturating_add(STEP));
        let base = Lsn(self.manifest.to.0 + 1);
        let generation = keyring.contents().generation;
        let mut log = Log::create_at(around, log_options, generation, segment, base)?;
        let lsn = log.append_checkpoint(&record.encode())?;
        log.sync()?;
        let floor = LogFloor { segment: segment.0, lsn };
        let replaced = keyring.replace(|contents| contents.floor = floor);
        replaced.map_err(BackupError::io(&self.directory.keyring()))?;
        log.keyring_changed(keyring.contents().generation)?;
        log.close_clean()?;
        Ok(())
    }

    fn registry(&self, keyring: &Arc<Keyring>, lock: &Lock) -> Registry {
        let options = &self.options.store;
        let setting = Setting {
            directory: Arc::clone(&self.directory),
            keyring: Arc::clone(keyring),
            disk: Arc::clone(&options.disk),
            random: Arc::clone(&options.random),
            poison: Arc::clone(&self.poison),
            groups_open_max: options.groups_open_max.max(2),
            cache_bytes: options.cache_bytes,
            log: None,
            logged: self.manifest.to,
        };
        Registry::new(setting, lock.clone(), HashMap::new())
    }

    fn means(&self) -> Means {
        let StoreOptions { disk, random, root_keys, clock, key_limits, .. } = &self.options.store;
        Means {
            disk: Arc::clone(disk),
            random: Arc::clone(random),
            root_keys: Arc::clone(root_keys),
            clock: Arc::clone(clock),
            key_limits: *key_limits,
            room: Room::default(),
        }
    }
}
