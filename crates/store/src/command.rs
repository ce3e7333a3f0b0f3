//! What the store is asked to do, and what came of it.

use std::fmt;

/// The longest key of a row, in bytes: an S3 object key (1024) with its bucket-internal prefix and suffix.
pub const KEY_LEN_MAX: usize = 2048;
/// The longest value of a row, in bytes.
pub const VALUE_LEN_MAX: usize = 1 << 20;
/// The longest command, encoded, in bytes.
pub const COMMAND_LEN_MAX: usize = 8 << 20;

/// A group: rows that share one key, one page file and one order. One per bucket; 0 is the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group of the store's own rows: buckets, identities, settings.
    pub const SYSTEM: Self = Self(0);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Log sequence number: the place of a command in the log, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Writes that happen together, in one group, if all checks hold when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Where.
    pub group: GroupId,
    /// What must hold. Checked when the command is applied, in log order, so that every node decides alike.
    pub checks: Vec<Check>,
    /// What changes if it does.
    pub writes: Vec<Write>,
}

/// A precondition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// No row has this key.
    Absent {
        /// The row's key.
        key: Vec<u8>,
    },
    /// A row has this key.
    Present {
        /// The row's key.
        key: Vec<u8>,
    },
    /// The row with this key has exactly this value.
    Equals {
        /// The row's key.
        key: Vec<u8>,
        /// The value it must have.
        value: Vec<u8>,
    },
    /// No row has a key in `from..to`.
    RangeEmpty {
        /// The first key that counts.
        from: Vec<u8>,
        /// The first key past the range.
        to: Vec<u8>,
    },
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The row with this key has this value from now on.
    Put {
        /// The row's key.
        key: Vec<u8>,
        /// The row's value.
        value: Vec<u8>,
    },
    /// No row has this key from now on.
    Delete {
        /// The row's key.
        key: Vec<u8>,
    },
    /// A new group comes into being with its first key. Only in a command of the system group.
    CreateGroup {
        /// The new group; never used before.
        group: GroupId,
        /// When, in seconds since 1970, by the clock of the node that took the command. For reports.
        at: u64,
        /// Its first key, wrapped by the root key ([`strongroom_seal::Envelope`], encoded).
        wrapped_key: Vec<u8>,
    },
    /// A group gets a new key, which seals from now on. Only in a command of the system group, and only by
    /// [`Store::rotate_group_key`](crate::Store::rotate_group_key).
    RotateKey {
        /// The group; the system group too.
        group: GroupId,
        /// The new key's id: the group's next.
        key_id: u32,
        /// When, in seconds since 1970, by the clock of the node that took the command. For reports.
        at: u64,
        /// The key, wrapped by the root key ([`strongroom_seal::Envelope`], encoded).
        wrapped_key: Vec<u8>,
    },
    /// A group ends: its keys are forgotten, so its pages, log records and objects are unreadable for good.
    /// Only in a command of the system group.
    DropGroup {
        /// The group.
        group: GroupId,
    },
}

/// What came of a command that is durable in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All checks held and all writes are visible.
    Applied {
        /// The command's place in the log.
        lsn: Lsn,
    },
    /// A check did not hold; nothing changed.
    Refused {
        /// Which check, counted from 0.
        check: usize,
    },
}
