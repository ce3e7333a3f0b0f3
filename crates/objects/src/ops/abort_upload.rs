//! Giving up a multipart upload.

use std::sync::Arc;

use metrics::gauge;
use strongroom_store::{Command, Outcome};
use strongroom_telemetry::names;

use crate::measure::counted;
use crate::objects::{Objects, blocking, carried_out};
use crate::ops::put_part::drop_blob;
use crate::{BucketName, ObjectError, ObjectName, PART_NUMBER_MAX, UploadId, rows, uploads};

/// How often an upload is dropped anew while its row changes.
const ATTEMPTS: usize = 64;

impl Objects {
    /// Drops an upload and its parts.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchUpload`].
    pub async fn abort_upload(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        upload: UploadId,
    ) -> Result<(), ObjectError> {
        counted("abort_upload", async {
            let bucket = self.0.bucket(bucket)?;
            let (inner, name) = (Arc::clone(&self.0), name.clone());
            carried_out(async move {
                let key = rows::upload_key(&name, &upload);
                let _upload = inner.locks.alone(bucket.group, &key).await;
                for _ in 0..ATTEMPTS {
                    let (job, at, name) = (Arc::clone(&inner), Arc::clone(&bucket), name.clone());
                    let (command, blobs) = blocking(move || {
                        let reading = job.read(&at)?;
                        let found = uploads::upload(&reading, &at, &name, upload)?;
                        let parts = uploads::parts_after(&reading, upload, 0, usize::from(PART_NUMBER_MAX))?;
                        let (mut checks, mut writes) = uploads::end(&name, upload, found, &parts);
                        let blobs: Vec<_> = parts.iter().map(|part| part.row.blob).collect();
                        writes.extend(blobs.iter().flat_map(|blob| drop_blob(blob, job.blobs.epoch())));
                        checks.insert(0, at.is_active());
                        Ok((Command { group: at.group, checks, writes }, blobs))
                    })
                    .await?;
                    match inner.commit(&bucket, command).await? {
                        Outcome::Applied { .. } => {
                            inner.discard(&bucket, &key, blobs);
                            gauge!(names::UPLOADS_OPEN).decrement(1.0);
                            return Ok(());
                        }
                        Outcome::Refused { check: 0 } => inner.refused(&bucket).await?,
                        // The lock is held alone, so its key was wrapped anew meanwhile, and at most once per rotation.
                        Outcome::Refused { .. } => {}
                    }
                }
                Err(ObjectError::ConditionalConflict)
            })
            .await
        })
        .await
    }
}
