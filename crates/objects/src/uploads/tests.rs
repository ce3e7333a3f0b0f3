//! The largest object there can be, by its number of parts: everything that is done to it is one command.

use crate::support::*;
use strongroom_store::{Command, Write};

use crate::request::{CompleteUpload, CompletedPart, CreateUpload};
use crate::rows::{self, BlobId, PartRow};
use crate::{
    ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, ObjectError, ObjectMeta, PART_NUMBER_MAX,
    PartNumber, SseRequest, Timestamp, UploadId, WriteConditions,
};

const SIZE: u64 = 5 << 20;

/// Rows of all the parts that an upload can have, with the longest checksums. There are no blobs: nobody reads them here.
fn put_rows(fixture: &Fixture, upload: UploadId) -> Vec<CompletedPart> {
    let at = fixture.objects.0.bucket(&bucket()).unwrap();
    let algorithm = ChecksumAlgorithm::Sha512;
    let checksum = ChecksumValue::new(algorithm, vec![7; algorithm.value_len()]).unwrap();
    let mut parts = Vec::new();
    let mut writes = Vec::new();
    for number in 1..=PART_NUMBER_MAX {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        id[2..8].copy_from_slice(&upload.0[8..14]);
        let blob = BlobId { epoch: fixture.store.epoch(), id };
        let etag = ETag::Md5([9; 16]);
        let row = PartRow { mtime: Timestamp(1), size: SIZE, etag, blob, checksum: checksum.clone() };
        writes.push(Write::Put { key: rows::part_key(&upload, number), value: row.encode() });
        writes.push(Write::Put { key: rows::owner_key(&blob), value: rows::PRESENT.to_vec() });
        let part = PartNumber::new(u32::from(number)).unwrap();
        parts.push(CompletedPart { part, etag: etag.to_string(), checksum: Some(checksum.clone()) });
    }
    for writes in writes.chunks(4000) {
        let command = Command { group: at.group, checks: Vec::new(), writes: writes.to_vec() };
        fixture.store.commit_blocking(command).unwrap();
    }
    parts
}

/// An upload with all parts.
async fn begun(fixture: &Fixture) -> CompleteUpload {
    let request = CreateUpload {
        bucket: bucket(),
        name: name("name"),
        meta: ObjectMeta::default(),
        sse: SseRequest::Default,
        checksum: Some((ChecksumAlgorithm::Sha512, Some(ChecksumKind::Composite))),
    };
    let upload = fixture.objects.create_upload(request).await.unwrap().upload;
    CompleteUpload {
        bucket: bucket(),
        name: name("name"),
        upload,
        parts: put_rows(fixture, upload),
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_kind: None,
        size: None,
        customer_key: None,
    }
}

#[tokio::test]
async fn an_object_of_ten_thousand_parts_is_completed_replaced_tagged_and_removed_by_one_command_each() {
    let fixture = Fixture::new().await;
    let objects = &fixture.objects;
    let size = u64::from(PART_NUMBER_MAX) * SIZE;
    let first = begun(&fixture).await;
    assert_eq!(objects.complete_upload(first).await.unwrap().size, size);
    // In the place of one that is as large.
    let second = begun(&fixture).await;
    assert_eq!(objects.complete_upload(second).await.unwrap().size, size);
    objects.set_object_tags(&bucket(), &name("name"), None, vec![("a".into(), "1".into())]).await.unwrap();
    assert_eq!(objects.head(get("name")).await.unwrap().info.size, size);
    // One that is given up in favour of a single part drops the others.
    let mut third = begun(&fixture).await;
    third.parts.truncate(1);
    assert_eq!(objects.complete_upload(third).await.unwrap().size, SIZE);
    let fourth = begun(&fixture).await;
    objects.complete_upload(fourth).await.unwrap();
    fixture.delete("name").await;
    let fifth = begun(&fixture).await;
    objects.abort_upload(&bucket(), &name("name"), fifth.upload).await.unwrap();
    let gone = objects.head(get("name")).await;
    assert!(matches!(gone, Err(ObjectError::NoSuchKey { .. })));
}
