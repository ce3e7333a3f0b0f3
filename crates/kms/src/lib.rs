//! Key management services behind one trait.
//!
//! A [`Provider`] holds root keys that never leave it. It wraps keys and unwraps them again, always bound to a
//! [`Context`](strongroom_seal::Context) that says what the key is for; the result is an
//! [`Envelope`](strongroom_seal::Envelope) that names provider, key and version. Whoever holds an envelope and
//! not the provider holds nothing.
//!
//! | provider | root keys live in | spec |
//! |---|---|---|
//! | [`LocalKms`] | one sealed file, opened by a passphrase or key file | `docs/spec/local-kms.md` |
//!
//! Every call of every provider is counted and timed (`strongroom_kms_*`). No call says why a wrapped key does not
//! open: wrong context and damage are one answer.

mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod local;
mod measure;
mod passphrase;
mod provider;

pub use error::KmsError;
pub use local::{LocalKms, LocalKmsError, LocalKmsOptions, Unlock, WhenMissing};
pub use passphrase::Passphrase;
pub use provider::{DEFAULT_KEY_ID, KeyInfo, KeyState, Provider, ROOT_KEY_ID, VersionInfo, probe_with_key};
