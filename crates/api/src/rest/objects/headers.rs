//! What headers say of an object: its metadata, what is asked for of it, what is answered.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use strongroom_objects::request::RangeRequest;
use strongroom_objects::{
    ETag, EntityTags, IfRange, ObjectMeta, ReadConditions, SystemMeta, Timestamp, WriteConditions,
};

use crate::refusal::Refusal;

/// Users' own metadata.
const USER_META: &str = "x-amz-meta-";

/// The text of a header that may stand once.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let invalid = |what: &str| Refusal::bad_request("InvalidHeader", format!("The header {name} {what}."));
    if values.next().is_some() {
        return Err(invalid("stands more than once"));
    }
    value.to_str().map(Some).map_err(|_| invalid("has characters that are not printable ASCII"))
}

/// The metadata of an object that is stored.
pub(super) fn meta(headers: &HeaderMap) -> Result<ObjectMeta, Refusal> {
    let of = |name: HeaderName| Ok::<_, Refusal>(text(headers, name.as_str())?.map(str::to_owned));
    let system = SystemMeta {
        content_type: of(CONTENT_TYPE)?,
        content_encoding: of(CONTENT_ENCODING)?,
        content_language: of(CONTENT_LANGUAGE)?,
        content_disposition: of(CONTENT_DISPOSITION)?,
        cache_control: of(CACHE_CONTROL)?,
        expires: of(EXPIRES)?,
        ..SystemMeta::default()
    };
    let mut user = Vec::new();
    for name in headers.keys() {
        if let Some(own) = name.as_str().strip_prefix(USER_META) {
            user.push((own.to_owned(), text(headers, name.as_str())?.unwrap_or_default().to_owned()));
        }
    }
    Ok(ObjectMeta { system, user, ..ObjectMeta::default() })
}

/// Refuses headers of S3 that mean nothing here: a client that sends one relies on it.
pub(super) fn refuse_others(headers: &HeaderMap, known: &[&str]) -> Result<(), Refusal> {
    let unknown = headers
        .keys()
        .map(HeaderName::as_str)
        .find(|name| name.starts_with("x-amz-") && !name.starts_with(USER_META) && !known.contains(name));
    match unknown {
        None => Ok(()),
        Some(name) => {
            Err(Refusal::bad_request("InvalidHeader", format!("The header {name} is not known here.")))
        }
    }
}

/// Content-MD5.
pub(super) fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>, Refusal> {
    let invalid = || Refusal::bad_request("InvalidDigest", "Content-MD5 is not the Base64 of sixteen bytes.");
    text(headers, "content-md5")?
        .map(|text| STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(invalid))
        .transpose()
}

/// If-Match and If-None-Match of a write.
pub(super) fn write_conditions(headers: &HeaderMap) -> Result<WriteConditions, Refusal> {
    Ok(WriteConditions {
        if_match: tags(headers, IF_MATCH, Comparison::Strong)?,
        if_none_match: tags(headers, IF_NONE_MATCH, Comparison::Weak)?,
    })
}

/// The conditions of a read.
pub(super) fn read_conditions(headers: &HeaderMap) -> Result<ReadConditions, Refusal> {
    Ok(ReadConditions {
        if_match: tags(headers, IF_MATCH, Comparison::Strong)?,
        if_none_match: tags(headers, IF_NONE_MATCH, Comparison::Weak)?,
        if_modified_since: time(headers, IF_MODIFIED_SINCE),
        if_unmodified_since: time(headers, IF_UNMODIFIED_SINCE),
        if_range: headers.contains_key(IF_RANGE).then(|| if_range(headers)),
    })
}

/// If-Range. What cannot be compared strongly matches nothing, and the whole object is answered.
fn if_range(headers: &HeaderMap) -> IfRange {
    let text = headers.get(IF_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    match text.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
        Some(tag) => IfRange::Tag(tag.to_owned()),
        None => time(headers, IF_RANGE).map_or(IfRange::Never, IfRange::Date),
    }
}

/// How entity tags are compared (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Weak tags equal nothing.
    Strong,
    Weak,
}

/// If-Match of a delete.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<EntityTags>, Refusal> {
    tags(headers, IF_MATCH, Comparison::Strong)
}

fn tags(headers: &HeaderMap, name: HeaderName, how: Comparison) -> Result<Option<EntityTags>, Refusal> {
    let Some(text) = text(headers, name.as_str())? else { return Ok(None) };
    if text.trim() == "*" {
        return Ok(Some(EntityTags::Any));
    }
    // Tags of ours have no commas, so one that has is none of ours however it is cut.
    let mut tags = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (weak, part) = part.strip_prefix("W/").map_or((false, part), |part| (true, part));
        // Some clients leave the quotes out.
        let tag = part.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(part);
        if !weak || how == Comparison::Weak {
            tags.push(tag.to_owned());
        }
    }
    Ok(Some(EntityTags::Tags(tags)))
}

/// A time that cannot be read is no condition (RFC 9110 §13.1.3).
fn time(headers: &HeaderMap, name: HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    let at = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp(u64::try_from(at.as_millisecond()).unwrap_or(0)))
}

/// The bytes that are asked for. What is no single range of bytes asks for all (RFC 9110 §14.2).
pub(super) fn range(headers: &HeaderMap) -> Option<RangeRequest> {
    let text = headers.get(RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
    let (first, last) = text.trim().split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    match (first, last) {
        ("", last) => Some(RangeRequest::Suffix(number(last)?)),
        (first, "") => Some(RangeRequest::From { first: number(first)?, last: None }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeRequest::From { first, last: Some(last) })
        }
    }
}

/// An entity tag with its quotes.
pub(in crate::rest) fn quoted(etag: &ETag) -> String {
    format!("\"{etag}\"")
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

/// A time as HTTP headers have it.
pub(in crate::rest) fn http_date(at: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&instant(at)).unwrap_or_default()
}

/// A time as JSON has it (RFC 3339).
pub(in crate::rest) fn json_time(at: Timestamp) -> String {
    instant(at).to_string()
}

/// Puts an object's metadata into an answer.
pub(super) fn answer_meta(headers: &mut HeaderMap, meta: &ObjectMeta) {
    let system = &meta.system;
    // What S3 says of objects without a type.
    let content_type = system.content_type.as_deref().unwrap_or("binary/octet-stream");
    put(headers, CONTENT_TYPE, content_type);
    for (name, value) in [
        (CONTENT_ENCODING, &system.content_encoding),
        (CONTENT_LANGUAGE, &system.content_language),
        (CONTENT_DISPOSITION, &system.content_disposition),
        (CACHE_CONTROL, &system.cache_control),
        (EXPIRES, &system.expires),
    ] {
        if let Some(value) = value {
            put(headers, name, value);
        }
    }
    for (name, value) in &meta.user {
        if let Ok(name) = HeaderName::try_from(format!("{USER_META}{name}")) {
            put(headers, name, value);
        }
    }
}

/// Sets a header if its value can be in one: what S3 stored may be more than ASCII.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn ranges_are_read_and_what_is_none_asks_for_all() {
        let of = |text: &str| range(&with("range", text));
        assert_eq!(of("bytes=0-9"), Some(RangeRequest::From { first: 0, last: Some(9) }));
        assert_eq!(of("bytes=7-"), Some(RangeRequest::From { first: 7, last: None }));
        assert_eq!(of("bytes=-5"), Some(RangeRequest::Suffix(5)));
        for all in ["bytes=9-0", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=+1-2", "bytes"]
        {
            assert_eq!(of(all), None, "{all}");
        }
    }

    #[test]
    fn entity_tags_are_compared_as_the_condition_says() {
        let tags = |text: &str| EntityTags::Tags(text.split(' ').map(str::to_owned).collect());
        let both = |text: &str| {
            let mut headers = with("if-match", text);
            headers.insert("if-none-match", text.parse().unwrap());
            let conditions = write_conditions(&headers).unwrap();
            (conditions.if_match.unwrap(), conditions.if_none_match.unwrap())
        };
        assert_eq!(both("*"), (EntityTags::Any, EntityTags::Any));
        assert_eq!(both("\"a\", b"), (tags("a b"), tags("a b")));
        assert_eq!(both("W/\"a\"").0, EntityTags::Tags(vec![]), "a weak tag matches nothing strongly");
        assert_eq!(both("W/\"a\"").1, tags("a"));
    }

    #[test]
    fn times_are_read_and_written_as_http_has_them() {
        let at = Timestamp(1_700_000_000_000);
        assert_eq!(http_date(at), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(json_time(at), "2023-11-14T22:13:20Z");
        let read = |text| time(&with("if-modified-since", text), IF_MODIFIED_SINCE);
        assert_eq!(read("Tue, 14 Nov 2023 22:13:20 GMT"), Some(at));
        assert_eq!(read("yesterday"), None);
    }

    #[test]
    fn header_that_stands_twice_is_refused() {
        let mut headers = with("content-type", "a/b");
        headers.append("content-type", "c/d".parse().unwrap());
        assert!(meta(&headers).is_err());
    }

    #[test]
    fn unknown_headers_of_s3_are_refused_and_metadata_is_not() {
        assert!(refuse_others(&with("x-amz-meta-a", "b"), &[]).is_ok());
        assert!(refuse_others(&with("x-amz-acl", "private"), &[]).is_err());
        assert!(refuse_others(&with("x-amz-acl", "private"), &["x-amz-acl"]).is_ok());
    }
}
