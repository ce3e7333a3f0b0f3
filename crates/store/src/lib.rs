//! Log, pages and keyring: a transactional store of ordered rows in which nothing rests in the clear.

mod command;
pub mod disk;

pub use command::{
    COMMAND_LEN_MAX, Check, Command, GroupId, KEY_LEN_MAX, Lsn, Outcome, VALUE_LEN_MAX, Write,
};
