//! A completion that was carried out already: its answer was lost, and the client asks again.
//!
//! Nothing is kept of an upload that was completed. But its id says when it began, and so does the object; and the
//! object's entity tag is made of those of its parts, which the request names. Where all of that fits, the object is
//! the one that the request made, and the answer is what the first one was.

use std::sync::Arc;

use crate::buckets::Bucket;
use crate::commit::body;
use crate::digest::multipart_etag;
use crate::objects::{Inner, blocking};
use crate::request::{CompleteUpload, CompletedPart, PutResult};
use crate::rows::{ContentAt, PartAt};
use crate::versions::{self, Version};
use crate::{ETag, ObjectError, uploads};

impl Inner {
    /// What the completion answered when it was carried out; `None` if it was not, or the object is another one by now.
    pub(crate) async fn completed_before(
        self: &Arc<Self>,
        bucket: &Arc<Bucket>,
        request: Arc<CompleteUpload>,
    ) -> Result<Option<PutResult>, ObjectError> {
        let (inner, bucket) = (Arc::clone(self), Arc::clone(bucket));
        blocking(move || {
            let reading = inner.read(&bucket)?;
            match uploads::upload(&reading, &bucket, &request.name, request.upload) {
                Err(ObjectError::NoSuchUpload { .. }) => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(None),
            }
            let Some(current) = versions::current(&reading, &bucket, &request.name)? else { return Ok(None) };
            let Some(etag) = etag(&request.parts) else { return Ok(None) };
            let object = match of_this_moment(&current, &request) {
                Some(object) if object.etag == etag => object,
                _ => return Ok(None),
            };
            let version = current.head.version;
            let body = body(&reading, &bucket, &request.name, version, object)?;
            let ContentAt::Parts(parts) = &body.content else { return Ok(None) };
            let given = request.checksum.as_ref();
            let same = same_parts(parts, &request.parts)
                && given.is_none_or(|given| object.checksums.iter().any(|stored| stored.value == *given))
                && request.size.is_none_or(|size| size == object.size);
            Ok(same.then(|| PutResult {
                etag,
                version: versions::shown(bucket.settings.versioning, version),
                checksums: object.checksums.clone(),
                sse: body.sse.applied(request.customer_key.as_ref()),
                size: object.size,
                mtime: current.head.mtime,
                tags: body.meta.tags.clone(),
            }))
        })
        .await
    }
}

/// The current object, if it is as old as the upload.
fn of_this_moment<'a>(current: &'a Version, request: &CompleteUpload) -> Option<&'a crate::rows::ObjectHead> {
    current.object().filter(|_| current.head.mtime == request.upload.begun())
}

/// The entity tag of an object of these parts.
fn etag(parts: &[CompletedPart]) -> Option<ETag> {
    let digest = |part: &CompletedPart| {
        let bytes = hex::decode(&part.etag).ok()?;
        Some(ETag::Opaque(bytes.try_into().ok()?))
    };
    let all = parts.iter().map(digest).collect::<Option<Vec<_>>>()?;
    (!all.is_empty()).then(|| multipart_etag(&all))
}

fn same_parts(stored: &[PartAt], named: &[CompletedPart]) -> bool {
    stored.len() == named.len()
        && stored.iter().zip(named).all(|(stored, named)| stored.number == named.part.number())
}
