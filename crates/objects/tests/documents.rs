//! Documents of buckets: durable, bounded, and gone with their bucket.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::sync::Arc;

use strongroom_objects::request::CreateBucket;
use strongroom_objects::*;
use strongroom_store::{Command, GroupId, Write};
use support::*;

fn text(fixture: &Fixture, bucket: &BucketName, kind: DocumentKind) -> Option<String> {
    let bytes = fixture.objects.bucket_document(bucket, kind).unwrap();
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

async fn set(fixture: &Fixture, kind: DocumentKind, text: Option<&str>) -> Result<(), ObjectError> {
    fixture.objects.set_bucket_document(&bucket(), kind, text.map(|text| text.as_bytes().to_vec())).await
}

async fn create(fixture: &Fixture, name: &BucketName) {
    let request = CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
    fixture.objects.create_bucket(name, request).await.unwrap();
}

#[tokio::test]
async fn documents_of_each_kind_survive_a_crash_and_stay_with_their_bucket() {
    let fixture = Fixture::new().await;
    let other = BucketName::parse("other-bucket").unwrap();
    create(&fixture, &other).await;
    for kind in DocumentKind::ALL {
        assert_eq!(text(&fixture, &bucket(), kind), None);
        set(&fixture, kind, Some(&format!("{{\"{}\":1}}", kind.name()))).await.unwrap();
    }
    let tag = fixture.objects.bucket_document_tag(&bucket(), DocumentKind::Cors).unwrap().unwrap();
    assert_eq!(tag.len(), 64);
    set(&fixture, DocumentKind::Policy, None).await.unwrap();
    set(&fixture, DocumentKind::Policy, None).await.unwrap();
    let fixture = fixture.crash().await;
    for kind in DocumentKind::ALL {
        let expected = (kind != DocumentKind::Policy).then(|| format!("{{\"{}\":1}}", kind.name()));
        assert_eq!(text(&fixture, &bucket(), kind), expected);
        assert_eq!(text(&fixture, &other, kind), None);
    }
    assert_eq!(fixture.objects.bucket_document_tag(&bucket(), DocumentKind::Cors).unwrap(), Some(tag));
    let encryption = DefaultEncryption::Kms { key_id: None, bucket_key: true };
    fixture.objects.set_default_encryption(&bucket(), encryption).await.unwrap();
    assert!(text(&fixture, &bucket(), DocumentKind::Tagging).is_some(), "other settings leave it alone");
}

#[tokio::test]
async fn a_bucket_takes_its_documents_with_it() {
    let fixture = Fixture::new().await;
    set(&fixture, DocumentKind::Lifecycle, Some("{}")).await.unwrap();
    set(&fixture, DocumentKind::Cors, Some("{}")).await.unwrap();
    fixture.objects.delete_bucket(&bucket()).await.unwrap();
    let gone = set(&fixture, DocumentKind::Cors, Some("{}")).await;
    assert!(matches!(gone, Err(ObjectError::NoSuchBucket { .. })));
    create(&fixture, &bucket()).await;
    assert_eq!(text(&fixture, &bucket(), DocumentKind::Lifecycle), None);
    // A document that was left behind would refuse the opening.
    let fixture = fixture.crash().await;
    assert_eq!(text(&fixture, &bucket(), DocumentKind::Cors), None);
}

#[tokio::test]
async fn a_bucket_that_stays_because_it_is_not_empty_keeps_its_documents() {
    let fixture = Fixture::new().await;
    set(&fixture, DocumentKind::Cors, Some("{}")).await.unwrap();
    fixture.put("name", "x").await;
    assert!(matches!(
        fixture.objects.delete_bucket(&bucket()).await,
        Err(ObjectError::BucketNotEmpty { .. })
    ));
    assert_eq!(text(&fixture, &bucket(), DocumentKind::Cors).as_deref(), Some("{}"));
    assert_eq!(text(&fixture.crash().await, &bucket(), DocumentKind::Cors).as_deref(), Some("{}"));
}

#[tokio::test]
async fn documents_are_neither_empty_nor_longer_than_their_kind_may_be() {
    let fixture = Fixture::new().await;
    for kind in DocumentKind::ALL {
        let longest = "x".repeat(kind.len_max());
        set(&fixture, kind, Some(&longest)).await.unwrap();
        for bad in [format!("{longest}x"), String::new()] {
            let refused = set(&fixture, kind, Some(&bad)).await;
            assert!(matches!(refused, Err(ObjectError::DocumentTooLong { .. })), "{kind:?}");
        }
        assert_eq!(text(&fixture, &bucket(), kind), Some(longest));
    }
}

#[tokio::test]
async fn a_condition_on_the_entity_tag_decides_who_of_two_writers_wins() {
    let fixture = Fixture::new().await;
    set(&fixture, DocumentKind::Policy, Some("one")).await.unwrap();
    let seen = fixture.objects.bucket_document_tag(&bucket(), DocumentKind::Policy).unwrap();
    let write = async |text: &str| {
        let (seen, bytes) = (seen.clone(), Some(text.as_bytes().to_vec()));
        let holds = move |there: Option<&str>| there == seen.as_deref();
        fixture.objects.set_bucket_document_if(&bucket(), DocumentKind::Policy, bytes, holds).await
    };
    write("two").await.unwrap();
    assert!(matches!(write("three").await, Err(ObjectError::PreconditionFailed { .. })));
    assert_eq!(text(&fixture, &bucket(), DocumentKind::Policy).as_deref(), Some("two"));
}

#[tokio::test]
async fn what_a_document_says_is_read_anew_after_it_changed() {
    let fixture = Fixture::new().await;
    set(&fixture, DocumentKind::Cors, Some("1")).await.unwrap();
    let read = || fixture.objects.bucket_document_json::<u32>(&bucket(), DocumentKind::Cors).unwrap();
    assert!(Arc::ptr_eq(&read().unwrap(), &read().unwrap()));
    set(&fixture, DocumentKind::Cors, Some("2")).await.unwrap();
    assert_eq!(read().as_deref(), Some(&2));
    set(&fixture, DocumentKind::Cors, None).await.unwrap();
    assert_eq!(read(), None);
}

#[tokio::test]
async fn a_document_of_no_bucket_refuses_the_opening() {
    let fixture = Fixture::new().await;
    let key = [b"config/\x04".as_slice(), &0x1234_u32.to_be_bytes()].concat();
    let writes = vec![Write::Put { key, value: vec![1, 2, 0, 0, 0, b'{', b'}'] }];
    let command = Command { group: GroupId::SYSTEM, checks: Vec::new(), writes };
    fixture.store.commit(command).await.unwrap();
    let Fixture { dir, store, objects } = fixture;
    objects.close().await;
    drop((objects, store));
    let opened = Objects::open(open_store(dir.path()), MemoryKeys::new(), options(dir.path())).await;
    assert!(matches!(opened, Err(ObjectError::DamagedRow { table: "documents" })));
}
