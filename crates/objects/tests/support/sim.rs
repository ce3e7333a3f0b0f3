//! Store and blobs on a simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_objects::request::CreateBucket;
use strongroom_objects::{BucketSettings, Objects, ObjectsOptions};
use strongroom_seal::SeededRandom;
use strongroom_store::sim::SimDisk;
use strongroom_store::{OpenError, Store, StoreOptions};

use super::{MemoryKeys, TickingClock, bucket};

/// Content up to this many bytes is in the index.
pub const INLINE_MAX: usize = 100;

/// Runs one life of a process: when this returns, all that it had started has ended.
pub fn live<T>(work: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(work());
    // Waits for jobs that run, so nobody of this life is there to touch the disk in the next one.
    drop(runtime);
    answer
}

pub fn open_store(disk: &SimDisk, seed: u64) -> Result<Store, OpenError> {
    let mut options = StoreOptions::new("/store", MemoryKeys::new());
    options.disk = Arc::new(disk.clone());
    options.random = Arc::new(SeededRandom::dangerous_from_seed(seed));
    options.reseal_workers = 0;
    Store::create_or_open(options)
}

pub fn options(disk: &SimDisk, seed: u64) -> ObjectsOptions {
    let mut options = ObjectsOptions::new("/blobs");
    options.disk = Arc::new(disk.clone());
    options.random = Arc::new(SeededRandom::dangerous_from_seed(!seed));
    options.clock = Arc::new(TickingClock::default());
    options.inline_max = INLINE_MAX;
    options
}

/// Opens what is on the disk; `None` if the disk does not let it.
pub async fn open(disk: &SimDisk, seed: u64) -> Option<(Store, Objects)> {
    let store = open_store(disk, seed).ok()?;
    let objects = Objects::open(store.clone(), MemoryKeys::new(), options(disk, seed)).await.ok()?;
    Some((store, objects))
}

/// A disk with a store that has one bucket and was closed.
pub fn with_bucket(seed: u64) -> SimDisk {
    let disk = SimDisk::from_seed(seed);
    live(async || {
        let (store, objects) = open(&disk, seed).await.unwrap();
        objects.create_bucket(&bucket(), created()).await.unwrap();
        objects.close().await;
        store.close().unwrap();
    });
    disk
}

pub fn created() -> CreateBucket {
    CreateBucket { owner: "me".into(), settings: BucketSettings::default() }
}

/// All blob files, temporary ones included.
pub fn blobs(disk: &SimDisk) -> Vec<PathBuf> {
    let mut files = disk.files();
    files.retain(|path| path.starts_with(Path::new("/blobs")));
    files
}
