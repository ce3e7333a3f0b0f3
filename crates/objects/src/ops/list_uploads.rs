//! Listing the uploads of a bucket.

use std::ops::Bound;
use std::sync::Arc;

use strongroom_store::Reading;

use crate::ObjectError;
use crate::measure::counted;
use crate::objects::{Objects, blocking};
use crate::ops::list::PAGE_MAX;
use crate::request::{ListUploads, ListedUpload, UploadListing};
use crate::rows::{self, Prefix, UploadRow, end_of_prefix, table};
use crate::scan::{Found, Scan};

impl Objects {
    /// A page of the uploads that have begun and not ended, by name and age.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub async fn list_uploads(&self, request: ListUploads) -> Result<UploadListing, ObjectError> {
        counted("list_uploads", async {
            let bucket = self.0.bucket(&request.bucket)?;
            let inner = Arc::clone(&self.0);
            blocking(move || list(&inner.read(&bucket)?, &request)).await
        })
        .await
    }
}

fn list(reading: &Reading, request: &ListUploads) -> Result<UploadListing, ObjectError> {
    let mut scan = Scan {
        table: Prefix::Shifted(table::UPLOAD),
        prefix: &request.prefix,
        delimiter: request.delimiter.as_deref(),
        from: None,
        max: request.max.min(PAGE_MAX) as usize,
    };
    scan.from = from(&scan, request);
    let page = scan.run(reading, |key, value| {
        let (name, upload) = rows::upload_of_key(key).ok_or(ObjectError::DamagedRow { table: "upload" })?;
        let row = UploadRow::decode(value).map_err(|error| error.of("upload"))?;
        let listed = ListedUpload {
            name,
            upload,
            begun: row.begun,
            storage_class: row.meta.system.storage_class,
            checksum: row.checksum,
        };
        Ok(Some((listed.name.as_str().to_owned(), listed)))
    })?;
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
