//! What can be wrong with a log, and with writing to it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{LogKeyError, SegmentId};
use crate::{GroupId, Lsn};

/// In which way a frame or segment is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogFault {
    /// The file ends before it should.
    #[error("the file ends before it should")]
    Short,
    /// The header is not one, or does not open at this place.
    #[error("the header was changed or belongs elsewhere")]
    Header,
    /// The header is authentic, but does not follow what stands before it.
    #[error("it does not follow what stands before it")]
    Chain,
    /// The sealed records do not open.
    #[error("the sealed records were changed")]
    Sealed,
    /// The records opened, but are not what the format allows.
    #[error("the sealed records are malformed")]
    Body,
    /// The frame is whole, but not the one that the mark or the next segment names.
    #[error("it is not what the mark or the next segment says stands here")]
    Other,
}

/// Why a log cannot be made, read or opened. Nothing was changed on disk unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A call of the operating system failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a log already where a new one was to be made.
    #[error("there is a log in {} already", dir.display())]
    Exists {
        /// The log's directory.
        dir: PathBuf,
    },
    /// The file `mark` is missing, so nothing says how far the log had been made durable.
    #[error("the log's mark {} is missing", path.display())]
    MissingMark {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file `mark` was changed.
    #[error("the log's mark is damaged in slot {slot}")]
    DamagedMark {
        /// Which of its two slots; 2 for what stands around them.
        slot: u8,
    },
    /// A segment that the log must have is missing.
    #[error("log segment {segment} is missing")]
    MissingSegment {
        /// Which.
        segment: SegmentId,
    },
    /// Records that had been acknowledged, or may have been, cannot be read.
    #[error("log segment {segment} is damaged at offset {offset}, LSN {lsn}: {fault}")]
    Damage {
        /// In which segment.
        segment: SegmentId,
        /// Where the bad frame starts, or the file ends.
        offset: u64,
        /// The first LSN that cannot be read.
        lsn: Lsn,
        /// What is wrong there.
        fault: LogFault,
    },
    /// A segment has bytes after its end.
    #[error("log segment {segment} has {found} bytes instead of {recorded}")]
    Extended {
        /// Which.
        segment: SegmentId,
        /// How long it must be.
        recorded: u64,
        /// How long it is.
        found: u64,
    },
    /// A segment belongs to another store.
    #[error("log segment {segment} belongs to another store")]
    Foreign {
        /// Which.
        segment: SegmentId,
    },
    /// A segment's file holds another segment.
    #[error("the file of log segment {segment} holds segment {found}")]
    Misplaced {
        /// By the file's name.
        segment: SegmentId,
        /// By its header.
        found: SegmentId,
    },
    /// A segment is authentic, but does not continue the one before it.
    #[error("log segment {segment} does not continue the one before it")]
    Unchained {
        /// Which.
        segment: SegmentId,
    },
    /// The log was closed, yet there is a later segment.
    #[error("log segment {segment} was not there when the log was closed")]
    AfterClose {
        /// Which.
        segment: SegmentId,
    },
    /// A file was written by a newer version of this program.
    #[error("{} has format version {version}, which is newer than this program", path.display())]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its format's version.
        version: u16,
    },
    /// A key that the log needs is not to be had.
    #[error(transparent)]
    Key(#[from] LogKeyError),
}

impl LogError {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}

/// Why a log cannot be written to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Our own mistake: a batch that is not the next one. Nothing was written.
    #[error("a record has LSN {found} where {expected} is next")]
    OutOfOrder {
        /// The LSN that comes next.
        expected: Lsn,
        /// The LSN that was given.
        found: Lsn,
    },
    /// A payload is longer than the format allows. Nothing was written.
    #[error("a record of {len} bytes is longer than the log allows")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A segment that is not there was to be kept. Nothing was changed.
    #[error("log segment {segment} is not part of the log")]
    NoSuchSegment {
        /// Which.
        segment: SegmentId,
    },
    /// The key of a group is not to be had. Nothing was written.
    #[error("no key to write records of group {group}: {source}")]
    Key {
        /// Whose records.
        group: GroupId,
        /// Why not.
        source: LogKeyError,
    },
    /// Writing failed, and nothing of it became part of the log. The log can be written to again, for example
    /// when there is space.
    #[error("the log took nothing: {source}")]
    NotWritten {
        /// What the system said.
        source: io::Error,
    },
    /// What the disk holds is unknown since an earlier failure. Only opening the store again can tell.
    #[error("the log cannot be written to any more: {cause}")]
    Poisoned {
        /// The first failure.
        cause: Arc<LogError>,
    },
    /// The log goes on, but a file that is no longer needed could not be removed.
    #[error(transparent)]
    Leftover(LogError),
}
