//! What several operations share.

use http::header::{EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::dto::{CopySource, ETagCondition, ObjectStorageClass, Owner, Range, StorageClass, Timestamp};
use strongroom_iam::Identity;
use strongroom_objects::request::{
    self, ContentRange, GetRequest, ListedObject, Listing, ObjectInfo, PutResult,
};
use strongroom_objects::{BucketName, DeleteConditions, EntityTags, ObjectMeta, ObjectName, ReadConditions};

use super::bucket_settings::lifecycle::expiration as expiration_of;
use crate::access::read_action;
use crate::convert;
use crate::error::{ApiError, messages};
use crate::face::Call;
use crate::sse::{self, CustomerHeaders, Use};

/// The owner of everything, as long as there is one: `root` in hexadecimal, as long as AWS's canonical ids are.
const ROOT_ID: &str = "726f6f7400000000000000000000000000000000000000000000000000000000";

const COPY_SOURCE: &str = "x-amz-copy-source";

pub(super) fn owner() -> Owner {
    Owner { display_name: Some("root".to_owned()), id: Some(ROOT_ID.to_owned()) }
}

/// A read of an object or of what is known of it.
pub(super) struct Read {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) version: Option<String>,
    pub(super) part: Option<i32>,
    /// Whether headers of the answer are to be other ones than the object's.
    pub(super) overrides: bool,
    pub(super) range: Option<Range>,
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
    pub(super) customer: CustomerHeaders,
}

impl Read {
    pub(super) fn into_request(self, call: &Call) -> Result<GetRequest, ApiError> {
        sse::refuse_method(&call.headers)?;
        // Otherwise everybody could let a public object appear as whatever they like, a page with scripts for one.
        if self.overrides && *call.identity()? == Identity::Anonymous {
            return Err(ApiError::invalid_request(
                "Request specific response headers cannot be used for anonymous GET requests.",
            ));
        }
        if self.part.is_some() && self.range.is_some() {
            return Err(ApiError::invalid_request(
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        Ok(GetRequest {
            bucket: convert::bucket_name(&self.bucket)?,
            name: convert::object_name(self.key)?,
            version: convert::version_in(self.version.as_deref())?,
            part: self.part.map(convert::part_number).transpose()?,
            range: self.range.map(convert::range_in),
            conditions: ReadConditions {
                if_range: convert::if_range(&call.headers),
                ..convert::read_conditions(
                    self.if_match,
                    self.if_none_match,
                    self.if_modified_since,
                    self.if_unmodified_since,
                )
            },
            customer_key: sse::customer_key(self.customer, call.channel(), Use::Read)?,
        })
    }
}

/// `Content-Range`.
pub(super) fn content_range(range: &ContentRange) -> String {
    format!("bytes {}-{}/{}", range.first, range.last, range.total)
}

/// Puts what is known of an object into the answer of a get or a head, and hands back the checksums that it has no fields for.
macro_rules! answer_info {
    ($output:expr, $info:expr, $range:expr, $with_checksums:expr) => {{
        let info: strongroom_objects::request::ObjectInfo = $info;
        let out = &mut $output;
        out.accept_ranges = Some("bytes".to_owned());
        out.e_tag = Some($crate::convert::etag_out(&info.etag));
        out.version_id = $crate::convert::version_out(info.version);
        out.parts_count = info.parts.map(i32::from).filter(|_| $range.by_part);
        out.content_range = $range.answered.as_ref().map($crate::ops::common::content_range);
        $crate::sse::answer_sse!(out, &info.sse);
        let mut others = $crate::checksum::Others::default();
        if $with_checksums {
            out.checksum_type =
                info.checksums.first().map(|checksum| $crate::checksum::kind_out(checksum.kind));
            let checksums = match &info.part_checksum {
                Some(value) => $crate::checksum::value_out(Some(value)),
                None => $crate::checksum::checksum_out(&info.checksums),
            };
            others = $crate::checksum::answer_checksums!(out, checksums);
        }
        if let Some(retention) = info.meta.retention {
            let mode = $crate::ops::object_lock::mode_name(retention.mode);
            out.object_lock_mode = Some(s3s::dto::ObjectLockMode::from_static(mode));
            out.object_lock_retain_until_date = Some($crate::convert::time_out(retention.until));
        }
        // A version that never had a hold has no such header (AWS, API_HeadObject).
        out.object_lock_legal_hold_status = info.meta.legal_hold.map($crate::ops::object_lock::hold_out);
        let system = info.meta.system;
        // What AWS stores if a client names no type.
        out.content_type = system.content_type.or_else(|| Some("binary/octet-stream".to_owned()));
        out.content_encoding = system.content_encoding;
        out.content_language = system.content_language;
        out.content_disposition = system.content_disposition;
        out.cache_control = system.cache_control;
        out.website_redirect_location = system.website_redirect;
        out.storage_class = system.storage_class.map(s3s::dto::StorageClass::from);
        out.metadata =
            (!info.meta.user.is_empty()).then(|| info.meta.user.into_iter().collect::<s3s::dto::Metadata>());
        others
    }};
}
pub(super) use answer_info;

/// Which bytes were asked for and answered.
pub(super) struct Asked {
    /// A part.
    pub(super) by_part: bool,
    /// What `objects` says.
    pub(super) answered: Option<ContentRange>,
}

impl Asked {
    /// Whether checksums of the whole object belong to the answer: they would not fit a part of it.
    pub(super) fn whole(&self) -> bool {
        self.answered.as_ref().is_none_or(|range| range.first == 0 && range.last + 1 == range.total)
    }
}

/// Headers that the library does not write: `Expires` as the client wrote it, which it cannot carry, and `Last-Modified`,
/// which it formats so slowly that it shows in a short read.
pub(super) fn further_headers(info: &ObjectInfo, with_expires: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    let modified = HeaderValue::try_from(convert::http_date(info.mtime)).expect("dates are ASCII");
    headers.insert(LAST_MODIFIED, modified);
    if with_expires
        && let Some(expires) = &info.meta.system.expires
        && let Ok(value) = HeaderValue::from_str(expires)
    {
        headers.insert(EXPIRES, value);
    }
    headers
}

/// `x-amz-expiration` of a current version that was read.
pub(super) fn expiration(
    call: &Call,
    current: Option<&(BucketName, ObjectName)>,
    info: &ObjectInfo,
) -> Option<String> {
    let (bucket, name) = current?;
    expiration_of(call, bucket, name, info.mtime, info.size, &info.meta.tags)
}

/// `x-amz-expiration` of what was just written.
pub(super) fn expiration_of_written(
    call: &Call,
    (bucket, name): &(BucketName, ObjectName),
    stored: &PutResult,
) -> Option<String> {
    expiration_of(call, bucket, name, stored.mtime, stored.size, &stored.tags)
}

/// How many tags, if there are any: `x-amz-tagging-count`.
pub(super) fn tag_count(meta: &ObjectMeta) -> Option<i32> {
    i32::try_from(meta.tags.len()).ok().filter(|count| *count > 0)
}

/// Storage classes AWS knows; stored and returned, without further meaning here.
pub(super) fn storage_class(asked: Option<StorageClass>) -> Result<Option<String>, ApiError> {
    let Some(class) = asked else { return Ok(None) };
    match class.as_str() {
        StorageClass::STANDARD
        | StorageClass::REDUCED_REDUNDANCY
        | StorageClass::STANDARD_IA
        | StorageClass::ONEZONE_IA
        | StorageClass::GLACIER_IR
        | StorageClass::INTELLIGENT_TIERING => Ok(Some(class.as_str().to_owned())),
        // Reading those would need a restore first.
        other => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidStorageClass",
            "The storage class you specified is not valid",
        )
        .field("StorageClassRequested", other)),
    }
}

/// Refuses access control lists that grant something to others: buckets have none, as AWS recommends.
pub(super) fn refuse_acl(canned: Option<&str>, headers: &HeaderMap) -> Result<(), ApiError> {
    match grants_something(canned, headers) {
        false => Ok(()),
        true => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "AccessControlListNotSupported",
            "The bucket does not allow ACLs",
        )),
    }
}

/// Refuses a canned access control list beside one that is spelled out.
pub(super) fn refuse_two_lists(canned: Option<&str>, headers: &HeaderMap) -> Result<(), ApiError> {
    let spelled_out = headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-"));
    match canned.is_some() && spelled_out {
        true => {
            Err(ApiError::invalid_request("Specifying both Canned ACLs and Header Grants is not allowed"))
        }
        false => Ok(()),
    }
}

/// Whether an access control list gives something to others than the owner.
pub(super) fn grants_something(canned: Option<&str>, headers: &HeaderMap) -> bool {
    let given = |(name, value): (&HeaderName, &HeaderValue)| match name.as_str().strip_prefix("x-amz-grant-")
    {
        Some("full-control") => !names_only_the_owner(value),
        Some(_) => true,
        None => false,
    };
    !matches!(canned, None | Some("private" | "bucket-owner-full-control")) || headers.iter().any(given)
}

/// Whether a list of grantees, `id="…", …`, has the owner and nobody else, who has full control anyway.
fn names_only_the_owner(grantees: &HeaderValue) -> bool {
    let is_owner = |grantee: &str| {
        let id = grantee.trim().strip_prefix("id=");
        id.is_some_and(|id| id.trim_matches('"') == ROOT_ID)
    };
    grantees.to_str().is_ok_and(|list| list.split(',').all(is_owner))
}

/// `x-amz-copy-source` and the conditions that come with it.
pub(super) struct Source {
    pub(super) source: CopySource,
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
    pub(super) customer: CustomerHeaders,
}

impl Source {
    /// The source, if the one who is asking may read it.
    pub(super) async fn into_request(self, call: &Call) -> Result<request::CopySource, ApiError> {
        let CopySource::Bucket { bucket, key, version_id } = self.source else {
            return Err(ApiError::not_implemented(
                "Copying from access points and outposts is not implemented.",
            ));
        };
        let faulty = |why| {
            let given = call.headers.get(COPY_SOURCE).and_then(|value| value.to_str().ok());
            ApiError::invalid_argument(COPY_SOURCE, given.unwrap_or_default(), why)
        };
        if !is_url_encoded(&call.headers) {
            return Err(faulty(messages::COPY_SOURCE_ENCODING));
        }
        if key.is_empty() {
            return Err(faulty(messages::COPY_SOURCE_KEY));
        }
        call.state().set_source_bucket(&bucket);
        let version = version_id.as_deref();
        call.authorise_existing(read_action(version), (&bucket, &key), version).await?;
        Ok(request::CopySource {
            bucket: convert::bucket_name(&bucket)?,
            name: convert::object_name(key.into())?,
            version: convert::version_in(version_id.as_deref())?,
            conditions: convert::read_conditions(
                self.if_match,
                self.if_none_match,
                self.if_modified_since,
                self.if_unmodified_since,
            ),
            customer_key: sse::customer_key(self.customer, call.channel(), Use::Read)?,
        })
    }
}

/// Whether the source of a copy is written as AWS asks for it. The library takes a `%` without its two digits for itself, so it would
/// be another object that is copied than the one on AWS, if any.
fn is_url_encoded(headers: &HeaderMap) -> bool {
    let source = headers.get(COPY_SOURCE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    convert::form_decoded(source).is_some()
}

/// An object in a listing.
pub(super) fn listed_object(
    object: ListedObject,
    encoding: Option<&s3s::dto::EncodingType>,
    with_owner: bool,
) -> s3s::dto::Object {
    let kind = object.checksums.first().map(|(_, kind)| crate::checksum::kind_out(*kind));
    let algorithms: Vec<_> =
        object.checksums.iter().map(|(algorithm, _)| crate::checksum::algorithm_out(*algorithm)).collect();
    s3s::dto::Object {
        checksum_algorithm: (!algorithms.is_empty()).then_some(algorithms),
        checksum_type: kind,
        e_tag: Some(convert::etag_out(&object.etag)),
        key: Some(convert::listed(object.name.as_str(), encoding)),
        last_modified: Some(convert::time_out(object.mtime)),
        owner: with_owner.then(owner),
        restore_status: None,
        size: Some(convert::size_out(object.size)),
        storage_class: Some(match object.storage_class {
            Some(class) => ObjectStorageClass::from(class),
            None => ObjectStorageClass::from_static(ObjectStorageClass::STANDARD),
        }),
    }
}

/// What must hold for a delete.
pub(super) fn delete_conditions(
    if_match: Option<EntityTags>,
    size: Option<i64>,
    modified_at: Option<Timestamp>,
    bypass_governance: bool,
) -> Result<DeleteConditions, ApiError> {
    let negative =
        |size: i64| ApiError::invalid_argument("x-amz-if-match-size", size, "The size must not be negative");
    let if_size = size.map(|size| u64::try_from(size).map_err(|_| negative(size))).transpose()?;
    let if_modified_at = modified_at.map(convert::time_in);
    Ok(DeleteConditions { if_match, if_size, if_modified_at, bypass_governance })
}

/// The common prefixes of a listing.
pub(super) fn common_prefixes(
    prefixes: &[String],
    encoding: Option<&s3s::dto::EncodingType>,
) -> Option<Vec<s3s::dto::CommonPrefix>> {
    let all: Vec<_> = prefixes
        .iter()
        .map(|prefix| s3s::dto::CommonPrefix { prefix: Some(convert::listed(prefix, encoding)) })
        .collect();
    (!all.is_empty()).then_some(all)
}

/// A delimiter; an empty one is none.
pub(super) fn delimiter(given: Option<&String>) -> Option<String> {
    given.filter(|text| !text.is_empty()).cloned()
}

/// How many entries a page has.
pub(super) fn entries(listing: &Listing) -> i32 {
    i32::try_from(listing.objects.len() + listing.common_prefixes.len()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acls_that_grant_nothing_are_harmless() {
        let none = HeaderMap::new();
        assert!(refuse_acl(None, &none).is_ok());
        assert!(refuse_acl(Some("private"), &none).is_ok());
        assert_eq!(refuse_acl(Some("public-read"), &none).unwrap_err().code, "AccessControlListNotSupported");
        let mut grant = HeaderMap::new();
        grant.insert("x-amz-grant-read", HeaderValue::from_static("uri=all"));
        assert_eq!(refuse_acl(None, &grant).unwrap_err().code, "AccessControlListNotSupported");
        let owner = format!("id=\"{ROOT_ID}\"");
        for (name, value, harmless) in [
            ("x-amz-grant-full-control", owner.clone(), true),
            ("x-amz-grant-full-control", format!("id={ROOT_ID},{owner}"), true),
            ("x-amz-grant-full-control", format!("{owner}, id=\"somebody\""), false),
            ("x-amz-grant-full-control", String::new(), false),
            ("x-amz-grant-read", owner, false),
        ] {
            let pair = (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
            assert_eq!(refuse_acl(None, &HeaderMap::from_iter([pair])).is_ok(), harmless, "{name}: {value}");
        }
    }

    #[test]
    fn checksums_belong_to_whole_objects_only() {
        let asked =
            |first, last| Asked { by_part: false, answered: Some(ContentRange { first, last, total: 10 }) };
        assert!(Asked { by_part: false, answered: None }.whole());
        assert!(asked(0, 9).whole());
        assert!(!asked(0, 8).whole() && !asked(1, 9).whole());
    }

    #[test]
    fn classes_that_need_a_restore_are_refused() {
        let class = |name: &str| storage_class(Some(StorageClass::from(name.to_owned())));
        for instant in ["STANDARD_IA", "GLACIER_IR"] {
            assert_eq!(class(instant).unwrap().as_deref(), Some(instant));
        }
        assert_eq!(class("DEEP_ARCHIVE").unwrap_err().code, "InvalidStorageClass");
        assert_eq!(class("GLACIER").unwrap_err().code, "InvalidStorageClass");
        assert_eq!(storage_class(None).unwrap(), None);
    }
}
