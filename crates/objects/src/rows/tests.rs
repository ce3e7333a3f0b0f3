//! The four guards of each codec: exact bytes, round trip, length, and that mangled input is refused without panic.

use proptest::prelude::*;
use strongroom_seal::Envelope;
use strongroom_store::GroupId;

use super::*;
use crate::{
    BucketSettings, Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumValue, DefaultEncryption,
    DocumentKind, ETag, LegalHold, ObjectMeta, ObjectName, Retention, RetentionMode, SystemMeta, Timestamp,
    UploadId, VersionId, Versioning,
};

fn checksum(algorithm: ChecksumAlgorithm, kind: ChecksumKind, parts: u16) -> Checksum {
    let value = ChecksumValue::new(algorithm, vec![algorithm as u8; algorithm.value_len()]).unwrap();
    Checksum { value, kind, parts }
}

fn plain_head() -> Head {
    let object = ObjectHead {
        size: 5,
        etag: ETag::Md5([0xE1; 16]),
        content: ContentId([0xC1; 16]),
        storage_class: None,
        checksums: Vec::new(),
    };
    Head { version: VersionId::Null, order: 2, mtime: Timestamp(3), kind: HeadKind::Object(object) }
}

fn full_head() -> Head {
    let object = ObjectHead {
        size: u64::MAX,
        etag: ETag::Multipart { digest: [0xE2; 16], parts: 10_000 },
        content: ContentId([0xC2; 16]),
        storage_class: Some("STANDARD_IA".into()),
        checksums: vec![
            checksum(ChecksumAlgorithm::Crc64Nvme, ChecksumKind::FullObject, 0),
            checksum(ChecksumAlgorithm::Sha256, ChecksumKind::Composite, 10_000),
        ],
    };
    Head {
        version: VersionId::Id([9; 16]),
        order: u64::from_be_bytes([9; 8]),
        mtime: Timestamp(7),
        kind: HeadKind::Object(object),
    }
}

fn meta() -> ObjectMeta {
    ObjectMeta {
        system: SystemMeta {
            content_type: Some("text/plain".into()),
            expires: Some("never".into()),
            ..SystemMeta::default()
        },
        user: vec![("z".into(), "1".into()), ("a".into(), "ü".into())],
        tags: vec![("tag".into(), String::new())],
        retention: Some(Retention { mode: RetentionMode::Compliance, until: Timestamp(99) }),
        legal_hold: Some(LegalHold::On),
    }
}

fn sse_rows() -> Vec<SseRow> {
    let envelope =
        Envelope { provider: "local".into(), key_id: "default".into(), key_version: 3, blob: vec![1, 2, 3] };
    let wrapped = Box::new([0x77; body::WRAPPED_LEN]);
    vec![
        SseRow::Group { key_id: 4, wrapped: wrapped.clone() },
        SseRow::Kms { envelope: Box::new(envelope), context: Some("{}".into()), wrapped: wrapped.clone() },
        SseRow::Customer { salt: [5; 32], verifier: [6; 32], wrapped },
    ]
}

fn blob(number: u8) -> BlobId {
    BlobId { epoch: number.into(), id: [number; 16] }
}

fn bodies() -> Vec<Body> {
    let part = |number: u16, checksum| PartAt { number, size: 5 << 20, blob: blob(3), checksum };
    let value = ChecksumValue::new(ChecksumAlgorithm::Crc32, vec![1; 4]).unwrap();
    let contents = [
        ContentAt::Inline(vec![8; 300]),
        ContentAt::Blob(blob(2)),
        ContentAt::Parts(vec![part(1, None), part(7, Some(value)), part(10_000, None)]),
    ];
    sse_rows()
        .into_iter()
        .zip(contents)
        .map(|(sse, content)| Body { sse, content, sealed_as: None, meta: meta() })
        .chain([Body {
            sse: sse_rows().remove(0),
            content: ContentAt::Inline(Vec::new()),
            sealed_as: None,
            meta: ObjectMeta::default(),
        }])
        .collect()
}

/// The same contents, which were sealed as others.
fn sealed_elsewhere() -> Vec<Body> {
    let sealed = |body: Body| {
        let blobs = (0x50..).zip(body.content.blobs()).map(|(number, _)| blob(number)).collect();
        Body { sealed_as: Some(SealedAs { content: ContentId([0xC5; 16]), blobs }), ..body }
    };
    bodies().into_iter().map(sealed).collect()
}

fn uploads() -> Vec<UploadRow> {
    let kinds = [None, Some((ChecksumAlgorithm::Sha1, ChecksumKind::Composite)), None];
    let upload = |(sse, checksum)| {
        let mut meta = meta();
        meta.system.storage_class = Some("GLACIER".into());
        UploadRow { begun: Timestamp(5), content: ContentId([4; 16]), sse, checksum, meta }
    };
    sse_rows().into_iter().zip(kinds).map(upload).collect()
}

fn part_row() -> PartRow {
    let value = ChecksumValue::new(ChecksumAlgorithm::Crc64Nvme, vec![3; 8]).unwrap();
    PartRow { mtime: Timestamp(1), size: 2, etag: ETag::Opaque([3; 16]), blob: blob(9), checksum: value }
}

fn buckets() -> Vec<BucketRow> {
    let row = |settings| BucketRow {
        group: GroupId(7),
        state: GroupState::Active,
        created: Timestamp(8),
        owner: "root".into(),
        settings,
    };
    let encryption = DefaultEncryption::Kms { key_id: Some("key".into()), bucket_key: true };
    let set = BucketSettings {
        versioning: Versioning::Suspended,
        encryption,
        customer_keys_blocked: true,
        nothing_blocked: false,
    };
    let nothing = BucketSettings { nothing_blocked: true, ..BucketSettings::default() };
    vec![row(BucketSettings::default()), row(set), row(nothing)]
}

/// A kind of row, its bytes, and whether bytes decode to a row that encodes to the same bytes.
type Sample = (&'static str, Vec<u8>, fn(&[u8]) -> Option<bool>);

/// Every kind of row.
fn all() -> Vec<Sample> {
    let mut rows: Vec<Sample> = Vec::new();
    for head in [plain_head(), full_head(), Head { kind: HeadKind::DeleteMarker, ..plain_head() }] {
        rows.push(("head", head.encode(), |bytes| Some(Head::decode(bytes).ok()?.encode() == bytes)));
    }
    for body in bodies().into_iter().chain(sealed_elsewhere()) {
        rows.push(("body", body.encode(), |bytes| Some(Body::decode(bytes).ok()?.encode() == bytes)));
    }
    for upload in uploads() {
        rows.push(("upload", upload.encode(), |bytes| {
            Some(UploadRow::decode(bytes).ok()?.encode() == bytes)
        }));
    }
    rows.push(("part", part_row().encode(), |bytes| Some(PartRow::decode(bytes).ok()?.encode() == bytes)));
    for bucket in buckets() {
        rows.push(("bucket", bucket.encode(), |bytes| {
            Some(BucketRow::decode(bytes).ok()?.encode() == bytes)
        }));
    }
    for kind in DocumentKind::ALL {
        rows.push((kind.name(), encode_document(b"{}"), |bytes| {
            Some(encode_document(decode_document(DocumentKind::Policy, bytes).ok()?) == bytes)
        }));
    }
    for state in [GroupState::Active, GroupState::Deleting] {
        rows.push(("state", state.encode(), |bytes| Some(GroupState::decode(bytes).ok()?.encode() == bytes)));
    }
    rows.push(("epoch", encode_epoch(6), |bytes| Some(encode_epoch(decode_epoch(bytes).ok()?) == bytes)));
    rows
}

#[test]
fn what_is_written_is_read_back() {
    for head in [plain_head(), full_head(), Head { kind: HeadKind::DeleteMarker, ..plain_head() }] {
        assert_eq!(Head::decode(&head.encode()), Ok(head));
    }
    for body in bodies().into_iter().chain(sealed_elsewhere()) {
        assert_eq!(Body::decode(&body.encode()), Ok(body));
    }
    for upload in uploads() {
        assert_eq!(UploadRow::decode(&upload.encode()), Ok(upload));
    }
    assert_eq!(PartRow::decode(&part_row().encode()), Ok(part_row()));
    for bucket in buckets() {
        assert_eq!(BucketRow::decode(&bucket.encode()), Ok(bucket));
    }
    assert_eq!(decode_epoch(&encode_epoch(u32::MAX)), Ok(u32::MAX));
}

#[test]
fn the_bytes_of_a_head_are_those_of_the_specification() {
    let expected = [
        "01",                                 // version
        "01",                                 // an object
        "00",                                 // the null version
        "0200000000000000",                   // order
        "0300000000000000",                   // mtime
        "0500000000000000",                   // size
        "01e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1", // MD5
        "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1",   // content id
        "00",                                 // no storage class
        "00",                                 // no checksum
    ];
    let bytes = plain_head().encode();
    assert_eq!(hex::encode(&bytes), expected.concat());
    assert_eq!(bytes.len(), 62);
}

#[test]
fn the_bytes_of_content_that_was_sealed_as_another_are_those_of_the_specification() {
    let sse = SseRow::Group { key_id: 4, wrapped: Box::new([0x77; body::WRAPPED_LEN]) };
    let part = |number, place| PartAt { number, size: 6, blob: blob(place), checksum: None };
    let of = |content, blobs| {
        let sealed_as = Some(SealedAs { content: ContentId([0xC5; 16]), blobs });
        Body { sse: sse.clone(), content, sealed_as, meta: ObjectMeta::default() }
    };
    let place = |number: u8| format!("000000{number:02x}{}", hex::encode([number; 16]));
    let (one, two) = (place(1), place(2));
    let (once, twice) = (place(8), place(9));
    let parts = format!("03020000000100{size}{one}000700{size}{two}00", size = "0600000000000000");
    for (body, content) in [
        (of(ContentAt::Inline(vec![8; 3]), vec![]), "0103000000080808".to_owned()),
        (of(ContentAt::Blob(blob(1)), vec![blob(8)]), format!("02{one}{once}")),
        (of(ContentAt::Parts(vec![part(1, 1), part(7, 2)]), vec![blob(8), blob(9)]), parts + &once + &twice),
    ] {
        let bytes = body.encode();
        let before = 1 + 1 + 4 + body::WRAPPED_LEN;
        let meta = 7 + 4 + 4 + 1 + 1;
        let expected = format!("04{}{content}", hex::encode([0xC5; 16]));
        assert_eq!(hex::encode(&bytes[before..bytes.len() - meta]), expected);
    }
}

#[test]
fn content_is_sealed_as_one_other_and_a_blob_is_not_what_it_was() {
    let kind_at = 1 + 1 + 4 + body::WRAPPED_LEN;
    let mut once_more = sealed_elsewhere()[0].encode();
    assert_eq!(once_more[kind_at], 4);
    once_more[kind_at + 17] = 4;
    assert!(Body::decode(&once_more).is_err());
    let mut body = sealed_elsewhere().remove(2);
    let was = body.content.blobs()[1];
    body.sealed_as.as_mut().unwrap().blobs[1] = was;
    assert!(matches!(Body::decode(&body.encode()), Err(RowError::Malformed(_))));
}

#[test]
fn a_legal_hold_that_was_never_set_is_not_one_that_is_off() {
    let holds = [None, Some(LegalHold::On), Some(LegalHold::Off)];
    for (last, legal_hold) in (0..).zip(holds) {
        let body = Body { meta: ObjectMeta { legal_hold, ..meta() }, ..bodies().remove(0) };
        let mut bytes = body.encode();
        assert_eq!(bytes.last(), Some(&last));
        assert_eq!(Body::decode(&bytes), Ok(body));
        *bytes.last_mut().unwrap() = 3;
        assert!(matches!(Body::decode(&bytes), Err(RowError::Malformed(_))));
    }
}

#[test]
fn lengths_are_those_of_the_specification() {
    assert_eq!(
        full_head().encode().len(),
        1 + 1 + 17 + 8 + 8 + 8 + 19 + 16 + (1 + 4 + 11) + 1 + (4 + 8) + (4 + 32)
    );
    assert_eq!(part_row().encode().len(), 1 + 8 + 8 + 17 + 20 + 1 + 8);
    assert_eq!(GroupState::Active.encode(), [1, 1]);
    assert_eq!(encode_epoch(258), [1, 2, 1, 0, 0]);
    let empty_meta = 7 + 4 + 4 + 1 + 1;
    assert_eq!(bodies()[3].encode().len(), 1 + (1 + 4 + 116) + (1 + 4) + empty_meta);
}

#[test]
fn ten_thousand_parts_with_checksums_fit_in_a_row() {
    for algorithm in ChecksumAlgorithm::ALL {
        let value = ChecksumValue::new(algorithm, vec![1; algorithm.value_len()]).unwrap();
        let part =
            |number| PartAt { number, size: u64::MAX >> 20, blob: blob(1), checksum: Some(value.clone()) };
        let parts = (1..=10_000).map(part).collect();
        let body = Body { content: ContentAt::Parts(parts), ..bodies().remove(1) };
        let sealed_as = Some(SealedAs { content: ContentId([1; 16]), blobs: vec![blob(2); 10_000] });
        let named = Body { sealed_as, ..body.clone() };
        // The copies that have further names are made of the others alone.
        assert_eq!(body.content.has_room_for_names(), algorithm != ChecksumAlgorithm::Sha512);
        let fitting = if body.content.has_room_for_names() { vec![body, named] } else { vec![body] };
        for body in fitting {
            let bytes = body.encode();
            assert!(bytes.len() < strongroom_store::VALUE_LEN_MAX - 64 * 1024, "{}", bytes.len());
            assert_eq!(Body::decode(&bytes), Ok(body));
        }
    }
}

/// One of each kind of row that may name an algorithm, naming this one.
fn rows_naming(algorithm: ChecksumAlgorithm) -> Vec<Sample> {
    let value = ChecksumValue::new(algorithm, vec![5; algorithm.value_len()]).unwrap();
    let HeadKind::Object(object) = plain_head().kind else { panic!("it is an object") };
    let checksums = vec![Checksum { value: value.clone(), kind: ChecksumKind::FullObject, parts: 0 }];
    let head = Head { kind: HeadKind::Object(ObjectHead { checksums, ..object }), ..plain_head() };
    let part = PartAt { number: 1, size: 6, blob: blob(1), checksum: Some(value.clone()) };
    let body = Body { content: ContentAt::Parts(vec![part]), ..bodies().remove(0) };
    let upload = UploadRow { checksum: Some((algorithm, ChecksumKind::Composite)), ..uploads().remove(0) };
    vec![
        ("head", head.encode(), |bytes| Some(Head::decode(bytes).ok()?.encode() == bytes)),
        ("body", body.encode(), |bytes| Some(Body::decode(bytes).ok()?.encode() == bytes)),
        ("upload", upload.encode(), |bytes| Some(UploadRow::decode(bytes).ok()?.encode() == bytes)),
        ("part", PartRow { checksum: value, ..part_row() }.encode(), |bytes| {
            Some(PartRow::decode(bytes).ok()?.encode() == bytes)
        }),
    ]
}

#[test]
fn rows_have_the_second_version_exactly_if_they_name_an_algorithm_of_it() {
    for algorithm in ChecksumAlgorithm::ALL {
        let (version, other) = if algorithm > ChecksumAlgorithm::Sha256 { (2, 1) } else { (1, 2) };
        for (table, mut bytes, decode) in rows_naming(algorithm) {
            assert_eq!((bytes[0], decode(&bytes)), (version, Some(true)), "{table} of {algorithm:?}");
            bytes[0] = other;
            assert_eq!(decode(&bytes), None, "{table} of {algorithm:?}");
        }
    }
}

#[test]
fn the_bytes_of_checksums_are_those_of_the_specification() {
    let numbers: Vec<_> = ChecksumAlgorithm::ALL
        .iter()
        .map(|algorithm| (*algorithm as u8, algorithm.value_len(), algorithm.name()))
        .collect();
    assert_eq!(
        numbers,
        [
            (1, 4, "CRC32"),
            (2, 4, "CRC32C"),
            (3, 8, "CRC64NVME"),
            (4, 20, "SHA1"),
            (5, 32, "SHA256"),
            (6, 64, "SHA512"),
            (7, 16, "MD5"),
            (8, 8, "XXHASH64"),
            (9, 8, "XXHASH3"),
            (10, 16, "XXHASH128"),
        ]
    );
    let (_, head, _) = rows_naming(ChecksumAlgorithm::XxHash3).remove(0);
    // One checksum: XXHASH3, of the full object, of no parts.
    assert!(hex::encode(&head).ends_with("01090100000505050505050505"));
}

#[test]
fn newer_versions_are_told_from_damage() {
    for (table, mut bytes, decode) in all() {
        // Version 2 is that of rows with other checksums.
        for version in [2, 3] {
            bytes[0] = version;
            assert_eq!(decode(&bytes), None, "{table}");
        }
    }
    assert_eq!(Head::decode(&[3]), Err(RowError::TooNew(3)));
    assert_eq!(decode_epoch(&[2]), Err(RowError::TooNew(2)));
    assert!(matches!(Head::decode(&[0]), Err(RowError::Malformed(_))));
    assert!(matches!(Head::decode(&[]), Err(RowError::Malformed(_))));
}

#[test]
fn rows_that_are_cut_or_go_on_are_refused() {
    for (table, bytes, decode) in all() {
        assert_eq!(decode(&bytes), Some(true), "{table}");
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{table} of {length} bytes");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode(&longer), None, "{table} and a byte");
    }
}

#[test]
fn a_flipped_bit_gives_another_row_or_none_but_never_two_spellings_of_one() {
    for (table, bytes, decode) in all() {
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                assert_ne!(decode(&bytes), Some(false), "{table}, byte {at}, bit {bit}");
            }
        }
    }
}

proptest! {
    #[test]
    fn bytes_of_anything_do_not_panic(bytes: Vec<u8>) {
        let mut versioned = vec![1];
        versioned.extend_from_slice(&bytes);
        for (table, _, decode) in all() {
            prop_assert_ne!(decode(&bytes), Some(false), "{}", table);
            prop_assert_ne!(decode(&versioned), Some(false), "{}", table);
        }
        drop(upload_of_key(&bytes));
    }

    #[test]
    fn keys_order_as_names_do(one in "\\PC{1,6}|[\\x00-\\x02\u{10FFFF}a/]{1,4}", other in "\\PC{1,6}|[\\x00-\\x02\u{10FFFF}a/]{1,4}") {
        let (one, other) = (ObjectName::parse(one).unwrap(), ObjectName::parse(other).unwrap());
        let order = one.as_bytes().cmp(other.as_bytes());
        prop_assert_eq!(head_key(&one).cmp(&head_key(&other)), order);
        let (early, late) = (UploadId([0; 24]), UploadId([0xFF; 24]));
        if one != other {
            for (first, second) in [(early, late), (late, early)] {
                prop_assert_eq!(upload_key(&one, &first).cmp(&upload_key(&other, &second)), order);
            }
        }
        let key = upload_key(&one, &late);
        prop_assert_eq!(upload_of_key(&key), Some((one.clone(), late)));
        prop_assert!(key.starts_with(&uploads_of(one.as_bytes())) && key < end_of_prefix(&uploads_of(one.as_bytes())));
    }
}

const _: () = assert!(1050 <= strongroom_store::KEY_LEN_MAX);

#[test]
fn the_longest_name_fits_in_every_key() {
    for character in ["\0", "a", "\u{10FFFF}"] {
        let name = ObjectName::parse(character.repeat(1024 / character.len())).unwrap();
        let longest =
            upload_key(&name, &UploadId([0xFF; 24])).len().max(body_key(&name, &ContentId([0; 16])).len());
        assert!(longest <= 1050);
    }
}
