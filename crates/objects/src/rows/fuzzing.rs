//! Entry points for mangled rows.

use strongroom_seal::Envelope;
use strongroom_seal::fuzzing::Decoder;
use strongroom_store::GroupId;

use super::{
    BlobId, Body, BucketRow, ContentAt, ContentId, GroupState, Head, HeadKind, ObjectHead, PartAt, PartRow,
    RowError, SealedAs, SseRow, UploadRow, body, decode_epoch, encode_epoch, upload_key, upload_of_key,
};
use crate::events::{
    AuditEntry, AuditKind, Event, EventKey, EventKind, NotificationConfig, decode_told, encode_told,
    entry_key, event_key, event_of_key, seq_of_key,
};
use crate::{
    BucketSettings, Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumValue, DefaultEncryption,
    DocumentKind, ETag, LegalHold, ObjectMeta, ObjectName, Retention, RetentionMode, Timestamp, UploadId,
    VersionId, Versioning,
};

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder::new("objects/head", head_seeds, |bytes| row(bytes, Head::decode, Head::encode)),
    // A tag without name and value: eight bytes there, two strings here, in a list that grows by doubling.
    Decoder::new("objects/body", body_seeds, |bytes| row(bytes, Body::decode, Body::encode))
        .with_memory(4096, 24),
    Decoder::new("objects/upload", upload_seeds, |bytes| row(bytes, UploadRow::decode, UploadRow::encode))
        .with_memory(4096, 24),
    Decoder::new("objects/part", part_seeds, |bytes| row(bytes, PartRow::decode, PartRow::encode)),
    Decoder::new("objects/bucket", bucket_seeds, |bytes| row(bytes, BucketRow::decode, BucketRow::encode)),
    Decoder::new("objects/document", document_seeds, document),
    Decoder::new("objects/document key", document_key_seeds, of_document),
    Decoder::new("objects/null version", order_seeds, |bytes| {
        row(bytes, super::decode_order, |order| super::encode_order(*order))
    }),
    Decoder::new("objects/version key", version_key_seeds, of_version),
    Decoder::new("objects/state", state_seeds, |bytes| {
        row(bytes, GroupState::decode, |state| state.encode())
    }),
    Decoder::new("objects/epoch", epoch_seeds, |bytes| {
        row(bytes, decode_epoch, |epoch| encode_epoch(*epoch))
    }),
    Decoder::new("objects/event", event_seeds, |bytes| row(bytes, Event::decode, Event::encode)),
    Decoder::new("objects/event key", event_key_seeds, of_event),
    Decoder::new("objects/audit", audit_seeds, |bytes| {
        row(bytes, |bytes| AuditEntry::decode(1, bytes), AuditEntry::encode)
    }),
    Decoder::new("objects/told", told_seeds, |bytes| row(bytes, decode_told, |seq| encode_told(*seq))),
    Decoder::new("objects/notification", notification_seeds, of_notification),
    Decoder::new("objects/upload key", upload_key_seeds, of_upload),
    Decoder::new("objects/blob key", blob_key_seeds, of_blob),
    Decoder::new("objects/body key", body_key_seeds, of_body),
    Decoder::new("objects/audit key", audit_key_seeds, of_audit),
];

fn row<T>(bytes: &[u8], decode: fn(&[u8]) -> Result<T, RowError>, encode: fn(&T) -> Vec<u8>) -> bool {
    let Ok(row) = decode(bytes) else { return false };
    assert_eq!(encode(&row), bytes, "one encoding per value");
    true
}

fn value(algorithm: ChecksumAlgorithm) -> Option<ChecksumValue> {
    ChecksumValue::new(algorithm, vec![algorithm as u8; algorithm.value_len()])
}

fn checksums() -> Vec<Checksum> {
    let full = value(ChecksumAlgorithm::Crc64Nvme);
    let parts = value(ChecksumAlgorithm::Sha256);
    let full = full.map(|value| Checksum { value, kind: ChecksumKind::FullObject, parts: 0 });
    full.into_iter()
        .chain(parts.map(|value| Checksum { value, kind: ChecksumKind::Composite, parts: 3 }))
        .collect()
}

/// Those that rows of the second version have.
fn more_checksums() -> Vec<Checksum> {
    let full = |value| Checksum { value, kind: ChecksumKind::FullObject, parts: 0 };
    [ChecksumAlgorithm::Md5, ChecksumAlgorithm::XxHash3].into_iter().filter_map(value).map(full).collect()
}

fn head_seeds() -> Vec<Vec<u8>> {
    let object = |etag, storage_class, checksums| {
        HeadKind::Object(ObjectHead {
            size: 5,
            etag,
            content: ContentId([0xc1; 16]),
            storage_class,
            checksums,
        })
    };
    let head = |version, kind| {
        Head { version, order: version.order().unwrap_or(2), mtime: Timestamp(3), kind }.encode()
    };
    vec![
        head(VersionId::Null, object(ETag::Md5([0xe1; 16]), None, Vec::new())),
        head(
            VersionId::Id([9; 16]),
            object(ETag::Multipart { digest: [2; 16], parts: 3 }, Some("STANDARD_IA".into()), checksums()),
        ),
        head(VersionId::Null, object(ETag::Md5([0xe1; 16]), None, more_checksums())),
        head(VersionId::Null, HeadKind::DeleteMarker),
    ]
}

fn meta() -> ObjectMeta {
    let mut meta = ObjectMeta {
        user: vec![("z".into(), "1".into()), ("a".into(), "ü".into())],
        tags: vec![("tag".into(), String::new())],
        retention: Some(Retention { mode: RetentionMode::Compliance, until: Timestamp(99) }),
        legal_hold: Some(LegalHold::On),
        ..ObjectMeta::default()
    };
    meta.system.content_type = Some("text/plain".into());
    meta
}

fn sse() -> [SseRow; 5] {
    let envelope =
        Envelope { provider: "local".into(), key_id: "default".into(), key_version: 3, blob: vec![1, 2, 3] };
    let wrapped = Box::new([0x77; body::WRAPPED_LEN]);
    [
        SseRow::Group { key_id: 4, wrapped: wrapped.clone() },
        SseRow::Kms {
            envelope: Box::new(envelope.clone()),
            context: Some("{}".into()),
            wrapped: wrapped.clone(),
        },
        SseRow::Customer { salt: [5; 32], verifier: [6; 32], wrapped: wrapped.clone() },
        SseRow::Dsse {
            envelopes: Box::new([envelope.clone(), Envelope { key_version: 4, ..envelope.clone() }]),
            context: None,
            wrapped: [wrapped.clone(), Box::new([0x78; body::WRAPPED_LEN])],
        },
        SseRow::BucketKey { envelope: Box::new(envelope), context: None, wrapped },
    ]
}

fn blob(number: u8) -> BlobId {
    BlobId { epoch: number.into(), id: [number; 16] }
}

fn body_seeds() -> Vec<Vec<u8>> {
    let part = |number, checksum| PartAt { number, size: 5 << 20, blob: blob(3), checksum };
    let contents = [
        ContentAt::Inline(vec![8; 100]),
        ContentAt::Blob(blob(2)),
        ContentAt::Parts(vec![part(1, None), part(7, value(ChecksumAlgorithm::Crc32)), part(10_000, None)]),
        ContentAt::Inline(vec![9; 200]),
        ContentAt::Parts(vec![part(1, value(ChecksumAlgorithm::Sha512)), part(2, None)]),
    ];
    let own = sse()
        .into_iter()
        .zip(contents.clone())
        .map(|(sse, content)| Body { sse, content, sealed_as: None, meta: meta() }.encode());
    let sealed_elsewhere = sse().into_iter().zip(contents).map(|(sse, content)| {
        let blobs = content.blobs().iter().map(|_| blob(0x50)).collect();
        let sealed_as = Some(SealedAs { content: ContentId([0xc5; 16]), blobs });
        let meta = ObjectMeta { legal_hold: Some(LegalHold::Off), ..meta() };
        Body { sse, content, sealed_as, meta }.encode()
    });
    own.chain(sealed_elsewhere).collect()
}

fn upload_seeds() -> Vec<Vec<u8>> {
    let composite = |algorithm| Some((algorithm, ChecksumKind::Composite));
    let kinds = [None, composite(ChecksumAlgorithm::Sha1), composite(ChecksumAlgorithm::Sha512), None, None];
    let upload = |(sse, checksum)| {
        UploadRow { begun: Timestamp(5), content: ContentId([4; 16]), sse, checksum, meta: meta() }.encode()
    };
    sse().into_iter().zip(kinds).map(upload).collect()
}

fn part_seeds() -> Vec<Vec<u8>> {
    let part = |checksum| {
        PartRow { mtime: Timestamp(1), size: 2, etag: ETag::Opaque([3; 16]), blob: blob(9), checksum }
            .encode()
    };
    [ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::XxHash128]
        .into_iter()
        .filter_map(value)
        .map(part)
        .collect()
}

fn bucket_seeds() -> Vec<Vec<u8>> {
    let row = |settings| {
        let (group, created, owner) = (GroupId(7), Timestamp(8), "root".into());
        BucketRow { group, state: GroupState::Active, created, owner, settings }.encode()
    };
    let encryption = DefaultEncryption::Kms { key_id: Some("key".into()), bucket_key: true };
    let set = BucketSettings {
        versioning: Versioning::Suspended,
        encryption,
        customer_keys_blocked: true,
        nothing_blocked: false,
    };
    let nothing = BucketSettings { nothing_blocked: true, ..BucketSettings::default() };
    let with = |encryption| row(BucketSettings { encryption, ..BucketSettings::default() });
    vec![
        row(BucketSettings::default()),
        row(set),
        row(nothing),
        with(DefaultEncryption::Dsse { key_id: None, bucket_key: true }),
        with(DefaultEncryption::S3Set { bucket_key: false }),
    ]
}

fn document_seeds() -> Vec<Vec<u8>> {
    DocumentKind::ALL.map(|_| super::encode_document(br#"{"rules":[]}"#)).to_vec()
}

/// A document of each kind, since their limits differ.
fn document(bytes: &[u8]) -> bool {
    let mut any = false;
    for kind in DocumentKind::ALL {
        let Ok(document) = super::decode_document(kind, bytes) else { continue };
        assert_eq!(super::encode_document(document), bytes, "one encoding per value");
        any = true;
    }
    any
}

fn document_key_seeds() -> Vec<Vec<u8>> {
    DocumentKind::ALL.map(|kind| super::document_key(kind, GroupId(7))).to_vec()
}

fn of_document(key: &[u8]) -> bool {
    let Some((kind, group)) = super::document_of_key(key) else { return false };
    assert_eq!(super::document_key(kind, group), key, "one key per document");
    true
}

fn order_seeds() -> Vec<Vec<u8>> {
    vec![super::encode_order(7)]
}

fn version_key_seeds() -> Vec<Vec<u8>> {
    let name = ObjectName::parse("name").ok();
    let ids = [VersionId::Null, VersionId::Id([9; 16])];
    name.iter().flat_map(|name| ids.map(|id| super::version_key(name, 7, id))).collect()
}

fn of_version(key: &[u8]) -> bool {
    let Some((name, order, id)) = super::version_of_key(key) else { return false };
    if key.first() == Some(&super::table::VERSION) {
        assert_eq!(super::version_key(&name, order, id), key, "one key per version");
    }
    true
}

fn state_seeds() -> Vec<Vec<u8>> {
    vec![GroupState::Active.encode(), GroupState::Deleting.encode()]
}

fn epoch_seeds() -> Vec<Vec<u8>> {
    vec![encode_epoch(0), encode_epoch(u32::MAX)]
}

fn upload_key_seeds() -> Vec<Vec<u8>> {
    let names = ["name", "grüße/\u{10ffff}"].into_iter().filter_map(|name| ObjectName::parse(name).ok());
    names.map(|name| upload_key(&name, &UploadId([7; 24]))).collect()
}

fn of_upload(key: &[u8]) -> bool {
    let Some((name, id)) = upload_of_key(key) else { return false };
    assert_eq!(upload_key(&name, &id)[1..], key[1..], "one key per upload");
    true
}

fn blob_key_seeds() -> Vec<Vec<u8>> {
    vec![super::owner_key(&blob(4)), super::garbage_key(&blob(5))]
}

fn of_blob(key: &[u8]) -> bool {
    let Some(id) = BlobId::of_key(key) else { return false };
    assert_eq!(id.to_bytes(), key[1..], "one key per blob");
    true
}

fn event_seeds() -> Vec<Vec<u8>> {
    let Ok(name) = ObjectName::parse("a/b") else { return Vec::new() };
    let created = Event {
        kind: EventKind::CreatedPut,
        at: Timestamp(1),
        name,
        version: Some(VersionId::Id([7; 16])),
        size: Some(5),
        etag: Some("00".repeat(16)),
        rule: "rule".to_owned(),
        principal: "root".to_owned(),
        source: "127.0.0.1".to_owned(),
        request_id: "0".repeat(32),
    };
    let removed =
        Event { kind: EventKind::RemovedDelete, version: None, size: None, etag: None, ..created.clone() };
    vec![created.encode(), removed.encode()]
}

fn event_key_seeds() -> Vec<Vec<u8>> {
    vec![event_key("orders", EventKey { epoch: 3, count: 9 })]
}

fn of_event(bytes: &[u8]) -> bool {
    let Some((target, key)) = event_of_key(bytes) else { return false };
    assert_eq!(event_key(target, key), bytes, "one key per event");
    true
}

fn notification_seeds() -> Vec<Vec<u8>> {
    let rule = r#"{"rules":[{"id":"a","target":"arn:minio:sqs::orders:webhook","events":["s3:ObjectCreated:*","s3:ObjectTagging:Put"],"prefix":"in/"}]}"#;
    vec![rule.as_bytes().to_vec()]
}

/// What is read can be stored, and says the same.
fn of_notification(bytes: &[u8]) -> bool {
    let Ok(config) = NotificationConfig::from_document(bytes) else { return false };
    assert_eq!(NotificationConfig::from_document(&config.to_document()).as_ref(), Ok(&config));
    true
}

fn audit_seeds() -> Vec<Vec<u8>> {
    let (by, subject, detail) = ("root".to_owned(), "photos".to_owned(), "policy".to_owned());
    let kind = AuditKind::BucketSettingsChanged;
    vec![AuditEntry { seq: 1, at: Timestamp(1), kind, by, subject, detail }.encode()]
}

fn told_seeds() -> Vec<Vec<u8>> {
    vec![encode_told(3)]
}

fn body_key_seeds() -> Vec<Vec<u8>> {
    let name = ObjectName::parse("grüße/a").ok();
    name.iter().map(|name| super::body_key(name, &ContentId([7; 16]))).collect()
}

fn of_body(key: &[u8]) -> bool {
    let Some((name, id)) = super::body_of_key(key) else { return false };
    assert_eq!(super::body_key(&name, &id)[1..], key[1..], "one key per body");
    true
}

fn audit_key_seeds() -> Vec<Vec<u8>> {
    vec![entry_key(9)]
}

fn of_audit(key: &[u8]) -> bool {
    let Some(seq) = seq_of_key(key) else { return false };
    assert_eq!(entry_key(seq), key, "one key per entry");
    true
}
