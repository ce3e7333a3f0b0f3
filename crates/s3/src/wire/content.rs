//! From the library's body stream to the content that `objects` reads, with what went wrong put in S3's words.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use s3s::Body;
use s3s::dto::StreamingBlob;
use s3s::stream::ByteStream;
use sha2::{Digest, Sha256};
use strongroom_objects::{Content, ContentError, ObjectError};

use super::body::BodyFault;
use crate::checksum::Trailing;
use crate::error::{ApiError, messages};
use crate::request::RequestState;

const DECODED_LENGTH: &str = "x-amz-decoded-content-length";

/// The content of an upload. It ends with an error if what comes behind it is not what it has to be.
pub(crate) fn content(
    body: Option<StreamingBlob>,
    length: Option<i64>,
    headers: &HeaderMap,
    trailing: Trailing,
) -> Result<Content, ApiError> {
    // HTTP/2 whose head ends the stream has an empty body for certain.
    let known = body.as_ref().map_or(Some(0), |body| body.remaining_length().exact());
    let length = length.or(known.and_then(|length| i64::try_from(length).ok()));
    let length = announced(length, headers)?;
    let body = match body {
        Some(body) if trailing.is_nothing() => return Ok(Content::new(Some(length), in_words_of_s3(body))),
        None if trailing.is_nothing() => return Ok(Content::empty()),
        body => stream::iter(body).flat_map(in_words_of_s3),
    };
    let behind = stream::once(async move { trailing.check() });
    let behind = behind.filter_map(async |checked| checked.err().map(|error| Err(refused(error))));
    Ok(Content::new(Some(length), body.chain(behind)))
}

/// The file of a form: how long it is shows at its end.
pub(crate) fn content_of_form(body: Option<StreamingBlob>) -> Content {
    body.map_or_else(Content::empty, |body| Content::new(None, in_words_of_s3(body)))
}

/// A document, which may have `most` bytes.
pub(crate) async fn document(body: Body, most: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, most).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "MaxMessageLengthExceeded",
            "Your request was too big.",
        )),
        Err(error) => Err(ObjectError::Content(fault(error.as_ref())).into()),
    }
}

/// Why a document could not be read. The library does not say it: it takes that for a failure of the server.
pub(crate) fn unread_document(state: &RequestState) -> Option<ApiError> {
    if let Some(why) = state.body_fault() {
        return Some(ObjectError::Content(fault(&why)).into());
    }
    let (signed, sent) = (state.document_hash()?, state.seen_document()?);
    let computed = hex::encode(Sha256::digest(&sent));
    (computed != signed).then(|| {
        other_hash().field("ClientComputedContentSHA256", signed).field("S3ComputedContentSHA256", computed)
    })
}

/// Uploads announce their length: the decoded one if they are `aws-chunked`.
fn announced(length: Option<i64>, headers: &HeaderMap) -> Result<u64, ApiError> {
    let decoded = headers.get(DECODED_LENGTH).map(|value| value.to_str().unwrap_or_default());
    match (decoded, length) {
        (Some(text), _) => text.parse().map_err(|_| {
            ApiError::invalid_argument(DECODED_LENGTH, text, "The decoded content length is not a number")
        }),
        (None, Some(length)) => u64::try_from(length).map_err(|_| {
            ApiError::invalid_argument("Content-Length", length, "Content-Length must not be negative")
        }),
        (None, None) => Err(ApiError::no_length()),
    }
}

fn in_words_of_s3(body: StreamingBlob) -> impl Stream<Item = Result<Bytes, ContentError>> + Send {
    body.map(|piece| piece.map_err(|error| fault(error.as_ref())))
}

fn fault(error: &(dyn std::error::Error + Send + Sync + 'static)) -> ContentError {
    if let Some(fault) = cause(error) {
        return match fault {
            BodyFault::Stalled => ContentError::TimedOut,
            BodyFault::Disconnected => ContentError::Disconnected,
            BodyFault::Incomplete => refused(ApiError::incomplete_body()),
            // AWS's code for every body whose chunks are not what they say.
            BodyFault::Framing => refused(ApiError::new(
                StatusCode::BAD_REQUEST,
                "IncompleteBody",
                "The aws-chunked framing of the request body is not valid",
            )),
            BodyFault::Form => refused(ApiError::new(
                StatusCode::BAD_REQUEST,
                "MalformedPOSTRequest",
                "The body of your POST request is not well-formed multipart/form-data.",
            )),
            BodyFault::FormFileTooLarge { most } => refused(
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "EntityTooLarge",
                    "Your proposed upload exceeds the maximum allowed size",
                )
                .field("MaxSizeAllowed", most),
            ),
            BodyFault::FormFileTooSmall { size, least } => refused(
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "EntityTooSmall",
                    "Your proposed upload is smaller than the minimum allowed size",
                )
                .field("ProposedSize", size)
                .field("MinSizeAllowed", least),
            ),
            BodyFault::ChunkTooLong => refused(ApiError::new(
                StatusCode::BAD_REQUEST,
                "InvalidChunkSizeError",
                "A signed chunk is longer than this server accepts",
            )),
        };
    }
    // The library keeps the types of its body errors to itself. Their text names the variant; a test against the
    // library's own answers watches over it.
    let text = error.to_string();
    refused(if text.ends_with("Sha256Mismatch") {
        other_hash()
    } else if text.ends_with("SignatureMismatch") {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and \
             signing method.",
        )
    } else if text.contains("Trailer") || text.ends_with("FormatError") {
        ApiError::new(StatusCode::BAD_REQUEST, "MalformedTrailerError", messages::TRAILER)
    } else {
        ApiError::incomplete_body()
    })
}

fn other_hash() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
}

/// Our own fault, however deep the library wrapped it.
fn cause(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<BodyFault> {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(fault) = error.downcast_ref::<BodyFault>() {
            return Some(*fault);
        }
        at = error.source();
    }
    // Wrappers that keep their cause as text only: the sentences are our own. Forms have no such wrappers.
    let text = error.to_string();
    [
        BodyFault::Stalled,
        BodyFault::Disconnected,
        BodyFault::Framing,
        BodyFault::ChunkTooLong,
        BodyFault::Incomplete,
    ]
    .into_iter()
    .find(|fault| text.ends_with(&fault.to_string()))
}

fn refused(error: ApiError) -> ContentError {
    ContentError::Refused { source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_length_counts_where_the_transfer_is_chunked() {
        let mut headers = HeaderMap::new();
        assert_eq!(announced(Some(5), &headers).unwrap(), 5);
        assert_eq!(announced(Some(-5), &headers).unwrap_err().code, "InvalidArgument");
        assert_eq!(announced(None, &headers).unwrap_err().status, StatusCode::LENGTH_REQUIRED);
        headers.insert(DECODED_LENGTH, http::HeaderValue::from_static("7"));
        assert_eq!(announced(Some(99), &headers).unwrap(), 7);
        headers.insert(DECODED_LENGTH, http::HeaderValue::from_static("x"));
        assert_eq!(announced(Some(99), &headers).unwrap_err().code, "InvalidArgument");
    }

    #[test]
    fn our_own_faults_are_found_under_wrappers() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: {0}")]
        struct AsText(String);
        for wrapped in [
            Box::new(BodyFault::Stalled) as Box<dyn std::error::Error + Send + Sync>,
            Box::new(AsText(BodyFault::Stalled.to_string())),
        ] {
            assert!(matches!(fault(wrapped.as_ref()), ContentError::TimedOut));
        }
    }
}
