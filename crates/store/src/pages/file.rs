//! One page file as a redb storage backend (`docs/spec/pages.md` §5).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use redb::StorageBackend;
use strongroom_seal::Random;

mod moving;

pub(crate) use self::moving::{Resealed, journal_path};

use self::moving::Mover;
use super::entry::Entry;
use super::error::PagesError;
use super::gate::Gate;
use super::geometry::{ENTRIES, LENGTH_MAX, PAGE, PAGE_LEN, Sealed, file_len, index, pages, slot_place};
use super::keys::{Ciphers, FileId, KeyTable, PageKeys, Refusal};
use super::root::{self, Found, Root, RootSeq};
use super::tree::Tree;
use crate::disk::{Disk, DiskFile};
use crate::{GroupId, Place};

/// How far the first root after opening is ahead of the one found: a crashed write can have used one number more, and
/// the step must be odd to land in the other slot.
const SEQ_STEP_AT_OPEN: u64 = 3;

/// What a page file is made or opened with.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    /// Where the journal of pages that are being moved lies, beside the file.
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: &'a Path,
    pub(super) group: GroupId,
    pub(super) keys: &'a PageKeys,
    pub(super) random: Arc<dyn Random>,
    /// Tag pages kept in memory when none is changed.
    pub(super) tag_pages_max: usize,
}

/// A page file that this process holds the lock of.
#[derive(Debug)]
pub(super) struct PageFile {
    disk: Arc<dyn Disk>,
    disk_file: Arc<dyn DiskFile>,
    path: PathBuf,
    group: GroupId,
    id: FileId,
    random: Arc<dyn Random>,
    tree: Tree,
    /// The first bytes of page 0, as redb last wrote them.
    head: Mutex<Vec<u8>>,
    /// Held by whoever makes things durable or changes the length.
    published: Mutex<Published>,
    /// Whether something other than a root was written since the last fsync.
    unsynced: AtomicBool,
    /// The first failure. It is the answer to every later call.
    fault: OnceLock<Fault>,
    /// An fsync failed: what the disk holds is unknown, and asking again proves nothing.
    sync_failed: Arc<AtomicBool>,
    /// Nothing is to become durable any more; see [`PageFile::freeze`].
    frozen: AtomicBool,
    /// Keeps redb and whoever moves pages to another key off each other's pages. Taken after `published`, if both are.
    gate: Gate,
    /// Held by whoever moves pages to another key, before all else.
    mover: Mutex<Mover>,
    /// Held by whoever changes the keys. The key id that everything is under, if that is known.
    settled: Mutex<Option<u32>>,
}

#[derive(Debug)]
struct Fault {
    error: PagesError,
    /// It was a read that failed: what the disk holds is what it held before.
    reading: bool,
}

/// How a root is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publish {
    /// If something changed.
    Changes,
    /// Whether or not something changed: the other slot is to be replaced too.
    Again,
    /// If something changed, and it says that the file was closed.
    Closed,
}

/// The last durable root.
#[derive(Debug)]
struct Published {
    seq: RootSeq,
    /// The number of the next one.
    next: RootSeq,
    root: Option<Root>,
}

impl PageFile {
    /// Makes an empty page file of a file that was just created. Nothing is durable yet.
    pub(super) fn create(disk_file: Arc<dyn DiskFile>, setting: &Setting<'_>) -> Result<Self, PagesError> {
        lock(disk_file.as_ref(), setting.path)?;
        // Of a file that had this name before.
        moving::remove_journal(setting.disk.as_ref(), setting.path)?;
        disk_file.set_len(file_len(0)).map_err(|error| PagesError::io(setting.path, error))?;
        let mut id = [0; 16];
        setting.random.fill(&mut id);
        let table = KeyTable::new(setting.keys.active, setting.random.as_ref());
        let root =
            Root { length: 0, closed: false, keys: table.clone(), head: Vec::new(), uppers: Vec::new() };
        let published = Published { seq: RootSeq(0), next: RootSeq(1), root: None };
        Self::new(disk_file, setting, id, table, root, published)
    }

    /// [`Self::open`] for who only looks: also the key table as it is in the file, and whether the file was closed.
    pub(super) fn look(
        disk_file: Arc<dyn DiskFile>,
        setting: &Setting<'_>,
        expect: RootSeq,
    ) -> Result<(Self, KeyTable, bool), PagesError> {
        let found = root::newest(disk_file.as_ref(), setting.path, setting.group, setting.keys, expect)?.root;
        let file = Self::open(disk_file, setting, expect)?;
        Ok((file, found.keys, found.closed))
    }

    /// The sealed bytes of consecutive data pages of one leaf.
    pub(super) fn read_raw(&self, first: u64, out: &mut [u8]) -> Result<(), PagesError> {
        let place = Sealed::Data(first).place();
        self.disk_file.read_at(out, place).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                PagesError::damage(&self.path, Place::Page(first), "the file ends before this page")
            }
            _ => self.io(error),
        })
    }

    /// Opens the newest root of a page file, if it is not older than `expect`. Changes nothing, but cuts what a crash
    /// left behind the end, and puts back pages that were being moved to another key.
    pub(super) fn open(
        disk_file: Arc<dyn DiskFile>,
        setting: &Setting<'_>,
        expect: RootSeq,
    ) -> Result<Self, PagesError> {
        let path = setting.path;
        lock(disk_file.as_ref(), path)?;
        let Found { seq, file: id, root } =
            root::newest(disk_file.as_ref(), path, setting.group, setting.keys, expect)?;
        let (have, want) =
            (disk_file.len().map_err(|error| PagesError::io(path, error))?, file_len(root.length));
        if have < want {
            return Err(PagesError::damage(path, Place::Whole, "the file is shorter than its root says"));
        }
        if have > want && root.closed {
            return Err(PagesError::damage(path, Place::Whole, "the file is longer than when it was closed"));
        }
        root::adopt(disk_file.as_ref(), path, seq)?;
        let random = setting.random.as_ref();
        let table = match root.keys.opened(setting.keys.active, None, random) {
            Some(table) => table,
            None => {
                let unused = unused_key(&disk_file, setting, id, &root)?;
                root.keys
                    .opened(setting.keys.active, unused, random)
                    .ok_or_else(|| PagesError::KeysExhausted { path: path.into() })?
            }
        };
        let cut = have > want;
        if cut {
            disk_file.set_len(want).map_err(|error| PagesError::io(path, error))?;
        }
        let published = Published {
            seq,
            next: RootSeq(seq.0.saturating_add(SEQ_STEP_AT_OPEN)),
            root: Some(root.clone()),
        };
        let file = Self::new(disk_file, setting, id, table, root, published)?;
        file.unsynced.store(cut, Ordering::Release);
        file.put_back(setting.keys)?;
        Ok(file)
    }

    fn new(
        disk_file: Arc<dyn DiskFile>,
        setting: &Setting<'_>,
        id: FileId,
        table: KeyTable,
        root: Root,
        published: Published,
    ) -> Result<Self, PagesError> {
        let (path, keys) = (setting.path, setting.keys);
        if keys.find(keys.active).is_none() {
            return Err(PagesError::KeyMissing { path: path.into(), key_id: keys.active });
        }
        let ciphers = Ciphers::new(setting.group, id, table, keys, Arc::clone(&setting.random));
        let tree = Tree::new(
            Arc::clone(&disk_file),
            path,
            ciphers,
            root.length,
            root.uppers,
            setting.tag_pages_max.max(1),
        );
        Ok(Self {
            disk: Arc::clone(&setting.disk),
            disk_file,
            path: path.into(),
            group: setting.group,
            id,
            random: Arc::clone(&setting.random),
            tree,
            head: Mutex::new(root.head),
            published: Mutex::new(published),
            unsynced: AtomicBool::new(true),
            fault: OnceLock::new(),
            sync_failed: Arc::default(),
            frozen: AtomicBool::new(false),
            gate: Gate::default(),
            mover: Mutex::default(),
            settled: Mutex::default(),
        })
    }

    /// The next root is numbered past `root`, in the slot in which it would have stood.
    pub(super) fn skip_roots(&self, root: RootSeq) {
        let mut published = self.published();
        let step = root.0.saturating_sub(published.next.0).saturating_add(2) & !1;
        published.next = RootSeq(published.next.0.saturating_add(step));
    }

    /// The number of the last durable root.
    pub(super) fn seq(&self) -> RootSeq {
        self.published().seq
    }

    /// The first failure, if there was one.
    pub(super) fn fault(&self) -> Option<&PagesError> {
        self.fault.get().map(|fault| &fault.error)
    }

    /// Whether the first failure was one to read.
    pub(super) fn read_failed(&self) -> bool {
        self.fault.get().is_some_and(|fault| fault.reading)
    }

    /// Tells, even when the file is gone, whether an fsync of it failed.
    pub(super) fn sync_failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.sync_failed)
    }

    fn synced(&self) -> Result<(), PagesError> {
        self.disk_file.sync().map_err(|error| {
            self.sync_failed.store(true, Ordering::Release);
            self.io(error)
        })
    }

    /// From now on nothing becomes durable, not even when redb is dropped; reads go on.
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::Release);
    }

    fn check_frozen(&self) -> Result<(), PagesError> {
        if self.frozen.load(Ordering::Acquire) {
            return Err(PagesError::Closed { path: self.path.clone() });
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The logical length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.tree.length()
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), PagesError> {
        self.guarded_as(true, || {
            self.check_range(offset, out.len())?;
            if offset < PAGE {
                self.read_head(offset, out);
                return Ok(());
            }
            let mut page = offset / PAGE;
            let mut rest = out;
            while !rest.is_empty() {
                let count = leaf_run(page, rest.len());
                let (run, after) = rest.split_at_mut(count * PAGE_LEN);
                self.read_run(page, run)?;
                rest = after;
                page += count as u64;
            }
            Ok(())
        })
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<(), PagesError> {
        self.guarded(|| {
            self.check_range(offset, data.len())?;
            if offset < PAGE {
                self.write_head(offset, data);
                return Ok(());
            }
            let mut page = offset / PAGE;
            let mut rest = data;
            while !rest.is_empty() {
                let count = leaf_run(page, rest.len());
                let (run, after) = rest.split_at(count * PAGE_LEN);
                self.write_run(page, run)?;
                rest = after;
                page += count as u64;
            }
            Ok(())
        })
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&self) -> Result<(), PagesError> {
        self.guarded(|| self.publish(&mut self.published(), Publish::Changes))
    }

    /// [`Self::sync`], and says in the root that the file was closed.
    pub(super) fn close(&self) -> Result<(), PagesError> {
        self.guarded(|| self.publish(&mut self.published(), Publish::Closed))?;
        self.drop_journal();
        Ok(())
    }

    pub(super) fn set_length(&self, length: u64) -> Result<(), PagesError> {
        self.guarded(|| {
            if length > LENGTH_MAX {
                return Err(PagesError::Full { path: self.path.clone() });
            }
            if !length.is_multiple_of(PAGE) {
                return Err(self.misuse());
            }
            let mut published = self.published();
            let shrinks = length < self.tree.length();
            // Nobody moves a page that is about to be cut: writing it later would make the file longer again.
            let _cut = self.gate.enter(pages(length)..u64::MAX);
            self.tree.set_length(length)?;
            if shrinks {
                // The durable root must not refer to what is about to be cut.
                self.publish(&mut published, Publish::Changes)?;
            }
            self.unsynced.store(true, Ordering::Release);
            self.disk_file.set_len(file_len(length)).map_err(|error| self.io(error))
        })
    }

    /// Reads every tag page and counts, for each key id, how many data and tag pages are under it.
    pub(super) fn walk(&self) -> Result<Vec<(u32, u64)>, PagesError> {
        self.guarded(|| {
            let ciphers = self.tree.ciphers();
            let mut usage: Vec<(u32, u64)> = ciphers.table().entries.iter().map(|key| (key.id, 0)).collect();
            self.tree.walk(|entry| {
                if let Some(slot) = usize::from(entry.key()).checked_sub(1).and_then(|key| usage.get_mut(key))
                {
                    slot.1 += 1;
                }
            })?;
            Ok(usage)
        })
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Steps 1 to 4 of the specification's §5.
    fn publish(&self, published: &mut Published, how: Publish) -> Result<(), PagesError> {
        // Before the pages: what page 0 refers to was written before it.
        let head = self.head().clone();
        if self.tree.flush()? {
            self.unsynced.store(true, Ordering::Release);
        }
        if self.unsynced.swap(false, Ordering::AcqRel) {
            self.synced()?;
        }
        let (length, uppers) = self.tree.roots();
        // After the entries: whatever they name is in this table.
        let ciphers = self.tree.ciphers();
        let closed = how == Publish::Closed;
        let root = Root { length, closed, keys: ciphers.table().clone(), head, uppers };
        if published.root.as_ref() == Some(&root) && how != Publish::Again {
            return Ok(());
        }
        let seq = published.next;
        let (key_id, key) = ciphers.root_key().ok_or_else(|| self.key_missing(&ciphers))?;
        let slot = root::encode(&root, self.group, self.id, seq, (key_id, key), self.random.as_ref());
        ciphers.count(slot.len());
        self.disk_file.write_at(&slot, slot_place(seq.slot())).map_err(|error| self.io(error))?;
        self.synced()?;
        *published = Published { seq, next: RootSeq(seq.0.saturating_add(1)), root: Some(root) };
        self.tree.rooted();
        Ok(())
    }

    fn read_run(&self, page: u64, out: &mut [u8]) -> Result<(), PagesError> {
        match self.read_run_now(page, out) {
            Err(PagesError::Damage(_) | PagesError::KeyMissing { .. }) => {}
            result => return result,
        }
        // Pages may have been moved to another key between the look at their entries and the reading. Once more, while
        // nobody moves them.
        let _inside = self.gate.enter(page..page + (out.len() / PAGE_LEN) as u64);
        self.read_run_now(page, out)
    }

    /// Reads pages of one leaf: one read for each stretch of pages that were written.
    fn read_run_now(&self, page: u64, out: &mut [u8]) -> Result<(), PagesError> {
        let entries = self.tree.entries(page, out.len() / PAGE_LEN)?;
        let mut from = 0;
        for stretch in entries.chunk_by(|a, b| a.is_empty() == b.is_empty()) {
            let out = &mut out[from * PAGE_LEN..][..stretch.len() * PAGE_LEN];
            if stretch[0].is_empty() {
                out.fill(0);
            } else {
                self.read_stretch(page + from as u64, stretch, out)?;
            }
            from += stretch.len();
        }
        Ok(())
    }

    fn read_stretch(&self, first: u64, entries: &[Entry], out: &mut [u8]) -> Result<(), PagesError> {
        let damage = |page, why| PagesError::damage(&self.path, Place::Page(page), why);
        match self.disk_file.read_at(out, Sealed::Data(first).place()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damage(first, "the file ends before this page"));
            }
            Err(error) => return Err(self.io(error)),
        }
        self.tree.figures.read.increment(entries.len() as u64);
        let ciphers = self.tree.ciphers();
        for ((page, entry), content) in (first..).zip(entries).zip(out.chunks_exact_mut(PAGE_LEN)) {
            ciphers.open(Sealed::Data(page), entry, content).map_err(|refusal| match refusal {
                Refusal::Unsealable => damage(page, "the page does not open"),
                Refusal::KeyMissing(key_id) => PagesError::KeyMissing { path: self.path.clone(), key_id },
            })?;
        }
        Ok(())
    }

    /// Seals pages of one leaf, writes them at once, and then tells the tree.
    fn write_run(&self, page: u64, data: &[u8]) -> Result<(), PagesError> {
        let mut sealed = data.to_vec();
        let mut entries = Vec::with_capacity(data.len() / PAGE_LEN);
        let _inside = self.gate.enter(page..page + (data.len() / PAGE_LEN) as u64);
        // Inside: a change of keys waits for who seals with the ones before.
        let ciphers = self.tree.ciphers();
        for (page, content) in (page..).zip(sealed.chunks_exact_mut(PAGE_LEN)) {
            let entry = ciphers.seal(Sealed::Data(page), content);
            entries.push(entry.ok_or_else(|| self.key_missing(&ciphers))?);
        }
        self.disk_file.write_at(&sealed, Sealed::Data(page).place()).map_err(|error| self.io(error))?;
        self.unsynced.store(true, Ordering::Release);
        self.tree.figures.written.increment(entries.len() as u64);
        self.tree.set_entries(page, &entries)
    }

    fn read_head(&self, offset: u64, out: &mut [u8]) {
        let head = self.head();
        let from = usize::try_from(offset).map_or(head.len(), |offset| offset.min(head.len()));
        let have = out.len().min(head.len() - from);
        out[..have].copy_from_slice(&head[from..from + have]);
        out[have..].fill(0);
    }

    fn write_head(&self, offset: u64, data: &[u8]) {
        let mut head = self.head();
        let from = usize::try_from(offset).expect("the offset lies in page 0");
        let end = from + data.len();
        if head.len() < end {
            head.resize(end, 0);
        }
        head[from..end].copy_from_slice(data);
    }

    /// Page 0 is read and written in pieces, all others whole.
    fn check_range(&self, offset: u64, len: usize) -> Result<(), PagesError> {
        let end = offset.checked_add(len as u64).ok_or_else(|| self.misuse())?;
        let whole = offset.is_multiple_of(PAGE) && end.is_multiple_of(PAGE);
        if end > self.tree.length() || (offset < PAGE && end > PAGE) || (offset >= PAGE && !whole) {
            return Err(self.misuse());
        }
        Ok(())
    }

    /// Runs `call` unless an earlier one failed; remembers the first failure.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, PagesError>) -> Result<T, PagesError> {
        self.guarded_as(false, call)
    }

    fn guarded_as<T>(
        &self,
        reading: bool,
        call: impl FnOnce() -> Result<T, PagesError>,
    ) -> Result<T, PagesError> {
        if let Some(error) = self.fault() {
            return Err(error.clone());
        }
        call().inspect_err(|error| {
            // Of two failures at once, either is the first.
            let _ = self.fault.set(Fault { error: error.clone(), reading });
        })
    }

    fn key_missing(&self, ciphers: &Ciphers) -> PagesError {
        PagesError::KeyMissing { path: self.path.clone(), key_id: ciphers.table().sealing_entry().id }
    }

    fn misuse(&self) -> PagesError {
        self.io(io::Error::from(io::ErrorKind::InvalidInput))
    }

    fn io(&self, error: io::Error) -> PagesError {
        PagesError::io(&self.path, error)
    }

    fn head(&self) -> MutexGuard<'_, Vec<u8>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the next `len` bytes' pages lie in the leaf of `page`.
fn leaf_run(page: u64, len: usize) -> usize {
    (len / PAGE_LEN).min(ENTRIES - index(page))
}

fn lock(disk_file: &dyn DiskFile, path: &Path) -> Result<(), PagesError> {
    match disk_file.try_lock() {
        Ok(true) => Ok(()),
        Ok(false) => Err(PagesError::InUse { path: path.into() }),
        Err(error) => Err(PagesError::io(path, error)),
    }
}

/// A key table entry that no page is under, counted from 1. Reads all tag pages.
fn unused_key(
    disk_file: &Arc<dyn DiskFile>,
    setting: &Setting<'_>,
    id: FileId,
    root: &Root,
) -> Result<Option<u8>, PagesError> {
    let random = Arc::clone(&setting.random);
    let ciphers = Ciphers::new(setting.group, id, root.keys.clone(), setting.keys, random);
    let tree = Tree::new(Arc::clone(disk_file), setting.path, ciphers, root.length, root.uppers.clone(), 1);
    let mut used = vec![false; root.keys.entries.len() + 1];
    tree.walk(|entry| {
        if let Some(used) = used.get_mut(usize::from(entry.key())) {
            *used = true;
        }
    })?;
    Ok((1u8..).zip(&used[1..]).find(|(_, used)| !**used).map(|(index, _)| index))
}

/// What redb holds of a page file.
#[derive(Debug)]
pub(super) struct Backend(pub(super) Arc<PageFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.length())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        Ok(self.0.read(offset, out)?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.check_frozen()?;
        Ok(self.0.set_length(len)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.check_frozen()?;
        Ok(self.0.sync()?)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        Ok(self.0.write(offset, data)?)
    }
}
