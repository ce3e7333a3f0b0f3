//! The one narrow door to the file system.
//!
//! Everything in this crate that rests goes through [`Disk`], so that faults and crashes are other
//! implementations of it and not branches in the code.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file system.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file that exists for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that exists for reading alone, so that a file system that takes no writes will do.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }
    /// Creates a file that must not exist, readable by its owner alone.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Names `from` as `to`, replacing what was there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a further name, which must not be taken: it is one file under both, and there until the last is removed.
    /// Where files have one name each, that is an error and nothing happens.
    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory that is empty. Where directories cannot be removed, they stay.
    fn remove_dir(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes a directory and its parents, open to their owner alone; existing ones are fine and stay as they are.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames, further names and removals in `path` durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Whether something has this path.
    fn exists(&self, path: &Path) -> io::Result<bool>;
}

/// An open file, read and written at positions.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Fills `out` from `at`; fewer bytes than asked for are an error.
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()>;
    /// Writes all of `data` at `at`, growing the file if needed.
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// How many names the file has: with the last one its bytes go. Where files have one name each, that is one.
    fn links(&self) -> io::Result<u64> {
        Ok(1)
    }
    /// Cuts or grows the file; new bytes are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes content and length durable. After an error nothing is known of what was written since the last
    /// success, so the caller must not try again and go on.
    fn sync(&self) -> io::Result<()>;
    /// Takes the file's exclusive lock without waiting; `false` if another holds it.
    fn try_lock(&self) -> io::Result<bool>;
    /// Takes the file's lock as one of several that only look, without waiting; `false` if somebody has it alone. Where
    /// there is no such lock it is the exclusive one.
    fn try_lock_shared(&self) -> io::Result<bool> {
        self.try_lock()
    }
}

/// Makes a directory and those above it that are missing, durably: the name of each is in the directory above it, so that is
/// what is synced. The answer is what was made, the topmost first.
pub fn make_dir_durably(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for dir in dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty()) {
        if disk.exists(dir)? {
            break;
        }
        made.insert(0, dir.to_owned());
    }
    if !made.is_empty() {
        disk.create_dir_all(dir)?;
    }
    for dir in &made {
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        disk.sync_dir(above.unwrap_or(Path::new(".")))?;
    }
    Ok(made)
}

/// Whether a file system answered that it has no space: it is full, or what its user may take of it is. Both pass, and
/// what needs no more space goes on meanwhile.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OsFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = File::open(path)?;
        // Opened for reading, a directory would be one too.
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(OsFile(file)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // A name that is not UTF-8 is none of ours; the lossy form says so wherever it is reported.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(out, at)
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(data, at)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn links(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.nlink())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        locked(self.0.try_lock())
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        locked(self.0.try_lock_shared())
    }
}

fn locked(answer: Result<(), fs::TryLockError>) -> io::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;

    /// What making the directory syncs.
    fn synced(disk: &SimDisk, dir: &str) -> Vec<String> {
        disk.trace();
        make_dir_durably(disk, Path::new(dir)).unwrap();
        assert!(disk.exists(Path::new(dir)).unwrap());
        let synced = |call: &String| call.strip_prefix("sync names in ").map(str::to_owned);
        disk.traced().iter().filter_map(synced).collect()
    }

    #[test]
    fn each_directory_that_is_made_has_its_name_synced() {
        let disk = SimDisk::from_seed(1);
        assert_eq!(synced(&disk, "/a/b/c"), ["/", "/a", "/a/b"]);
        assert_eq!(synced(&disk, "/a/b/c"), [""; 0]);
        assert_eq!(synced(&disk, "/a/b/d"), ["/a/b"]);
        assert_eq!(synced(&disk, "x/y"), [".", "x"], "one that is below the working directory");
    }
}
