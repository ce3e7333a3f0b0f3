//! A disk in memory that loses power: of what was not synced, each write is kept, lost or torn at 512-byte sectors.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// Small and repeatable (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What survives of unsynced writes when power comes back.
#[derive(Debug)]
pub(super) enum Survival {
    None,
    All,
    /// Each by lot.
    Lot(Dice),
}

/// What goes wrong at a given call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Power fails while the call runs.
    PowerOff,
    /// The call does nothing and fails.
    Error,
    /// As [`Self::Error`], and every later call too, as on a full disk.
    Full,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Debug, Default)]
struct Content {
    durable: Vec<u8>,
    live: Vec<u8>,
    pending: Vec<Change>,
    locked: bool,
}

#[derive(Debug, Clone)]
enum Naming {
    Set(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Naming>,
    off: bool,
    calls: u64,
    trouble: Option<(u64, Trouble)>,
    /// Counts power cycles: handles of an earlier one are dead.
    boot: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Lets the `n`th changing call from now (counted from 0) run into trouble.
    pub(super) fn trouble_at(&self, n: u64, trouble: Trouble) {
        let mut state = self.state();
        state.trouble = Some((state.calls + n, trouble));
    }

    pub(super) fn no_trouble(&self) {
        self.state().trouble = None;
    }

    /// How many changing calls there were.
    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }

    pub(super) fn power_off(&self) {
        self.state().off = true;
    }

    pub(super) fn power_on(&self, mut survival: Survival) {
        let mut state = self.state();
        let state = &mut *state;
        for content in &mut state.contents {
            for change in std::mem::take(&mut content.pending) {
                survive(&mut content.durable, change, &mut survival);
            }
            content.live = content.durable.clone();
            content.locked = false;
        }
        let kept = match &mut survival {
            Survival::None => 0,
            Survival::All => state.pending_names.len(),
            Survival::Lot(dice) => dice.below(state.pending_names.len() as u64 + 1) as usize,
        };
        for naming in state.pending_names.drain(..).take(kept) {
            name(&mut state.durable_names, naming);
        }
        state.names = state.durable_names.clone();
        (state.off, state.trouble, state.boot) = (false, None, state.boot + 1);
    }

    /// The bytes of a file as they are now.
    pub(super) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.contents[state.names[path]].live.clone()
    }

    /// Replaces a file's bytes, as one who holds the disk can.
    pub(super) fn replace(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        let index = state.names[path];
        state.contents[index] =
            Content { durable: bytes.clone(), live: bytes, pending: Vec::new(), locked: false };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn survive(bytes: &mut Vec<u8>, change: Change, survival: &mut Survival) {
    match (change, survival) {
        (_, Survival::None) => {}
        (change, Survival::All) => perform(bytes, change),
        (change, Survival::Lot(dice)) => match (dice.below(3), change) {
            (0, _) => {}
            (1, change) | (_, change @ Change::SetLen(_)) => perform(bytes, change),
            (_, Change::Write(at, data)) => {
                for (index, sector) in data.chunks(SECTOR).enumerate() {
                    if dice.below(2) == 0 {
                        perform(bytes, Change::Write(at + (index * SECTOR) as u64, sector.to_vec()));
                    }
                }
            }
        },
    }
}

fn perform(bytes: &mut Vec<u8>, change: Change) {
    match change {
        Change::Write(at, data) => {
            let (start, end) = (at as usize, at as usize + data.len());
            resize(bytes, end.max(bytes.len()));
            bytes[start..end].copy_from_slice(&data);
        }
        Change::SetLen(len) => resize(bytes, len as usize),
    }
}

/// `Vec::resize` goes byte by byte in a build without optimisation.
fn resize(bytes: &mut Vec<u8>, length: usize) {
    bytes.truncate(length);
    bytes.extend_from_slice(&vec![0; length - bytes.len()]);
}

fn name(names: &mut BTreeMap<PathBuf, usize>, naming: Naming) {
    match naming {
        Naming::Set(path, index) => {
            names.insert(path, index);
        }
        Naming::Rename(from, to) => {
            if let Some(index) = names.remove(&from) {
                names.insert(to, index);
            }
        }
        Naming::Remove(path) => {
            names.remove(&path);
        }
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("power is off")) } else { Ok(()) }
    }

    /// Counts a changing call. `Ok(true)`: it happens, and then power fails.
    fn change(&mut self) -> io::Result<bool> {
        self.check()?;
        let call = self.calls;
        self.calls += 1;
        match self.trouble {
            Some((at, Trouble::PowerOff)) if at == call => {
                self.off = true;
                Ok(true)
            }
            Some((at, Trouble::Error)) if at == call => Err(io::Error::from_raw_os_error(5)),
            Some((at, Trouble::Full)) if at <= call => Err(io::Error::from(io::ErrorKind::StorageFull)),
            _ => Ok(false),
        }
    }

    fn rename_now(&mut self, naming: Naming) -> io::Result<()> {
        let fails = self.change()?;
        name(&mut self.names, naming.clone());
        self.pending_names.push(naming);
        if fails { self.check() } else { Ok(()) }
    }

    fn handle(&self, path: &Path, disk: &SimDisk) -> io::Result<Arc<dyn DiskFile>> {
        let index = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: disk.clone(), index, boot: self.boot, owns_lock: Mutex::new(false) }))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        state.check()?;
        state.handle(path, self)
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let index = state.contents.len();
        state.contents.push(Content::default());
        state.rename_now(Naming::Set(path.into(), index))?;
        state.handle(path, self)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().rename_now(Naming::Rename(from.into(), to.into()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().rename_now(Naming::Remove(path.into()))
    }

    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.change()? {
            return state.check();
        }
        state.pending_names.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn list(&self, _path: &Path) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().map(|path| path.display().to_string()).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state();
        state.check()?;
        Ok(state.names.contains_key(path))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    index: usize,
    boot: u64,
    owns_lock: Mutex<bool>,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.check()?;
        if state.boot == self.boot { Ok(state) } else { Err(io::Error::other("the machine was restarted")) }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.state()?;
        let fails = state.change()?;
        let content = &mut state.contents[self.index];
        perform(&mut content.live, change.clone());
        content.pending.push(change);
        if fails { state.check() } else { Ok(()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let state = self.state()?;
        let live = &state.contents[self.index].live;
        let from = live.get(at as usize..at as usize + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.change(Change::Write(at, data.to_vec()))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.contents[self.index].live.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen(len))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        if state.change()? {
            return state.check();
        }
        let content = &mut state.contents[self.index];
        for change in std::mem::take(&mut content.pending) {
            perform(&mut content.durable, change);
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.state()?;
        let content = &mut state.contents[self.index];
        if content.locked {
            return Ok(false);
        }
        content.locked = true;
        *self.owns_lock.lock().unwrap() = true;
        Ok(true)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if *self.owns_lock.lock().unwrap() && state.boot == self.boot {
            state.contents[self.index].locked = false;
        }
    }
}
