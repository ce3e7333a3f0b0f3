//! Keys of the KMS: two layers, bucket keys, what is kept in memory, and a KMS that goes away.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_kms::{KeyInfo, KeyState, KmsError, Provider};
use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_seal::{Context, DataKey, Envelope};
use support::*;

/// A KMS that counts its calls, can be away, and can be told that a key is disabled.
#[derive(Debug)]
struct Counting {
    keys: Arc<MemoryKeys>,
    generated: AtomicU64,
    unwrapped: AtomicU64,
    away: AtomicBool,
    disabled: AtomicBool,
    changes: AtomicU64,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            keys: MemoryKeys::new(),
            generated: AtomicU64::new(0),
            unwrapped: AtomicU64::new(0),
            away: AtomicBool::new(false),
            disabled: AtomicBool::new(false),
            changes: AtomicU64::new(0),
        })
    }

    fn calls(&self) -> (u64, u64) {
        (self.generated.load(Ordering::SeqCst), self.unwrapped.load(Ordering::SeqCst))
    }

    fn go_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn check(&self, key_id: &str) -> Result<(), KmsError> {
        if self.away.load(Ordering::SeqCst) {
            let source = Arc::new(std::io::Error::other("nobody answers"));
            return Err(KmsError::Unavailable { provider: "memory", source });
        }
        if self.disabled.load(Ordering::SeqCst) {
            return Err(KmsError::Disabled { key_id: key_id.into() });
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for Counting {
    fn name(&self) -> &'static str {
        "memory"
    }
    fn default_key(&self) -> &str {
        "default"
    }
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }
    async fn generate(&self, key_id: &str, context: &Context) -> Result<(DataKey, Envelope), KmsError> {
        self.generated.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.check(key_id)?;
        self.keys.generate(key_id, context).await
    }
    async fn wrap(&self, key_id: &str, key: &[u8; 32], context: &Context) -> Result<Envelope, KmsError> {
        self.keys.wrap(key_id, key, context).await
    }
    async fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<DataKey, KmsError> {
        self.unwrapped.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.check(&envelope.key_id)?;
        self.keys.unwrap(envelope, context).await
    }
    async fn create_key(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        self.describe(key_id).await
    }
    async fn rotate(&self, _: &str) -> Result<u32, KmsError> {
        Ok(1)
    }
    async fn set_state(&self, key_id: &str, _: KeyState) -> Result<KeyInfo, KmsError> {
        self.describe(key_id).await
    }
    async fn list(&self) -> Result<Vec<KeyInfo>, KmsError> {
        Ok(Vec::new())
    }
    async fn describe(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        Err(KmsError::NotFound { key_id: key_id.into() })
    }
    async fn probe(&self) -> Result<Duration, KmsError> {
        Ok(Duration::ZERO)
    }
}

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Hands {
    fn go_on(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + self.0.load(Ordering::SeqCst))
    }
}

const MINUTE: u64 = 60;

async fn with_counting() -> (Fixture, Arc<Counting>, Arc<Hands>) {
    let dir = tempfile::tempdir().unwrap();
    let (kms, clock) = (Counting::new(), Arc::new(Hands::default()));
    let mut options = options(dir.path());
    options.clock = clock.clone();
    let store = open_store(dir.path());
    let objects = Objects::open(store.clone(), kms.clone(), options).await.unwrap();
    let settings = BucketSettings::default();
    objects.create_bucket(&bucket(), CreateBucket { owner: "me".into(), settings }).await.unwrap();
    (Fixture { dir, store, objects }, kms, clock)
}

fn with_bucket_key() -> SseRequest {
    SseRequest::Kms { key_id: None, context: None, bucket_key: Some(true) }
}

fn single() -> SseRequest {
    SseRequest::Kms { key_id: None, context: Some("{\"a\":\"b\"}".into()), bucket_key: Some(false) }
}

fn dsse() -> SseRequest {
    SseRequest::Dsse { key_id: Some("arn:aws:kms:::key/twice".into()), context: Some("{}".into()) }
}

async fn store(fixture: &Fixture, key: &str, sse: SseRequest, content: Vec<u8>) -> PutResult {
    let mut request = put(key, content);
    request.sse = sse;
    fixture.objects.put(request).await.unwrap()
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * at / 7 + at) % 251).unwrap()).collect()
}

#[tokio::test]
async fn two_layers_give_back_what_was_stored_also_by_ranges_parts_and_copies() {
    let (fixture, kms, _) = with_counting().await;
    for length in [0, 1, 5000, 70_000, 300_000, 2_500_000] {
        let content = noise(length);
        let stored = store(&fixture, "k", dsse(), content.clone()).await;
        let applied = SseApplied::Dsse { key_id: "twice".into(), context: Some("{}".into()) };
        assert_eq!(stored.sse, applied);
        assert!(matches!(stored.etag, ETag::Opaque(_)));
        assert_eq!(fixture.read("k").await.unwrap(), content, "{length}");
        let head = fixture.objects.head(get("k")).await.unwrap();
        assert_eq!((head.info.sse, head.length), (applied, length as u64));
        for (first, last) in [(0, 0), (65_535, 65_536), (65_000, 200_000), (length as u64 / 2, length as u64)]
        {
            if first >= length as u64 {
                continue;
            }
            let mut request = get("k");
            request.range = Some(RangeRequest::From { first, last: Some(last) });
            let got = fixture.objects.get(request).await.unwrap().body.collect().await.unwrap();
            let end = content.len().min(usize::try_from(last).unwrap() + 1);
            assert_eq!(got, content[usize::try_from(first).unwrap()..end], "{length} {first} {last}");
        }
    }
    let (before, _) = kms.calls();
    store(&fixture, "one", dsse(), noise(10)).await;
    assert_eq!(kms.calls().0, before + 2, "each layer has a data key of its own");
}

#[tokio::test]
async fn a_damaged_chunk_of_two_layers_is_found_and_ranges_beside_it_are_not_disturbed() {
    let (fixture, ..) = with_counting().await;
    let content = noise(10 * 65_536);
    store(&fixture, "k", dsse(), content.clone()).await;
    let file = fixture.files().pop().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    // Somewhere in chunk 5 of the outer layer.
    bytes[80 + 5 * (65_536 + 16) + 1000] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let range = async |first: u64, last| {
        let mut request = get("k");
        request.range = Some(RangeRequest::From { first, last: Some(last) });
        fixture.objects.get(request).await?.body.collect().await
    };
    assert_eq!(range(0, 65_535).await.unwrap(), content[..65_536]);
    assert_eq!(range(7 * 65_536, 8 * 65_536).await.unwrap(), content[7 * 65_536..=8 * 65_536]);
    let ObjectError::Damaged(place) = range(5 * 65_536, 5 * 65_536 + 10).await.unwrap_err() else { panic!() };
    assert_eq!(place.what, Damaged::Chunk(5));
    let cut = bytes.len() - 1;
    bytes.truncate(cut);
    std::fs::write(&file, &bytes).unwrap();
    let ObjectError::Damaged(place) = range(0, 5).await.unwrap_err() else { panic!() };
    assert_eq!(place.what, Damaged::Length);
}

#[tokio::test]
async fn a_bucket_key_is_one_call_for_each_bucket_and_window_for_writers_and_readers() {
    let (fixture, kms, clock) = with_counting().await;
    for number in 0..50 {
        let stored = store(&fixture, &format!("k{number}"), with_bucket_key(), noise(100)).await;
        let applied = SseApplied::Kms { key_id: "default".into(), context: None, bucket_key: true };
        assert_eq!(stored.sse, applied);
    }
    assert_eq!(kms.calls(), (1, 0));
    for number in 0..50 {
        assert_eq!(fixture.read(&format!("k{number}")).await.unwrap(), noise(100));
    }
    assert_eq!(kms.calls(), (1, 0), "who made the key need not ask for it");
    // Many at once, when the window is over: one call for all.
    clock.go_on(6 * MINUTE);
    let puts = (0..20).map(|number| store_owned(&fixture.objects, format!("m{number}")));
    futures::future::join_all(puts).await;
    assert_eq!(kms.calls().0, 2);
    let reads = (0..50).map(|number| read_owned(&fixture.objects, format!("k{number}")));
    futures::future::join_all(reads).await;
    assert_eq!(kms.calls(), (2, 1));
    // Another bucket has another key, and so has another key of the KMS.
    let other = BucketName::parse("other-bucket").unwrap();
    let settings = BucketSettings::default();
    fixture.objects.create_bucket(&other, CreateBucket { owner: "me".into(), settings }).await.unwrap();
    let mut request = put("k", noise(1));
    (request.bucket, request.sse) = (other, with_bucket_key());
    fixture.objects.put(request).await.unwrap();
    let named = SseRequest::Kms { key_id: Some("blue".into()), context: None, bucket_key: Some(true) };
    store(&fixture, "blue", named, noise(1)).await;
    assert_eq!(kms.calls().0, 4);
}

async fn store_owned(objects: &Objects, key: String) {
    let mut request = put(&key, noise(20_000));
    request.sse = with_bucket_key();
    objects.put(request).await.unwrap();
}

async fn read_owned(objects: &Objects, key: String) {
    assert_eq!(objects.get(get(&key)).await.unwrap().body.collect().await.unwrap(), noise(100));
}

#[tokio::test]
async fn a_bucket_key_wraps_no_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let kms = Counting::new();
    let mut options = options(dir.path());
    options.data_keys.bucket_key_uses_max = 10;
    let store_ = open_store(dir.path());
    let objects = Objects::open(store_.clone(), kms.clone(), options).await.unwrap();
    let settings = BucketSettings {
        encryption: DefaultEncryption::Kms { key_id: None, bucket_key: true },
        ..BucketSettings::default()
    };
    objects.create_bucket(&bucket(), CreateBucket { owner: "me".into(), settings }).await.unwrap();
    let fixture = Fixture { dir, store: store_, objects };
    for number in 0..25 {
        store(&fixture, &format!("k{number}"), SseRequest::Default, noise(1)).await;
    }
    assert_eq!(kms.calls().0, 3);
}

#[tokio::test]
async fn a_kms_that_is_away_loses_no_read_of_hot_keys_for_a_time_and_no_write_goes_on() {
    let (fixture, kms, clock) = with_counting().await;
    store(&fixture, "bucket key", with_bucket_key(), noise(100)).await;
    store(&fixture, "single", single(), noise(100)).await;
    store(&fixture, "twice", dsse(), noise(100)).await;
    store(&fixture, "cold", single(), noise(100)).await;
    let hot = ["bucket key", "single", "twice"];
    for key in hot {
        fixture.read(key).await.unwrap();
    }
    kms.go_away(true);
    for minutes in [0, 3, 6, 30] {
        clock.go_on(minutes * MINUTE);
        for key in hot {
            assert_eq!(fixture.read(key).await.unwrap(), noise(100), "{key} {minutes}");
        }
    }
    let unavailable = |error| matches!(error, ObjectError::Kms(KmsError::Unavailable { .. }));
    assert!(unavailable(fixture.read("cold").await.unwrap_err()));
    let mut request = put("new", noise(1));
    request.sse = with_bucket_key();
    assert!(unavailable(fixture.objects.put(request).await.unwrap_err()));
    // It is left alone for a while, so that readers need not wait for it each.
    let calls = kms.calls();
    for _ in 0..10 {
        fixture.read("single").await.unwrap();
    }
    assert_eq!(kms.calls(), calls);
    clock.go_on(60 * MINUTE);
    for key in hot {
        assert!(unavailable(fixture.read(key).await.unwrap_err()), "{key}");
    }
    kms.go_away(false);
    for key in hot.iter().chain(&["cold"]) {
        assert_eq!(fixture.read(key).await.unwrap(), noise(100));
    }
}

#[tokio::test]
async fn a_key_that_was_disabled_opens_nothing_when_the_kms_says_so() {
    let (fixture, kms, clock) = with_counting().await;
    store(&fixture, "k", with_bucket_key(), noise(100)).await;
    fixture.read("k").await.unwrap();
    kms.disabled.store(true, Ordering::SeqCst);
    // A KMS elsewhere is asked again after a while, a local one tells at once.
    fixture.read("k").await.unwrap();
    kms.changes.fetch_add(1, Ordering::SeqCst);
    let disabled = |error| matches!(error, ObjectError::Kms(KmsError::Disabled { .. }));
    assert!(disabled(fixture.read("k").await.unwrap_err()));
    kms.disabled.store(false, Ordering::SeqCst);
    fixture.read("k").await.unwrap();
    kms.disabled.store(true, Ordering::SeqCst);
    clock.go_on(6 * MINUTE);
    assert!(disabled(fixture.read("k").await.unwrap_err()));
}

#[tokio::test]
async fn a_listing_asks_no_kms_and_what_cannot_be_read_fails_none() {
    let (fixture, kms, _) = with_counting().await;
    store(&fixture, "a", single(), noise(100)).await;
    store(&fixture, "b", dsse(), noise(100_000)).await;
    store(&fixture, "c", with_bucket_key(), noise(10)).await;
    store(&fixture, "d", SseRequest::S3, noise(100_000)).await;
    for file in fixture.files() {
        std::fs::write(file, b"not a blob").unwrap();
    }
    kms.go_away(true);
    let calls = kms.calls();
    let found = fixture.objects.list(listing("", None, None, 100)).await.unwrap();
    let names: Vec<_> = found.objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    for name in names {
        fixture.objects.head(get(name)).await.unwrap();
    }
    assert_eq!(kms.calls(), calls);
}

#[tokio::test]
async fn the_stores_own_root_key_seals_no_object() {
    let (fixture, ..) = with_counting().await;
    let mut request = put("k", noise(1));
    let key_id = Some("strongroom-root".to_owned());
    request.sse = SseRequest::Kms { key_id, context: None, bucket_key: None };
    let error = fixture.objects.put(request).await.unwrap_err();
    assert!(matches!(error, ObjectError::Kms(KmsError::Protected { .. })));
}

/// A copy of the object `from` to `to` as its bucket has it.
fn copy() -> CopyRequest {
    let conditions = ReadConditions::default();
    CopyRequest {
        source: CopySource {
            bucket: bucket(),
            name: name("from"),
            version: None,
            conditions,
            customer_key: None,
        },
        bucket: bucket(),
        name: name("to"),
        meta: ObjectMeta::default(),
        metadata: Directive::Copy,
        tagging: Directive::Copy,
        sse: SseRequest::Default,
        conditions: WriteConditions::default(),
        checksum: None,
    }
}

/// Does it while this thread waits.
fn meanwhile<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || runtime().block_on(work())).join().unwrap();
}

#[tokio::test]
async fn a_copy_takes_what_it_was_allowed_to_take_whatever_is_written_meanwhile() {
    let (fixture, kms, _) = with_counting().await;
    for large in [100, 100_000] {
        fixture.objects.set_default_encryption(&bucket(), DefaultEncryption::S3).await.unwrap();
        let mut request = put("from", noise(large));
        request.sse = SseRequest::S3;
        request.meta.tags = vec![("colour".to_owned(), "red".to_owned())];
        fixture.objects.put(request).await.unwrap();
        let unwrapped = kms.calls().1;
        let objects = fixture.objects.clone();
        let allowed = fixture.objects.copy_if(copy(), |taken| {
            assert_eq!((&taken.sse, taken.sealed_with), (&SseApplied::S3, None));
            assert_eq!(taken.tags[0].1, "red");
            meanwhile(|| async move {
                let encryption = DefaultEncryption::Kms { key_id: None, bucket_key: false };
                objects.set_default_encryption(&bucket(), encryption).await.unwrap();
                let secret = PutRequest { sse: single(), ..put("from", "a secret of the KMS") };
                objects.put(secret).await.unwrap();
            });
            Ok::<_, ()>(())
        });
        let copied = allowed.await.unwrap().put;
        assert_eq!(copied.sse, SseApplied::S3);
        assert_eq!(kms.calls().1, unwrapped, "no key was asked for that was not allowed");
        assert!(fixture.read("to").await.unwrap() == noise(large));
        let to = fixture.objects.head(get("to")).await.unwrap().info;
        assert_eq!(to.meta.tags[0].1, "red");
    }
}

#[tokio::test]
async fn a_copy_that_is_refused_unwraps_nothing_and_writes_nothing() {
    let (fixture, kms, _) = with_counting().await;
    store(&fixture, "from", single(), noise(100_000)).await;
    let encryption = DefaultEncryption::Kms { key_id: None, bucket_key: true };
    fixture.objects.set_default_encryption(&bucket(), encryption).await.unwrap();
    let calls = kms.calls();
    let refuse = |taken: ToCopy<'_>| {
        let used = KmsUse::of(&taken.sse).unwrap();
        assert_eq!((used.key_id.as_str(), used.context.as_deref()), ("default", Some("{\"a\":\"b\"}")));
        Err(taken.sealed_with.map(|used| (used.key_id, used.bucket_key)))
    };
    let told = fixture.objects.copy_if(copy(), refuse).await.unwrap_err();
    assert!(matches!(told, NotCopied::Refused(Some((key, true))) if key == "default"));
    let id = upload(&fixture.objects, "parts", SseRequest::S3).await;
    let part = CopyPart {
        source: copy().source,
        range: None,
        bucket: bucket(),
        name: name("parts"),
        upload: id,
        part: PartNumber::new(1).unwrap(),
        customer_key: None,
    };
    let told = fixture.objects.copy_part_if(part, refuse).await.unwrap_err();
    assert!(matches!(told, NotCopied::Refused(None)));
    assert_eq!(kms.calls(), calls);
    assert!(matches!(fixture.read("to").await, Err(ObjectError::NoSuchKey { .. })));
}

#[tokio::test]
async fn a_write_that_was_settled_is_not_moved_by_another_default() {
    let (fixture, ..) = with_counting().await;
    let objects = &fixture.objects;
    let defaults = [
        DefaultEncryption::S3,
        DefaultEncryption::Kms { key_id: None, bucket_key: true },
        DefaultEncryption::Kms { key_id: None, bucket_key: false },
        DefaultEncryption::Dsse { key_id: None, bucket_key: false },
    ];
    let asked = [
        SseRequest::Default,
        SseRequest::S3,
        SseRequest::Kms { key_id: None, context: None, bucket_key: None },
        SseRequest::Dsse { key_id: Some("other".into()), context: None },
    ];
    for decided in &defaults {
        for sse in &asked {
            objects.set_default_encryption(&bucket(), decided.clone()).await.unwrap();
            let plainly = PutRequest { sse: sse.clone(), ..put("k", "x") };
            let expected = objects.put(plainly).await.unwrap().sse;
            let used = objects.kms_use_for(&bucket(), sse).unwrap();
            assert_eq!(used, KmsUse::of(&expected), "{sse:?} in {decided:?}");
            let settled = objects.settled_sse(&bucket(), sse.clone()).unwrap();
            for since in &defaults {
                objects.set_default_encryption(&bucket(), since.clone()).await.unwrap();
                let write = PutRequest { sse: settled.clone(), ..put("k", "x") };
                assert_eq!(objects.put(write).await.unwrap().sse, expected, "{sse:?} in {since:?}");
            }
        }
    }
}
