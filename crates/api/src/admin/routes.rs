//! Which path does what, and what every one of them refuses.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::de::DeserializeOwned;
use strongroom_telemetry::RequestId;

use super::{AdminDeps, AdminError, Fault, PREFIX, backup, checkpoint, keys, reseal};
use crate::answers;
use crate::routes::{not_found, observed};

/// No request needs more; the longest thing in one is a key's id.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What a handler gives.
pub(super) type Answer<T> = Result<Json<T>, AdminError>;

pub(super) fn router(deps: AdminDeps) -> Router {
    let paths = Router::new()
        .route("/keys/groups", get(keys::groups))
        .route("/keys/rotate", post(keys::rotate))
        .route("/keys/root", get(keys::root))
        .route("/keys/root/change", post(keys::change_root))
        .route("/reseal", get(reseal::get).patch(reseal::patch))
        .route("/checkpoint", post(checkpoint::post))
        .route("/backup", get(backup::get).post(backup::post).delete(backup::delete));
    Router::new()
        .nest(PREFIX, paths)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(explain))
        .layer(middleware::from_fn_with_state(deps.clone(), observe))
        .with_state(deps)
}

/// Gives the request its id, and counts and logs it.
async fn observe(State(deps): State<AdminDeps>, request: Request, next: Next) -> Response {
    observed((deps.request_ids)(), request, next).await
}

/// Which methods the path takes differs, and axum says it in `Allow`.
async fn wrong_method(Extension(id): Extension<RequestId>) -> Response {
    let message = "This path does not take this method.";
    answers::error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message, id)
}

/// Turns a handler's error into the body that all errors have, with the request's id.
async fn explain(Extension(id): Extension<RequestId>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(Refusal { status, code, message }) = response.extensions_mut().remove() else { return response };
    if status.is_server_error() {
        tracing::warn!(code, message, "an administrator's request failed");
    }
    answers::error(status, code, message, id)
}

/// What [`explain`] is to say. It travels as an extension because a handler does not know the request's id.
#[derive(Debug, Clone)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let refusal = Refusal { status: self.status(), code: self.code, message: self.message };
        refused(refusal)
    }
}

fn refused(refusal: Refusal) -> Response {
    let mut response = refusal.status.into_response();
    response.extensions_mut().insert(refusal);
    response
}

/// A request's body: JSON with known fields.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let Json(value) = Json::from_request(request, state).await.map_err(|error: JsonRejection| {
            let status = match error.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                other => other,
            };
            let code = match status {
                StatusCode::PAYLOAD_TOO_LARGE => "BodyTooLarge",
                StatusCode::UNSUPPORTED_MEDIA_TYPE => "NotJson",
                _ => "MalformedBody",
            };
            refused(Refusal { status, code, message: error.body_text() })
        })?;
        Ok(Self(value))
    }
}

/// The part of the address after `?`, with known names.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminError> {
        let Query(value) =
            Query::from_request_parts(parts, state).await.map_err(|error: QueryRejection| {
                AdminError::new(Fault::Request, "MalformedQuery", error.body_text())
            })?;
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_words_until_it_is_explained() {
        let error = AdminError::new(Fault::Missing, "NoSuchBucket", "no bucket `b`");
        let mut response = error.into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let refusal: Refusal = response.extensions_mut().remove().unwrap();
        assert_eq!((refusal.code, refusal.message.as_str()), ("NoSuchBucket", "no bucket `b`"));
        assert!(!response.headers().contains_key("content-type"), "the body comes later");
    }
}
