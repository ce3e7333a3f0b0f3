//! `/groups`: groups, and who is in them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use strongroom_iam::{Arn, GroupInfo, IamError, Scope};
use utoipa::ToSchema;

use super::caller::Caller;
use super::openapi::{Conflict, Missing, Refused};
use super::pages::{Paged, Pages};
use super::policies::facts_with;
use super::users::ATTEMPTS;
use super::{Rest, names, time_of};
use crate::refusal::{Body, Names, Parameters, Refusal};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Policies attached to it.
    pub policies: Vec<String>,
    /// Who is in it.
    pub members: Vec<String>,
    /// When it was made (RFC 3339).
    pub created: String,
}

impl From<GroupInfo> for Group {
    fn from(info: GroupInfo) -> Self {
        Self {
            name: info.name.to_string(),
            policies: names(&info.policies),
            members: names(&info.members),
            created: time_of(info.created_at),
        }
    }
}

/// A page of groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupList {
    /// By name.
    pub groups: Vec<Group>,
    /// `after` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Paged for GroupList {
    type Entry = Group;

    fn page(&mut self) -> (&mut Vec<Group>, &mut Option<String>) {
        (&mut self.groups, &mut self.next)
    }
}

/// A group to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Its name: 1 to 64 letters, digits and `_ + = , . @ -`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_+=,.@-]+$")]
    pub name: String,
}

const READ: Scope = Scope::IdentitiesRead;
const WRITE: Scope = Scope::IdentitiesWrite;

/// List groups
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", params(Pages),
    responses((status = 200, description = "A page of groups", body = GroupList), Refused))]
pub(super) async fn list(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Parameters(pages): Parameters<Pages>,
) -> Result<Json<GroupList>, Refusal> {
    rest.allow(&caller, (READ, "iam:ListGroups"), &Arn::all(), &caller.facts())?;
    let groups = rest.0.iam.groups().into_iter().map(Group::from).collect();
    let (groups, next) = pages.cut(groups, |group| &group.name)?;
    Ok(Json(GroupList { groups, next }))
}

/// Make a group
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", request_body = NewGroup,
    responses((status = 201, description = "Made; durable", body = Group), Refused, Conflict))]
pub(super) async fn create(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewGroup>,
) -> Result<(StatusCode, Json<Group>), Refusal> {
    rest.allow(&caller, (WRITE, "iam:CreateGroup"), &Arn::group(&new.name), &caller.facts())?;
    let made = rest.0.iam.create_group(&caller.identity, &new.name).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Describe a group
#[utoipa::path(get, path = "/api/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Its name")),
    responses((status = 200, description = "The group", body = Group), Refused, Missing))]
pub(super) async fn get(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(group): Names<String>,
) -> Result<Json<Group>, Refusal> {
    rest.allow(&caller, (READ, "iam:GetGroup"), &Arn::group(&group), &caller.facts())?;
    Ok(Json(rest.0.iam.group(&group)?.into()))
}

/// Delete a group
///
/// It has to be empty. Its policies are detached, which needs `iam:DetachGroupPolicy` beside `iam:DeleteGroup` if it has any.
#[utoipa::path(delete, path = "/api/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone; durable"), Refused, Missing, Conflict))]
pub(super) async fn delete(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(group): Names<String>,
) -> Result<StatusCode, Refusal> {
    let arn = Arn::group(&group);
    rest.allow(&caller, (WRITE, "iam:DeleteGroup"), &arn, &caller.facts())?;
    for _ in 0..ATTEMPTS {
        let seen = rest.0.iam.group(&group)?.policies;
        for policy in &seen {
            let facts = facts_with(&caller, policy.as_str());
            rest.allow(&caller, (WRITE, "iam:DetachGroupPolicy"), &arn, &facts)?;
        }
        match rest.0.iam.delete_group_if(&caller.identity, &group, move |there| there.policies == seen).await
        {
            // It was given a policy meanwhile.
            Err(IamError::Changed { .. }) => {}
            done => return Ok(done.map(|()| StatusCode::NO_CONTENT)?),
        }
    }
    Err(IamError::Busy.into())
}

/// Put a user into a group
#[utoipa::path(put, path = "/api/v1/groups/{group}/members/{user}", tag = "groups",
    params(
        ("group" = String, Path, description = "The group"),
        ("user" = String, Path, description = "The user"),
    ),
    responses((status = 200, description = "The group; durable", body = Group), Refused, Missing, Conflict))]
pub(super) async fn add(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((group, user)): Names<(String, String)>,
) -> Result<Json<Group>, Refusal> {
    rest.allow(&caller, (WRITE, "iam:AddUserToGroup"), &Arn::group(&group), &caller.facts())?;
    Ok(Json(rest.0.iam.add_to_group(&caller.identity, &group, &user).await?.into()))
}

/// Take a user out of a group
#[utoipa::path(delete, path = "/api/v1/groups/{group}/members/{user}", tag = "groups",
    params(
        ("group" = String, Path, description = "The group"),
        ("user" = String, Path, description = "The user"),
    ),
    responses((status = 200, description = "The group; durable", body = Group), Refused, Missing))]
pub(super) async fn remove(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((group, user)): Names<(String, String)>,
) -> Result<Json<Group>, Refusal> {
    rest.allow(&caller, (WRITE, "iam:RemoveUserFromGroup"), &Arn::group(&group), &caller.facts())?;
    Ok(Json(rest.0.iam.remove_from_group(&caller.identity, &group, &user).await?.into()))
}
