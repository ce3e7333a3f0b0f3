//! Log, pages and keyring: a transactional store of ordered rows in which nothing rests in the clear.

mod command;
pub mod disk;
mod error;
mod options;
mod reading;
mod store;

pub use command::{
    COMMAND_LEN_MAX, Check, Command, GroupId, KEY_LEN_MAX, Lsn, Outcome, VALUE_LEN_MAX, Write,
};
pub use error::{Cause, CommitError, Damage, OpenError, Place, ReadError, RootKeyError, StoreError};
pub use options::{RootKeys, StoreOptions};
pub use reading::{Range, Reading, Value};
pub use store::{Recovery, Status, Store};
