//! One exhaustive table from what can go wrong below to what a client is told.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{ALLOW, CONTENT_RANGE, ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER};
use strongroom_objects::{
    ChecksumAlgorithm, Condition, ContentError, KmsError, ObjectError, TagFault, UploadSseFault,
};

use super::{ApiError, messages};
use crate::convert::{http_date, quoted};
use crate::sse::key_arn;

const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");
const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");

/// What the request was about, for the fields of errors that name it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) range: Option<&'a str>,
}

const DAMAGED: &str = "What is stored of the object is damaged, and nothing wrong was served. The server's log has \
                       more under this request id.";
// A list that left something out would have a client that keeps two places alike delete the rest.
const UNREADABLE_INDEX: &str = "A part of the bucket's index that is needed here is damaged or cannot be read from the server's disk. An incomplete \
     answer is not given. Requests that do not need that part are answered. The server's log has more under this request \
     id, and `strongroom inspect verify` names what is affected.";
const SSE_C: &str = "Requests specifying Server Side Encryption with Customer provided keys must provide the";

/// What a client is told about `error`. What is our fault, and not the client's, goes to the log as well.
pub(crate) fn answer(error: &ObjectError, subject: Subject<'_>) -> ApiError {
    let told = told(error, subject);
    if told.status.is_server_error() {
        log_failure(error);
    }
    told
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        answer(&error, Subject::default())
    }
}

/// The table.
fn told(error: &ObjectError, subject: Subject<'_>) -> ApiError {
    use ObjectError as E;
    let not_found = |code, message| ApiError::new(StatusCode::NOT_FOUND, code, message);
    let conflict = |code, message| ApiError::new(StatusCode::CONFLICT, code, message);

    match error {
        E::NoSuchBucket { bucket } => {
            not_found("NoSuchBucket", "The specified bucket does not exist").field("BucketName", bucket)
        }
        E::BucketAlreadyExists { bucket } => conflict(
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all users of the \
             system. Please select a different name and try again.",
        )
        .field("BucketName", bucket),
        E::BucketAlreadyOwnedByYou { bucket } => conflict(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
        )
        .field("BucketName", bucket),
        E::BucketNotEmpty { bucket, versions } => conflict(
            "BucketNotEmpty",
            match versions {
                false => "The bucket you tried to delete is not empty",
                true => {
                    "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
                }
            },
        )
        .field("BucketName", bucket),
        E::NoSuchKey { name, delete_marker } => {
            let answer = not_found("NoSuchKey", "The specified key does not exist.").field("Key", name);
            match delete_marker {
                Some(version) => answer.header(DELETE_MARKER, "true").header(VERSION_ID, &version.to_string()),
                None => answer,
            }
        }
        E::NoSuchVersion { name, version } => not_found("NoSuchVersion", "The specified version does not exist.")
            .field("Key", name)
            .field("VersionId", version),
        E::IsDeleteMarker { version, mtime } => ApiError::method_not_allowed("DeleteMarker")
        .header(DELETE_MARKER, "true")
        .header(VERSION_ID, &version.to_string())
        .header(LAST_MODIFIED, &http_date(*mtime))
        .header(ALLOW, "DELETE"),
        E::NoSuchUpload { upload } => no_such_upload(&upload.to_string()),

        E::IncompleteBody { expected, received } => {
            ApiError::incomplete_body().field("NumberBytesExpected", expected).field("NumberBytesProvided", received)
        }
        // AWS writes the two in two ways.
        E::BadDigest { expected, computed } => {
            ApiError::bad_request("BadDigest", "The Content-MD5 you specified did not match what we received.")
                .field("ExpectedDigest", hex::encode(expected))
                .field("CalculatedDigest", STANDARD.encode(computed))
        }
        E::ChecksumMismatch { algorithm } => ApiError::bad_request(
            "BadDigest",
            format!("The {} you specified did not match the calculated checksum.", algorithm.name()),
        ),
        E::ChecksumTypeMismatch { upload, request } => ApiError::invalid_request(format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            upload.map_or_else(|| "null".to_owned(), |algorithm| algorithm.name().to_lowercase()),
            request.map_or_else(|| "null".to_owned(), |algorithm| algorithm.name().to_lowercase()),
        )),
        E::PartChecksumMissing { algorithm, part } => ApiError::invalid_request(format!(
            "The upload was created using a {} checksum. The complete request must include the checksum for each \
             part. It was missing for part {part} in the request.",
            algorithm.name().to_lowercase(),
        )),
        E::ChecksumKindUnsupported { algorithm } => {
            let kind = match algorithm {
                ChecksumAlgorithm::Crc64Nvme => "COMPOSITE",
                _ => "FULL_OBJECT",
            };
            ApiError::invalid_request(format!(
                "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                algorithm.name().to_lowercase()
            ))
        }
        E::ObjectSizeMismatch { given, actual } => ApiError::invalid_request(format!(
            "The provided 'x-amz-mp-object-size' header value {given} does not match what was computed: {actual}"
        )),
        E::Content(fault) => content_error(fault),
        E::EntityTooLarge { size, most } => {
            ApiError::bad_request("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
                .field("ProposedSize", size)
                .field("MaxSizeAllowed", most)
        }
        E::CopySourceTooLarge { most } => ApiError::invalid_request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {most}"
        )),
        E::EntityTooSmall { part, size, least, etag } => {
            ApiError::bad_request("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
                .field("ProposedSize", size)
                .field("MinSizeAllowed", least)
                .field("PartNumber", part)
                .field("ETag", etag)
        }
        E::InvalidPart { part, upload, etag } => ApiError::bad_request(
            "InvalidPart",
            "One or more of the specified parts could not be found.  The part may not have been uploaded, or the \
             specified entity tag may not match the part's entity tag.",
        )
        .field("UploadId", upload)
        .field("PartNumber", part)
        .field("ETag", etag),
        E::InvalidPartOrder { upload } => ApiError::bad_request(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        )
        .field("UploadId", upload),
        E::NoParts => ApiError::malformed_xml(),
        E::NoSuchPart { part, parts } => ApiError::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
        )
        .field("PartNumberRequested", part)
        .field("ActualPartCount", parts),
        E::InvalidRange { size } => {
            let answer = ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                "The requested range is not satisfiable",
            );
            let answer = match subject.range {
                Some(range) => answer.field("RangeRequested", range),
                None => answer,
            };
            answer.field("ActualObjectSize", size).header(CONTENT_RANGE, &format!("bytes */{size}"))
        }
        E::InvalidCopyRange { size } => ApiError::invalid_argument(
            "x-amz-copy-source-range",
            subject.range.unwrap_or_default(),
            format!("Range specified is not valid for source object of size: {size}"),
        ),
        E::CopyOntoItself => ApiError::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes.",
        ),
        E::MetadataTooLarge { size, most } => {
            ApiError::bad_request("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
                .field("Size", size)
                .field("MaxSizeAllowed", most)
        }
        // Operations refuse what is too long by AWS's rules before; this is for what those rules leave open.
        E::DocumentTooLong { size, most, .. } => {
            ApiError::bad_request("EntityTooLarge", "Your configuration exceeds the maximum allowed size")
                .field("ProposedSize", size)
                .field("MaxSizeAllowed", most)
        }
        E::InvalidTags { fault, tag } => tag_fault(*fault, tag.as_deref()),
        E::VersioningOff => conflict(
            "InvalidBucketState",
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
        ),
        E::ObjectLockOn => conflict(
            "InvalidBucketState",
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
        ),
        E::ObjectLockOff => ApiError::invalid_request("Bucket is missing Object Lock Configuration"),
        E::RetentionPast => ApiError::bad_request("InvalidArgument", "The retain until date must be in the future!")
            .field("ArgumentName", "x-amz-object-lock-retain-until-date"),
        E::Locked => ApiError::access_denied("Access Denied because object protected by object lock."),

        E::PreconditionFailed { condition } => ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        )
        .field("Condition", header_of(*condition)),
        E::NotModified { etag, mtime, .. } => ApiError::new(StatusCode::NOT_MODIFIED, "NotModified", "Not Modified")
            .header(ETAG, &quoted(etag))
            .header(LAST_MODIFIED, &http_date(*mtime)),
        E::ConditionalConflict => {
            let answer = conflict(
                "ConditionalRequestConflict",
                "The conditional request cannot succeed due to a conflicting operation against this resource.",
            );
            match subject.key {
                Some(key) => answer.field("Key", key),
                None => answer,
            }
        }

        E::CustomerKeyRequired => ApiError::invalid_request(
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided \
             to retrieve the object.",
        ),
        E::CustomerKeyNotApplicable => {
            ApiError::invalid_request("The encryption parameters are not applicable to this object.")
        }
        E::CustomerKeyWrong => ApiError::access_denied(format!("{SSE_C} correct secret key.")),
        E::CustomerKeysBlocked => ApiError::access_denied(
            "Access Denied. Server-side encryption with customer-provided keys is blocked for this bucket.",
        ),
        E::UploadSse(UploadSseFault::Parameters) => ApiError::invalid_request(
            "The multipart upload initiate requested encryption. Subsequent part requests must include the \
             appropriate encryption parameters.",
        ),
        E::UploadSse(UploadSseFault::OtherKey) => ApiError::invalid_request(
            "The provided encryption parameters did not match the ones used originally.",
        ),

        E::Kms(error) => kms_error(error),

        // <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>, as for an account's quota of buckets.
        E::TooManyBuckets => ApiError::bad_request(
            "TooManyBuckets",
            "You have attempted to create more buckets than are allowed.",
        ),
        E::NoSpace => no_space(),
        E::KeyUsedUp => {
            unavailable("A key of the server has sealed as often as it may and takes no writes. Please try again.")
        }
        E::Stopping => unavailable("The server is stopping. Please try again."),
        E::Damaged(_) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", DAMAGED),
        index if index.is_unreadable_index() => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", UNREADABLE_INDEX)
        }
        E::DamagedRow { .. } | E::TooNew { .. } | E::Io { .. } | E::Commit(_) | E::Read(_) => {
            ApiError::internal()
        }
        // The enum may grow; what is not in this table yet is ours to explain, not the client's.
        _ => ApiError::internal(),
    }
}

/// Tells the operator what the client is not told. Names of buckets and objects are left out: a log rests somewhere.
pub(crate) fn log_failure(error: &ObjectError) {
    match error {
        ObjectError::Damaged(place) => tracing::error!(
            version = %place.version,
            part = place.part,
            what = ?place.what,
            "a stored object is damaged; nothing wrong was served"
        ),
        ObjectError::Stopping => tracing::info!("a request was refused: the server is stopping"),
        error => tracing::error!(%error, "a request failed"),
    }
}

/// The upload is not there.
pub(crate) fn no_such_upload(upload: &str) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
         completed.",
    )
    .field("UploadId", upload)
}

fn no_space() -> ApiError {
    ApiError::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "InsufficientStorage",
        "There is no room left on the server's disk. Nothing was stored.",
    )
}

fn unavailable(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
}

/// Keys as clients of AWS know their errors; a KMS that is away is told apart from a request that is wrong.
fn kms_error(error: &KmsError) -> ApiError {
    use KmsError as E;
    match error {
        // AWS tells what cannot be a key's id from what can and is none.
        E::NotFound { key_id } if is_uuid(key_id) => {
            not_found(format!("Key '{}' does not exist", key_arn(key_id)))
        }
        E::NotFound { key_id } => not_found(format!("Invalid keyId '{key_id}'")),
        E::InvalidKeyId => not_found("Invalid keyId"),
        E::NoSuchVersion { key_id, version } => {
            not_found(format!("Key '{}' has no version {version}", key_arn(key_id)))
        }
        E::OtherProvider { made_by, .. } => not_found(format!(
            "The key is one of the key management service '{made_by}', which is not in use here"
        )),
        E::Disabled { key_id } => {
            ApiError::bad_request("KMS.DisabledException", format!("{} is disabled.", key_arn(key_id)))
        }
        E::PendingDeletion { key_id, .. } => {
            invalid_state(format!("{} is pending deletion.", key_arn(key_id)))
        }
        E::Protected { key_id } => invalid_state(format!(
            "{} is reserved for the server and cannot encrypt objects.",
            key_arn(key_id)
        )),
        E::AccessDenied { .. } => {
            ApiError::access_denied("The key management service denies the use of the key.")
        }
        E::Unavailable { .. } => {
            unavailable("The key management service cannot be reached. Please try again.")
                .header(RETRY_AFTER, "5")
        }
        E::Unsupported { .. } => ApiError::bad_request(
            "KMS.UnsupportedOperationException",
            "The key management service does not do this.",
        ),
        E::Full { .. } => ApiError::bad_request(
            "KMS.LimitExceededException",
            "A limit of the key management service is reached.",
        ),
        // What is wrapped was changed, or is in another place: ours, as any damage.
        E::WrongContextOrDamaged { .. } => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", DAMAGED)
        }
        // Nobody makes keys in the course of a request.
        E::Exists { .. } => ApiError::internal(),
        _ => unavailable("The key management service did not do what was asked. Please try again."),
    }
}

fn not_found(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::bad_request("KMS.NotFoundException", message)
}

fn invalid_state(message: String) -> ApiError {
    ApiError::bad_request("KMS.KMSInvalidStateException", message)
}

/// 8-4-4-4-12 hexadecimal digits, as AWS's ids of keys are.
fn is_uuid(text: &str) -> bool {
    let mut lengths = text
        .split('-')
        .map(|part| if part.bytes().all(|byte| byte.is_ascii_hexdigit()) { part.len() } else { 0 });
    [8, 4, 4, 4, 12].into_iter().all(|length| lengths.next() == Some(length)) && lengths.next().is_none()
}

fn content_error(fault: &ContentError) -> ApiError {
    match fault {
        ContentError::Disconnected => ApiError::incomplete_body(),
        ContentError::TimedOut => ApiError::request_timeout(),
        ContentError::Refused { source } => match source.downcast_ref::<ApiError>() {
            Some(error) => error.clone(),
            None => ApiError::incomplete_body(),
        },
        _ => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", messages::INTERNAL),
    }
}

/// AWS names the tag that is wrong.
fn tag_fault(fault: TagFault, tag: Option<&(String, String)>) -> ApiError {
    let invalid = |message| {
        let error = ApiError::bad_request("InvalidTag", message);
        match tag {
            Some((name, _)) => error.field("TagKey", name),
            None => error,
        }
    };
    match fault {
        TagFault::TooMany => ApiError::bad_request("BadRequest", "Object tags cannot be greater than 10"),
        TagFault::TooManyOfBucket => {
            ApiError::bad_request("BadRequest", "Bucket tag count cannot be greater than 50")
        }
        TagFault::Reserved => {
            ApiError::bad_request("InvalidTag", "System tags cannot be added/updated by requester")
        }
        TagFault::Duplicate => invalid("Cannot provide multiple Tags with the same key"),
        TagFault::Value => {
            let error = invalid("The TagValue you have provided is invalid");
            match tag {
                Some((_, value)) => error.field("TagValue", value),
                None => error,
            }
        }
        _ => invalid("The TagKey you have provided is invalid"),
    }
}

fn header_of(condition: Condition) -> &'static str {
    condition.header()
}

#[cfg(test)]
mod tests {
    use strongroom_objects::{BucketName, ETag, ObjectName, PartNumber, Timestamp, UploadId, VersionId};

    use super::*;

    #[test]
    fn each_error_has_the_code_and_status_of_aws() {
        let bucket = BucketName::parse("bucket").unwrap();
        let name = ObjectName::parse("name").unwrap();
        let upload = UploadId::parse(&"0".repeat(48)).unwrap();
        let part = PartNumber::new(7).unwrap();
        let etag = ETag::Md5([0; 16]);
        let version = VersionId::Null;
        let tag = Some(Box::new(("n".to_owned(), "v".to_owned())));
        let rows = [
            (ObjectError::NoSuchBucket { bucket: bucket.clone() }, 404, "NoSuchBucket", "BucketName=bucket"),
            (
                ObjectError::BucketAlreadyOwnedByYou { bucket: bucket.clone() },
                409,
                "BucketAlreadyOwnedByYou",
                "",
            ),
            (
                ObjectError::BucketNotEmpty { bucket, versions: true },
                409,
                "BucketNotEmpty",
                "BucketName=bucket",
            ),
            (
                ObjectError::NoSuchKey { name: name.clone(), delete_marker: None },
                404,
                "NoSuchKey",
                "Key=name",
            ),
            (ObjectError::NoSuchVersion { name, version }, 404, "NoSuchVersion", "VersionId=null"),
            (
                ObjectError::IsDeleteMarker { version, mtime: Timestamp(0) },
                405,
                "MethodNotAllowed",
                "ResourceType=DeleteMarker",
            ),
            (ObjectError::NoSuchUpload { upload }, 404, "NoSuchUpload", ""),
            (
                ObjectError::IncompleteBody { expected: 9, received: 5 },
                400,
                "IncompleteBody",
                "NumberBytesExpected=9",
            ),
            (
                ObjectError::BadDigest { expected: [0; 16], computed: [1; 16] },
                400,
                "BadDigest",
                "CalculatedDigest=AQEBAQEBAQEBAQEBAQEBAQ==",
            ),
            (ObjectError::CopySourceTooLarge { most: 8 }, 400, "InvalidRequest", ""),
            (ObjectError::EntityTooLarge { size: 9, most: 8 }, 400, "EntityTooLarge", "MaxSizeAllowed=8"),
            (
                ObjectError::EntityTooSmall { part, size: 1, least: 2, etag },
                400,
                "EntityTooSmall",
                "MinSizeAllowed=2",
            ),
            (ObjectError::InvalidPart { part, upload, etag: "x".into() }, 400, "InvalidPart", "ETag=x"),
            (ObjectError::InvalidPartOrder { upload }, 400, "InvalidPartOrder", ""),
            (ObjectError::NoParts, 400, "MalformedXML", ""),
            (ObjectError::NoSuchPart { part, parts: 3 }, 416, "InvalidPartNumber", "ActualPartCount=3"),
            (ObjectError::InvalidRange { size: 3 }, 416, "InvalidRange", "ActualObjectSize=3"),
            (ObjectError::CopyOntoItself, 400, "InvalidRequest", ""),
            (ObjectError::MetadataTooLarge { size: 3000, most: 2048 }, 400, "MetadataTooLarge", "Size=3000"),
            (
                ObjectError::InvalidTags { fault: TagFault::Value, tag: tag.clone() },
                400,
                "InvalidTag",
                "TagValue=v",
            ),
            (ObjectError::InvalidTags { fault: TagFault::Duplicate, tag }, 400, "InvalidTag", "TagKey=n"),
            (
                ObjectError::PreconditionFailed { condition: Condition::IfMatch },
                412,
                "PreconditionFailed",
                "Condition=If-Match",
            ),
            (ObjectError::NotModified { etag, mtime: Timestamp(0), version }, 304, "NotModified", ""),
            (ObjectError::ConditionalConflict, 409, "ConditionalRequestConflict", ""),
            (ObjectError::CustomerKeyRequired, 400, "InvalidRequest", ""),
            (ObjectError::CustomerKeyWrong, 403, "AccessDenied", ""),
            (ObjectError::UploadSse(UploadSseFault::OtherKey), 400, "InvalidRequest", ""),
            (ObjectError::Kms(KmsError::NotFound { key_id: "k".into() }), 400, "KMS.NotFoundException", ""),
            (ObjectError::Kms(KmsError::Disabled { key_id: "k".into() }), 400, "KMS.DisabledException", ""),
            (ObjectError::Content(ContentError::TimedOut), 400, "RequestTimeout", ""),
            (ObjectError::TooManyBuckets, 400, "TooManyBuckets", ""),
            (ObjectError::NoSpace, 507, "InsufficientStorage", ""),
            (ObjectError::KeyUsedUp, 503, "ServiceUnavailable", ""),
            (ObjectError::Stopping, 503, "ServiceUnavailable", ""),
        ];
        for (error, status, code, field) in rows {
            let told = told(&error, Subject::default());
            assert_eq!((told.status.as_u16(), told.code.as_ref()), (status, code), "{error}");
            let fields: Vec<String> =
                told.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert!(field.is_empty() || fields.iter().any(|one| one == field), "{error}: {fields:?}");
        }
    }

    /// Whatever a KMS answers, a client is told in AWS's terms; only damage is our fault.
    #[test]
    fn trouble_with_the_kms_is_typed() {
        let (key_id, provider) = ("k".to_owned(), "local");
        let uuid = "134f2428-cec1-4b25-a1ae-9048164dba47".to_owned();
        let source = std::sync::Arc::new(std::io::Error::other("no route"));
        let rows = [
            (
                KmsError::NotFound { key_id: key_id.clone() },
                400,
                "KMS.NotFoundException",
                "Invalid keyId 'k'",
            ),
            (
                KmsError::NotFound { key_id: uuid },
                400,
                "KMS.NotFoundException",
                "Key 'arn:aws:kms:::key/134f2428-cec1-4b25-a1ae-9048164dba47' does not exist",
            ),
            (
                KmsError::Disabled { key_id: key_id.clone() },
                400,
                "KMS.DisabledException",
                "arn:aws:kms:::key/k is disabled.",
            ),
            (
                KmsError::PendingDeletion { key_id: key_id.clone(), delete_after: 1 },
                400,
                "KMS.KMSInvalidStateException",
                "arn:aws:kms:::key/k is pending deletion.",
            ),
            (
                KmsError::NoSuchVersion { key_id: key_id.clone(), version: 2 },
                400,
                "KMS.NotFoundException",
                "",
            ),
            (KmsError::OtherProvider { provider, made_by: "vault".into() }, 400, "KMS.NotFoundException", ""),
            (KmsError::AccessDenied { provider, key_id: key_id.clone() }, 403, "AccessDenied", ""),
            (
                KmsError::Unsupported { provider, operation: "x" },
                400,
                "KMS.UnsupportedOperationException",
                "",
            ),
            (KmsError::Unavailable { provider, source }, 503, "ServiceUnavailable", ""),
            (KmsError::WrongContextOrDamaged { key_id }, 500, "InternalError", ""),
        ];
        for (error, status, code, message) in rows {
            let told = told(&ObjectError::Kms(error.clone()), Subject::default());
            assert_eq!((told.status.as_u16(), told.code.as_ref()), (status, code), "{error}");
            assert!(message.is_empty() || told.message == message, "{}", told.message);
        }
    }

    #[test]
    fn what_failed_inside_is_not_told() {
        let source = std::io::Error::other("/var/lib/somewhere");
        let told = told(&ObjectError::Io { doing: "writing a blob", source }, Subject::default());
        assert_eq!((told.code.as_ref(), told.message.as_ref()), ("InternalError", messages::INTERNAL));
        assert!(told.fields.is_empty());
    }
}
