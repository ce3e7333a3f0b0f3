//! Events of objects: with their change or not at all, over crashes, bounded, in order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use strongroom_objects::events::*;
use strongroom_objects::*;
use support::*;

fn rule(id: &str, target: &str, events: &[&str], prefix: &str) -> NotificationRule {
    NotificationRule {
        id: id.to_owned(),
        target: TargetArn::of_target(target).unwrap(),
        events: events.iter().map(|event| EventType::parse(event).unwrap()).collect(),
        prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
        suffix: None,
    }
}

async fn notify(fixture: &Fixture, rules: Vec<NotificationRule>) {
    let document = (!rules.is_empty()).then(|| NotificationConfig { rules }.to_document());
    fixture.objects.set_bucket_document(&bucket(), DocumentKind::Notification, document).await.unwrap();
}

const ALL: &[&str] =
    &["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:LifecycleExpiration:*"];

/// All events that wait for a target, oldest first.
async fn pending(fixture: &Fixture, target: &str) -> Vec<(EventKey, Event)> {
    let mut all = Vec::new();
    for queue in fixture.objects.event_queues().await.unwrap().iter().filter(|queue| queue.target == target) {
        let events = fixture.objects.pending_events(queue, EventKey::FIRST, usize::MAX).await.unwrap();
        all.extend(events.into_iter().map(|pending| (pending.key, pending.event.unwrap())));
    }
    all
}

async fn kinds(fixture: &Fixture, target: &str) -> Vec<String> {
    let pending = pending(fixture, target).await;
    pending.iter().map(|(_, event)| format!("{} {}", event.kind.name(), event.name.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_ask_for_is_told_and_nothing_else() {
    let fixture = Fixture::new().await;
    fixture.put("in/before", "no rule yet").await;
    let created = rule("new", "orders", &["s3:ObjectCreated:*"], "in/");
    notify(&fixture, vec![created, rule("gone", "audit", &["s3:ObjectRemoved:*"], "")]).await;
    let stored = fixture.put("in/a", "hello").await;
    fixture.put("out/b", "not asked for").await;
    fixture.delete("in/a").await;
    fixture.delete("out/never there").await;
    let told = pending(&fixture, "orders").await;
    let [(_, event)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(event.kind, EventKind::CreatedPut);
    assert_eq!((event.name.as_str(), event.size, event.rule.as_str()), ("in/a", Some(5), "new"));
    assert_eq!(event.etag, Some(stored.etag.to_string()));
    assert_eq!(event.version, None);
    assert_eq!(kinds(&fixture, "audit").await, ["ObjectRemoved:Delete in/a"]);
    notify(&fixture, Vec::new()).await;
    fixture.put("in/after", "no rule any more").await;
    assert_eq!(pending(&fixture, "orders").await.len(), 1, "what waited still waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_who_and_how() {
    let fixture = Fixture::new().await;
    notify(&fixture, vec![rule("all", "orders", ALL, "")]).await;
    let origin = |cause| Origin {
        cause,
        principal: "arn:aws:iam::strongroom:user/ann".to_owned(),
        source: Some(IpAddr::from([192, 0, 2, 1])),
        request_id: "0123".to_owned(),
    };
    scope(origin(Cause::Copy), fixture.put("a", "x")).await;
    let tags = vec![("k".to_owned(), "v".to_owned())];
    let (at, named) = (bucket(), name("a"));
    let tagged = fixture.objects.set_object_tags(&at, &named, None, tags.clone());
    scope(origin(Cause::PutTagging), tagged).await.unwrap();
    fixture.objects.set_object_tags(&bucket(), &name("a"), None, tags).await.unwrap();
    scope(origin(Cause::Lifecycle), fixture.delete("a")).await;
    let expected = ["ObjectCreated:Copy a", "ObjectTagging:Put a", "LifecycleExpiration:Delete a"];
    assert_eq!(kinds(&fixture, "orders").await, expected);
    let (_, event) = pending(&fixture, "orders").await.remove(0);
    assert_eq!(event.principal, "arn:aws:iam::strongroom:user/ann");
    assert_eq!((event.source.as_str(), event.request_id.as_str()), ("192.0.2.1", "0123"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_over_crashes_until_they_are_ended_and_no_longer() {
    let mut fixture = Fixture::new().await;
    notify(&fixture, vec![rule("all", "orders", ALL, "")]).await;
    for round in 0..3 {
        fixture.put("a", format!("round {round}")).await;
        fixture.put(&format!("b{round}"), "x").await;
        fixture = fixture.crash().await;
    }
    let told = pending(&fixture, "orders").await;
    assert_eq!(told.len(), 6);
    let of_a: Vec<_> = told.iter().filter(|(_, event)| event.name.as_str() == "a").collect();
    assert!(of_a.is_sorted_by_key(|(key, _)| key), "in the order of the writes, over crashes");
    assert!(of_a.iter().map(|(key, _)| key.to_string()).is_sorted());
    assert!(of_a.is_sorted_by_key(|(_, event)| event.size));
    let queue = fixture.objects.event_queues().await.unwrap().remove(0);
    let ended: Vec<_> = told[..4].iter().map(|(key, _)| (*key, EventEnd::Delivered)).collect();
    fixture.objects.end_events(&queue, &ended).await.unwrap();
    fixture.objects.end_events(&queue, &ended).await.unwrap();
    assert_eq!(fixture.objects.event_counts(), BTreeMap::from([("orders".to_owned(), 2)]));
    let fixture = fixture.crash().await;
    assert_eq!(pending(&fixture, "orders").await, told[4..]);
    assert_eq!(fixture.objects.event_counts(), BTreeMap::from([("orders".to_owned(), 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_drops_its_oldest_and_no_write_fails() {
    let dir = tempfile::tempdir().unwrap();
    let options = ObjectsOptions { event_queue_max: 20, ..options(dir.path()) };
    let fixture = Fixture::with(dir, options).await;
    notify(&fixture, vec![rule("all", "orders", ALL, "a"), rule("other", "audit", ALL, "b")]).await;
    fixture.put("b", "another queue").await;
    let puts = (0..100).map(|n| {
        let objects = fixture.objects.clone();
        async move { objects.put(put(&format!("a{n:03}"), "x")).await }
    });
    for done in futures::future::join_all(puts).await {
        done.unwrap();
    }
    for n in 100..150 {
        fixture.put(&format!("a{n}"), "x").await;
    }
    let told = pending(&fixture, "orders").await;
    assert_eq!(told.len(), 20);
    assert_eq!(fixture.objects.event_counts()["orders"], 20);
    let names: Vec<_> = told.iter().map(|(_, event)| event.name.as_str().to_owned()).collect();
    assert_eq!(names, (130..150).map(|n| format!("a{n}")).collect::<Vec<_>>(), "the newest stay");
    assert_eq!(pending(&fixture, "audit").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_with_their_bucket() {
    let fixture = Fixture::new().await;
    notify(&fixture, vec![rule("all", "orders", ALL, "")]).await;
    fixture.put("a", "x").await;
    fixture.delete("a").await;
    let queue = fixture.objects.event_queues().await.unwrap().remove(0);
    fixture.objects.delete_bucket(&bucket()).await.unwrap();
    assert_eq!(fixture.objects.pending_events(&queue, EventKey::FIRST, 10).await.unwrap(), Vec::new());
    let gone = fixture.objects.end_events(&queue, &[]).await;
    assert!(gone.is_ok(), "{gone:?}");
    assert_eq!(fixture.objects.event_queues().await.unwrap(), Vec::new());
    let again = request::CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
    fixture.objects.create_bucket(&bucket(), again).await.unwrap();
    assert_eq!(pending(&fixture, "orders").await, Vec::new(), "a new bucket has no old events");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_of_new_events() {
    let fixture = Fixture::new().await;
    notify(&fixture, vec![rule("all", "orders", ALL, "")]).await;
    let mut added = fixture.objects.events_added();
    added.mark_unchanged();
    fixture.put("a", "x").await;
    tokio::time::timeout(std::time::Duration::from_secs(5), added.changed()).await.unwrap().unwrap();
    assert_eq!(pending(&fixture, "orders").await.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Every change has exactly its event, whatever came before and however often the store was killed.
    #[test]
    fn events_are_the_history_of_objects(steps in prop::collection::vec((0_u8..4, 0_u8..3), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut fixture = Fixture::new().await;
            notify(&fixture, vec![rule("all", "orders", ALL, "")]).await;
            let mut there = [false; 3];
            let mut expected = Vec::new();
            for (step, at) in steps {
                let key = format!("k{at}");
                let is_there = &mut there[usize::from(at)];
                match step {
                    0 | 1 => {
                        fixture.put(&key, "x").await;
                        *is_there = true;
                        expected.push(format!("ObjectCreated:Put {key}"));
                    }
                    2 => {
                        fixture.delete(&key).await;
                        if std::mem::take(is_there) {
                            expected.push(format!("ObjectRemoved:Delete {key}"));
                        }
                    }
                    _ => fixture = fixture.crash().await,
                }
            }
            let refused = WriteConditions { if_match: Some(EntityTags::Any), if_none_match: None };
            let refused = request::PutRequest { conditions: refused, ..put("never", "x") };
            assert!(fixture.objects.put(refused).await.is_err());
            assert_eq!(kinds(&fixture, "orders").await, expected);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_has_every_change_of_a_bucket_and_forgets_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let bounded = ObjectsOptions { audit_entries_max: 5, ..options(dir.path()) };
    let fixture = Fixture::with(dir, bounded).await;
    let origin = Origin { principal: "ann".to_owned(), ..Origin::default() };
    let other = BucketName::parse("other").unwrap();
    let new = request::CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
    scope(origin, fixture.objects.create_bucket(&other, new.clone())).await.unwrap();
    assert!(fixture.objects.create_bucket(&other, new).await.is_err(), "what is refused is not in the trail");
    notify(&fixture, vec![rule("all", "orders", ALL, "")]).await;
    fixture.objects.record("administrator", AuditKind::GroupKeyRotated, "bucket", "key 2").await.unwrap();
    fixture.objects.delete_bucket(&other).await.unwrap();
    let trail = |entries: Vec<AuditEntry>| -> Vec<String> {
        let line = |entry: &AuditEntry| {
            format!("{} {} {} {} {}", entry.seq, entry.kind.name(), entry.by, entry.subject, entry.detail)
        };
        entries.iter().map(line).collect()
    };
    let expected = [
        "1 BucketCreated  bucket ",
        "2 BucketCreated ann other ",
        "3 BucketSettingsChanged  bucket notification configuration",
        "4 GroupKeyRotated administrator bucket key 2",
        "5 BucketDeleted  other ",
    ];
    assert_eq!(trail(fixture.objects.audit_after(0, 100).await.unwrap()), expected);
    assert_eq!(trail(fixture.objects.audit_after(2, 2).await.unwrap()), expected[2..4]);

    let fixture = fixture.crash().await;
    fixture.objects.record("administrator", AuditKind::RootKeyChanged, "", "").await.unwrap();
    assert_eq!(fixture.objects.audit_newest().await.unwrap(), 6, "it goes on after a crash");
    let Fixture { dir, store, objects } = fixture;
    drop((store, objects));
    let bounded = ObjectsOptions { audit_entries_max: 5, ..options(dir.path()) };
    let fixture = Fixture::reopen(dir, bounded).await;
    fixture.objects.record("administrator", AuditKind::RootKeyChanged, "", "").await.unwrap();
    let seqs: Vec<_> =
        fixture.objects.audit_after(0, 100).await.unwrap().iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs.last(), Some(&7));
    assert!(!seqs.contains(&2), "the oldest go: {seqs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_told_up_to_its_own_place() {
    let fixture = Fixture::new().await;
    let told = |stream, target| fixture.objects.told_up_to(stream, target);
    assert_eq!(told(AuditStream::Trail, "orders").await.unwrap(), None);
    fixture.objects.set_told_up_to(AuditStream::Trail, "orders", 3).await.unwrap();
    assert_eq!(told(AuditStream::Trail, "orders").await.unwrap(), Some(3));
    assert_eq!(told(AuditStream::Identities, "orders").await.unwrap(), None);
    assert_eq!(told(AuditStream::Trail, "order").await.unwrap(), None);
}
