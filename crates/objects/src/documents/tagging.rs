//! The tags of a bucket.

use serde::{Deserialize, Serialize};

use super::Documents;
use crate::objects::Objects;
use crate::{BucketName, DocumentKind, ObjectError, Tags};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketTags {
    /// Names and values, in the client's order.
    tags: Tags,
}

impl Objects {
    /// The tags of a bucket; `None` if it has none. Reads nothing.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn bucket_tags(&self, bucket: &BucketName) -> Result<Option<Tags>, ObjectError> {
        let set = self.bucket_document_json::<BucketTags>(bucket, DocumentKind::Tagging)?;
        Ok(set.map(|set| set.tags.clone()))
    }

    /// Replaces the tags of a bucket, or removes them.
    ///
    /// # Errors
    /// [`ObjectError::InvalidTags`], [`ObjectError::NoSuchBucket`].
    pub async fn set_bucket_tags(&self, bucket: &BucketName, tags: Option<Tags>) -> Result<(), ObjectError> {
        let bytes = tags.map(document).transpose()?;
        self.set_bucket_document(bucket, DocumentKind::Tagging, bytes).await
    }
}

/// The document of these tags.
fn document(tags: Tags) -> Result<Vec<u8>, ObjectError> {
    crate::meta::check_bucket_tags(&tags)?;
    Ok(super::to_json(&BucketTags { tags }))
}

/// What a bucket is made with that has these tags from its first moment on.
pub(crate) fn documents(tags: Tags) -> Result<Documents, ObjectError> {
    let mut documents = Documents::default();
    // No tags are no tag set.
    if !tags.is_empty() {
        documents.set(DocumentKind::Tagging, Some(&document(tags)?));
    }
    Ok(documents)
}

#[cfg(feature = "fuzzing")]
pub(crate) fn tag_seeds() -> Vec<Vec<u8>> {
    let tags = vec![("name".to_owned(), "value".to_owned()), ("other".to_owned(), String::new())];
    vec![super::to_json(&BucketTags { tags })]
}

#[cfg(feature = "fuzzing")]
pub(crate) fn read_tags(bytes: &[u8]) -> bool {
    crate::fuzzing::json::<BucketTags>(bytes).is_some()
}
