//! Which key of the KMS an operation would use: who answers for clients asks whether they may use it.

use std::sync::Arc;

use crate::commit::body;
use crate::objects::{Objects, blocking};
use crate::ops::get::find;
use crate::sse::key_for;
use crate::{BucketName, ObjectError, ObjectName, SseApplied, SseRequest, UploadId, VersionId, uploads};

impl Objects {
    /// The id of the key with which a write of this kind would be encrypted; `None` if the KMS has no part in it. Reads
    /// nothing.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn kms_key_for(
        &self,
        bucket: &BucketName,
        request: &SseRequest,
    ) -> Result<Option<String>, ObjectError> {
        let bucket = self.0.bucket(bucket)?;
        Ok(key_for(request, &bucket.settings, self.0.keys.kms().default_key()).map(str::to_owned))
    }

    /// The id of the key with which an object is encrypted; `None` if the KMS has no part in it.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchKey`], [`ObjectError::NoSuchVersion`].
    pub async fn kms_key_of(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        version: Option<VersionId>,
    ) -> Result<Option<String>, ObjectError> {
        let bucket = self.0.bucket(bucket)?;
        let (inner, name) = (Arc::clone(&self.0), name.clone());
        blocking(move || {
            let reading = inner.read(&bucket)?;
            let (head, object) = find(&reading, &bucket, &name, version)?;
            let row = body(&reading, &bucket, &name, head.version, &object)?;
            Ok(key_in(row.sse.applied(None)))
        })
        .await
    }

    /// The id of the key with which the parts of an upload are encrypted; `None` if the KMS has no part in it.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchUpload`].
    pub async fn kms_key_of_upload(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        upload: UploadId,
    ) -> Result<Option<String>, ObjectError> {
        let bucket = self.0.bucket(bucket)?;
        let (inner, name) = (Arc::clone(&self.0), name.clone());
        blocking(move || {
            let reading = inner.read(&bucket)?;
            Ok(key_in(uploads::upload(&reading, &bucket, &name, upload)?.row.sse.applied(None)))
        })
        .await
    }
}

fn key_in(applied: SseApplied) -> Option<String> {
    match applied {
        SseApplied::Kms { key_id, .. } | SseApplied::Dsse { key_id, .. } => Some(key_id),
        SseApplied::S3 | SseApplied::Customer { .. } => None,
    }
}
