//! What a verification of objects comes across.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use strongroom_store::{GroupId, ReadError};

use crate::{Damaged, UploadId, VersionId};

/// Where content belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectPlace {
    /// The bucket; `group …` if its name cannot be read.
    pub bucket: String,
    /// The object's key.
    pub name: String,
    /// The version; `None` for a part of an upload that is not completed.
    pub version: Option<VersionId>,
    /// That upload.
    pub upload: Option<UploadId>,
    /// The part, counted from 1; 0 for what is not of a part.
    pub part: u16,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectDamage {
    /// One thing of it.
    Of(Damaged),
    /// Chunks of a blob that do not open, counted from 0.
    Chunks(RangeInclusive<u64>),
    /// No row says that the blob is in use, so a sweep would remove it.
    NoOwner,
}

/// Rows that could not be read because pages of the index are damaged.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UnreadRows {
    /// The bucket.
    pub bucket: String,
    /// Its group.
    pub group: GroupId,
    /// What the rows are.
    pub table: &'static str,
    /// Names after this one are missing; `None` from the start.
    pub after: Option<String>,
    /// Names up to this one are missing; `None` to the end.
    pub before: Option<String>,
    /// What was in the way.
    pub error: ReadError,
}

/// Something that a verification of objects came across.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ObjectFinding {
    /// An object, or a part of an upload, is damaged.
    Damaged {
        /// Where.
        place: ObjectPlace,
        /// In which way.
        what: ObjectDamage,
    },
    /// A row is authentic and not what it must be.
    Row {
        /// The bucket.
        bucket: String,
        /// What the row is.
        table: &'static str,
        /// Its key.
        key: Vec<u8>,
    },
    /// A row is authentic and of no table that is known.
    Unknown {
        /// The bucket.
        bucket: String,
        /// Its key.
        key: Vec<u8>,
    },
    /// An entry that no version names. Its bytes are never read, and commands leave none behind.
    Nameless {
        /// The bucket.
        bucket: String,
        /// The object's key.
        name: String,
        /// Whether the entry itself is as it must be.
        decodes: bool,
    },
    /// Rows could not be read, so nothing is known of what they describe.
    Unread(UnreadRows),
    /// A file could not be read for another reason than damage.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// The KMS did not unwrap a key, so content could not be opened. No damage.
    KeyNotToBeHad {
        /// Where.
        place: ObjectPlace,
        /// What the KMS, or the keyring, said.
        error: String,
    },
    /// A blob that no row names: what a crash leaves. The server removes it in time. No damage.
    Orphan {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
    },
}

impl ObjectFinding {
    /// Whether it says that bytes at rest are not what was written.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::KeyNotToBeHad { .. } | Self::Orphan { .. })
    }
}

impl fmt::Display for ObjectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {}, key {:?}", self.bucket, self.name)?;
        if let Some(version) = &self.version {
            write!(f, ", version {version}")?;
        }
        if let Some(upload) = &self.upload {
            write!(f, ", upload {upload}")?;
        }
        if self.part > 0 { write!(f, ", part {}", self.part) } else { Ok(()) }
    }
}

impl fmt::Display for ObjectDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(Damaged::Entry) => f.write_str("its entry in the index is missing or damaged"),
            Self::Of(Damaged::Key) => f.write_str("its wrapped key does not open"),
            Self::Of(Damaged::Inline) => f.write_str("its content in the index does not open"),
            Self::Of(Damaged::Missing) => f.write_str("its blob is missing"),
            Self::Of(Damaged::Length) => f.write_str("its blob has the wrong length"),
            Self::Of(Damaged::Header) => f.write_str("the header of its blob does not open"),
            Self::Of(Damaged::Chunk(chunk)) => write!(f, "chunk {chunk} does not open"),
            Self::Chunks(range) if range.start() == range.end() => {
                write!(f, "chunk {} does not open", range.start())
            }
            Self::Chunks(range) => write!(f, "chunks {} to {} do not open", range.start(), range.end()),
            Self::NoOwner => f.write_str("no row says that its blob is in use"),
        }
    }
}

impl fmt::Display for UnreadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {}: {} ", self.bucket, self.table)?;
        match (&self.after, &self.before) {
            (None, None) => f.write_str("all unknown")?,
            (Some(after), None) => write!(f, "after {after:?} unknown")?,
            (None, Some(before)) => write!(f, "up to {before:?} unknown")?,
            (Some(after), Some(before)) => write!(f, "from {after:?} to {before:?} unknown")?,
        }
        write!(f, ", since {}", self.error)
    }
}

impl fmt::Display for ObjectFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { place, what } => write!(f, "{place}: {what}"),
            Self::Row { bucket, table, key } => {
                write!(f, "bucket {bucket}: the row {} of {table} is malformed", key.escape_ascii())
            }
            Self::Unknown { bucket, key } => {
                write!(f, "bucket {bucket}: the row {} is of no table that is known", key.escape_ascii())
            }
            Self::Nameless { bucket, name, decodes } => {
                let decodes = if *decodes { "" } else { " and that is malformed" };
                write!(f, "bucket {bucket}, key {name:?}: an entry that no version names{decodes}")
            }
            Self::Unread(unread) => unread.fmt(f),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::KeyNotToBeHad { place, error } => write!(f, "{place}: not verified: {error}"),
            Self::Orphan { path, len } => {
                write!(
                    f,
                    "{}: {len} bytes that no object names; the server removes them in time",
                    path.display()
                )
            }
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ObjectCounts {
    /// Rows of the system group.
    pub system_rows: u64,
    /// Buckets.
    pub buckets: u64,
    /// Versions of objects.
    pub objects: u64,
    /// Delete markers.
    pub delete_markers: u64,
    /// Uploads that are not completed.
    pub uploads: u64,
    /// Their parts.
    pub parts: u64,
    /// Contents that opened and are in the index.
    pub inline: u64,
    /// Blobs whose every chunk was looked at.
    pub blobs: u64,
    /// Bytes of content that opened.
    pub bytes: u64,
    /// Contents under customers' keys (SSE-C): their lengths and headers were checked, and nothing else can be.
    pub customer: u64,
    /// Contents whose key the KMS did not unwrap.
    pub keyless: u64,
    /// Blobs that no row names.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
    /// Blobs that were dropped and are to be removed.
    pub garbage: u64,
    /// Files of uploads that were cut short.
    pub temporary: u64,
}
