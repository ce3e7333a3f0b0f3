//! What a request says about its own signature. The signature itself is checked by the protocol library; here is what
//! that library leaves out. AWS, "Authenticating Requests (AWS Signature Version 4)".

pub(crate) mod claims;

use http::{HeaderMap, HeaderValue, header};

use crate::checksum::TRAILER;
use crate::error::ApiError;
use crate::hoisted;

/// The claims of a Signature Version 4, from the header or from a presigned URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    presigned: bool,
    access_key: String,
    signature: String,
    signed_headers: Vec<String>,
}

impl Signed {
    /// The claims, if the request makes any.
    pub(crate) fn parse(query: &str, headers: &HeaderMap) -> Option<Self> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let text = value.to_str().ok()?.strip_prefix("AWS4-HMAC-SHA256")?;
            let part = |name: &str| {
                text.split(',')
                    .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                    .map(str::to_owned)
            };
            return Some(Self::new(false, part("Credential"), part("SignedHeaders"), part("Signature")));
        }
        let (mut signature, mut credential, mut names) = (None, None, None);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "X-Amz-Signature" => signature = signature.or_else(|| Some(value.to_owned())),
                "X-Amz-Credential" => credential = credential.or_else(|| Some(with_separators(value))),
                "X-Amz-SignedHeaders" => names = names.or_else(|| Some(with_separators(value))),
                _ => {}
            }
        }
        signature.as_ref()?;
        let mut signed = Self::new(true, credential, names, signature);
        // The signature covers the query, and what stands there is in no header beside.
        signed.signed_headers.extend(hoisted::names(query));
        Some(signed)
    }

    fn new(
        presigned: bool,
        credential: Option<String>,
        names: Option<String>,
        signature: Option<String>,
    ) -> Self {
        let mut access_key = credential.unwrap_or_default();
        access_key.truncate(access_key.find('/').unwrap_or(access_key.len()));
        let signed_headers = names
            .unwrap_or_default()
            .split(';')
            .map(str::to_ascii_lowercase)
            .filter(|name| !name.is_empty())
            .collect();
        Self { presigned, access_key, signature: signature.unwrap_or_default(), signed_headers }
    }

    /// Whether it stands in the address.
    pub(crate) fn presigned(&self) -> bool {
        self.presigned
    }

    /// A wrong signature with what AWS tells of it.
    pub(crate) fn named_in(&self, error: ApiError) -> ApiError {
        error.field("AWSAccessKeyId", &self.access_key).field("SignatureProvided", &self.signature)
    }

    /// Whether the signature covers this header.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.signed_headers.iter().any(|signed| signed == name)
    }

    /// Refuses requests with headers that mean something and are not signed: whoever forwards a request could have
    /// added them.
    pub(crate) fn check_coverage(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let covered = |name: &str| self.covers(name);
        // A payload hash beside a presigned URL only ever makes the request stricter.
        let free = |name: &str| match name {
            "x-amz-content-sha256" => self.presigned,
            // It may have come from the date; either way the text that is signed begins with it.
            "x-amz-date" => covered("date"),
            // One that announces nothing means nothing, and is ours.
            TRAILER => headers.get(name).is_some_and(HeaderValue::is_empty),
            _ => false,
        };
        let mut missing: Vec<&str> = headers
            .keys()
            .map(header::HeaderName::as_str)
            .filter(|name| name.starts_with("x-amz-") && !covered(name) && !free(name))
            .collect();
        if !covered("host") {
            missing.push("host");
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        Err(ApiError::access_denied("There were headers present in the request which were not signed")
            .field("HeadersNotSigned", missing.join(", ")))
    }
}

/// A value out of a query with the slashes and semicolons that part what it says, which may be encoded there.
fn with_separators(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut pieces = value.split('%');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let separator = match piece.as_bytes().get(..2) {
            Some(b"2F" | b"2f") => '/',
            Some(b"3B" | b"3b") => ';',
            _ => {
                out.push('%');
                out.push_str(piece);
                continue;
            }
        };
        out.push(separator);
        out.push_str(&piece[2..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_authorization(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
    }

    const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=a/20260101/eu-x-1/s3/aws4_request, \
                                 SignedHeaders=host;x-amz-date, Signature=00";

    #[test]
    fn claims_are_read_from_header_and_query() {
        let signed = Signed::parse("", &with_authorization(AUTHORIZATION)).unwrap();
        assert_eq!((signed.access_key.as_str(), signed.signature.as_str()), ("a", "00"));
        assert_eq!(signed.signed_headers, ["host", "x-amz-date"]);
        let query = "X-Amz-Credential=a%2F20260101%2Fr%2Fs3%2Faws4_request&X-Amz-SignedHeaders=host%3Brange\
                     &X-Amz-Expires=60&X-Amz-Signature=00";
        let signed = Signed::parse(query, &HeaderMap::new()).unwrap();
        assert!(signed.presigned);
        assert_eq!((signed.access_key.as_str(), signed.signature.as_str()), ("a", "00"));
        assert_eq!(signed.signed_headers, ["host", "range"]);
        assert_eq!(Signed::parse("a=b", &HeaderMap::new()), None);
    }

    #[test]
    fn separators_are_read_encoded_or_not_and_nothing_else_is_decoded() {
        for (value, plain) in [
            ("", ""),
            ("a/b;c", "a/b;c"),
            ("a%2Fb%2fc%3Bd%3be", "a/b/c;d;e"),
            ("%2F%2F", "//"),
            ("%252F%41%", "%252F%41%"),
            ("%2", "%2"),
            ("%é2F", "%é2F"),
        ] {
            assert_eq!(with_separators(value), plain, "{value}");
        }
        // The first of two counts.
        let query = "X-Amz-Signature=0&X-Amz-SignedHeaders=host&X-Amz-SignedHeaders=range";
        assert_eq!(Signed::parse(query, &HeaderMap::new()).unwrap().signed_headers, ["host"]);
    }

    #[test]
    fn header_that_is_not_signed_is_named() {
        let mut headers = with_authorization(AUTHORIZATION);
        let signed = Signed::parse("", &headers).unwrap();
        headers.insert("x-amz-date", HeaderValue::from_static("1"));
        headers.insert("range", HeaderValue::from_static("bytes=0-1"));
        assert!(signed.check_coverage(&headers).is_ok());
        headers.insert("x-amz-acl", HeaderValue::from_static("public-read"));
        let error = signed.check_coverage(&headers).unwrap_err();
        assert_eq!(error.fields, [("HeadersNotSigned", "x-amz-acl".to_owned())]);
        // What was signed with the date is covered by it.
        let of_date = AUTHORIZATION.replace("x-amz-date", "date");
        headers.remove("x-amz-acl");
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&of_date).unwrap());
        assert!(Signed::parse("", &headers).unwrap().check_coverage(&headers).is_ok());
    }
}
