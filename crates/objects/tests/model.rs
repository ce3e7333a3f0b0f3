//! Random operations beside a map in memory, and listings beside a naive one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod support;

use std::collections::BTreeMap;

use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_seal::{Random, SeededRandom};
use support::*;

struct Dice(SeededRandom);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(SeededRandom::dangerous_from_seed(seed))
    }

    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn name(&self) -> String {
        let pieces = ["a", "b", "/", "//", "c/", "\0", "\u{10FFFF}", "é", "ab", "z"];
        (0..=self.below(4)).map(|_| *self.pick(&pieces)).collect()
    }
}

/// What S3 answers, from the definition: look at every name.
fn naive(names: &[&str], request: &ListRequest) -> (Vec<String>, Vec<String>, bool) {
    let mut objects = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    let mut count = 0;
    for name in names {
        let Some(rest) = name.strip_prefix(request.prefix.as_str()) else { continue };
        let common = request.delimiter.as_deref().and_then(|delimiter| {
            rest.find(delimiter).map(|at| name[..request.prefix.len() + at + delimiter.len()].to_owned())
        });
        let passed = |after: &String| *name <= after.as_str() || common.as_ref() == Some(after);
        if request.after.as_ref().is_some_and(passed) {
            continue;
        }
        if common.is_some() && common.as_ref() == prefixes.last() {
            continue;
        }
        if count == request.max {
            return (objects, prefixes, count > 0);
        }
        count += 1;
        match common {
            Some(common) => prefixes.push(common),
            None => objects.push((*name).to_owned()),
        }
    }
    (objects, prefixes, false)
}

#[tokio::test]
async fn a_store_answers_as_a_map_does() {
    for seed in 0..3 {
        let dice = Dice::new(seed);
        let mut fixture = Fixture::new().await;
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for step in 0..250 {
            let key = dice.name();
            match dice.below(12) {
                0..=3 => {
                    let length = *dice.pick(&[0, 1, 100, 16_384, 16_385, 70_000, 200_000]);
                    let content = noise(seed * 1000 + step, length);
                    fixture.put(&key, content.clone()).await;
                    model.insert(key, content);
                }
                4 => {
                    fixture.delete(&key).await;
                    model.remove(&key);
                }
                5 => {
                    let id = upload(&fixture.objects, &key, SseRequest::Default).await;
                    let content = noise(seed * 1000 + step, 70_000);
                    for attempt in [vec![1; 10], content.clone()] {
                        fixture.objects.put_part(part(&key, id, 3, attempt)).await.unwrap();
                    }
                    fixture.objects.put_part(part(&key, id, 9, vec![2; 20])).await.unwrap();
                    if dice.below(3) == 0 {
                        fixture.objects.abort_upload(&bucket(), &name(&key), id).await.unwrap();
                    } else {
                        let listed = list_parts(&fixture.objects, &key, id).await;
                        let completion = complete(&key, id, &[(3, listed[0].etag)]);
                        fixture.objects.complete_upload(completion).await.unwrap();
                        model.insert(key, content);
                    }
                }
                6 => {
                    let source = CopySource {
                        bucket: bucket(),
                        name: name(&key),
                        version: None,
                        conditions: ReadConditions::default(),
                        customer_key: None,
                    };
                    let to = dice.name();
                    if to == key {
                        continue;
                    }
                    match (fixture.objects.copy(copy(source, &to)).await, model.get(&key).cloned()) {
                        (Ok(_), Some(content)) => drop(model.insert(to, content)),
                        (Err(ObjectError::NoSuchKey { .. }), None) => {}
                        other => panic!("{other:?}"),
                    }
                }
                7 if step % 5 == 0 => fixture = fixture.crash().await,
                _ => {
                    let request = listing(
                        dice.pick::<&str>(&["", "a", "a/", "c/", "\0"]),
                        *dice.pick(&[None, Some("/"), Some("//"), Some("b")]),
                        None,
                        *dice.pick(&[1, 2, 3, 1000]),
                    );
                    check_pages(&fixture.objects, &model, request).await;
                }
            }
            let key = dice.name();
            match (fixture.read(&key).await, model.get(&key)) {
                (Ok(content), Some(expected)) => assert!(content == *expected, "seed {seed}, step {step}"),
                (Err(ObjectError::NoSuchKey { .. }), None) => {}
                (other, _) => panic!("seed {seed}, step {step}: {other:?}"),
            }
        }
        // Nothing is left over: as many files as large objects.
        let large = model.values().filter(|content| content.len() > 16_384).count();
        eventually(|| fixture.files().len() == large).await;
        for key in model.keys() {
            fixture.delete(key).await;
        }
        eventually(|| fixture.files().is_empty()).await;
        fixture.objects.delete_bucket(&bucket()).await.unwrap();
    }
}

async fn check_pages(objects: &Objects, model: &BTreeMap<String, Vec<u8>>, mut request: ListRequest) {
    let names: Vec<&str> = model.keys().map(String::as_str).collect();
    loop {
        let page = objects.list(request.clone()).await.unwrap();
        let listed: Vec<_> = page.objects.iter().map(|object| object.name.as_str().to_owned()).collect();
        let (expected, prefixes, truncated) = naive(&names, &request);
        assert_eq!(
            (listed, &page.common_prefixes, page.truncated),
            (expected, &prefixes, truncated),
            "{request:?}"
        );
        for object in &page.objects {
            assert_eq!(object.size, model[object.name.as_str()].len() as u64);
        }
        match page.next {
            Some(next) => request.after = Some(next),
            None => return,
        }
    }
}

async fn list_parts(objects: &Objects, key: &str, upload: UploadId) -> Vec<ListedPart> {
    let request = ListParts { bucket: bucket(), name: name(key), upload, after: 0, max: 1000 };
    objects.list_parts(request).await.unwrap().parts
}

#[tokio::test]
async fn listings_from_anywhere_are_as_the_definition_says() {
    let fixture = Fixture::new().await;
    let dice = Dice::new(99);
    let mut model = BTreeMap::new();
    for _ in 0..120 {
        let key = dice.name();
        fixture.put(&key, vec![1]).await;
        model.insert(key, vec![1]);
    }
    for _ in 0..400 {
        let after = (dice.below(2) == 0).then(|| dice.name());
        let prefix = if dice.below(2) == 0 { String::new() } else { dice.name() };
        let delimiter = *dice.pick(&[None, Some("/"), Some("b"), Some("\0")]);
        let max = u32::try_from(dice.below(6)).unwrap();
        let mut request = listing(&prefix, delimiter, after.as_deref(), max);
        if request.max == 0 {
            let page = fixture.objects.list(request.clone()).await.unwrap();
            assert_eq!(page, Listing::default());
            request.max = 1000;
        }
        check_pages(&fixture.objects, &model, request).await;
    }
}

#[tokio::test]
async fn every_range_of_every_kind_of_object_is_the_slice_of_its_content() {
    let fixture = Fixture::new().await;
    let small = noise(1, 5000);
    let large = noise(2, (1 << 20) + 70_000);
    fixture.put("small", small.clone()).await;
    fixture.put("large", large.clone()).await;
    let id = upload(&fixture.objects, "parts", SseRequest::Default).await;
    let pieces = [noise(3, 5 << 20), noise(4, (5 << 20) + 1), noise(5, 99)];
    let mut parts = Vec::new();
    for (number, piece) in (1..).zip(&pieces) {
        let stored = fixture.objects.put_part(part("parts", id, number, piece.clone())).await.unwrap();
        parts.push((number, stored.etag));
    }
    fixture.objects.complete_upload(complete("parts", id, &parts)).await.unwrap();
    let dice = Dice::new(5);
    for (key, content) in [("small", small), ("large", large), ("parts", pieces.concat())] {
        let size = content.len() as u64;
        let edges = [
            0,
            1,
            65_535,
            65_536,
            65_537,
            1 << 20,
            5 << 20,
            (5 << 20) + 1,
            10 << 20,
            (10 << 20) + 1,
            size - 1,
        ];
        for _ in 0..120 {
            let place = || if dice.below(2) == 0 { *dice.pick(&edges) } else { dice.below(size + 10) };
            let (first, last) = (place(), place());
            let (range, expected) = match dice.below(3) {
                0 => {
                    (RangeRequest::Suffix(first), content.len().saturating_sub(first as usize)..content.len())
                }
                1 => (RangeRequest::From { first, last: None }, first as usize..content.len()),
                _ => {
                    let end = (last as usize + 1).min(content.len());
                    (RangeRequest::From { first, last: Some(last) }, first as usize..end)
                }
            };
            let mut request = get(key);
            request.range = Some(range);
            match fixture.objects.get(request).await {
                Ok(read) => {
                    let said = read.range.unwrap();
                    assert_eq!(
                        (said.first, said.last + 1, said.total),
                        (expected.start as u64, expected.end as u64, size)
                    );
                    assert!(read.body.collect().await.unwrap() == content[expected]);
                }
                Err(ObjectError::InvalidRange { size: said }) => {
                    assert!(expected.is_empty() && said == size, "{range:?} of {size}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

fn copy(source: CopySource, to: &str) -> CopyRequest {
    CopyRequest {
        source,
        bucket: bucket(),
        name: name(to),
        meta: ObjectMeta::default(),
        metadata: Directive::Copy,
        tagging: Directive::Copy,
        sse: SseRequest::Default,
        conditions: WriteConditions::default(),
        checksum: None,
    }
}
