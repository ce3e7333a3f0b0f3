//! The data directory: layout, lock, format line. `docs/spec/data-directory.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_seal::Random;

use crate::disk::{Disk, DiskFile, is_no_space, make_dir_durably};
use crate::{Damage, GroupId, OpenError, Place};

/// The newest format of the directory that this program reads, and the one it writes (§3).
const FORMAT_VERSION: u32 = 1;
const FORMAT_LEN_MAX: u64 = 128;
const FORMAT_NAME: &str = "strongroom-store";
/// Marks a directory that a backup is being restored into (`docs/spec/backup.md` §8).
const RESTORING: &str = "RESTORING";
/// `blobs`, a path of four components, and the file.
const RESTORED_DEPTH_MAX: u32 = 6;

/// Names the store; random and no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

/// What the directory turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A store.
    Store(StoreId),
    /// A place where a store with this id is being made; [`Directory::complete`] ends the making.
    New(StoreId),
}

/// A data directory. Whoever uses it holds its lock.
#[derive(Debug)]
pub(crate) struct Directory {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
}

/// The data directory's lock. It goes with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not used")] Arc<dyn DiskFile>);

impl Directory {
    /// Locks the directory and finds out what it is (§2, §4). Half-made stores are swept away.
    pub(crate) fn lock(
        dir: &Path,
        disk: &Arc<dyn Disk>,
        random: &dyn Random,
    ) -> Result<(Self, Lock, Found), OpenError> {
        make_dir_durably(disk.as_ref(), dir).map_err(|error| io_error(dir, error))?;
        // Names first: a directory that is no store does not get a LOCK.
        classify(dir, &names(disk.as_ref(), dir)?)?;
        let lock = take_lock(dir, disk)?;
        let this = Self { dir: dir.to_owned(), disk: Arc::clone(disk) };
        let found = match classify(dir, &names(disk.as_ref(), dir)?)? {
            Kind::Store => {
                this.remove_if_there(&dir.join("FORMAT.new"))?;
                Found::Store(this.read_format()?)
            }
            Kind::HalfMade => {
                this.sweep()?;
                Found::New(this.begin(random)?)
            }
            Kind::Empty => Found::New(this.begin(random)?),
        };
        Ok((this, lock, found))
    }

    /// Locks a directory that a store with this id is to be restored into: one that is missing, empty, or what a restoring
    /// left that was cut short. `RESTORING` is there from now on, so nobody takes it for a place to make a store in.
    pub(crate) fn lock_for_restoring(
        dir: &Path,
        disk: &Arc<dyn Disk>,
        id: StoreId,
    ) -> Result<(Self, Lock), RestorePlace> {
        make_dir_durably(disk.as_ref(), dir).map_err(|error| io_error(dir, error))?;
        check_restorable(dir, disk.as_ref())?;
        let lock = take_lock(dir, disk)?;
        check_restorable(dir, disk.as_ref())?;
        let this = Self { dir: dir.to_owned(), disk: Arc::clone(disk) };
        let marker = dir.join(RESTORING);
        if disk.exists(&marker).map_err(|error| io_error(&marker, error))? {
            this.unmake()?;
        } else {
            disk.create_new(&marker).map_err(|error| io_error(&marker, error))?;
        }
        this.sync()?;
        this.write_format_new(id)?;
        Ok((this, lock))
    }

    /// The restoring is done: everything else is durable, so the directory may be called a store.
    pub(crate) fn restored(&self) -> Result<(), OpenError> {
        self.complete()?;
        self.remove_if_there(&self.dir.join(RESTORING))?;
        self.sync()
    }

    /// Removes what a restoring made, so that the directory is as it was found.
    pub(crate) fn abandon_restoring(&self) -> Result<(), OpenError> {
        self.unmake()?;
        self.remove_if_there(&self.dir.join(RESTORING))?;
        self.remove_if_there(&self.dir.join("LOCK"))?;
        self.sync()
    }

    fn unmake(&self) -> Result<(), OpenError> {
        for name in ["FORMAT.new", "keyring", "keyring.new"] {
            self.remove_if_there(&self.dir.join(name))?;
        }
        for dir in [self.log(), self.pages(), self.dir.join("blobs")] {
            remove_tree(self.disk.as_ref(), &dir, RESTORED_DEPTH_MAX)?;
        }
        self.sync()
    }

    /// Whether there is a store, by names alone. A directory that can neither be a store nor become one is an error, so
    /// that who asks before making something in it learns that in time.
    pub(crate) fn has_store(dir: &Path, disk: &dyn Disk) -> Result<bool, OpenError> {
        if !disk.exists(dir).map_err(|error| io_error(dir, error))? {
            return Ok(false);
        }
        Ok(matches!(classify(dir, &names(disk, dir)?)?, Kind::Store))
    }

    /// The directory of a store that is there and the store's id, without locking it.
    pub(crate) fn existing(dir: &Path, disk: &Arc<dyn Disk>) -> Result<(Self, StoreId), OpenError> {
        let this = Self { dir: dir.to_owned(), disk: Arc::clone(disk) };
        let id = this.read_format()?;
        Ok((this, id))
    }

    /// The making is done: everything else is durable, so the directory may be called a store.
    pub(crate) fn complete(&self) -> Result<(), OpenError> {
        self.sync()?;
        let (from, to) = (self.dir.join("FORMAT.new"), self.dir.join("FORMAT"));
        self.disk.rename(&from, &to).map_err(|error| io_error(&to, error))?;
        self.sync()
    }

    /// Makes the names that are there durable (§5). A process that died may have left a renaming in the system's cache
    /// alone, and what an opening makes durable must not rest on a file that a power cut takes back.
    pub(crate) fn settle(&self) -> Result<(), OpenError> {
        for dir in [self.dir.clone(), self.log(), self.pages()] {
            self.disk.sync_dir(&dir).map_err(|error| io_error(&dir, error))?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn keyring_new(&self) -> PathBuf {
        self.dir.join("keyring.new")
    }

    pub(crate) fn keyring(&self) -> PathBuf {
        self.dir.join("keyring")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn pages(&self) -> PathBuf {
        self.dir.join("pages")
    }

    pub(crate) fn page_file(&self, group: GroupId) -> PathBuf {
        self.pages().join(format!("{group}.pages"))
    }

    /// Removes page files of groups that are not there any more (a dropping that a crash cut short), and those in the making.
    pub(crate) fn remove_strays(&self, exists: impl Fn(GroupId) -> bool) -> Result<(), OpenError> {
        let pages = self.pages();
        let names = self.disk.list(&pages).map_err(|error| io_error(&pages, error))?;
        for name in names {
            let stem = [".pages", ".new", ".reseal"].iter().find_map(|end| name.strip_suffix(end));
            let group = stem.filter(|stem| stem.len() == 8);
            if group
                .and_then(|stem| u32::from_str_radix(stem, 16).ok())
                // Nobody is making a page file yet, or trying whether there is space for one.
                .is_some_and(|id| name.ends_with(".new") || !exists(GroupId(id)))
            {
                self.remove_if_there(&pages.join(name))?;
            }
        }
        Ok(())
    }

    fn begin(&self, random: &dyn Random) -> Result<StoreId, OpenError> {
        let mut id = StoreId([0; 16]);
        random.fill(&mut id.0);
        self.write_format_new(id)?;
        Ok(id)
    }

    fn write_format_new(&self, id: StoreId) -> Result<(), OpenError> {
        let path = self.dir.join("FORMAT.new");
        let line = format_line(id);
        (|| {
            // Written over and never removed: without it, what is left of an earlier making looks like a store that
            // lost its FORMAT.
            let file = match self.disk.create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.open(&path)?,
                created => created?,
            };
            file.set_len(line.len() as u64)?;
            file.write_at(line.as_bytes(), 0)?;
            file.sync()
        })()
        .map_err(|error| io_error(&path, error))?;
        self.sync()?;
        for dir in [self.log(), self.pages()] {
            self.disk.create_dir_all(&dir).map_err(|error| io_error(&dir, error))?;
        }
        self.sync()
    }

    fn sweep(&self) -> Result<(), OpenError> {
        for name in ["keyring", "keyring.new"] {
            self.remove_if_there(&self.dir.join(name))?;
        }
        for dir in [self.log(), self.pages()] {
            if self.disk.exists(&dir).map_err(|error| io_error(&dir, error))? {
                for name in self.disk.list(&dir).map_err(|error| io_error(&dir, error))? {
                    self.remove_if_there(&dir.join(name))?;
                }
                self.disk.sync_dir(&dir).map_err(|error| io_error(&dir, error))?;
            }
        }
        self.sync()
    }

    fn read_format(&self) -> Result<StoreId, OpenError> {
        let path = self.dir.join("FORMAT");
        let damage = |why| OpenError::from(Damage { file: path.clone(), at: Place::Whole, why });
        let bytes = read_whole(&*self.disk, &path, FORMAT_LEN_MAX)?
            .ok_or_else(|| damage("it is longer than a format line"))?;
        match parse_format(&bytes) {
            Ok(id) => Ok(id),
            Err(FormatError::TooNew(found)) => {
                Err(OpenError::TooNew { dir: self.dir.clone(), found, supported: FORMAT_VERSION })
            }
            Err(FormatError::Malformed) => Err(damage("it is not a format line")),
        }
    }

    fn remove_if_there(&self, path: &Path) -> Result<(), OpenError> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), OpenError> {
        self.disk.sync_dir(&self.dir).map_err(|error| io_error(&self.dir, error))
    }
}

/// The table of §4.
enum Kind {
    Store,
    Empty,
    HalfMade,
}

fn classify(dir: &Path, names: &[String]) -> Result<Kind, OpenError> {
    let has = |name: &str| names.iter().any(|found| found == name);
    if has("FORMAT") {
        return Ok(Kind::Store);
    }
    if has(RESTORING) {
        return Err(OpenError::HalfRestored { dir: dir.to_owned() });
    }
    if names.iter().all(|name| name == "LOCK") {
        return Ok(Kind::Empty);
    }
    const OURS: [&str; 6] = ["FORMAT.new", "LOCK", "keyring", "keyring.new", "log", "pages"];
    let foreign = names.iter().find(|name| !OURS.contains(&name.as_str()));
    match foreign {
        None if has("FORMAT.new") => Ok(Kind::HalfMade),
        Some(name) if !has("keyring") => {
            Err(OpenError::NotAStore { dir: dir.to_owned(), found: name.clone() })
        }
        _ => Err(OpenError::Missing { file: dir.join("FORMAT") }),
    }
}

/// Why a directory is no place to restore into.
#[derive(Debug)]
pub(crate) enum RestorePlace {
    /// It has something in it.
    NotEmpty { found: String },
    /// It cannot be looked at or locked.
    Open(OpenError),
}

impl From<OpenError> for RestorePlace {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

fn check_restorable(dir: &Path, disk: &dyn Disk) -> Result<(), RestorePlace> {
    let names = disk.list(dir).map_err(|error| io_error(dir, error))?;
    let restoring = names.iter().any(|name| name == RESTORING);
    const OURS: [&str; 6] = ["FORMAT.new", "keyring", "keyring.new", "log", "pages", "blobs"];
    let stays = |name: &str| ["LOCK", RESTORING, "kms", "lost+found"].contains(&name);
    let allowed = |name: &str| stays(name) || (restoring && OURS.contains(&name));
    match names.into_iter().find(|name| !allowed(name)) {
        Some(found) => Err(RestorePlace::NotEmpty { found }),
        None => Ok(()),
    }
}

/// Removes a file, or a directory with what is in it.
fn remove_tree(disk: &dyn Disk, path: &Path, depth: u32) -> Result<(), OpenError> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let Ok(names) = disk.list(path) else {
        return match disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
            _ => Ok(()),
        };
    };
    for name in names {
        remove_tree(disk, &path.join(name), depth)?;
    }
    // An empty directory is taken again by the next restoring.
    let _ = disk.remove_dir(path);
    Ok(())
}

fn names(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, OpenError> {
    let mut names = disk.list(dir).map_err(|error| io_error(dir, error))?;
    // What mkfs puts at the top of a fresh volume is nobody's file, and the local KMS, the blobs and the administrator's socket are
    // other crates'.
    names.retain(|name| !["lost+found", "kms", "blobs", "admin.sock"].contains(&name.as_str()));
    Ok(names)
}

/// Takes the lock of a data directory.
pub(crate) fn take_lock(dir: &Path, disk: &Arc<dyn Disk>) -> Result<Lock, OpenError> {
    let path = dir.join("LOCK");
    let file = match disk.create_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path),
        other => other,
    }
    .map_err(|error| io_error(&path, error))?;
    match file.try_lock() {
        Ok(true) => Ok(Lock(file)),
        Ok(false) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(error) => Err(io_error(&path, error)),
    }
}

pub(crate) fn format_line(id: StoreId) -> String {
    use std::fmt::Write as _;
    let mut line = format!("{FORMAT_NAME} {FORMAT_VERSION} ");
    for byte in id.0 {
        write!(line, "{byte:02x}").expect("a String takes everything");
    }
    line.push('\n');
    line
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FormatError {
    TooNew(u32),
    Malformed,
}

pub(crate) fn parse_format(bytes: &[u8]) -> Result<StoreId, FormatError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FormatError::Malformed)?;
    let rest = text
        .strip_prefix(FORMAT_NAME)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or(FormatError::Malformed)?;
    let (version, rest) = rest.split_once([' ', '\n']).ok_or(FormatError::Malformed)?;
    let version: u32 = version.parse().map_err(|_| FormatError::Malformed)?;
    if version > FORMAT_VERSION {
        return Err(FormatError::TooNew(version));
    }
    let mut id = StoreId([0; 16]);
    let digits = rest.strip_suffix('\n').filter(|digits| digits.len() == 32 && digits.is_ascii());
    for (index, byte) in id.0.iter_mut().enumerate() {
        let pair =
            digits.and_then(|digits| digits.get(2 * index..2 * index + 2)).ok_or(FormatError::Malformed)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| FormatError::Malformed)?;
    }
    // One encoding per value: `+1`, `01`, upper case and the like are refused by writing the line again.
    if format_line(id).as_bytes() == bytes { Ok(id) } else { Err(FormatError::Malformed) }
}

/// A file's content, or `None` if it is longer than `most` bytes.
pub(crate) fn read_whole(disk: &dyn Disk, path: &Path, most: u64) -> Result<Option<Vec<u8>>, OpenError> {
    let read = || {
        let file = disk.open(path)?;
        let length = file.len()?;
        let Some(length) = usize::try_from(length).ok().filter(|_| length <= most) else { return Ok(None) };
        let mut bytes = vec![0; length];
        file.read_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    };
    read().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::Missing { file: path.to_owned() },
        _ => io_error(path, error),
    })
}

pub(crate) fn io_error(path: &Path, error: io::Error) -> OpenError {
    if is_no_space(&error) {
        return OpenError::NoSpace { path: path.to_owned() };
    }
    OpenError::Io { path: path.to_owned(), source: Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: StoreId = StoreId([0xab; 16]);

    #[test]
    fn a_format_line_reads_back() {
        assert_eq!(parse_format(format_line(ID).as_bytes()), Ok(ID));
    }

    #[test]
    fn a_newer_format_is_told_from_a_mangled_one() {
        assert_eq!(parse_format(b"strongroom-store 2 whatever comes then\n"), Err(FormatError::TooNew(2)));
        assert_eq!(parse_format(b"strongroom-store 9\n"), Err(FormatError::TooNew(9)));
    }

    #[test]
    fn only_the_exact_line_is_a_format_line() {
        let line = format_line(ID);
        for cut in 0..line.len() {
            assert_eq!(parse_format(&line.as_bytes()[..cut]), Err(FormatError::Malformed), "cut at {cut}");
        }
        for other in [
            line.replace(" 1 ", " 01 "),
            line.replace(" 1 ", " +1 "),
            line.replace(" 1 ", " 0 "),
            line.to_uppercase(),
            line.replace("ab", "AB"),
            format!("{line}\n"),
            line.replace('\n', "\r\n"),
        ] {
            assert_eq!(parse_format(other.as_bytes()), Err(FormatError::Malformed), "{other:?}");
        }
    }
}
