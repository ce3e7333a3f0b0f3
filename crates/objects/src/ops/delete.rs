//! Deleting objects.

use std::sync::Arc;

use futures::StreamExt;

use crate::commit::{Change, Replace, if_match};
use crate::measure::counted;
use crate::objects::{Objects, carried_out};
use crate::request::{DeleteItem, DeleteRequest, DeleteResult};
use crate::{BucketName, ObjectError, VersionId};

/// How many objects of one request are deleted at the same time: enough to share the log's syncs.
const AT_ONCE: usize = 64;

impl Objects {
    /// Deletes an object. Deleting what is not there is a success, unless a condition asks for it.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], [`ObjectError::PreconditionFailed`], [`ObjectError::NoSuchKey`] with a condition.
    pub async fn delete(&self, request: DeleteRequest) -> Result<DeleteResult, ObjectError> {
        counted("delete", async {
            let bucket = self.0.bucket(&request.bucket)?;
            let inner = Arc::clone(&self.0);
            carried_out(async move {
                let DeleteRequest { name, version, if_match: tags, .. } = request;
                let conditions = if_match(tags);
                let what = Replace { bucket: &bucket, name: &name, conditions: &conditions };
                inner
                    .replace(what, move |_, current| {
                        let meant = |version: VersionId| {
                            current.is_some_and(|current| current.head.version == version)
                        };
                        let there = version.map_or(current.is_some(), meant);
                        Ok(there.then(Change::default))
                    })
                    .await?;
                Ok(DeleteResult { version, delete_marker: false })
            })
            .await
        })
        .await
    }

    /// Deletes many objects, several at a time, and answers for each in the order of the request.
    pub async fn delete_many(
        &self,
        bucket: &BucketName,
        items: Vec<DeleteItem>,
    ) -> Vec<Result<DeleteResult, ObjectError>> {
        let requests = items.into_iter().map(|item| {
            let DeleteItem { name, version, if_match } = item;
            self.delete(DeleteRequest { bucket: bucket.clone(), name, version, if_match })
        });
        futures::stream::iter(requests).buffered(AT_ONCE).collect().await
    }
}
