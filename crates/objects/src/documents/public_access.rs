//! What keeps a bucket from being public.

use serde::{Deserialize, Serialize};

use crate::objects::Objects;
use crate::{BucketName, DocumentKind, ObjectError};

/// The public access block of a bucket (AWS S3 User Guide, "Blocking public access to your Amazon S3 storage").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicAccessBlock {
    /// Requests that would set a public ACL are refused.
    pub block_public_acls: bool,
    /// Public ACLs grant nothing.
    pub ignore_public_acls: bool,
    /// Policies that are public are refused.
    pub block_public_policy: bool,
    /// A public policy grants nothing to anonymous requests.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// All four on: a new bucket.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };

    /// All four off: what holds in a bucket whose block was removed.
    pub const NONE: Self = Self {
        block_public_acls: false,
        ignore_public_acls: false,
        block_public_policy: false,
        restrict_public_buckets: false,
    };
}

impl Objects {
    /// The public access block of a bucket; `None` after it was removed, which is the same as [`PublicAccessBlock::NONE`]. A bucket where nobody
    /// set one has [`PublicAccessBlock::ALL`]. Reads nothing.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn public_access_block(&self, bucket: &BucketName) -> Result<Option<PublicAccessBlock>, ObjectError> {
        // `null` says that it was removed: no document is a bucket as it was made.
        let set =
            self.bucket_document_json::<Option<PublicAccessBlock>>(bucket, DocumentKind::PublicAccessBlock)?;
        Ok(set.map_or(Some(PublicAccessBlock::ALL), |set| *set))
    }

    /// Sets the public access block of a bucket, or removes it.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub async fn set_public_access_block(
        &self,
        bucket: &BucketName,
        block: Option<PublicAccessBlock>,
    ) -> Result<(), ObjectError> {
        let bytes = super::to_json(&block);
        self.set_bucket_document(bucket, DocumentKind::PublicAccessBlock, Some(bytes)).await
    }
}
