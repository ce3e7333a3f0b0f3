//! Who is asking.
//!
//! An [`Identity`] is found by its [`AccessKey`] and proves itself with a [`Secret`] (the S3 face checks signatures
//! with it). There is one identity so far, the root, who may do everything; the types are those that users and
//! policies will use.
//!
//! The root's credentials come from the environment, or are made once on the first start and kept as a sealed record
//! in the system group's row `iam/root` (`docs/spec/credentials.md`). They are shown when they are made and never
//! again.

mod credentials;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod iam;
mod rewrap;
mod row;

pub use credentials::{AccessKey, Credentials, CredentialsError, Secret};
pub use iam::{FirstStart, Iam, IamError, Identity};
