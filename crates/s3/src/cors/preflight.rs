//! Preflight requests: what a browser asks before it lets a page send something. They carry no signature.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, StatusCode, Uri};

use super::{Cors, CorsMethod, VARIES, is_header_name, put};
use crate::error::ApiError;

const NOT_ALLOWED: &str = "CORSResponse: This CORS request is not allowed. This is usually because the evalution of \
                           Origin, request method / Access-Control-Request-Method or \
                           Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.";

/// Headers asked about by one preflight at most.
pub(crate) const HEADERS_MAX: usize = 100;

impl Cors {
    /// The headers of the answer to `OPTIONS`, or why there are none.
    pub(crate) fn preflight(&self, uri: &Uri, headers: &HeaderMap) -> Result<HeaderMap, ApiError> {
        let bad = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "BadRequest", message);
        let Some(origin) = headers.get(ORIGIN) else {
            return Err(bad("Insufficient information. Origin request header needed.".to_owned()));
        };
        let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD).and_then(|method| method.to_str().ok());
        let Some(asked) = method.and_then(CorsMethod::parse) else {
            return Err(bad(format!("Invalid Access-Control-Request-Method: {}", method.unwrap_or("null"))));
        };
        if let Some(name) = names(headers).find(|name| !is_header_name(name)) {
            return Err(bad(format!(
                "Access-Control-Request-Headers \"{name}\" contains invalid character."
            )));
        }
        let forbidden = |message: &'static str| {
            ApiError::new(StatusCode::FORBIDDEN, "AccessForbidden", message)
                .field("Method", asked.name())
                .field("ResourceType", if is_object(uri) { "OBJECT" } else { "BUCKET" })
                .header(VARY, VARIES.to_str().unwrap_or_default())
        };
        // The same for a bucket that is not there: nobody is to learn which there are without asking as somebody.
        let config = self.bucket(uri, headers).and_then(|bucket| self.config(&bucket));
        let config = config.ok_or_else(|| forbidden("CORSResponse: CORS is not enabled for this bucket."))?;
        let wanted = wanted(headers).ok_or_else(|| forbidden(NOT_ALLOWED))?;
        let text = origin.to_str().map_err(|_| forbidden(NOT_ALLOWED))?;
        let rule = config
            .rules
            .iter()
            .find(|rule| rule.allows(text, asked) && wanted.iter().all(|header| rule.takes(header)))
            .ok_or_else(|| forbidden(NOT_ALLOWED))?;
        let mut answer = rule.headers(origin);
        if !wanted.is_empty() {
            put(&mut answer, ACCESS_CONTROL_ALLOW_HEADERS, &wanted.join(", "));
        }
        answer.insert(VARY, VARIES);
        Ok(answer)
    }
}

/// The headers that the page wants to send, as far as they can be read.
fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// The headers that the page wants to send, in lower case. `None` if they cannot be read or are too many.
pub(crate) fn wanted(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut wanted = Vec::new();
    for line in headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        let names = line.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty());
        wanted.extend(names.map(str::to_ascii_lowercase));
    }
    (wanted.len() <= HEADERS_MAX).then_some(wanted)
}

/// Whether the path goes on behind the bucket. With the bucket in the host, any path is an object's.
fn is_object(uri: &Uri) -> bool {
    uri.path().trim_matches('/').contains('/')
}
