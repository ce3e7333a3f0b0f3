//! Entry points for tests that hand mangled bytes to the readers of this crate. Only with the feature `fuzzing`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_seal::fuzzing::Decoder;

use crate::lifecycle::{LifecycleConfig, Subject};
use crate::object_lock::{DefaultRetention, RetentionPeriod};
use crate::range::range_bytes;
use crate::request::RangeRequest;
use crate::scan::common_prefix;
use crate::{
    BucketName, ChecksumAlgorithm, ChecksumValue, ObjectLockConfig, ObjectName, PublicAccessBlock,
    RetentionMode, Timestamp, UploadId, VersionId,
};

/// The readers of this crate.
pub fn decoders() -> impl Iterator<Item = &'static Decoder> {
    HERE.iter().chain(crate::rows::fuzzing::DECODERS)
}

const HERE: &[Decoder] = &[
    Decoder::new(
        "objects/bucket name",
        || vec![b"a-bucket.1".to_vec()],
        |bytes| text(bytes, |text| BucketName::parse(text).ok().map(|name| name.to_string())),
    ),
    Decoder::new(
        "objects/object name",
        || vec!["a/b ü".into(), vec![b'k'; 1024]],
        |bytes| text(bytes, |text| ObjectName::parse(text).ok().map(|name| name.to_string())),
    ),
    Decoder::new(
        "objects/version id",
        || vec![b"null".to_vec(), vec![b'7'; 32]],
        |bytes| text(bytes, |text| VersionId::parse(text).ok().map(|id| id.to_string())),
    ),
    Decoder::new(
        "objects/upload id",
        || vec![vec![b'a'; 48]],
        |bytes| text(bytes, |text| UploadId::parse(text).ok().map(|id| id.to_string())),
    ),
    Decoder::new("objects/checksum", checksum_seeds, checksum),
    Decoder::new("objects/range", range_seeds, range),
    Decoder::new("objects/delimiter", delimiter_seeds, delimiter),
    // The shortest tag has seven bytes and becomes two strings, in a list that grows by doubling.
    Decoder::new("objects/lifecycle rules", lifecycle_seeds, lifecycle).with_memory(4096, 80),
    Decoder::new("objects/bucket tags", crate::documents::tag_seeds, crate::documents::read_tags)
        .with_memory(4096, 80),
    Decoder::new("objects/public access block", block_seeds, block),
    Decoder::new("objects/object lock", lock_seeds, lock),
];

fn lifecycle_seeds() -> Vec<Vec<u8>> {
    let rule = |expiration: &str| {
        let filter = r#"{"outside":false,"prefix":"a/","tags":[["k","v"]],"larger_than":1,"smaller_than":9}"#;
        let noncurrent = r#"{"days":3,"newer":2}"#;
        let text = format!(
            r#"{{"rules":[{{"id":"a","enabled":true,"filter":{filter},"expiration":{expiration},"noncurrent":{noncurrent},"abort_uploads_after_days":7}}]}}"#
        );
        text.into_bytes()
    };
    [r#"{"days":30}"#, r#"{"date":1577836800000}"#, r#""delete_markers""#].map(rule).to_vec()
}

fn lifecycle(bytes: &[u8]) -> bool {
    let Some(config) = json::<LifecycleConfig>(bytes) else { return false };
    // Whatever it says, it can be asked.
    let _checked = config.check();
    let Ok(name) = ObjectName::parse("a/name") else { return false };
    let tags = vec![("k".to_owned(), "v".to_owned())];
    for (mtime, size) in [(Timestamp(0), Some(5)), (Timestamp(u64::MAX), None)] {
        let subject = Subject { name: &name, mtime, size, tags: &tags };
        let _due = (config.current_expires(&subject), config.lone_marker_expires(&subject));
        let _due = config.noncurrent_expires(&subject, mtime, 3);
        let _due = config.upload_expires(&name, mtime);
    }
    true
}

fn block_seeds() -> Vec<Vec<u8>> {
    [Some(PublicAccessBlock::ALL), None].map(|block| crate::documents::to_json(&block)).to_vec()
}

fn block(bytes: &[u8]) -> bool {
    json::<Option<PublicAccessBlock>>(bytes).is_some()
}

fn lock_seeds() -> Vec<Vec<u8>> {
    let governance = DefaultRetention { mode: RetentionMode::Governance, period: RetentionPeriod::Days(3) };
    let compliance =
        DefaultRetention { mode: RetentionMode::Compliance, period: RetentionPeriod::Years(100) };
    [None, Some(governance), Some(compliance)]
        .map(|default| crate::documents::to_json(&ObjectLockConfig { default }))
        .to_vec()
}

fn lock(bytes: &[u8]) -> bool {
    json::<ObjectLockConfig>(bytes).is_some()
}

/// A document that is JSON says the same when it is written anew.
pub(crate) fn json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let document: T = serde_json::from_slice(bytes).ok()?;
    let again = crate::documents::to_json(&document);
    assert_eq!(serde_json::from_slice::<T>(&again).ok().as_ref(), Some(&document), "it says the same again");
    Some(document)
}

/// What is parsed is shown as the same text.
fn text(bytes: &[u8], parsed: fn(&str) -> Option<String>) -> bool {
    let Some(shown) = std::str::from_utf8(bytes).ok().and_then(parsed) else { return false };
    assert_eq!(shown.as_bytes(), bytes, "one spelling per value");
    true
}

fn checksum_seeds() -> Vec<Vec<u8>> {
    let of = |algorithm| ChecksumValue::of(algorithm, &[bytes::Bytes::from_static(b"strongroom")]);
    ChecksumAlgorithm::ALL.map(|algorithm| of(algorithm).to_string().into_bytes()).to_vec()
}

fn checksum(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut any = false;
    for value in
        ChecksumAlgorithm::ALL.into_iter().filter_map(|algorithm| ChecksumValue::parse(algorithm, text))
    {
        assert_eq!(value.to_string(), text, "one spelling per value");
        any = true;
    }
    any
}

fn range_seeds() -> Vec<Vec<u8>> {
    let request = |kind: u8, numbers: [u64; 3]| {
        numbers.into_iter().fold(vec![kind], |mut out, number| {
            out.extend_from_slice(&number.to_le_bytes());
            out
        })
    };
    vec![
        request(0, [10, 3, 5]),
        request(1, [10, 0, 0]),
        request(2, [10, 4, 0]),
        request(2, [u64::MAX, u64::MAX, 0]),
    ]
}

/// A range of an object of any size.
fn range(bytes: &[u8]) -> bool {
    let Ok(&[kind, ref numbers @ ..]) = <&[u8; 25]>::try_from(bytes) else { return false };
    let mut numbers = numbers
        .chunks_exact(8)
        .map(|field| field.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    let mut next = || numbers.next().unwrap_or_default();
    let (size, first, last) = (next(), next(), next());
    let request = match kind {
        0 => RangeRequest::From { first, last: Some(last) },
        1 => RangeRequest::From { first, last: None },
        _ => RangeRequest::Suffix(first),
    };
    let Ok(found) = range_bytes(request, size) else { return false };
    assert!(found.start < found.end && found.end <= size, "some bytes of the object");
    true
}

fn delimiter_seeds() -> Vec<Vec<u8>> {
    vec![b"photos/2026/a.jpg\0photos/\0/".to_vec(), "größe-2-3\0grö\0-".into()]
}

/// A name, a prefix that it has and a delimiter.
fn delimiter(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut parts = text.splitn(3, '\0');
    let (Some(name), Some(prefix), Some(delimiter)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    // A scan only meets names with the prefix.
    if !name.starts_with(prefix) {
        return false;
    }
    let Some(common) = common_prefix(name, prefix, Some(delimiter)) else { return false };
    assert!(
        name.starts_with(common)
            && common.ends_with(delimiter)
            && common.len() >= prefix.len() + delimiter.len()
    );
    assert_eq!(common_prefix(common, prefix, Some(delimiter)), Some(common), "it is its own common prefix");
    true
}
