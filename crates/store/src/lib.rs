//! Log, pages and keyring: a transactional store of ordered rows in which nothing rests in the clear.

mod command;
pub mod disk;
mod error;
#[allow(dead_code, unused_imports, reason = "the engine that calls it lands separately")]
mod log;
mod options;
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the engine that lands next is its only user")]
mod pages;
mod reading;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod store;

pub use command::{
    COMMAND_LEN_MAX, Check, Command, GroupId, KEY_LEN_MAX, Lsn, Outcome, VALUE_LEN_MAX, Write,
};
pub use error::{Cause, CommitError, Damage, OpenError, Place, ReadError, RootKeyError, StoreError};
pub use log::{LogError, LogFault, LogKeyError, Outline, OutlineItem, SegmentId, WriteError, outline};
pub use options::{RootKeys, StoreOptions};
pub use reading::{Range, Reading, Value};
pub use store::{Recovery, Status, Store};
