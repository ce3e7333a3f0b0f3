//! Disks that are full, that fail, and processes that end in the middle: nothing half, nothing lost, nothing left over.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod support;

use std::io::ErrorKind;
use std::sync::Arc;

use futures::{StreamExt, stream};
use strongroom_objects::*;
use support::disk::TestDisk;
use support::*;

const OLD: u64 = 1;
const NEW: u64 = 2;
const LENGTH: usize = (1 << 20) + 5000;

async fn with_old_content() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.put("name", noise(OLD, LENGTH)).await;
    fixture
}

async fn on(fixture: Fixture, disk: &TestDisk) -> Fixture {
    let Fixture { dir, store, objects } = fixture;
    objects.close().await;
    drop((store, objects));
    let mut options = options(dir.path());
    options.disk = Arc::new(disk.clone());
    Fixture::reopen(dir, options).await
}

/// How many calls opening makes before the first put.
const OPENING: i64 = 2;

#[tokio::test]
async fn a_failing_or_full_disk_is_a_clean_error_and_the_old_object_stays() {
    for (kind, full) in [(ErrorKind::StorageFull, true), (ErrorKind::Other, false)] {
        let mut fixture = with_old_content().await;
        for call in OPENING.. {
            let disk = TestDisk::fails_after(call, kind);
            fixture = on(fixture, &disk).await;
            let put = fixture.objects.put(put("name", noise(NEW, LENGTH))).await;
            if put.is_ok() {
                // What failed, if anything, was the removal of the old blob; that is the next opening's to finish.
                break;
            }
            assert!(disk.has_failed());
            match put.unwrap_err() {
                ObjectError::NoSpace => assert!(full),
                ObjectError::Io { .. } => assert!(!full),
                other => panic!("{other}"),
            }
            assert!(fixture.read("name").await.unwrap() == noise(OLD, LENGTH));
            assert_eq!(fixture.files().len(), 1, "call {call}");
            assert!(call < 40, "a put makes few calls");
        }
        assert!(fixture.read("name").await.unwrap() == noise(NEW, LENGTH));
        let fixture = on(fixture, &TestDisk::healthy()).await;
        eventually(|| fixture.files().len() == 1).await;
    }
}

#[tokio::test]
async fn after_a_crash_in_any_step_of_a_put_there_is_one_whole_object_and_no_other_file() {
    let mut fixture = with_old_content().await;
    for call in OPENING.. {
        let disk = TestDisk::dies_after(call);
        fixture = on(fixture, &disk).await;
        let put = fixture.objects.put(put("name", noise(NEW, LENGTH))).await;
        fixture = fixture.crash().await;
        let seed = if put.is_ok() { NEW } else { OLD };
        assert!(fixture.read("name").await.unwrap() == noise(seed, LENGTH), "call {call}");
        eventually(|| fixture.files().len() == 1).await;
        if put.is_ok() {
            break;
        }
        assert!(call < 40, "a put makes few calls");
    }
}

#[tokio::test]
async fn what_was_dropped_before_a_crash_is_removed_after_it() {
    let fixture = Fixture::new().await;
    let id = upload(&fixture.objects, "name", SseRequest::Default).await;
    let mut parts = Vec::new();
    for number in [1, 2] {
        let stored = fixture.objects.put_part(part("name", id, number, noise(1, 5 << 20))).await.unwrap();
        parts.push((number, stored.etag));
    }
    fixture.objects.complete_upload(complete("name", id, &parts)).await.unwrap();
    let reading = fixture.objects.get(get("name")).await.unwrap();
    fixture.delete("name").await;
    assert_eq!(fixture.files().len(), 2, "a reader has them");
    drop(reading);
    let fixture = fixture.crash().await;
    eventually(|| fixture.files().is_empty()).await;
}

#[tokio::test]
async fn a_clean_start_sweeps_nothing_and_a_crashed_one_everything_foreign() {
    let fixture = with_old_content().await;
    let group = fixture.files()[0].parent().unwrap().parent().unwrap().to_owned();
    fixture.objects.close().await;
    // A sweep would take this away: it has the place and the name of a blob and no owner.
    let foreign = group.join("00000001").join("ab".repeat(16));
    std::fs::write(&foreign, b"foreign").unwrap();
    let fixture = fixture.crash().await;
    fixture.objects.close().await;
    assert!(foreign.exists(), "the run before had ended cleanly");
    let fixture = fixture.crash().await;
    fixture.put("other", noise(1, LENGTH)).await;
    let foreign_too = group.join("00000002").join("cd".repeat(16));
    std::fs::create_dir_all(foreign_too.parent().unwrap()).unwrap();
    std::fs::write(&foreign_too, b"foreign").unwrap();
    let fixture = fixture.crash().await;
    eventually(|| !foreign_too.exists()).await;
    assert!(fixture.read("name").await.unwrap() == noise(OLD, LENGTH));
    assert!(fixture.read("other").await.unwrap() == noise(1, LENGTH));
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_no_file() {
    let fixture = Fixture::new().await;
    // The client sends one megabyte of five and then nothing, and goes away.
    let pieces = stream::iter([Ok(bytes::Bytes::from(noise(1, LENGTH)))]).chain(stream::pending());
    let mut request = put("name", Vec::new());
    request.content = Content::new(Some(5 << 20), pieces);
    let objects = fixture.objects.clone();
    let task = tokio::spawn(async move { objects.put(request).await });
    eventually(|| fixture.files().len() == 1).await;
    task.abort();
    drop(task.await);
    eventually(|| fixture.files().is_empty()).await;
    assert!(matches!(fixture.read("name").await, Err(ObjectError::NoSuchKey { .. })));
}

#[tokio::test]
async fn content_that_is_short_long_or_broken_off_becomes_nothing() {
    let fixture = Fixture::new().await;
    for length in [100, LENGTH] {
        for announced in [length as u64 - 1, length as u64 + 1] {
            let mut request = put("name", noise(1, length));
            request.content.length = Some(announced);
            let error = fixture.objects.put(request).await.unwrap_err();
            assert!(
                matches!(error, ObjectError::IncompleteBody { expected, .. } if expected == announced),
                "{error}"
            );
        }
        let mut request = put("name", Vec::new());
        let pieces = [Ok(bytes::Bytes::from(noise(1, length))), Err(ContentError::Disconnected)];
        request.content = Content::new(None, stream::iter(pieces));
        let error = fixture.objects.put(request).await.unwrap_err();
        assert!(matches!(error, ObjectError::Content(ContentError::Disconnected)), "{error}");
    }
    eventually(|| fixture.files().is_empty()).await;
    assert!(matches!(fixture.read("name").await, Err(ObjectError::NoSuchKey { .. })));
}

/// A store whose log and pages fail when told to; blobs do not.
async fn with_failing_store(dead_after: bool, kind: ErrorKind) -> (Fixture, TestDisk) {
    let disk = if dead_after { TestDisk::dies_after(-1) } else { TestDisk::fails_after(-1, kind) };
    let dir = tempfile::tempdir().unwrap();
    let mut store_options = strongroom_store::StoreOptions::new(store_dir(dir.path()), MemoryKeys::new());
    store_options.disk = Arc::new(disk.clone());
    let store = strongroom_store::Store::create_or_open(store_options).unwrap();
    let objects = Objects::open(store.clone(), MemoryKeys::new(), options(dir.path())).await.unwrap();
    let create = request::CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
    objects.create_bucket(&bucket(), create).await.unwrap();
    (Fixture { dir, store, objects }, disk)
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_leaves_one_whole_object_and_no_other_file() {
    for call in 0..4 {
        let (fixture, disk) = with_failing_store(true, ErrorKind::Other).await;
        fixture.put("name", noise(OLD, LENGTH)).await;
        eventually(|| fixture.files().len() == 1).await;
        disk.arm(call);
        let put = fixture.objects.put(put("name", noise(NEW, LENGTH))).await;
        let acknowledged = put.is_ok();
        if let Err(error) = put {
            assert!(matches!(error, ObjectError::Commit(_)), "{error}");
            assert_eq!(fixture.files().len(), 2, "it may be durable for all the writer knows");
        }
        let fixture = fixture.crash().await;
        let content = fixture.read("name").await.unwrap();
        assert!(
            content == noise(NEW, LENGTH) || (!acknowledged && content == noise(OLD, LENGTH)),
            "call {call}"
        );
        eventually(|| fixture.files().len() == 1).await;
        assert!(fixture.read("name").await.unwrap() == content);
    }
}

#[tokio::test]
async fn a_full_disk_under_the_index_is_a_clean_error_too() {
    let (fixture, disk) = with_failing_store(false, ErrorKind::StorageFull).await;
    for length in [100, LENGTH] {
        fixture.put("name", noise(OLD, length)).await;
        disk.arm(0);
        let error = fixture.objects.put(put("name", noise(NEW, length))).await.unwrap_err();
        assert!(matches!(error, ObjectError::NoSpace), "{error}");
        assert!(fixture.read("name").await.unwrap() == noise(OLD, length));
        eventually(|| fixture.files().len() == usize::from(length > 16_384)).await;
        fixture.put("name", noise(NEW, length)).await;
        assert!(fixture.read("name").await.unwrap() == noise(NEW, length));
        eventually(|| fixture.files().len() == usize::from(length > 16_384)).await;
    }
}
