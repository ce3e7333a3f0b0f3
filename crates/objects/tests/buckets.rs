//! Buckets that are made and deleted while disks fail, and buckets whose pages are damaged.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::io::ErrorKind;

use strongroom_objects::request::PutRequest;
use strongroom_objects::*;
use strongroom_store::sim::{SimDisk, Trouble};
use strongroom_store::{Command, GroupId, Store, Write};
use support::sim::{self, created, live};
use support::*;

const KINDS: [ErrorKind; 2] = [ErrorKind::StorageFull, ErrorKind::Other];

fn named(text: &str) -> BucketName {
    BucketName::parse(text).unwrap()
}

fn put_in(bucket: &BucketName, key: &str) -> PutRequest {
    let mut request = put(key, "content");
    request.bucket = bucket.clone();
    request
}

async fn read_in(objects: &Objects, bucket: &BucketName, key: &str) -> Result<Vec<u8>, ObjectError> {
    let mut request = get(key);
    request.bucket = bucket.clone();
    objects.get(request).await?.body.collect().await
}

/// All calls that change something fail from the one after `after` others on.
fn fails_from(disk: &SimDisk, after: u64, error: ErrorKind) {
    disk.plan(Trouble { call: None, after, error, lasting: true });
}

/// The answer, and whether it only came once the disk was sound again: a command of the system group that is in the log
/// waits for space.
async fn answer<T: Send + 'static>(
    disk: &SimDisk,
    work: impl Future<Output = Result<T, ObjectError>> + Send + 'static,
) -> (Result<T, ObjectError>, bool) {
    let mut task = tokio::spawn(work);
    let in_time = tokio::time::timeout(std::time::Duration::from_millis(500), &mut task).await;
    disk.heal();
    match in_time {
        Ok(answer) => (answer.unwrap(), false),
        Err(_) => (task.await.unwrap(), true),
    }
}

async fn names(objects: &Objects) -> Vec<BucketName> {
    let listing = objects.list_buckets("", None, 100).await.unwrap();
    listing.buckets.into_iter().map(|bucket| bucket.name).collect()
}

/// Every bucket that is listed is one that is there, and can be written to.
async fn all_take_writes(objects: &Objects, what: &str) {
    for name in names(objects).await {
        objects.head_bucket(&name).await.unwrap();
        objects.put(put_in(&name, "later")).await.unwrap_or_else(|error| panic!("{what}: {name}: {error}"));
        assert_eq!(read_in(objects, &name, "later").await.unwrap(), b"content");
    }
}

/// What a test does after a bucket could not be made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Next {
    MakeItOnceMore,
    MakeAnother,
    Restart,
}

/// From how many calls on a failure after them comes too late. One that the store can do without, like that of a single mark
/// of the log, is not too late: it takes several in a row.
fn too_late(mut done: impl FnMut(u64) -> bool) -> u64 {
    let mut since = None;
    for calls in 0..80 {
        since = done(calls).then(|| since.unwrap_or(calls));
        if let Some(since) = since.filter(|since| calls - since >= 4) {
            return since;
        }
    }
    panic!("it failed with all these calls");
}

/// Makes a bucket on a disk that is sound again, unless a sync of the log failed before: that stops the store, and only the next
/// opening can go on. The log learns of a change of the keyring, and writes its mark for it, while the answer is on its way, so
/// that it stopped may show with this command first.
async fn makes(store: &Store, objects: &Objects, name: &BucketName, what: &str) -> bool {
    match objects.create_bucket(name, created()).await {
        Ok(_) => true,
        Err(error) => {
            assert!(store.status().poisoned.is_some(), "{what}: {error}");
            false
        }
    }
}

/// Gives whether the bucket was made although the disk failed after `calls` calls.
fn make_on_failing_disk(calls: u64, kind: ErrorKind, next: Next) -> bool {
    let what = format!("{kind:?} after {calls} calls, then {next:?}");
    let disk = sim::with_bucket(calls);
    let (second, third) = (named("second"), named("third"));
    let made = live(async || {
        let (store, objects) = sim::open(&disk, 1).await.unwrap();
        fails_from(&disk, calls, kind);
        let (making, name) = (objects.clone(), second.clone());
        let (made, waited) = answer(&disk, async move { making.create_bucket(&name, created()).await }).await;
        if made.is_ok() {
            return !waited;
        }
        match next {
            Next::MakeItOnceMore if makes(&store, &objects, &second, &what).await => {
                objects.put(put_in(&second, "name")).await.unwrap();
            }
            Next::MakeAnother if makes(&store, &objects, &third, &what).await => {
                all_take_writes(&objects, &what).await;
            }
            _ => {}
        }
        false
    });
    disk.kill();
    live(async || {
        let (_store, objects) = sim::open(&disk, 2).await.unwrap();
        all_take_writes(&objects, &what).await;
        if let Err(error) = objects.create_bucket(&second, created()).await {
            assert!(matches!(error, ObjectError::BucketAlreadyOwnedByYou { .. }), "{what}: {error}");
        }
        objects.put(put_in(&second, "name")).await.unwrap();
    });
    made
}

#[test]
fn a_bucket_whose_making_failed_is_there_and_usable_or_can_be_made_again() {
    let steps = [Next::MakeItOnceMore, Next::MakeAnother, Next::Restart];
    for (kind, nexts) in KINDS.into_iter().zip([steps, [steps[2], steps[0], steps[1]]]) {
        let mut nexts = nexts.into_iter().cycle();
        let made = too_late(|calls| make_on_failing_disk(calls, kind, nexts.next().unwrap()));
        assert!(made > 3, "a bucket is made with some calls: {made}");
    }
}

/// Gives whether the bucket was deleted although the disk failed after `calls` calls.
fn delete_on_failing_disk(calls: u64, kind: ErrorKind, lasting: bool) -> bool {
    let what = format!("{kind:?} after {calls} calls, lasting {lasting}");
    let disk = sim::with_bucket(calls);
    let (upload, stored, answer, waited) = live(async || {
        let (store, objects) = sim::open(&disk, 1).await.unwrap();
        let upload = upload(&objects, "name", SseRequest::Default).await;
        let stored = objects.put_part(part("name", upload, 1, noise(1, 3000))).await.unwrap();
        disk.plan(Trouble { call: None, after: calls, error: kind, lasting });
        let deleting = objects.clone();
        let (answer, waited) = answer(&disk, async move { deleting.delete_bucket(&bucket()).await }).await;
        if answer.is_err() && store.status().poisoned.is_none() {
            // The bucket is as it was before.
            objects
                .put_part(part("name", upload, 2, noise(2, 3000)))
                .await
                .unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        (upload, stored, answer, waited)
    });
    disk.kill();
    live(async || {
        let (_store, objects) = sim::open(&disk, 2).await.unwrap();
        match (&answer, objects.head_bucket(&bucket()).await) {
            (Ok(()), Err(ObjectError::NoSuchBucket { .. })) => {}
            // Whether the last command is durable was not known.
            (Err(ObjectError::Commit(_)), Err(ObjectError::NoSuchBucket { .. })) => {}
            (Err(_), Ok(_)) => {
                let request = complete("name", upload, &[(1, stored.etag)]);
                objects.complete_upload(request).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(read_in(&objects, &bucket(), "name").await.unwrap(), noise(1, 3000), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    });
    answer.is_ok() && !waited
}

#[test]
fn a_bucket_whose_deletion_failed_is_as_it_was_with_its_uploads_and_stays() {
    for kind in KINDS {
        for lasting in [false, true] {
            let deleted = too_late(|calls| delete_on_failing_disk(calls, kind, lasting));
            assert!(deleted > 3, "a bucket is deleted with some calls: {deleted}");
        }
    }
}

/// Says in the system group that the bucket is being deleted, as a deletion's first step does.
async fn mark(store: &Store) {
    let key = b"bucket/bucket".to_vec();
    let mut value = store.read(GroupId::SYSTEM).unwrap().get(&key).unwrap().unwrap().to_vec();
    assert_eq!(value[5], 1);
    value[5] = 2;
    let writes = vec![Write::Put { key, value }];
    store.commit(Command { group: GroupId::SYSTEM, checks: Vec::new(), writes }).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_a_crash_cut_short_is_taken_back_at_opening() {
    for stopped in [false, true] {
        let fixture = Fixture::new().await;
        let upload = upload(&fixture.objects, "name", SseRequest::Default).await;
        mark(&fixture.store).await;
        if stopped {
            let writes = vec![Write::Put { key: b"s".to_vec(), value: vec![1, 2] }];
            let group = fixture.objects.group_of(&bucket()).unwrap();
            fixture.store.commit(Command { group, checks: Vec::new(), writes }).await.unwrap();
        }
        let fixture = fixture.crash().await;
        fixture.objects.put_part(part("name", upload, 1, "content")).await.unwrap();
        fixture.put("other", "content").await;
        fixture.delete("other").await;
        fixture.objects.delete_bucket(&bucket()).await.unwrap();
    }
}

#[tokio::test]
async fn a_bucket_with_damaged_pages_answers_with_that_and_the_others_are_served() {
    for marked in [false, true] {
        let fixture = Fixture::new().await;
        let newest = named("newest");
        fixture.objects.create_bucket(&newest, created()).await.unwrap();
        for name in [&bucket(), &newest] {
            fixture.objects.put(put_in(name, "name")).await.unwrap();
        }
        let damaged = if marked { bucket() } else { newest.clone() };
        let (sound, group) =
            (if marked { newest.clone() } else { bucket() }, fixture.objects.group_of(&damaged).unwrap());
        if marked {
            mark(&fixture.store).await;
        }
        let Fixture { dir, store, objects } = fixture;
        objects.close().await;
        drop(objects);
        store.close().unwrap();
        let pages = files(&store_dir(dir.path()).join("pages"));
        let file = pages.iter().find(|path| path.to_string_lossy().contains(&group.to_string())).unwrap();
        let mut bytes = std::fs::read(file).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        std::fs::write(file, bytes).unwrap();
        let options = options(dir.path());
        let fixture = Fixture::reopen(dir, options).await;
        assert_eq!(read_in(&fixture.objects, &sound, "name").await.unwrap(), b"content");
        fixture.objects.put(put_in(&sound, "other")).await.unwrap();
        let error = read_in(&fixture.objects, &damaged, "name").await.unwrap_err();
        assert!(matches!(error, ObjectError::Read(strongroom_store::ReadError::Damage(_))), "{error:?}");
        fixture.objects.create_bucket(&named("further"), created()).await.unwrap();
    }
}
