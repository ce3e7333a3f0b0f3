//! Listing objects.

use std::sync::Arc;

use crate::measure::counted;
use crate::objects::{Objects, blocking};
use crate::request::{ListRequest, ListedObject, Listing};
use crate::rows::{Head, HeadKind, Prefix, table};
use crate::scan::{Found, Scan};
use crate::versions::{UNKNOWN, listed_head};
use crate::{ObjectError, ObjectName};

/// The most that a page has (AWS S3 API, ListObjectsV2).
pub(crate) const PAGE_MAX: u32 = 1000;

impl Objects {
    /// A page of the objects of a bucket, by name.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], and what reading the index can fail with.
    pub async fn list(&self, request: ListRequest) -> Result<Listing, ObjectError> {
        counted("list", async {
            let bucket = self.0.bucket(&request.bucket)?;
            let inner = Arc::clone(&self.0);
            blocking(move || {
                let reading = inner.read(&bucket)?;
                list(&reading, &request)
            })
            .await
        })
        .await
    }
}

fn list(reading: &strongroom_store::Reading, request: &ListRequest) -> Result<Listing, ObjectError> {
    let mut scan = Scan {
        table: Prefix::Plain(table::HEAD),
        prefix: &request.prefix,
        delimiter: request.delimiter.as_deref(),
        from: None,
        max: request.max.min(PAGE_MAX) as usize,
    };
    scan.from = request.after.as_deref().map(|after| scan.after(after));
    let page = scan.run(reading, |key, value| {
        let damaged = ObjectError::DamagedRow { table: "object" };
        let name = std::str::from_utf8(&key[1..]).map_err(|_| damaged)?;
        let head = listed_head(value, UNKNOWN, u64::MAX);
        let name = ObjectName::parse(name).map_err(|_| ObjectError::DamagedRow { table: "object" })?;
        Ok(listed(&name, head).map(|listed| (name.as_str().to_owned(), listed)))
    })?;
    let mut listing = Listing { truncated: page.truncated, ..Listing::default() };
    if page.truncated {
        listing.next = page.found.last().map(|found| match found {
            Found::Row(object) => object.name.as_str().to_owned(),
            Found::CommonPrefix(prefix) => prefix.clone(),
        });
    }
    for found in page.found {
        match found {
            Found::Row(object) => listing.objects.push(object),
            Found::CommonPrefix(prefix) => listing.common_prefixes.push(prefix),
        }
    }
    Ok(listing)
}

/// What a listing shows of a version; `None` of a delete marker.
pub(crate) fn listed(name: &ObjectName, head: Head) -> Option<ListedObject> {
    let HeadKind::Object(object) = head.kind else { return None };
    let checksums =
        object.checksums.iter().map(|checksum| (checksum.value.algorithm(), checksum.kind)).collect();
    Some(ListedObject {
        name: name.clone(),
        version: head.version,
        size: object.size,
        mtime: head.mtime,
        etag: object.etag,
        storage_class: object.storage_class,
        checksums,
    })
}
