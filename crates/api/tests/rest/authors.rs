//! What is told of a change says who made it.

use strongroom_iam::Scope;
use strongroom_objects::events::{
    Event, EventKey, EventType, NotificationConfig, NotificationRule, TargetArn,
};
use strongroom_objects::{BucketName, DocumentKind};

use crate::support::{Server, TARGET};

const SETTINGS: &str = "/api/v1/buckets/photos/encryption";
const OBJECT: &str = "/api/v1/buckets/photos/objects/a";

/// What the trail has: what happened, and by whom.
async fn trail(server: &Server) -> Vec<(&'static str, String)> {
    let entries = server.objects.audit_after(0, 100).await.unwrap();
    entries.into_iter().map(|entry| (entry.kind.name(), entry.by)).collect()
}

/// What waits for the webhook.
async fn told(server: &Server) -> Vec<Event> {
    let queues = server.objects.event_queues().await.unwrap();
    let pending = server.objects.pending_events(&queues[0], EventKey::FIRST, 100).await.unwrap();
    pending.into_iter().filter_map(|pending| pending.event).collect()
}

async fn tell_of_everything(server: &Server) {
    let types = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"];
    let rule = NotificationRule {
        id: "all".to_owned(),
        target: TargetArn::of_target(TARGET).unwrap(),
        events: types.into_iter().map(|kind| EventType::parse(kind).unwrap()).collect(),
        prefix: None,
        suffix: None,
    };
    let document = NotificationConfig { rules: vec![rule] }.to_document();
    let bucket = BucketName::parse("photos").unwrap();
    server.objects.set_bucket_document(&bucket, DocumentKind::Notification, Some(document)).await.unwrap();
}

#[tokio::test]
async fn audit_trail_says_who_changed_a_bucket_with_a_token() {
    let server = Server::start().await;
    let alice = server.user("alice", &["readwrite"], &Scope::ALL).await;
    let made = server.ask(&alice, "POST", "/api/v1/buckets", &[], r#"{"name": "photos"}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    let set = server.ask(&alice, "PUT", SETTINGS, &[], r#"{"enabled": true, "algorithm": "aws:kms"}"#).await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(server.ask(&alice, "DELETE", SETTINGS, &[], "").await.status, 200);
    assert_eq!(server.ask(&alice, "DELETE", "/api/v1/buckets/photos", &[], "").await.status, 204);
    let by = || "arn:aws:iam::000000000000:user/alice".to_owned();
    assert_eq!(
        trail(&server).await,
        [
            ("BucketCreated", by()),
            ("BucketSettingsChanged", by()),
            ("BucketSettingsChanged", by()),
            ("BucketDeleted", by()),
        ]
    );
}

#[tokio::test]
async fn audit_trail_says_that_root_came_through_the_socket() {
    let server = Server::start().await;
    assert_eq!(server.door("POST", "/api/v1/buckets", r#"{"name": "photos"}"#).await.status, 201);
    assert_eq!(server.door("DELETE", SETTINGS, "").await.status, 200);
    assert_eq!(server.door("DELETE", "/api/v1/buckets/photos", "").await.status, 204);
    for (name, by) in trail(&server).await {
        assert_eq!(by, "root", "{name}");
    }
}

#[tokio::test]
async fn events_of_objects_say_who_changed_them_from_where_and_in_which_request() {
    let server = Server::start().await;
    server.bucket("photos").await;
    tell_of_everything(&server).await;
    let alice = server.user("alice", &["readwrite"], &Scope::ALL).await;
    let stored = server.ask(&alice, "PUT", OBJECT, &["Content-Type: text/plain"], "content").await;
    assert_eq!(stored.status, 201, "{stored:?}");
    assert_eq!(server.ask(&alice, "DELETE", OBJECT, &[], "").await.status, 204);
    let (id, events) = (&stored.headers["x-request-id"], told(&server).await);
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(event.principal, "arn:aws:iam::000000000000:user/alice");
        assert_eq!((event.source.as_str(), &event.request_id), ("127.0.0.1", id));
    }
}

#[tokio::test]
async fn events_of_objects_that_came_through_the_socket_have_no_address() {
    let server = Server::start().await;
    server.bucket("photos").await;
    tell_of_everything(&server).await;
    assert_eq!(server.door("DELETE", OBJECT, "").await.status, 204);
    let events = told(&server).await;
    assert_eq!((events[0].principal.as_str(), events[0].source.as_str()), ("root", ""));
    assert!(!events[0].request_id.is_empty());
}
