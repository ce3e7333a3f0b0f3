//! Which path does what.

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::{AdminDeps, AdminError, PREFIX, audit, backup, checkpoint, keys, reseal};
pub(super) use crate::refusal::{Body, Parameters};
use crate::refusal::{Refusal, explain, wrong_method};
use crate::rest;
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
        .route("/audit", get(audit::get))
        .route("/events", get(audit::events))
        .route("/checkpoint", post(checkpoint::post))
        .route("/backup", get(backup::get).post(backup::post).delete(backup::delete))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let mut router = Router::new().nest(PREFIX, paths);
    if let Some(rest) = deps.rest.clone() {
        router = router.merge(rest::router(rest));
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(explain))
        .layer(middleware::from_fn_with_state(deps.clone(), observe))
        .with_state(deps)
}

/// Gives the request its id, and counts and logs it.
async fn observe(State(deps): State<AdminDeps>, request: Request, next: Next) -> Response {
    observed((deps.request_ids)(), request, next).await
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        Refusal::new(self.status(), self.code, self.message).into_response()
    }
}
