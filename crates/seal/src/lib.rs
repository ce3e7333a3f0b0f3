//! Sealed stream and record formats, the keys that open them, and nothing else.
//!
//! This is the only crate of the workspace that names a symmetric cipher library. It takes bytes and gives
//! bytes: no file, no socket, no clock.
//!
//! | what is sealed | with | spec |
//! |---|---|---|
//! | objects, parts, anything long | [`stream`] | `docs/spec/sealed-stream.md` |
//! | wrapped keys, keyring, small bodies | [`record`] | `docs/spec/sealed-record.md` |
//! | pages and log frames, tag kept elsewhere | [`detached`] | `docs/spec/sealed-record.md` |
//!
//! Everything that is sealed is bound to a [`Context`]: what it is and where it belongs. The same bytes in
//! another place do not open.

mod aead;
pub mod codec;
mod context;
mod derive;
pub mod detached;
mod envelope;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod label;
mod mac;
mod random;
pub mod record;
pub mod stream;

pub use aead::{NONCE_LEN, Suite, TAG_LEN};
pub use context::{Context, Field};
pub use derive::{derive, derive_from_secret};
pub use envelope::{Envelope, EnvelopeError};
pub use keys::{
    BackupKey, CustomerKey, DataKey, GroupKey, KeyringKey, LogKey, ObjectKey, PageKey, RootKey, SecretKey,
    UnlockKey,
};
pub use label::Label;
pub use mac::{MAC_LEN, Mac, MacKey};
pub use random::{OsRandom, Random, SeededRandom};

/// Whether this build seals at all. Only a benchmark build does not, and only to measure what sealing costs.
pub const SEALS: bool = !cfg!(feature = "bench-unsealed");

/// Opening failed. Wrong key, wrong context and changed bytes are one answer on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open: they were changed, or belong to another key or place")]
pub struct Unsealable;
