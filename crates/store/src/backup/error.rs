//! Why a backup was not made, read or restored.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::directory::RestorePlace;
use crate::disk::is_no_space;
use crate::pages::PagesError;
use crate::registry::GroupError;
use crate::{GroupId, LogError, OpenError, ReadError, RootKeyError, StoreError, WriteError};

/// Why a backup was not made, read or restored. A failed backup leaves the snapshots that were there; a failed restoring
/// leaves the directory as it was.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The directory is no backup and has something else in it.
    #[error("{} is not a backup (it has {found:?}); choose an empty directory, or one that has backups", dir.display())]
    NotABackup {
        /// The directory.
        dir: PathBuf,
        /// A name in it.
        found: String,
    },
    /// Another process writes to the target.
    #[error("another backup to {} is running", dir.display())]
    InUse {
        /// The target.
        dir: PathBuf,
    },
    /// A newer program wrote it.
    #[error("{} has version {found}, and this program reads up to {supported}; use the newer program that wrote it", file.display())]
    TooNew {
        /// Which file.
        file: PathBuf,
        /// The version found.
        found: u32,
        /// The newest that this program reads.
        supported: u32,
    },
    /// The target has backups of another store.
    #[error("{} has backups of another store; choose another directory", dir.display())]
    OtherStore {
        /// The target.
        dir: PathBuf,
    },
    /// The target has no snapshot, or not this one.
    #[error("{} has no {}", dir.display(), snapshot_name(*.number))]
    NoSnapshot {
        /// The target.
        dir: PathBuf,
        /// The snapshot asked for; `None` for the newest.
        number: Option<u64>,
    },
    /// A file of the backup is not what was written.
    #[error("{} is damaged: {why}", file.display())]
    Damage {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file of the backup is not there.
    #[error("{} is missing", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A file of the store that a row stands for is not there, so no backup would be whole.
    #[error("{} is missing, and a row of group {group} stands for it", file.display())]
    FileMissing {
        /// The file.
        file: PathBuf,
        /// Whose row.
        group: GroupId,
    },
    /// The root key does not open the backup. The backup itself is not known to be damaged.
    #[error(
        "the root key {key_id:?} version {key_version} of the {provider} provider does not open {}: {source}; \
         give access to that key, or restore it there", file.display()
    )]
    RootKey {
        /// The manifest.
        file: PathBuf,
        /// The provider that it names.
        provider: String,
        /// The key that it names.
        key_id: String,
        /// Its version.
        key_version: u32,
        /// What the provider answered.
        source: Box<RootKeyError>,
    },
    /// The root key did not wrap the backup's key.
    #[error("the backup's key could not be wrapped: {0}")]
    NotWrapped(RootKeyError),
    /// What is to be restored into is not empty.
    #[error("{} is not empty (it has {found:?}); restore into an empty directory", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// A name in it.
        found: String,
    },
    /// The restored store's files could not be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Rows of the store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log of the store could not be read or made.
    #[error(transparent)]
    Log(Arc<LogError>),
    /// The store does not go on.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No space is left.
    #[error("no space is left on the disk of {}", path.display())]
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
    /// It was asked to stop.
    #[error("the backup was stopped before its end")]
    Stopped,
}

fn snapshot_name(number: Option<u64>) -> String {
    number.map_or_else(|| "snapshot".into(), |number| format!("snapshot {number}"))
}

impl BackupError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| {
            let path = path.to_owned();
            if is_no_space(&error) {
                return Self::NoSpace { path };
            }
            Self::Io { path, source: Arc::new(error) }
        }
    }

    /// For reading: what is not there is missing, what is too short is damaged.
    pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { file: path.to_owned() },
            io::ErrorKind::UnexpectedEof => Self::damage(path, "it is cut short"),
            _ => Self::io(path)(error),
        }
    }

    pub(super) fn damage(path: &Path, why: &'static str) -> Self {
        Self::Damage { file: path.to_owned(), why }
    }

    pub(super) fn place(dir: &Path, error: RestorePlace) -> Self {
        match error {
            RestorePlace::NotEmpty { found } => Self::NotEmpty { dir: dir.to_owned(), found },
            RestorePlace::Open(error) => error.into(),
        }
    }
}

impl From<LogError> for BackupError {
    fn from(error: LogError) -> Self {
        Self::Log(Arc::new(error))
    }
}

impl From<WriteError> for BackupError {
    fn from(error: WriteError) -> Self {
        match StoreError::from(&error) {
            StoreError::NoSpace => Self::NoSpace { path: PathBuf::from("log") },
            error => Self::Store(error),
        }
    }
}

impl From<GroupError> for BackupError {
    fn from(error: GroupError) -> Self {
        Self::Open(error.into())
    }
}

impl From<PagesError> for BackupError {
    fn from(error: PagesError) -> Self {
        Self::Open(error.into())
    }
}
