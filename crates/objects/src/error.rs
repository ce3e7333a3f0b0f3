//! What can go wrong, as data. The S3 face maps each variant in one exhaustive match.

use std::io;

use strongroom_store::{CommitError, ReadError};

use crate::{
    BucketName, ChecksumAlgorithm, ContentError, DocumentKind, ETag, ObjectName, PartNumber, Timestamp,
    UploadId, VersionId,
};

/// Which condition did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// If-Match.
    IfMatch,
    /// If-None-Match.
    IfNoneMatch,
    /// If-Modified-Since.
    IfModifiedSince,
    /// If-Unmodified-Since.
    IfUnmodifiedSince,
    /// If-Match about the source of a copy.
    SourceIfMatch,
    /// If-None-Match about the source of a copy.
    SourceIfNoneMatch,
    /// If-Modified-Since about the source of a copy.
    SourceIfModifiedSince,
    /// If-Unmodified-Since about the source of a copy.
    SourceIfUnmodifiedSince,
    /// x-amz-if-match-size.
    IfMatchSize,
    /// x-amz-if-match-last-modified-time.
    IfMatchLastModified,
}

impl Condition {
    /// The header's name as AWS writes it in answers.
    pub fn header(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
            Self::IfModifiedSince => "If-Modified-Since",
            Self::IfUnmodifiedSince => "If-Unmodified-Since",
            Self::SourceIfMatch => "x-amz-copy-source-If-Match",
            Self::SourceIfNoneMatch => "x-amz-copy-source-If-None-Match",
            Self::SourceIfModifiedSince => "x-amz-copy-source-If-Modified-Since",
            Self::SourceIfUnmodifiedSince => "x-amz-copy-source-If-Unmodified-Since",
            Self::IfMatchSize => "x-amz-if-match-size",
            Self::IfMatchLastModified => "x-amz-if-match-last-modified-time",
        }
    }
}

/// Where damage was found. Fields that do not apply are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagePlace {
    /// The bucket.
    pub bucket: String,
    /// The object.
    pub name: ObjectName,
    /// The version.
    pub version: VersionId,
    /// The part, counted from 1; single uploads have one part.
    pub part: u16,
    /// What of it.
    pub what: Damaged,
}

/// What of an object is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damaged {
    /// The row of the index that describes it.
    Entry,
    /// The wrapped object key.
    Key,
    /// The content inside the entry.
    Inline,
    /// The blob file is not there.
    Missing,
    /// The blob file has another length than it must have.
    Length,
    /// The blob's header.
    Header,
    /// A chunk of the sealed stream, counted from 0.
    Chunk(u64),
}

/// What was asked of the multipart upload's encryption and does not fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadSseFault {
    /// The upload was started with SSE-C and the request has no key, or the reverse.
    Parameters,
    /// It has another key.
    OtherKey,
}

/// Why an operation on buckets and objects failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    // What is not there or already is.
    /// No bucket has this name.
    #[error("no bucket has the name {bucket}")]
    NoSuchBucket {
        /// The name.
        bucket: BucketName,
    },
    /// Somebody else's bucket has this name.
    #[error("another owner's bucket has the name {bucket}")]
    BucketAlreadyExists {
        /// The name.
        bucket: BucketName,
    },
    /// The caller's own bucket has this name.
    #[error("the caller already owns a bucket with the name {bucket}")]
    BucketAlreadyOwnedByYou {
        /// The name.
        bucket: BucketName,
    },
    /// Objects, versions or uploads are in it.
    #[error("the bucket {bucket} is not empty")]
    BucketNotEmpty {
        /// The name.
        bucket: BucketName,
        /// Whether what is in it may be versions that a listing does not show.
        versions: bool,
    },
    /// No current object has this name.
    #[error("no object has this name")]
    NoSuchKey {
        /// The name.
        name: ObjectName,
        /// Whether the newest version is a delete marker, with its id.
        delete_marker: Option<VersionId>,
    },
    /// The object has no such version.
    #[error("the object has no version {version}")]
    NoSuchVersion {
        /// The object.
        name: ObjectName,
        /// The version.
        version: VersionId,
    },
    /// The version is a delete marker, which has no content.
    #[error("the version is a delete marker")]
    IsDeleteMarker {
        /// The version.
        version: VersionId,
        /// When it was made.
        mtime: Timestamp,
    },
    /// No such upload: never begun, completed or aborted.
    #[error("no upload has the id {upload}")]
    NoSuchUpload {
        /// The id.
        upload: UploadId,
    },

    // What the request says.
    /// The content was shorter or longer than announced.
    #[error("the content has {received} bytes where {expected} were announced")]
    IncompleteBody {
        /// The announced length in bytes.
        expected: u64,
        /// How many came (at most one piece more than announced).
        received: u64,
    },
    /// The content does not have the MD5 of Content-MD5.
    #[error("the content does not have the MD5 that was given")]
    BadDigest {
        /// What was given.
        expected: [u8; 16],
        /// What the content has.
        computed: [u8; 16],
    },
    /// The content does not have the checksum that was given or announced.
    #[error("the content does not have the {} checksum that was given", algorithm.name())]
    ChecksumMismatch {
        /// Which.
        algorithm: ChecksumAlgorithm,
    },
    /// The checksum's algorithm or kind is not the one that the upload was begun with.
    #[error("the upload was begun with another checksum algorithm or type")]
    ChecksumTypeMismatch {
        /// The upload's algorithm, if it has one.
        upload: Option<ChecksumAlgorithm>,
        /// The request's, if it has one.
        request: Option<ChecksumAlgorithm>,
    },
    /// A completion must repeat the checksums of which the object's is composed.
    #[error("part {part} of the completion has no {} checksum", algorithm.name())]
    PartChecksumMissing {
        /// The upload's algorithm.
        algorithm: ChecksumAlgorithm,
        /// The part.
        part: PartNumber,
    },
    /// A checksum kind that the algorithm does not have (composite CRC64NVME, full-object of what is no CRC).
    #[error("{} does not have this checksum type", algorithm.name())]
    ChecksumKindUnsupported {
        /// The algorithm.
        algorithm: ChecksumAlgorithm,
    },
    /// The assembled object has another size than the request says.
    #[error("the parts have {actual} bytes in all, not {given}")]
    ObjectSizeMismatch {
        /// `x-amz-mp-object-size`.
        given: u64,
        /// The sum.
        actual: u64,
    },
    /// The content stream failed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Larger than an upload may be.
    #[error("the content has {size} bytes; at most {most} are allowed")]
    EntityTooLarge {
        /// How many were announced or have come.
        size: u64,
        /// The limit.
        most: u64,
    },
    /// More is to be copied at once than a copy may take.
    #[error("the source of a copy has more than {most} bytes")]
    CopySourceTooLarge {
        /// The limit, in bytes.
        most: u64,
    },
    /// A part that is not the last is smaller than 5 MiB.
    #[error("part {part} has {size} bytes; every part but the last has at least {least}")]
    EntityTooSmall {
        /// The part.
        part: PartNumber,
        /// Its size in bytes.
        size: u64,
        /// The least size in bytes.
        least: u64,
        /// Its entity tag.
        etag: ETag,
    },
    /// A part is not there or has another entity tag or checksum.
    #[error("part {part} was not uploaded or is not the one that is meant")]
    InvalidPart {
        /// The part.
        part: PartNumber,
        /// The upload.
        upload: UploadId,
        /// The entity tag that was named.
        etag: String,
    },
    /// Parts are not in ascending order.
    #[error("the parts are not in ascending order")]
    InvalidPartOrder {
        /// The upload.
        upload: UploadId,
    },
    /// A completion without parts.
    #[error("a completion names at least one part")]
    NoParts,
    /// The object has no part with this number.
    #[error("the object has {parts} parts, none with the number {part}")]
    NoSuchPart {
        /// Asked for.
        part: PartNumber,
        /// How many there are.
        parts: u16,
    },
    /// The range starts past the end.
    #[error("the range is outside the {size} bytes of the object")]
    InvalidRange {
        /// The object's size in bytes.
        size: u64,
    },
    /// The range of a part copy is not inside its source.
    #[error("the range is not inside the {size} bytes of the source")]
    InvalidCopyRange {
        /// The source's size in bytes.
        size: u64,
    },
    /// A copy onto itself that changes nothing.
    #[error("a copy of an object onto itself must change something")]
    CopyOntoItself,
    /// User metadata over 2 KiB.
    #[error("the user metadata has {size} bytes; at most {most} are allowed")]
    MetadataTooLarge {
        /// How many there are.
        size: usize,
        /// The limit.
        most: usize,
    },
    /// Tags that S3 does not allow: more than ten, a name twice, or too long.
    #[error("the tags are not allowed: {fault}")]
    InvalidTags {
        /// What is wrong.
        fault: TagFault,
        /// Name and value of the first tag that it is wrong with, if it is one.
        tag: Option<Box<(String, String)>>,
    },
    /// A document of a bucket is empty or longer than its kind may be.
    #[error("the {} has {size} bytes; 1 to {most} are allowed", kind.name())]
    DocumentTooLong {
        /// Which document.
        kind: DocumentKind,
        /// How many there are.
        size: usize,
        /// The limit.
        most: usize,
    },
    /// The operation's version or lock semantics need a bucket setting that is not there.
    #[error("the bucket has no versioning")]
    VersioningOff,
    /// The version is locked.
    #[error("the version is under retention or legal hold")]
    Locked,
    /// The bucket has object lock, and what is asked for would undo it.
    #[error("the bucket has object lock, so its versioning stays enabled")]
    ObjectLockOn,
    /// A retention that would be over already.
    #[error("the retention ends in the past")]
    RetentionPast,
    /// The bucket has no object lock, and the request asks for retention or a legal hold.
    #[error("the bucket has no object lock")]
    ObjectLockOff,
    /// The store does not do this yet; it is refused so that nobody relies on it.
    #[error("{what} is not supported yet")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },

    // Conditions.
    /// A condition does not hold.
    #[error("the condition {} does not hold", condition.header())]
    PreconditionFailed {
        /// Which.
        condition: Condition,
    },
    /// The client's copy is current.
    #[error("not modified")]
    NotModified {
        /// The object's tag.
        etag: ETag,
        /// Its time.
        mtime: Timestamp,
        /// Its version.
        version: VersionId,
    },
    /// Another write of this name came in between too often.
    #[error("a conflicting write of the same name is going on")]
    ConditionalConflict,

    // Encryption.
    /// The object is under a customer's key and the request has none.
    #[error("the object was stored with a customer's key, which the request does not carry")]
    CustomerKeyRequired,
    /// The request has a customer's key and the object is not under one.
    #[error("the object was not stored with a customer's key")]
    CustomerKeyNotApplicable,
    /// The request's customer key is not the object's.
    #[error("the customer's key is not the one the object was stored with")]
    CustomerKeyWrong,
    /// The bucket refuses writes with customers' keys.
    #[error("the bucket refuses writes with customers' keys")]
    CustomerKeysBlocked,
    /// A part's encryption does not fit the upload's.
    #[error("the request's encryption does not fit the upload's")]
    UploadSse(UploadSseFault),
    /// The KMS did not do what was asked.
    #[error(transparent)]
    Kms(#[from] strongroom_kms::KmsError),

    // What rests.
    /// Stored bytes were changed, cut, swapped or lost.
    #[error("stored bytes are damaged: {0:?}")]
    Damaged(Box<DamagePlace>),
    /// A row of the index that is not an object's is damaged.
    #[error("a row of the index is damaged: {table}")]
    DamagedRow {
        /// Which kind of row.
        table: &'static str,
    },
    /// A row was written by a newer version of this program.
    #[error("a row of the index has version {version}, newer than this program reads: {table}")]
    TooNew {
        /// Which kind of row.
        table: &'static str,
        /// The version found.
        version: u8,
    },
    /// The store has as many buckets as it may have. Nothing became visible.
    #[error("the store has as many buckets as it may have; remove some, or put this one into another store")]
    TooManyBuckets,
    /// No room on the disk. Nothing became visible.
    #[error("no room on the disk")]
    NoSpace,
    /// The file system failed. Nothing became visible.
    #[error("the file system failed while {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The index did not take the command.
    #[error(transparent)]
    Commit(CommitError),
    /// The index could not be read.
    #[error(transparent)]
    Read(ReadError),
    /// The bucket's key, or the store's, sealed as often as a key may and has no successor yet. Nothing became visible.
    #[error(
        "a key sealed as often as a key may and has no successor yet; see why in the server's log, and rotate it"
    )]
    KeyUsedUp,
    /// The store is stopping; the work was given up.
    #[error("the store is stopping")]
    Stopping,
}

impl ObjectError {
    /// Whether a part of the index is damaged or the disk does not read it: what is asked for may be there, and nobody can say.
    pub fn is_unreadable_index(&self) -> bool {
        use ReadError as R;
        matches!(self, Self::Read(R::Damage(_) | R::RolledBack { .. } | R::Io { .. }))
    }

    /// Whether the store failed, and not the request or its client.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Kms(error) => matches!(
                error,
                strongroom_kms::KmsError::Unavailable { .. }
                    | strongroom_kms::KmsError::WrongContextOrDamaged { .. }
            ),
            Self::Damaged(_)
            | Self::DamagedRow { .. }
            | Self::TooNew { .. }
            | Self::NoSpace
            | Self::Io { .. }
            | Self::Commit(_)
            | Self::Read(_)
            | Self::KeyUsedUp
            | Self::Stopping => true,
            _ => false,
        }
    }
}

impl From<CommitError> for ObjectError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::KeyUsedUp { .. } => Self::KeyUsedUp,
            other => Self::Commit(other),
        }
    }
}

impl From<ReadError> for ObjectError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::KeyUsedUp { .. } => Self::KeyUsedUp,
            other => Self::Read(other),
        }
    }
}

/// What is wrong with tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagFault {
    /// More than ten.
    #[error("there are more than ten")]
    TooMany,
    /// More than fifty, of a bucket.
    #[error("there are more than fifty")]
    TooManyOfBucket,
    /// A name that begins with `aws:`.
    #[error("a name is reserved")]
    Reserved,
    /// A name stands twice.
    #[error("a name stands twice")]
    Duplicate,
    /// A name is empty, has more than 128 characters, or one that is not allowed.
    #[error("a name is empty, has more than 128 characters, or one that is not allowed")]
    Name,
    /// A value has more than 256 characters, or one that is not allowed.
    #[error("a value has more than 256 characters, or one that is not allowed")]
    Value,
}
