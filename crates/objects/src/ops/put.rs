//! Storing an object in one piece.

use std::sync::Arc;

use metrics::counter;
use strongroom_seal::{ObjectKey, stream};
use strongroom_store::Write;
use strongroom_telemetry::names;

use crate::buckets::Bucket;
use crate::commit::{Change, Replace, newer_head, outcome_unknown};
use crate::digest::Digested;
use crate::objects::{Inner, Objects, blocking, carried_out};
use crate::receive::{DigestPlan, Received, ReceivedContent, Receiver};
use crate::request::{PutRequest, PutResult};
use crate::rows::{self, Body, ContentAt, ContentId, Head, ObjectHead};
use crate::sse::{Belongs, Wrapper};
use crate::{
    Checksum, ChecksumKind, ETag, ObjectError, ObjectMeta, ObjectName, Timestamp, VersionId, WriteConditions,
};

/// The most that one put takes, in bytes (AWS S3 User Guide, "Uploading objects").
pub(crate) const PUT_LEN_MAX: u64 = 5 << 30;

impl Objects {
    /// Stores an object. It is durable and visible when this returns, and not before.
    ///
    /// # Errors
    /// Those of the request, of its conditions, checksums and encryption; on any of them nothing is visible.
    pub async fn put(&self, request: PutRequest) -> Result<PutResult, ObjectError> {
        let inner = &self.0;
        let bucket = inner.bucket(&request.bucket)?;
        crate::meta::check(&request.meta)?;
        inner.precheck(&bucket, &request.name, &request.conditions).await?;
        let content_id = ContentId::generate(&*inner.options.random);
        let belongs =
            Belongs { bucket: request.bucket, group: bucket.group, name: request.name, content: content_id };
        let wrapper = Wrapper::choose(request.sse, &bucket.settings, &belongs, &*inner.kms).await?;
        let key = ObjectKey::generate(&*inner.options.random);
        let plan = DigestPlan {
            md5: wrapper.shows_md5(),
            content_md5: request.content_md5,
            checksums: request.checksums,
            always: None,
        };
        let receiver = inner.receiver(key.clone(), belongs.clone(), 1, inner.options.inline_max, PUT_LEN_MAX);
        let received = receiver.receive(request.content, plan).await?;
        let stored = NewObject { received, meta: request.meta, belongs, wrapper, key };
        let (inner, conditions) = (Arc::clone(inner), request.conditions);
        carried_out(async move { inner.commit_put(bucket, stored, conditions).await }).await
    }
}

/// An object whose content has arrived.
struct NewObject {
    received: Received,
    meta: ObjectMeta,
    belongs: Belongs,
    wrapper: Wrapper,
    key: ObjectKey,
}

impl Inner {
    /// What receives content for `belongs`.
    pub(crate) fn receiver(
        &self,
        key: ObjectKey,
        belongs: Belongs,
        part: u16,
        inline_max: usize,
        size_max: u64,
    ) -> Receiver {
        Receiver {
            blobs: Arc::clone(&self.blobs),
            random: Arc::clone(&self.options.random),
            spec: self.options.stream,
            key,
            belongs,
            part,
            inline_max,
            size_max,
        }
    }

    /// Refuses a write whose conditions do not hold already before its content has been received. They are checked again when
    /// it is committed.
    async fn precheck(
        self: &Arc<Self>,
        bucket: &Arc<Bucket>,
        name: &ObjectName,
        conditions: &WriteConditions,
    ) -> Result<(), ObjectError> {
        if *conditions == WriteConditions::default() {
            return Ok(());
        }
        let job = (Arc::clone(self), Arc::clone(bucket), name.clone(), conditions.clone());
        blocking(move || {
            let (inner, bucket, name, conditions) = job;
            let current = crate::commit::current(&inner.read(&bucket)?, &bucket, &name)?;
            crate::conditions::check_write(&conditions, current.as_ref(), &name)
        })
        .await
    }

    async fn commit_put(
        self: Arc<Self>,
        bucket: Arc<Bucket>,
        stored: NewObject,
        conditions: WriteConditions,
    ) -> Result<PutResult, ObjectError> {
        let name = stored.belongs.name.clone();
        let size = stored.received.size;
        let applied = stored.wrapper.applied();
        let now = self.options.clock.now();
        let (inner, at) = (Arc::clone(&self), Arc::clone(&bucket));
        let (object, body, blob) = blocking(move || {
            let NewObject { received, meta, belongs, wrapper, key } = stored;
            let random = &*inner.options.random;
            let sse =
                wrapper.wrap(&inner.store, &belongs, &key, random).map_err(|error| at.read_error(error))?;
            let etag = etag(&wrapper, &received.digested, random);
            let (content, blob) = match received.content {
                ReceivedContent::Small(plain) => {
                    let sealed =
                        stream::seal_all(&key, &belongs.inline(), inner.options.stream, &plain, random);
                    (ContentAt::Inline(sealed), None)
                }
                ReceivedContent::Blob(written) => {
                    let blob = written.place()?;
                    (ContentAt::Blob(blob.id()), Some(blob))
                }
            };
            let full = |value| Checksum { value, kind: ChecksumKind::FullObject, parts: 0 };
            let object = ObjectHead {
                size: received.size,
                etag,
                content: belongs.content,
                storage_class: meta.system.storage_class.clone(),
                checksums: received.digested.checksums.into_iter().map(full).collect(),
            };
            Ok((object, Body { sse, content, meta }, blob))
        })
        .await?;
        count_written(&body);
        let result = PutResult {
            etag: object.etag,
            version: VersionId::Null,
            checksums: object.checksums.clone(),
            sse: applied,
            size,
            mtime: now,
        };
        let what = Replace { bucket: &bucket, name: &name, conditions: &conditions };
        let replaced =
            self.replace(what, move |_, current| Ok(Some(change(current, now, &object, &body)))).await;
        match (&replaced, blob) {
            (Ok(()), Some(blob)) => blob.keep(),
            (Err(error), Some(blob)) if outcome_unknown(error) => blob.keep(),
            // Dropping it removes the file.
            _ => {}
        }
        replaced.map(|()| result)
    }
}

fn change(
    current: Option<&crate::commit::Current>,
    now: Timestamp,
    object: &ObjectHead,
    body: &Body,
) -> Change {
    let head: Head = newer_head(current, now, now, object.clone());
    let owned = |blob| Write::Put { key: rows::owner_key(&blob), value: rows::PRESENT.to_vec() };
    let writes = body.content.blobs().into_iter().map(owned).collect();
    Change { new: Some((head, body.clone())), writes, ..Change::default() }
}

/// The entity tag of content in one piece.
pub(crate) fn etag(wrapper: &Wrapper, digested: &Digested, random: &dyn strongroom_seal::Random) -> ETag {
    match digested.md5.filter(|_| wrapper.shows_md5()) {
        Some(md5) => ETag::Md5(md5),
        None => opaque_etag(random),
    }
}

/// An entity tag that tells nothing.
pub(crate) fn opaque_etag(random: &dyn strongroom_seal::Random) -> ETag {
    let mut tag = [0; 16];
    random.fill(&mut tag);
    ETag::Opaque(tag)
}

fn count_written(body: &Body) {
    let place = match body.content {
        ContentAt::Inline(_) => "inline",
        ContentAt::Blob(_) | ContentAt::Parts(_) => "blob",
    };
    counter!(names::OBJECTS_WRITTEN, "sse" => body.sse.kind(), "place" => place).increment(1);
}
