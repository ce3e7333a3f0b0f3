//! Object keys after their bucket's group got a new key.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_objects::*;
use strongroom_seal::CustomerKey;
use strongroom_store::GroupId;
use support::*;

/// How many bodies and uploads each key of the bucket's group wraps, read off the rows (`docs/spec/object-entry.md`).
fn wraps(fixture: &Fixture) -> BTreeMap<(char, u32), usize> {
    let group = fixture.objects.group_of(&bucket()).unwrap();
    let mut found = BTreeMap::new();
    for entry in fixture.store.read(group).unwrap().range(Bound::Unbounded, Bound::Unbounded).unwrap() {
        let (key, value) = entry.unwrap();
        // Version, and in an upload its time and content id, come before the encryption.
        let at = match key[0] {
            b'c' => 1,
            b'u' => 25,
            _ => continue,
        };
        if value[at] == 1 {
            let key_id = u32::from_le_bytes(value[at + 1..at + 5].try_into().unwrap());
            *found.entry((char::from(key[0]), key_id)).or_default() += 1;
        }
    }
    found
}

fn group(fixture: &Fixture) -> GroupId {
    fixture.objects.group_of(&bucket()).unwrap()
}

/// Rotates the bucket's key and has its object keys wrapped anew.
async fn rotate(fixture: &Fixture) -> (u32, u64) {
    let group = group(fixture);
    let active = fixture.store.rotate_group_key(group).await.unwrap();
    let user = fixture.objects.key_user();
    let rewrapped = tokio::task::spawn_blocking(move || {
        let mut written = 0;
        let mut pace = |bytes| {
            written += bytes;
            true
        };
        let done = user.rewrap(group, active, &mut pace).unwrap();
        (done, written)
    });
    let (done, written) = rewrapped.await.unwrap();
    assert!(done);
    (active, written)
}

#[tokio::test]
async fn no_row_names_the_old_key_afterwards_and_everything_reads_the_same() {
    let fixture = Fixture::new().await;
    let sizes = [0, 1, 5000, 16 << 10, (16 << 10) + 1, 3 << 20];
    for (seed, size) in sizes.into_iter().enumerate() {
        fixture.put(&format!("object {size}"), noise(seed as u64, size)).await;
    }
    let contents = [noise(11, 5 << 20), noise(12, 99)];
    let done = upload(&fixture.objects, "parts", SseRequest::Default).await;
    let mut parts = Vec::new();
    for (number, content) in (1..).zip(&contents) {
        let stored = fixture.objects.put_part(part("parts", done, number, content.clone())).await.unwrap();
        parts.push((number, stored.etag));
    }
    fixture.objects.complete_upload(complete("parts", done, &parts)).await.unwrap();
    let open = upload(&fixture.objects, "later", SseRequest::Default).await;
    let first = fixture.objects.put_part(part("later", open, 1, contents[0].clone())).await.unwrap();
    let customer = || CustomerKey::from_bytes(&mut [9; 32]);
    for (key, sse) in [
        ("kms", SseRequest::Kms { key_id: None, context: None, bucket_key: None }),
        ("customer", SseRequest::Customer(customer())),
    ] {
        let mut request = put(key, noise(20, 70_000));
        request.sse = sse;
        fixture.objects.put(request).await.unwrap();
    }
    assert_eq!(wraps(&fixture), BTreeMap::from([(('c', 1), 7), (('u', 1), 1)]));

    let (active, written) = rotate(&fixture).await;
    assert_eq!(active, 2);
    assert!(written > 2 * (5000 + (16 << 10)), "inline content was moved along: {written}");
    assert_eq!(wraps(&fixture), BTreeMap::from([(('c', 2), 7), (('u', 2), 1)]));

    for (seed, size) in sizes.into_iter().enumerate() {
        assert!(fixture.read(&format!("object {size}")).await.unwrap() == noise(seed as u64, size));
    }
    assert!(fixture.read("parts").await.unwrap() == contents.concat());
    assert!(fixture.read("kms").await.unwrap() == noise(20, 70_000));
    let mut request = get("customer");
    request.customer_key = Some(customer());
    assert!(fixture.objects.get(request).await.unwrap().body.collect().await.unwrap() == noise(20, 70_000));
    // An upload goes on under its key, whatever wraps that.
    let second = fixture.objects.put_part(part("later", open, 2, contents[1].clone())).await.unwrap();
    let parts = [(1, first.etag), (2, second.etag)];
    fixture.objects.complete_upload(complete("later", open, &parts)).await.unwrap();
    assert!(fixture.read("later").await.unwrap() == contents.concat());
    assert_eq!(wraps(&fixture), BTreeMap::from([(('c', 2), 8)]));

    let (_, written) = (rotate(&fixture).await, 0);
    assert_eq!((wraps(&fixture), written), (BTreeMap::from([(('c', 3), 8)]), 0));
    let fixture = fixture.crash().await;
    assert!(fixture.read("parts").await.unwrap() == contents.concat());
}

#[tokio::test]
async fn versions_that_were_sealed_as_others_follow_a_rotation_too() {
    let fixture = Fixture::new().await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    let contents = [("small", noise(1, 500)), ("large", noise(2, 100_000))];
    for (key, content) in &contents {
        fixture.put(key, content.clone()).await;
        let mut request = onto_itself(key, SseRequest::S3, None);
        request.metadata = request::Directive::Replace;
        fixture.objects.copy(request).await.unwrap();
    }
    assert_eq!(fixture.files().len(), 2);
    assert_eq!(wraps(&fixture), BTreeMap::from([(('c', 1), 4)]));
    rotate(&fixture).await;
    assert_eq!(wraps(&fixture), BTreeMap::from([(('c', 2), 4)]));
    for (key, content) in &contents {
        assert!(fixture.read(key).await.unwrap() == *content);
    }
}

#[tokio::test]
async fn nothing_is_written_when_nothing_is_old_and_the_system_group_has_no_object_keys() {
    let fixture = Fixture::new().await;
    fixture.put("name", "content").await;
    rotate(&fixture).await;
    let before = fixture.store.status().lsn;
    let user = fixture.objects.key_user();
    let group = group(&fixture);
    tokio::task::spawn_blocking(move || {
        assert!(user.rewrap(group, 2, &mut |_| true).unwrap());
        assert!(user.rewrap(GroupId::SYSTEM, 2, &mut |_| panic!("there is nothing to look at")).unwrap());
    })
    .await
    .unwrap();
    assert_eq!(fixture.store.status().lsn, before);
}

#[tokio::test]
async fn it_stops_when_told_to_and_goes_on_where_it_was() {
    let fixture = Fixture::new().await;
    // More than two commands' worth.
    for number in 0..64 {
        fixture.put(&format!("{number:02}"), noise(number, 12_000)).await;
    }
    let group = group(&fixture);
    let active = fixture.store.rotate_group_key(group).await.unwrap();
    let user = fixture.objects.key_user();
    let stopped = tokio::task::spawn_blocking(move || {
        let mut commands = 0;
        let mut pace = |bytes| {
            commands += u32::from(bytes > 0);
            commands < 1
        };
        user.rewrap(group, active, &mut pace).unwrap()
    });
    assert!(!stopped.await.unwrap());
    let found = wraps(&fixture);
    assert!(found[&('c', 1)] > 0 && found[&('c', 2)] > 0, "{found:?}");
    let user = fixture.objects.key_user();
    assert!(
        tokio::task::spawn_blocking(move || user.rewrap(group, active, &mut |_| true))
            .await
            .unwrap()
            .unwrap()
    );
    assert_eq!(wraps(&fixture), BTreeMap::from([(('c', 2), 64)]));
}

#[tokio::test]
async fn objects_that_do_not_open_keep_their_key_and_the_others_get_the_new_one() {
    let fixture = Fixture::new().await;
    fixture.put("broken", "content").await;
    fixture.put("sound", "content").await;
    let group = group(&fixture);
    let (key, mut value) = {
        let reading = fixture.store.read(group).unwrap();
        let first = reading.range(Bound::Included(b"c".as_slice()), Bound::Unbounded).unwrap().next();
        let (key, value) = first.unwrap().unwrap();
        (key.to_vec(), value.to_vec())
    };
    value[40] ^= 1;
    let writes = vec![strongroom_store::Write::Put { key, value }];
    fixture.store.commit(strongroom_store::Command { group, checks: vec![], writes }).await.unwrap();
    let active = fixture.store.rotate_group_key(group).await.unwrap();
    let user = fixture.objects.key_user();
    let error = tokio::task::spawn_blocking(move || user.rewrap(group, active, &mut |_| true)).await.unwrap();
    assert!(error.unwrap_err().to_string().contains("broken"));
    assert_eq!(wraps(&fixture), BTreeMap::from([(('c', 1), 1), (('c', 2), 1)]));
    assert_eq!(fixture.read("sound").await.unwrap(), b"content");
}

/// Writers put, overwrite, tag, delete, complete and abort all the time. After each run no row may have an older key, not
/// then and not later.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn beside_writers_nothing_old_is_left_and_nothing_old_comes_back() {
    let fixture = Arc::new(Fixture::new().await);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let (fixture, stop) = (Arc::clone(&fixture), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut rounds = 0;
                while !stop.load(Ordering::Relaxed) {
                    round(&fixture, writer, rounds).await;
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    for _ in 0..6 {
        let (active, _) = rotate(&fixture).await;
        for _ in 0..5 {
            let old: Vec<_> = wraps(&fixture).into_iter().filter(|((_, id), _)| *id < active).collect();
            assert_eq!(old, [], "key {active} is active");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 0);
    }
}

/// One round of a writer. Two of the names are everybody's.
async fn round(fixture: &Fixture, writer: u64, round: u64) {
    let objects = &fixture.objects;
    let own = format!("{writer} own {}", round % 5);
    let shared = format!("shared {}", round % 2);
    let content = noise(writer, 200);
    fixture.put(&own, content.clone()).await;
    fixture.put(&shared, noise(7, 100)).await;
    let tags = vec![("round".to_owned(), round.to_string())];
    for key in [&own, &shared] {
        match objects.set_object_tags(&bucket(), &name(key), None, tags.clone()).await {
            Ok(_) | Err(ObjectError::NoSuchKey { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(fixture.read(&own).await.unwrap() == content);
    let id = upload(objects, &own, SseRequest::Default).await;
    let stored = objects.put_part(part(&own, id, 1, content.clone())).await.unwrap();
    if round.is_multiple_of(3) {
        objects.abort_upload(&bucket(), &name(&own), id).await.unwrap();
    } else {
        objects.complete_upload(complete(&own, id, &[(1, stored.etag)])).await.unwrap();
    }
    assert!(fixture.read(&own).await.unwrap() == content);
    if round.is_multiple_of(4) {
        fixture.delete(&shared).await;
    }
}
