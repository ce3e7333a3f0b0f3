//! One table from what can go wrong with buckets and objects to what a client is told.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_RANGE, ETAG, LAST_MODIFIED};
use strongroom_objects::{ContentError, KmsError, ObjectError};

use super::objects::{http_date, quoted};
use crate::refusal::Refusal;

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Self {
        let told = told(&error);
        if told.status.is_server_error() {
            log_failure(&error);
        }
        told
    }
}

/// Tells the operator what the client is not told. Names of buckets and objects are left out: a log rests somewhere.
pub(super) fn log_failure(error: &ObjectError) {
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

/// The codes are S3's, so that a client has one list to know.
fn told(error: &ObjectError) -> Refusal {
    use ObjectError as E;
    let bad = Refusal::bad_request;
    let not_found = |code, message: String| Refusal::new(StatusCode::NOT_FOUND, code, message);
    let conflict = |code, message: String| Refusal::new(StatusCode::CONFLICT, code, message);
    let denied = |message: String| Refusal::new(StatusCode::FORBIDDEN, "AccessDenied", message);
    let text = error.to_string();
    match error {
        E::NoSuchBucket { .. } => not_found("NoSuchBucket", text),
        E::BucketAlreadyExists { .. } => conflict("BucketAlreadyExists", text),
        E::BucketAlreadyOwnedByYou { .. } => conflict("BucketAlreadyOwnedByYou", text),
        E::BucketNotEmpty { .. } => conflict("BucketNotEmpty", text),
        E::NoSuchKey { .. } => not_found("NoSuchKey", text),
        E::NoSuchVersion { .. } => not_found("NoSuchVersion", text),
        E::IsDeleteMarker { .. } => not_found("IsDeleteMarker", text),
        E::NoSuchUpload { .. } => not_found("NoSuchUpload", text),

        E::IncompleteBody { .. } => bad("IncompleteBody", text),
        E::BadDigest { .. } | E::ChecksumMismatch { .. } => bad("BadDigest", text),
        E::Content(fault) => content(fault),
        E::EntityTooLarge { .. } => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "EntityTooLarge", text),
        E::MetadataTooLarge { .. } => bad("MetadataTooLarge", text),
        E::InvalidTags { .. } => bad("InvalidTag", text),
        E::InvalidRange { size } => Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", text)
            .header(CONTENT_RANGE, &format!("bytes */{size}")),
        E::Locked => denied(text),
        E::VersioningOff | E::ObjectLockOff => bad("InvalidRequest", text),
        E::Unsupported { .. } => Refusal::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", text),

        E::PreconditionFailed { condition } => {
            let header = condition.header();
            let message = format!("The condition {header} does not hold.");
            Refusal::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
        }
        E::NotModified { etag, mtime, .. } => Refusal::new(StatusCode::NOT_MODIFIED, "NotModified", text)
            .header(ETAG, &quoted(etag))
            .header(LAST_MODIFIED, &http_date(*mtime)),
        E::ConditionalConflict => conflict("ConditionalRequestConflict", text),

        E::CustomerKeyRequired | E::CustomerKeyNotApplicable => bad("InvalidRequest", text),
        E::CustomerKeyWrong | E::CustomerKeysBlocked => denied(text),
        E::Kms(error) => kms(error),

        E::TooManyBuckets => bad("TooManyBuckets", text),
        E::NoSpace => Refusal::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "NoSpace",
            "There is no room on the server's disk.",
        ),
        E::KeyUsedUp => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "KeyUsedUp",
            "A key of the server has sealed as often as it may and takes no writes until it has a successor.",
        ),
        E::Stopping => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Stopping", "The server is stopping."),
        E::Damaged(_) => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Damaged",
            "What is stored of the object is damaged, and nothing wrong was served. The server's log has more under this \
             request id.",
        ),
        index if index.is_unreadable_index() => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "A part of the bucket's index that is needed here is damaged or cannot be read from the server's disk. The \
             server's log has more under this request id, and `strongroom inspect verify` names what is affected.",
        ),
        E::DamagedRow { .. } | E::TooNew { .. } | E::Io { .. } | E::Commit(_) | E::Read(_) => internal(),
        // What is about uploads in parts and copies, which are not here, or what this table does not know yet.
        other if other.is_ours() => internal(),
        _ => bad("InvalidRequest", text),
    }
}

fn internal() -> Refusal {
    let message = "The server could not do it; its log has more under this request id.";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
}

fn content(fault: &ContentError) -> Refusal {
    match fault {
        ContentError::TimedOut => Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeout",
            "Nothing of the content came for too long.",
        ),
        other => Refusal::bad_request("IncompleteBody", other.to_string()),
    }
}

fn kms(error: &KmsError) -> Refusal {
    let bad = Refusal::bad_request;
    match error {
        KmsError::NotFound { .. } => bad("KMS.NotFoundException", "The KMS has no such key."),
        KmsError::InvalidKeyId => bad("KMS.NotFoundException", "This cannot be the id of a key."),
        KmsError::Disabled { .. } => bad("KMS.DisabledException", "The KMS key is disabled."),
        KmsError::PendingDeletion { .. } => {
            bad("KMS.KMSInvalidStateException", "The KMS key is to be deleted.")
        }
        KmsError::Unavailable { .. } => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "KmsUnavailable",
            "The KMS does not answer; try again later.",
        ),
        _ => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "KmsFailed",
            "The KMS could not do it; the server's log has more under this request id.",
        ),
    }
}
