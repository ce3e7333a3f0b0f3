//! A copy of an object onto itself where there are versions: a new one, of the same data under names of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_seal::CustomerKey;
use support::disk::TestDisk;
use support::*;

const LENGTH: usize = 300_000;

async fn versioned() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    fixture
}

/// How many blob files there are by name, and how many are not the same. One that goes while it is looked at is not there.
fn files_and_inodes(fixture: &Fixture) -> (usize, usize) {
    let inode = |file: &PathBuf| std::fs::metadata(file).ok().map(|found| found.ino());
    let inodes: Vec<u64> = fixture.files().iter().filter_map(inode).collect();
    (inodes.len(), inodes.into_iter().collect::<BTreeSet<_>>().len())
}

async fn copy(fixture: &Fixture, key: &str, sse: SseRequest) -> PutResult {
    fixture.objects.copy(onto_itself(key, sse, None)).await.unwrap().put
}

fn of(key: &str, version: Option<VersionId>) -> GetRequest {
    GetRequest { version, ..get(key) }
}

async fn content(fixture: &Fixture, request: GetRequest) -> Result<Vec<u8>, ObjectError> {
    fixture.objects.get(request).await?.body.collect().await
}

async fn remove(fixture: &Fixture, key: &str, version: Option<VersionId>) {
    let request = DeleteRequest { version, ..DeleteRequest::new(bucket(), name(key)) };
    fixture.objects.delete(request).await.unwrap();
}

#[tokio::test]
async fn every_change_of_the_encryption_makes_a_version_that_has_the_file_too() {
    let fixture = versioned().await;
    let data = noise(1, LENGTH);
    let mut request = put("k", data.clone());
    request.meta.user = vec![("kept".into(), "yes".into())];
    request.meta.tags = vec![("tag".into(), "1".into())];
    let first = fixture.objects.put(request).await.unwrap();
    let steps = [
        (kms(false), None),
        (kms(true), None),
        (SseRequest::Customer(customer(1)), Some(customer(1))),
        (SseRequest::Customer(customer(2)), Some(customer(2))),
        (kms(false), None),
        (SseRequest::S3, None),
        (SseRequest::S3, None),
    ];
    let mut versions: Vec<(Option<VersionId>, Option<CustomerKey>)> = vec![(first.version, None)];
    let mut was = None;
    for (nth, (sse, now)) in steps.into_iter().enumerate() {
        let copied = fixture.objects.copy(onto_itself("k", sse, was)).await.unwrap();
        assert_eq!(copied.source_version, versions[nth].0);
        let copied = copied.put;
        assert_eq!(copied.checksums, first.checksums);
        let request = GetRequest { customer_key: now.clone(), ..get("k") };
        let info = fixture.objects.head(request).await.unwrap().info;
        assert_eq!((info.etag, info.mtime, &info.sse), (copied.etag, copied.mtime, &copied.sse));
        assert_eq!((info.version, info.size), (copied.version, LENGTH as u64));
        assert_eq!((info.meta.user.len(), info.meta.tags.len()), (1, 1));
        versions.push((copied.version, now.clone()));
        was = now;
        assert_eq!(files_and_inodes(&fixture), (nth + 2, 1));
    }
    let etag = fixture.objects.head(get("k")).await.unwrap().info.etag;
    assert_eq!(etag, first.etag, "under SSE-S3 it is the MD5 again");
    // After a crash they are all there, and each is removed by itself, whichever was first.
    let mut fixture = fixture.crash().await;
    for (nth, gone) in [0, 7, 3, 1, 6, 2, 5].into_iter().enumerate() {
        remove(&fixture, "k", versions[gone].0).await;
        let left = 7 - nth;
        eventually(|| fixture.files().len() == left).await;
        if nth == 3 {
            fixture = fixture.crash().await;
        }
        versions[gone].0 = None;
        for (version, customer_key) in versions.iter().filter(|(version, _)| version.is_some()) {
            let request = GetRequest { customer_key: customer_key.clone(), ..of("k", *version) };
            assert!(content(&fixture, request).await.unwrap() == data);
        }
    }
    remove(&fixture, "k", versions[4].0).await;
    fixture.objects.close().await;
    assert!(fixture.files().is_empty());
}

#[tokio::test]
async fn parts_stay_parts_and_are_read_by_number_range_and_copy() {
    let fixture = versioned().await;
    let parts = [noise(1, 5 << 20), noise(2, 6 << 20), noise(3, 1000)];
    let id = upload(&fixture.objects, "k", SseRequest::S3).await;
    let mut tags = Vec::new();
    for (number, data) in [2, 5, 9].into_iter().zip(&parts) {
        let stored = fixture.objects.put_part(part("k", id, number, data.clone())).await.unwrap();
        tags.push((number, stored.etag));
    }
    let first = fixture.objects.complete_upload(complete("k", id, &tags)).await.unwrap();
    let second = copy(&fixture, "k", kms(true)).await;
    assert!(matches!(second.etag, ETag::Multipart { parts: 3, .. }) && second.etag != first.etag);
    assert_eq!(files_and_inodes(&fixture), (6, 3));
    // The first goes, and what was made of it is copied again.
    remove(&fixture, "k", first.version).await;
    eventually(|| files_and_inodes(&fixture) == (3, 3)).await;
    let third = copy(&fixture, "k", SseRequest::S3).await;
    assert_eq!(files_and_inodes(&fixture), (6, 3));
    remove(&fixture, "k", second.version).await;
    let fixture = fixture.crash().await;
    eventually(|| files_and_inodes(&fixture) == (3, 3)).await;
    assert!(fixture.read("k").await.unwrap() == parts.concat());
    for (number, data) in (1..).zip(&parts) {
        let request = GetRequest { part: PartNumber::new(number), ..of("k", third.version) };
        assert!(&content(&fixture, request).await.unwrap() == data);
    }
    let (from, to) = ((5 << 20) - 10, (11 << 20) + 9);
    let range = Some(RangeRequest::From { first: from, last: Some(to) });
    let whole = parts.concat();
    let wanted = &whole[usize::try_from(from).unwrap()..=usize::try_from(to).unwrap()];
    assert!(content(&fixture, GetRequest { range, ..get("k") }).await.unwrap() == wanted);
    let attributes = fixture.objects.attributes(get("k")).await.unwrap();
    let sizes: Vec<u64> = attributes.parts.iter().map(|(_, size, _)| *size).collect();
    assert_eq!(sizes, [5 << 20, 6 << 20, 1000]);
    let into = upload(&fixture.objects, "other", SseRequest::S3).await;
    let request = CopyPart {
        source: onto_itself("k", SseRequest::S3, None).source,
        range: Some((from, to)),
        bucket: bucket(),
        name: name("other"),
        upload: into,
        part: PartNumber::new(1).unwrap(),
        customer_key: None,
    };
    let copied = fixture.objects.copy_part(request).await.unwrap();
    fixture.objects.complete_upload(complete("other", into, &[(1, copied.etag)])).await.unwrap();
    assert!(fixture.read("other").await.unwrap() == wanted);
}

#[tokio::test]
async fn small_contents_and_tags_and_metadata_follow_the_request() {
    let fixture = versioned().await;
    let first = fixture.put("k", "small").await;
    let tags = vec![("tag".to_owned(), "changed".to_owned())];
    fixture.objects.set_object_tags(&bucket(), &name("k"), None, tags.clone()).await.unwrap();
    let second = copy(&fixture, "k", kms(false)).await;
    let mut request = onto_itself("k", SseRequest::S3, None);
    request.metadata = Directive::Replace;
    request.meta.user = vec![("new".into(), "1".into())];
    request.meta.system.storage_class = Some("GLACIER".into());
    let third = fixture.objects.copy(request).await.unwrap().put;
    remove(&fixture, "k", first.version).await;
    remove(&fixture, "k", second.version).await;
    let fixture = fixture.crash().await;
    let info = fixture.objects.head(get("k")).await.unwrap().info;
    assert_eq!((info.version, info.meta.tags), (third.version, tags));
    assert_eq!(info.meta.user, [("new".to_owned(), "1".to_owned())]);
    assert_eq!(info.meta.system.storage_class.as_deref(), Some("GLACIER"));
    // Twice: the second answer may be one that is kept opened.
    for _ in 0..2 {
        assert_eq!(fixture.read("k").await.unwrap(), b"small");
    }
    let mut conditional = onto_itself("k", kms(false), None);
    conditional.conditions.if_none_match = Some(EntityTags::Any);
    let failed = fixture.objects.copy(conditional).await;
    assert!(matches!(failed, Err(ObjectError::PreconditionFailed { .. })));
}

#[tokio::test]
async fn a_copy_whose_condition_fails_leaves_no_file() {
    let fixture = versioned().await;
    fixture.put("k", noise(1, LENGTH)).await;
    let mut conditional = onto_itself("k", kms(false), None);
    conditional.conditions.if_none_match = Some(EntityTags::Any);
    let failed = fixture.objects.copy(conditional).await;
    assert!(matches!(failed, Err(ObjectError::PreconditionFailed { .. })));
    assert_eq!(files_and_inodes(&fixture), (1, 1));
    assert!(fixture.read("k").await.unwrap() == noise(1, LENGTH));
}

#[tokio::test]
async fn an_older_version_comes_back_without_its_data_being_written() {
    let fixture = Fixture::new().await;
    fixture.put("k", noise(1, LENGTH)).await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    fixture.put("k", noise(2, LENGTH)).await;
    let mut request = onto_itself("k", SseRequest::Default, None);
    request.source.version = Some(VersionId::Null);
    let back = fixture.objects.copy(request).await.unwrap();
    assert_eq!(back.source_version, Some(VersionId::Null));
    assert!(fixture.read("k").await.unwrap() == noise(1, LENGTH));
    assert_eq!(files_and_inodes(&fixture), (3, 2));
    remove(&fixture, "k", Some(VersionId::Null)).await;
    eventually(|| fixture.files().len() == 2).await;
    assert!(content(&fixture, of("k", back.put.version)).await.unwrap() == noise(1, LENGTH));
}

#[tokio::test]
async fn where_versioning_is_suspended_the_null_version_is_replaced_and_the_file_stays() {
    let fixture = versioned().await;
    let kept = fixture.put("k", noise(1, LENGTH)).await;
    fixture.objects.set_versioning(&bucket(), Versioning::Suspended).await.unwrap();
    fixture.put("k", noise(2, LENGTH)).await;
    for sse in [kms(true), SseRequest::S3, kms(false)] {
        let copied = copy(&fixture, "k", sse).await;
        assert_eq!(copied.version, Some(VersionId::Null));
        assert!(fixture.read("k").await.unwrap() == noise(2, LENGTH));
        eventually(|| files_and_inodes(&fixture) == (2, 2)).await;
    }
    let fixture = fixture.crash().await;
    assert!(fixture.read("k").await.unwrap() == noise(2, LENGTH));
    assert!(content(&fixture, of("k", kept.version)).await.unwrap() == noise(1, LENGTH));
    eventually(|| files_and_inodes(&fixture) == (2, 2)).await;
}

/// Copies `k` under a key of the KMS, with something that happens once the source was opened.
async fn copy_while<W>(fixture: &Fixture, meanwhile: W) -> PutResult
where
    W: Future<Output = ()> + Send,
{
    let allow = |_: ToCopy<'_>| {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(meanwhile));
        Ok::<(), std::convert::Infallible>(())
    };
    let copied = Box::pin(fixture.objects.copy_if(onto_itself("k", kms(true), None), allow)).await;
    copied.unwrap_or_else(|_| panic!("it is copied")).put
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_goes_or_is_succeeded_while_it_is_copied_is_copied_all_the_same() {
    let fixture = versioned().await;
    let first = fixture.put("k", noise(1, LENGTH)).await;
    let second = copy_while(&fixture, Box::pin(remove(&fixture, "k", first.version))).await;
    assert!(fixture.read("k").await.unwrap() == noise(1, LENGTH));
    eventually(|| files_and_inodes(&fixture) == (1, 1)).await;
    let newer = Box::pin(async { drop(fixture.put("k", noise(2, LENGTH)).await) });
    let third = copy_while(&fixture, newer).await;
    assert!(fixture.read("k").await.unwrap() == noise(1, LENGTH), "it came last");
    assert_eq!(files_and_inodes(&fixture), (3, 2));
    let fixture = fixture.crash().await;
    for version in [second.version, third.version] {
        assert!(content(&fixture, of("k", version)).await.unwrap() == noise(1, LENGTH));
    }
    assert_eq!(files_and_inodes(&fixture), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_change_while_an_object_is_copied_are_those_of_the_copy() {
    let fixture = versioned().await;
    fixture.put("k", noise(1, LENGTH)).await;
    for (nth, versioning) in
        [Versioning::Enabled, Versioning::Suspended, Versioning::Suspended].into_iter().enumerate()
    {
        fixture.objects.set_versioning(&bucket(), versioning).await.unwrap();
        let tags = vec![("tag".to_owned(), nth.to_string())];
        let tagged = tags.clone();
        let tagging = Box::pin(async {
            fixture.objects.set_object_tags(&bucket(), &name("k"), None, tagged).await.unwrap();
        });
        copy_while(&fixture, tagging).await;
        assert_eq!(fixture.objects.head(get("k")).await.unwrap().info.meta.tags, tags);
        assert_eq!(files_and_inodes(&fixture).1, 1);
    }
}

#[tokio::test]
async fn other_layers_and_another_checksum_are_other_data() {
    let fixture = versioned().await;
    let dsse = || SseRequest::Dsse { key_id: None, context: None };
    fixture.put("k", noise(1, LENGTH)).await;
    copy(&fixture, "k", dsse()).await;
    assert_eq!(files_and_inodes(&fixture), (2, 2));
    copy(&fixture, "k", dsse()).await;
    assert_eq!(files_and_inodes(&fixture), (3, 2), "from two layers to two it is a wrap again");
    assert!(fixture.read("k").await.unwrap() == noise(1, LENGTH));
    let mut request = onto_itself("k", dsse(), None);
    request.checksum = Some(ChecksumAlgorithm::Sha256);
    let copied = fixture.objects.copy(request).await.unwrap().put;
    assert_eq!(copied.checksums.len(), 1);
    assert_eq!(files_and_inodes(&fixture), (4, 3));
}

#[tokio::test]
async fn where_a_file_has_one_name_the_data_are_copied() {
    for says in [ErrorKind::PermissionDenied, ErrorKind::TooManyLinks, ErrorKind::Unsupported] {
        let fixture = versioned().await;
        let first = fixture.put("k", noise(1, LENGTH)).await;
        let fixture = on(fixture, &TestDisk::without_links(says)).await;
        let second = copy(&fixture, "k", kms(false)).await;
        assert_eq!(files_and_inodes(&fixture), (2, 2));
        for version in [first.version, second.version] {
            assert!(content(&fixture, of("k", version)).await.unwrap() == noise(1, LENGTH));
        }
    }
}

async fn on(fixture: Fixture, disk: &TestDisk) -> Fixture {
    let Fixture { dir, store, objects } = fixture;
    objects.close().await;
    drop((store, objects));
    let mut options = options(dir.path());
    options.disk = Arc::new(disk.clone());
    Fixture::reopen(dir, options).await
}

/// How many calls opening makes before the first copy.
const OPENING: i64 = 2;

/// A versioned bucket with an object of two parts.
async fn of_two_parts() -> (Fixture, PutResult, Vec<u8>) {
    let fixture = versioned().await;
    let parts = [noise(1, 5 << 20), noise(2, 1000)];
    let id = upload(&fixture.objects, "k", SseRequest::S3).await;
    let mut tags = Vec::new();
    for (number, data) in (1..).zip(&parts) {
        let stored = fixture.objects.put_part(part("k", id, number, data.clone())).await.unwrap();
        tags.push((number, stored.etag));
    }
    let done = fixture.objects.complete_upload(complete("k", id, &tags)).await.unwrap();
    (fixture, done, parts.concat())
}

#[tokio::test]
async fn a_failing_or_full_disk_leaves_the_object_as_it_is_or_makes_the_copy() {
    for (kind, full) in [(ErrorKind::StorageFull, true), (ErrorKind::Other, false)] {
        let (mut fixture, _, data) = of_two_parts().await;
        for call in OPENING.. {
            let disk = TestDisk::fails_after(call, kind);
            fixture = on(fixture, &disk).await;
            let copied = fixture.objects.copy(onto_itself("k", kms(false), None)).await;
            assert!(fixture.read("k").await.unwrap() == data, "call {call}");
            match copied {
                Ok(_) if !disk.has_failed() => break,
                // What could not be linked was copied, in one piece.
                Ok(copied) => {
                    assert!(!full, "a full disk is no file system without links");
                    remove(&fixture, "k", copied.put.version).await;
                }
                Err(ObjectError::NoSpace) => assert!(full),
                Err(ObjectError::Io { .. }) => assert!(!full),
                Err(other) => panic!("{other}"),
            }
            eventually(|| fixture.files().len() == 2).await;
            assert!(call < 40, "a copy makes few calls");
        }
        assert_eq!(files_and_inodes(&fixture), (4, 2));
    }
}

#[tokio::test]
async fn after_a_crash_in_any_step_of_a_copy_there_is_each_version_whole_and_no_other_file() {
    let (mut fixture, first, data) = of_two_parts().await;
    for call in OPENING.. {
        let disk = TestDisk::dies_after(call);
        fixture = on(fixture, &disk).await;
        let copied = fixture.objects.copy(onto_itself("k", kms(false), None)).await;
        fixture = fixture.crash().await;
        assert!(fixture.read("k").await.unwrap() == data, "call {call}");
        assert!(content(&fixture, of("k", first.version)).await.unwrap() == data, "call {call}");
        let files = if copied.is_ok() { (4, 2) } else { (2, 2) };
        eventually(|| files_and_inodes(&fixture) == files).await;
        if copied.is_ok() {
            break;
        }
        assert!(call < 40, "a copy makes few calls");
    }
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 4;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn damage_is_named_with_the_version_that_is_read() {
    let fixture = versioned().await;
    fixture.put("k", noise(1, LENGTH)).await;
    let second = copy(&fixture, "k", kms(false)).await;
    flip(&fixture.files()[0], 80 + 2 * (65_536 + 16) + 5);
    let Err(ObjectError::Damaged(place)) = fixture.read("k").await else { panic!("it opens") };
    assert_eq!((place.bucket.as_str(), place.name.as_str()), ("bucket", "k"));
    assert_eq!((Some(place.version), place.part), (second.version, 1));
    assert_eq!(place.what, Damaged::Chunk(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_one_object_and_removals_at_once_leave_whole_versions_and_a_name_for_each() {
    let fixture = versioned().await;
    let data = noise(1, LENGTH);
    let mut versions = vec![fixture.put("k", data.clone()).await.version];
    for round in 0..10 {
        let copying: Vec<_> = (0..4)
            .map(|nth| {
                let objects = fixture.objects.clone();
                let sse = if nth % 2 == 0 { kms(true) } else { SseRequest::S3 };
                tokio::spawn(async move { objects.copy(onto_itself("k", sse, None)).await })
            })
            .collect();
        // Their source goes under them, or not.
        let gone = versions.remove(0);
        remove(&fixture, "k", gone).await;
        for copied in copying {
            match copied.await.unwrap() {
                Ok(copied) => versions.push(copied.put.version),
                Err(ObjectError::NoSuchKey { .. }) => assert_eq!(round, 0, "there is another"),
                Err(other) => panic!("{other}"),
            }
        }
        if versions.is_empty() {
            versions.push(fixture.put("k", data.clone()).await.version);
        }
        for version in &versions {
            assert!(content(&fixture, of("k", *version)).await.unwrap() == data, "round {round}");
        }
        eventually(|| fixture.files().len() == versions.len()).await;
    }
    let fixture = fixture.crash().await;
    for version in &versions {
        assert!(content(&fixture, of("k", *version)).await.unwrap() == data);
    }
    assert_eq!(fixture.files().len(), versions.len());
}
