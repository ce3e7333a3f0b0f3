//! `/sessions`: temporary credentials. They are not stored, so there is no list of them; they can only be ended together.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use strongroom_iam::{Arn, Scope};

use super::Rest;
use super::caller::Caller;
use super::openapi::Refused;
use crate::refusal::Refusal;

/// End all temporary credentials
///
/// Those that `AssumeRole` of STS gave to anybody: none is taken from now on. Who needs new ones makes them as before.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "users",
    responses((status = 204, description = "They have ended; durable"), Refused))]
pub(super) async fn revoke(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, Refusal> {
    rest.allow(&caller, (Scope::IdentitiesWrite, "iam:RevokeSessions"), &Arn::all(), &caller.facts())?;
    rest.0.iam.revoke_sessions(&caller.identity).await?;
    Ok(StatusCode::NO_CONTENT)
}
