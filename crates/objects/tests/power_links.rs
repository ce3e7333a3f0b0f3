//! Power cuts in each step of a copy onto itself where there are versions, and of what follows it: whatever names a blob has, each
//! version that is there is whole, and no name is left over.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::time::Duration;

use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_store::sim::{Picture, SimDisk};
use support::sim::{self, live};
use support::*;

const LENGTH: usize = 5000;

async fn versions(objects: &Objects) -> Vec<VersionId> {
    let request = ListVersions {
        bucket: bucket(),
        prefix: String::new(),
        delimiter: None,
        name_after: None,
        version_after: None,
        max: 100,
    };
    objects.list_versions(request).await.unwrap().versions.iter().map(|listed| listed.version).collect()
}

async fn read(objects: &Objects, version: VersionId) -> Vec<u8> {
    let request = GetRequest { version: Some(version), ..get("k") };
    objects.get(request).await.unwrap().body.collect().await.unwrap()
}

async fn remove(objects: &Objects, version: Option<VersionId>) {
    let request = DeleteRequest { version, ..DeleteRequest::new(bucket(), name("k")) };
    objects.delete(request).await.unwrap();
}

/// As many names of blobs as there are versions.
async fn a_name_for_each(disk: &SimDisk, objects: &Objects, what: &str) {
    let there = versions(objects).await.len();
    for _ in 0..5000 {
        if sim::blobs(disk).len() == there {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{what}: {:?} for {there} versions", sim::blobs(disk));
}

/// Copies an object, removes its first version and copies the second; the pictures say which of these were answered.
fn pictures(versioning: Versioning) -> Vec<Picture> {
    let disk = sim::with_bucket(1);
    live(async || {
        let (store, objects) = sim::open(&disk, 2).await.unwrap();
        objects.set_versioning(&bucket(), versioning).await.unwrap();
        objects.put(put("k", noise(1, LENGTH))).await.unwrap();
        objects.close().await;
        store.close().unwrap();
    });
    live(async || {
        let (store, objects) = sim::open(&disk, 3).await.unwrap();
        let first = versions(&objects).await[0];
        disk.label(0);
        disk.record();
        objects.copy(onto_itself("k", kms(false), None)).await.unwrap();
        disk.label(1);
        if versioning == Versioning::Enabled {
            remove(&objects, Some(first)).await;
        }
        disk.label(2);
        objects.copy(onto_itself("k", SseRequest::S3, None)).await.unwrap();
        disk.label(3);
        let pictures = disk.pictures();
        objects.close().await;
        store.close().unwrap();
        pictures
    })
}

fn cut_in_each_step(versioning: Versioning, counts: [std::ops::RangeInclusive<usize>; 4]) {
    let pictures = pictures(versioning);
    assert!(pictures.len() > 10 && pictures.last().unwrap().label == 3);
    for (nth, picture) in pictures.iter().enumerate() {
        for seed in 0..4 {
            let what = format!("picture {nth}, label {}, seed {seed}", picture.label);
            let disk = picture.files.disk(seed);
            disk.cut_power();
            for life in 0..2 {
                live(async || {
                    let (_store, objects) = sim::open(&disk, 100 + seed + 10 * life).await.unwrap();
                    let versions = versions(&objects).await;
                    let expected = &counts[usize::try_from(picture.label).unwrap()];
                    assert!(expected.contains(&versions.len()), "{what}: {versions:?}");
                    a_name_for_each(&disk, &objects, &what).await;
                    for version in versions {
                        assert!(read(&objects, version).await == noise(1, LENGTH), "{what}");
                    }
                });
                disk.kill();
            }
        }
    }
}

#[test]
fn power_cuts_in_each_step_leave_versions_whole() {
    cut_in_each_step(Versioning::Enabled, [1..=2, 1..=2, 1..=2, 2..=2]);
}

#[test]
fn power_cuts_in_each_step_leave_a_null_version_whole_that_replaces_itself() {
    cut_in_each_step(Versioning::Suspended, [1..=1, 1..=1, 1..=1, 1..=1]);
}
