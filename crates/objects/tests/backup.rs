//! Backups of buckets and objects while they change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use strongroom_objects::*;
use strongroom_store::StoreOptions;
use strongroom_store::backup::{BackupError, BackupStage, SnapshotInfo};
use support::*;

/// Blobs lie in the data directory, as the server has them.
fn inside(dir: &Path) -> ObjectsOptions {
    ObjectsOptions { blob_dir: store_dir(dir).join("blobs"), ..options(dir) }
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let options = inside(dir.path());
    Fixture::with(dir, options).await
}

async fn take(fixture: &Fixture) -> Result<SnapshotInfo, BackupError> {
    fixture.objects.backup(fixture.dir.path().join("target"), |_| true).await
}

fn restore_to(target: &Path, dir: &Path, snapshot: Option<u64>) -> Result<(), BackupError> {
    let store = StoreOptions::new(store_dir(dir), MemoryKeys::new());
    let blobs = store_dir(dir).join("blobs");
    strongroom_objects::backup::restore(target, snapshot, store, &blobs, &mut |_| true).map(drop)
}

async fn restored(fixture: &Fixture, snapshot: Option<u64>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let (target, to) = (fixture.dir.path().join("target"), dir.path().to_owned());
    tokio::task::spawn_blocking(move || restore_to(&target, &to, snapshot)).await.unwrap().unwrap();
    let options = inside(dir.path());
    Fixture::reopen(dir, options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_uploads_and_parts_come_back_as_they_were() {
    let fixture = fixture().await;
    let large = noise(1, 200_000);
    fixture.put("small", "inside the index").await;
    fixture.put("large", large.clone()).await;
    let begun = upload(&fixture.objects, "parts", SseRequest::Default).await;
    let first = noise(2, 5 << 20);
    let one = fixture.objects.put_part(part("parts", begun, 1, first.clone())).await.unwrap();
    let taken = take(&fixture).await.unwrap();
    assert_eq!((taken.files, taken.new_files), (2, 2));

    let two = fixture.objects.put_part(part("parts", begun, 2, "the end")).await.unwrap();
    let parts = [(1, one.etag), (2, two.etag)];
    fixture.objects.complete_upload(complete("parts", begun, &parts)).await.unwrap();
    fixture.delete("large").await;
    fixture.put("small", "overwritten").await;
    let second = take(&fixture).await.unwrap();
    assert_eq!(second.new_files, 1, "{second:?}");

    let old = restored(&fixture, Some(1)).await;
    assert_eq!(old.read("small").await.unwrap(), b"inside the index");
    assert_eq!(old.read("large").await.unwrap(), large);
    assert!(old.read("parts").await.is_err());
    // An upload that had begun goes on.
    old.objects.complete_upload(complete("parts", begun, &[(1, one.etag)])).await.unwrap();
    assert_eq!(old.read("parts").await.unwrap(), first);
    let new = restored(&fixture, None).await;
    assert_eq!(new.read("small").await.unwrap(), b"overwritten");
    assert!(new.read("large").await.is_err());
    assert_eq!(new.read("parts").await.unwrap(), [first.as_slice(), b"the end"].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_share_a_file_come_back_as_files_of_their_own() {
    let fixture = fixture().await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    let large = noise(1, 200_000);
    let first = fixture.put("name", large.clone()).await;
    take(&fixture).await.unwrap();
    let second = fixture.objects.copy(onto_itself("name", kms(true), None)).await.unwrap().put;
    let taken = take(&fixture).await.unwrap();
    assert_eq!((taken.files, taken.new_files), (2, 1));
    let new = restored(&fixture, None).await;
    let delete = request::DeleteRequest {
        version: first.version,
        ..request::DeleteRequest::new(bucket(), name("name"))
    };
    new.objects.delete(delete).await.unwrap();
    let left = || files(&store_dir(new.dir.path()).join("blobs")).len();
    eventually(|| left() == 1).await;
    let request = request::GetRequest { version: second.version, ..get("name") };
    assert_eq!(new.objects.get(request).await.unwrap().body.collect().await.unwrap(), large);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_while_a_backup_runs_is_in_it_and_goes_after_it() {
    let fixture = fixture().await;
    let large = noise(3, 100_000);
    for key in ["deleted", "overwritten", "stays"] {
        fixture.put(key, large.clone()).await;
    }
    let objects = fixture.objects.clone();
    let blobs = store_dir(fixture.dir.path()).join("blobs");
    let count = move || files(&blobs).len();
    let during = Arc::new(Mutex::new(0));
    let (seen, counted, runtime) = (Arc::clone(&during), count.clone(), tokio::runtime::Handle::current());
    let target = fixture.dir.path().join("target");
    let taken = fixture.objects.backup(target, move |progress| {
        if progress.stage == BackupStage::Files && *seen.lock().unwrap() == 0 {
            let delete = request::DeleteRequest::new(bucket(), name("deleted"));
            runtime.block_on(objects.delete(delete)).unwrap();
            runtime.block_on(objects.put(put("overwritten", noise(4, 90_000)))).unwrap();
            // Time for what should not happen.
            std::thread::sleep(std::time::Duration::from_millis(50));
            *seen.lock().unwrap() = counted();
        }
        true
    });
    assert_eq!(taken.await.unwrap().files, 3);
    assert_eq!(*during.lock().unwrap(), 4, "nothing was removed while the backup ran");
    eventually(|| count() == 2).await;
    let old = restored(&fixture, None).await;
    for key in ["deleted", "overwritten", "stays"] {
        assert_eq!(old.read(key).await.unwrap(), large, "{key}");
    }
}

/// Each writer has a few names and writes its number into them, large and small, and deletes them now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_four_writers_restores_to_objects_that_are_whole() {
    let fixture = fixture().await;
    let content = |writer: u64, number: u64| {
        noise(writer << 32 | number, if number.is_multiple_of(2) { 40_000 } else { 500 })
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..4u64 {
        let (objects, stop) = (fixture.objects.clone(), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let key = format!("{writer}/{}", number % 5);
                objects.put(put(&key, content(writer, number))).await.unwrap();
                // What was written in this order is in the backup as a stretch from the start.
                objects.put(put(&format!("{writer}/last"), number.to_string())).await.unwrap();
                number += 1;
            }
            number
        }));
    }
    let mut snapshots = Vec::new();
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        snapshots.push(take(&fixture).await.unwrap());
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = BTreeMap::new();
    for (writer, task) in (0u64..).zip(writers) {
        written.insert(writer, task.await.unwrap());
    }
    for snapshot in snapshots {
        let old = restored(&fixture, Some(snapshot.number)).await;
        for (writer, count) in &written {
            let last = old.read(&format!("{writer}/last")).await.unwrap();
            let last: u64 = String::from_utf8(last).unwrap().parse().unwrap();
            assert!(last < *count);
            for slot in 0..5 {
                let found = old.read(&format!("{writer}/{slot}")).await;
                // The last round that wrote this name, or the one that had just begun.
                let newest = (0..=last + 1).rev().filter(|number| number % 5 == slot);
                let mut expected = newest.map(|number| content(*writer, number));
                match found {
                    Ok(found) => {
                        let right = expected.by_ref().take(2).any(|content| content == found);
                        assert!(right, "snapshot {} {writer}/{slot}", snapshot.number);
                    }
                    Err(_) => assert!(last + 1 < slot + 1, "{writer}/{slot} is missing"),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_a_backup_and_a_blob_that_is_missing_in_the_target_stops_the_restoring() {
    let fixture = fixture().await;
    fixture.put("large", noise(5, 100_000)).await;
    take(&fixture).await.unwrap();
    let target = fixture.dir.path().join("target");
    let blob = files(&target.join("blobs")).pop().unwrap();
    let good = std::fs::read(&blob).unwrap();
    std::fs::remove_file(&blob).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = restore_to(&target, dir.path(), None).unwrap_err();
    assert!(matches!(&error, BackupError::Missing { file } if *file == blob), "{error}");
    assert!(!store_dir(dir.path()).exists());
    std::fs::write(&blob, good).unwrap();

    let objects = fixture.objects.clone();
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let running = tokio::spawn(async move {
        objects
            .backup(target, move |_| {
                begun.send(()).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                true
            })
            .await
    });
    has_begun.recv().await.unwrap();
    fixture.objects.close().await;
    while has_begun.try_recv().is_ok() {}
    // It has ended; its task has yet to hand over the answer, and may take a moment for that.
    let ended = running.await.unwrap();
    assert!(has_begun.try_recv().is_err(), "it went on after the close");
    assert!(matches!(ended, Err(BackupError::Stopped) | Ok(_)), "{ended:?}");
}
