//! `/policies`: policy documents, and what they are attached to.

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use strongroom_iam::{Arn, Facts, IamError, PolicyInfo, Scope, Tag, Target};
use utoipa::ToSchema;

use super::caller::Caller;
use super::openapi::{Conflict, Missing, PreconditionFailed, Refused};
use super::pages::{Paged, Pages};
use super::versioned::{Expected, Versioned};
use super::{Rest, time_of};
use crate::refusal::{Names, Parameters, Refusal, whole};

/// A policy with its document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Whether it comes with the program and cannot be changed.
    pub canned: bool,
    /// When it was made (RFC 3339); none if it is canned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// When it was changed last (RFC 3339); none if it is canned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// The document, as AWS writes policies of identities.
    #[schema(value_type = Object)]
    pub document: serde_json::Value,
}

/// A policy without its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicySummary {
    /// Its name.
    pub name: String,
    /// Whether it comes with the program and cannot be changed.
    pub canned: bool,
    /// When it was changed last (RFC 3339); none if it is canned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
}

/// A page of policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// By name.
    pub policies: Vec<PolicySummary>,
    /// `after` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Paged for PolicyList {
    type Entry = PolicySummary;

    fn page(&mut self) -> (&mut Vec<PolicySummary>, &mut Option<String>) {
        (&mut self.policies, &mut self.next)
    }
}

const READ: Scope = Scope::IdentitiesRead;
const WRITE: Scope = Scope::IdentitiesWrite;

fn versioned(info: PolicyInfo) -> Versioned<Policy> {
    let time = |at| (!info.canned).then(|| time_of(at));
    let policy = Policy {
        name: info.name.to_string(),
        canned: info.canned,
        created: time(info.created_at),
        updated: time(info.updated_at),
        document: serde_json::from_str(&info.json).unwrap_or_default(),
    };
    Versioned { value: policy, tag: info.tag.to_string() }
}

/// List policies
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", params(Pages),
    responses((status = 200, description = "A page of policies, those that come with the program among them", body = PolicyList), Refused))]
pub(super) async fn list(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Parameters(pages): Parameters<Pages>,
) -> Result<Json<PolicyList>, Refusal> {
    rest.allow(&caller, (READ, "iam:ListPolicies"), &Arn::all(), &caller.facts())?;
    let policies = rest.0.iam.policies().into_iter().map(|info| PolicySummary {
        name: info.name.to_string(),
        canned: info.canned,
        updated: (!info.canned).then(|| time_of(info.updated_at)),
    });
    let (policies, next) = pages.cut(policies.collect(), |policy: &PolicySummary| &policy.name)?;
    Ok(Json(PolicyList { policies, next }))
}

/// Show a policy
#[utoipa::path(get, path = "/api/v1/policies/{policy}", tag = "policies",
    params(("policy" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The policy", body = Policy,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing))]
pub(super) async fn get(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(policy): Names<String>,
) -> Result<Versioned<Policy>, Refusal> {
    rest.allow(&caller, (READ, "iam:GetPolicy"), &Arn::policy(&policy), &caller.facts())?;
    Ok(versioned(rest.0.iam.policy(&policy)?))
}

/// Make or replace a policy
///
/// The body is the document, as AWS writes policies of identities. Who has the policy attached has its new permissions at
/// once: so to replace one that is there needs `iam:CreatePolicyVersion`, and to make one `iam:CreatePolicy`.
#[utoipa::path(put, path = "/api/v1/policies/{policy}", tag = "policies",
    params(
        ("policy" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no policy of this name"),
    ),
    request_body(content = Object, content_type = "application/json", description = "The document"),
    responses(
        (status = 200, description = "Replaced; durable", body = Policy,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        (status = 201, description = "Made; durable", body = Policy,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, PreconditionFailed, Conflict))]
pub(super) async fn put(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(policy): Names<String>,
    headers: HeaderMap,
    Document(document): Document,
) -> Result<Response, Refusal> {
    let expected = Expected::parse(&headers)?;
    let iam = &rest.0.iam;
    // One change at a time, so that no other comes between the look, what is asked for, and the change.
    let _changing = rest.0.changing.lock().await;
    let there = rest.policy_tag(&policy)?;
    let action = match (&expected, &there) {
        (Expected::Nothing, _) | (Expected::Anything, None) => "iam:CreatePolicy",
        // As on AWS: who may make policies must not rewrite the one that says what it may itself.
        // "Actions, resources, and condition keys for AWS IAM", CreatePolicyVersion.
        (Expected::Something | Expected::OneOf(_), _) | (Expected::Anything, Some(_)) => {
            "iam:CreatePolicyVersion"
        }
    };
    rest.allow(&caller, (WRITE, action), &Arn::policy(&policy), &caller.facts())?;
    expected.check(there.as_ref().map(Tag::as_str))?;
    // What was looked at is what is replaced, whoever else changes policies.
    let stored = iam.put_policy(&caller.identity, &policy, &document, there.as_ref()).await?;
    let status = if there.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, versioned(stored)).into_response())
}

/// Delete a policy
///
/// It must not be attached to anything.
#[utoipa::path(delete, path = "/api/v1/policies/{policy}", tag = "policies",
    params(
        ("policy" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    responses((status = 204, description = "It is gone; durable"), Refused, Missing, PreconditionFailed, Conflict))]
pub(super) async fn delete(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(policy): Names<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    rest.allow(&caller, (WRITE, "iam:DeletePolicy"), &Arn::policy(&policy), &caller.facts())?;
    let expected = Expected::parse(&headers)?;
    let _changing = rest.0.changing.lock().await;
    let there = rest.policy_tag(&policy)?;
    expected.check(there.as_ref().map(Tag::as_str))?;
    let if_match = there.as_ref().filter(|_| expected != Expected::Anything);
    rest.0.iam.delete_policy(&caller.identity, &policy, if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Attach a policy to a user
#[utoipa::path(put, path = "/api/v1/users/{user}/policies/{policy}", tag = "users",
    params(
        ("user" = String, Path, description = "The user"),
        ("policy" = String, Path, description = "The policy"),
    ),
    responses((status = 204, description = "It is attached; durable"), Refused, Missing, Conflict))]
pub(super) async fn attach_to_user(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((user, policy)): Names<(String, String)>,
) -> Result<StatusCode, Refusal> {
    rest.allow(&caller, (WRITE, "iam:AttachUserPolicy"), &Arn::user(&user), &facts_with(&caller, &policy))?;
    rest.0.iam.attach_policy(&caller.identity, &policy, &Target::User(user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Detach a policy from a user
#[utoipa::path(delete, path = "/api/v1/users/{user}/policies/{policy}", tag = "users",
    params(
        ("user" = String, Path, description = "The user"),
        ("policy" = String, Path, description = "The policy"),
    ),
    responses((status = 204, description = "It is not attached; durable"), Refused, Missing))]
pub(super) async fn detach_from_user(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((user, policy)): Names<(String, String)>,
) -> Result<StatusCode, Refusal> {
    rest.allow(&caller, (WRITE, "iam:DetachUserPolicy"), &Arn::user(&user), &facts_with(&caller, &policy))?;
    rest.0.iam.detach_policy(&caller.identity, &policy, &Target::User(user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Attach a policy to a group
#[utoipa::path(put, path = "/api/v1/groups/{group}/policies/{policy}", tag = "groups",
    params(
        ("group" = String, Path, description = "The group"),
        ("policy" = String, Path, description = "The policy"),
    ),
    responses((status = 204, description = "It is attached; durable"), Refused, Missing, Conflict))]
pub(super) async fn attach_to_group(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((group, policy)): Names<(String, String)>,
) -> Result<StatusCode, Refusal> {
    rest.allow(
        &caller,
        (WRITE, "iam:AttachGroupPolicy"),
        &Arn::group(&group),
        &facts_with(&caller, &policy),
    )?;
    rest.0.iam.attach_policy(&caller.identity, &policy, &Target::Group(group)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Detach a policy from a group
#[utoipa::path(delete, path = "/api/v1/groups/{group}/policies/{policy}", tag = "groups",
    params(
        ("group" = String, Path, description = "The group"),
        ("policy" = String, Path, description = "The policy"),
    ),
    responses((status = 204, description = "It is not attached; durable"), Refused, Missing))]
pub(super) async fn detach_from_group(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((group, policy)): Names<(String, String)>,
) -> Result<StatusCode, Refusal> {
    rest.allow(
        &caller,
        (WRITE, "iam:DetachGroupPolicy"),
        &Arn::group(&group),
        &facts_with(&caller, &policy),
    )?;
    rest.0.iam.detach_policy(&caller.identity, &policy, &Target::Group(group)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Rest {
    fn policy_tag(&self, name: &str) -> Result<Option<Tag>, Refusal> {
        match self.0.iam.policy(name) {
            Ok(info) => Ok(Some(info.tag)),
            Err(IamError::NoSuch { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is known of a request that attaches or detaches a policy. By `iam:PolicyARN` an administrator's policy can say which ones
/// those are (AWS, "Delegating permissions to administer IAM users, groups, and credentials").
pub(super) fn facts_with(caller: &Caller, policy: &str) -> Facts {
    let mut facts = caller.facts();
    facts.set("iam:policyarn", Arn::policy(policy).as_str());
    facts
}

/// A policy document as it came: what the client wrote is kept as it is.
pub(super) struct Document(pub(super) String);

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let is_json = request.headers().get("content-type").is_some_and(|value| {
            let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
        });
        if !is_json {
            let message = "Expected request with `Content-Type: application/json`";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NotJson", message));
        }
        let bytes = whole(request, state).await?;
        let text = String::from_utf8(bytes.into());
        text.map(Self).map_err(|_| Refusal::bad_request("MalformedBody", "The body is not UTF-8."))
    }
}
