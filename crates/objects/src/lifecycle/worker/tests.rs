//! What happens between a look at a bucket and the deletion of what it found.

use crate::support::*;

use super::super::{Expiration, LifecycleFilter, LifecycleRule, NoncurrentExpiration};
use super::*;
use crate::{Timestamp, Versioning};

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
