//! What happens between two steps of moving a page, or of reading one: the disk lets the test do it exactly there.

use std::io;
use std::sync::{Mutex, OnceLock, Weak};

use super::super::file::{PageFile, Setting};
use super::super::geometry::{PAGE, PAGE_LEN, Sealed};
use super::*;
use crate::disk::DiskFile;
use crate::sim::SimDisk;

/// A call at which something is to happen, once, before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    SyncOf(&'static str),
    ReadOf(u64),
}

type Action = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Hook(Mutex<Option<(At, Action)>>);

impl Hook {
    fn set(&self, at: At, action: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some((at, Box::new(action)));
    }

    fn is_used(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }

    fn pass(&self, here: At) {
        let action = self.0.lock().unwrap().take_if(|(at, _)| *at == here);
        // Outside the lock: it makes calls of its own.
        if let Some((_, action)) = action {
            action();
        }
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

#[derive(Debug, Clone)]
struct Hooked {
    disk: SimDisk,
    hook: Arc<Hook>,
}

#[derive(Debug)]
struct HookedFile {
    file: Arc<dyn DiskFile>,
    hook: Arc<Hook>,
    name: &'static str,
}

impl Hooked {
    fn file(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let name = if path.extension().is_some_and(|end| end == "reseal") { "journal" } else { "pages" };
        Arc::new(HookedFile { file, hook: Arc::clone(&self.hook), name })
    }
}

impl Disk for Hooked {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path, self.disk.open(path)?))
    }
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path, self.disk.create_new(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
}

impl DiskFile for HookedFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.hook.pass(At::ReadOf(at));
        self.file.read_at(out, at)
    }
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.file.write_at(data, at)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.hook.pass(At::SyncOf(self.name));
        self.file.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

const PAGES: u64 = 10;

fn setting<'a>(disk: &Hooked, keys: &'a PageKeys) -> Setting<'a> {
    let path = Path::new("/bare.pages");
    Setting { disk: Arc::new(disk.clone()), path, group: GROUP, keys, random: random(1), tag_pages_max: 4 }
}

fn two_keys() -> PageKeys {
    let mut keys = keys();
    keys.keys.push((2, GroupKey::generate(random(2).as_ref())));
    keys.active = 2;
    keys
}

/// A file of ten pages under key 1, each filled with its number, that seals with key 2 from now on.
fn file() -> (Hooked, Arc<PageFile>) {
    let disk = Hooked { disk: SimDisk::from_seed(1), hook: Arc::default() };
    let disk_file = disk.create_new(Path::new("/bare.pages")).unwrap();
    let file = Arc::new(PageFile::create(disk_file, &setting(&disk, &keys())).unwrap());
    file.set_length(PAGES * PAGE).unwrap();
    for page in 1..PAGES {
        write(&file, page, page as u8);
    }
    file.sync().unwrap();
    file.use_keys(&two_keys()).unwrap();
    (disk, file)
}

fn write(file: &PageFile, page: u64, fill: u8) {
    file.write(page * PAGE, &[fill; PAGE_LEN]).unwrap();
}

fn read(file: &PageFile, page: u64) -> u8 {
    let mut out = vec![0xEE; PAGE_LEN];
    file.read(page * PAGE, &mut out).unwrap();
    assert!(out == [out[0]; PAGE_LEN]);
    out[0]
}

fn move_all(file: &PageFile) {
    for _ in 0..100 {
        if !file.reseal(64).unwrap().left {
            return;
        }
    }
    panic!("it never ends");
}

/// What it holds, in memory and after a kill.
fn check(disk: &Hooked, file: Arc<PageFile>, expected: impl Fn(u64) -> u8) {
    file.sync().unwrap();
    (1..PAGES).for_each(|page| assert_eq!(read(&file, page), expected(page), "page {page}"));
    drop(file);
    disk.disk.kill();
    let disk_file = disk.open(Path::new("/bare.pages")).unwrap();
    let file = PageFile::open(disk_file, &setting(disk, &two_keys()), RootSeq(0)).unwrap();
    (1..PAGES).for_each(|page| assert_eq!(read(&file, page), expected(page), "page {page}"));
}

#[test]
fn a_page_written_between_its_journal_and_its_move_keeps_what_was_written() {
    let (disk, file) = file();
    let weak = Arc::downgrade(&file);
    disk.hook.set(At::SyncOf("journal"), move || write(&Weak::upgrade(&weak).unwrap(), 5, 99));
    move_all(&file);
    assert!(disk.hook.is_used());
    check(&disk, file, |page| if page == 5 { 99 } else { page as u8 });
}

#[test]
fn a_page_written_after_its_move_and_before_the_root_keeps_what_was_written() {
    let (disk, file) = file();
    let weak = Arc::downgrade(&file);
    disk.hook.set(At::SyncOf("pages"), move || write(&Weak::upgrade(&weak).unwrap(), 5, 99));
    move_all(&file);
    assert!(disk.hook.is_used());
    check(&disk, file, |page| if page == 5 { 99 } else { page as u8 });
}

#[test]
fn a_page_moved_between_the_look_at_its_entry_and_its_reading_is_read_again() {
    let (disk, file) = file();
    let weak = Arc::downgrade(&file);
    disk.hook.set(At::ReadOf(Sealed::Data(5).place()), move || {
        let file = Weak::upgrade(&weak).unwrap();
        move_all(&file);
        // The key that the reader knows of is gone too.
        let mut keys = two_keys();
        keys.keys.remove(0);
        file.use_keys(&keys).unwrap();
    });
    assert_eq!(read(&file, 5), 5);
    assert!(disk.hook.is_used());
    check(&disk, file, |page| page as u8);
}

#[test]
fn pages_cut_off_between_their_journal_and_their_move_stay_cut_off() {
    let (disk, file) = file();
    let weak = Arc::downgrade(&file);
    let length = Arc::new(OnceLock::new());
    let seen = Arc::clone(&length);
    let pages = disk.clone();
    disk.hook.set(At::SyncOf("journal"), move || {
        Weak::upgrade(&weak).unwrap().set_length(6 * PAGE).unwrap();
        seen.set(pages.disk.bytes(Path::new("/bare.pages")).unwrap().len()).unwrap();
    });
    move_all(&file);
    let now = disk.disk.bytes(Path::new("/bare.pages")).unwrap().len();
    assert_eq!(Some(&now), length.get(), "moving made the file longer again");
    file.set_length(PAGES * PAGE).unwrap();
    check(&disk, file, |page| if page < 6 { page as u8 } else { 0 });
}

#[test]
fn a_change_of_keys_in_the_middle_of_a_batch_leaves_nothing_under_the_keys_before() {
    let (disk, file) = file();
    let weak = Arc::downgrade(&file);
    disk.hook.set(At::SyncOf("journal"), move || {
        let mut keys = two_keys();
        keys.keys.push((3, GroupKey::generate(random(3).as_ref())));
        keys.active = 3;
        Weak::upgrade(&weak).unwrap().use_keys(&keys).unwrap();
    });
    move_all(&file);
    assert!(disk.hook.is_used());
    let usage = file.pages_by_key().unwrap();
    assert!(usage.iter().all(|(id, pages)| (*id == 3) == (*pages > 0)), "{usage:?}");
    (1..PAGES).for_each(|page| assert_eq!(read(&file, page), page as u8));
}
