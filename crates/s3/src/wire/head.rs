//! What is refused from a request's head alone, before signatures are looked at.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use time::OffsetDateTime;

use super::body::Chunking;
use crate::checksum::TRAILER;
use crate::error::ApiError;
use crate::options::{Limits, S3Options};
use crate::sigv4::{Signed, claims};
use crate::sts;
use crate::subresource;

/// Refuses heads that no operation would accept; returns what the others say of their signature.
pub(crate) fn check(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    options: &S3Options,
    now: OffsetDateTime,
) -> Result<Option<Signed>, ApiError> {
    let limits = &options.limits;
    if head_bytes(uri, headers) > limits.head_bytes_max {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "RequestHeaderSectionTooLarge",
            "Your request header and query parameters used to make the request exceed the maximum allowed size.",
        )
        .field("MaxSizeAllowed", limits.head_bytes_max));
    }
    let query = uri.query().unwrap_or_default();
    let here = claims::Here {
        service: if sts::is_sts(method, uri, headers) { "sts" } else { "s3" },
        region: &options.region,
        now,
        skew_max: limits.skew_max,
    };
    claims::check(query, headers, &here)?;
    check_decoded_length(headers, limits)?;
    Ok(Signed::parse(query, headers))
}

fn head_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let path_and_query = uri.path_and_query().map_or(0, |text| text.as_str().len());
    path_and_query + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

/// The token of temporary credentials, in a header or in a presigned URL.
pub(crate) fn session_token(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(token) = headers.get("x-amz-security-token") {
        return token.to_str().ok().map(str::to_owned);
    }
    let query = uri.query().unwrap_or_default();
    // Values are long, and most of them are none of this one's.
    let name_may_be = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        name.contains('%') || name.eq_ignore_ascii_case("x-amz-security-token")
    };
    query
        .split('&')
        .filter(name_may_be)
        .flat_map(|pair| form_urlencoded::parse(pair.as_bytes()))
        .find(|(name, _)| name.eq_ignore_ascii_case("x-amz-security-token"))
        .map(|(_, token)| token.into_owned())
}

/// How the body is framed, if it is `aws-chunked`.
pub(crate) fn chunking(headers: &HeaderMap, limits: &Limits) -> Option<Chunking> {
    match headers.get("x-amz-content-sha256")?.to_str().ok()? {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Chunking::Unsigned),
        text if text.starts_with("STREAMING-") => {
            Some(Chunking::Signed { chunk_bytes_max: limits.signed_chunk_bytes_max })
        }
        _ => None,
    }
}

/// A body in chunks that may have something behind it and does not say what. AWS takes it if there is nothing; the library refuses it
/// unless there is the header, so it gets an empty one.
pub(crate) fn announce_nothing(headers: &mut HeaderMap) {
    let payload = headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok());
    let has_trailer =
        payload.is_some_and(|text| text.starts_with("STREAMING-") && text.ends_with("-TRAILER"));
    if has_trailer && !headers.contains_key(TRAILER) {
        headers.insert(TRAILER, HeaderValue::from_static(""));
    }
}

/// Whether something is put and no header says how long it is. HTTP/1.1 takes that for no content, AWS for a mistake; HTTP/2 needs no
/// such header, and AWS does not speak it.
pub(crate) fn is_lengthless(version: Version, method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::PUT
        && version < Version::HTTP_2
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

/// Refuses a body in chunks that does not say how many bytes are in them.
fn check_decoded_length(headers: &HeaderMap, limits: &Limits) -> Result<(), ApiError> {
    let is_length = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.parse::<u64>().is_ok());
    let given = headers.get("x-amz-decoded-content-length");
    match given.is_none_or(is_length) || chunking(headers, limits).is_none() {
        true => Ok(()),
        false => Err(ApiError::no_length()),
    }
}

/// The hash that the signature covers in place of the body, in hexadecimal.
pub(crate) fn payload_hash(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("x-amz-content-sha256")?.to_str().ok()?;
    (text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(text)
}

/// Whether the operation may take longer than a client waits for the first byte of an answer: copies and completions.
pub(crate) fn may_take_long(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let query = uri.query().unwrap_or_default();
    match *method {
        Method::PUT => headers.contains_key("x-amz-copy-source"),
        Method::POST => completes(query),
        _ => false,
    }
}

/// Whether the body is the list of parts of a completion. Checksums in its headers are those of the object.
pub(crate) fn lists_parts(method: &Method, uri: &Uri) -> bool {
    *method == Method::POST && completes(uri.query().unwrap_or_default())
}

fn completes(query: &str) -> bool {
    query.split('&').any(|pair| pair.starts_with("uploadId="))
}

/// Query parameters of requests whose body is a document: a list of objects to delete, or a setting.
const DOCUMENTS: [&str; 18] = [
    "accelerate",
    "acl",
    "cors",
    "delete",
    "encryption",
    "legal-hold",
    "lifecycle",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "requestPayment",
    "retention",
    "tagging",
    "versioning",
    "website",
    "logging",
];

/// Whether the body is a document, whose checksums are verified when it was read.
pub(crate) fn carries_document(method: &Method, uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    let names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    matches!(*method, Method::POST | Method::PUT) && names.into_iter().any(|name| DOCUMENTS.contains(&name))
}

/// Whether the query names no operation, and no operation without a name has this method, unless the bucket is in the host.
pub(crate) fn is_pointless(method: &Method, uri: &Uri) -> bool {
    let unnamed = || !uri.query().is_some_and(subresource::is_named);
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => false,
        Method::PUT | Method::DELETE => uri.path() == "/" && unnamed(),
        _ => unnamed(),
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn refused(method: Method, uri: &str, pairs: &[(&'static str, &str)]) -> Option<String> {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let now = OffsetDateTime::UNIX_EPOCH;
        check(&method, &uri.parse().unwrap(), &headers, &S3Options::default(), now)
            .err()
            .map(|error| error.code.into_owned())
    }

    #[test]
    fn a_method_that_s3_does_not_have_there_names_no_operation() {
        for (method, uri, pointless) in [
            (Method::PATCH, "/b/k?x=y", true),
            (Method::POST, "/b", true),
            (Method::POST, "/b?delete", false),
            (Method::PATCH, "/b?metadataConfiguration", false),
            (Method::PUT, "/", true),
            (Method::DELETE, "/?x", true),
            (Method::PUT, "/b", false),
            (Method::GET, "/", false),
        ] {
            assert_eq!(is_pointless(&method, &uri.parse().unwrap()), pointless, "{method} {uri}");
        }
    }

    #[test]
    fn old_signatures_and_huge_heads_are_refused() {
        assert_eq!(refused(Method::GET, "/b/k", &[]), None);
        let old = [("authorization", "AWS AKIA:c2ln")];
        assert_eq!(refused(Method::GET, "/b/k", &old).as_deref(), Some("InvalidRequest"));
        let long = "x".repeat(17 << 10);
        let huge = [("x-amz-meta-a", long.as_str())];
        assert_eq!(refused(Method::PUT, "/b/k", &huge).as_deref(), Some("RequestHeaderSectionTooLarge"));
    }

    #[test]
    fn a_session_token_is_found_in_a_header_and_in_a_query() {
        let mut headers = HeaderMap::new();
        let token = |query: &str, headers: &HeaderMap| {
            session_token(&format!("/b/k?{query}").parse().unwrap(), headers)
        };
        for (query, expected) in [
            ("", None),
            ("X-Amz-Security-Token", Some("")),
            ("a=b&X-Amz-Security-Token=t%2B/=+", Some("t+/= ")),
            ("x%2Damz-security-token=t&X-Amz-Security-Token=u", Some("t")),
            ("prefix=X-Amz-Security-Token", None),
        ] {
            assert_eq!(token(query, &headers).as_deref(), expected, "{query}");
        }
        headers.insert("x-amz-security-token", HeaderValue::from_static("h"));
        assert_eq!(token("X-Amz-Security-Token=t", &headers).as_deref(), Some("h"));
    }

    #[test]
    fn framing_follows_the_payload_header() {
        let limits = Limits::default();
        let mut headers = HeaderMap::new();
        assert_eq!(chunking(&headers, &limits), None);
        for (value, expected) in [
            ("UNSIGNED-PAYLOAD", None),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", Some(Chunking::Unsigned)),
            (
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                Some(Chunking::Signed { chunk_bytes_max: limits.signed_chunk_bytes_max }),
            ),
        ] {
            headers.insert("x-amz-content-sha256", HeaderValue::from_static(value));
            assert_eq!(chunking(&headers, &limits), expected, "{value}");
        }
    }
}
