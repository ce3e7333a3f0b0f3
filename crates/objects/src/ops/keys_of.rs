//! Which key of the KMS an operation would use: who answers for clients asks whether they may use it.

use std::sync::Arc;

use crate::commit::body;
use crate::objects::{Objects, blocking};
use crate::ops::get::find;
use crate::sse::key_for;
use crate::{
    BucketName, BucketSettings, DefaultEncryption, ObjectError, ObjectName, SseApplied, SseRequest, UploadId,
    VersionId, uploads,
};

/// A key of the KMS, and what it is used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsUse {
    /// Its id.
    pub key_id: String,
    /// The client's encryption context, as JSON.
    pub context: Option<String>,
    /// Whether the KMS is asked for a key of the bucket and not of the object.
    pub bucket_key: bool,
}

impl KmsUse {
    /// `None` if the KMS has no part in it.
    pub fn of(applied: &SseApplied) -> Option<Self> {
        match applied.clone() {
            SseApplied::Kms { key_id, context, bucket_key } => Some(Self { key_id, context, bucket_key }),
            SseApplied::Dsse { key_id, context } => Some(Self { key_id, context, bucket_key: false }),
            SseApplied::S3 | SseApplied::Customer { .. } => None,
        }
    }

    fn of_write(request: &SseRequest, settings: &BucketSettings, default_key: &str) -> Option<Self> {
        let key_id = key_for(request, settings, default_key)?.to_owned();
        let (context, bucket_key) = match request {
            SseRequest::Kms { context, bucket_key, .. } => {
                (context.clone(), bucket_key.unwrap_or_else(|| settings.encryption.bucket_key()))
            }
            SseRequest::Dsse { context, .. } => (context.clone(), false),
            _ => (None, matches!(settings.encryption, DefaultEncryption::Kms { bucket_key: true, .. })),
        };
        Some(Self { key_id, context, bucket_key })
    }
}

impl Objects {
    /// The key with which a write of this kind would be encrypted; `None` if the KMS has no part in it. Reads nothing.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn kms_use_for(
        &self,
        bucket: &BucketName,
        request: &SseRequest,
    ) -> Result<Option<KmsUse>, ObjectError> {
        let bucket = self.0.bucket(bucket)?;
        Ok(KmsUse::of_write(request, &bucket.settings, self.0.keys.kms().default_key()))
    }

    /// How an object is encrypted.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchKey`], [`ObjectError::NoSuchVersion`].
    pub async fn sse_of(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        version: Option<VersionId>,
    ) -> Result<SseApplied, ObjectError> {
        let bucket = self.0.bucket(bucket)?;
        let (inner, name) = (Arc::clone(&self.0), name.clone());
        blocking(move || {
            let reading = inner.read(&bucket)?;
            let (head, object) = find(&reading, &bucket, &name, version)?;
            let row = body(&reading, &bucket, &name, head.version, &object)?;
            Ok(row.sse.applied(None))
        })
        .await
    }

    /// How the parts of an upload are encrypted.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchUpload`].
    pub async fn sse_of_upload(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        upload: UploadId,
    ) -> Result<SseApplied, ObjectError> {
        let bucket = self.0.bucket(bucket)?;
        let (inner, name) = (Arc::clone(&self.0), name.clone());
        blocking(move || {
            let reading = inner.read(&bucket)?;
            Ok(uploads::upload(&reading, &bucket, &name, upload)?.row.sse.applied(None))
        })
        .await
    }
}
