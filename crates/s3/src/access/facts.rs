//! What a request says that conditions of policies may ask for.
//!
//! AWS, "Condition keys for Amazon S3". A header or parameter that comes twice would mean one thing to a condition
//! and another to the operation, so such a request is refused.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode, Uri};
use s3s::dto::CopySource;
use strongroom_iam::Facts;
use strongroom_objects::{SseApplied, kms_key_id};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::convert::tags_of_query;
use crate::error::ApiError;
use crate::request::RequestState;
use crate::sse::key_arn;

/// Headers whose value is a fact.
const HEADERS: [(&str, &str); 22] = [
    ("if-match", "s3:if-match"),
    ("if-none-match", "s3:if-none-match"),
    ("x-amz-acl", "s3:x-amz-acl"),
    ("x-amz-content-sha256", "s3:x-amz-content-sha256"),
    ("x-amz-grant-full-control", "s3:x-amz-grant-full-control"),
    ("x-amz-grant-read", "s3:x-amz-grant-read"),
    ("x-amz-grant-read-acp", "s3:x-amz-grant-read-acp"),
    ("x-amz-grant-write", "s3:x-amz-grant-write"),
    ("x-amz-grant-write-acp", "s3:x-amz-grant-write-acp"),
    ("x-amz-metadata-directive", "s3:x-amz-metadata-directive"),
    ("x-amz-object-lock-legal-hold", "s3:object-lock-legal-hold"),
    ("x-amz-object-lock-mode", "s3:object-lock-mode"),
    ("x-amz-object-lock-retain-until-date", "s3:object-lock-retain-until-date"),
    ("x-amz-object-ownership", "s3:x-amz-object-ownership"),
    ("x-amz-server-side-encryption", "s3:x-amz-server-side-encryption"),
    ("x-amz-server-side-encryption-customer-algorithm", "s3:x-amz-server-side-encryption-customer-algorithm"),
    ("x-amz-storage-class", "s3:x-amz-storage-class"),
    ("x-amz-website-redirect-location", "s3:x-amz-website-redirect-location"),
    // What decides which actions are needed must be clear as well, even if it is no fact.
    ("x-amz-tagging", ""),
    ("x-amz-tagging-directive", ""),
    ("x-amz-bypass-governance-retention", ""),
    ("x-amz-bucket-object-lock-enabled", ""),
];

/// A header that names a thing in one of several ways: the fact is the name that operations understand.
const COPY_SOURCE: &str = "x-amz-copy-source";
const KMS_KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";

/// Parameters whose value is a fact.
const PARAMETERS: [(&str, &str); 4] = [
    ("prefix", "s3:prefix"),
    ("delimiter", "s3:delimiter"),
    ("max-keys", "s3:max-keys"),
    ("versionId", "s3:versionid"),
];

/// The facts of a request.
pub(crate) fn of_request(
    uri: &Uri,
    headers: &HeaderMap,
    state: &RequestState,
    now: OffsetDateTime,
) -> Result<Facts, ApiError> {
    let mut facts = Facts::new();
    if let Some(peer) = state.peer() {
        facts.set("aws:sourceip", peer.ip().to_canonical().to_string());
    }
    facts.set("aws:securetransport", if state.secure() { "true" } else { "false" });
    if let Some(version) = state.tls_version() {
        facts.set("s3:tlsversion", version);
    }
    for (header, fact) in [("user-agent", "aws:useragent"), ("referer", "aws:referer")] {
        if let Some(value) = headers.get(header).and_then(|value| value.to_str().ok()) {
            facts.set(fact, value);
        }
    }
    let mut version = None;
    for (name, fact) in PARAMETERS {
        if let Some(value) = parameter(uri, name)? {
            if name == "versionId" {
                version = Some(value.to_string());
            }
            facts.set(fact, value);
        }
    }
    debug_assert!(version.is_none() || names_version(uri) || version.as_deref() == Some(""));
    for (header, fact) in HEADERS {
        let Some(value) = single(headers, header)? else { continue };
        if !fact.is_empty() {
            facts.set(fact, value);
        }
    }
    if let Some(source) = single(headers, COPY_SOURCE)? {
        facts.set("s3:x-amz-copy-source", source_name(source));
    }
    if let Some(key_id) = single(headers, KMS_KEY_ID)? {
        of_kms_key(&mut facts, key_id);
    }
    if let Some(days) = headers
        .get("x-amz-object-lock-retain-until-date")
        .and_then(|until| OffsetDateTime::parse(until.to_str().ok()?, &Rfc3339).ok())
        .map(|until| remaining_days(until, now))
    {
        facts.set("s3:object-lock-remaining-retention-days", days);
    }
    if let Some(tags) = headers.get("x-amz-tagging").and_then(|value| value.to_str().ok()) {
        of_tags(&mut facts, tags_of_query(tags)?.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    of_signature(&mut facts, uri, headers, state, now);
    Ok(facts)
}

/// Whether an upload's request makes the object or only prepares it, so that a policy can demand `If-None-Match` of those requests
/// that take it (AWS, "Enforce conditional writes on Amazon S3 buckets"). Other requests have no value.
pub(crate) fn of_operation(facts: &mut Facts, operation: &str) {
    let creates = match operation {
        "PutObject" | "PostObject" | "CopyObject" | "CompleteMultipartUpload" => "true",
        "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy" => "false",
        _ => return,
    };
    facts.set("s3:objectcreationoperation", creates);
}

/// The source of a copy as policies write it, `bucket/key`, of the many forms that the header has.
fn source_name(header: &str) -> Cow<'_, str> {
    match CopySource::parse(header) {
        Ok(CopySource::Bucket { bucket, key, .. }) => Cow::Owned(format!("{bucket}/{key}")),
        // The operation refuses it.
        _ => Cow::Borrowed(header),
    }
}

/// A key of the KMS as policies write it, of the three forms in which requests may name it.
pub(crate) fn of_kms_key(facts: &mut Facts, named: &str) {
    facts.set("s3:x-amz-server-side-encryption-aws-kms-key-id", key_arn(kms_key_id(named)));
}

/// What the parts of an upload are encrypted with, as if each of them said so.
pub(crate) fn of_upload(facts: &mut Facts, applied: &SseApplied) {
    const SSE: &str = "s3:x-amz-server-side-encryption";
    match applied {
        SseApplied::S3 => facts.set(SSE, "AES256"),
        SseApplied::Kms { key_id, .. } => {
            facts.set(SSE, "aws:kms");
            of_kms_key(facts, key_id);
        }
        SseApplied::Dsse { key_id, .. } => {
            facts.set(SSE, "aws:kms:dsse");
            of_kms_key(facts, key_id);
        }
        SseApplied::Customer { .. } => {
            facts.set("s3:x-amz-server-side-encryption-customer-algorithm", "AES256");
        }
    }
}

/// Whether the request names a version of its object.
pub(crate) fn names_version(uri: &Uri) -> bool {
    matches!(parameter(uri, "versionId"), Ok(Some(version)) if !version.is_empty())
}

/// The version that the request names.
pub(crate) fn version(uri: &Uri) -> Option<String> {
    parameter(uri, "versionId").ok().flatten().filter(|version| !version.is_empty()).map(Cow::into_owned)
}

/// The upload that the request names.
pub(crate) fn upload(uri: &Uri) -> Option<String> {
    parameter(uri, "uploadId").ok().flatten().map(Cow::into_owned)
}

/// Tags that the request brings.
pub(crate) fn of_tags<'a>(facts: &mut Facts, tags: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in tags {
        // A tag without a name is refused by the operation.
        if !name.is_empty() {
            facts.add("s3:requestobjecttagkeys", name);
            facts.set_tag("s3:requestobjecttag/", name, value);
        }
    }
}

/// Days until then, begun ones counted.
pub(crate) fn remaining_days(until: OffsetDateTime, now: OffsetDateTime) -> String {
    const DAY: i64 = 24 * 60 * 60;
    let seconds = (until - now).whole_seconds();
    (seconds.div_euclid(DAY) + i64::from(seconds.rem_euclid(DAY) > 0)).to_string()
}

fn of_signature(
    facts: &mut Facts,
    uri: &Uri,
    headers: &HeaderMap,
    state: &RequestState,
    now: OffsetDateTime,
) {
    const STAMP: &[BorrowedFormatItem<'_>] =
        format_description!("[year][month][day]T[hour][minute][second]Z");
    if state.is_form() {
        facts.set("s3:authtype", "POST");
        facts.set("s3:signatureversion", "AWS4-HMAC-SHA256");
        return;
    }
    let query = uri.query().unwrap_or_default();
    let Some(signed) = state.signed() else {
        if query.split('&').any(|pair| pair.starts_with("Signature=")) {
            facts.set("s3:authtype", "REST-QUERY-STRING");
            facts.set("s3:signatureversion", "AWS");
        }
        return;
    };
    facts.set("s3:authtype", if signed.presigned() { "REST-QUERY-STRING" } else { "REST-HEADER" });
    facts.set("s3:signatureversion", "AWS4-HMAC-SHA256");
    let in_header = headers.get("x-amz-date").and_then(|value| value.to_str().ok()).map(Cow::Borrowed);
    let stamp = if signed.presigned() { parameter(uri, "X-Amz-Date").ok().flatten() } else { in_header };
    if let Some(at) = stamp.and_then(|stamp| PrimitiveDateTime::parse(&stamp, STAMP).ok()) {
        facts.set("s3:signatureage", (now - at.assume_utc()).whole_milliseconds().max(0).to_string());
    }
}

/// The value of a parameter, as the protocol library reads it.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Result<Option<Cow<'a, str>>, ApiError> {
    let query = uri.query().unwrap_or_default();
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(given, _)| given == name);
    match (values.next(), values.next()) {
        (found, None) => Ok(found.map(|(_, value)| value)),
        (_, Some(_)) => Err(twice(name)),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (found, None) => Ok(found.and_then(|value| value.to_str().ok())),
        (_, Some(_)) => Err(twice(name)),
    }
}

fn twice(name: &str) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "InvalidArgument",
        "A header or parameter was given more than once.",
    )
    .field("ArgumentName", name)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use strongroom_telemetry::RequestId;
    use time::macros::datetime;

    use super::*;
    use crate::sigv4::Signed;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn of(uri: &str, headers: &[(&'static str, &'static str)]) -> Result<String, ApiError> {
        let state = RequestState::new(
            RequestId::from_random([0; 16]),
            false,
            Some("[::ffff:10.1.2.3]:99".parse().unwrap()),
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let uri: Uri = uri.parse().unwrap();
        if let Some(signed) = Signed::parse(uri.query().unwrap_or_default(), &map) {
            state.set_signed(signed);
        }
        Ok(format!("{:?}", of_request(&uri, &map, &state, NOW)?))
    }

    #[test]
    fn addresses_are_those_that_policies_write() {
        assert!(of("/b", &[]).unwrap().contains("\"10.1.2.3\""));
    }

    #[test]
    fn what_is_given_twice_is_refused() {
        assert_eq!(of("/b?prefix=a&prefix=b", &[]).unwrap_err().code, "InvalidArgument");
        assert_eq!(of("/b?versionId=a&version%49d=b", &[]).unwrap_err().code, "InvalidArgument");
        let sse = "x-amz-server-side-encryption";
        assert_eq!(of("/b/k", &[(sse, "aws:kms"), (sse, "AES256")]).unwrap_err().code, "InvalidArgument");
        let tagging = "x-amz-tagging";
        assert_eq!(of("/b/k", &[(tagging, "a=1"), (tagging, "")]).unwrap_err().code, "InvalidArgument");
    }

    #[test]
    fn parameters_are_decoded_as_the_operation_reads_them() {
        let facts = of("/b?prefix=a%2Fb+c&delimiter=%2F&max-keys=5", &[]).unwrap();
        for value in ["\"a/b c\"", "\"/\"", "\"5\""] {
            assert!(facts.contains(value), "{facts}");
        }
        assert!(names_version(&"/b/k?versionId=null".parse().unwrap()));
        assert!(!names_version(&"/b/k?versionId=".parse().unwrap()));
    }

    #[test]
    fn source_of_a_copy_has_one_name_however_it_is_written() {
        for header in [
            "bkt/secret/x y",
            "/bkt/secret/x y",
            "bkt/secret/x%20y",
            "bkt/%73ecret/x%20y",
            "%2Fbkt/secret%2Fx y",
            "bkt/secret/x y?versionId=null",
        ] {
            let facts = of("/bkt/k", &[("x-amz-copy-source", header)]).unwrap();
            assert!(facts.contains("\"bkt/secret/x y\""), "{header}: {facts}");
        }
    }

    #[test]
    fn key_of_the_kms_has_one_name_however_it_is_written() {
        for header in ["k1", "arn:aws:kms:::key/k1", "arn:aws:kms:us-east-1:1111:key/k1"] {
            let facts = of("/b/k", &[("x-amz-server-side-encryption-aws-kms-key-id", header)]).unwrap();
            assert!(facts.contains("\"arn:aws:kms:::key/k1\""), "{header}: {facts}");
        }
    }

    #[test]
    fn begun_days_of_retention_count() {
        assert_eq!(remaining_days(NOW + time::Duration::hours(24), NOW), "1");
        assert_eq!(remaining_days(NOW + time::Duration::hours(25), NOW), "2");
        assert_eq!(remaining_days(NOW, NOW), "0");
        assert_eq!(remaining_days(NOW - time::Duration::hours(25), NOW), "-1");
    }

    #[test]
    fn age_and_kind_of_a_signature_are_known() {
        let authorization =
            "AWS4-HMAC-SHA256 Credential=a/20260102/r/s3/aws4_request, SignedHeaders=host, Signature=0";
        let facts =
            of("/b", &[("authorization", authorization), ("x-amz-date", "20260102T030400Z")]).unwrap();
        assert!(facts.contains("\"5000\"") && facts.contains("\"REST-HEADER\""), "{facts}");
        let facts = of("/b?X-Amz-Signature=0&X-Amz-Date=20260102T030403Z", &[]).unwrap();
        assert!(facts.contains("\"2000\"") && facts.contains("\"REST-QUERY-STRING\""), "{facts}");
        assert!(of("/b?Signature=0", &[]).unwrap().contains("\"AWS\""));
    }
}
