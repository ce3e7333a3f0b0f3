//! Operations that have an older wrap in hand while keys change, held still at the worst moment.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::support::*;
use strongroom_store::{GroupId, KeyUserError};

use crate::buckets::Bucket;
use crate::commit::{Action, Replace};
use crate::layers::{ContentKeys, Layers, seal_all};
use crate::ops::get::Purpose;
use crate::request::PutRequest;
use crate::rows::{self, Body, ContentAt, ContentId, ObjectHead, SseRow};
use crate::sse::{Belongs, Wrapper};
use crate::wraps::WrapHeld;
use crate::{ETag, ObjectMeta, SseRequest, Timestamp, WriteConditions};

/// The run of a key user, and a message for each time it asks whether to go on.
struct Run {
    asks: mpsc::Receiver<u64>,
    thread: JoinHandle<Result<bool, KeyUserError>>,
}

fn run(fixture: &Fixture, group: GroupId, active: u32) -> Run {
    let (sender, asks) = mpsc::channel();
    let user = fixture.objects.key_user();
    let mut pace = move |bytes| sender.send(bytes).is_ok();
    Run { asks, thread: std::thread::spawn(move || user.rewrap(group, active, &mut pace)) }
}

impl Run {
    /// Waits until it has looked several times and is still waiting.
    fn waits(&self) {
        for _ in 0..5 {
            assert_eq!(self.asks.recv().unwrap(), 0, "it writes while somebody holds an older wrap");
        }
        assert!(!self.thread.is_finished());
    }

    async fn done(self) -> bool {
        // Whoever sends must find somebody who listens until it is done.
        let drained = tokio::task::spawn_blocking(move || {
            while self.asks.recv().is_ok() {}
            self.thread.join().unwrap().unwrap()
        });
        drained.await.unwrap()
    }
}

/// A put that has wrapped its key and not committed yet.
struct Put {
    bucket: Arc<Bucket>,
    belongs: Belongs,
    body: Body,
    held: WrapHeld,
}

impl Put {
    fn begin(fixture: &Fixture, key: &str, content: &[u8]) -> Self {
        let inner = &fixture.objects.0;
        let bucket = inner.bucket(&bucket()).unwrap();
        let held = inner.wraps.hold(bucket.group);
        let random = &*inner.options.random;
        let content_id = ContentId::generate(random);
        let belongs = Belongs {
            bucket: bucket.name.clone(),
            group: bucket.group,
            name: name(key),
            content: content_id,
        };
        let keys = ContentKeys::generate(Layers::One, random);
        let sse = Wrapper::Group.wrap(&fixture.store, &belongs, &keys, random).unwrap();
        let sealed = seal_all(&keys, &belongs.inline(), inner.options.stream, content, random);
        let content = ContentAt::Inline(sealed);
        let body = Body { sse, content, sealed_as: None, meta: ObjectMeta::default() };
        Self { bucket, belongs, body, held }
    }

    async fn commit(self, fixture: &Fixture, size: u64) {
        let Self { bucket, belongs, body, held } = self;
        let conditions = WriteConditions::default();
        let what = Replace { bucket: &bucket, name: &belongs.name, conditions: &conditions };
        let content = belongs.content;
        let replaced = fixture.objects.0.replace(what, move |_| {
            let etag = ETag::Opaque([1; 16]);
            let object = ObjectHead { size, etag, content, storage_class: None, checksums: vec![] };
            let body = Box::new(body.clone());
            Ok(Some(Action::New { object, body, mtime: Timestamp(1) }.into()))
        });
        replaced.await.unwrap();
        drop(held);
    }
}

fn key_id(fixture: &Fixture, group: GroupId, key: &[u8]) -> u32 {
    let value = fixture.store.read(group).unwrap().get(key).unwrap().unwrap().to_vec();
    Body::group_key_id(&value).unwrap().unwrap()
}

#[tokio::test]
async fn key_that_was_wrapped_before_the_rotation_and_committed_after_it_is_found() {
    let fixture = Fixture::new().await;
    fixture.put("other", "content").await;
    let straggler = Put::begin(&fixture, "late", b"late content");
    let (group, row) =
        (straggler.bucket.group, rows::body_key(&straggler.belongs.name, &straggler.belongs.content));
    let active = fixture.store.rotate_group_key(group).await.unwrap();
    let run = run(&fixture, group, active);
    run.waits();
    straggler.commit(&fixture, 12).await;
    assert!(run.done().await);
    assert_eq!(key_id(&fixture, group, &row), active);
    assert_eq!(fixture.read("late").await.unwrap(), b"late content");
}

#[tokio::test]
async fn change_of_tags_that_puts_an_older_wrap_back_is_found() {
    let fixture = Fixture::new().await;
    fixture.put("name", "content").await;
    let inner = Arc::clone(&fixture.objects.0);
    let bucket = inner.bucket(&bucket()).unwrap();
    let group = bucket.group;
    let active = fixture.store.rotate_group_key(group).await.unwrap();
    // Begun after the rotation, and the body is read before it is wrapped anew.
    let held = inner.wraps.hold(group);
    let opened = inner.open_object(get("name"), Purpose::Description).await.unwrap();
    assert!(matches!(opened.body.sse, SseRow::Group { key_id: 1, .. }));
    let row = rows::body_key(&name("name"), &opened.object.content);
    // A whole run of its own for what is there cannot end while it is held, but its first pass can be over.
    let first = { inner.pass(&bucket, &mut |_| true).unwrap() };
    assert_eq!((first.found, key_id(&fixture, group, &row)), (1, active));
    let body = opened.body.clone();
    drop(opened);
    let conditions = WriteConditions::default();
    let named = name("name");
    let what = Replace { bucket: &bucket, name: &named, conditions: &conditions };
    let back = inner.replace(what, move |seen| {
        let version = seen.current.unwrap().clone();
        Ok(Some(Action::Amend { version, body: Box::new(body.clone()) }.into()))
    });
    back.await.unwrap();
    assert_eq!(key_id(&fixture, group, &row), 1, "it is back");
    let run = run(&fixture, group, active);
    run.waits();
    drop(held);
    assert!(run.done().await);
    assert_eq!(key_id(&fixture, group, &row), active);
    assert_eq!(fixture.read("name").await.unwrap(), b"content");
}

#[tokio::test]
async fn reader_that_has_not_unwrapped_yet_is_waited_for() {
    let fixture = Fixture::new().await;
    fixture.put("name", "content").await;
    let inner = Arc::clone(&fixture.objects.0);
    let group = inner.bucket(&bucket()).unwrap().group;
    let opened = inner.open_object(get("name"), Purpose::Content).await.unwrap();
    let active = fixture.store.rotate_group_key(group).await.unwrap();
    let run = run(&fixture, group, active);
    run.waits();
    assert_eq!(opened.body(&inner).await.unwrap().collect().await.unwrap(), b"content");
    assert!(run.done().await);
}

#[tokio::test]
async fn nobody_waits_for_those_of_other_buckets_or_for_who_has_no_key_that_the_group_wraps() {
    let fixture = Fixture::new().await;
    let kms = SseRequest::Kms { key_id: None, context: None, bucket_key: None };
    fixture.objects.put(PutRequest { sse: kms, ..put("kms", "content of kms") }).await.unwrap();
    fixture.put("name", "content").await;
    let inner = Arc::clone(&fixture.objects.0);
    let group = inner.bucket(&bucket()).unwrap().group;
    let _other = inner.wraps.hold(GroupId(group.0 + 1));
    // Whoever has to ask the KMS may take long.
    let of_kms = inner.open_object(get("kms"), Purpose::Content).await.unwrap();
    // And so may who does something else before the content is read.
    let mut unwrapped = inner.open_object(get("name"), Purpose::Content).await.unwrap();
    unwrapped.unwrap_now(&inner).await.unwrap();
    let active = fixture.store.rotate_group_key(group).await.unwrap();
    assert!(run(&fixture, group, active).done().await);
    assert_eq!(of_kms.body(&inner).await.unwrap().collect().await.unwrap(), b"content of kms");
    assert_eq!(unwrapped.body(&inner).await.unwrap().collect().await.unwrap(), b"content");
}

#[tokio::test]
async fn who_holds_a_wrap_for_long_gets_the_thread_back_to_others() {
    let fixture = Fixture::new().await;
    let inner = Arc::clone(&fixture.objects.0);
    let group = inner.bucket(&bucket()).unwrap().group;
    let held = inner.wraps.hold(group);
    assert!(!inner.rewrap(group, &mut |_| true, 3).unwrap());
    drop(held);
    assert!(inner.rewrap(group, &mut |_| true, 3).unwrap());
}

#[tokio::test]
async fn one_at_a_time_and_never_for_objects_that_are_gone() {
    let fixture = Fixture::new().await;
    let inner = Arc::clone(&fixture.objects.0);
    let group = inner.bucket(&bucket()).unwrap().group;
    let alone = inner.wraps.renew(group);
    let user = fixture.objects.key_user();
    assert!(!user.rewrap(group, 1, &mut |_| true).unwrap());
    drop(alone);
    fixture.objects.close().await;
    drop((inner, fixture));
    assert!(!user.rewrap(group, 1, &mut |_| true).unwrap());
}
