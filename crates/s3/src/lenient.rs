//! What the protocol library refuses and AWS does not: headers that mean nothing if they cannot be read, documents in chunks.
//!
//! A `Range` that is not one range of bytes is ignored (RFC 9110, section 14.2, and AWS, "GetObject": one range only);
//! `Expires` is stored as it is given. The library reads both as soon as the signature is checked, and usually the
//! signature covers them, so they can neither be taken away before nor be read otherwise after. Its hook for routes
//! lies in between: it hands over the request with its signature checked, and the request goes through the library a
//! second time, without the header and with a note of who was found to ask.
//!
//! A completion goes the same way, since its parts may have checksums that the library does not know (`checksum_document`).
//!
//! A document that came in chunks (`aws-chunked`) is put together on the same way. The library unframes it, and then expects it
//! to be as long as `Content-Length` says, which is the length of the framed one.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, EXPIRES, HOST, HeaderName, RANGE};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri};
use s3s::dto::{Range, Timestamp, TimestampFormat};
use s3s::route::S3Route;
use s3s::service::S3Service;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders};

use crate::checksum_document::{self, NamedPart};
use crate::encryption_document;
use crate::error::ApiError;
use crate::face::fail;
use crate::request::RequestState;
use crate::sigv4::Signed;
use crate::wire::{content, head};

/// What is known of a request that comes a second time. Nobody else makes one.
#[derive(Clone)]
pub(crate) struct Verified {
    /// Whose signature the request had.
    pub(crate) access_key: String,
    /// Trailers of a body that was unframed already.
    pub(crate) trailers: Option<TrailingHeaders>,
    /// `Expires` as it was given.
    pub(crate) expires: Option<HeaderValue>,
    /// What the document of a bucket's encryption said of customers' keys, which the library cannot read.
    pub(crate) customer_keys_blocked: Option<bool>,
    /// The parts of a completion, if the library could not read them.
    pub(crate) named_parts: Option<Vec<NamedPart>>,
}

/// The header to ignore, if there is one.
fn unreadable(method: &Method, headers: &HeaderMap) -> Option<HeaderName> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match *method {
        Method::GET | Method::HEAD => {
            text(RANGE).filter(|range| !range.is_empty() && Range::parse(range).is_err()).map(|_| RANGE)
        }
        Method::PUT | Method::POST => text(EXPIRES)
            .filter(|date| !date.is_empty() && Timestamp::parse(TimestampFormat::HttpDate, date).is_err())
            .map(|_| EXPIRES),
        _ => None,
    }
}

/// Takes a header away that means nothing and is not signed.
pub(crate) fn drop_unsigned_range(method: &Method, signed: Option<&Signed>, headers: &mut HeaderMap) {
    if unreadable(method, headers) == Some(RANGE)
        && !signed.is_some_and(|signed| signed.covers(RANGE.as_str()))
    {
        headers.remove(RANGE);
    }
}

/// The address without the signature of a presigned URL, which was checked with the headers that are gone now. The rest of it stays:
/// conditions may ask for its date.
fn without_signature(uri: Uri) -> Uri {
    let Some(query) = uri.query() else { return uri };
    let is_other = |pair: &&str| {
        form_urlencoded::parse(pair.as_bytes()).next().is_none_or(|(name, _)| name != "X-Amz-Signature")
    };
    let rest: Vec<_> = query.split('&').filter(is_other).collect();
    let target = format!("{}?{}", uri.path(), rest.join("&"));
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(target.try_into().expect("pieces of a target are one"));
    Uri::from_parts(parts).expect("only the query is another one")
}

/// Sends requests with such a header or document through the library again.
pub(crate) struct Again {
    pub(crate) library: S3Service,
    /// Longest document in bytes.
    pub(crate) document_bytes_max: usize,
}

#[async_trait::async_trait]
impl S3Route for Again {
    fn is_match(&self, method: &Method, uri: &Uri, headers: &HeaderMap, extensions: &mut Extensions) -> bool {
        // Requests without a signature are for the gate to refuse.
        let Some(state) = extensions.get::<RequestState>().filter(|state| state.signed().is_some()) else {
            return false;
        };
        state.has_document_in_chunks()
            || unreadable(method, headers).is_some()
            || encryption_document::is_brought_by(method, uri)
            || head::lists_parts(method, uri)
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let state = request.extensions.get::<RequestState>().cloned();
        let state = state.expect("the service puts the state into every request");
        let refuse = |error| fail(&state, error);
        if request.credentials.is_none() {
            return Err(refuse(ApiError::access_denied("Access Denied")));
        }
        let signed = state.signed().ok_or_else(|| refuse(ApiError::access_denied("Access Denied")))?;
        signed.check_coverage(&request.headers).map_err(refuse)
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let Some(credentials) = request.credentials else { return Err(S3ErrorCode::AccessDenied.into()) };
        let header = unreadable(&request.method, &request.headers);
        let removed = header.as_ref().and_then(|header| request.headers.remove(header));
        let state = request.extensions.get::<RequestState>().cloned();
        let state = state.expect("the service puts the state into every request");
        let (mut customer_keys_blocked, mut named_parts) = (None, None);
        let lists_parts = head::lists_parts(&request.method, &request.uri);
        if encryption_document::is_brought_by(&request.method, &request.uri) {
            let taken = encryption_document::taken_out(request.input, &mut request.headers).await;
            (request.input, customer_keys_blocked) = taken.map_err(|error| fail(&state, error))?;
        } else if lists_parts || state.has_document_in_chunks() {
            let whole = content::document(request.input, self.document_bytes_max).await;
            let mut whole = whole.map_err(|error| fail(&state, error))?;
            if lists_parts {
                let taken = checksum_document::taken_out(whole);
                (whole, named_parts) = taken.map_err(|error| fail(&state, error))?;
            }
            request.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
            request.input = Body::from(whole);
        }
        request.headers.remove(AUTHORIZATION);
        request.extensions.insert(Verified {
            access_key: credentials.access_key,
            trailers: request.trailing_headers,
            expires: removed.filter(|_| header == Some(EXPIRES)),
            customer_keys_blocked,
            named_parts,
        });
        let mut again = Request::new(request.input);
        *again.method_mut() = request.method;
        *again.uri_mut() = without_signature(request.uri);
        *again.headers_mut() = request.headers;
        *again.extensions_mut() = request.extensions;
        debug_assert!(again.headers().contains_key(HOST), "the library adds it for HTTP/2");
        let answer = self.library.call(again).await.map_err(|_| S3Error::new(S3ErrorCode::InternalError))?;
        let (parts, body) = answer.into_parts();
        let mut response = S3Response::with_status(body, parts.status);
        response.headers = parts.headers;
        response.extensions = parts.extensions;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(method: Method, name: HeaderName, value: &'static str) -> bool {
        let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(value))]);
        unreadable(&method, &headers) == Some(name)
    }

    #[test]
    fn only_what_cannot_be_read_is_ignored() {
        for range in ["bytes=9-1", "octets=0-1", "bytes=x-y", "bytes=0-1,3-4", "bytes=", "0-1"] {
            assert!(ignored(Method::GET, RANGE, range), "{range}");
            assert!(!ignored(Method::PUT, RANGE, range), "{range}");
        }
        for range in ["bytes=0-1", "bytes=100-", "bytes=-5", ""] {
            assert!(!ignored(Method::GET, RANGE, range), "{range}");
        }
        assert!(ignored(Method::PUT, EXPIRES, "tomorrow"));
        assert!(ignored(Method::PUT, EXPIRES, "0"));
        assert!(!ignored(Method::PUT, EXPIRES, "Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(!ignored(Method::GET, EXPIRES, "tomorrow"));
    }

    #[test]
    fn only_the_signature_is_taken_out_of_an_address() {
        for (with, without) in [
            ("/b?encryption&X-Amz-Date=1&X-Amz-Signature=00", "/b?encryption&X-Amz-Date=1"),
            ("/b?X%2DAmz-Signature=00&encryption=", "/b?encryption="),
            ("http://h:1/b/%2F?X-Amz-Signature=00&a=%20+&", "http://h:1/b/%2F?a=%20+&"),
            ("/b?X-Amz-Signature-2=1", "/b?X-Amz-Signature-2=1"),
            ("/b", "/b"),
        ] {
            assert_eq!(without_signature(with.parse().unwrap()), without, "{with}");
        }
    }

    #[test]
    fn range_that_no_signature_covers_is_taken_away() {
        let mut headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=9-1"))]);
        let covering = Signed::parse("X-Amz-SignedHeaders=host%3Brange&X-Amz-Signature=00", &headers);
        drop_unsigned_range(&Method::GET, covering.as_ref(), &mut headers);
        assert!(headers.contains_key(RANGE));
        let other = Signed::parse("X-Amz-SignedHeaders=host&X-Amz-Signature=00", &headers);
        drop_unsigned_range(&Method::GET, other.as_ref(), &mut headers);
        assert!(headers.is_empty());
    }
}
