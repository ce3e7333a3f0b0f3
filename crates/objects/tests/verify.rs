//! Everything is authenticated offline, and damage is named.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod support;

use std::fs;
use std::num::NonZeroUsize;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use strongroom_objects::verify::*;
use strongroom_objects::*;
use strongroom_seal::CustomerKey;
use strongroom_store::inspect::{Finding, Offline, Watch};
use strongroom_store::{Command, GroupId, Store, Write};
use support::*;

const LENGTH: usize = 3 * 65_536 + 100;
const THREADS: NonZeroUsize = NonZeroUsize::new(3).unwrap();

#[derive(Default)]
struct Seen {
    /// How often and how much was told to have been looked at: pages and log, then contents.
    told: [Mutex<Vec<u64>>; 2],
    objects: Mutex<Vec<ObjectFinding>>,
    store: Mutex<Vec<String>>,
}

impl Watch for Seen {
    fn checked(&self, bytes: u64) {
        self.told[0].lock().unwrap().push(bytes);
    }

    fn found(&self, finding: Finding) {
        if let Finding::Damage { error, .. } = finding {
            self.store.lock().unwrap().push(error.to_string());
        }
    }
}

impl VerifyWatch for Seen {
    fn checked(&self, bytes: u64) {
        self.told[1].lock().unwrap().push(bytes);
    }

    fn found(&self, finding: ObjectFinding) {
        self.objects.lock().unwrap().push(finding);
    }
}

async fn check(dir: &Path, with_kms: bool) -> (ObjectCounts, Vec<ObjectFinding>, Vec<String>) {
    let (counts, seen) = look(dir, with_kms).await;
    (counts, seen.objects.into_inner().unwrap(), seen.store.into_inner().unwrap())
}

async fn look(dir: &Path, with_kms: bool) -> (ObjectCounts, Seen) {
    let dir = dir.to_owned();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let unlocked = Offline::look(store_dir(&dir)).unwrap().unlock(MemoryKeys::new()).unwrap();
        let seen = Seen::default();
        let image = unlocked.verify(THREADS, &seen).image.unwrap();
        let kms = with_kms.then(|| MemoryKeys::new() as Arc<dyn strongroom_kms::Provider>);
        let options =
            VerifyOptions { blob_dir: blob_dir(&dir), kms, others: None, runtime, threads: THREADS };
        let counts = verify(&image, &options, &seen);
        (counts, seen)
    })
    .await
    .unwrap()
}

/// A closed store with objects of several kinds.
async fn filled() -> tempfile::TempDir {
    let fixture = Fixture::new().await;
    fixture.put("small", noise(1, 1000)).await;
    fixture.put("large", noise(2, LENGTH)).await;
    fixture.put("empty", Vec::new()).await;
    let mut customer = put("customer", noise(3, LENGTH + 1));
    customer.sse = SseRequest::Customer(CustomerKey::from_bytes(&mut [9; 32]));
    fixture.objects.put(customer).await.unwrap();
    let mut kms = put("kms", noise(4, LENGTH + 2));
    kms.sse = SseRequest::Kms { key_id: None, context: Some("{}".into()), bucket_key: None };
    fixture.objects.put(kms).await.unwrap();
    let id = upload(&fixture.objects, "open", SseRequest::Default).await;
    fixture.objects.put_part(part("open", id, 7, noise(5, LENGTH + 3))).await.unwrap();
    closed(fixture).await
}

async fn closed(fixture: Fixture) -> tempfile::TempDir {
    let Fixture { dir, store, objects } = fixture;
    objects.close().await;
    drop(objects);
    tokio::task::spawn_blocking(move || store.close().unwrap()).await.unwrap();
    dir
}

/// The blob of a content of this length.
fn blob(dir: &Path, length: usize) -> PathBuf {
    let sealed = (80 + length + 16 * length.div_ceil(65_536)) as u64;
    let found = files(&blob_dir(dir)).into_iter().find(|path| fs::metadata(path).unwrap().len() == sealed);
    found.unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_whole_store_verifies_and_is_counted() {
    let dir = filled().await;
    let (counts, objects, store) = check(dir.path(), true).await;
    assert!(objects.is_empty() && store.is_empty(), "{objects:?} {store:?}");
    assert_eq!((counts.buckets, counts.objects, counts.uploads, counts.parts), (1, 5, 1, 1));
    assert_eq!((counts.inline, counts.blobs, counts.customer), (2, 3, 1));
    assert_eq!(counts.bytes as usize, 1000 + 3 * LENGTH + 2 + 3);
}

#[tokio::test]
async fn each_chunk_that_does_not_open_is_named_and_the_others_are_opened() {
    let dir = filled().await;
    let file = blob(dir.path(), LENGTH);
    for chunk in [0, 1, 3] {
        flip(&file, 80 + chunk * (65_536 + 16) + 9);
    }
    let (counts, objects, _) = check(dir.path(), true).await;
    let chunks: Vec<_> = objects
        .iter()
        .map(|finding| match finding {
            ObjectFinding::Damaged { place, what: ObjectDamage::Chunks(chunks) } => {
                assert_eq!((place.bucket.as_str(), place.name.as_str(), place.part), ("bucket", "large", 1));
                (*chunks.start(), *chunks.end())
            }
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(chunks, [(0, 1), (3, 3)]);
    assert_eq!(counts.bytes as usize, 1000 + 2 * LENGTH + 2 + 3 + 65_536);
}

#[tokio::test]
async fn parts_of_open_uploads_and_contents_of_customers_are_looked_at_as_far_as_can_be() {
    let dir = filled().await;
    flip(&blob(dir.path(), LENGTH + 3), 90);
    // Nobody but the customer can tell that a byte of the content changed; a header that is none, everybody can.
    let customers = blob(dir.path(), LENGTH + 1);
    flip(&customers, 90);
    let (_, objects, _) = check(dir.path(), true).await;
    let [ObjectFinding::Damaged { place, .. }] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!((place.name.as_str(), place.part, place.version), ("open", 7, None));
    assert!(place.upload.is_some());
    flip(&customers, 0);
    let (counts, objects, _) = check(dir.path(), true).await;
    assert!(objects.iter().any(|finding| matches!(finding, ObjectFinding::Damaged { place, what }
        if place.name == "customer" && *what == ObjectDamage::Of(Damaged::Header))));
    assert_eq!(counts.customer, 1);
}

#[tokio::test]
async fn without_the_kms_its_contents_are_not_verified_and_not_called_damaged() {
    let dir = filled().await;
    let (counts, objects, _) = check(dir.path(), false).await;
    let [finding @ ObjectFinding::KeyNotToBeHad { place, .. }] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!(place.name, "kms");
    assert!(!finding.is_damage());
    assert_eq!((counts.keyless, counts.blobs), (1, 2));
}

#[tokio::test]
async fn missing_blobs_are_damage_and_blobs_of_nobody_are_not() {
    let dir = filled().await;
    let file = blob(dir.path(), LENGTH);
    let orphan = file.parent().unwrap().join("5c".repeat(16));
    fs::rename(&file, &orphan).unwrap();
    let (counts, objects, _) = check(dir.path(), true).await;
    assert_eq!(objects.iter().filter(|finding| finding.is_damage()).count(), 1, "{objects:?}");
    assert!(objects.iter().any(|finding| matches!(finding, ObjectFinding::Damaged { place, what }
        if place.name == "large" && *what == ObjectDamage::Of(Damaged::Missing))));
    assert!(
        objects
            .iter()
            .any(|finding| matches!(finding, ObjectFinding::Orphan { path, .. } if *path == orphan))
    );
    assert_eq!((counts.orphans, counts.orphan_bytes), (1, fs::metadata(orphan).unwrap().len()));
}

#[tokio::test]
async fn objects_on_damaged_index_pages_are_given_as_a_range_and_the_others_are_verified() {
    let fixture = Fixture::new().await;
    for n in 0..300 {
        fixture.put(&format!("name-{n:04}"), noise(n, 600)).await;
    }
    let dir = closed(fixture).await;
    let pages = store_dir(dir.path()).join("pages/00000001.pages");
    let bytes = fs::read(&pages).unwrap();
    let places = 2 * 262_144 + 4 * 4096;
    let used: Vec<usize> = (places..bytes.len())
        .step_by(4096)
        .filter(|at| bytes[*at..(at + 4096).min(bytes.len())].iter().any(|byte| *byte != 0))
        .collect();
    // Whichever page it is: what is not on it is verified, and what is, is told.
    let mut told = 0;
    for at in used.iter().step_by(7) {
        flip(&pages, at + 50);
        let (counts, objects, store) = check(dir.path(), true).await;
        assert!(store.iter().any(|damage| damage.contains("page")), "{store:?}");
        let unread = objects.iter().filter(|finding| matches!(finding, ObjectFinding::Unread(_))).count();
        assert!(counts.inline == 300 || unread > 0, "{counts:?} {objects:?}");
        told += usize::from(unread > 0 && counts.inline > 200);
        flip(&pages, at + 50);
    }
    assert!(told > 0, "a leaf of {} pages was hit", used.len());
}

#[tokio::test]
async fn older_versions_are_checked_like_current_ones() {
    let fixture = Fixture::new().await;
    fixture.put("name", "null").await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    let large = fixture.put("name", noise(1, LENGTH)).await;
    fixture.put("name", "newest").await;
    fixture.delete("name").await;
    let [blob] = fixture.files().try_into().unwrap();
    let dir = closed(fixture).await;
    let (counts, found, store) = check(dir.path(), false).await;
    assert!(found.is_empty() && store.is_empty(), "{found:?} {store:?}");
    assert_eq!((counts.objects, counts.delete_markers), (3, 1));
    fs::remove_file(blob).unwrap();
    let (_, found, _) = check(dir.path(), false).await;
    let [ObjectFinding::Damaged { place, what: ObjectDamage::Of(Damaged::Missing) }] = found.as_slice()
    else {
        panic!("{found:?}");
    };
    assert_eq!((place.name.as_str(), place.version), ("name", large.version));
}

#[tokio::test]
async fn content_that_was_sealed_as_another_version_is_checked_under_the_names_it_has_now() {
    let fixture = Fixture::new().await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    let keys = [("small", 1000), ("large", LENGTH)];
    let mut copies = Vec::new();
    for (key, length) in keys {
        let first = fixture.put(key, noise(1, length)).await;
        copies.push(fixture.objects.copy(onto_itself(key, kms(false), None)).await.unwrap().put);
        let customers = onto_itself(key, SseRequest::Customer(customer(1)), None);
        fixture.objects.copy(customers).await.unwrap();
        let older = request::DeleteRequest {
            version: first.version,
            ..request::DeleteRequest::new(bucket(), name(key))
        };
        fixture.objects.delete(older).await.unwrap();
    }
    eventually(|| fixture.files().len() == 2).await;
    let dir = closed(fixture).await;
    let (counts, found, store) = check(dir.path(), true).await;
    assert!(found.is_empty() && store.is_empty(), "{found:?} {store:?}");
    assert_eq!((counts.objects, counts.blobs, counts.inline, counts.customer), (4, 1, 1, 2));
    // One name goes: that is the damage of one version.
    let files = files(&blob_dir(dir.path()));
    fs::remove_file(&files[0]).unwrap();
    let (_, found, _) = check(dir.path(), true).await;
    let [ObjectFinding::Damaged { place, what: ObjectDamage::Of(Damaged::Missing) }] = found.as_slice()
    else {
        panic!("{found:?}");
    };
    assert_eq!(place.name, "large");
    // The file itself is damaged: that is the damage of both, of which one can be opened.
    fs::copy(&files[1], &files[0]).unwrap();
    assert!(check(dir.path(), true).await.1.is_empty());
    files.iter().for_each(|file| flip(file, 90));
    let (_, found, _) = check(dir.path(), true).await;
    let [ObjectFinding::Damaged { place, what: ObjectDamage::Chunks(chunks) }] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((place.version, place.part, chunks.clone()), (copies[1].version, 1, 0..=0));
}

/// Puts rows into a group as no operation does.
fn put_rows(store: &Store, group: GroupId, rows: &[(&[u8], &[u8])]) {
    let write = |(key, value): &(&[u8], &[u8])| Write::Put { key: key.to_vec(), value: value.to_vec() };
    let command = Command { group, checks: Vec::new(), writes: rows.iter().map(write).collect() };
    store.commit_blocking(command).unwrap();
}

#[tokio::test]
async fn rows_of_no_table_and_entries_that_no_version_names_are_told_by_name() {
    let fixture = Fixture::new().await;
    fixture.put("name", "content").await;
    fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
    fixture.put("name", "newer").await;
    let group = *fixture.store.groups().last().unwrap();
    // The entry of the newer version, copied to another content: the last 16 bytes of its key.
    let reading = fixture.store.read(group).unwrap();
    let entries = reading.range(Bound::Included(b"c"), Bound::Excluded(b"d")).unwrap();
    let entries: Vec<_> = entries.map(Result::unwrap).collect();
    assert_eq!(entries.len(), 2);
    let (mut key, value) = (entries[0].0.to_vec(), entries[0].1.to_vec());
    *key.last_mut().unwrap() ^= 1;
    // Rows hold the file open, and it is to be closed.
    drop((entries, reading));
    put_rows(&fixture.store, group, &[(&key, &value), (b"x/unheard", b"1"), (b"state", b"1"), (b"c", b"1")]);
    *key.last_mut().unwrap() ^= 2;
    put_rows(&fixture.store, group, &[(&key, b"no entry")]);
    let system: [(&[u8], &[u8]); 3] =
        [(b"audit/1", b"?"), (b"events/told/\x01hook", b"?"), (b"later/row", b"?")];
    put_rows(&fixture.store, GroupId::SYSTEM, &system);
    let dir = closed(fixture).await;
    let (counts, found, store) = check(dir.path(), true).await;
    assert!(store.is_empty(), "{store:?}");
    assert!(found.iter().all(ObjectFinding::is_damage));
    let mut said: Vec<String> = found.iter().map(ToString::to_string).collect();
    said.sort();
    assert_eq!(
        said,
        [
            "bucket bucket, key \"name\": an entry that no version names",
            "bucket bucket, key \"name\": an entry that no version names and that is malformed",
            "bucket bucket: the row c of entries is malformed",
            "bucket bucket: the row state is of no table that is known",
            "bucket bucket: the row x/unheard is of no table that is known",
            "bucket system: the row audit/1 of audit trail is malformed",
            "bucket system: the row events/told/\\x01hook of places in audit streams is malformed",
            "bucket system: the row later/row is of no table that is known",
        ]
    );
    assert_eq!(counts.objects, 2);
    assert!(counts.system_rows >= 5);
}

#[tokio::test]
async fn progress_is_told_in_small_steps_and_comes_to_all_that_there_is() {
    let fixture = Fixture::new().await;
    let length = 5 << 20;
    fixture.put("large", noise(1, length)).await;
    fixture.put("small", noise(2, 1000)).await;
    let dir = closed(fixture).await;
    let (counts, seen) = look(dir.path(), true).await;
    let [store, objects] = seen.told.map(|told| told.into_inner().unwrap());
    let told: u64 = objects.iter().sum();
    assert_eq!(counts.bytes as usize, length + 1000);
    assert!(told >= counts.bytes && told < counts.bytes + counts.bytes / 100, "{told} of {}", counts.bytes);
    assert!(objects.iter().all(|step| *step <= 2 << 20), "{objects:?}");
    let files = |folder: &str| -> u64 {
        let files = files(&store_dir(dir.path()).join(folder));
        files.iter().map(|file| fs::metadata(file).unwrap().len()).sum()
    };
    let (told, there) = (store.iter().sum::<u64>(), files("pages") + files("log"));
    assert!(told > 0 && told <= there, "{told} of {there}");
}
