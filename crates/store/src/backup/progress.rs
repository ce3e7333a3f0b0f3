//! How far a backup or restoring is.

use super::BackupError;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BackupStage {
    /// Rows of groups.
    #[default]
    Rows,
    /// Commands that came while the rows were read.
    Log,
    /// Files that rows stand for.
    Files,
    /// Making everything durable.
    Ending,
}

/// How far a backup or restoring is. Counts from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackupProgress {
    /// What is being done.
    pub stage: BackupStage,
    /// Groups whose rows are done.
    pub groups: u64,
    /// Groups there are.
    pub groups_total: u64,
    /// Rows and commands read.
    pub rows: u64,
    /// Files looked at.
    pub files: u64,
    /// Bytes of those files.
    pub file_bytes: u64,
    /// Bytes written, chunks and files together.
    pub written_bytes: u64,
}

/// Shows progress, and hears whether to go on.
pub(super) struct Reporter<'a> {
    pub(super) now: BackupProgress,
    tell: &'a mut dyn FnMut(&BackupProgress) -> bool,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(tell: &'a mut dyn FnMut(&BackupProgress) -> bool) -> Self {
        Self { now: BackupProgress::default(), tell }
    }

    /// # Errors
    /// [`BackupError::Stopped`] if that is what was answered.
    pub(super) fn tell(&mut self) -> Result<(), BackupError> {
        if (self.tell)(&self.now) { Ok(()) } else { Err(BackupError::Stopped) }
    }

    pub(super) fn enter(&mut self, stage: BackupStage) -> Result<(), BackupError> {
        self.now.stage = stage;
        self.tell()
    }
}
