//! The element of an encryption configuration that the protocol library does not know: `BlockedEncryptionTypes`.
//!
//! The library refuses documents with elements it does not know. So it is taken out of the document before the library
//! reads it, and put into the one that is answered. AWS S3 API Reference, "BlockedEncryptionTypes".

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Uri};
use s3s::Body;
use s3s::dto::ServerSideEncryptionRule;

use crate::checksum;
use crate::error::{ApiError, DECLARATION, escape};
use crate::wire::content;

/// Longest document in bytes: one rule with the longest key id has less than a tenth of it.
const DOCUMENT_LEN_MAX: usize = 64 << 10;
const OPEN: &str = "<BlockedEncryptionTypes>";
const CLOSE: &str = "</BlockedEncryptionTypes>";
const EMPTY: &str = "<BlockedEncryptionTypes/>";

/// Whether a request brings such a document.
pub(crate) fn is_brought_by(method: &Method, uri: &Uri) -> bool {
    let names = |part: &str| part.split('=').next() == Some("encryption");
    method == Method::PUT && uri.query().is_some_and(|query| query.split('&').any(names))
}

/// The document without the element, and whether the element blocks customers' keys. The headers are changed to fit.
pub(crate) async fn taken_out(body: Body, headers: &mut HeaderMap) -> Result<(Body, Option<bool>), ApiError> {
    let whole = content::document(body, DOCUMENT_LEN_MAX).await?;
    checksum::verify_document(headers, std::slice::from_ref(&whole))?;
    // They are of the document as it came, and were verified.
    let of_content =
        |name: &&HeaderName| name.as_str().starts_with("x-amz-checksum-") || name.as_str() == "content-md5";
    let names: Vec<HeaderName> = headers.keys().filter(of_content).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    let text = std::str::from_utf8(&whole).map_err(|_| ApiError::malformed_xml())?;
    let (rest, blocked) = split(text).ok_or_else(ApiError::malformed_xml)?;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(rest.len()));
    Ok((Body::from(Bytes::from(rest)), blocked))
}

/// A document and what was taken out of it; `None` if that is malformed.
fn split(text: &str) -> Option<(String, Option<bool>)> {
    // In a comment, a CDATA section or a definition the element would be none, and with a prefix it has another name, which the
    // library refuses.
    if text.contains("<!") && text.contains("BlockedEncryptionTypes") {
        return None;
    }
    if let Some((before, after)) = text.split_once(EMPTY) {
        return unique(after).then(|| (format!("{before}{after}"), Some(false)));
    }
    let Some((before, rest)) = text.split_once(OPEN) else {
        return Some((text.to_owned(), None));
    };
    let (inside, after) = rest.split_once(CLOSE)?;
    let mut blocked = false;
    let mut inside = inside.trim();
    while !inside.is_empty() {
        let (kind, next) = inside.strip_prefix("<EncryptionType>")?.split_once("</EncryptionType>")?;
        match kind.trim() {
            "SSE-C" => blocked = true,
            "NONE" => {}
            _ => return None,
        }
        inside = next.trim_start();
    }
    unique(after).then(|| (format!("{before}{after}"), Some(blocked)))
}

fn unique(rest: &str) -> bool {
    !rest.contains("<BlockedEncryptionTypes")
}

/// A configuration of this rule that blocks customers' keys, or nothing in so many words.
pub(crate) fn document(rule: &ServerSideEncryptionRule, blocked: bool) -> String {
    let mut out = format!(
        "{DECLARATION}<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>"
    );
    if let Some(default) = &rule.apply_server_side_encryption_by_default {
        out.push_str("<ApplyServerSideEncryptionByDefault>");
        if let Some(key_id) = &default.kms_master_key_id {
            out.push_str("<KMSMasterKeyID>");
            escape(key_id, &mut out);
            out.push_str("</KMSMasterKeyID>");
        }
        out.push_str("<SSEAlgorithm>");
        out.push_str(default.sse_algorithm.as_str());
        out.push_str("</SSEAlgorithm></ApplyServerSideEncryptionByDefault>");
    }
    let bucket_key = rule.bucket_key_enabled.unwrap_or(false);
    out.push_str(&format!("<BucketKeyEnabled>{bucket_key}</BucketKeyEnabled>"));
    let kind = if blocked { "SSE-C" } else { "NONE" };
    out.push_str(&format!("{OPEN}<EncryptionType>{kind}</EncryptionType>{CLOSE}"));
    out.push_str("</Rule></ServerSideEncryptionConfiguration>");
    out
}

/// Whatever the document is, what is left of it has the element no more.
#[cfg(feature = "fuzzing")]
pub(crate) fn split_for_fuzzing(bytes: &[u8]) -> bool {
    let Some((rest, _)) = std::str::from_utf8(bytes).ok().and_then(split) else { return false };
    assert!(rest.len() <= bytes.len());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_element_is_taken_out_and_what_it_says_is_kept() {
        let with = |inside: &str| format!("<C><Rule><A/>{inside}</Rule></C>");
        let rows = [
            ("", Some(None)),
            ("<BlockedEncryptionTypes/>", Some(Some(false))),
            ("<BlockedEncryptionTypes></BlockedEncryptionTypes>", Some(Some(false))),
            (
                "<BlockedEncryptionTypes>\n <EncryptionType>SSE-C</EncryptionType>\n</BlockedEncryptionTypes>",
                Some(Some(true)),
            ),
            (
                "<BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType></BlockedEncryptionTypes>",
                Some(Some(false)),
            ),
            ("<BlockedEncryptionTypes><EncryptionType>SSE-X</EncryptionType></BlockedEncryptionTypes>", None),
            ("<BlockedEncryptionTypes>SSE-C</BlockedEncryptionTypes>", None),
            ("<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType>", None),
            ("<BlockedEncryptionTypes/><BlockedEncryptionTypes/>", None),
            ("<!-- <BlockedEncryptionTypes/> -->", None),
            ("<![CDATA[<BlockedEncryptionTypes/>]]>", None),
        ];
        for (inside, expected) in rows {
            let expected = expected.map(|blocked| (with(""), blocked));
            assert_eq!(split(&with(inside)), expected, "{inside}");
        }
    }

    #[test]
    fn only_configurations_of_encryption_are_looked_at() {
        let brought = |uri: &str| is_brought_by(&Method::PUT, &uri.parse().unwrap());
        assert!(brought("/b?encryption") && brought("/b?encryption=") && brought("/b?x-id=Put&encryption"));
        assert!(!brought("/b/encryption") && !brought("/b?encryption-x") && !brought("/b"));
        assert!(!is_brought_by(&Method::GET, &"/b?encryption".parse().unwrap()));
    }
}
