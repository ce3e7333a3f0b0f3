//! Why the store did not do what it was asked, by family of operations.
//!
//! Damage always has a name: the file, the place in it, and what was wrong there. Whether the caller, the disk,
//! the operator or an attacker is at fault follows from the variant alone.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{GroupId, LogError, Lsn};

/// Bytes at rest are not what was written there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at {at}: {why}", file.display())]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The place in the file.
    pub at: Place,
    /// What was wrong there.
    pub why: &'static str,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The file as a whole: missing, or of a length it cannot have.
    Whole,
    /// A byte offset.
    Offset(u64),
    /// A log frame: its byte offset and the first command in it.
    Frame {
        /// Where the frame starts, in bytes.
        offset: u64,
        /// The first command that the frame should hold.
        lsn: Lsn,
    },
    /// A command in the log.
    Command(Lsn),
    /// A page of a page file, counted from 0.
    Page(u64),
    /// One of the alternating slots of a file.
    Slot(u8),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("its whole"),
            Self::Offset(offset) => write!(f, "byte {offset}"),
            Self::Frame { offset, lsn } => write!(f, "the frame at byte {offset} (command {lsn})"),
            Self::Command(lsn) => write!(f, "command {lsn}"),
            Self::Page(page) => write!(f, "page {page}"),
            Self::Slot(slot) => write!(f, "slot {slot}"),
        }
    }
}

/// What a key management service answers about a root key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootKeyError {
    /// The service does not have this key.
    #[error("the key {key_id:?} does not exist there")]
    Missing {
        /// The key.
        key_id: String,
    },
    /// The service has the key and not this version of it: destroyed there, or its own backup is older than this store.
    #[error("the key {key_id:?} has no version {key_version} there")]
    NoSuchVersion {
        /// The key.
        key_id: String,
        /// The version that is needed.
        key_version: u32,
    },
    /// The service has a key of this name, and it does not open the envelope.
    #[error("the key {key_id:?} there is not the one that wrapped this store's keys")]
    Wrong {
        /// The key.
        key_id: String,
    },
    /// The key exists and may not be used.
    #[error("the key {key_id:?} is disabled")]
    Disabled {
        /// The key.
        key_id: String,
    },
    /// The service did not answer.
    #[error("the {provider} provider does not answer: {reason}")]
    Unavailable {
        /// The service.
        provider: String,
        /// What it said instead.
        reason: String,
    },
}

/// Why a store did not open. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the store open.
    #[error("the data directory {} is in use by another process; stop it, or choose another directory", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// A newer program made or upgraded the store.
    #[error(
        "the data directory {} has format {found}, and this program reads up to {supported}; start the newer program that wrote it",
        dir.display()
    )]
    TooNew {
        /// The data directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this program reads.
        supported: u32,
    },
    /// The directory has files in it and is not a store.
    #[error(
        "the directory {} is not empty and not a Strongroom store (it has {found:?}); choose an empty directory",
        dir.display()
    )]
    NotAStore {
        /// The directory.
        dir: PathBuf,
        /// One of the names found.
        found: String,
    },
    /// A backup was being restored into the directory, and that did not come to its end.
    #[error("a restoring into {} was cut short; restore again, which starts over", dir.display())]
    HalfRestored {
        /// The directory.
        dir: PathBuf,
    },
    /// A file that every store has is not there.
    #[error("{} is missing; restore it from a backup of this store", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// Bytes at rest were changed.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// A file is authentic and older than one that this store is known to have had.
    #[error(
        "{} is an older copy: it is at {found} and the store was at {expected} already; put the newest copy back",
        file.display()
    )]
    RolledBack {
        /// The file.
        file: PathBuf,
        /// The generation or sequence number found.
        found: u64,
        /// The lowest that is acceptable.
        expected: u64,
    },
    /// The root key does not open the keyring. The keyring itself is not known to be damaged.
    #[error(
        "the root key {key_id:?} version {key_version} of the {provider} provider does not open this store: {source}; \
         give access to that key, or restore it there"
    )]
    RootKey {
        /// The provider that the keyring names.
        provider: String,
        /// The key that the keyring names.
        key_id: String,
        /// Its version.
        key_version: u32,
        /// What the provider answered.
        source: RootKeyError,
    },
    /// The root key did not wrap a key, or did not unwrap the key of a group although it opened the keyring.
    #[error("the root key could not be used: {source}")]
    NoRootKey {
        /// What the provider answered.
        source: RootKeyError,
    },
    /// The log cannot be trusted.
    #[error(transparent)]
    Log(Arc<LogError>),
    /// A group's pages cannot be read.
    #[error(transparent)]
    Group(#[from] ReadError),
    /// No space is left for what opening writes.
    #[error(
        "no space is left for {}: starting needs a few MiB; make room on that disk and start again, nothing is lost",
        path.display()
    )]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// What it answered.
        source: Arc<io::Error>,
    },
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { path, source, .. } => crate::directory::io_error(&path, source),
            LogError::TooNew { path, version } => {
                Self::TooNew { dir: path, found: version.into(), supported: 1 }
            }
            LogError::MissingMark { path } => Self::Missing { file: path },
            error => Self::Log(Arc::new(error)),
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The group was never made, or is gone.
    #[error("there is no group {group}")]
    NoSuchGroup {
        /// The group.
        group: GroupId,
    },
    /// A key, a value or the command is longer than the store takes. Nothing was written.
    #[error("{what} has {length} bytes and may have at most {most}")]
    TooLong {
        /// Which part of the command.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The longest allowed.
        most: usize,
    },
    /// The command has a write or check that its group or entry point does not allow. Nothing was written.
    #[error("a command of group {group} cannot have {what}")]
    Misplaced {
        /// The command's group.
        group: GroupId,
        /// What is out of place.
        what: &'static str,
    },
    /// No space is left. Nothing was written; the store goes on and takes commands when there is space again.
    #[error("no space is left on the disk")]
    NoSpace,
    /// An earlier write to the disk failed, so what is durable is no longer known. Reads go on; the store takes no
    /// command until it is opened again. Whether this command is durable is unknown.
    #[error("the store stopped taking writes: {cause}")]
    Poisoned {
        /// What failed first.
        cause: Cause,
    },
    /// Pages of the group are damaged.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The group's pages cannot be read, so no command can be applied to them. Nothing was written.
    #[error(transparent)]
    Unreadable(ReadError),
    /// The command is durable, and the group's pages do not take it for now. It counts as soon as they can be written or
    /// read again, at the latest when the store is opened on a sound disk. Until then the group takes no more.
    #[error("the command is durable, and not visible before the pages of group {group} are whole: {error}")]
    NotAppliedYet {
        /// The group.
        group: GroupId,
        /// What is wrong with its pages.
        error: ReadError,
    },
    /// The root key did not wrap or unwrap the group's key.
    #[error("the group's key could not be wrapped or unwrapped: {0}")]
    RootKey(#[from] RootKeyError),
    /// The key was not issued by this store since it opened, or it lapsed, or a group was made with it.
    #[error(
        "the key for group {group} is not one that this store issued and that is still good; ask for another"
    )]
    NotIssued {
        /// The group that it is for.
        group: GroupId,
    },
    /// The group has as many keys as it may have that something still needs.
    #[error(
        "group {group} has {needed} keys that are still needed; it can have a new one when re-sealing has made some of them unneeded"
    )]
    KeysExhausted {
        /// The group.
        group: GroupId,
        /// How many.
        needed: usize,
    },
    /// The keyring has no room for what the command adds to it. Nothing was written.
    #[error(
        "the keyring has {groups} groups in {bytes} bytes and no room for more; remove groups that are not needed, or use another store as well"
    )]
    KeyringFull {
        /// How many groups it has.
        groups: usize,
        /// How long it is.
        bytes: usize,
    },
    /// The group's key, or for the system group's key any group's, sealed as often as a key may, and could not be followed by
    /// another so far. Nothing was written. Reads go on, and writes when the group has a new key, which is tried again and
    /// again.
    #[error(
        "key {key_id} of group {group} sealed as often as a key may, and could not be followed by another; see why in the log, and rotate it"
    )]
    KeyUsedUp {
        /// The group.
        group: GroupId,
        /// Its active key.
        key_id: u32,
    },
    /// Every group id was given out.
    #[error("all group ids are used up")]
    GroupsExhausted,
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
}

/// Why the root key was not changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RootKeyChangeError {
    /// The new root key did not wrap, or did not give back what it wrapped. Nothing was changed.
    #[error("the new root key cannot be used: {source}")]
    NewKey {
        /// What the provider answered.
        source: RootKeyError,
    },
    /// A group's key could not be wrapped anew. Nothing was changed.
    #[error("key {key_id} of group {group} could not be wrapped anew: {source}")]
    Key {
        /// Whose key.
        group: GroupId,
        /// Which.
        key_id: u32,
        /// What the provider answered.
        source: RootKeyError,
    },
    /// No space is left for the new keyring. The old one counts.
    #[error("no space is left on the disk")]
    NoSpace,
    /// The new root key wraps the keys in longer envelopes, for all of which the keyring has no room. Nothing was changed.
    #[error(
        "the keyring has no room for all keys as this root key wraps them; remove groups that are not needed first"
    )]
    KeyringFull,
    /// The store takes no writes.
    #[error("the store stopped taking writes: {cause}")]
    Poisoned {
        /// What failed first.
        cause: Cause,
    },
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
}

impl From<CommitError> for RootKeyChangeError {
    /// What the store says before anything is done.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Poisoned { cause } => Self::Poisoned { cause },
            CommitError::NoSpace => Self::NoSpace,
            _ => Self::Closed,
        }
    }
}

/// Why rows were not read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The group was never made, or is gone.
    #[error("there is no group {group}")]
    NoSuchGroup {
        /// The group.
        group: GroupId,
    },
    /// The group has no key of this id, or forgot it.
    #[error("group {group} has no key {key_id}")]
    NoSuchKey {
        /// The group.
        group: GroupId,
        /// The key.
        key_id: u32,
    },
    /// The group's active key, which was to seal, did so as often as a key may.
    #[error("key {key_id} of group {group} sealed as often as a key may; rotate it")]
    KeyUsedUp {
        /// The group.
        group: GroupId,
        /// Its active key.
        key_id: u32,
    },
    /// Pages of the group are damaged.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The group's page file is authentic and older than it was.
    #[error("{} is an older copy: it is at {found} and was at {expected} already", file.display())]
    RolledBack {
        /// The file.
        file: PathBuf,
        /// The sequence number found.
        found: u64,
        /// The lowest that is acceptable.
        expected: u64,
    },
    /// The root key did not unwrap the group's key.
    #[error("the group's key could not be unwrapped: {0}")]
    RootKey(#[from] RootKeyError),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was being read.
        path: PathBuf,
        /// What it answered.
        source: Arc<io::Error>,
    },
    /// The group's page file failed earlier and takes no more reads until the store is opened again.
    #[error("the pages of group {group} failed earlier")]
    Failed {
        /// The group.
        group: GroupId,
    },
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
}

/// Why a checkpoint or a close did not complete.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store had stopped taking writes, or did so now.
    #[error("the store stopped taking writes: {cause}")]
    Poisoned {
        /// What failed first.
        cause: Cause,
    },
    /// No space is left. What was durable still is.
    #[error("no space is left on the disk")]
    NoSpace,
    /// The pages of a group cannot be made durable, so the log that holds their rows is kept. Everything else is done.
    #[error("the rows of group {group} stay in the log: {error}")]
    GroupBehind {
        /// The group; the first, if there are several.
        group: GroupId,
        /// What is wrong with its pages.
        error: ReadError,
    },
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
}

/// The first failure, after which the store takes no more writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The log was not written or not made durable.
    #[error("writing the log failed: {error}")]
    Log {
        /// What the operating system answered.
        error: String,
    },
    /// Pages were not written or not made durable.
    #[error("writing the pages of group {group} failed: {error}")]
    Pages {
        /// The group.
        group: GroupId,
        /// What went wrong.
        error: String,
    },
    /// The keyring was not replaced.
    #[error("writing the keyring failed: {error}")]
    Keyring {
        /// What the operating system answered.
        error: String,
    },
    /// A thread of the store ended by a defect in this program.
    #[error("the {thread} thread of the store ended unexpectedly")]
    Thread {
        /// Which.
        thread: &'static str,
    },
}
