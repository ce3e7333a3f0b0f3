//! Many at once: whole versions, one winner, nothing left over, nobody's content cut off.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use strongroom_objects::request::*;
use strongroom_objects::*;
use support::disk::TestDisk;
use support::*;

/// Content that says which writer it is of, all over.
fn marked(mark: u8, length: usize) -> Vec<u8> {
    vec![mark; length]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_one_whole_version_while_writers_replace_it() {
    let fixture = Arc::new(Fixture::new().await);
    let length = |mark: u8| if mark.is_multiple_of(3) { 2000 } else { 100_000 + usize::from(mark) };
    fixture.put("name", marked(0, length(0))).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (fixture, done) = (Arc::clone(&fixture), Arc::clone(&done));
            tokio::spawn(async move {
                let mut reads = 0;
                while !done.load(Ordering::Relaxed) {
                    let content = fixture.read("name").await.unwrap();
                    assert!(content.iter().all(|byte| *byte == content[0]));
                    assert_eq!(content.len(), length(content[0]));
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    let writers: Vec<_> = (0..8)
        .map(|writer: u8| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move {
                for round in 0..8 {
                    let mark = writer * 8 + round;
                    fixture.put("name", marked(mark, length(mark))).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    let content = fixture.read("name").await.unwrap();
    assert_eq!(content[0] % 8, 7, "each writer's last write is its round 7");
    let large = usize::from(content.len() > 16_384);
    eventually(|| fixture.files().len() == large).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_write_if_there_is_nothing_one_does() {
    let fixture = Arc::new(Fixture::new().await);
    for length in [100, 100_000] {
        let key = format!("name-{length}");
        let writers = (0..24u8).map(|mark| {
            let (fixture, key) = (Arc::clone(&fixture), key.clone());
            tokio::spawn(async move {
                let mut request = put(&key, marked(mark, length));
                request.conditions.if_none_match = Some(EntityTags::Any);
                fixture.objects.put(request).await.map(|_| mark)
            })
        });
        let mut winners = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(mark) => winners.push(mark),
                Err(ObjectError::PreconditionFailed { condition: Condition::IfNoneMatch }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(fixture.read(&key).await.unwrap(), marked(winners[0], length));
    }
    eventually(|| fixture.files().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_counter_by_compare_and_swap_loses_no_step() {
    let fixture = Arc::new(Fixture::new().await);
    fixture.put("counter", "0").await;
    let steppers: Vec<_> = (0..6)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move {
                let mut steps = 0;
                while steps < 5 {
                    let read = fixture.objects.get(get("counter")).await.unwrap();
                    let etag = read.info.etag.to_string();
                    let number: u32 =
                        String::from_utf8(read.body.collect().await.unwrap()).unwrap().parse().unwrap();
                    let mut request = put("counter", (number + 1).to_string());
                    request.conditions.if_match = Some(EntityTags::Tags(vec![etag]));
                    match fixture.objects.put(request).await {
                        Ok(_) => steps += 1,
                        Err(ObjectError::PreconditionFailed { .. } | ObjectError::ConditionalConflict) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    for stepper in steppers {
        stepper.await.unwrap();
    }
    assert_eq!(fixture.read("counter").await.unwrap(), b"30");
}

#[tokio::test]
async fn a_slow_reader_of_many_parts_reads_to_the_end_of_what_it_began() {
    let fixture = Fixture::new().await;
    let id = upload(&fixture.objects, "name", SseRequest::Default).await;
    let mut parts = Vec::new();
    for number in 1..=3 {
        let content = marked(number as u8, 5 << 20);
        parts.push((number, fixture.objects.put_part(part("name", id, number, content)).await.unwrap().etag));
    }
    fixture.objects.complete_upload(complete("name", id, &parts)).await.unwrap();
    let mut body = fixture.objects.get(get("name")).await.unwrap().body;
    let first = body.next().await.unwrap().unwrap();
    fixture.put("name", marked(9, 100_000)).await;
    assert_eq!(fixture.read("name").await.unwrap(), marked(9, 100_000));
    let rest = body.collect().await.unwrap();
    assert_eq!(first.len() + rest.len(), 15 << 20);
    assert!(rest.ends_with(&marked(3, 5 << 20)));
    eventually(|| fixture.files().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parts_of_one_number_and_a_completion_at_once_leave_no_orphan() {
    let fixture = Arc::new(Fixture::new().await);
    for round in 0..6 {
        let key = format!("name-{round}");
        let id = upload(&fixture.objects, &key, SseRequest::Default).await;
        let etag = fixture.objects.put_part(part(&key, id, 1, marked(1, 30_000))).await.unwrap().etag;
        let others = (0..6u8).map(|mark| {
            let (fixture, key) = (Arc::clone(&fixture), key.clone());
            let number = 1 + u32::from(mark % 3);
            tokio::spawn(async move {
                fixture.objects.put_part(part(&key, id, number, marked(mark, 30_000))).await
            })
        });
        let others: Vec<_> = others.collect();
        let completed = fixture.objects.complete_upload(complete(&key, id, &[(1, etag)])).await;
        for other in others {
            match other.await.unwrap() {
                Ok(_) | Err(ObjectError::NoSuchUpload { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        match completed {
            Ok(_) => assert_eq!(fixture.read(&key).await.unwrap(), marked(1, 30_000)),
            Err(ObjectError::InvalidPart { .. }) => {
                fixture.objects.abort_upload(&bucket(), &name(&key), id).await.unwrap()
            }
            Err(other) => panic!("{other}"),
        }
        fixture.delete(&key).await;
    }
    eventually(|| fixture.files().is_empty()).await;
    fixture.objects.delete_bucket(&bucket()).await.unwrap();
}

#[tokio::test]
async fn a_small_range_of_a_large_object_reads_two_chunks_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let disk = TestDisk::healthy();
    let mut options = options(dir.path());
    options.disk = Arc::new(disk.clone());
    let fixture = Fixture::with(dir, options).await;
    let content = noise(1, 20 << 20);
    fixture.put("name", content.clone()).await;
    disk.read_since();
    for first in [0, 65_000, 5 << 20, (20 << 20) - 1024] {
        let mut request = get("name");
        request.range = Some(RangeRequest::From { first, last: Some(first + 1023) });
        let read = fixture.objects.get(request).await.unwrap().body.collect().await.unwrap();
        assert!(read == content[first as usize..first as usize + 1024]);
        let most = 2 * (65_536 + 16) + strongroom_seal::stream::HEADER_LEN as u64;
        assert!(disk.read_since() <= most);
    }
}
