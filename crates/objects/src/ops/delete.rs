//! Deleting objects and versions.

use std::sync::Arc;

use futures::StreamExt;

use crate::commit::{Action, Change, Done, Replace, Seen, body_and_check};
use crate::conditions::check_delete;
use crate::measure::counted;
use crate::object_lock::check_removal;
use crate::objects::{Objects, carried_out};
use crate::request::{DeleteItem, DeleteRequest, DeleteResult};
use crate::versions;
use crate::{BucketName, ObjectError, Timestamp, Versioning, WriteConditions};

/// How many objects of one request are deleted at the same time: enough to share the log's syncs.
const AT_ONCE: usize = 64;

impl Objects {
    /// Deletes an object, hides it behind a delete marker, or removes one version. Deleting what is not there is a
    /// success, unless a condition asks for it.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], [`ObjectError::PreconditionFailed`], [`ObjectError::NoSuchKey`] with a condition,
    /// [`ObjectError::Locked`].
    pub async fn delete(&self, request: DeleteRequest) -> Result<DeleteResult, ObjectError> {
        let version = request.version;
        let done = counted("delete", self.delete_now(request, |_| Ok(true))).await?;
        Ok(match done {
            Some(done) => DeleteResult { version: done.version, delete_marker: done.delete_marker },
            // What is named and not there is named again, as on AWS.
            None => DeleteResult { version, delete_marker: false },
        })
    }

    /// [`Self::delete`] if `still` says so of the name as it is when the command is made. Whether anything was deleted.
    pub(crate) async fn delete_if(
        &self,
        request: DeleteRequest,
        still: impl Fn(&Seen<'_>) -> Result<bool, ObjectError> + Send + Sync + 'static,
    ) -> Result<bool, ObjectError> {
        Ok(counted("delete", self.delete_now(request, still)).await?.is_some())
    }

    async fn delete_now(
        &self,
        request: DeleteRequest,
        still: impl Fn(&Seen<'_>) -> Result<bool, ObjectError> + Send + Sync + 'static,
    ) -> Result<Option<Done>, ObjectError> {
        let bucket = self.0.bucket(&request.bucket)?;
        let inner = Arc::clone(&self.0);
        carried_out(async move {
            let name = request.name.clone();
            let conditions = WriteConditions::default();
            let what = Replace { bucket: &bucket, name: &name, conditions: &conditions };
            let now = inner.options.clock.now();
            let done = inner.replace(what, move |seen| {
                if !still(seen)? {
                    return Ok(None);
                }
                check_delete(&request.conditions, seen.current, seen.name)?;
                change(seen, &request, now)
            });
            done.await
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
            let DeleteItem { name, version, conditions } = item;
            self.delete(DeleteRequest { bucket: bucket.clone(), name, version, conditions })
        });
        futures::stream::iter(requests).buffered(AT_ONCE).collect().await
    }
}

fn change(seen: &Seen<'_>, request: &DeleteRequest, now: Timestamp) -> Result<Option<Change>, ObjectError> {
    let locks = seen.bucket.object_lock()?.is_some();
    let Some(version) = request.version else {
        let nothing = seen.current.is_none() && seen.bucket.settings.versioning == Versioning::Off;
        return Ok((!nothing).then(|| Action::Delete { mtime: now }.into()));
    };
    let Some(version) = versions::version(seen.reading, seen.bucket, seen.name, version)? else {
        return Ok(None);
    };
    let mut checks = Vec::new();
    if let Some(object) = version.object().filter(|_| locks) {
        let id = version.head.version;
        let (body, read) = body_and_check(seen.reading, seen.bucket, seen.name, id, object)?;
        check_removal(&body, now, request.conditions.bypass_governance)?;
        // Locks are in the body, and a lock that comes meanwhile does not change the head.
        checks.push(read.is_the_same());
    }
    Ok(Some(Change { checks, ..Action::Remove { version }.into() }))
}
