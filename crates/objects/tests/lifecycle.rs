//! Lifecycle rules carried out, under a clock that the test turns.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_objects::lifecycle::{
    Expiration, LifecycleConfig, LifecycleFilter, LifecycleRule, LifecycleRun, NoncurrentExpiration,
};
use strongroom_objects::request::ListVersions;
use strongroom_objects::*;
use support::*;

const DAY: u64 = 24 * 60 * 60 * 1000;
/// 2023-11-14T12:00:00Z.
const NOON: u64 = 1_699_963_200_000;

/// Goes on by a millisecond whenever somebody looks, and by days when the test says so.
#[derive(Debug)]
struct Turned(AtomicU64);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl Turned {
    fn days(&self, days: u64) {
        self.0.fetch_add(days * DAY, Ordering::Relaxed);
    }
}

async fn fixture() -> (Fixture, Arc<Turned>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Turned(AtomicU64::new(NOON)));
    let mut options = options(dir.path());
    options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    (Fixture::with(dir, options).await, clock)
}

fn rule(id: &str) -> LifecycleRule {
    LifecycleRule {
        id: id.to_owned(),
        enabled: true,
        filter: LifecycleFilter::default(),
        expiration: None,
        noncurrent: None,
        abort_uploads_after_days: None,
    }
}

async fn set(fixture: &Fixture, rules: &[LifecycleRule]) {
    let config = LifecycleConfig { rules: rules.to_vec(), ..LifecycleConfig::default() };
    assert_eq!(config.check(), Ok(()));
    let bytes = serde_json::to_vec(&config).unwrap();
    fixture.objects.set_bucket_document(&bucket(), DocumentKind::Lifecycle, Some(bytes)).await.unwrap();
}

async fn run(fixture: &Fixture) -> LifecycleRun {
    fixture.objects.run_lifecycle(&bucket()).await.unwrap()
}

async fn versioned(fixture: &Fixture) {
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
}

/// The versions of all names as `name` or `name!` for a delete marker, newest first.
async fn versions(fixture: &Fixture) -> Vec<String> {
    let request = ListVersions {
        bucket: bucket(),
        prefix: String::new(),
        delimiter: None,
        name_after: None,
        version_after: None,
        max: 1000,
    };
    let page = fixture.objects.list_versions(request).await.unwrap();
    let shown = |version: &request::ListedVersion| {
        format!("{}{}", version.name, if version.object.is_some() { "" } else { "!" })
    };
    page.versions.iter().map(shown).collect()
}

#[tokio::test]
async fn objects_expire_at_the_midnight_after_their_days_and_not_before() {
    let (fixture, clock) = fixture().await;
    let prefix = LifecycleFilter { prefix: Some("logs/".into()), ..LifecycleFilter::default() };
    set(&fixture, &[LifecycleRule { filter: prefix, expiration: Some(Expiration::Days(2)), ..rule("a") }])
        .await;
    fixture.put("logs/a", noise(1, 100_000)).await;
    fixture.put("kept", "x").await;
    clock.days(2);
    assert_eq!(run(&fixture).await, LifecycleRun { seen: 2, ..LifecycleRun::default() });
    clock.days(1);
    fixture.put("logs/later", "x").await;
    assert_eq!(run(&fixture).await, LifecycleRun { seen: 3, current: 1, ..LifecycleRun::default() });
    assert_eq!(versions(&fixture).await, ["kept", "logs/later"]);
    assert!(matches!(fixture.read("logs/a").await, Err(ObjectError::NoSuchKey { .. })));
    eventually(|| fixture.files().is_empty()).await;
}

#[tokio::test]
async fn a_date_expires_what_was_made_before_and_after_it() {
    let (fixture, clock) = fixture().await;
    let date = NOON - NOON % DAY + DAY;
    set(&fixture, &[LifecycleRule { expiration: Some(Expiration::Date(date)), ..rule("a") }]).await;
    fixture.put("before", "x").await;
    assert_eq!(run(&fixture).await.current, 0);
    clock.days(1);
    fixture.put("after", "x").await;
    assert_eq!(run(&fixture).await.current, 2);
    assert!(versions(&fixture).await.is_empty());
}

#[tokio::test]
async fn tags_and_sizes_decide_and_rules_that_are_off_do_nothing() {
    let (fixture, clock) = fixture().await;
    let filter = LifecycleFilter {
        tags: vec![("kind".into(), "temporary".into())],
        larger_than: Some(2),
        ..LifecycleFilter::default()
    };
    let off = LifecycleRule { enabled: false, expiration: Some(Expiration::Days(1)), ..rule("off") };
    set(&fixture, &[LifecycleRule { filter, expiration: Some(Expiration::Days(1)), ..rule("a") }, off]).await;
    for (name, content, kind) in
        [("a", "long", "temporary"), ("b", "long", "lasting"), ("c", "12", "temporary")]
    {
        let mut request = put(name, content);
        request.meta.tags = vec![("kind".into(), kind.into()), ("other".into(), "x".into())];
        fixture.objects.put(request).await.unwrap();
    }
    clock.days(3);
    assert_eq!(run(&fixture).await.current, 1);
    assert_eq!(versions(&fixture).await, ["b", "c"]);
}

#[tokio::test]
async fn with_versions_an_expired_object_is_hidden_and_its_marker_goes_when_it_is_alone() {
    let (fixture, clock) = fixture().await;
    versioned(&fixture).await;
    set(
        &fixture,
        &[LifecycleRule {
            expiration: Some(Expiration::Days(1)),
            noncurrent: Some(NoncurrentExpiration { days: 1, newer: None }),
            ..rule("a")
        }],
    )
    .await;
    fixture.put("name", "x").await;
    clock.days(2);
    assert_eq!(run(&fixture).await.current, 1);
    assert_eq!(versions(&fixture).await, ["name!", "name"]);
    assert_eq!(run(&fixture).await, LifecycleRun { seen: 1, ..LifecycleRun::default() });
    clock.days(2);
    let second = run(&fixture).await;
    assert_eq!((second.noncurrent, second.markers), (1, 0));
    assert_eq!(versions(&fixture).await, ["name!"]);
    let third = run(&fixture).await;
    assert_eq!((third.noncurrent, third.markers), (0, 1));
    assert!(versions(&fixture).await.is_empty());
    assert_eq!(run(&fixture).await, LifecycleRun::default());
}

#[tokio::test]
async fn markers_that_hide_nothing_go_at_once_if_a_rule_is_about_them() {
    let (fixture, _) = fixture().await;
    versioned(&fixture).await;
    set(&fixture, &[LifecycleRule { expiration: Some(Expiration::DeleteMarkers), ..rule("a") }]).await;
    fixture.put("hidden", "x").await;
    fixture.delete("hidden").await;
    fixture.delete("never there").await;
    assert_eq!(versions(&fixture).await, ["hidden!", "hidden", "never there!"]);
    let run = run(&fixture).await;
    assert_eq!((run.markers, run.current), (1, 0));
    assert_eq!(versions(&fixture).await, ["hidden!", "hidden"]);
}

#[tokio::test]
async fn the_newest_versions_that_are_not_current_stay() {
    let (fixture, clock) = fixture().await;
    versioned(&fixture).await;
    let noncurrent = Some(NoncurrentExpiration { days: 1, newer: Some(2) });
    set(&fixture, &[LifecycleRule { noncurrent, ..rule("a") }]).await;
    for number in 0..6 {
        fixture.put("name", format!("content {number}")).await;
    }
    assert_eq!(run(&fixture).await.noncurrent, 0, "they stopped being current today");
    clock.days(2);
    assert_eq!(run(&fixture).await.noncurrent, 3);
    assert_eq!(versions(&fixture).await.len(), 3);
    assert_eq!(fixture.read("name").await.unwrap(), b"content 5");
    assert_eq!(run(&fixture).await.noncurrent, 0);
}

#[tokio::test]
async fn uploads_that_nobody_completes_are_given_up() {
    let (fixture, clock) = fixture().await;
    let filter = LifecycleFilter { prefix: Some("in/".into()), ..LifecycleFilter::default() };
    set(&fixture, &[LifecycleRule { filter, abort_uploads_after_days: Some(1), ..rule("a") }]).await;
    let old = upload(&fixture.objects, "in/old", SseRequest::Default).await;
    fixture.objects.put_part(part("in/old", old, 1, noise(1, 100_000))).await.unwrap();
    let other = upload(&fixture.objects, "out/old", SseRequest::Default).await;
    clock.days(2);
    let new = upload(&fixture.objects, "in/new", SseRequest::Default).await;
    assert_eq!(run(&fixture).await, LifecycleRun { seen: 3, uploads: 1, ..LifecycleRun::default() });
    let abort = async |key: &str, id| fixture.objects.abort_upload(&bucket(), &name(key), id).await;
    assert!(matches!(abort("in/old", old).await, Err(ObjectError::NoSuchUpload { .. })));
    abort("out/old", other).await.unwrap();
    abort("in/new", new).await.unwrap();
    eventually(|| fixture.files().is_empty()).await;
}

#[tokio::test]
async fn more_names_than_a_batch_has_are_all_found() {
    let (fixture, clock) = fixture().await;
    set(&fixture, &[LifecycleRule { expiration: Some(Expiration::Days(1)), ..rule("a") }]).await;
    let names: Vec<_> = (0..1200).map(|number| format!("{number:04}")).collect();
    futures::future::join_all(names.iter().map(|name| fixture.put(name, "x"))).await;
    clock.days(2);
    let run = run(&fixture).await;
    assert_eq!((run.seen, run.current, run.failed), (1200, 1200, 0));
    assert!(versions(&fixture).await.is_empty());
}

#[tokio::test]
async fn a_bucket_without_rules_is_not_looked_at() {
    let (fixture, clock) = fixture().await;
    fixture.put("name", "x").await;
    clock.days(1000);
    assert_eq!(run(&fixture).await, LifecycleRun::default());
}
