//! A file system that counts and fails.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use strongroom_store::disk::{Disk, DiskFile, OsDisk};

/// The operating system's files, with failures after a number of writes, and a count of bytes read.
#[derive(Debug, Clone)]
pub struct TestDisk(Arc<State>);

#[derive(Debug)]
struct State {
    /// How many calls that change something still succeed; negative: none fails.
    left: AtomicI64,
    /// Whether everything fails from then on, as if the process had been killed.
    dead_after: bool,
    kind: io::ErrorKind,
    /// What the file system says to further names of a file, if it does not take any.
    links_refused: Option<io::ErrorKind>,
    read: AtomicU64,
}

impl TestDisk {
    pub fn healthy() -> Self {
        Self::new(-1, false, io::ErrorKind::Other)
    }

    /// The call after `left` others fails, and only that one.
    pub fn fails_after(left: i64, kind: io::ErrorKind) -> Self {
        Self::new(left, false, kind)
    }

    /// After `left` calls nothing is done any more.
    pub fn dies_after(left: i64) -> Self {
        Self::new(left, true, io::ErrorKind::Other)
    }

    fn new(left: i64, dead_after: bool, kind: io::ErrorKind) -> Self {
        Self::of(left, dead_after, kind, None)
    }

    /// Files have one name each.
    pub fn without_links(says: io::ErrorKind) -> Self {
        Self::of(-1, false, io::ErrorKind::Other, Some(says))
    }

    fn of(left: i64, dead_after: bool, kind: io::ErrorKind, links_refused: Option<io::ErrorKind>) -> Self {
        let (left, read) = (AtomicI64::new(left), AtomicU64::new(0));
        Self(Arc::new(State { left, dead_after, kind, links_refused, read }))
    }

    /// The failure comes after `left` more calls.
    pub fn arm(&self, left: i64) {
        self.0.left.store(left, Ordering::Relaxed);
    }

    /// How many bytes were read since the last call.
    pub fn read_since(&self) -> u64 {
        self.0.read.swap(0, Ordering::Relaxed)
    }

    /// Whether the failure has happened.
    pub fn has_failed(&self) -> bool {
        self.0.left.load(Ordering::Relaxed) == i64::MIN
    }

    fn change(&self) -> io::Result<()> {
        let left = self.0.left.load(Ordering::Relaxed);
        match left {
            0 => {
                self.0.left.store(i64::MIN, Ordering::Relaxed);
                Err(self.0.kind.into())
            }
            i64::MIN if self.0.dead_after => Err(self.0.kind.into()),
            1.. => {
                self.0.left.store(left - 1, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(TestFile { disk: self.clone(), file })
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(OsDisk.open(path)?))
    }
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.change()?;
        Ok(self.file(OsDisk.create_new(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        OsDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        if let Some(refused) = self.0.links_refused {
            return Err(refused.into());
        }
        OsDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        OsDisk.remove(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        OsDisk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        OsDisk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        OsDisk.exists(path)
    }
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for TestFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.disk.0.read.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.file.read_at(out, at)
    }
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.write_at(data, at)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn links(&self) -> io::Result<u64> {
        self.file.links()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.change()?;
        self.file.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}
