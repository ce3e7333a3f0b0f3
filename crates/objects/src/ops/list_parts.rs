//! Listing the parts of an upload.

use std::sync::Arc;

use crate::measure::counted;
use crate::objects::{Objects, blocking};
use crate::ops::list::PAGE_MAX;
use crate::request::{ListParts, ListedPart, PartListing};
use crate::{ObjectError, PartNumber, uploads};

impl Objects {
    /// A page of an upload's parts, by number.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchUpload`].
    pub async fn list_parts(&self, request: ListParts) -> Result<PartListing, ObjectError> {
        counted("list_parts", async {
            let bucket = self.0.bucket(&request.bucket)?;
            let inner = Arc::clone(&self.0);
            blocking(move || {
                let reading = inner.read(&bucket)?;
                let upload = uploads::upload(&reading, &bucket, &request.name, request.upload)?.row;
                let max = request.max.min(PAGE_MAX) as usize;
                let mut found = uploads::parts_after(&reading, request.upload, request.after, max + 1)?;
                let truncated = max > 0 && found.len() > max;
                found.truncate(max);
                let named = upload.checksum.is_some();
                let parts = found.into_iter().map(|part| {
                    let number = PartNumber::new(part.number.into())
                        .ok_or(ObjectError::DamagedRow { table: "part" })?;
                    let row = part.row;
                    let checksum = named.then_some(row.checksum);
                    Ok(ListedPart {
                        part: number,
                        size: row.size,
                        etag: row.etag,
                        mtime: row.mtime,
                        checksum,
                    })
                });
                let parts = parts.collect::<Result<Vec<_>, ObjectError>>()?;
                let next = parts.last().map_or(0, |last| last.part.number());
                let sse = upload.sse.applied(None);
                let storage_class = upload.meta.system.storage_class;
                Ok(PartListing { parts, truncated, next, checksum: upload.checksum, sse, storage_class })
            })
            .await
        })
        .await
    }
}
