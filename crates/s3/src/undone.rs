//! Headers and elements that ask for something which is not done here.
//!
//! The library passes over headers that it does not know, and over elements at the top of a document. Where they ask
//! for a lock or a place, nothing of it would hold, and nobody would be told.

use bytes::Bytes;
use http::HeaderMap;

use crate::error::ApiError;

/// Headers of any operation, with the value that asks for nothing.
const HEADERS: [(&str, &str); 4] = [
    ("x-amz-bucket-namespace", "global"),
    ("x-amz-object-lock-event-hold", ""),
    ("x-amz-object-lock-event-hold-duration-days", ""),
    ("x-amz-object-lock-event-hold-duration-years", ""),
];

/// Elements of documents, by the library's name of the operation. An element whose name begins so is meant as well.
const ELEMENTS: [(&str, &str); 1] = [("put_object_retention", "EventHold")];

/// Operations of AWS's that refuse the source of a copy, by the library's names.
const NO_COPIES: [&str; 8] = [
    "complete_multipart_upload",
    "delete_bucket",
    "delete_object",
    "get_object",
    "head_bucket",
    "head_object",
    "list_objects",
    "list_objects_v2",
];

/// Refuses what would be passed over.
pub(crate) fn check(
    operation: &str,
    headers: &HeaderMap,
    document: Option<&[Bytes]>,
) -> Result<(), ApiError> {
    let asks = |(name, nothing): &&(&str, &str)| headers.get(*name).is_some_and(|value| value != *nothing);
    if let Some((name, _)) = HEADERS.iter().find(asks) {
        return Err(ApiError::not_implemented(
            "A header you provided implies functionality that is not implemented",
        )
        .field("Header", name));
    }
    if let Some(source) = headers.get("x-amz-copy-source").filter(|_| NO_COPIES.contains(&operation)) {
        let source = source.to_str().unwrap_or_default();
        let why = "You can only specify a copy source header for copy requests.";
        return Err(ApiError::invalid_argument("x-amz-copy-source", source, why));
    }
    let Some(document) = document else { return Ok(()) };
    for (_, element) in ELEMENTS.iter().filter(|(of, _)| *of == operation) {
        if has(&document.concat(), element) {
            return Err(ApiError::not_implemented(
                "An element of your document implies functionality that is not implemented",
            )
            .field("Element", element));
        }
    }
    Ok(())
}

/// Whether a document has such an element, with a prefix of its namespace or without one.
fn has(document: &[u8], element: &str) -> bool {
    [format!("<{element}"), format!(":{element}")]
        .iter()
        .any(|start| document.windows(start.len()).any(|window| window == start.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn elements_that_would_be_passed_over_are_found() {
        let refused = |operation, inside: &str| {
            let text = format!("<Document>{inside}</Document>");
            // However the document came in pieces.
            let (first, second) = text.split_at(text.len() / 2);
            let pieces = [first, second].map(|piece| Bytes::copy_from_slice(piece.as_bytes()));
            check(operation, &HeaderMap::new(), Some(&pieces)).is_err()
        };
        assert!(refused("put_object_retention", "<s:EventHold>ON</s:EventHold>"));
        assert!(refused("put_object_retention", "<EventHold>ON</EventHold>"));
        assert!(refused("put_object_retention", "<EventHoldDuration><Days>1</Days></EventHoldDuration>"));
        assert!(!refused("put_object_retention", "<Mode>GOVERNANCE</Mode>"));
        assert!(!refused("put_bucket_tagging", "<TagSet><Tag/></TagSet>"));
    }

    #[test]
    fn source_of_a_copy_is_for_copies() {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-amz-copy-source"),
            HeaderValue::from_static("bucket/key"),
        )]);
        let error = check("get_object", &headers, None).unwrap_err();
        assert_eq!((error.code.as_ref(), error.fields[1].1.as_str()), ("InvalidArgument", "bucket/key"));
        assert!(
            check("copy_object", &headers, None).is_ok() && check("upload_part_copy", &headers, None).is_ok()
        );
        assert!(check("get_object", &HeaderMap::new(), None).is_ok());
    }

    #[test]
    fn headers_that_would_be_passed_over_are_found() {
        let refused = |name, value| {
            let pair = (HeaderName::from_static(name), HeaderValue::from_static(value));
            check("put_object", &HeaderMap::from_iter([pair]), None).is_err()
        };
        assert!(refused("x-amz-object-lock-event-hold", "OFF"));
        assert!(refused("x-amz-bucket-namespace", "account-regional"));
        assert!(!refused("x-amz-bucket-namespace", "global"));
        assert!(!refused("x-amz-object-lock-legal-hold", "ON"));
    }
}
