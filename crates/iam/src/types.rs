//! What is told of identities.

use std::fmt;
use std::str::FromStr;

use crate::{AccessKey, Identity, Name, Secret};

/// Which state of a thing somebody saw: a hash of it, in lower-case hex. For `ETag` and `If-Match`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(pub(crate) String);

impl Tag {
    /// What a client gave, without quotes. It matches nothing if no thing has it.
    pub fn from_client(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether credentials are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// They are.
    Enabled,
    /// They are not, nor are those of its service accounts and sessions.
    Disabled,
}

/// A user. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserInfo {
    /// Its name.
    pub name: Name,
    /// What no other user has or had, for `aws:userid`.
    pub id: String,
    /// Whether its credentials are taken.
    pub state: State,
    /// Policies attached to it, in order.
    pub policies: Vec<Name>,
    /// Groups that it is in, in order.
    pub groups: Vec<Name>,
    /// When it was made.
    pub created_at: u64,
}

/// What goes with a user that is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Belongings {
    /// Policies attached to it, in order.
    pub policies: Vec<Name>,
    /// Groups that it is in, in order.
    pub groups: Vec<Name>,
    /// Whether it has access keys.
    pub access_keys: bool,
    /// Whether it has service accounts.
    pub service_accounts: bool,
    /// Whether it has tokens.
    pub tokens: bool,
}

/// A group. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// Its name.
    pub name: Name,
    /// Policies attached to it, in order.
    pub policies: Vec<Name>,
    /// Who is in it, in order.
    pub members: Vec<Name>,
    /// When it was made.
    pub created_at: u64,
}

/// A policy. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyInfo {
    /// Its name.
    pub name: Name,
    /// Which state of it this is.
    pub tag: Tag,
    /// The document, as it was given.
    pub json: String,
    /// Whether it comes with the program.
    pub canned: bool,
    /// When it was made; 0 for a canned one.
    pub created_at: u64,
    /// When it was changed last; 0 for a canned one.
    pub updated_at: u64,
}

/// What a policy is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A user.
    User(String),
    /// A group.
    Group(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user/{name}"),
            Self::Group(name) => write!(f, "group/{name}"),
        }
    }
}

/// A user's access key or a service account, without its secret. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessKeyInfo {
    /// The access key.
    pub access_key: AccessKey,
    /// The root or the user that it belongs to.
    pub owner: Identity,
    /// Whether it is a service account. Users have access keys, the root has none beside its own.
    pub service_account: bool,
    /// Whether it is taken.
    pub state: State,
    /// What bounds a service account beside its parent's permissions, as it was given.
    pub policy: Option<String>,
    /// What it is for, in its maker's words.
    pub description: String,
    /// When it was made.
    pub created_at: u64,
    /// From when on it is not taken any more.
    pub expires_at: Option<u64>,
}

/// What a service account shall be. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceAccountSpec<'a> {
    /// What bounds it beside its parent's permissions, as JSON.
    pub policy: Option<&'a str>,
    /// What it is for, up to 256 bytes.
    pub description: &'a str,
    /// From when on it is not taken any more.
    pub expires_at: Option<u64>,
}

/// What temporary credentials shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSpec<'a> {
    /// What the maker calls it.
    pub name: &'a str,
    /// How long it lasts, in seconds; 900 to 43,200.
    pub duration_seconds: u64,
    /// What bounds it beside its maker's permissions, as JSON of at most 2,048 bytes.
    pub policy: Option<&'a str>,
}

/// Temporary credentials, shown this once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionCredentials {
    /// The access key.
    pub access_key: AccessKey,
    /// The secret.
    pub secret: Secret,
    /// What has to come with every request. Without the secret it opens nothing.
    pub session_token: String,
    /// When they end, in seconds since 1970.
    pub expires_at: u64,
    /// Who they are.
    pub identity: Identity,
}

/// What a token for the REST API may be used for, beside what its owner may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scope {
    /// Reading buckets and their settings.
    BucketsRead,
    /// Making, changing and deleting buckets and their settings.
    BucketsWrite,
    /// Reading and listing objects.
    ObjectsRead,
    /// Writing and deleting objects.
    ObjectsWrite,
    /// Reading users, groups, policies, service accounts and tokens.
    IdentitiesRead,
    /// Changing them.
    IdentitiesWrite,
}

impl Scope {
    /// All of them, in the order of their numbers in rows.
    pub const ALL: [Self; 6] = [
        Self::BucketsRead,
        Self::BucketsWrite,
        Self::ObjectsRead,
        Self::ObjectsWrite,
        Self::IdentitiesRead,
        Self::IdentitiesWrite,
    ];

    /// Its name, such as `buckets:read`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BucketsRead => "buckets:read",
            Self::BucketsWrite => "buckets:write",
            Self::ObjectsRead => "objects:read",
            Self::ObjectsWrite => "objects:write",
            Self::IdentitiesRead => "identities:read",
            Self::IdentitiesWrite => "identities:write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one of buckets, objects and identities, with :read or :write")]
pub struct NoSuchScope;

impl FromStr for Scope {
    type Err = NoSuchScope;

    fn from_str(text: &str) -> Result<Self, NoSuchScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(NoSuchScope)
    }
}

/// What a token for the REST API shall be. Times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSpec<'a> {
    /// What it may be used for; at least one.
    pub scopes: Vec<Scope>,
    /// From when on it is not taken any more.
    pub expires_at: Option<u64>,
    /// What it is for, up to 256 bytes.
    pub description: &'a str,
}

/// A token for the REST API, without the token. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// Its public name, which the token starts with.
    pub id: String,
    /// Whom it acts for: the root or a user.
    pub owner: Identity,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// What it is for, in its maker's words.
    pub description: String,
    /// When it was made.
    pub created_at: u64,
    /// From when on it is not taken any more.
    pub expires_at: Option<u64>,
}

/// Why a pair of credentials is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialFault {
    /// No such access key, or its owner is gone.
    #[error("there is no such access key")]
    Unknown,
    /// The access key or its owner is disabled.
    #[error("the access key is disabled")]
    Disabled,
    /// The access key's time has passed, or the session's.
    #[error("the credentials have expired")]
    Expired,
    /// A session token does not belong to the access key, or was revoked with its parent.
    #[error("the session token is not valid")]
    Token,
}
