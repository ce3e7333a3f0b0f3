//! Object lock: what must stay stays.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_objects::request::*;
use strongroom_objects::*;
use support::*;

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A clock that a test sets.
#[derive(Debug)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

async fn locked() -> (Fixture, Arc<SetClock>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(AtomicU64::new(1000 * DAY)));
    let mut options = options(dir.path());
    options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let fixture = Fixture::with(dir, options).await;
    fixture.objects.delete_bucket(&bucket()).await.unwrap();
    let request = CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
    let info = fixture.objects.create_locked_bucket(&bucket(), request, Vec::new()).await.unwrap();
    assert_eq!(info.settings.versioning, Versioning::Enabled);
    (fixture, clock)
}

async fn remove(
    fixture: &Fixture,
    version: Option<VersionId>,
    bypass: bool,
) -> Result<DeleteResult, ObjectError> {
    let conditions = DeleteConditions { bypass_governance: bypass, ..DeleteConditions::default() };
    fixture
        .objects
        .delete(DeleteRequest { version, conditions, ..DeleteRequest::new(bucket(), name("k")) })
        .await
}

fn days(mode: RetentionMode, days: u32) -> ObjectLockConfig {
    ObjectLockConfig { default: Some(DefaultRetention { mode, period: RetentionPeriod::Days(days) }) }
}

#[tokio::test]
async fn default_retention_keeps_versions_until_it_is_over() {
    let (fixture, clock) = locked().await;
    for (mode, bypassed) in [(RetentionMode::Governance, true), (RetentionMode::Compliance, false)] {
        fixture.objects.set_object_lock(&bucket(), days(mode, 2)).await.unwrap();
        let put = fixture.put("k", noise(1, 30_000)).await;
        assert!(matches!(remove(&fixture, put.version, false).await, Err(ObjectError::Locked)));
        // A delete marker hides what stays.
        let marker = remove(&fixture, None, false).await.unwrap();
        assert!(marker.delete_marker);
        remove(&fixture, marker.version, false).await.unwrap();
        assert!(fixture.read("k").await.is_ok());
        assert_eq!(remove(&fixture, put.version, true).await.is_ok(), bypassed);
        if !bypassed {
            clock.0.fetch_add(2 * DAY, Ordering::Relaxed);
            remove(&fixture, put.version, false).await.unwrap();
        }
        let upload = upload(&fixture.objects, "k", SseRequest::Default).await;
        let stored = fixture.objects.put_part(part("k", upload, 1, "x")).await.unwrap();
        let done = fixture.objects.complete_upload(complete("k", upload, &[(1, stored.etag)])).await.unwrap();
        assert!(matches!(remove(&fixture, done.version, false).await, Err(ObjectError::Locked)));
        clock.0.fetch_add(3 * DAY, Ordering::Relaxed);
        remove(&fixture, done.version, false).await.unwrap();
    }
}

#[tokio::test]
async fn legal_hold_keeps_a_version_whatever_its_retention() {
    let (fixture, clock) = locked().await;
    let objects = &fixture.objects;
    let mut request = put("k", "x");
    request.meta.legal_hold = Some(LegalHold::On);
    let until = Timestamp(clock.now().0 + DAY);
    request.meta.retention = Some(Retention { mode: RetentionMode::Governance, until });
    let stored = objects.put(request).await.unwrap();
    let locks = objects.object_locks(&bucket(), &name("k"), stored.version).await.unwrap();
    assert_eq!(locks, (Some(Retention { mode: RetentionMode::Governance, until }), Some(LegalHold::On)));
    assert!(matches!(remove(&fixture, stored.version, true).await, Err(ObjectError::Locked)));
    clock.0.fetch_add(2 * DAY, Ordering::Relaxed);
    assert!(matches!(remove(&fixture, stored.version, true).await, Err(ObjectError::Locked)));
    objects.set_object_legal_hold(&bucket(), &name("k"), None, LegalHold::Off).await.unwrap();
    let locks = objects.object_locks(&bucket(), &name("k"), stored.version).await.unwrap();
    assert_eq!(locks.1, Some(LegalHold::Off), "it was there, which is told");
    let other = fixture.put("never", "x").await;
    let locks = objects.object_locks(&bucket(), &name("never"), other.version).await.unwrap();
    assert_eq!(locks, (None, None));
    remove(&fixture, stored.version, false).await.unwrap();
}

#[tokio::test]
async fn lock_stays_on_a_bucket_and_keeps_its_versioning() {
    let (fixture, clock) = locked().await;
    let suspended = fixture.objects.set_versioning(&bucket(), Versioning::Suspended).await;
    assert!(matches!(suspended, Err(ObjectError::ObjectLockOn)));
    fixture.objects.set_object_lock(&bucket(), days(RetentionMode::Compliance, 5)).await.unwrap();
    let mut past = put("k", "x");
    past.meta.retention = Some(Retention { mode: RetentionMode::Governance, until: clock.now() });
    assert!(matches!(fixture.objects.put(past).await, Err(ObjectError::RetentionPast)));
    let fixture = fixture.crash().await;
    assert_eq!(fixture.objects.object_lock(&bucket()).unwrap(), Some(days(RetentionMode::Compliance, 5)));
}

#[tokio::test]
async fn buckets_without_lock_take_none() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    for hold in [LegalHold::On, LegalHold::Off] {
        let mut request = put("k", "x");
        request.meta.legal_hold = Some(hold);
        assert!(matches!(objects.put(request).await, Err(ObjectError::ObjectLockOff)));
    }
    let off = objects.set_object_lock(&bucket(), ObjectLockConfig::default()).await;
    assert!(matches!(off, Err(ObjectError::VersioningOff)));
    fixture.put("k", "null").await;
    objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    objects.set_object_lock(&bucket(), ObjectLockConfig::default()).await.unwrap();
    // What was there before can be locked as well.
    objects.set_object_legal_hold(&bucket(), &name("k"), Some(VersionId::Null), LegalHold::On).await.unwrap();
    fixture.put("k", "newer").await;
    assert!(matches!(remove(&fixture, Some(VersionId::Null), true).await, Err(ObjectError::Locked)));
}

#[tokio::test]
async fn lifecycle_leaves_versions_under_retention_or_legal_hold() {
    use strongroom_objects::lifecycle::{
        LifecycleConfig, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
    };
    let (fixture, clock) = locked().await;
    let objects = &fixture.objects;
    let until = Timestamp(clock.now().0 + 30 * DAY);
    let mut retained = put("retained", "1");
    retained.meta.retention = Some(Retention { mode: RetentionMode::Governance, until });
    let mut held = put("held", "1");
    held.meta.legal_hold = Some(LegalHold::On);
    for request in [retained, held, put("free", "1")] {
        let key = request.name.as_str().to_owned();
        objects.put(request).await.unwrap();
        objects.put(put(&key, "2")).await.unwrap();
    }
    let rule = LifecycleRule {
        id: "a".into(),
        enabled: true,
        filter: LifecycleFilter::default(),
        expiration: None,
        noncurrent: Some(NoncurrentExpiration { days: 1, newer: None }),
        abort_uploads_after_days: None,
    };
    let bytes =
        serde_json::to_vec(&LifecycleConfig { rules: vec![rule], ..LifecycleConfig::default() }).unwrap();
    objects.set_bucket_document(&bucket(), DocumentKind::Lifecycle, Some(bytes)).await.unwrap();
    clock.0.fetch_add(3 * DAY, Ordering::Relaxed);
    let run = objects.run_lifecycle(&bucket()).await.unwrap();
    assert_eq!((run.noncurrent, run.locked, run.failed), (1, 2, 0));
    // The retention ends, the hold does not.
    clock.0.store(until.0 + DAY, Ordering::Relaxed);
    let run = objects.run_lifecycle(&bucket()).await.unwrap();
    assert_eq!((run.noncurrent, run.locked, run.failed), (1, 1, 0));
}
