//! `/whoami`: what the server takes a caller for.

use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Caller;
use super::openapi::Refused;
use super::tokens::{Token, token};

/// What the server takes a caller for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// `root`, or the ARN of a user or service account.
    pub identity: String,
    /// The token that it came with; none on the socket in the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
}

/// Show who is asking
///
/// Every token may ask this.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "tokens",
    responses((status = 200, description = "The caller", body = WhoAmI), Refused))]
pub(super) async fn get(Extension(caller): Extension<Caller>) -> Json<WhoAmI> {
    Json(WhoAmI { identity: caller.identity.to_string(), token: caller.token.as_ref().map(token) })
}
