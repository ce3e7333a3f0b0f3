//! Power cuts under store and blobs at once: every acknowledged effect is there and whole, and nothing is left over.
//!
//! The disk loses what no sync covered, as `strongroom_store::sim` describes. A seed gives the operations, the call after
//! which the power goes, and what survives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::collections::BTreeMap;

use strongroom_objects::*;
use strongroom_store::sim::{Dice, SimDisk};
use support::sim::{self, INLINE_MAX, live};
use support::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const STEPS: usize = 10;

/// What there is: of each name the seed and length of its content.
type Contents = BTreeMap<&'static str, (u64, usize)>;

/// An upload that was begun, with the part it has.
#[derive(Debug, Clone, PartialEq)]
struct Upload {
    id: UploadId,
    name: &'static str,
    part: Option<(u64, usize, ETag)>,
}

/// All that a client knows to be there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    objects: Contents,
    uploads: Vec<Upload>,
}

#[derive(Debug, Clone)]
enum Step {
    Put(&'static str, (u64, usize)),
    Delete(&'static str),
    Copy {
        from: &'static str,
        to: &'static str,
    },
    Begin(&'static str),
    /// Of the nth open upload.
    Part(usize, (u64, usize)),
    Complete(usize),
    Abort(usize),
}

impl Step {
    fn random(dice: &mut Dice) -> Self {
        let name = NAMES[dice.below(NAMES.len())];
        let content = {
            let length = [0, 1, INLINE_MAX, INLINE_MAX + 1, 700, 5000, 70_000];
            (dice.roll(), length[dice.below(length.len())])
        };
        match dice.below(12) {
            0..=3 => Self::Put(name, content),
            4 => Self::Delete(name),
            5 | 6 => Self::Copy { from: NAMES[dice.below(NAMES.len())], to: name },
            7 => Self::Begin(name),
            // Parts are blobs whatever their length.
            8 | 9 => Self::Part(dice.below(2), (content.0, content.1.max(INLINE_MAX + 1))),
            10 => Self::Complete(dice.below(2)),
            _ => Self::Abort(dice.below(2)),
        }
    }

    /// What is known once it was done; `None` if it is not to be done now.
    fn after(&self, known: &Known) -> Option<Known> {
        let mut known = known.clone();
        match *self {
            Self::Put(name, content) => drop(known.objects.insert(name, content)),
            Self::Delete(name) => drop(known.objects.remove(name)),
            Self::Copy { from, to } if from != to => {
                let content = *known.objects.get(from)?;
                known.objects.insert(to, content);
            }
            Self::Copy { .. } => return None,
            // Its id and the part's ETag are told by the answer.
            Self::Begin(_) => {}
            Self::Part(nth, _) => drop(known.uploads.get(nth)?),
            Self::Complete(nth) => {
                let upload = known.uploads.get(nth)?.clone();
                let (seed, length, _) = upload.part?;
                known.uploads.remove(nth);
                known.objects.insert(upload.name, (seed, length));
            }
            Self::Abort(nth) => {
                known.uploads.get(nth)?;
                known.uploads.remove(nth);
            }
        }
        Some(known)
    }

    async fn run(&self, objects: &Objects, known: &Known, after: &mut Known) -> Result<(), ObjectError> {
        match *self {
            Self::Put(name, (seed, length)) => drop(objects.put(put(name, noise(seed, length))).await?),
            Self::Delete(to) => drop(objects.delete(request::DeleteRequest::new(bucket(), name(to))).await?),
            Self::Copy { from, to } => drop(objects.copy(copy(from, to)).await?),
            Self::Begin(to) => {
                let request = request::CreateUpload {
                    bucket: bucket(),
                    name: name(to),
                    meta: ObjectMeta::default(),
                    sse: SseRequest::Default,
                    checksum: None,
                };
                let id = objects.create_upload(request).await?.upload;
                after.uploads.push(Upload { id, name: to, part: None });
            }
            Self::Part(nth, (seed, length)) => {
                let upload = &known.uploads[nth];
                let stored = objects.put_part(part(upload.name, upload.id, 1, noise(seed, length))).await?;
                after.uploads[nth].part = Some((seed, length, stored.etag));
            }
            Self::Complete(nth) => {
                let Upload { id, name, part } = &known.uploads[nth];
                let etag = part.as_ref().unwrap().2;
                drop(objects.complete_upload(complete(name, *id, &[(1, etag)])).await?);
            }
            Self::Abort(nth) => {
                let Upload { id, name: of, .. } = &known.uploads[nth];
                objects.abort_upload(&bucket(), &name(of), *id).await?;
            }
        }
        Ok(())
    }
}

fn copy(from: &str, to: &str) -> request::CopyRequest {
    let source = request::CopySource {
        bucket: bucket(),
        name: name(from),
        version: None,
        conditions: ReadConditions::default(),
        customer_key: None,
    };
    request::CopyRequest {
        source,
        bucket: bucket(),
        name: name(to),
        meta: ObjectMeta::default(),
        metadata: request::Directive::Copy,
        tagging: request::Directive::Copy,
        sse: SseRequest::Default,
        conditions: WriteConditions::default(),
        checksum: None,
    }
}

fn uploads() -> request::ListUploads {
    request::ListUploads {
        bucket: bucket(),
        prefix: String::new(),
        delimiter: None,
        name_after: None,
        upload_after: None,
        max: 1000,
    }
}

fn parts(of: &str, upload: UploadId) -> request::ListParts {
    request::ListParts { bucket: bucket(), name: name(of), upload, after: 0, max: 1000 }
}

/// What is there after a crash.
struct Possible {
    known: Known,
    /// The step whose answer did not come, and what would be known after it.
    unanswered: Option<(Step, Known)>,
}

/// Does steps until one fails.
async fn work(objects: &Objects, dice: &mut Dice, mut known: Known) -> Possible {
    for _ in 0..STEPS {
        let step = Step::random(dice);
        let Some(mut after) = step.after(&known) else { continue };
        match step.run(objects, &known, &mut after).await {
            Ok(()) => known = after,
            Err(_) => return Possible { known, unanswered: Some((step, after)) },
        }
    }
    Possible { known, unanswered: None }
}

async fn found(objects: &Objects, name: &str) -> Option<Vec<u8>> {
    match objects.get(get(name)).await {
        Ok(object) => Some(object.body.collect().await.unwrap_or_else(|error| panic!("{name}: {error}"))),
        Err(ObjectError::NoSuchKey { .. }) => None,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Looks at all that is there, and says what it is and how many blobs it has.
async fn check(objects: &Objects, possible: &Possible, what: &str) -> Known {
    let Possible { known, unanswered } = possible;
    let after = unanswered.as_ref().map(|(_, after)| after);
    let mut now = known.clone();
    for name in NAMES {
        let found = found(objects, name).await;
        let is = |known: &Known| known.objects.get(name).map(|(seed, length)| noise(*seed, *length)) == found;
        if !is(known) {
            let after = after.filter(|after| is(after)).unwrap_or_else(|| {
                let length = found.as_ref().map(Vec::len);
                panic!("{what}: {name} has {length:?} bytes, expected {known:?} or {unanswered:?}")
            });
            now = after.clone();
        }
    }
    // Whoever got no answer looks what became of the upload, part or completion.
    let listed = objects.list_uploads(uploads()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let there: Vec<_> = listed.uploads.iter().map(|upload| upload.upload).collect();
    if let Some((Step::Abort(_) | Step::Complete(_), after)) = unanswered {
        now.uploads.retain(|upload| there.contains(&upload.id) || after.uploads.contains(upload));
    }
    for upload in &mut now.uploads {
        let parts = objects.list_parts(parts(upload.name, upload.id)).await;
        let parts = parts.unwrap_or_else(|error| panic!("{what}: {upload:?}: {error}")).parts;
        let etag = parts.first().map(|part| part.etag);
        if etag != upload.part.as_ref().map(|(_, _, etag)| *etag) {
            let Some((Step::Part(nth, (seed, length)), _)) = unanswered else {
                panic!("{what}: {upload:?} has {parts:?}")
            };
            assert_eq!(known.uploads[*nth].id, upload.id, "{what}");
            upload.part = etag.map(|etag| (*seed, *length, etag));
        }
    }
    // One that was begun without an answer is nobody's.
    for unknown in
        listed.uploads.iter().filter(|found| now.uploads.iter().all(|known| known.id != found.upload))
    {
        assert!(matches!(unanswered, Some((Step::Begin(_), _))), "{what}: {unknown:?}");
        objects.abort_upload(&bucket(), &unknown.name, unknown.upload).await.unwrap();
    }
    now
}

/// As many blobs as there is content that has one, and nothing else.
async fn nothing_left_over(disk: &SimDisk, known: &Known, what: &str) {
    let objects = known.objects.values().filter(|(_, length)| *length > INLINE_MAX).count();
    let parts = known.uploads.iter().filter(|upload| upload.part.is_some()).count();
    for _ in 0..5000 {
        if sim::blobs(disk).len() == objects + parts {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("{what}: {:?} where {objects} objects and {parts} parts have one: {known:?}", sim::blobs(disk));
}

fn crash(seed: u64) {
    let mut dice = Dice::from_seed(seed);
    let disk = sim::with_bucket(seed);
    let mut known = Known::default();
    for life in 0..3 {
        let what = format!("seed {seed}, life {life}");
        let calls = dice.under(if life == 1 { 40 } else { 220 });
        disk.cut_power_after(calls);
        let possible = live(async || match sim::open(&disk, seed + 100 * life).await {
            Some((_store, objects)) => work(&objects, &mut dice, known.clone()).await,
            None => Possible { known: known.clone(), unanswered: None },
        });
        disk.cut_power();
        known = live(async || {
            let opened = sim::open(&disk, seed + 100 * life + 50).await;
            let (_store, objects) = opened.unwrap_or_else(|| panic!("{what}: it opens"));
            let known = check(&objects, &possible, &what).await;
            nothing_left_over(&disk, &known, &what).await;
            known
        });
        // What was swept and read is not synced by anybody: this process dies too.
        disk.kill();
    }
}

#[test]
fn power_cuts_under_store_and_blobs_lose_nothing_acknowledged_and_leave_nothing_over() {
    let soak = std::env::var("STRONGROOM_SOAK").is_ok_and(|soak| soak == "1");
    for seed in 0..if soak { 10_000 } else { 100 } {
        crash(seed);
    }
}

#[test]
fn what_was_removed_does_not_come_back_for_good_if_the_power_goes_after_a_clean_close() {
    for seed in 0..20 {
        let disk = sim::with_bucket(seed);
        live(async || {
            let (store, objects) = sim::open(&disk, seed + 100).await.unwrap();
            objects.put(put("k", noise(seed, 5000))).await.unwrap();
            objects.put(put("k", noise(seed + 1, 5000))).await.unwrap();
            objects.delete(request::DeleteRequest::new(bucket(), name("k"))).await.unwrap();
            objects.close().await;
            store.close().unwrap();
        });
        assert!(sim::blobs(&disk).is_empty(), "seed {seed}: {:?}", sim::blobs(&disk));
        disk.cut_power();
        // What came back now stays, unless this opening looks for it.
        live(async || {
            let (store, objects) = sim::open(&disk, seed + 200).await.unwrap();
            objects.close().await;
            store.close().unwrap();
        });
        assert!(sim::blobs(&disk).is_empty(), "seed {seed}: {:?}", sim::blobs(&disk));
    }
}
