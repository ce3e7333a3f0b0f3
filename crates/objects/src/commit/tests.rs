//! Writers on other nodes, who do not take turns with those here: what decides are the checks of the commands. And
//! rows that nobody can read.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use strongroom_store::{GroupId, Store};

use super::*;
use crate::object_lock::check_removal;
use crate::ops::get::{Purpose, whole};
use crate::ops::rewrap_copy::Onto;
use crate::ops::tags::amended;
use crate::request::{CreateBucket, DeleteRequest, Directive};
use crate::{BucketSettings, LegalHold, ObjectMeta, SseRequest, Tags};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The body row of the current version.
fn body_row(store: &Store, bucket: &Bucket, key: &str) -> (Vec<u8>, Body) {
    let reading = store.read(bucket.group).unwrap();
    let current = current(&reading, bucket, &name(key)).unwrap().unwrap();
    let object = current.object().unwrap().clone();
    let body = body(&reading, bucket, &name(key), current.head.version, &object).unwrap();
    (rows::body_key(&name(key), &object.content), body)
}

/// Does what another node's command would: changes a body, and no head.
fn change_elsewhere(store: &Store, bucket: &Bucket, key: &str, change: impl FnOnce(&mut ObjectMeta)) {
    let (row, mut body) = body_row(store, bucket, key);
    change(&mut body.meta);
    let writes = vec![Write::Put { key: row, value: body.encode() }];
    store.commit_blocking(Command { group: bucket.group, checks: Vec::new(), writes }).unwrap();
}

async fn with_locks() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.objects.delete_bucket(&bucket()).await.unwrap();
    let request = CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
    fixture.objects.create_locked_bucket(&bucket(), request, Vec::new()).await.unwrap();
    fixture
}

#[tokio::test]
async fn a_legal_hold_that_comes_while_a_version_is_being_removed_keeps_it() {
    let fixture = with_locks().await;
    let stored = fixture.put("name", "content").await;
    let inner = Arc::clone(&fixture.objects.0);
    let at = inner.bucket(&bucket()).unwrap();
    let (store, first) = (fixture.store.clone(), AtomicBool::new(true));
    let request = DeleteRequest { version: stored.version, ..DeleteRequest::new(bucket(), name("name")) };
    // Asked before the version is read for the removal, whose reading is older than the hold.
    let deleted = fixture.objects.delete_if(request, move |_| {
        if first.swap(false, Ordering::Relaxed) {
            change_elsewhere(&store, &at, "name", |meta| meta.legal_hold = Some(LegalHold::On));
        }
        Ok(true)
    });
    assert!(matches!(deleted.await, Err(ObjectError::Locked)));
    assert_eq!(fixture.read("name").await.unwrap(), b"content");
}

#[tokio::test]
async fn changes_of_tags_and_locks_keep_what_another_changed_meanwhile() {
    let fixture = with_locks().await;
    fixture.put("name", "content").await;
    let inner = Arc::clone(&fixture.objects.0);
    let at = inner.bucket(&bucket()).unwrap();
    let conditions = WriteConditions::default();
    let named = name("name");
    let what = Replace { bucket: &at, name: &named, conditions: &conditions };
    let (store, elsewhere, first) = (fixture.store.clone(), Arc::clone(&at), AtomicBool::new(true));
    let changed = inner.replace(what, move |seen| {
        if first.swap(false, Ordering::Relaxed) {
            change_elsewhere(&store, &elsewhere, "name", |meta| meta.legal_hold = Some(LegalHold::On));
        }
        amended(seen, None, |meta| {
            meta.tags = tags(&[("a", "1")]);
            Ok(())
        })
        .map(Some)
    });
    changed.await.unwrap();
    let (_, body) = body_row(&fixture.store, &at, "name");
    assert!(body.meta.legal_hold == Some(LegalHold::On) && body.meta.tags == tags(&[("a", "1")]));
    assert!(check_removal(&body, Timestamp(0), true).is_err());
}

#[tokio::test]
async fn a_copy_onto_itself_keeps_tags_that_came_after_it_had_read_the_object() {
    for directive in [Directive::Copy, Directive::Replace] {
        let fixture = Fixture::new().await;
        fixture.put("name", noise(1, 50_000)).await;
        let inner = Arc::clone(&fixture.objects.0);
        let at = inner.bucket(&bucket()).unwrap();
        let mut opened =
            inner.open_object(whole(bucket(), name("name"), None), Purpose::Content).await.unwrap();
        fixture.objects.set_object_tags(&bucket(), &name("name"), None, tags(&[("a", "1")])).await.unwrap();
        let sse = SseRequest::Kms { key_id: None, context: None, bucket_key: None };
        let (meta, conditions) = (opened.body.meta.clone(), WriteConditions::default());
        let onto = Onto {
            bucket: &at,
            sse: &sse,
            meta: &meta,
            tagging: directive,
            conditions: &conditions,
            checksum: None,
        };
        assert!(inner.rewrap_onto_itself(&mut opened, onto).await.unwrap().is_some());
        let kept = fixture.objects.object_tags(&bucket(), &name("name"), None).await.unwrap().tags;
        assert_eq!(kept, tags(if directive == Directive::Copy { &[("a", "1")] } else { &[] }));
        assert_eq!(fixture.read("name").await.unwrap(), noise(1, 50_000));
    }
}

fn put_row(store: &Store, group: GroupId, key: Vec<u8>, value: &[u8]) {
    let writes = vec![Write::Put { key, value: value.to_vec() }];
    store.commit_blocking(Command { group, checks: Vec::new(), writes }).unwrap();
}

#[tokio::test]
async fn an_object_whose_body_row_cannot_be_read_can_be_replaced_and_removed() {
    let fixture = Fixture::new().await;
    let at = fixture.objects.0.bucket(&bucket()).unwrap();
    for key in ["replaced", "removed"] {
        fixture.put(key, noise(1, 50_000)).await;
        let (row, _) = body_row(&fixture.store, &at, key);
        put_row(&fixture.store, at.group, row, b"\x01nonsense");
        assert!(matches!(fixture.read(key).await, Err(ObjectError::Damaged(_))));
    }
    fixture.put("replaced", noise(2, 50_000)).await;
    assert_eq!(fixture.read("replaced").await.unwrap(), noise(2, 50_000));
    fixture.delete("removed").await;
    assert!(matches!(fixture.read("removed").await, Err(ObjectError::NoSuchKey { .. })));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_listed_by_its_name_and_keeps_no_other_from_being_listed() {
    let fixture = Fixture::new().await;
    fixture.objects.set_versioning(&bucket(), crate::Versioning::Enabled).await.unwrap();
    let mut versions = Vec::new();
    for key in ["a", "b", "b", "c"] {
        versions.push(fixture.put(key, "content").await.version.unwrap());
    }
    let at = fixture.objects.0.bucket(&bucket()).unwrap();
    let older = crate::versions::newest_noncurrent(&fixture.store.read(at.group).unwrap(), &at, &name("b"));
    put_row(&fixture.store, at.group, older.unwrap().unwrap().key, b"\x01nonsense");
    put_row(&fixture.store, at.group, rows::head_key(&name("b")), b"\x01nonsense");
    let listed = fixture.objects.list(listing("", None, None, 1000)).await.unwrap();
    let shown: Vec<_> = listed.objects.iter().map(|object| (object.name.as_str(), object.size)).collect();
    assert_eq!(shown, [("a", 7), ("b", 0), ("c", 7)]);
    for max in [1, 1000] {
        let mut shown = Vec::new();
        let mut request = crate::request::ListVersions {
            bucket: bucket(),
            prefix: String::new(),
            delimiter: None,
            name_after: None,
            version_after: None,
            max,
        };
        loop {
            let page = fixture.objects.list_versions(request.clone()).await.unwrap();
            shown.extend(page.versions.iter().map(|version| (version.name.to_string(), version.version)));
            if !page.truncated || shown.len() > 9 {
                break;
            }
            (request.name_after, request.version_after) = (page.next_name, page.next_version);
        }
        let names: Vec<_> = shown.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "b", "c"], "pages of {max}");
        assert_eq!(shown[2].1, versions[1], "what the key says is known");
    }
}
