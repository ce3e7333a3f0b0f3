//! `/tokens`: tokens for this API.

use std::fmt;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use strongroom_iam::{IamError, Scope, Thing, TokenInfo, TokenSpec};
use utoipa::ToSchema;

use super::caller::Caller;
use super::openapi::{Conflict, Missing, Refused};
use super::pages::{Paged, Pages};
use super::{Rest, expiry, owner_name, time_of};
use crate::refusal::{Body, Names, Parameters, Refusal};

/// A token, without what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its public name.
    pub id: String,
    /// `root`, or the name of the user whose permissions it has.
    pub owner: String,
    /// What it may be used for, beside what its owner may do.
    pub scopes: Vec<TokenScope>,
    /// What it is for.
    pub description: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// From when on it is not taken any more (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// How a token is shown.
pub(super) fn token(info: &TokenInfo) -> Token {
    Token {
        id: info.id.clone(),
        owner: owner_name(&info.owner),
        scopes: info.scopes.iter().filter_map(|scope| TokenScope::of(*scope)).collect(),
        description: info.description.clone(),
        created: time_of(info.created_at),
        expires: info.expires_at.map(time_of),
    }
}

/// What a token may be used for, beside what its owner may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub enum TokenScope {
    /// Reading buckets and their settings.
    #[serde(rename = "buckets:read")]
    BucketsRead,
    /// Making, changing and deleting buckets and their settings.
    #[serde(rename = "buckets:write")]
    BucketsWrite,
    /// Reading and listing objects.
    #[serde(rename = "objects:read")]
    ObjectsRead,
    /// Writing and deleting objects.
    #[serde(rename = "objects:write")]
    ObjectsWrite,
    /// Reading users, groups, policies, service accounts and tokens.
    #[serde(rename = "identities:read")]
    IdentitiesRead,
    /// Changing them. It is as good as everything that the owner may do: it can make credentials that have no scopes.
    #[serde(rename = "identities:write")]
    IdentitiesWrite,
}

impl TokenScope {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::BucketsRead,
        Self::BucketsWrite,
        Self::ObjectsRead,
        Self::ObjectsWrite,
        Self::IdentitiesRead,
        Self::IdentitiesWrite,
    ];

    fn of(scope: Scope) -> Option<Self> {
        Self::ALL.into_iter().find(|known| Scope::from(*known) == scope)
    }

    /// Its name: `buckets:read`.
    pub fn as_str(self) -> &'static str {
        Scope::from(self).as_str()
    }
}

impl From<TokenScope> for Scope {
    fn from(scope: TokenScope) -> Self {
        match scope {
            TokenScope::BucketsRead => Self::BucketsRead,
            TokenScope::BucketsWrite => Self::BucketsWrite,
            TokenScope::ObjectsRead => Self::ObjectsRead,
            TokenScope::ObjectsWrite => Self::ObjectsWrite,
            TokenScope::IdentitiesRead => Self::IdentitiesRead,
            TokenScope::IdentitiesWrite => Self::IdentitiesWrite,
        }
    }
}

/// A page of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// In no particular order.
    pub tokens: Vec<Token>,
    /// `after` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Paged for TokenList {
    type Entry = Token;

    fn page(&mut self) -> (&mut Vec<Token>, &mut Option<String>) {
        (&mut self.tokens, &mut self.next)
    }
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The user whose permissions it has; left out, the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What it may be used for. A token can make others with its own scopes only.
    #[schema(min_items = 1)]
    pub scopes: Vec<TokenScope>,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub description: String,
    /// How long it is taken, in seconds; left out, 90 days. 0 is until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub expires_in_seconds: Option<u64>,
}

/// A token with what proves it, which is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenWithSecret {
    /// The token for the header `Authorization: Bearer …`. The server shows it to nobody again.
    pub token: String,
    /// What is known of it.
    pub info: Token,
}

impl fmt::Debug for TokenWithSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenWithSecret").field("info", &self.info).finish_non_exhaustive()
    }
}

/// How long a token is taken if nobody says it: what is forgotten shall not be good for ever.
const SECONDS_DEFAULT: u64 = 90 * 86_400;

const READ: Scope = Scope::IdentitiesRead;
const WRITE: Scope = Scope::IdentitiesWrite;

/// List tokens
///
/// Those that the caller may know of: everybody's, or its own.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", params(Pages),
    responses((status = 200, description = "A page of tokens", body = TokenList), Refused))]
pub(super) async fn list(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Parameters(pages): Parameters<Pages>,
) -> Result<Json<TokenList>, Refusal> {
    let action = (READ, "iam:ListTokens");
    let mut tokens = rest.0.iam.tokens();
    if let Err(refusal) = rest.allow(&caller, action, &strongroom_iam::Arn::all(), &caller.facts()) {
        let Some(own) = caller.identity.owner() else { return Err(refusal) };
        rest.allow(&caller, action, &rest.resource_of(&caller, own)?, &caller.facts())?;
        tokens.retain(|token| token.owner == *own);
    }
    rest.leave_out_denied(&caller, action, &mut tokens, |token| &token.owner);
    let (tokens, next) = pages.cut(tokens.iter().map(token).collect(), |token: &Token| &token.id)?;
    Ok(Json(TokenList { tokens, next }))
}

/// Make a token
///
/// The answer has the token itself, which is shown this once: only a hash of it is kept.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, description = "Made; durable", body = TokenWithSecret), Refused, Missing, Conflict))]
pub(super) async fn create(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<TokenWithSecret>), Refusal> {
    let owner = rest.owner_for(&caller, new.user.as_deref(), (WRITE, "iam:CreateToken"))?;
    let mut scopes: Vec<Scope> = new.scopes.iter().copied().map(Scope::from).collect();
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Refusal::bad_request("InvalidScopes", "A token has at least one scope."));
    }
    if let Some(own) = &caller.token
        && let Some(more) = scopes.iter().find(|scope| !own.scopes.contains(scope))
    {
        let message =
            format!("The caller's token does not have the scope {more}, so it cannot give it to another.");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "AccessDenied", message));
    }
    let spec = TokenSpec {
        scopes,
        expires_at: match new.expires_in_seconds {
            Some(0) => None,
            seconds => Some(expiry(seconds.unwrap_or(SECONDS_DEFAULT))?),
        },
        description: &new.description,
    };
    let (info, secret) = rest.0.iam.create_token(&caller.identity, &owner, spec).await?;
    let made = TokenWithSecret { token: secret.dangerous_expose().to_owned(), info: token(&info) };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revoke a token
///
/// It is not taken from now on.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", tag = "tokens",
    params(("token" = String, Path, description = "Its id, not the token itself")),
    responses((status = 204, description = "It is gone; durable"), Refused, Missing))]
pub(super) async fn revoke(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(id): Names<String>,
) -> Result<StatusCode, Refusal> {
    let action = (WRITE, "iam:DeleteToken");
    match rest.0.iam.tokens().into_iter().find(|token| token.id == id) {
        Some(found) => {
            rest.allow(&caller, action, &rest.resource_of(&caller, &found.owner)?, &caller.facts())?;
        }
        // Who may revoke everybody's is told which there are, and nobody else.
        None => {
            rest.allow(&caller, action, &strongroom_iam::Arn::all(), &caller.facts())?;
            return Err(IamError::NoSuch { thing: Thing::Token, name: id }.into());
        }
    }
    rest.0.iam.revoke_token(&caller.identity, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
