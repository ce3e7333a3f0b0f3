//! Who is asking.
//!
//! An [`Identity`] is found by its [`AccessKey`] and proves itself with a [`Secret`] (the S3 face checks signatures
//! with it). There is one identity so far, the root, who may do everything; the types are those that users and
//! policies will use.
//!
//! The root's credentials come from the environment, or are made once on the first start and kept as a sealed record
//! in the system group's row `iam/root` (`docs/spec/credentials.md`). They are shown when they are made and never
//! again.

mod ask;
mod changes;
mod credentials;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod iam;
mod identity;
mod manage;
mod names;
#[allow(dead_code, reason = "the engine follows")]
mod policy;
mod rewrap;
mod row;
mod types;

pub use ask::{Arn, Ask, Decision, Facts};
pub use changes::{Change, ChangeKind};
pub use credentials::{AccessKey, Credentials, CredentialsError, Secret};
pub use error::{IamError, Thing};
pub use iam::{FirstStart, Iam, IamOptions};
pub use identity::{ACCOUNT, Identity};
pub use names::{Name, NameError};
pub use policy::keys::{CONDITION_KEY_FAMILIES, CONDITION_KEYS};
pub use policy::{Policy, PolicyError, PolicyFault};
pub use types::{
    AccessKeyInfo, CredentialFault, GroupInfo, NoSuchScope, PolicyInfo, Scope, ServiceAccountSpec,
    SessionCredentials, SessionSpec, State, Tag, Target, TokenInfo, TokenSpec, UserInfo,
};
