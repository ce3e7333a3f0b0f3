//! Headers that a presigned URL carries in its query.
//!
//! Whoever opens a URL can rarely add headers, so SDKs move those that begin with `x-amz-` into the query when they sign
//! a URL, and AWS reads them there. The signature covers the query, so they are as good as signed headers. A URL whose
//! storage class, tags or metadata went unheeded would store something else than was signed.

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::error::ApiError;

/// Parameters that are about the signature itself, or read from the query where they are.
const OF_SIGNATURE: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// Whether a parameter of a presigned URL stands for a header. SDKs compute checksums when they sign, of the content that
/// they do not have yet; those are of nothing and mean nothing.
fn is_header(name: &str) -> bool {
    let checksum = name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode";
    name.starts_with("x-amz-")
        && !OF_SIGNATURE.contains(&name)
        && !checksum
        && name != "x-amz-sdk-checksum-algorithm"
}

/// The headers in a query, by their names in lower case.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    // Most URLs have nothing but the signature itself, which is seen without decoding it.
    let is_of_signature = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        OF_SIGNATURE.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    query
        .split('&')
        .filter(move |pair| !is_of_signature(pair))
        .flat_map(|pair| form_urlencoded::parse(pair.as_bytes()))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
        .filter(|(name, _)| is_header(name))
}

/// The names of the headers in the query of a presigned URL, which its signature covers.
pub(crate) fn names(query: &str) -> impl Iterator<Item = String> {
    pairs(query).map(|(name, _)| name)
}

/// Puts the headers in the query of a presigned URL among the others. One that is there already is refused: it would
/// mean one thing to whoever signed the URL and another to whoever opens it.
pub(crate) fn into_headers(uri: &Uri, headers: &mut HeaderMap) -> Result<(), ApiError> {
    let query = uri.query().unwrap_or_default();
    if !query.split('&').any(|pair| pair.starts_with("X-Amz-Signature=")) {
        return Ok(());
    }
    for (name, value) in pairs(query) {
        let invalid = |why| {
            ApiError::invalid_request("A parameter of the URL stands for a header and cannot be read.")
                .field("ParameterName", &name)
                .field("Reason", why)
        };
        let header = HeaderName::try_from(&name).map_err(|_| invalid("name"))?;
        let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid("value"))?;
        // Customers' keys are among them.
        value.set_sensitive(true);
        match headers.entry(header) {
            Entry::Vacant(place) => place.insert(value),
            Entry::Occupied(_) => return Err(invalid("it comes twice")),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(query: &str, given: &[(&'static str, &'static str)]) -> Result<HeaderMap, ApiError> {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = given.iter().map(pair).collect();
        into_headers(&format!("/b/k?{query}").parse().unwrap(), &mut headers).map(|()| headers)
    }

    #[test]
    fn headers_of_a_presigned_url_are_put_where_the_others_are() {
        let query = "X-Amz-Signature=00&X-Amz-Expires=60&x-amz-meta-A=b%20c&x-amz-tagging=a%3D1&x-id=PutObject\
                     &x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32";
        let found = headers(query, &[]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (&found["x-amz-meta-a"], &found["x-amz-tagging"]),
            (&"b c".parse().unwrap(), &"a=1".parse().unwrap())
        );
        assert_eq!(names(query).collect::<Vec<_>>(), ["x-amz-meta-a", "x-amz-tagging"]);
    }

    #[test]
    fn what_no_signature_covers_stays_where_it_is() {
        assert!(headers("x-amz-tagging=a%3D1", &[]).unwrap().is_empty());
        assert!(headers("Signature=0&x-amz-tagging=a%3D1", &[]).unwrap().is_empty());
    }

    #[test]
    fn header_has_one_value() {
        let signed = "X-Amz-Signature=00&x-amz-tagging=a%3D1";
        assert_eq!(headers(signed, &[("x-amz-tagging", "b=2")]).unwrap_err().code, "InvalidRequest");
        assert_eq!(headers(&format!("{signed}&X-Amz-Tagging=b"), &[]).unwrap_err().code, "InvalidRequest");
        assert_eq!(headers("X-Amz-Signature=00&x-amz-meta-a=%0A", &[]).unwrap_err().code, "InvalidRequest");
        assert_eq!(headers("X-Amz-Signature=00&x-amz-meta-%20=1", &[]).unwrap_err().code, "InvalidRequest");
    }
}
