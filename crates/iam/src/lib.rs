//! Who is asking, and what they may do.
//!
//! ```text
//! access key, session token ─▶ Iam::look_up ─▶ Identity, Secret      the face checks the signature with the secret
//! token of the REST API     ─▶ Iam::authenticate_token ─▶ Identity, scopes
//! Identity, action, Arn, Facts, bucket policy ─▶ Iam::decide ─▶ Decision
//! ```
//! Users, groups, policies, access keys and tokens are rows of the system group, secrets in them sealed once more; all of them are in memory
//! as well, so that no decision waits for a disk. Each change is one command that also holds a [`Change`] for who wants to be told.
//! Temporary credentials are not stored: their session token holds them. The policy engine ([`Policy`]) is pure. Formats, the language and
//! the order in which policies are looked at are in `docs/spec/iam.md`.
//!
//! The root's credentials come from the environment, or are made once on the first start and kept as a sealed record
//! in the system group's row `iam/root` (`docs/spec/credentials.md`). They are shown when they are made and never
//! again.

mod access_keys;
mod ask;
mod changes;
mod check;
mod credentials;
mod decide;
mod draft;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod iam;
mod identity;
mod names;
mod policies;
mod policy;
mod rewrap;
mod row;
mod rows;
#[cfg(any(test, feature = "fuzzing"))]
mod samples;
mod sealed;
mod sessions;
mod state;
mod tokens;
mod types;
mod users;

pub use ask::{Arn, Ask, Decision, Denial, Facts, PolicyKind};
pub use changes::{Change, ChangeKind};
pub use check::check_row;
pub use credentials::{AccessKey, Credentials, CredentialsError, Secret};
pub use error::{IamError, Thing};
pub use iam::{FirstStart, Iam, IamOptions};
pub use identity::{ACCOUNT, Identity};
pub use names::{Name, NameError};
pub use policy::keys::{CONDITION_KEY_FAMILIES, CONDITION_KEYS};
pub use policy::{Policy, PolicyError, PolicyFault};
pub use types::{
    AccessKeyInfo, Belongings, CredentialFault, GroupInfo, NoSuchScope, PolicyInfo, Scope,
    ServiceAccountSpec, SessionCredentials, SessionSpec, State, Tag, Target, TokenInfo, TokenSpec, UserInfo,
};
