//! A file system that reads what is there and keeps every change in memory.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use crate::disk::{Disk, DiskFile, OsDisk};

/// Changes are kept in pieces of this many bytes.
const BLOCK: usize = 4096;
/// Files that were opened and not changed are forgotten from time to time; this many may gather.
const SEEN_MAX: usize = 1024;

/// The files of another disk, opened for reading alone. Whatever is written, renamed, removed or made goes to memory and
/// is seen by later reads, so that ordinary recovery runs on a directory that it does not change, and pages are there
/// that the disk has no space for. Memory grows with what is changed.
#[derive(Debug, Clone)]
pub struct OverlayDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    below: Arc<dyn Disk>,
    locks: Locks,
    budget: Arc<Budget>,
    state: Mutex<State>,
}

/// Whether the locks of files below are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locks {
    /// Shared, so that nobody writes them.
    Shared,
    /// This process has the directory.
    Held,
}

/// Bytes that changes may take: so many by themselves, and together with others no more than what these share.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    used: AtomicUsize,
    shared: Option<Arc<Budget>>,
}

impl Budget {
    pub(crate) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { most, used: AtomicUsize::new(0), shared: None })
    }

    /// One that counts for itself and in `shared`, which bounds it.
    pub(crate) fn within(shared: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { most: usize::MAX, used: AtomicUsize::new(0), shared: Some(Arc::clone(shared)) })
    }

    /// How many bytes are taken.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    fn take_block(&self) -> io::Result<()> {
        if let Some(shared) = &self.shared {
            shared.take_block()?;
        }
        let more = |used: usize| used.checked_add(BLOCK).filter(|used| *used <= self.most);
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    fn give_back(&self, blocks: usize) {
        self.used.fetch_sub(blocks * BLOCK, Ordering::AcqRel);
        if let Some(shared) = &self.shared {
            shared.give_back(blocks);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// What differs from the files below.
    changed: HashMap<PathBuf, Slot>,
    /// Files that are open and the same as below.
    seen: HashMap<PathBuf, Weak<Node>>,
    /// Directories that are not there below.
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug)]
enum Slot {
    Removed,
    Is(Arc<Node>),
}

/// A file and what was changed of it.
#[derive(Debug)]
struct Node {
    below: Option<Arc<dyn DiskFile>>,
    content: RwLock<Content>,
    budget: Arc<Budget>,
    /// Held by the handle that has the lock.
    locked: Mutex<Weak<()>>,
}

#[derive(Debug)]
struct Content {
    len: u64,
    /// How much of the file below still counts.
    below_len: u64,
    blocks: HashMap<u64, Box<[u8; BLOCK]>>,
}

impl Node {
    fn over(below: Option<Arc<dyn DiskFile>>, len: u64, budget: &Arc<Budget>) -> Arc<Self> {
        let content = Content { len, below_len: len, blocks: HashMap::new() };
        let budget = Arc::clone(budget);
        Arc::new(Self { below, content: RwLock::new(content), budget, locked: Mutex::default() })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let content = self.content.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.budget.give_back(content.blocks.len());
    }
}

impl Default for OverlayDisk {
    /// Over the operating system's files, for who only looks. Locks are taken shared: several inspections run side by side,
    /// and a server that starts meanwhile is told that the directory is in use.
    fn default() -> Self {
        Self::new(Arc::new(OsDisk), Locks::Shared, Budget::of(usize::MAX))
    }
}

impl OverlayDisk {
    /// Over files of a directory that this process has locked, and to which it writes nothing meanwhile; it may be reading them.
    /// What does not fit the budget fails as on a full disk.
    pub(crate) fn over(below: Arc<dyn Disk>, budget: Arc<Budget>) -> Self {
        Self::new(below, Locks::Held, budget)
    }

    fn new(below: Arc<dyn Disk>, locks: Locks, budget: Arc<Budget>) -> Self {
        Self(Arc::new(Shared { below, locks, budget, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, path: &Path, node: Arc<Node>) -> Arc<dyn DiskFile> {
        Arc::new(Handle { disk: self.clone(), path: path.into(), node, token: Mutex::default() })
    }

    fn node(&self, state: &mut State, path: &Path) -> io::Result<Arc<Node>> {
        match state.changed.get(path) {
            Some(Slot::Removed) => return Err(io::ErrorKind::NotFound.into()),
            Some(Slot::Is(node)) => return Ok(Arc::clone(node)),
            None => {}
        }
        if let Some(node) = state.seen.get(path).and_then(Weak::upgrade) {
            return Ok(node);
        }
        let below = self.0.below.open_read(path)?;
        let len = below.len()?;
        let node = Node::over(Some(below), len, &self.0.budget);
        if state.seen.len() >= SEEN_MAX {
            state.seen.retain(|_, node| node.strong_count() > 0);
        }
        state.seen.insert(path.into(), Arc::downgrade(&node));
        Ok(node)
    }

    fn is_there(&self, state: &State, path: &Path) -> io::Result<bool> {
        match state.changed.get(path) {
            Some(Slot::Removed) => Ok(false),
            Some(Slot::Is(_)) => Ok(true),
            None => Ok(state.dirs.contains(path) || self.0.below.exists(path)?),
        }
    }
}

impl Disk for OverlayDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let node = self.node(&mut self.state(), path)?;
        Ok(self.handle(path, node))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if self.is_there(&state, path)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = Node::over(None, 0, &self.0.budget);
        state.changed.insert(path.into(), Slot::Is(Arc::clone(&node)));
        drop(state);
        Ok(self.handle(path, node))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = self.node(&mut state, from)?;
        state.changed.insert(from.into(), Slot::Removed);
        state.changed.insert(to.into(), Slot::Is(node));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !self.is_there(&state, path)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.changed.insert(path.into(), Slot::Removed);
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        for dir in path.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            if self.0.below.exists(dir)? {
                break;
            }
            state.dirs.insert(dir.into());
        }
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let mut names = BTreeSet::new();
        match self.0.below.list(path) {
            Ok(below) => {
                let is_left =
                    |name: &String| !matches!(state.changed.get(&path.join(name)), Some(Slot::Removed));
                names.extend(below.into_iter().filter(is_left));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && state.dirs.contains(path) => {}
            Err(error) => return Err(error),
        }
        let files = state.changed.iter().filter(|(_, slot)| matches!(slot, Slot::Is(_)));
        for made in files.map(|(file, _)| file).chain(&state.dirs) {
            if made.parent() == Some(path)
                && let Some(name) = made.file_name()
            {
                names.insert(name.to_string_lossy().into_owned());
            }
        }
        Ok(names.into_iter().collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.is_there(&self.state(), path)
    }
}

#[derive(Debug)]
struct Handle {
    disk: OverlayDisk,
    path: PathBuf,
    node: Arc<Node>,
    token: Mutex<Option<Arc<()>>>,
}

impl Handle {
    /// The file differs from the one below from now on, so it stays in memory; unless its name is another's by now.
    fn keep(&self) {
        let mut state = self.disk.state();
        if !state.changed.contains_key(&self.path) {
            state.changed.insert(self.path.clone(), Slot::Is(Arc::clone(&self.node)));
        }
    }

    fn content(&self) -> std::sync::RwLockReadGuard<'_, Content> {
        self.node.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn content_mut(&self) -> std::sync::RwLockWriteGuard<'_, Content> {
        self.node.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `out` with what is below, and with zeros where nothing is.
    fn read_below(&self, below_len: u64, out: &mut [u8], at: u64) -> io::Result<()> {
        let have = below_len.saturating_sub(at).min(out.len() as u64);
        let (real, rest) = out.split_at_mut(usize::try_from(have).unwrap_or(usize::MAX));
        if let (Some(below), false) = (&self.node.below, real.is_empty()) {
            below.read_at(real, at)?;
        }
        rest.fill(0);
        Ok(())
    }
}

/// The pieces of `len` bytes from `at` on: block, where in it, and how many.
fn pieces(at: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let place = at + done as u64;
        let within = usize::try_from(place % BLOCK as u64).expect("less than a block");
        let count = (BLOCK - within).min(len - done);
        done += count;
        (count > 0).then_some((place / BLOCK as u64, within, count))
    })
}

impl DiskFile for Handle {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let content = self.content();
        let end = at.checked_add(out.len() as u64).filter(|end| *end <= content.len);
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_below(content.below_len, out, at)?;
        if content.blocks.is_empty() {
            return Ok(());
        }
        let mut done = 0;
        for (block, within, count) in pieces(at, out.len()) {
            if let Some(bytes) = content.blocks.get(&block) {
                out[done..done + count].copy_from_slice(&bytes[within..within + count]);
            }
            done += count;
        }
        Ok(())
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.keep();
        let mut content = self.content_mut();
        let mut done = 0;
        for (block, within, count) in pieces(at, data.len()) {
            if !content.blocks.contains_key(&block) {
                let mut bytes = Box::new([0; BLOCK]);
                self.read_below(content.below_len, bytes.as_mut_slice(), block * BLOCK as u64)?;
                self.node.budget.take_block()?;
                content.blocks.insert(block, bytes);
            }
            if let Some(bytes) = content.blocks.get_mut(&block) {
                bytes[within..within + count].copy_from_slice(&data[done..done + count]);
            }
            done += count;
        }
        content.len = content.len.max(at + data.len() as u64);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content().len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.keep();
        let mut content = self.content_mut();
        if len < content.len {
            content.below_len = content.below_len.min(len);
            let edge = len / BLOCK as u64;
            let before = content.blocks.len();
            content.blocks.retain(|block, _| *block <= edge);
            self.node.budget.give_back(before - content.blocks.len());
            if let Some(bytes) = content.blocks.get_mut(&edge) {
                bytes[usize::try_from(len % BLOCK as u64).expect("less than a block")..].fill(0);
            }
        }
        content.len = len;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut locked = self.node.locked.lock().unwrap_or_else(PoisonError::into_inner);
        if locked.strong_count() > 0 {
            return Ok(false);
        }
        if let Some(below) = &self.node.below {
            let free = match self.disk.0.locks {
                Locks::Shared => below.try_lock_shared()?,
                Locks::Held => true,
            };
            if !free {
                return Ok(false);
            }
        }
        let token = Arc::new(());
        *locked = Arc::downgrade(&token);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn read(file: &dyn DiskFile) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[derive(Debug, Clone)]
    enum Change {
        Write(usize, Vec<u8>),
        SetLen(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (0..20_000_usize, prop::collection::vec(any::<u8>(), 1..6000))
                .prop_map(|(at, data)| Change::Write(at, data)),
            (0..20_000_usize).prop_map(Change::SetLen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_file_reads_as_if_it_had_been_changed_and_stays_as_it_was(
            below in prop::collection::vec(any::<u8>(), 0..20_000),
            changes in prop::collection::vec(change(), 1..12),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            fs::write(&path, &below).unwrap();
            let disk = OverlayDisk::default();
            let mut model = below.clone();
            for change in changes {
                let file = disk.open(&path).unwrap();
                match change {
                    Change::Write(at, data) => {
                        file.write_at(&data, at as u64).unwrap();
                        model.resize(model.len().max(at + data.len()), 0);
                        model[at..at + data.len()].copy_from_slice(&data);
                    }
                    Change::SetLen(len) => {
                        file.set_len(len as u64).unwrap();
                        model.resize(len, 0);
                    }
                }
                prop_assert_eq!(read(&*disk.open(&path).unwrap()), model.clone());
            }
            prop_assert_eq!(fs::read(&path).unwrap(), below);
        }
    }

    #[test]
    fn changes_take_no_more_than_the_budget_and_give_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, vec![7; 3 * BLOCK]).unwrap();
        let budget = Budget::of(2 * BLOCK);
        let disk = OverlayDisk::over(Arc::new(OsDisk), Budget::within(&budget));
        let file = disk.open(&path).unwrap();
        file.write_at(&[1; 2 * BLOCK], 0).unwrap();
        // What is there already is written over.
        file.write_at(&[2; 2 * BLOCK], 0).unwrap();
        assert_eq!(file.write_at(&[3], 2 * BLOCK as u64).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(read(&*file), [vec![2; 2 * BLOCK], vec![7; BLOCK]].concat());
        assert_eq!(budget.used(), 2 * BLOCK);
        file.set_len(1).unwrap();
        file.write_at(&[4; BLOCK], 2 * BLOCK as u64).unwrap();
        drop((file, disk));
        assert_eq!(budget.used(), 0);
        assert_eq!(fs::read(&path).unwrap(), vec![7; 3 * BLOCK]);
    }

    #[test]
    fn names_come_and_go_in_memory_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a"), "one").unwrap();
        fs::write(path("b"), "two").unwrap();
        let disk = OverlayDisk::default();
        disk.rename(&path("a"), &path("b")).unwrap();
        disk.create_new(&path("c")).unwrap().write_at(b"three", 0).unwrap();
        disk.create_dir_all(&path("d/e")).unwrap();
        assert_eq!(disk.list(dir.path()).unwrap(), ["b", "c", "d"]);
        assert_eq!(disk.list(&path("d")).unwrap(), ["e"]);
        assert_eq!(read(&*disk.open(&path("b")).unwrap()), b"one");
        assert_eq!(disk.open(&path("a")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.create_new(&path("b")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        disk.remove(&path("c")).unwrap();
        assert!(!disk.exists(&path("c")).unwrap());
        assert_eq!(OsDisk.list(dir.path()).unwrap(), ["a", "b"]);
        assert_eq!(fs::read(path("b")).unwrap(), b"two");
    }

    #[test]
    fn a_lock_is_shared_with_other_inspections_and_keeps_servers_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        fs::write(&path, "").unwrap();
        let (one, other) = (OverlayDisk::default(), OverlayDisk::default());
        let held = one.open(&path).unwrap();
        assert!(held.try_lock().unwrap());
        assert!(!one.open(&path).unwrap().try_lock().unwrap(), "within one process it is exclusive");
        assert!(other.open(&path).unwrap().try_lock().unwrap());
        let server = OsDisk.open(&path).unwrap();
        assert!(!server.try_lock().unwrap());
        drop(held);
        drop(one);
        assert!(server.try_lock().unwrap());
        assert!(!other.open(&path).unwrap().try_lock().unwrap());
    }
}
