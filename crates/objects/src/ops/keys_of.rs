//! Which key of the KMS an operation would use: who answers for clients asks whether they may use it.

use std::sync::Arc;

use crate::objects::{Objects, blocking};
use crate::{BucketName, ObjectError, ObjectName, SseApplied, SseRequest, UploadId, kms_key_id, uploads};

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
    /// What an object is encrypted with; `None` if the KMS has no part in it.
    pub fn of(applied: &SseApplied) -> Option<Self> {
        let (key_id, context, bucket_key) = match applied {
            SseApplied::Kms { key_id, context, bucket_key } => (key_id, context, *bucket_key),
            SseApplied::Dsse { key_id, context } => (key_id, context, false),
            SseApplied::S3 | SseApplied::Customer { .. } => return None,
        };
        Some(Self { key_id: key_id.clone(), context: context.clone(), bucket_key })
    }

    /// The same of a write whose request is [`SseRequest::settled`].
    pub(crate) fn of_settled(request: &SseRequest) -> Option<Self> {
        let (key_id, context, bucket_key) = match request.clone() {
            SseRequest::Kms { key_id, context, bucket_key } => (key_id?, context, bucket_key == Some(true)),
            SseRequest::Dsse { key_id, context } => (key_id?, context, false),
            SseRequest::Default | SseRequest::S3 | SseRequest::Customer(_) => return None,
        };
        Some(Self { key_id: kms_key_id(&key_id).to_owned(), context, bucket_key })
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
        Ok(KmsUse::of_settled(&self.settled_sse(bucket, request.clone())?))
    }

    /// What a write asks for in a bucket as it is now, so that it stays what was decided about should the bucket's default
    /// change before the write looks at it. Reads nothing.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn settled_sse(&self, bucket: &BucketName, request: SseRequest) -> Result<SseRequest, ObjectError> {
        let bucket = self.0.bucket(bucket)?;
        Ok(request.settled(&bucket.settings, self.0.keys.kms().default_key()))
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
