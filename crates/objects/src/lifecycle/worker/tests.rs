//! What happens between a look at a bucket and the deletion of what it found.

use crate::support::*;

use super::super::{Expiration, LifecycleFilter, LifecycleRule, NoncurrentExpiration};
use super::*;
use crate::{Timestamp, Versioning, rows};
use strongroom_store::{Command, Write};

const NOW: Timestamp = Timestamp(1_700_000_000_000 + 100 * DAY);

fn rule() -> LifecycleRule {
    LifecycleRule {
        id: "a".to_owned(),
        enabled: true,
        filter: LifecycleFilter::default(),
        expiration: Some(Expiration::Days(1)),
        noncurrent: Some(NoncurrentExpiration { days: 1, newer: Some(2) }),
        abort_uploads_after_days: Some(1),
    }
}

async fn set(fixture: &Fixture, rules: &[LifecycleRule]) {
    let config = LifecycleConfig { rules: rules.to_vec(), ..LifecycleConfig::default() };
    let bytes = (!rules.is_empty()).then(|| serde_json::to_vec(&config).unwrap());
    fixture.objects.set_bucket_document(&bucket(), DocumentKind::Lifecycle, bytes).await.unwrap();
}

/// What a look finds to be due.
fn due(fixture: &Fixture) -> Vec<Due> {
    let inner = &fixture.objects.0;
    let rules = Rules::of(&inner.bucket(&bucket()).unwrap()).unwrap().unwrap();
    let reading = inner.read(&rules.bucket).unwrap();
    let look = rules.look(&reading, NOW);
    [look.objects(None).unwrap().due, look.uploads(None).unwrap().due].concat()
}

async fn delete(fixture: &Fixture, due: Vec<Due>) -> LifecycleRun {
    let mut run = LifecycleRun::default();
    let at = fixture.objects.0.bucket(&bucket()).unwrap();
    for due in due.into_iter().rev() {
        fixture.objects.delete_due(&at, NOW, due, &mut run).await.unwrap();
    }
    run
}

/// Four versions of a name, of which two are due that are not current, and an upload.
async fn with_due() -> (Fixture, Vec<Due>) {
    let fixture = Fixture::new().await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    for content in 0..5 {
        fixture.put("name", vec![content]).await;
    }
    upload(&fixture.objects, "name", crate::SseRequest::Default).await;
    set(&fixture, &[rule()]).await;
    let due = due(&fixture);
    assert_eq!(due.len(), 4, "{due:?}");
    (fixture, due)
}

#[tokio::test]
async fn what_was_found_to_be_due_is_deleted_while_the_rules_say_so() {
    let (fixture, due) = with_due().await;
    let run = delete(&fixture, due).await;
    assert_eq!((run.current, run.noncurrent, run.uploads), (1, 2, 1));
}

#[tokio::test]
async fn a_rule_that_was_removed_disabled_or_changed_deletes_nothing_more() {
    let later = LifecycleRule {
        expiration: Some(Expiration::Days(1000)),
        noncurrent: Some(NoncurrentExpiration { days: 1, newer: Some(9) }),
        abort_uploads_after_days: Some(1000),
        ..rule()
    };
    for rules in [vec![], vec![LifecycleRule { enabled: false, ..rule() }], vec![later]] {
        let (fixture, due) = with_due().await;
        set(&fixture, &rules).await;
        assert_eq!(delete(&fixture, due).await, LifecycleRun::default(), "{rules:?}");
    }
}

#[tokio::test]
async fn newer_versions_that_a_client_deletes_meanwhile_are_not_counted() {
    let (fixture, found) = with_due().await;
    // The two that the rule keeps.
    for _ in 0..2 {
        let inner = &fixture.objects.0;
        let at = inner.bucket(&bucket()).unwrap();
        let newest = versions::newest_noncurrent(&inner.read(&at).unwrap(), &at, &name("name"));
        let version = Some(newest.unwrap().unwrap().head.version);
        let request = DeleteRequest { version, ..DeleteRequest::new(bucket(), name("name")) };
        fixture.objects.delete(request).await.unwrap();
    }
    let found = found.into_iter().filter(|due| matches!(due, Due::Noncurrent(..))).collect();
    assert_eq!(delete(&fixture, found).await, LifecycleRun::default());
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_passed_over_and_the_rest_is_carried_out() {
    let fixture = Fixture::new().await;
    for name in ["a", "b", "c"] {
        fixture.put(name, "x").await;
    }
    let mut begun = Vec::new();
    for name in ["a", "b", "c"] {
        begun.push(upload(&fixture.objects, name, crate::SseRequest::Default).await);
    }
    let at = fixture.objects.0.bucket(&bucket()).unwrap();
    let keys = [rows::head_key(&name("b")), rows::upload_key(&name("b"), &begun[1])];
    // One is no row, the other one is of a version to come.
    let writes = keys.into_iter().zip([vec![1, 0xff, 0xff], vec![0xff]]);
    let writes = writes.map(|(key, value)| Write::Put { key, value }).collect();
    fixture.store.commit_blocking(Command { group: at.group, checks: Vec::new(), writes }).unwrap();
    set(&fixture, &[rule()]).await;
    let at = fixture.objects.0.bucket(&bucket()).unwrap();
    let run = fixture.objects.expire(&at, NOW, Duration::ZERO).await.unwrap();
    let expected = LifecycleRun { seen: 6, current: 2, uploads: 2, damaged: 2, ..LifecycleRun::default() };
    assert_eq!(run, expected);
    assert!(matches!(fixture.read("a").await, Err(ObjectError::NoSuchKey { .. })));
    assert!(matches!(fixture.read("b").await, Err(ObjectError::Damaged(_))));
    // It stays as it is, so there is no use in trying again before the next day.
    let mut done = HashMap::new();
    tick(&fixture.objects, &mut done, Duration::ZERO).await;
    assert_eq!(done[&at.group].again_at, None);
}
