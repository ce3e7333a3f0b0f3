//! What is sent back.

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
    code: &'static str,
    message: &'static str,
    request_id: String,
}

/// An error that anybody may see.
pub(crate) fn error(
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    id: RequestId,
) -> Response {
    let error = ErrorBody { code, message, request_id: id.to_string() };
    (status, Json(Body { error })).into_response()
}

/// Headers of every answer.
pub(crate) fn stamp(headers: &mut HeaderMap, id: RequestId) {
    let id = HeaderValue::from_str(id.as_str()).expect("hexadecimal characters can be in a header");
    headers.insert(REQUEST_ID, id);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
