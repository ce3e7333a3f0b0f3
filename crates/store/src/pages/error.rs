//! Why a page file did not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::root::RootSeq;
use crate::{Damage, GroupId, Place, ReadError};

/// Why a page file did not do what it was asked. Cloned freely: the first failure of a file is its answer to every
/// later call.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PagesError {
    /// There is no such file.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is such a file already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another process, or an earlier opening of this one, holds the file.
    #[error("{} is in use", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Bytes at rest were changed.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The file is authentic and older than it is known to have been.
    #[error("{} is an older copy: it is at {} and was at {} already", path.display(), found.0, expected.0)]
    RolledBack {
        /// The file.
        path: PathBuf,
        /// Its newest root.
        found: RootSeq,
        /// The oldest that is acceptable.
        expected: RootSeq,
    },
    /// A newer program wrote the file.
    #[error("{} has format {found}, and this program reads up to {supported}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this program reads.
        supported: u32,
    },
    /// The file is another group's.
    #[error("{} is the file of group {found}", path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// Whose it says it is.
        found: GroupId,
    },
    /// The group's keys do not include one that the file needs.
    #[error("{} needs key {key_id} of its group", path.display())]
    KeyMissing {
        /// The file.
        path: PathBuf,
        /// The key.
        key_id: u32,
    },
    /// All places of the key table are in use.
    #[error("{} has pages under too many keys; re-seal it under fewer", path.display())]
    KeysExhausted {
        /// The file.
        path: PathBuf,
    },
    /// The file reached the format's largest size.
    #[error("{} is as long as a page file can be", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// No space is left on the disk.
    #[error("no space is left on the disk of {}", path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it answered.
        source: Arc<io::Error>,
    },
    /// The database inside the pages is not as it should be, though every page is authentic.
    #[error("{}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database answered.
        source: Arc<redb::Error>,
    },
    /// The file was closed.
    #[error("{} is closed", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
}

impl PagesError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        // What this module put into an error on its way through redb comes out as it went in.
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) if crate::disk::is_no_space(&error) => Self::NoSpace { path: path.into() },
            Err(error) => Self::Io { path: path.into(), source: Arc::new(error) },
        }
    }

    pub(super) fn damage(path: &Path, at: Place, why: &'static str) -> Self {
        Self::Damage(Damage { file: path.into(), at, why })
    }

    /// What a reader of rows is told.
    pub(crate) fn into_read(self, group: GroupId) -> ReadError {
        match self {
            Self::Damage(damage) => ReadError::Damage(damage),
            Self::RolledBack { path, found, expected } => {
                ReadError::RolledBack { file: path, found: found.0, expected: expected.0 }
            }
            Self::KeyMissing { key_id, .. } => ReadError::NoSuchKey { group, key_id },
            Self::Io { path, source } => ReadError::Io { path, source },
            Self::NoSpace { path } => {
                let source = io::Error::new(
                    io::ErrorKind::StorageFull,
                    "no space for its pages, on the disk and in memory",
                );
                ReadError::Io { path, source: Arc::new(source) }
            }
            Self::Closed { .. } => ReadError::Closed,
            _ => ReadError::Failed { group },
        }
    }
}

impl From<PagesError> for io::Error {
    fn from(error: PagesError) -> Self {
        Self::other(error)
    }
}
