//! Why a group is not to be had, and what that means to whoever asked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::keyring::KeyError;
use crate::pages::PagesError;
use crate::{CommitError, Damage, GroupId, Lsn, OpenError, Place, ReadError, RootKeyError};

/// Why a group is not to be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("there is no group {group}")]
    NoSuchGroup { group: GroupId },
    #[error("the store is closed")]
    Closed,
    #[error("the pages of group {group} failed earlier")]
    Failed { group: GroupId },
    /// A page file has rows of a command that the log does not have: the log was put back, or lost its end.
    #[error("{} ends at command {last}, and group {group} has command {applied}", log.display())]
    LogBehind { group: GroupId, log: PathBuf, last: Lsn, applied: Lsn },
    #[error("{error}")]
    Key { group: GroupId, error: KeyError },
    #[error("{error}")]
    Pages { group: GroupId, error: PagesError },
}

impl GroupError {
    /// Whether it is the disk that has no space.
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, Self::Pages { error: PagesError::NoSpace { .. }, .. })
    }
}

impl From<GroupError> for ReadError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NoSuchGroup { group } => Self::NoSuchGroup { group },
            GroupError::Closed => Self::Closed,
            GroupError::Failed { group } => Self::Failed { group },
            GroupError::LogBehind { log, last, applied, .. } => {
                Self::RolledBack { file: log, found: last.0, expected: applied.0 }
            }
            GroupError::Key { group, error } => Self::key(group, error),
            GroupError::Pages { group, error } => match error {
                PagesError::Missing { path } => Self::Damage(missing(path)),
                error => error.into_read(group),
            },
        }
    }
}

impl ReadError {
    pub(crate) fn key(group: GroupId, error: KeyError) -> Self {
        match error {
            KeyError::NoSuchGroup { .. } => Self::NoSuchGroup { group },
            KeyError::NoSuchKey { key_id } => Self::NoSuchKey { group, key_id },
            KeyError::RootKey(error) => Self::RootKey(error),
            KeyError::NotInMemory { provider, key_id } => {
                let reason = format!("it was not asked for key {key_id}, which is not in memory");
                Self::RootKey(RootKeyError::Unavailable { provider, reason })
            }
        }
    }
}

impl From<GroupError> for CommitError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NoSuchGroup { group } => Self::NoSuchGroup { group },
            GroupError::Closed => Self::Closed,
            GroupError::Pages { error: PagesError::NoSpace { .. }, .. } => Self::NoSpace,
            GroupError::Pages { error: PagesError::Damage(damage), .. } => Self::Damage(damage),
            GroupError::Key { error: KeyError::RootKey(error), .. } => Self::RootKey(error),
            error => Self::Unreadable(error.into()),
        }
    }
}

impl From<GroupError> for OpenError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Pages { error, .. } => error.into(),
            GroupError::Key { error: KeyError::RootKey(source), .. } => Self::NoRootKey { source },
            GroupError::LogBehind { log, last, applied, .. } => {
                Self::RolledBack { file: log, found: last.0, expected: applied.0 }
            }
            error => Self::Group(error.into()),
        }
    }
}

impl From<PagesError> for OpenError {
    fn from(error: PagesError) -> Self {
        match error {
            PagesError::Missing { path } => Self::Missing { file: path },
            PagesError::Damage(damage) => Self::Damage(damage),
            PagesError::RolledBack { path, found, expected } => {
                Self::RolledBack { file: path, found: found.0, expected: expected.0 }
            }
            PagesError::TooNew { path, found, supported } => Self::TooNew { dir: path, found, supported },
            PagesError::Misplaced { path, .. } => Self::Damage(Damage {
                file: path,
                at: Place::Whole,
                why: "it is the page file of another group",
            }),
            PagesError::NoSpace { path } => Self::NoSpace { path },
            PagesError::Io { path, source } => Self::Io { path, source },
            PagesError::Database { path, .. } => {
                let why = "the database inside its pages does not add up";
                Self::Damage(Damage { file: path, at: Place::Whole, why })
            }
            PagesError::InUse { path } => Self::InUse { dir: path },
            PagesError::KeyMissing { path, .. } => {
                let why = "it needs a key that the keyring does not have";
                Self::Damage(Damage { file: path, at: Place::Whole, why })
            }
            PagesError::Exists { path }
            | PagesError::KeysExhausted { path }
            | PagesError::Full { path }
            | PagesError::Closed { path } => {
                let source = Arc::new(io::Error::other("the page file takes no more"));
                Self::Io { path, source }
            }
        }
    }
}

fn missing(file: std::path::PathBuf) -> Damage {
    Damage { file, at: Place::Whole, why: "it is missing" }
}
