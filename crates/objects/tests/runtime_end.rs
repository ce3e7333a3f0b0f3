//! A runtime that ends while a command is under way, as a second signal to the server ends it: nobody hears of the outcome, and no
//! file goes that a row names.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::time::Duration;

use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_store::Store;
use strongroom_store::sim::SimDisk;
use support::sim::{self, live};
use support::*;

const LENGTH: usize = 5000;

/// The index on one disk and the blobs on another, so that commands can be held up alone.
struct Disks {
    index: SimDisk,
    blobs: SimDisk,
}

impl Disks {
    fn new() -> Self {
        Self { index: sim::with_bucket(1), blobs: SimDisk::from_seed(2) }
    }

    async fn open(&self, seed: u64) -> (Store, Objects) {
        let store = sim::open_store(&self.index, seed).unwrap();
        let objects = Objects::open(store.clone(), MemoryKeys::new(), sim::options(&self.blobs, seed)).await;
        (store, objects.unwrap())
    }

    /// Ends the runtime in which `write` goes on, once it has its blob and its command waits for the disk.
    fn end_within<P, W>(&self, prepare: P, write: impl FnOnce(Objects) -> W)
    where
        P: AsyncFnOnce(&Objects),
        W: Future<Output = ()> + Send + 'static,
    {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = runtime.block_on(async {
            let (store, objects) = self.open(3).await;
            prepare(&objects).await;
            let before = sim::blobs(&self.blobs).len();
            self.index.hold();
            tokio::spawn(write(objects));
            let placed =
                || sim::blobs(&self.blobs).iter().filter(|path| !path.starts_with("/blobs/tmp")).count();
            eventually(|| placed() > before && self.index.waiting() > 0).await;
            // Nothing shows that a command is in the log's queue: it is by now, or what follows is easier.
            tokio::time::sleep(Duration::from_millis(100)).await;
            store
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        self.index.go_on();
        store.close().unwrap();
    }
}

async fn read(objects: &Objects, version: Option<VersionId>) -> Vec<u8> {
    let request = GetRequest { version, ..get("k") };
    objects.get(request).await.unwrap().body.collect().await.unwrap()
}

#[test]
fn an_object_that_is_being_overwritten_is_the_old_one_or_the_new_one() {
    let disks = Disks::new();
    disks.end_within(
        async |objects| drop(objects.put(put("k", noise(1, LENGTH))).await.unwrap()),
        |objects| async move { drop(objects.put(put("k", noise(2, LENGTH))).await) },
    );
    live(async || {
        let (_store, objects) = disks.open(4).await;
        let content = read(&objects, None).await;
        assert!(content == noise(2, LENGTH) || content == noise(1, LENGTH));
    });
}

#[test]
fn a_part_that_is_being_sent_again_is_the_old_one_or_the_new_one() {
    let disks = Disks::new();
    disks.end_within(
        async |objects| {
            let id = upload(objects, "k", SseRequest::S3).await;
            objects.put_part(part("k", id, 1, noise(1, LENGTH))).await.unwrap();
        },
        |objects| async move {
            let id = begun(&objects).await;
            drop(objects.put_part(part("k", id, 1, noise(2, LENGTH))).await);
        },
    );
    live(async || {
        let (_store, objects) = disks.open(4).await;
        let id = begun(&objects).await;
        let request = ListParts { bucket: bucket(), name: name("k"), upload: id, after: 0, max: 10 };
        let etag = objects.list_parts(request).await.unwrap().parts[0].etag;
        objects.complete_upload(complete("k", id, &[(1, etag)])).await.unwrap();
        let content = read(&objects, None).await;
        assert!(content == noise(2, LENGTH) || content == noise(1, LENGTH));
    });
}

async fn begun(objects: &Objects) -> UploadId {
    let request = ListUploads {
        bucket: bucket(),
        prefix: String::new(),
        delimiter: None,
        name_after: None,
        upload_after: None,
        max: 10,
    };
    objects.list_uploads(request).await.unwrap().uploads[0].upload
}

#[test]
fn a_copy_onto_itself_is_whole_if_it_is_there() {
    let disks = Disks::new();
    disks.end_within(
        async |objects| {
            objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
            objects.put(put("k", noise(1, LENGTH))).await.unwrap();
        },
        |objects| async move { drop(objects.copy(onto_itself("k", kms(false), None)).await) },
    );
    live(async || {
        let (_store, objects) = disks.open(4).await;
        let request = ListVersions {
            bucket: bucket(),
            prefix: String::new(),
            delimiter: None,
            name_after: None,
            version_after: None,
            max: 10,
        };
        let versions = objects.list_versions(request).await.unwrap().versions;
        assert!(!versions.is_empty());
        for version in versions {
            assert!(read(&objects, Some(version.version)).await == noise(1, LENGTH));
        }
    });
}
