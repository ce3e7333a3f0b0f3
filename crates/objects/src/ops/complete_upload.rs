//! Completing a multipart upload: its parts become an object, and only rows change.

use std::sync::Arc;

use metrics::gauge;
use strongroom_telemetry::names;

use crate::buckets::Bucket;
use crate::commit::{Action, Change, Note, Replace, Seen};
use crate::digest::{multipart_checksum, multipart_etag};
use crate::measure::counted;
use crate::objects::{Inner, Objects, carried_out};
use crate::request::{CompleteUpload, PutResult};
use crate::rows::{self, Body, ContentAt, ObjectHead, PartAt};
use crate::uploads::{self, FoundPart, FoundUpload};
use crate::{ChecksumKind, ChecksumValue, ETag, ObjectError, PART_NUMBER_MAX};

/// The least size of a part that is not the last, in bytes (AWS S3 User Guide, multipart upload limits).
const PART_LEN_MIN: u64 = 5 << 20;

impl Objects {
    /// Makes an object of an upload's parts. Parts that the request leaves out are dropped. The same request again is
    /// answered the same again while the object is the current one.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchUpload`], [`ObjectError::NoParts`], [`ObjectError::InvalidPart`],
    /// [`ObjectError::InvalidPartOrder`], [`ObjectError::EntityTooSmall`], those of checksums and conditions. On all of
    /// them the upload stays as it is.
    pub async fn complete_upload(&self, request: CompleteUpload) -> Result<PutResult, ObjectError> {
        counted("complete_upload", async {
            let bucket = self.0.bucket(&request.bucket)?;
            let inner = Arc::clone(&self.0);
            carried_out(async move { inner.complete(bucket, request).await }).await
        })
        .await
    }
}

impl Inner {
    async fn complete(
        self: Arc<Self>,
        bucket: Arc<Bucket>,
        request: CompleteUpload,
    ) -> Result<PutResult, ObjectError> {
        let upload_key = rows::upload_key(&request.name, &request.upload);
        let _upload = self.locks.alone(bucket.group, &upload_key).await;
        let request = Arc::new(request);
        let (asked, again) = (Arc::clone(&request), Arc::clone(&request));
        let note = Note::new();
        let answer = note.clone();
        let what = Replace { bucket: &bucket, name: &request.name, conditions: &request.conditions };
        let done = self.replace(what, move |seen| {
            let (change, put) = plan(seen, &asked)?;
            answer.put(put);
            Ok(Some(change))
        });
        let done = match done.await {
            // A first request that was carried out made the object that the second one's conditions meet.
            Err(error @ (ObjectError::NoSuchUpload { .. } | ObjectError::PreconditionFailed { .. })) => {
                return self.completed_before(&bucket, again).await?.ok_or(error);
            }
            other => other?,
        };
        gauge!(names::UPLOADS_OPEN).decrement(1.0);
        let put = note.take().expect("a change that was carried out was planned");
        Ok(PutResult { version: done.and_then(|done| done.version), ..put })
    }
}

/// The change, and what is answered once its version is known.
fn plan(seen: &Seen<'_>, request: &CompleteUpload) -> Result<(Change, PutResult), ObjectError> {
    let id = request.upload;
    let found = uploads::upload(seen.reading, seen.bucket, &request.name, id)?;
    let all = uploads::parts_after(seen.reading, id, 0, usize::from(PART_NUMBER_MAX))?;
    let chosen = choose(request, &found, &all)?;
    let size = chosen.iter().map(|part| part.row.size).sum();
    if let Some(given) = request.size.filter(|given| *given != size) {
        return Err(ObjectError::ObjectSizeMismatch { given, actual: size });
    }
    let checksum = checksum(request, &found, &chosen)?;
    let etags: Vec<ETag> = chosen.iter().map(|part| part.row.etag).collect();
    let row = found.row.clone();
    let object = ObjectHead {
        size,
        etag: multipart_etag(&etags),
        content: row.content,
        storage_class: row.meta.system.storage_class.clone(),
        checksums: vec![checksum],
    };
    let named = row.checksum.is_some();
    let part_at = |part: &&FoundPart| PartAt {
        number: part.number,
        size: part.row.size,
        blob: part.row.blob,
        checksum: named.then(|| part.row.checksum.clone()),
    };
    let sse = row.sse.applied(request.customer_key.as_ref());
    let content = ContentAt::Parts(chosen.iter().map(part_at).collect());
    let put = PutResult {
        etag: object.etag,
        version: None,
        checksums: object.checksums.clone(),
        sse,
        size,
        mtime: row.begun,
        tags: row.meta.tags.clone(),
    };
    let left_out = all.iter().filter(|part| chosen.iter().all(|chosen| chosen.number != part.number));
    let dropped = left_out.map(|part| part.row.blob).collect();
    let body = Box::new(Body { sse: row.sse, content, sealed_as: None, meta: row.meta });
    let (checks, writes) = uploads::end(&request.name, id, found, &all);
    // As on AWS an object that was uploaded in parts is as old as its upload.
    let action = Action::New { object, body, mtime: row.begun };
    Ok((Change { action, checks, writes, dropped }, put))
}

/// The parts that the request names, which must be there as they are named.
fn choose<'a>(
    request: &CompleteUpload,
    found: &FoundUpload,
    all: &'a [FoundPart],
) -> Result<Vec<&'a FoundPart>, ObjectError> {
    let upload = request.upload;
    if request.parts.is_empty() {
        return Err(ObjectError::NoParts);
    }
    if request.parts.windows(2).any(|pair| pair[0].part >= pair[1].part) {
        return Err(ObjectError::InvalidPartOrder { upload });
    }
    let mut chosen = Vec::with_capacity(request.parts.len());
    for named in &request.parts {
        let invalid = || ObjectError::InvalidPart { part: named.part, upload, etag: named.etag.clone() };
        let at = all.binary_search_by_key(&named.part.number(), |part| part.number);
        let part = at
            .ok()
            .map(|at| &all[at])
            .filter(|part| part.row.etag.to_string() == named.etag)
            .ok_or_else(invalid)?;
        // Without an algorithm of the upload, what was verified when the part came is not kept.
        let kept = |named: &ChecksumValue| {
            found.row.checksum.is_some() || named.algorithm() == part.row.checksum.algorithm()
        };
        if named.checksum.as_ref().is_some_and(|named| kept(named) && *named != part.row.checksum) {
            return Err(invalid());
        }
        if let Some((algorithm, ChecksumKind::Composite)) = found.row.checksum
            && named.checksum.is_none()
        {
            return Err(ObjectError::PartChecksumMissing { algorithm, part: named.part });
        }
        chosen.push(part);
    }
    let but_last = chosen.len() - 1;
    match chosen.iter().zip(&request.parts).take(but_last).find(|(part, _)| part.row.size < PART_LEN_MIN) {
        Some((part, named)) => Err(ObjectError::EntityTooSmall {
            part: named.part,
            size: part.row.size,
            least: PART_LEN_MIN,
            etag: part.row.etag,
        }),
        None => Ok(chosen),
    }
}

/// The object's checksum, which must be the one that the request gives, if it gives one.
fn checksum(
    request: &CompleteUpload,
    found: &FoundUpload,
    chosen: &[&FoundPart],
) -> Result<crate::Checksum, ObjectError> {
    let (algorithm, kind) = found.row.checksum_or_default();
    let upload = found.row.checksum.map(|(algorithm, _)| algorithm);
    if request.checksum_kind.is_some_and(|given| given != kind) {
        return Err(ObjectError::ChecksumTypeMismatch { upload, request: Some(algorithm) });
    }
    let parts: Vec<_> = chosen.iter().map(|part| (part.row.size, part.row.checksum.clone())).collect();
    let checksum = multipart_checksum(algorithm, kind, &parts)?;
    if let Some(given) = &request.checksum {
        if given.algorithm() != algorithm {
            return Err(ObjectError::ChecksumTypeMismatch { upload, request: Some(given.algorithm()) });
        }
        if *given != checksum.value {
            return Err(ObjectError::ChecksumMismatch { algorithm });
        }
    }
    debug_assert!(kind == ChecksumKind::FullObject || checksum.parts > 0);
    Ok(checksum)
}
