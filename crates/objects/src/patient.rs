//! Waiting on a thread that others need.
//!
//! Reads of an index whose pages are in memory run on the threads of the asynchronous runtime, since a job on another
//! thread costs several times what they do. Now and then such a read meets a page that is not in memory. Then it must not keep the
//! thread's other tasks waiting: the runtime is told, and hands them to another thread for the time.

use std::io;
use std::path::Path;
use std::sync::Arc;

use strongroom_store::disk::{Disk, DiskFile};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Whether this thread's tasks can be handed to another one.
pub(crate) fn can_make_room() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Runs what may block; other tasks of this thread go on elsewhere meanwhile, if there are any.
pub fn patiently<T>(wait: impl FnOnce() -> T) -> T {
    if can_make_room() { tokio::task::block_in_place(wait) } else { wait() }
}

/// A file system that may be read from tasks of an asynchronous runtime with several threads.
#[derive(Debug, Clone)]
pub struct PatientDisk(Arc<dyn Disk>);

#[derive(Debug)]
struct PatientFile(Arc<dyn DiskFile>);

impl PatientDisk {
    /// Waits for `disk` patiently.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self(disk)
    }

    fn file(file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(PatientFile(file))
    }
}

impl Disk for PatientDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        patiently(|| self.0.open(path)).map(Self::file)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        patiently(|| self.0.open_read(path)).map(Self::file)
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        patiently(|| self.0.create_new(path)).map(Self::file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        patiently(|| self.0.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        patiently(|| self.0.link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        patiently(|| self.0.remove(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        patiently(|| self.0.remove_dir(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        patiently(|| self.0.create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        patiently(|| self.0.sync_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        patiently(|| self.0.list(path))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        patiently(|| self.0.exists(path))
    }
}

impl DiskFile for PatientFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        patiently(|| self.0.read_at(out, at))
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        patiently(|| self.0.write_at(data, at))
    }

    fn len(&self) -> io::Result<u64> {
        patiently(|| self.0.len())
    }

    fn links(&self) -> io::Result<u64> {
        patiently(|| self.0.links())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        patiently(|| self.0.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        patiently(|| self.0.sync())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_waits_patiently_keeps_no_other_task_waiting() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (sender, receiver) = mpsc::channel();
        let waiting = runtime.spawn(async move {
            // The only thread is ours, and what we wait for has yet to run on it.
            tokio::spawn(async move { sender.send(5).unwrap() });
            patiently(|| receiver.recv()).unwrap()
        });
        assert_eq!(runtime.block_on(waiting).unwrap(), 5);
    }

    #[test]
    fn outside_of_such_a_runtime_waiting_is_just_that() {
        assert_eq!(patiently(|| 1), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(async { patiently(|| 2) }), 2);
        assert!(!can_make_room());
    }
}
