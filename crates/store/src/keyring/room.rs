//! How much a keyring may have in it, so that it is opened again. `docs/spec/keyring.md` §2, *Limits*.

use std::fmt;
use std::io;

use super::file::LEN_MAX;
use crate::CommitError;

/// As many groups as are made, the system group among them. A checkpoint record names each of them, and goes into one
/// record of the log.
pub(crate) const GROUPS_MADE_MAX: usize = 1 << 18;

/// Up to where a keyring may grow. A command that is logged has its place in the keyring, so it is refused before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Groups, the system group among them.
    pub(crate) groups: usize,
    /// Bytes of the whole file, for one more group. The rest is for later keys of those that are there, and for a root key
    /// that wraps them in longer envelopes.
    pub(crate) bytes_for_groups: usize,
    /// Bytes of the whole file, for one more key.
    pub(crate) bytes_for_keys: usize,
    /// Bytes of the whole file, whatever is in it.
    pub(crate) bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        let bytes = usize::try_from(LEN_MAX).expect("64 MiB can be counted");
        Self {
            groups: GROUPS_MADE_MAX,
            bytes_for_groups: bytes / 4 * 3,
            bytes_for_keys: bytes / 16 * 15,
            bytes,
        }
    }
}

/// What a command adds to the keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Growth {
    pub(crate) groups: usize,
    pub(crate) bytes: usize,
}

impl Growth {
    /// So many commands that add as much.
    pub(crate) fn times(self, count: usize) -> Self {
        Self { groups: self.groups.saturating_mul(count), bytes: self.bytes.saturating_mul(count) }
    }
}

impl Room {
    /// Whether a keyring of so many groups and bytes may become larger by this much. One that does not grow is never
    /// refused, so that what is too large can get smaller.
    pub(super) fn check(&self, groups: usize, bytes: usize, growth: Growth) -> Result<(), CommitError> {
        if growth == Growth::default() {
            return Ok(());
        }
        let most = if growth.groups > 0 { self.bytes_for_groups } else { self.bytes_for_keys };
        let too_many = growth.groups > 0 && groups.saturating_add(growth.groups) > self.groups;
        if too_many || bytes.saturating_add(growth.bytes) > most {
            return Err(CommitError::KeyringFull { groups, bytes });
        }
        Ok(())
    }
}

/// A keyring that no reader would take, so it was not written.
#[derive(Debug)]
pub(super) struct TooLong {
    pub(super) len: usize,
    pub(super) most: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keyring would have {} bytes and may have at most {}", self.len, self.most)
    }
}

impl std::error::Error for TooLong {}

impl From<TooLong> for io::Error {
    fn from(error: TooLong) -> Self {
        Self::new(io::ErrorKind::FileTooLarge, error)
    }
}

/// Whether a keyring was not written because no reader would take it. The old one counts.
pub(crate) fn is_too_long(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooLong>())
}
