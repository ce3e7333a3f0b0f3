//! Which path does what.

use std::fmt;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use metrics::counter;
use serde::Serialize;
use strongroom_telemetry::{Metrics, RequestId, names};
use tracing::Instrument;

use crate::refusal::{explain, wrong_method};
use crate::rest::{self, Rest};
use crate::{Check, CheckError, answers};

/// The content type of the Prometheus text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the API works with.
#[derive(Clone)]
pub struct ApiDeps {
    /// What `/health/ready` tries.
    pub checks: Arc<[Check]>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What `/metrics/keys` shows: series of each key of each group, in the Prometheus text format.
    pub key_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What is under `/api/v1`; none serves health and metrics alone.
    pub rest: Option<Rest>,
    /// Makes the id of the next request.
    pub request_ids: Arc<dyn Fn() -> RequestId + Send + Sync>,
    /// Connections open at once; others wait until one of them ends.
    pub connections_max: usize,
}

impl fmt::Debug for ApiDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiDeps").field("checks", &self.checks).finish_non_exhaustive()
    }
}

pub(crate) fn router(deps: ApiDeps) -> Router {
    let mut router = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics_text))
        .route("/metrics/keys", get(key_metrics_text));
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
async fn observe(State(deps): State<ApiDeps>, request: Request, next: Next) -> Response {
    observed((deps.request_ids)(), request, next).await
}

/// Answers a request that has this id, and counts and logs it.
pub(crate) async fn observed(id: RequestId, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // What a client made up is neither a label nor a log field.
    let route = path.unwrap_or_else(|| "other".to_owned());
    // Of the level of errors, so that whatever level is logged, a line about a request says which.
    let span = tracing::error_span!("api", request_id = %id, route);
    request.extensions_mut().insert(id);
    let mut response = next.run(request).instrument(span.clone()).await;
    answers::stamp(response.headers_mut(), id);
    let status = response.status();
    counter!(names::API_REQUESTS, "route" => route, "status" => status.as_str().to_owned()).increment(1);
    tracing::debug!(parent: &span, status = status.as_u16(), "answered");
    response
}

#[derive(Debug, Serialize)]
struct Live {
    status: &'static str,
}

async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

#[derive(Debug, Serialize)]
struct Ready {
    status: &'static str,
    checks: Vec<CheckResult>,
}

#[derive(Debug, Serialize)]
struct CheckResult {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

async fn ready(State(deps): State<ApiDeps>) -> (StatusCode, Json<Ready>) {
    // Started together, so that the slowest decides how long the answer takes.
    let tasks: Vec<_> = (0..deps.checks.len())
        .map(|at| {
            let checks = Arc::clone(&deps.checks);
            tokio::spawn(async move { checks[at].outcome().await })
        })
        .collect();
    let mut results = Vec::with_capacity(tasks.len());
    for (check, task) in deps.checks.iter().zip(tasks) {
        let outcome = task.await.unwrap_or_else(|error| Err(CheckError::new("defect", error)));
        results.push(CheckResult {
            name: check.name(),
            ok: outcome.is_ok(),
            error: outcome.err().map(|error| error.code),
        });
    }
    let (code, status) = match results.iter().all(|check| check.ok) {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (code, Json(Ready { status, checks: results }))
}

async fn metrics_text(State(deps): State<ApiDeps>) -> Response {
    let metrics = deps.metrics.clone();
    rendered(move || metrics.render()).await
}

async fn key_metrics_text(State(deps): State<ApiDeps>) -> Response {
    rendered(move || (deps.key_metrics)()).await
}

/// Renders every series, and reads /proc for some: long enough not to hold other connections up.
async fn rendered(render: impl FnOnce() -> String + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(render).await {
        Ok(text) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "rendering the metrics failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(crate) async fn not_found(Extension(id): Extension<RequestId>) -> Response {
    answers::error(StatusCode::NOT_FOUND, "NotFound", "There is nothing at this path.", id)
}
