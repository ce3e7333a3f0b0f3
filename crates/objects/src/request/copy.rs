//! Copies on the server.

use std::convert::Infallible;

use strongroom_seal::CustomerKey;

use super::PutResult;
use crate::{
    BucketName, ChecksumAlgorithm, KmsUse, ObjectError, ObjectMeta, ObjectName, ReadConditions, SseApplied,
    SseRequest, Tags, VersionId, WriteConditions,
};

/// Where a copy's metadata or tags come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Directive {
    /// From the source.
    #[default]
    Copy,
    /// From the request.
    Replace,
}

/// What is copied.
#[derive(Debug, Clone)]
pub struct CopySource {
    /// From where.
    pub bucket: BucketName,
    /// Its name.
    pub name: ObjectName,
    /// Which version; `None` is the current one.
    pub version: Option<VersionId>,
    /// `x-amz-copy-source-if-*`.
    pub conditions: ReadConditions,
    /// The source's customer key.
    pub customer_key: Option<CustomerKey>,
}

/// A copy on the server.
#[derive(Debug)]
pub struct CopyRequest {
    /// What.
    pub source: CopySource,
    /// Where to.
    pub bucket: BucketName,
    /// Under which name.
    pub name: ObjectName,
    /// The target's metadata if `metadata` is [`Directive::Replace`], its tags if `tagging` is, and its locks. A storage
    /// class that is named, also `STANDARD`, is a change.
    pub meta: ObjectMeta,
    /// `x-amz-metadata-directive`.
    pub metadata: Directive,
    /// `x-amz-tagging-directive`.
    pub tagging: Directive,
    /// The target's encryption. It is never inherited from the source.
    pub sse: SseRequest,
    /// What must hold of the target.
    pub conditions: WriteConditions,
    /// A checksum for the target; `None` keeps the source's algorithm.
    pub checksum: Option<ChecksumAlgorithm>,
}

/// What a copy would take, for who says whether it may.
#[derive(Debug)]
pub struct ToCopy<'a> {
    /// How the source that was opened is encrypted.
    pub sse: SseApplied,
    /// Its tags.
    pub tags: &'a Tags,
    /// The key of the KMS that the copy would be sealed with; `None` if the KMS has no part in it, and of a part, whose key is
    /// that of its upload.
    pub sealed_with: Option<KmsUse>,
}

/// Why nothing was copied.
#[derive(Debug)]
pub enum NotCopied<E> {
    /// Who was asked refused it.
    Refused(E),
    /// It failed.
    Failed(ObjectError),
}

impl<E> From<ObjectError> for NotCopied<E> {
    fn from(error: ObjectError) -> Self {
        Self::Failed(error)
    }
}

impl NotCopied<Infallible> {
    /// Where nobody was asked, nobody refused.
    pub(crate) fn of_nobody(self) -> ObjectError {
        match self {
            Self::Refused(never) => match never {},
            Self::Failed(error) => error,
        }
    }
}

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyResult {
    /// The target.
    pub put: PutResult,
    /// The source's version; `None` in a bucket that never had versions.
    pub source_version: Option<VersionId>,
}
