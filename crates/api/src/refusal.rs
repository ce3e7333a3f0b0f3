//! What every request can be refused for, and how a refusal gets its words.

use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::de::DeserializeOwned;
use strongroom_telemetry::RequestId;
use tokio::time::timeout;

use crate::answers;

/// How long a client may take to send a body that is kept in memory.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// A refusal, for the client to read. As a response it is empty until [`explain`] gives it the body that all errors have: a
/// handler does not know the request's id.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// One word for programs.
    pub(crate) code: &'static str,
    /// What happened and what to do, for people.
    pub(crate) message: String,
    /// What else the answer's header says.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    /// With this in the header as well, if a header can hold it.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Turns a refusal into the body that all errors have, with the request's id.
pub(crate) async fn explain(
    Extension(id): Extension<RequestId>,
    request: Request,
    next: Next,
) -> Response<HttpBody> {
    let mut response = next.run(request).await;
    let Some(Refusal { status, code, message, headers }) = response.extensions_mut().remove() else {
        return response;
    };
    if status.is_server_error() {
        tracing::warn!(code, message, "a request failed");
    }
    // RFC 9110 §15.4.5: this status has no body.
    let mut response = match status {
        StatusCode::NOT_MODIFIED => status.into_response(),
        _ => answers::error(status, code, message, id),
    };
    response.headers_mut().extend(headers);
    response
}

/// A request's body: a JSON object with known fields.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let bytes = whole(Request::from_parts(parts.clone(), body), state).await?;
        let again = Request::from_parts(parts, HttpBody::from(bytes.clone()));
        let Json(value) = Json::from_request(again, state).await.map_err(|error: JsonRejection| {
            let status = match error.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                other => other,
            };
            let code = match status {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => "NotJson",
                _ => "MalformedBody",
            };
            Refusal::new(status, code, error.body_text())
        })?;
        // The reader takes a list for the values of the fields in their order, which no client means.
        match bytes.trim_ascii_start().first() {
            Some(b'{') => Ok(Self(value)),
            _ => Err(Refusal::bad_request("MalformedBody", "The body is no JSON object: write `{…}`.")),
        }
    }
}

/// All of a body that is kept in memory.
pub(crate) async fn whole<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    in_time(Bytes::from_request(request, state)).await?.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = "The body is longer than this request takes: 64 KiB, but for an object's content.";
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "BodyTooLarge", message)
        }
        status => Refusal::new(status, "MalformedBody", error.body_text()),
    })
}

/// What `reading` a body gives, unless its client takes too long.
async fn in_time<T>(reading: impl Future<Output = T>) -> Result<T, Refusal> {
    let late = |_| {
        let message = "The body did not come in time.";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message)
    };
    timeout(BODY_TIME_MAX, reading).await.map_err(late)
}

/// The part of the address after `?`, with known names.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|error: QueryRejection| Refusal::bad_request("MalformedQuery", error.body_text()))?;
        Ok(Self(value))
    }
}

/// The names in the path.
pub(crate) struct Names<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Names<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(value) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error: PathRejection| Refusal::bad_request("MalformedPath", error.body_text()))?;
        Ok(Self(value))
    }
}

/// Which methods the path takes differs, and axum says it in `Allow`.
pub(crate) async fn wrong_method(Extension(id): Extension<RequestId>) -> Response {
    let message = "This path does not take this method.";
    answers::error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_words_until_it_is_explained() {
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "NoSuchBucket", "no bucket `b`");
        let mut response = refusal.into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let refusal: Refusal = response.extensions_mut().remove().unwrap();
        assert_eq!((refusal.code, refusal.message.as_str()), ("NoSuchBucket", "no bucket `b`"));
        assert!(!response.headers().contains_key("content-type"), "the body comes later");
    }
}
