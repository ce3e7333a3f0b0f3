//! Log, pages and keyring: a transactional store of ordered rows in which nothing rests in the clear.

pub mod backup;
mod checkpoint;
mod command;
mod commit;
mod directory;
pub mod disk;
mod encode;
mod engine;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod groups;
pub mod inspect;
mod issue;
mod keeper;
mod key_user;
mod keyring;
mod keys;
#[allow(dead_code, unused_imports, reason = "its tests use more of it than the engine does")]
mod log;
mod log_keys;
mod options;
mod overlay;
#[allow(dead_code, unreachable_pub, unused_imports, reason = "its tests use more of it than the engine does")]
mod pages;
mod poison;
mod reading;
mod recovery;
mod registry;
mod reseal;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod store;
#[cfg(test)]
mod tests;
mod uses;
mod workers;

pub use command::{
    COMMAND_LEN_MAX, Check, Command, GroupId, KEY_LEN_MAX, Lsn, Outcome, VALUE_LEN_MAX, Write,
};
pub use error::{
    Cause, CommitError, Damage, OpenError, Place, ReadError, RootKeyChangeError, RootKeyError, StoreError,
};
pub use issue::{GroupKeyIssuer, IssuedKey};
pub use key_user::{KeyUser, KeyUserError};
pub use keys::{GroupReport, KeyReport, KeyState, KeyringReport, ResealSettings, RootKeyChange, RootKeyName};
pub use log::{
    ChainBreak, LogError, LogFault, LogKeyError, Outline, OutlineItem, SegmentId, WriteError, outline,
};
pub use options::{Clock, KeyLimits, RootKeys, StoreOptions, SystemClock};
pub use pages::Moment;
pub use reading::{KeptOpen, Range, Reading, Value};
pub use recovery::Recovery;
pub use reseal::{ResealProgress, ResealStage, ResealStatus};
pub use store::{Status, Store, WeakStore};
