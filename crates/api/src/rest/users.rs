//! `/users`: users and their access keys.

use std::fmt;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use strongroom_iam::{
    AccessKeyInfo, Arn, Belongings, Credentials, IamError, Identity, Scope, Thing, UserInfo,
};
use utoipa::ToSchema;

use super::caller::Caller;
use super::openapi::{Conflict, Missing, PreconditionFailed, Refused};
use super::pages::{Paged, Pages};
use super::policies::facts_with;
use super::versioned::{Expected, Versioned};
use super::{Rest, enabled, names, state, time_of};
use crate::refusal::{Body, Names, Parameters, Refusal};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its name.
    pub name: String,
    /// What no other user has or had.
    pub id: String,
    /// Whether its credentials are taken.
    pub enabled: bool,
    /// Policies attached to it.
    pub policies: Vec<String>,
    /// Groups that it is in, whose policies it has as well.
    pub groups: Vec<String>,
    /// When it was made (RFC 3339).
    pub created: String,
}

impl From<UserInfo> for User {
    fn from(info: UserInfo) -> Self {
        Self {
            name: info.name.to_string(),
            id: info.id,
            enabled: enabled(info.state),
            policies: names(&info.policies),
            groups: names(&info.groups),
            created: time_of(info.created_at),
        }
    }
}

/// A page of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserList {
    /// By name.
    pub users: Vec<User>,
    /// `after` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Paged for UserList {
    type Entry = User;

    fn page(&mut self) -> (&mut Vec<User>, &mut Option<String>) {
        (&mut self.users, &mut self.next)
    }
}

/// A user to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Its name: 1 to 64 letters, digits and `_ + = , . @ -`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_+=,.@-]+$")]
    pub name: String,
}

/// Whether something is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEnabled {
    /// Whether it is.
    pub enabled: bool,
}

/// An access key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessKey {
    /// The access key.
    pub access_key: String,
    /// Whether it is taken.
    pub enabled: bool,
    /// When it was made (RFC 3339).
    pub created: String,
}

impl From<AccessKeyInfo> for AccessKey {
    fn from(info: AccessKeyInfo) -> Self {
        Self {
            access_key: info.access_key.to_string(),
            enabled: enabled(info.state),
            created: time_of(info.created_at),
        }
    }
}

/// A user's access keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessKeyList {
    /// In no particular order.
    pub access_keys: Vec<AccessKey>,
}

/// An access key with its secret, which is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessKeyWithSecret {
    /// The access key.
    pub access_key: String,
    /// The secret. The server shows it to nobody again.
    pub secret_key: String,
}

impl fmt::Debug for AccessKeyWithSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKeyWithSecret").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl From<Credentials> for AccessKeyWithSecret {
    fn from(made: Credentials) -> Self {
        let secret_key = made.secret.dangerous_expose().to_owned();
        Self { access_key: made.access_key.to_string(), secret_key }
    }
}

fn versioned(info: UserInfo) -> Versioned<User> {
    Versioned::of(User::from(info))
}

/// How often a deletion looks again at what it takes with it before it gives up.
pub(super) const ATTEMPTS: usize = 3;

const READ: Scope = Scope::IdentitiesRead;
const WRITE: Scope = Scope::IdentitiesWrite;

/// List users
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(Pages),
    responses((status = 200, description = "A page of users", body = UserList), Refused))]
pub(super) async fn list(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Parameters(pages): Parameters<Pages>,
) -> Result<Json<UserList>, Refusal> {
    rest.allow(&caller, (READ, "iam:ListUsers"), &Arn::all(), &caller.facts())?;
    let users = rest.0.iam.users().into_iter().map(User::from).collect();
    let (users, next) = pages.cut(users, |user| &user.name)?;
    Ok(Json(UserList { users, next }))
}

/// Make a user
///
/// It has no access key and may do nothing until it is given a policy.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = NewUser,
    responses((status = 201, description = "Made; durable", body = User), Refused, Conflict))]
pub(super) async fn create(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<User>), Refusal> {
    rest.allow(&caller, (WRITE, "iam:CreateUser"), &Arn::user(&new.name), &caller.facts())?;
    let made = rest.0.iam.create_user(&caller.identity, &new.name).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Describe a user
#[utoipa::path(get, path = "/api/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The user", body = User,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing))]
pub(super) async fn get(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(user): Names<String>,
) -> Result<Versioned<User>, Refusal> {
    rest.allow(&caller, (READ, "iam:GetUser"), &Arn::user(&user), &caller.facts())?;
    Ok(versioned(rest.0.iam.user(&user)?))
}

/// Enable or disable a user
///
/// What a disabled user has made is not taken either: its access keys, service accounts, sessions and tokens.
#[utoipa::path(patch, path = "/api/v1/users/{user}", tag = "users",
    params(
        ("user" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    request_body = SetEnabled,
    responses(
        (status = 200, description = "The user; durable", body = User,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing, PreconditionFailed))]
pub(super) async fn patch(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(user): Names<String>,
    headers: HeaderMap,
    Body(set): Body<SetEnabled>,
) -> Result<Versioned<User>, Refusal> {
    rest.allow(&caller, (WRITE, "iam:UpdateUser"), &Arn::user(&user), &caller.facts())?;
    let expected = Expected::parse(&headers)?;
    let meant = move |info: &UserInfo| expected.holds(Some(&versioned(info.clone()).tag));
    let (by, state) = (&caller.identity, state(set.enabled));
    Ok(versioned(rest.0.iam.set_user_state_if(by, &user, state, meant).await?))
}

/// Delete a user
///
/// Its access keys, service accounts and tokens go with it, and it leaves its groups and policies. Beside `iam:DeleteUser` that needs what
/// each of it needs by itself: `iam:DetachUserPolicy`, `iam:RemoveUserFromGroup`, `iam:DeleteAccessKey`, `iam:DeleteServiceAccount`,
/// `iam:DeleteToken`, as far as there are any. Policies of buckets that name it are left as they are, and mean whoever is made under the
/// same name.
#[utoipa::path(delete, path = "/api/v1/users/{user}", tag = "users",
    params(
        ("user" = String, Path, description = "Its name"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    responses((status = 204, description = "It is gone; durable"), Refused, Missing, PreconditionFailed, Conflict))]
pub(super) async fn delete(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(user): Names<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    rest.allow(&caller, (WRITE, "iam:DeleteUser"), &Arn::user(&user), &caller.facts())?;
    let expected = Expected::parse(&headers)?;
    for _ in 0..ATTEMPTS {
        let seen = rest.0.iam.belongings(&user)?;
        rest.allow_taking(&caller, &user, &seen)?;
        expected.check(Some(&versioned(rest.0.iam.user(&user)?).tag))?;
        let wanted = expected.clone();
        let meant = move |info: &UserInfo, there: &Belongings| {
            *there == seen && wanted.holds(Some(&versioned(info.clone()).tag))
        };
        match rest.0.iam.delete_user_if(&caller.identity, &user, meant).await {
            // It was given something meanwhile, which the caller may have to be allowed to take.
            Err(IamError::Changed { .. }) => {}
            done => return Ok(done.map(|()| StatusCode::NO_CONTENT)?),
        }
    }
    Err(IamError::Busy.into())
}

/// List a user's access keys
#[utoipa::path(get, path = "/api/v1/users/{user}/keys", tag = "users",
    params(("user" = String, Path, description = "Its name")),
    responses((status = 200, description = "Its access keys", body = AccessKeyList), Refused, Missing))]
pub(super) async fn list_keys(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(user): Names<String>,
) -> Result<Json<AccessKeyList>, Refusal> {
    rest.allow(&caller, (READ, "iam:ListAccessKeys"), &Arn::user(&user), &caller.facts())?;
    let owner = Identity::User { name: rest.0.iam.user(&user)?.name };
    let keys = rest.0.iam.access_keys(Some(&owner)).into_iter().filter(|key| !key.service_account);
    Ok(Json(AccessKeyList { access_keys: keys.map(AccessKey::from).collect() }))
}

/// Make an access key for a user
///
/// The answer has the secret, which is shown this once.
#[utoipa::path(post, path = "/api/v1/users/{user}/keys", tag = "users",
    params(("user" = String, Path, description = "Its name")),
    responses((status = 201, description = "Made; durable", body = AccessKeyWithSecret), Refused, Missing, Conflict))]
pub(super) async fn create_key(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(user): Names<String>,
) -> Result<(StatusCode, Json<AccessKeyWithSecret>), Refusal> {
    rest.allow(&caller, (WRITE, "iam:CreateAccessKey"), &Arn::user(&user), &caller.facts())?;
    let made = rest.0.iam.create_access_key(&caller.identity, &user).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Enable or disable a user's access key
#[utoipa::path(patch, path = "/api/v1/users/{user}/keys/{access_key}", tag = "users",
    params(
        ("user" = String, Path, description = "Its name"),
        ("access_key" = String, Path, description = "The access key"),
    ),
    request_body = SetEnabled,
    responses((status = 200, description = "The access key; durable", body = AccessKey), Refused, Missing))]
pub(super) async fn patch_key(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((user, access_key)): Names<(String, String)>,
    Body(set): Body<SetEnabled>,
) -> Result<Json<AccessKey>, Refusal> {
    rest.allow(&caller, (WRITE, "iam:UpdateAccessKey"), &Arn::user(&user), &caller.facts())?;
    rest.key_of(&user, &access_key)?;
    let changed = rest.0.iam.set_access_key_state(&caller.identity, &access_key, state(set.enabled)).await?;
    Ok(Json(changed.into()))
}

/// Delete a user's access key
#[utoipa::path(delete, path = "/api/v1/users/{user}/keys/{access_key}", tag = "users",
    params(
        ("user" = String, Path, description = "Its name"),
        ("access_key" = String, Path, description = "The access key"),
    ),
    responses((status = 204, description = "It is gone; durable"), Refused, Missing))]
pub(super) async fn delete_key(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((user, access_key)): Names<(String, String)>,
) -> Result<StatusCode, Refusal> {
    rest.allow(&caller, (WRITE, "iam:DeleteAccessKey"), &Arn::user(&user), &caller.facts())?;
    rest.key_of(&user, &access_key)?;
    rest.0.iam.delete_access_key(&caller.identity, &access_key).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Rest {
    /// Lets the caller delete what goes with a user, or refuses: nobody does by deleting a user what a policy denies. MinIO deletes it all
    /// without asking; AWS refuses to delete a user that has any of it (`DeleteConflict`), so there each thing is asked for as well.
    fn allow_taking(&self, caller: &Caller, user: &str, goes: &Belongings) -> Result<(), Refusal> {
        let arn = Arn::user(user);
        for policy in &goes.policies {
            let facts = facts_with(caller, policy.as_str());
            self.allow(caller, (WRITE, "iam:DetachUserPolicy"), &arn, &facts)?;
        }
        for group in &goes.groups {
            let group = Arn::group(group.as_str());
            self.allow(caller, (WRITE, "iam:RemoveUserFromGroup"), &group, &caller.facts())?;
        }
        let things = [
            (goes.access_keys, "iam:DeleteAccessKey"),
            (goes.service_accounts, "iam:DeleteServiceAccount"),
            (goes.tokens, "iam:DeleteToken"),
        ];
        for (_, action) in things.into_iter().filter(|(there, _)| *there) {
            self.allow(caller, (WRITE, action), &arn, &caller.facts())?;
        }
        Ok(())
    }

    /// Refuses an access key that is not this user's: what the caller may do was decided for the user.
    fn key_of(&self, user: &str, access_key: &str) -> Result<(), Refusal> {
        let missing = || IamError::NoSuch { thing: Thing::AccessKey, name: access_key.to_owned() };
        let found = self.0.iam.access_key(access_key)?;
        let is_its = matches!(&found.owner, Identity::User { name } if name.as_str() == user);
        if is_its && !found.service_account { Ok(()) } else { Err(missing().into()) }
    }
}
