//! The tags of an object.

use std::sync::Arc;

use crate::commit::{Action, Change, Replace, Seen, body, body_and_check};
use crate::measure::counted;
use crate::objects::{Objects, blocking, carried_out};
use crate::ops::get::{find, find_version};
use crate::request::ObjectTags;
use crate::{BucketName, ObjectError, ObjectMeta, ObjectName, Tags, VersionId, WriteConditions, versions};

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
                let version = versions::shown(bucket.settings.versioning, head.version);
                Ok(ObjectTags { tags, version })
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
    ) -> Result<Option<VersionId>, ObjectError> {
        counted("set_object_tags", async {
            crate::meta::check_tags(&tags)?;
            let bucket = self.0.bucket(bucket)?;
            let (inner, name) = (Arc::clone(&self.0), name.clone());
            carried_out(async move {
                let conditions = WriteConditions::default();
                let what = Replace { bucket: &bucket, name: &name, conditions: &conditions };
                let done = inner.replace(what, move |seen| {
                    amended(seen, version, |meta| {
                        meta.tags.clone_from(&tags);
                        Ok(())
                    })
                    .map(Some)
                });
                Ok(done.await?.and_then(|done| done.version))
            })
            .await
        })
        .await
    }
}

/// The change of what is known of the version that a request means, and of nothing else.
pub(crate) fn amended(
    seen: &Seen<'_>,
    version: Option<VersionId>,
    change: impl FnOnce(&mut ObjectMeta) -> Result<(), ObjectError>,
) -> Result<Change, ObjectError> {
    let Seen { reading, bucket, name, .. } = *seen;
    let (head, object) = find(reading, bucket, name, version)?;
    let version = find_version(reading, bucket, name, Some(head.version))?;
    let (mut body, read) = body_and_check(reading, bucket, name, head.version, &object)?;
    change(&mut body.meta)?;
    // Tags and locks are in one row, so each change keeps what another changed meanwhile.
    let checks = vec![read.is_the_same()];
    Ok(Change { checks, ..Action::Amend { version, body: Box::new(body) }.into() })
}
