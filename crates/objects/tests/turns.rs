//! Reads on the threads of the runtime leave others their turn.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use strongroom_objects::*;
use strongroom_store::disk::{Disk, DiskFile, OsDisk};
use strongroom_store::{Store, StoreOptions};
use support::*;

const PATIENCE: Duration = Duration::from_secs(5);

/// The operating system's files, whose reads wait while a test wants them to.
#[derive(Debug, Clone, Default)]
struct GateDisk(Arc<(Mutex<Gate>, Condvar)>);

#[derive(Debug, Default)]
struct Gate {
    closed: bool,
    waiting: usize,
}

impl GateDisk {
    fn set_closed(&self, closed: bool) {
        self.0.0.lock().unwrap().closed = closed;
        self.0.1.notify_all();
    }

    fn is_waited_for(&self) -> bool {
        self.0.0.lock().unwrap().waiting > 0
    }

    fn pass(&self) {
        let mut gate = self.0.0.lock().unwrap();
        gate.waiting += 1;
        gate = self.0.1.wait_while(gate, |gate| gate.closed).unwrap();
        gate.waiting -= 1;
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(GateFile(self.clone(), file))
    }
}

impl Disk for GateDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        OsDisk.open(path).map(|file| self.file(file))
    }
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        OsDisk.create_new(path).map(|file| self.file(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
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
struct GateFile(GateDisk, Arc<dyn DiskFile>);

impl DiskFile for GateFile {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.0.pass();
        self.1.read_at(out, at)
    }
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.1.write_at(data, at)
    }
    fn len(&self) -> io::Result<u64> {
        self.1.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.1.try_lock()
    }
}

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Waits on a thread of the test's own.
fn within_patience(done: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !done() {
        if started.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn who_reads_on_and_on_from_memory_gives_its_turn_to_others() {
    let runtime = one_thread();
    let fixture = runtime.block_on(async {
        let fixture = Fixture::new().await;
        fixture.put("name", "content").await;
        fixture
    });
    let (reading, turn) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (objects, began, over) = (fixture.objects.clone(), Arc::clone(&reading), Arc::clone(&turn));
    let reader = runtime.spawn(async move {
        let started = Instant::now();
        while !over.load(Ordering::Relaxed) && started.elapsed() < PATIENCE {
            objects.head(get("name")).await.unwrap();
            began.store(true, Ordering::Relaxed);
        }
        over.load(Ordering::Relaxed)
    });
    assert!(within_patience(|| reading.load(Ordering::Relaxed)));
    runtime.spawn(async move { turn.store(true, Ordering::Relaxed) });
    assert!(runtime.block_on(reader).unwrap(), "the only thread had no turn for anybody else");
}

#[test]
fn a_read_that_has_to_wait_for_a_page_keeps_no_other_task_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let gate = GateDisk::default();
    let runtime = one_thread();
    let open = async || {
        let mut options = StoreOptions::new(store_dir(dir.path()), MemoryKeys::new());
        options.disk = Arc::new(PatientDisk::new(Arc::new(gate.clone())));
        options.reseal_workers = 0;
        let store = tokio::task::spawn_blocking(|| Store::create_or_open(options)).await.unwrap().unwrap();
        let objects = Objects::open(store.clone(), MemoryKeys::new(), options_of(dir.path())).await.unwrap();
        (store, objects)
    };
    let key = |number: u32| format!("name-{number:03}");
    let (store, objects) = runtime.block_on(async {
        let (store, objects) = open().await;
        objects.create_bucket(&bucket(), sim::created()).await.unwrap();
        for number in 0..100 {
            objects.put(put(&key(number), noise(u64::from(number), 8000))).await.unwrap();
        }
        objects.close().await;
        tokio::task::spawn_blocking(|| store.close()).await.unwrap().unwrap();
        drop(objects);
        let (store, objects) = open().await;
        // Opens the page file, and has a few of its pages in memory.
        objects.head(get(&key(0))).await.unwrap();
        (store, objects)
    });
    assert!(
        store.keep_open(objects.group_of(&bucket()).unwrap()).is_some(),
        "it is read where it is asked for"
    );
    gate.set_closed(true);
    let asked = objects.clone();
    let reader = runtime.spawn(async move { asked.head(get(&key(70))).await });
    assert!(within_patience(|| gate.is_waited_for()), "the page is not in memory");
    let turn = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&turn);
    runtime.spawn(async move { over.store(true, Ordering::Relaxed) });
    let had_turn = within_patience(|| turn.load(Ordering::Relaxed));
    gate.set_closed(false);
    runtime.block_on(reader).unwrap().unwrap();
    assert!(had_turn, "the only thread waited for the disk");
}

fn options_of(dir: &Path) -> ObjectsOptions {
    support::options(dir)
}
