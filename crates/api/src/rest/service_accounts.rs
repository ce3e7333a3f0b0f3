//! `/service-accounts`: credentials for programs, which may do what their parent may, or less.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strongroom_iam::{AccessKeyInfo, Arn, IamError, Identity, Scope, ServiceAccountSpec, Thing};
use utoipa::ToSchema;

use super::caller::Caller;
use super::openapi::{Conflict, Missing, PreconditionFailed, Refused};
use super::pages::{Paged, Pages};
use super::policies::Document;
use super::users::{AccessKeyWithSecret, SetEnabled};
use super::versioned::{Expected, Versioned};
use super::{Rest, enabled, expiry, owner_name, state, time_of};
use crate::refusal::{Body, Names, Parameters, Refusal};

/// A service account, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceAccount {
    /// Its access key, which is its name as well.
    pub access_key: String,
    /// `root`, or the name of the user whose permissions it has.
    pub parent: String,
    /// Whether it is taken.
    pub enabled: bool,
    /// What bounds it beside its parent's permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy: Option<serde_json::Value>,
    /// What it is for.
    pub description: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// From when on it is not taken any more (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

impl From<AccessKeyInfo> for ServiceAccount {
    fn from(info: AccessKeyInfo) -> Self {
        Self {
            access_key: info.access_key.to_string(),
            parent: owner_name(&info.owner),
            enabled: enabled(info.state),
            policy: info.policy.as_deref().and_then(|json| serde_json::from_str(json).ok()),
            description: info.description,
            created: time_of(info.created_at),
            expires: info.expires_at.map(time_of),
        }
    }
}

/// A page of service accounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceAccountList {
    /// By access key.
    pub service_accounts: Vec<ServiceAccount>,
    /// `after` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Paged for ServiceAccountList {
    type Entry = ServiceAccount;

    fn page(&mut self) -> (&mut Vec<ServiceAccount>, &mut Option<String>) {
        (&mut self.service_accounts, &mut self.next)
    }
}

/// A service account to make.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// The user whose permissions it has; left out, the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What bounds it beside its parent's permissions: a policy document.
    // As it was written: of a member that is there twice a reader of values takes the last, so who looks through a request and who
    // carries it out could see two policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy: Option<Box<RawValue>>,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub description: String,
    /// How long it is taken, in seconds; left out, until it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub expires_in_seconds: Option<u64>,
}

fn versioned(info: AccessKeyInfo) -> Versioned<ServiceAccount> {
    Versioned::of(ServiceAccount::from(info))
}

/// Whether a service account is the version that a change is for.
fn meant(headers: &HeaderMap) -> Result<impl Fn(&AccessKeyInfo) -> bool + Send + 'static, Refusal> {
    let expected = Expected::parse(headers)?;
    Ok(move |info: &AccessKeyInfo| expected.holds(Some(&versioned(info.clone()).tag)))
}

const READ: Scope = Scope::IdentitiesRead;
const WRITE: Scope = Scope::IdentitiesWrite;

/// List service accounts
///
/// Those that the caller may know of: everybody's, or its own.
#[utoipa::path(get, path = "/api/v1/service-accounts", tag = "service accounts", params(Pages),
    responses((status = 200, description = "A page of service accounts", body = ServiceAccountList), Refused))]
pub(super) async fn list(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Parameters(pages): Parameters<Pages>,
) -> Result<Json<ServiceAccountList>, Refusal> {
    let action = (READ, "iam:ListServiceAccounts");
    let everybody = rest.allow(&caller, action, &Arn::all(), &caller.facts());
    let owner = match everybody {
        Ok(()) => None,
        Err(refusal) => {
            let Some(own) = caller.identity.owner() else { return Err(refusal) };
            rest.allow(&caller, action, &rest.resource_of(&caller, own)?, &caller.facts())?;
            Some(own)
        }
    };
    let mut found = rest.0.iam.access_keys(owner);
    found.retain(|key| key.service_account);
    rest.leave_out_denied(&caller, action, &mut found, |key| &key.owner);
    let found = found.into_iter().map(ServiceAccount::from).collect();
    let (service_accounts, next) = pages.cut(found, |account| &account.access_key)?;
    Ok(Json(ServiceAccountList { service_accounts, next }))
}

/// Make a service account
///
/// The answer has the secret, which is shown this once.
#[utoipa::path(post, path = "/api/v1/service-accounts", tag = "service accounts",
    request_body = NewServiceAccount,
    responses((status = 201, description = "Made; durable", body = AccessKeyWithSecret), Refused, Missing, Conflict))]
pub(super) async fn create(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewServiceAccount>,
) -> Result<(StatusCode, Json<AccessKeyWithSecret>), Refusal> {
    let parent = rest.owner_for(&caller, new.user.as_deref(), (WRITE, "iam:CreateServiceAccount"))?;
    let spec = ServiceAccountSpec {
        policy: new.policy.as_deref().map(RawValue::get),
        description: &new.description,
        expires_at: new.expires_in_seconds.map(expiry).transpose()?,
    };
    let made = rest.0.iam.create_service_account(&caller.identity, &parent, spec).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Describe a service account
#[utoipa::path(get, path = "/api/v1/service-accounts/{access_key}", tag = "service accounts",
    params(("access_key" = String, Path, description = "Its access key")),
    responses(
        (status = 200, description = "The service account", body = ServiceAccount,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing))]
pub(super) async fn get(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(access_key): Names<String>,
) -> Result<Versioned<ServiceAccount>, Refusal> {
    let action = (READ, "iam:ListServiceAccounts");
    Ok(versioned(rest.service_account(&caller, &access_key, action)?))
}

/// Enable or disable a service account
#[utoipa::path(patch, path = "/api/v1/service-accounts/{access_key}", tag = "service accounts",
    params(
        ("access_key" = String, Path, description = "Its access key"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    request_body = SetEnabled,
    responses(
        (status = 200, description = "The service account; durable", body = ServiceAccount,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing, PreconditionFailed))]
pub(super) async fn patch(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(access_key): Names<String>,
    headers: HeaderMap,
    Body(set): Body<SetEnabled>,
) -> Result<Versioned<ServiceAccount>, Refusal> {
    rest.service_account(&caller, &access_key, (WRITE, "iam:UpdateServiceAccount"))?;
    let (by, state, meant) = (&caller.identity, state(set.enabled), meant(&headers)?);
    Ok(versioned(rest.0.iam.set_access_key_state_if(by, &access_key, state, meant).await?))
}

/// Bound a service account by another policy
///
/// The body is the document. It may do what its parent may and this policy allows, from now on.
#[utoipa::path(put, path = "/api/v1/service-accounts/{access_key}/policy", tag = "service accounts",
    params(
        ("access_key" = String, Path, description = "Its access key"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    request_body(content = Object, content_type = "application/json", description = "The document"),
    responses(
        (status = 200, description = "The service account; durable", body = ServiceAccount,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing, PreconditionFailed))]
pub(super) async fn put_policy(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(access_key): Names<String>,
    headers: HeaderMap,
    Document(document): Document,
) -> Result<Versioned<ServiceAccount>, Refusal> {
    rest.bound(&caller, &access_key, &headers, Some(&document)).await
}

/// Take the policy that bounds a service account away
///
/// It may do what its parent may, from now on.
#[utoipa::path(delete, path = "/api/v1/service-accounts/{access_key}/policy", tag = "service accounts",
    params(
        ("access_key" = String, Path, description = "Its access key"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    responses(
        (status = 200, description = "The service account; durable", body = ServiceAccount,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing, PreconditionFailed))]
pub(super) async fn delete_policy(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(access_key): Names<String>,
    headers: HeaderMap,
) -> Result<Versioned<ServiceAccount>, Refusal> {
    rest.bound(&caller, &access_key, &headers, None).await
}

/// Delete a service account
#[utoipa::path(delete, path = "/api/v1/service-accounts/{access_key}", tag = "service accounts",
    params(
        ("access_key" = String, Path, description = "Its access key"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    responses((status = 204, description = "It is gone; durable"), Refused, Missing, PreconditionFailed))]
pub(super) async fn delete(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(access_key): Names<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    rest.service_account(&caller, &access_key, (WRITE, "iam:DeleteServiceAccount"))?;
    rest.0.iam.delete_access_key_if(&caller.identity, &access_key, meant(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Rest {
    async fn bound(
        &self,
        caller: &Caller,
        access_key: &str,
        headers: &HeaderMap,
        policy: Option<&str>,
    ) -> Result<Versioned<ServiceAccount>, Refusal> {
        self.service_account(caller, access_key, (WRITE, "iam:UpdateServiceAccount"))?;
        let (by, meant) = (&caller.identity, meant(headers)?);
        Ok(versioned(self.0.iam.set_service_account_policy_if(by, access_key, policy, meant).await?))
    }

    /// The service account, if the caller may do this to those of its parent.
    fn service_account(
        &self,
        caller: &Caller,
        access_key: &str,
        action: super::decide::Action,
    ) -> Result<AccessKeyInfo, Refusal> {
        // Who may do it to everybody's is told which there are, and nobody else.
        let missing = |error: IamError| match self.allow(caller, action, &Arn::all(), &caller.facts()) {
            Ok(()) => error.into(),
            Err(refusal) => refusal,
        };
        let no_such = || IamError::NoSuch { thing: Thing::ServiceAccount, name: access_key.to_owned() };
        let found = self.0.iam.access_key(access_key).map_err(|_| missing(no_such()))?;
        if !found.service_account {
            return Err(missing(no_such()));
        }
        self.allow(caller, action, &self.resource_of(caller, &found.owner)?, &caller.facts())?;
        Ok(found)
    }

    /// What policies know the owner of credentials by. What is root's is for root alone: whoever could make credentials for
    /// it would be root.
    pub(super) fn resource_of(&self, caller: &Caller, owner: &Identity) -> Result<Arn, Refusal> {
        match owner {
            Identity::User { name } => Ok(Arn::user(name.as_str())),
            _ if caller.identity.owner() == Some(&Identity::Root) => Ok(Arn::all()),
            _ => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "This belongs to root, and is for root alone.",
            )),
        }
    }

    /// Leaves out of a list what belongs to users whose the caller may not know of: who may list everybody's can be denied some.
    pub(super) fn leave_out_denied<T>(
        &self,
        caller: &Caller,
        action: super::decide::Action,
        list: &mut Vec<T>,
        owner: impl Fn(&T) -> &Identity,
    ) {
        let mut decided = BTreeMap::new();
        list.retain(|entry| match owner(entry) {
            Identity::User { name } => *decided.entry(name.clone()).or_insert_with(|| {
                self.allow(caller, action, &Arn::user(name.as_str()), &caller.facts()).is_ok()
            }),
            _ => true,
        });
    }

    /// Who is to own new credentials: the user that is named, or the caller.
    pub(super) fn owner_for(
        &self,
        caller: &Caller,
        user: Option<&str>,
        action: super::decide::Action,
    ) -> Result<Identity, Refusal> {
        let nobody = || Refusal::bad_request("NotAParent", "The caller cannot own credentials; name a user.");
        match user {
            // Whether there is such a user is told to those who may do it to one of this name.
            Some(user) => {
                self.allow(caller, action, &Arn::user(user), &caller.facts())?;
                Ok(Identity::User { name: self.0.iam.user(user)?.name })
            }
            None => {
                let owner = caller.identity.owner().ok_or_else(nobody)?;
                self.allow(caller, action, &self.resource_of(caller, owner)?, &caller.facts())?;
                Ok(owner.clone())
            }
        }
    }
}
