//! Listing the uploads of a bucket.

use std::cell::Cell;
use std::ops::Bound;
use std::sync::Arc;

use strongroom_store::Reading;

use crate::ObjectError;
use crate::buckets::Bucket;
use crate::commit::pass_over;
use crate::measure::counted;
use crate::objects::{Objects, blocking};
use crate::ops::list::PAGE_MAX;
use crate::request::{ListUploads, ListedUpload, UploadListing};
use crate::rows::{self, Prefix, end_of_prefix, table};
use crate::scan::{Found, Scan};

impl Objects {
    /// A page of the uploads that have begun and not ended, by name and age. One whose row cannot be read is left out.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub async fn list_uploads(&self, request: ListUploads) -> Result<UploadListing, ObjectError> {
        counted("list_uploads", async {
            let bucket = self.0.bucket(&request.bucket)?;
            let inner = Arc::clone(&self.0);
            blocking(move || list(&inner.read(&bucket)?, &bucket, &request)).await
        })
        .await
    }
}

fn list(reading: &Reading, bucket: &Bucket, request: &ListUploads) -> Result<UploadListing, ObjectError> {
    let mut scan = Scan {
        table: Prefix::Shifted(table::UPLOAD),
        prefix: &request.prefix,
        delimiter: request.delimiter.as_deref(),
        from: None,
        max: request.max.min(PAGE_MAX) as usize,
    };
    scan.from = from(&scan, request);
    let damaged = Cell::new(0_u64);
    let page = scan.run(reading, |key, value| {
        let (name, upload, row) = match rows::upload_row(key, value) {
            Ok(row) => row,
            // One such row does not keep others from being listed.
            Err(error) => {
                pass_over(error)?;
                damaged.set(damaged.get() + 1);
                return Ok(None);
            }
        };
        let listed = ListedUpload {
            name,
            upload,
            begun: row.begun,
            storage_class: row.meta.system.storage_class,
            checksum: row.checksum,
        };
        Ok(Some((listed.name.as_str().to_owned(), listed)))
    })?;
    if damaged.get() > 0 {
        let rows = damaged.get();
        tracing::error!(group = %bucket.group, rows, "a listing of uploads passed over rows that cannot be read");
    }
    let mut listing = UploadListing { truncated: page.truncated, ..UploadListing::default() };
    match page.found.last().filter(|_| page.truncated) {
        Some(Found::Row(upload)) => {
            listing.next_name = Some(upload.name.as_str().to_owned());
            listing.next_upload = Some(upload.upload);
        }
        Some(Found::CommonPrefix(prefix)) => listing.next_name = Some(prefix.clone()),
        None => {}
    }
    for found in page.found {
        match found {
            Found::Row(upload) => listing.uploads.push(upload),
            Found::CommonPrefix(prefix) => listing.common_prefixes.push(prefix),
        }
    }
    Ok(listing)
}

/// Where the page starts: after one upload of a name, or after all of them.
fn from(scan: &Scan<'_>, request: &ListUploads) -> Option<Bound<Vec<u8>>> {
    let after = request.name_after.as_deref().filter(|after| !after.is_empty())?;
    match scan.after(after) {
        // Everything under a common prefix.
        included @ Bound::Included(_) => Some(included),
        _ => {
            let uploads = rows::uploads_of(after.as_bytes());
            Some(match &request.upload_after {
                Some(upload) => Bound::Excluded([uploads.as_slice(), &upload.0].concat()),
                None => Bound::Included(end_of_prefix(&uploads)),
            })
        }
    }
}
