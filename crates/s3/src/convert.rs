//! Between the library's request and answer types and those of `objects`.

use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderName};
use jiff::fmt::rfc2822::DateTimePrinter;
use s3s::dto;
use strongroom_objects::request::RangeRequest;
use strongroom_objects::{
    BucketName, ETag, EntityTags, IfRange, LegalHold, ObjectMeta, ObjectName, PartNumber, ReadConditions,
    Retention, SystemMeta, Tags, Timestamp, UploadId, VersionId, WriteConditions,
};
use time::OffsetDateTime;

use crate::error::{ApiError, messages, no_such_upload};
use crate::tag_list;

/// The time of whole seconds, as HTTP writes it (RFC 9110 section 5.6.7). Not by `time`, which the library brings: each answer
/// with an object has one, and it takes several times as long.
pub(crate) fn http_date(at: Timestamp) -> String {
    let at = i64::try_from(at.seconds()).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at.unwrap_or(jiff::Timestamp::MAX))
        .unwrap_or_default()
}

fn instant(at: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    let within = time::Duration::milliseconds((at.0 % 1000).cast_signed());
    OffsetDateTime::from_unix_timestamp(seconds).map_or(OffsetDateTime::UNIX_EPOCH, |second| second + within)
}

/// A time in an answer.
pub(crate) fn time_out(at: Timestamp) -> dto::Timestamp {
    instant(at).into()
}

/// A time in a request. What lies before 1970 is 1970: no object is older.
pub(crate) fn time_in(at: dto::Timestamp) -> Timestamp {
    let at: OffsetDateTime = at.into();
    Timestamp(u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}

/// An entity tag with its quotes.
pub(crate) fn quoted(etag: &ETag) -> String {
    format!("\"{etag}\"")
}

/// An entity tag in an answer.
pub(crate) fn etag_out(etag: &ETag) -> dto::ETag {
    dto::ETag::Strong(etag.to_string())
}

pub(crate) fn bucket_name(text: &str) -> Result<BucketName, ApiError> {
    BucketName::parse(text).map_err(|_| {
        ApiError::new(
            http::StatusCode::BAD_REQUEST,
            "InvalidBucketName",
            "The specified bucket is not valid.",
        )
        .field("BucketName", text)
    })
}

pub(crate) fn object_name(text: String) -> Result<ObjectName, ApiError> {
    let size = text.len();
    ObjectName::parse(text).map_err(|_| {
        ApiError::new(http::StatusCode::BAD_REQUEST, "KeyTooLongError", "Your key is too long")
            .field("Size", size)
            .field("MaxSizeAllowed", strongroom_objects::OBJECT_NAME_LEN_MAX)
    })
}

/// `versionId`.
pub(crate) fn version_in(text: Option<&str>) -> Result<Option<VersionId>, ApiError> {
    text.map(|text| version_of("versionId", text)).transpose()
}

/// A version id in the parameter `name`.
pub(crate) fn version_of(name: &'static str, text: &str) -> Result<VersionId, ApiError> {
    VersionId::parse(text).map_err(|_| {
        let message = match text {
            "" => "Version id cannot be the empty string",
            _ => "Invalid version id specified",
        };
        ApiError::invalid_argument(name, text, message)
    })
}

/// The version header of answers: buckets that never had versions send none.
pub(crate) fn version_out(version: Option<VersionId>) -> Option<String> {
    version.map(|version| version.to_string())
}

/// `uploadId`.
pub(crate) fn upload_id(text: &str) -> Result<UploadId, ApiError> {
    UploadId::parse(text).map_err(|_| no_such_upload(text))
}

/// `partNumber` of an upload.
pub(crate) fn part_number(number: i32) -> Result<PartNumber, ApiError> {
    u32::try_from(number)
        .ok()
        .and_then(PartNumber::new)
        .ok_or_else(|| ApiError::invalid_argument("partNumber", number, messages::PART_NUMBER))
}

/// A limit of a listing: at most 1000, and not negative. `name` is AWS's, which is not always the parameter's.
pub(crate) fn page_size(name: &'static str, asked: Option<i32>) -> Result<u32, ApiError> {
    let asked = asked.unwrap_or(1000);
    u32::try_from(asked).map(|count| count.min(1000)).map_err(|_| {
        ApiError::invalid_argument(
            name,
            asked,
            format!("Argument {name} must be an integer between 0 and 2147483647"),
        )
    })
}

pub(crate) fn range_in(range: dto::Range) -> RangeRequest {
    match range {
        dto::Range::Int { first, last } => RangeRequest::From { first, last },
        dto::Range::Suffix { length } => RangeRequest::Suffix(length),
    }
}

/// A size in an answer.
pub(crate) fn size_out(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The tags of a condition. Strong comparison (If-Match) leaves weak tags out: none of ours is weak.
fn tags_in(condition: dto::ETagCondition, weak_too: bool) -> EntityTags {
    match condition {
        dto::ETagCondition::Any => EntityTags::Any,
        dto::ETagCondition::ETag(dto::ETag::Weak(tag)) if weak_too => EntityTags::Tags(vec![tag]),
        dto::ETagCondition::ETag(dto::ETag::Weak(_)) => EntityTags::Tags(Vec::new()),
        dto::ETagCondition::ETag(dto::ETag::Strong(tag)) => EntityTags::Tags(vec![tag]),
    }
}

pub(crate) fn if_match(condition: Option<dto::ETagCondition>) -> Option<EntityTags> {
    condition.map(|condition| tags_in(condition, false))
}

/// Each tag of what may be a list.
fn each(tags: EntityTags) -> EntityTags {
    match tags {
        EntityTags::Tags(tags) => {
            EntityTags::Tags(tags.iter().flat_map(|tag| tag_list::apart(tag)).collect())
        }
        any => any,
    }
}

pub(crate) fn read_conditions(
    if_match_: Option<dto::ETagCondition>,
    if_none_match: Option<dto::ETagCondition>,
    if_modified_since: Option<dto::Timestamp>,
    if_unmodified_since: Option<dto::Timestamp>,
) -> ReadConditions {
    ReadConditions {
        if_match: if_match(if_match_).map(each),
        if_none_match: if_none_match.map(|condition| each(tags_in(condition, true))),
        if_modified_since: if_modified_since.map(time_in),
        if_unmodified_since: if_unmodified_since.map(time_in),
        if_range: None,
    }
}

/// `If-Range`, which the library does not know. What cannot be compared strongly matches nothing.
pub(crate) fn if_range(headers: &HeaderMap) -> Option<IfRange> {
    let text = headers.get(IF_RANGE)?.to_str().unwrap_or_default().trim();
    if let Some(tag) = text.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
        return Some(IfRange::Tag(tag.to_owned()));
    }
    let date = dto::Timestamp::parse(dto::TimestampFormat::HttpDate, text);
    Some(date.map_or(IfRange::Never, |date| IfRange::Date(time_in(date))))
}

/// `If-Match` and `If-None-Match` of a write, which the library does not read for every operation that has them.
///
/// AWS knows them in two forms, one at a time: `If-Match` with a tag, and `If-None-Match: *`.
pub(crate) fn write_conditions(headers: &HeaderMap) -> Result<WriteConditions, ApiError> {
    let read = |name: HeaderName| {
        let Some(value) = headers.get(name) else { return Ok(None) };
        dto::ETagCondition::parse_http_header(value.as_bytes()).map(Some).map_err(|_| value)
    };
    let unknown = |header: &'static str| {
        unknown_condition(
            header,
            format!("We don't accept the provided value of {header} header for this API"),
        )
    };
    let tag = read(IF_MATCH).map_err(|value| {
        let value = value.to_str().unwrap_or_default();
        ApiError::invalid_argument("If-Match", value, "The entity tag is not valid.")
    })?;
    let none = read(IF_NONE_MATCH).map_err(|_| unknown("If-None-Match"))?;
    match (&tag, &none) {
        (Some(_), Some(_)) => Err(unknown_condition(
            "If-Match,If-None-Match",
            "Multiple conditional request headers present in the request",
        )),
        (None, Some(dto::ETagCondition::ETag(_))) => Err(unknown("If-None-Match")),
        (Some(dto::ETagCondition::Any), None) => Err(unknown("If-Match")),
        _ => Ok(WriteConditions { if_match: if_match(tag), if_none_match: none.map(|_| EntityTags::Any) }),
    }
}

fn unknown_condition(header: &'static str, why: impl std::fmt::Display) -> ApiError {
    ApiError::not_implemented("A header you provided implies functionality that is not implemented")
        .field("Header", header)
        .field("additionalMessage", why)
}

/// What of a request becomes system metadata.
#[derive(Debug, Default)]
pub(crate) struct MetaHeaders {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) website_redirect: Option<String>,
    pub(crate) storage_class: Option<String>,
    pub(crate) user: Option<dto::Metadata>,
    pub(crate) tagging: Option<String>,
}

/// The metadata of a new object. `Expires` is kept as the client wrote it.
pub(crate) fn object_meta(
    given: MetaHeaders,
    (retention, legal_hold): (Option<Retention>, Option<LegalHold>),
    headers: &HeaderMap,
) -> Result<ObjectMeta, ApiError> {
    let mut user: Vec<(String, String)> = given.user.unwrap_or_default().into_iter().collect();
    user.sort();
    Ok(ObjectMeta {
        system: SystemMeta {
            content_type: given.content_type,
            content_encoding: given.content_encoding.and_then(|encodings| stored_encoding(&encodings)),
            content_language: given.content_language,
            content_disposition: given.content_disposition,
            cache_control: given.cache_control,
            expires: headers
                .get(http::header::EXPIRES)
                .and_then(|value| value.to_str().ok())
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            website_redirect: given.website_redirect.map(redirect).transpose()?,
            storage_class: given.storage_class.filter(|class| class != "STANDARD"),
        },
        user,
        tags: given.tagging.map(|text| tags_of_query(&text)).transpose()?.unwrap_or_default(),
        retention,
        legal_hold,
    })
}

/// `x-amz-website-redirect-location`, which nothing is served by here
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>).
fn redirect(location: String) -> Result<String, ApiError> {
    if location.is_empty() || ["/", "http://", "https://"].iter().any(|start| location.starts_with(start)) {
        return Ok(location);
    }
    Err(ApiError::new(
        http::StatusCode::BAD_REQUEST,
        "InvalidRedirectLocation",
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
    ))
}

/// `aws-chunked` describes the transfer, not the object.
fn stored_encoding(encodings: &str) -> Option<String> {
    let kept: Vec<&str> = encodings
        .split(',')
        .map(str::trim)
        .filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// The tags of `x-amz-tagging`, written as URL query parameters.
pub(crate) fn tags_of_query(text: &str) -> Result<Tags, ApiError> {
    let invalid = || {
        ApiError::invalid_argument(
            "x-amz-tagging",
            text,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag \
             name duplicates.",
        )
    };
    let mut tags = Tags::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) =
            (form_decoded(name).ok_or_else(invalid)?, form_decoded(value).ok_or_else(invalid)?);
        if name.is_empty() || tags.iter().any(|(given, _)| *given == name) {
            return Err(invalid());
        }
        tags.push((name, value));
    }
    Ok(tags)
}

/// Reads `application/x-www-form-urlencoded` text.
pub(crate) fn form_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (bytes.next()?, bytes.next()?);
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(high)? * 16 + digit(low)?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// What S3 does with names in listings when `encoding-type=url` is asked: as a form would encode them, with `/` left
/// as it is.
pub(crate) fn listed(text: &str, encoding: Option<&dto::EncodingType>) -> String {
    if encoding.is_none() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out
}

/// `encoding-type`, which has one value.
pub(crate) fn encoding_type(asked: Option<dto::EncodingType>) -> Result<Option<dto::EncodingType>, ApiError> {
    match asked {
        Some(encoding) if encoding.as_str() != dto::EncodingType::URL => Err(ApiError::invalid_argument(
            "encoding-type",
            encoding.as_str(),
            "Invalid Encoding Method specified in Request",
        )),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_does() {
        assert_eq!(http_date(Timestamp(784_111_777_999)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(Timestamp(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(time_in(time_out(Timestamp(784_111_777_999))), Timestamp(784_111_777_999));
    }

    #[test]
    fn transfer_encoding_is_not_part_of_the_object() {
        assert_eq!(stored_encoding("aws-chunked"), None);
        assert_eq!(stored_encoding("aws-chunked,gzip"), Some("gzip".to_owned()));
        assert_eq!(stored_encoding("gzip, AWS-chunked , br"), Some("gzip,br".to_owned()));
    }

    #[test]
    fn tags_of_a_header_are_decoded_and_distinct() {
        let tags = tags_of_query("a=1&b%20c=x+y%C3%A9&d").unwrap();
        assert_eq!(
            tags,
            [("a", "1"), ("b c", "x y\u{e9}"), ("d", "")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        for bad in ["a=1&a=2", "a=%", "a=%zz", "a=%ff", "%4", "=", "=b"] {
            assert_eq!(tags_of_query(bad).unwrap_err().code, "InvalidArgument", "{bad}");
        }
    }

    #[test]
    fn names_are_encoded_in_listings_only_if_asked() {
        let url = dto::EncodingType::from_static(dto::EncodingType::URL);
        assert_eq!(listed("a b/+\u{e9}*~\n", Some(&url)), "a+b/%2B%C3%A9*%7E%0A");
        assert_eq!(listed("a b/+", None), "a b/+");
    }

    #[test]
    fn page_sizes_are_cut_and_never_negative() {
        assert_eq!(page_size("max-keys", None).unwrap(), 1000);
        assert_eq!(page_size("max-keys", Some(0)).unwrap(), 0);
        assert_eq!(page_size("max-keys", Some(5000)).unwrap(), 1000);
        assert_eq!(page_size("max-keys", Some(-1)).unwrap_err().code, "InvalidArgument");
    }

    #[test]
    fn weak_tags_never_match_where_comparison_is_strong() {
        let weak = || Some(dto::ETagCondition::ETag(dto::ETag::Weak("x".to_owned())));
        assert_eq!(if_match(weak()), Some(EntityTags::Tags(vec![])));
        let conditions = read_conditions(None, weak(), None, None);
        assert_eq!(conditions.if_none_match, Some(EntityTags::Tags(vec!["x".to_owned()])));
        assert_eq!(range_of("W/\"x\""), Some(IfRange::Never));
    }

    fn range_of(value: &'static str) -> Option<IfRange> {
        if_range(&HeaderMap::from_iter([(IF_RANGE, http::HeaderValue::from_static(value))]))
    }

    #[test]
    fn a_download_goes_on_by_tag_or_by_date() {
        assert_eq!(if_range(&HeaderMap::new()), None);
        assert_eq!(range_of("\"x\""), Some(IfRange::Tag("x".to_owned())));
        let date = Timestamp(784_111_777_000);
        assert_eq!(range_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(IfRange::Date(date)));
        for neither in ["x", "\"", "", "*"] {
            assert_eq!(range_of(neither), Some(IfRange::Never), "{neither}");
        }
    }

    fn write(pairs: &[(HeaderName, &'static str)]) -> Result<WriteConditions, ApiError> {
        let value = |value| http::HeaderValue::from_static(value);
        write_conditions(&pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect())
    }

    #[test]
    fn a_write_has_one_condition_in_the_form_that_aws_knows() {
        assert_eq!(write(&[]).unwrap(), WriteConditions::default());
        let tags = Some(EntityTags::Tags(vec!["x".to_owned()]));
        assert_eq!(write(&[(IF_MATCH, "\"x\"")]).unwrap().if_match, tags);
        assert_eq!(write(&[(IF_NONE_MATCH, "*")]).unwrap().if_none_match, Some(EntityTags::Any));
        for (pairs, header) in [
            (&[(IF_MATCH, "*")][..], "If-Match"),
            (&[(IF_NONE_MATCH, "\"x\"")], "If-None-Match"),
            (&[(IF_NONE_MATCH, "\"")], "If-None-Match"),
            (&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "*")], "If-Match,If-None-Match"),
        ] {
            let error = write(pairs).unwrap_err();
            assert_eq!((error.status.as_u16(), error.code.as_ref()), (501, "NotImplemented"), "{pairs:?}");
            assert_eq!(error.fields[0], ("Header", header.to_owned()));
        }
        assert_eq!(write(&[(IF_MATCH, "\"")]).unwrap_err().code, "InvalidArgument");
    }
}
