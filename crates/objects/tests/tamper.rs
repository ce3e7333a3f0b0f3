//! Whatever is done to a blob file, a read names the damage and never gives wrong bytes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod support;

use std::fs;
use std::path::PathBuf;

use futures::StreamExt;
use strongroom_objects::*;
use support::*;

const LENGTH: usize = 3 * 65_536 + 100;

async fn damage_of(fixture: &Fixture, key: &str) -> Box<DamagePlace> {
    match fixture.read(key).await {
        Err(ObjectError::Damaged(place)) => {
            assert_eq!((place.bucket.as_str(), place.name.as_str()), ("bucket", key));
            place
        }
        Ok(_) => panic!("damaged content of {key} was served"),
        Err(other) => panic!("{other}"),
    }
}

/// Puts and says which file is new.
async fn put_file(fixture: &Fixture, key: &str, content: Vec<u8>) -> PathBuf {
    let before = fixture.files();
    fixture.put(key, content).await;
    let new = |file: &PathBuf| !before.contains(file);
    fixture.files().into_iter().find(new).unwrap()
}

#[tokio::test]
async fn a_flipped_bit_is_named_with_its_chunk() {
    let fixture = Fixture::new().await;
    let file = put_file(&fixture, "name", noise(1, LENGTH)).await;
    let intact = fs::read(&file).unwrap();
    for at in (0..intact.len()).step_by(997).chain([intact.len() - 1]) {
        let mut bytes = intact.clone();
        bytes[at] ^= 0x10;
        fs::write(&file, bytes).unwrap();
        let place = damage_of(&fixture, "name").await;
        let header = strongroom_seal::stream::HEADER_LEN;
        let chunk = at.checked_sub(header).map(|at| (at / (65_536 + 16)) as u64);
        assert_eq!(place.what, chunk.map_or(Damaged::Header, Damaged::Chunk));
        assert_eq!(place.part, 1);
    }
    fs::write(&file, intact).unwrap();
    assert!(fixture.read("name").await.unwrap() == noise(1, LENGTH));
}

#[tokio::test]
async fn cut_and_extended_and_missing_blobs_are_named() {
    let fixture = Fixture::new().await;
    let file = put_file(&fixture, "name", noise(1, LENGTH)).await;
    let intact = fs::read(&file).unwrap();
    for length in [0, 1, 50, intact.len() / 2, intact.len() - 65_552, intact.len() - 1] {
        fs::write(&file, &intact[..length]).unwrap();
        assert_eq!(damage_of(&fixture, "name").await.what, Damaged::Length);
    }
    for more in [vec![0], vec![0; 65_552]] {
        fs::write(&file, [intact.clone(), more].concat()).unwrap();
        assert_eq!(damage_of(&fixture, "name").await.what, Damaged::Length);
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(damage_of(&fixture, "name").await.what, Damaged::Missing);
    assert_eq!(fixture.objects.list(listing("", None, None, 10)).await.unwrap().objects.len(), 1);
}

#[tokio::test]
async fn blobs_of_other_objects_and_older_contents_do_not_open() {
    let fixture = Fixture::new().await;
    let one = put_file(&fixture, "one", noise(1, LENGTH)).await;
    let other = put_file(&fixture, "other", noise(1, LENGTH)).await;
    let old = fs::read(&one).unwrap();
    fs::copy(&other, &one).unwrap();
    assert_eq!(damage_of(&fixture, "one").await.what, Damaged::Header);
    let new = put_file(&fixture, "one", noise(2, LENGTH)).await;
    fs::write(&new, old).unwrap();
    assert_eq!(damage_of(&fixture, "one").await.what, Damaged::Header);
    assert!(fixture.read("other").await.unwrap() == noise(1, LENGTH));
}

#[tokio::test]
async fn parts_do_not_open_in_each_others_place_nor_an_earlier_attempt_in_a_later_ones() {
    let fixture = Fixture::new().await;
    let id = upload(&fixture.objects, "name", SseRequest::Default).await;
    let mut files = Vec::new();
    let mut parts = Vec::new();
    for number in [1, 2] {
        let before = fixture.files();
        let stored = fixture.objects.put_part(part("name", id, number, noise(7, 5 << 20))).await.unwrap();
        files.push(fixture.files().into_iter().find(|file| !before.contains(file)).unwrap());
        parts.push((number, stored.etag));
    }
    let first_attempt = fs::read(&files[0]).unwrap();
    let before = fixture.files();
    fixture.objects.put_part(part("name", id, 1, noise(7, 5 << 20))).await.unwrap();
    eventually(|| fixture.files().len() == 2).await;
    let again = fixture.files().into_iter().find(|file| !before.contains(file)).unwrap();
    let second_attempt = fs::read(&again).unwrap();
    assert_ne!(first_attempt, second_attempt);
    fixture.objects.complete_upload(complete("name", id, &parts)).await.unwrap();

    fs::write(&again, first_attempt).unwrap();
    let place = damage_of(&fixture, "name").await;
    assert_eq!((place.part, place.what), (1, Damaged::Header));
    fs::copy(&files[1], &again).unwrap();
    assert_eq!(damage_of(&fixture, "name").await.what, Damaged::Header);
    fs::write(&again, second_attempt).unwrap();
    assert!(fixture.read("name").await.unwrap() == [noise(7, 5 << 20), noise(7, 5 << 20)].concat());
}

#[tokio::test]
async fn a_part_that_is_uploaded_twice_shares_no_key_and_nonce() {
    let fixture = Fixture::new().await;
    let id = upload(&fixture.objects, "name", SseRequest::Default).await;
    let content = noise(3, LENGTH);
    let mut attempts = Vec::new();
    for _ in 0..2 {
        let before = fixture.files();
        fixture.objects.put_part(part("name", id, 1, content.clone())).await.unwrap();
        let file = fixture.files().into_iter().find(|file| !before.contains(file)).unwrap();
        attempts.push(fs::read(file).unwrap());
    }
    // Under one key and nonce equal blocks of plaintext give equal blocks of ciphertext. Headers have parts that are equal.
    let header = strongroom_seal::stream::HEADER_LEN;
    let blocks = |attempt: &[u8]| attempt[header..].chunks(16).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let equal =
        blocks(&attempts[0]).iter().zip(&blocks(&attempts[1])).filter(|(one, other)| one == other).count();
    assert_eq!(equal, 0);
    assert_ne!(attempts[0][..header], attempts[1][..header]);
}

#[tokio::test]
async fn what_comes_before_damage_is_right_and_the_body_ends_with_the_error() {
    let fixture = Fixture::new().await;
    let content = noise(1, 5 << 20);
    let file = put_file(&fixture, "name", content.clone()).await;
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let mut body = fixture.objects.get(get("name")).await.unwrap().body;
    let mut read = Vec::new();
    let error = loop {
        match body.next().await.unwrap() {
            Ok(piece) => read.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ObjectError::Damaged(place) if place.what == Damaged::Chunk(79)));
    assert!(read.len() >= 3 << 20 && content.starts_with(&read));
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_canary_is_in_no_file_and_no_file_name() {
    let canary = "canary-6f1d2c9a7be843";
    let key = format!("{canary}/name");
    let fixture = Fixture::new().await;
    for length in [1000, LENGTH] {
        let content = canary.repeat(length / canary.len());
        let mut request = put(&key, content.clone());
        request.meta.user = vec![(canary.into(), canary.into())];
        request.meta.tags = vec![(canary.into(), canary.into())];
        request.meta.system.content_type = Some(canary.into());
        request.sse = SseRequest::Kms { key_id: None, context: Some(canary.into()), bucket_key: None };
        fixture.objects.put(request).await.unwrap();
        let id = upload(&fixture.objects, &key, SseRequest::Default).await;
        fixture.objects.put_part(part(&key, id, 1, content)).await.unwrap();
    }
    look_for(canary, &fixture);
    fixture.objects.close().await;
    fixture.store.clone().close().unwrap();
    look_for(canary, &fixture);
}

fn look_for(canary: &str, fixture: &Fixture) {
    let files = files(fixture.dir.path());
    assert!(files.len() > 3);
    for file in files {
        assert!(!file.to_string_lossy().contains(canary));
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "{}", file.display());
    }
}

#[tokio::test]
async fn blobs_of_two_versions_of_one_name_do_not_open_in_each_others_place_whatever_key_they_have() {
    let kms = SseRequest::Kms { key_id: None, context: None, bucket_key: None };
    let bucket_key = SseRequest::Kms { key_id: None, context: None, bucket_key: Some(true) };
    let dsse = SseRequest::Dsse { key_id: None, context: None };
    for sse in [SseRequest::Default, kms, bucket_key, dsse] {
        let fixture = Fixture::new().await;
        fixture.objects.set_versioning(&bucket(), Versioning::Enabled).await.unwrap();
        let mut versions = Vec::new();
        for seed in [1, 2] {
            let before = fixture.files();
            let request = request::PutRequest { sse: sse.clone(), ..put("name", noise(seed, LENGTH)) };
            let version = fixture.objects.put(request).await.unwrap().version;
            let file = fixture.files().into_iter().find(|file| !before.contains(file)).unwrap();
            versions.push((version, seed, fs::read(&file).unwrap(), file));
        }
        let read = async |version| {
            let request = request::GetRequest { version, ..get("name") };
            fixture.objects.get(request).await?.body.collect().await
        };
        for ((version, seed, own, file), (.., other, _)) in versions.iter().zip(versions.iter().rev()) {
            assert_eq!(own.len(), other.len());
            let mut flipped = own.clone();
            flipped[LENGTH / 2] ^= 1;
            // Of two layers the inner one's chunk is named, which ends in the outer one's next.
            let chunk = u64::from(!matches!(sse, SseRequest::Dsse { .. }));
            for bytes in [other, &flipped] {
                fs::write(file, bytes).unwrap();
                match read(*version).await {
                    Err(ObjectError::Damaged(place)) => {
                        let what = if bytes == other { Damaged::Header } else { Damaged::Chunk(chunk) };
                        assert_eq!((place.version, place.what), (version.unwrap(), what), "{sse:?}");
                    }
                    other => panic!("{sse:?}: {:?}", other.map(|bytes| bytes.len())),
                }
            }
            fs::write(file, own).unwrap();
            assert!(read(*version).await.unwrap() == noise(*seed, LENGTH), "{sse:?}");
        }
    }
}
