//! A copy of an object onto itself: its key is wrapped anew, its content stays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::path::PathBuf;
use std::time::SystemTime;

use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_seal::CustomerKey;
use support::*;

/// The blob files, with what a rewritten one would have differently.
fn files_as_they_are(fixture: &Fixture) -> Vec<(PathBuf, SystemTime)> {
    let files = fixture.files().into_iter();
    let mut files: Vec<_> =
        files.map(|file| (file.clone(), std::fs::metadata(file).unwrap().modified().unwrap())).collect();
    files.sort();
    files
}

async fn read_with(fixture: &Fixture, key: &str, customer_key: Option<CustomerKey>) -> Vec<u8> {
    let request = GetRequest { customer_key, ..get(key) };
    fixture.objects.get(request).await.unwrap().body.collect().await.unwrap()
}

#[tokio::test]
async fn every_change_of_the_encryption_leaves_the_blob_where_it_is() {
    let fixture = Fixture::new().await;
    let content = noise(1, 300_000);
    let mut request = put("k", content.clone());
    request.meta.user = vec![("kept".into(), "yes".into())];
    request.meta.tags = vec![("tag".into(), "1".into())];
    let first = fixture.objects.put(request).await.unwrap();
    let before = files_as_they_are(&fixture);
    assert_eq!(before.len(), 1);
    let steps = [
        (kms(false), None),
        (kms(true), None),
        (SseRequest::Customer(customer(1)), Some(customer(1))),
        (SseRequest::Customer(customer(2)), Some(customer(2))),
        (kms(false), None),
        (SseRequest::S3, None),
        (SseRequest::S3, None),
    ];
    let mut was = None;
    let mut etags = vec![first.etag];
    for (sse, now) in steps {
        let copied = fixture.objects.copy(onto_itself("k", sse, was)).await.unwrap().put;
        assert_eq!(copied.checksums, first.checksums);
        let request = GetRequest { customer_key: now.clone(), ..get("k") };
        let info = fixture.objects.head(request).await.unwrap().info;
        assert_eq!((info.etag, info.mtime, info.sse), (copied.etag, copied.mtime, copied.sse));
        assert_eq!((info.meta.user.len(), info.meta.tags.len()), (1, 1));
        assert_eq!(read_with(&fixture, "k", now.clone()).await, content);
        assert_eq!(files_as_they_are(&fixture), before);
        etags.push(copied.etag);
        was = now;
    }
    assert_eq!((etags[0], etags[0]), (etags[6], etags[7]), "under SSE-S3 it is the MD5 again");
    assert!(etags[1..6].iter().all(|etag| matches!(etag, ETag::Opaque(_))));
    // It is all there after a crash, too.
    let fixture = fixture.crash().await;
    assert_eq!(fixture.read("k").await.unwrap(), content);
    assert_eq!(files_as_they_are(&fixture), before);
    fixture.delete("k").await;
    fixture.objects.close().await;
    assert_eq!(fixture.files(), Vec::<PathBuf>::new(), "what was kept is removed with the object");
}

#[tokio::test]
async fn parts_stay_parts_and_layers_that_come_or_go_are_other_data() {
    let fixture = Fixture::new().await;
    let upload = upload(&fixture.objects, "k", SseRequest::S3).await;
    let parts = [noise(1, 5 << 20), noise(2, 1000)];
    let mut tags = Vec::new();
    for (number, content) in (1..).zip(&parts) {
        let stored = fixture.objects.put_part(part("k", upload, number, content.clone())).await.unwrap();
        tags.push((number, stored.etag));
    }
    let done = fixture.objects.complete_upload(complete("k", upload, &tags)).await.unwrap();
    let before = files_as_they_are(&fixture);
    let copied = fixture.objects.copy(onto_itself("k", kms(true), None)).await.unwrap().put;
    assert!(matches!(copied.etag, ETag::Multipart { parts: 2, .. }) && copied.etag != done.etag);
    assert_eq!(files_as_they_are(&fixture), before);
    assert_eq!(fixture.read("k").await.unwrap(), parts.concat());
    let dsse = || SseRequest::Dsse { key_id: None, context: None };
    fixture.objects.copy(onto_itself("k", dsse(), None)).await.unwrap();
    assert_eq!(fixture.read("k").await.unwrap(), parts.concat());
    eventually(|| fixture.files().len() == 1).await;
    let twice = files_as_they_are(&fixture);
    assert!(!before.contains(&twice[0]));
    fixture.objects.copy(onto_itself("k", dsse(), None)).await.unwrap();
    assert_eq!(files_as_they_are(&fixture), twice, "from two layers to two it is a wrap again");
    assert_eq!(fixture.read("k").await.unwrap(), parts.concat());
}

#[tokio::test]
async fn small_objects_and_metadata_follow_the_request() {
    let fixture = Fixture::new().await;
    fixture.put("k", "small").await;
    let mut request = onto_itself("k", kms(false), None);
    request.metadata = Directive::Replace;
    request.meta.user = vec![("new".into(), "1".into())];
    fixture.objects.copy(request).await.unwrap();
    let info = fixture.objects.head(get("k")).await.unwrap().info;
    assert_eq!(info.meta.user, [("new".to_owned(), "1".to_owned())]);
    assert_eq!(fixture.read("k").await.unwrap(), b"small");
    let mut conditional = onto_itself("k", SseRequest::S3, None);
    conditional.conditions.if_none_match = Some(EntityTags::Any);
    let failed = fixture.objects.copy(conditional).await;
    assert!(matches!(failed, Err(ObjectError::PreconditionFailed { .. })));
}
