//! The tags of an object.

use std::sync::Arc;

use crate::commit::{Change, Current, Replace, body};
use crate::measure::counted;
use crate::objects::{Objects, blocking, carried_out};
use crate::ops::get::find;
use crate::request::ObjectTags;
use crate::{BucketName, ObjectError, ObjectName, Tags, VersionId, WriteConditions};

impl Objects {
    /// An object's tags.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchKey`], [`ObjectError::NoSuchVersion`].
    pub async fn object_tags(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        version: Option<VersionId>,
    ) -> Result<ObjectTags, ObjectError> {
        counted("object_tags", async {
            let bucket = self.0.bucket(bucket)?;
            let (inner, name) = (Arc::clone(&self.0), name.clone());
            blocking(move || {
                let reading = inner.read(&bucket)?;
                let (head, object) = find(&reading, &bucket, &name, version)?;
                let tags = body(&reading, &bucket, &name, head.version, &object)?.meta.tags;
                Ok(ObjectTags { tags, version: head.version })
            })
            .await
        })
        .await
    }

    /// Replaces an object's tags; none removes them. Nothing else of the object changes.
    ///
    /// # Errors
    /// [`ObjectError::InvalidTags`], [`ObjectError::NoSuchKey`], [`ObjectError::NoSuchVersion`].
    pub async fn set_object_tags(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        version: Option<VersionId>,
        tags: Tags,
    ) -> Result<VersionId, ObjectError> {
        counted("set_object_tags", async {
            crate::meta::check_tags(&tags)?;
            let bucket = self.0.bucket(bucket)?;
            let (inner, name) = (Arc::clone(&self.0), name.clone());
            carried_out(async move {
                let conditions = WriteConditions::default();
                let what = Replace { bucket: &bucket, name: &name, conditions: &conditions };
                let (at, named) = (Arc::clone(&bucket), name.clone());
                inner
                    .replace(what, move |reading, current: Option<&Current>| {
                        let (head, object) = find(reading, &at, &named, version)?;
                        debug_assert_eq!(current.map(|current| &current.head), Some(&head));
                        let mut body = body(reading, &at, &named, head.version, &object)?;
                        body.meta.tags.clone_from(&tags);
                        Ok(Some(Change { new: Some((head, body)), ..Change::default() }))
                    })
                    .await?;
                Ok(version.unwrap_or(VersionId::Null))
            })
            .await
        })
        .await
    }
}
