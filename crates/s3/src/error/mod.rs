//! Errors as a client sees them: code, status, message, and the fields AWS adds.

mod from_library;
mod object;
mod xml;

use std::borrow::Cow;
use std::fmt;

use http::{HeaderName, HeaderValue, StatusCode};

pub(crate) use from_library::from_library;
pub(crate) use object::{Subject, answer, log_failure, no_such_upload};
pub(crate) use xml::{DECLARATION, document, element, escape};

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) code: Cow<'static, str>,
    pub(crate) status: StatusCode,
    pub(crate) message: Cow<'static, str>,
    /// Elements between `Message` and `RequestId`, in order.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// Headers besides those that every answer has.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { code: code.into(), status, message: message.into(), fields: Vec::new(), headers: Vec::new() }
    }

    /// With an element more.
    pub(crate) fn field(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// With a header more. A value that cannot stand in a header is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// `InvalidRequest`.
    pub(crate) fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request("InvalidRequest", message)
    }

    /// `InvalidArgument` about a named header or parameter.
    pub(crate) fn invalid_argument(
        name: &'static str,
        value: impl fmt::Display,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::bad_request("InvalidArgument", message)
            .field("ArgumentName", name)
            .field("ArgumentValue", value)
    }

    /// `AccessDenied`.
    pub(crate) fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    /// `MalformedXML`.
    pub(crate) fn malformed_xml() -> Self {
        Self::bad_request("MalformedXML", messages::MALFORMED_XML)
    }

    /// `MissingRequestBodyError`: there is no document where one is needed.
    pub(crate) fn no_document() -> Self {
        Self::bad_request("MissingRequestBodyError", "Request Body is empty")
    }

    /// `NotImplemented`.
    pub(crate) fn not_implemented(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// `MethodNotAllowed`, for a kind of resource: `SERVICE`, `BUCKET`, `OBJECT`. The method is added where it is known.
    pub(crate) fn method_not_allowed(resource: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", messages::METHOD)
            .field("ResourceType", resource)
    }

    /// `InternalError`: says nothing of what is behind it.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", messages::INTERNAL)
    }

    /// `RequestTimeout`.
    pub(crate) fn request_timeout() -> Self {
        Self::bad_request("RequestTimeout", messages::TIMEOUT)
    }

    /// `IncompleteBody`.
    pub(crate) fn incomplete_body() -> Self {
        Self::bad_request("IncompleteBody", "The request body terminated unexpectedly")
    }

    /// `MissingContentLength`.
    pub(crate) fn no_length() -> Self {
        let message = "You must provide the Content-Length HTTP header.";
        Self::new(StatusCode::LENGTH_REQUIRED, "MissingContentLength", message)
    }

    /// A bucket's configuration that is not there: 404 with AWS's code for that configuration.
    pub(crate) fn no_configuration(code: &'static str, message: &'static str, bucket: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message).field("BucketName", bucket)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither message nor fields: they may hold names of objects, and errors end up in logs.
        f.write_str(&self.code)
    }
}

impl std::error::Error for ApiError {}

/// AWS's sentences that more than one place needs.
pub(crate) mod messages {
    pub(crate) const MALFORMED_XML: &str =
        "The XML you provided was not well-formed or did not validate against our published schema";
    pub(crate) const INTERNAL: &str = "We encountered an internal error. Please try again.";
    pub(crate) const SIGNATURE: &str = "The request signature we calculated does not match the signature you \
                                        provided. Check your key and signing method.";
    pub(crate) const SKEWED: &str =
        "The difference between the request time and the current time is too large.";
    pub(crate) const EXPIRED: &str = "Request has expired";
    pub(crate) const NO_VERSION_2: &str =
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
    pub(crate) const NO_4A: &str =
        "Signatures with AWS4-ECDSA-P256-SHA256 are not implemented. Please use AWS4-HMAC-SHA256.";
    pub(crate) const METHOD: &str = "The specified method is not allowed against this resource.";
    pub(crate) const TIMEOUT: &str = "Your socket connection to the server was not read from or written to within \
                                      the timeout period. Idle connections will be closed.";
    pub(crate) const TRAILER: &str = "The request contained trailing data that was not well-formed or did not conform to our \
                                      published schema.";
    pub(crate) const PART_NUMBER: &str = "Part number must be an integer between 1 and 10000, inclusive";
    pub(crate) const NO_ATTRIBUTES: &str = "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty";
    pub(crate) const COPY_SOURCE_ENCODING: &str = "Invalid copy source encoding";
    pub(crate) const COPY_SOURCE_BUCKET: &str = "Invalid copy source bucket name";
    pub(crate) const COPY_SOURCE_KEY: &str = "Invalid copy source object key";
}
