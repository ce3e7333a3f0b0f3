//! Storing a part of a multipart upload.

use std::sync::Arc;

use metrics::counter;
use strongroom_seal::CustomerKey;
use strongroom_store::{Check, Command, Outcome, Write};
use strongroom_telemetry::names;

use crate::buckets::Bucket;
use crate::commit::damaged;
use crate::measure::counted;
use crate::objects::{Inner, Objects, blocking, carried_out};
use crate::ops::put::{PUT_LEN_MAX, opaque_etag};
use crate::receive::{DigestPlan, Received, ReceivedContent};
use crate::request::{PartStored, PutPart};
use crate::rows::{self, BlobId, PartRow, SseRow, UploadRow};
use crate::sse::{Belongs, UnwrapError};
use crate::sweep::Garbage;
use crate::uploads;
use crate::{
    ChecksumKind, ChecksumRequest, Content, Damaged, ETag, ObjectError, ObjectName, PartNumber, UploadId,
    UploadSseFault, VersionId,
};

/// How often a part is committed anew while another attempt of the same part comes first.
const ATTEMPTS: usize = 64;

impl Objects {
    /// Stores a part. A part that is there already is replaced; the last one acknowledged counts.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchUpload`], [`ObjectError::UploadSse`], and those of content and checksums.
    pub async fn put_part(&self, request: PutPart) -> Result<PartStored, ObjectError> {
        counted("put_part", async {
            let PutPart { bucket, name, upload, part, content, checksums, content_md5, customer_key } =
                request;
            let bucket = self.0.bucket(&bucket)?;
            let target = PartTarget { bucket, name, upload, part, customer_key, copied: false };
            self.0.store_part(target, content, checksums, content_md5).await
        })
        .await
    }
}

/// Where a part goes.
pub(crate) struct PartTarget {
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) name: ObjectName,
    pub(crate) upload: UploadId,
    pub(crate) part: PartNumber,
    pub(crate) customer_key: Option<CustomerKey>,
    /// Whether its content comes from an object here, and no client has a checksum of it.
    pub(crate) copied: bool,
}

impl Inner {
    /// Receives a part's content, seals it under the upload's key and commits it.
    pub(crate) async fn store_part(
        self: &Arc<Self>,
        target: PartTarget,
        content: Content,
        checksums: ChecksumRequest,
        content_md5: Option<[u8; 16]>,
    ) -> Result<PartStored, ObjectError> {
        let PartTarget { bucket, name, upload, part, customer_key, copied } = target;
        let mut held = Some(self.wraps.hold(bucket.group));
        let row = self.upload_now(&bucket, &name, upload).await?.row;
        if !row.sse.is_wrapped_by_group() {
            // What comes next may be a call of the KMS, and takes as long as that does.
            held = None;
        }
        let belongs =
            Belongs { bucket: bucket.name.clone(), group: bucket.group, name, content: row.content };
        admits(&row, customer_key.as_ref(), &belongs)?;
        if !copied {
            check_algorithms(&row, &checksums)?;
        }
        let (algorithm, _) = row.checksum_or_default();
        // Whoever completes an upload of such parts has to name it, and did not compute it.
        let told = row.checksum.filter(|_| copied).map(|(algorithm, _)| algorithm);
        let sse = row.sse.applied(customer_key.as_ref());
        let unwrapper = row.sse.unwrapper(customer_key, &belongs, &self.keys).await?;
        let (inner, at, place) = (Arc::clone(self), Arc::clone(&bucket), belongs.clone());
        let shows_md5 = matches!(row.sse, SseRow::Group { .. });
        let kind = row.sse.kind();
        let keys = blocking(move || {
            unwrapper.unwrap(&row.sse, &place, &inner.store).map_err(|error| match error {
                UnwrapError::Read(error) => at.read_error(error),
                UnwrapError::Unsealable => damaged(&at, &place.name, VersionId::Null, 0, Damaged::Key),
            })
        })
        .await?;
        drop(held);
        let plan = DigestPlan { md5: shows_md5, content_md5, checksums, always: Some(algorithm) };
        let named = plan.checksums_named().or(told);
        // Parts are always blobs: completion then moves no content.
        let receiver = self.receiver(keys, belongs.clone(), part.number(), 0, PUT_LEN_MAX);
        let received = receiver.receive_to_blob(content, plan).await?;
        counter!(names::OBJECTS_WRITTEN, "sse" => kind, "place" => "blob").increment(1);
        let inner = Arc::clone(self);
        carried_out(async move {
            let random = &*inner.options.random;
            let etag = match received.digested.md5.filter(|_| shows_md5) {
                Some(md5) => ETag::Md5(md5),
                None => opaque_etag(random),
            };
            let checksum = received.digested.checksum(algorithm).cloned().expect("it is always computed");
            let mtime = inner.options.clock.now();
            let size = received.size;
            let stored = PartStored {
                etag,
                checksum: named.and_then(|named| received.digested.checksum(named).cloned()),
                sse,
                size,
                mtime,
                source_version: None,
            };
            let Received { content: ReceivedContent::Blob(written), .. } = received else {
                return Err(ObjectError::Stopping);
            };
            let mut blob = blocking(move || written.place()).await?;
            blob.commits();
            let row = PartRow { mtime, size, etag, blob: blob.id(), checksum };
            let committed = inner.commit_part(&bucket, &belongs.name, upload, part, row).await;
            blob.end(committed.as_ref().err());
            committed.map(|()| stored)
        })
        .await
    }

    async fn commit_part(
        self: &Arc<Self>,
        bucket: &Arc<Bucket>,
        name: &ObjectName,
        upload: UploadId,
        part: PartNumber,
        row: PartRow,
    ) -> Result<(), ObjectError> {
        let key = rows::part_key(&upload, part.number());
        let upload_key = rows::upload_key(name, &upload);
        // Shared with other parts; a completion or abort waits for all of them and then sees them.
        let _upload = self.locks.shared(bucket.group, &upload_key).await;
        for _ in 0..ATTEMPTS {
            let (inner, at) = (Arc::clone(self), Arc::clone(bucket));
            let before = blocking(move || uploads::part(&inner.read(&at)?, upload, part.number())).await?;
            let mut writes = vec![
                Write::Put { key: key.clone(), value: row.encode() },
                Write::Put { key: rows::owner_key(&row.blob), value: rows::PRESENT.to_vec() },
            ];
            let old = before.as_ref().map(|before| before.row.blob);
            writes.extend(old.iter().flat_map(|blob| drop_blob(blob, self.blobs.epoch())));
            let same = match before {
                Some(before) => Check::Equals { key: key.clone(), value: before.value },
                None => Check::Absent { key: key.clone() },
            };
            let checks = vec![bucket.is_active(), Check::Present { key: upload_key.clone() }, same];
            let command = Command { group: bucket.group, checks, writes };
            match self.commit(bucket, command).await? {
                Outcome::Applied { .. } => {
                    self.discard(bucket, &upload_key, old);
                    return Ok(());
                }
                Outcome::Refused { check: 0 } => self.refused(bucket).await?,
                Outcome::Refused { check: 1 } => return Err(ObjectError::NoSuchUpload { upload }),
                Outcome::Refused { .. } => {}
            }
        }
        Err(ObjectError::ConditionalConflict)
    }

    /// Removes blobs that a command dropped once no reader of `row` needs them.
    pub(crate) fn discard(&self, bucket: &Bucket, row: &[u8], blobs: impl IntoIterator<Item = BlobId>) {
        let moment = self.leases.now();
        let row: Arc<[u8]> = row.into();
        let garbage = |blob| Garbage { group: bucket.group, blob, row: Arc::clone(&row), moment };
        self.sweeper.dropped(blobs.into_iter().map(garbage).collect());
    }
}

/// The writes that make a blob garbage.
pub(crate) fn drop_blob(blob: &BlobId, epoch: u32) -> [Write; 2] {
    [
        Write::Delete { key: rows::owner_key(blob) },
        Write::Put { key: rows::garbage_key(blob), value: rows::encode_epoch(epoch) },
    ]
}

/// Whether the request's customer key is the upload's, or neither has one.
fn admits(row: &UploadRow, key: Option<&CustomerKey>, belongs: &Belongs) -> Result<(), ObjectError> {
    row.sse.admits(key, belongs).map_err(|error| match error {
        ObjectError::CustomerKeyWrong => ObjectError::UploadSse(UploadSseFault::OtherKey),
        ObjectError::CustomerKeyRequired | ObjectError::CustomerKeyNotApplicable => {
            ObjectError::UploadSse(UploadSseFault::Parameters)
        }
        other => other,
    })
}

/// Parts have the algorithm that the upload was begun with, and no other.
fn check_algorithms(row: &UploadRow, request: &ChecksumRequest) -> Result<(), ObjectError> {
    // An upload that was begun without an algorithm takes any: SDKs add checksums to parts on their own. They are
    // verified, and the object's own checksum is of the default algorithm.
    let Some((upload, kind)) = row.checksum else { return Ok(()) };
    let named = request.expected.iter().map(|value| value.algorithm());
    let mut named =
        named.chain(request.trailer.as_ref().map(|(algorithm, _)| *algorithm)).chain(request.compute);
    let mismatch = |request| Err(ObjectError::ChecksumTypeMismatch { upload: Some(upload), request });
    match (named.next(), named.find(|algorithm| *algorithm != upload)) {
        (Some(first), _) if first != upload => mismatch(Some(first)),
        (_, Some(other)) => mismatch(Some(other)),
        // A checksum that is composed of the parts' is worth what the client said of each of them.
        (None, _) if kind == ChecksumKind::Composite => mismatch(None),
        _ => Ok(()),
    }
}
