//! A disk in memory that fails and crashes as real ones do, the same way for the same seed.
//!
//! [`SimDisk`] implements [`Disk`](crate::disk::Disk). A test runs its workload on it, plans trouble
//! ([`SimDisk::plan`], [`SimDisk::limit`], [`SimDisk::full_between`], [`SimDisk::cut_power_after`]), then crashes it:
//! [`SimDisk::cut_power`] loses what no sync covered, [`SimDisk::kill`] loses nothing but the process. Or it lets the
//! disk take a picture before each call ([`SimDisk::record`]) and crashes every one of those afterwards: one run of a
//! workload then yields as many crashes as it made calls, and more with other seeds. What the model allows after a
//! power cut:
//!
//! * Each 512-byte sector written since the file's last sync holds one of the contents it had since then, the old one
//!   included, whatever became of its neighbours: writes tear and overtake one another.
//! * A file's length is one it had since its last sync. Bytes within it that never arrived are zero.
//! * Of the creations, renames, links and removals since a directory's last sync, any happened, in any order between names;
//!   those of one name happen in their order.
//! * A file that was renamed into another directory is there under its new name once that one was synced; the old name
//!   may come back until the old one was.
//! * What was synced is there. Directories themselves are never lost.
//! * After a failed sync nothing is pending any more, although an unknown part never reached the disk: another sync
//!   succeeds and proves nothing. A directory's changes stay pending: a file system whose journal fails stops for good,
//!   and one that goes on has them still.
//!
//! A failed write may have happened up to the end of some sector; a failed read may have filled a part of what it was
//! given.

mod content;
mod disk;
mod files;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use self::disk::World;
use self::files::Files;

const SECTOR_LEN: usize = 512;

/// A small deterministic generator for tests (SplitMix64). Not for keys.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice of this seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// A number in `0..bound`; 0 if there is none.
    pub fn under(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    /// Whether something with this chance happens.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.below(100) < usize::from(percent)
    }
}

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// [`crate::disk::DiskFile::read_at`].
    Read,
    /// [`crate::disk::DiskFile::write_at`].
    Write,
    /// [`crate::disk::DiskFile::set_len`].
    SetLen,
    /// [`crate::disk::DiskFile::sync`].
    Sync,
    /// [`crate::disk::Disk::create_new`].
    Create,
    /// [`crate::disk::Disk::rename`].
    Rename,
    /// [`crate::disk::Disk::link`].
    Link,
    /// [`crate::disk::Disk::remove`].
    Remove,
    /// [`crate::disk::Disk::sync_dir`].
    SyncDir,
}

/// A failure to come.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// Which calls count; `None` for all that change something.
    pub call: Option<Call>,
    /// How many of them still succeed.
    pub after: u64,
    /// What the call then answers. A write may have happened in part, and so may a sync.
    pub error: io::ErrorKind,
    /// Whether later ones fail too.
    pub lasting: bool,
}

/// What survives of what was not synced when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// All of it, as after a kill.
    Everything,
    /// Whatever the disk's dice say.
    ByLot,
}

impl Survival {
    /// The chance of each piece.
    fn percent(self, dice: &mut Dice) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Everything => 100,
            Self::ByLot => match dice.below(4) {
                0 => 0,
                1 => 100,
                _ => u8::try_from(10 + dice.below(81)).unwrap_or(50),
            },
        }
    }
}

/// A simulated disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
    /// Of a process that has the disk: the boot in which it lives.
    process: Option<u64>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// The disk is held no more, or somebody waits for that.
    turned: Condvar,
}

/// All files of a [`SimDisk`] at one moment. Cheap to take, to copy and to keep.
#[derive(Debug, Clone)]
pub struct Snapshot(Files);

/// A picture that [`SimDisk::record`] had taken.
#[derive(Debug, Clone)]
pub struct Picture {
    /// How many calls that change something came before it.
    pub call: u64,
    /// What [`SimDisk::label`] said at the time.
    pub label: u64,
    /// The files.
    pub files: Snapshot,
}

impl Snapshot {
    /// A disk that holds this, whose accidents follow from `seed`.
    pub fn disk(&self, seed: u64) -> SimDisk {
        let world = Mutex::new(World::new(self.0.clone(), seed));
        SimDisk { shared: Arc::new(Shared { world, turned: Condvar::new() }), process: None }
    }

    /// Whether a power cut could take a name back, or bring one.
    pub fn has_unsynced_names(&self) -> bool {
        self.0.has_unsynced_names()
    }
}

impl SimDisk {
    /// An empty disk whose accidents follow from `seed`.
    pub fn from_seed(seed: u64) -> Self {
        let mut files = Files::default();
        Arc::make_mut(&mut files.dirs).insert(PathBuf::from("/"));
        Snapshot(files).disk(seed)
    }

    /// The disk as a process that starts now has it: once that was killed or the power was cut, whatever is left of it can do
    /// nothing any more.
    pub fn process(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), process: Some(self.world().boot) }
    }

    /// Lets a call fail.
    pub fn plan(&self, trouble: Trouble) {
        self.world().troubles.push(trouble);
    }

    /// Forgets all planned failures, limits and power cuts.
    pub fn heal(&self) {
        let mut world = self.world();
        world.troubles.clear();
        (world.capacity, world.full, world.power_left) = (None, None, None);
        world.full_dir = None;
    }

    /// Lets writes fail for lack of space once all files together take `bytes` in blocks of 4096; `None` lifts the
    /// limit. What has its place can be written over, and a length takes no space.
    pub fn limit(&self, bytes: Option<u64>) {
        self.world().capacity = bytes;
    }

    /// Lets what is in this directory find no space, whatever else does; `None` ends that.
    pub fn full_in(&self, dir: Option<&Path>) {
        self.world().full_dir = dir.map(Path::to_path_buf);
    }

    /// Lets the disk be full from `from` calls that change something from now on until `to` calls from now.
    pub fn full_between(&self, from: u64, to: u64) {
        let mut world = self.world();
        world.full = Some(world.changes + from..world.changes + to);
    }

    /// Lets calls that find no space say that their user's quota is used up, or that the disk is full, as it is at first.
    pub fn by_quota(&self, quota: bool) {
        let kind = if quota { io::ErrorKind::QuotaExceeded } else { io::ErrorKind::StorageFull };
        self.world().no_space = kind;
    }

    /// Lets `calls` more calls that change something succeed, and none after them, until [`Self::cut_power`].
    pub fn cut_power_after(&self, calls: u64) {
        self.world().power_left = Some(calls);
    }

    /// Power goes and comes back: what no sync covered may be lost, in part. All handles are dead, trouble is over.
    pub fn cut_power(&self) {
        self.cut_power_keeping(Survival::ByLot);
    }

    /// [`Self::cut_power`] that leaves nothing to chance.
    pub fn cut_power_keeping(&self, survival: Survival) {
        let mut world = self.world();
        let world = &mut *world;
        world.files.cut_power(survival, &mut world.dice);
        world.restart();
    }

    /// The process dies: everything written stays. All handles are dead, trouble is over.
    pub fn kill(&self) {
        self.world().restart();
    }

    /// Takes a picture before each call that changes something, until [`Self::pictures`].
    pub fn record(&self) {
        self.world().pictures = Some(Vec::new());
    }

    /// Says what the test knows by now; pictures carry it.
    pub fn label(&self, label: u64) {
        self.world().label = label;
    }

    /// The pictures taken since [`Self::record`], and one of now. No more are taken.
    pub fn pictures(&self) -> Vec<Picture> {
        let mut world = self.world();
        let mut pictures = world.pictures.take().unwrap_or_default();
        pictures.push(world.picture());
        pictures
    }

    /// Lets calls that change something wait until [`Self::go_on`], so that a test decides what gathers meanwhile.
    pub fn hold(&self) {
        self.world().held = true;
    }

    /// Whether a call of a thread of this name waits.
    pub fn is_waited_for_by(&self, thread: &str) -> bool {
        self.world().waiting.iter().any(|name| name == thread)
    }

    /// How many calls wait.
    pub fn waiting(&self) -> usize {
        self.world().waiting.len()
    }

    /// Ends [`Self::hold`].
    pub fn go_on(&self) {
        self.world().held = false;
        self.shared.turned.notify_all();
    }

    /// All files as they are, with what is durable of them.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.world().files.clone())
    }

    /// Puts the whole disk back. All handles are dead.
    pub fn restore(&self, snapshot: &Snapshot) {
        let mut world = self.world();
        world.files = snapshot.0.clone();
        world.restart();
    }

    /// Writes down each call from now on, until [`Self::traced`].
    pub fn trace(&self) {
        self.world().trace = Some(Vec::new());
    }

    /// The calls since [`Self::trace`], each with where and what. No more are written down.
    pub fn traced(&self) -> Vec<String> {
        self.world().trace.take().unwrap_or_default()
    }

    /// How often this call was made so far.
    pub fn calls(&self, call: Call) -> u64 {
        self.world().calls.get(&call).copied().unwrap_or(0)
    }

    /// How many calls that change something were made so far.
    pub fn changes(&self) -> u64 {
        self.world().changes
    }

    /// The paths of all files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.world().files.names.keys().cloned().collect()
    }

    /// A file's bytes; `None` if there is none.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        let inode = world.files.names.get(path).and_then(|inode| world.files.inodes.get(inode));
        inode.map(|inode| inode.content.to_vec())
    }

    /// Puts a file there behind everybody's back, durably; `None` removes it.
    pub fn put(&self, path: &Path, bytes: Option<Vec<u8>>) {
        self.world().files.put(path, bytes.as_deref());
    }

    /// Flips one bit of a file that is there, durably.
    pub fn flip(&self, path: &Path, bit: usize) {
        let mut bytes = self.bytes(path).expect("the test names a file that is there");
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.put(path, Some(bytes));
    }

    /// Where bits of a file can rot: the places of its blocks of 4096 bytes that were written, each with its length.
    pub fn written_blocks(&self, path: &Path) -> Vec<(usize, usize)> {
        let world = self.world();
        let inode = world.files.names.get(path).and_then(|inode| world.files.inodes.get(inode));
        let Some(content) = inode.map(|inode| &inode.content) else { return Vec::new() };
        let place = |block: usize| (block * content::BLOCK_LEN, content.len());
        let within = |(at, len): (usize, usize)| (at, (len - at).min(content::BLOCK_LEN));
        content.blocks().map(place).filter(|(at, len)| at < len).map(within).collect()
    }

    /// Cuts or grows a file that is there, durably.
    pub fn resize(&self, path: &Path, len: usize) {
        let mut bytes = self.bytes(path).expect("the test names a file that is there");
        bytes.resize(len, 0);
        self.put(path, Some(bytes));
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a call that changes something: waits while the disk is held.
    fn turn(&self) -> MutexGuard<'_, World> {
        let mut world = self.world();
        if world.held {
            let thread = thread::current();
            let name = thread.name().unwrap_or_default();
            world.waiting.push(name.to_owned());
            world = self.shared.turned.wait_while(world, |w| w.held).unwrap_or_else(PoisonError::into_inner);
            let at = world.waiting.iter().position(|waiting| waiting == name);
            world.waiting.swap_remove(at.expect("it was put there before waiting"));
        }
        world
    }
}

#[cfg(test)]
mod tests;
