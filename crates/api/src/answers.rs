//! What is sent back.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use strongroom_telemetry::RequestId;

/// The name of the header that carries the request id.
pub(crate) const REQUEST_ID: &str = "x-request-id";

#[derive(Debug, Serialize)]
struct Body {
    error: ErrorBody,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    request_id: String,
}

/// An error in the one shape that errors have here.
pub(crate) fn error(
    status: StatusCode,
    code: impl Into<Cow<'static, str>>,
    message: impl Into<Cow<'static, str>>,
    id: RequestId,
) -> Response {
    let error = ErrorBody { code: code.into(), message: message.into(), request_id: id.to_string() };
    (status, Json(Body { error })).into_response()
}

/// Headers of every answer.
pub(crate) fn stamp(headers: &mut HeaderMap, id: RequestId) {
    let id = HeaderValue::from_str(id.as_str()).expect("hexadecimal characters can be in a header");
    headers.insert(REQUEST_ID, id);
    // An object may have been stored with something else.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
