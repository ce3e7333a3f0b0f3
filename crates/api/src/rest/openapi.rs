//! `/api/v1/openapi.json`: the description of the API, made from its types and handlers.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

use super::{
    buckets, encryption, groups, objects, policies, service_accounts, sessions, tokens, users, whoami,
};

/// What every refusal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorAnswer {
    /// The error.
    pub error: ErrorDetails,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetails {
    /// One word for programs: `NoSuchBucket`.
    pub code: String,
    /// What happened and what to do, for people.
    pub message: String,
    /// To find the request in the server's log; the header `x-request-id` has it as well.
    pub request_id: String,
}

/// What every request may be refused for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum Refused {
    /// The request makes no sense
    #[response(status = 400)]
    Request(#[to_schema] ErrorAnswer),
    /// There is no token, or it is not known
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer`")))]
    Token(#[to_schema] ErrorAnswer),
    /// The caller may not do it
    #[response(status = 403)]
    Denied(#[to_schema] ErrorAnswer),
    /// The body did not come in time
    #[response(status = 408)]
    Late(#[to_schema] ErrorAnswer),
    /// The body is too long
    #[response(status = 413)]
    TooLong(#[to_schema] ErrorAnswer),
    /// The body is not JSON
    #[response(status = 415)]
    NotJson(#[to_schema] ErrorAnswer),
    /// The caller asks too often
    #[response(status = 429, headers(("Retry-After" = u64, description = "Seconds to wait")))]
    TooOften(#[to_schema] ErrorAnswer),
    /// The server could not do it
    #[response(status = 500)]
    Server(#[to_schema] ErrorAnswer),
    /// Something that is needed does not answer
    #[response(status = 503)]
    Unavailable(#[to_schema] ErrorAnswer),
}

/// What it names may not be there.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum Missing {
    /// There is no such thing
    #[response(status = 404)]
    Missing(#[to_schema] ErrorAnswer),
}

/// It may be in the way of something, or find no room.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum Conflict {
    /// It makes sense, but not now
    #[response(status = 409)]
    Conflict(#[to_schema] ErrorAnswer),
    /// There is no room on the server's disk
    #[response(status = 507)]
    NoSpace(#[to_schema] ErrorAnswer),
}

/// It may have a condition.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum PreconditionFailed {
    /// A condition does not hold
    #[response(status = 412)]
    PreconditionFailed(#[to_schema] ErrorAnswer),
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Strongroom",
        description = "Buckets, objects and identities of a Strongroom store. Nothing of it rests in the clear.\n\nEvery request \
                       but that for this document needs `Authorization: Bearer srt_…`, a token made with `strongroom admin token \
                       create`. What a token may do is what its owner's policies allow and its scopes contain.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        document,
        whoami::get,
        buckets::list, buckets::create, buckets::get, buckets::delete,
        encryption::get, encryption::put, encryption::delete,
        objects::list, objects::get, objects::head, objects::put, objects::delete,
        users::list, users::create, users::get, users::patch, users::delete,
        users::list_keys, users::create_key, users::patch_key, users::delete_key,
        groups::list, groups::create, groups::get, groups::delete, groups::add, groups::remove,
        policies::list, policies::get, policies::put, policies::delete,
        policies::attach_to_user, policies::detach_from_user,
        policies::attach_to_group, policies::detach_from_group,
        service_accounts::list, service_accounts::create, service_accounts::get,
        service_accounts::patch, service_accounts::delete,
        service_accounts::put_policy, service_accounts::delete_policy,
        sessions::revoke,
        tokens::list, tokens::create, tokens::revoke,
    ),
    components(schemas(ErrorAnswer)),
    modifiers(&Bearer),
    security(("token" = [])),
    tags(
        (name = "buckets", description = "Buckets and their settings"),
        (name = "objects", description = "Objects"),
        (name = "users", description = "Users and their access keys"),
        (name = "groups", description = "Groups of users"),
        (name = "policies", description = "Policy documents"),
        (name = "service accounts", description = "Credentials for programs"),
        (name = "tokens", description = "Tokens for this API"),
    ),
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("srt_…").build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The description.
pub(super) fn described() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// This document
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "tokens", security(()),
    responses((status = 200, description = "The description of the API", body = Object)))]
pub(super) async fn document() -> impl IntoResponse {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        described().to_json().expect("a description has names of text and finite numbers")
    });
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}
