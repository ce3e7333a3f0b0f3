use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_seal::CustomerKey;

use crate::request::{GetRequest, PutRequest, RangeRequest};
use crate::support::*;
use crate::{EntityTags, ObjectError, ObjectMeta, ReadConditions, SseRequest, SystemMeta};

fn is_kept(fixture: &Fixture, key: &str) -> bool {
    let inner = &fixture.objects.0;
    let group = inner.bucket(&bucket()).unwrap().group;
    inner.hot.find(group, &name(key), || fixture.store.keep_open(group)).is_some()
}

/// How many objects are held, whether they count or not.
fn held(fixture: &Fixture) -> usize {
    fixture.objects.0.hot.cache.as_ref().map_or(0, quick_cache::sync::Cache::len)
}

#[tokio::test]
async fn an_object_that_was_read_is_kept_until_something_in_its_bucket_changes() {
    let fixture = Fixture::new().await;
    fixture.put("name", "first").await;
    assert!(!is_kept(&fixture, "name"));
    for _ in 0..2 {
        assert_eq!(fixture.read("name").await.unwrap(), b"first");
        assert!(is_kept(&fixture, "name"));
    }
    fixture.put("other", "content").await;
    assert!(!is_kept(&fixture, "name"));
    assert_eq!(fixture.read("name").await.unwrap(), b"first");
    fixture.put("name", "second").await;
    assert_eq!(fixture.read("name").await.unwrap(), b"second");
    fixture.delete("name").await;
    assert!(matches!(fixture.read("name").await, Err(ObjectError::NoSuchKey { .. })));
}

#[tokio::test]
async fn conditions_and_ranges_hold_for_kept_objects_too() {
    let fixture = Fixture::new().await;
    fixture.put("name", "0123456789").await;
    let cold = fixture.objects.get(get("name")).await.unwrap();
    let hot = fixture.objects.get(get("name")).await.unwrap();
    assert_eq!(hot.info, cold.info);
    assert_eq!(hot.body.collect().await.unwrap(), b"0123456789");
    let range = |first, last| GetRequest {
        range: Some(RangeRequest::From { first, last: Some(last) }),
        ..get("name")
    };
    let part = fixture.objects.get(range(2, 4)).await.unwrap();
    assert_eq!(part.range.unwrap().total, 10);
    assert_eq!(part.body.collect().await.unwrap(), b"234");
    let beyond = fixture.objects.get(range(10, 11)).await;
    assert!(matches!(beyond, Err(ObjectError::InvalidRange { .. })));
    let if_none_match = Some(EntityTags::Any);
    let conditions = ReadConditions { if_none_match, ..ReadConditions::default() };
    let unmodified = fixture.objects.get(GetRequest { conditions, ..get("name") }).await;
    assert!(matches!(unmodified, Err(ObjectError::NotModified { .. })));
    assert!(is_kept(&fixture, "name"));
}

#[tokio::test]
async fn what_other_keys_seal_and_what_is_in_blobs_is_not_kept() {
    let fixture = Fixture::new().await;
    let customer = || CustomerKey::from_bytes(&mut [1; 32]);
    let kms = SseRequest::Kms { key_id: None, context: None, bucket_key: None };
    for (key, sse) in [("kms", kms), ("customer", SseRequest::Customer(customer()))] {
        fixture.objects.put(PutRequest { sse, ..put(key, "content") }).await.unwrap();
    }
    fixture.put("blob", noise(1, 300_000)).await;
    for request in [get("kms"), get("blob"), GetRequest { customer_key: Some(customer()), ..get("customer") }]
    {
        fixture.objects.get(request).await.unwrap().body.collect().await.unwrap();
    }
    assert_eq!(held(&fixture), 0);
}

#[tokio::test]
async fn what_was_deleted_is_let_go_of() {
    let fixture = Fixture::new().await;
    for key in ["deleted", "stays"] {
        fixture.put(key, "content").await;
    }
    fixture.read("deleted").await.unwrap();
    fixture.delete("deleted").await;
    fixture.read("stays").await.unwrap();
    assert_eq!(held(&fixture), 2);
    fixture.objects.0.hot.purge(&fixture.store);
    assert_eq!(held(&fixture), 1);
    assert!(is_kept(&fixture, "stays"));
}

#[tokio::test]
async fn no_more_is_kept_than_there_is_memory_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut sized = options(dir.path());
    sized.hot_bytes = 64 << 10;
    let fixture = Fixture::with(dir, sized).await;
    for n in 0..50 {
        fixture.put(&format!("name {n}"), noise(n, 4096)).await;
    }
    for n in 0..50 {
        assert_eq!(fixture.read(&format!("name {n}")).await.unwrap(), noise(n, 4096));
    }
    assert!((1..16).contains(&held(&fixture)), "{}", held(&fixture));
    // Metadata takes memory too.
    for n in 0..50 {
        let user = vec![("name".to_owned(), "x".repeat(2000))];
        let system = SystemMeta { content_type: Some("y".repeat(2000)), ..SystemMeta::default() };
        let meta = ObjectMeta { user, system, ..ObjectMeta::default() };
        fixture.objects.put(PutRequest { meta, ..put(&format!("meta {n}"), "") }).await.unwrap();
    }
    for n in 0..50 {
        fixture.read(&format!("meta {n}")).await.unwrap();
    }
    assert!((1..16).contains(&held(&fixture)), "{}", held(&fixture));
    let dir = tempfile::tempdir().unwrap();
    let mut none = options(dir.path());
    none.hot_bytes = 0;
    let fixture = Fixture::with(dir, none).await;
    fixture.put("name", "content").await;
    for _ in 0..2 {
        assert_eq!(fixture.read("name").await.unwrap(), b"content");
    }
    assert_eq!(held(&fixture), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_reads_what_was_before_an_acknowledged_write_or_goes_back() {
    const WRITES: u64 = 300;
    let fixture = Fixture::new().await;
    fixture.put("name", "0").await;
    let (acknowledged, reads) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (objects, acknowledged, reads) =
                (fixture.objects.clone(), acknowledged.clone(), reads.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while last < WRITES {
                    let at_least = acknowledged.load(Ordering::SeqCst).max(last);
                    let content = objects.get(get("name")).await.unwrap().body.collect().await.unwrap();
                    last = String::from_utf8(content).unwrap().parse().unwrap();
                    assert!(last >= at_least, "{last} after {at_least}");
                    reads.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for write in 1..=WRITES {
        fixture.put("name", write.to_string()).await;
        acknowledged.store(write, Ordering::SeqCst);
        // So that it is read from memory too.
        let enough = reads.load(Ordering::SeqCst) + 4;
        while write < WRITES && reads.load(Ordering::SeqCst) < enough {
            tokio::task::yield_now().await;
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
}
