//! Storing an object in one piece.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use strongroom_store::Write;
use strongroom_telemetry::names;

use crate::blobs::NewBlob;
use crate::buckets::Bucket;
use crate::commit::{Action, Change, Replace};
use crate::digest::Digested;
use crate::layers::{self, ContentKeys};
use crate::measure::counted;
use crate::objects::{Inner, Objects, blocking, carried_out};
use crate::receive::{DigestPlan, Received, ReceivedContent, Receiver};
use crate::request::{PutRequest, PutResult};
use crate::rows::{self, Body, ContentAt, ContentId, ObjectHead};
use crate::sse::{Belongs, Wrapper};
use crate::{
    Checksum, ChecksumKind, ETag, ObjectError, ObjectMeta, ObjectName, SseApplied, Timestamp, WriteConditions,
};

/// The most that one put takes, in bytes (AWS S3 User Guide, "Uploading objects").
pub(crate) const PUT_LEN_MAX: u64 = 5 << 30;

impl Objects {
    /// Stores an object. It is durable and visible when this returns, and not before.
    ///
    /// # Errors
    /// Those of the request, of its conditions, checksums and encryption; on any of them nothing is visible.
    pub async fn put(&self, request: PutRequest) -> Result<PutResult, ObjectError> {
        counted("put", self.put_uncounted(request)).await
    }

    /// [`Self::put`] as a part of another operation.
    pub(crate) async fn put_uncounted(&self, request: PutRequest) -> Result<PutResult, ObjectError> {
        let inner = &self.0;
        let bucket = inner.bucket(&request.bucket)?;
        crate::meta::check(&request.meta)?;
        bucket.check_locks(&request.meta, inner.options.clock.now())?;
        inner.precheck(&bucket, &request.name, &request.conditions).await?;
        let content_id = ContentId::generate(&*inner.options.random);
        let belongs =
            Belongs { bucket: request.bucket, group: bucket.group, name: request.name, content: content_id };
        let wrapper = Wrapper::choose(request.sse, &bucket.settings, &belongs, &inner.keys).await?;
        let keys = ContentKeys::generate(wrapper.layers(), &*inner.options.random);
        let plan = DigestPlan {
            md5: wrapper.shows_md5(),
            content_md5: request.content_md5,
            checksums: request.checksums,
            always: None,
        };
        let receiver =
            inner.receiver(keys.clone(), belongs.clone(), 1, inner.options.inline_max, PUT_LEN_MAX);
        let received = receiver.receive(request.content, plan).await?;
        let stored = NewObject { received, meta: request.meta, belongs, wrapper, keys };
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
    keys: ContentKeys,
}

impl Inner {
    /// What receives content for `belongs`.
    pub(crate) fn receiver(
        &self,
        keys: ContentKeys,
        belongs: Belongs,
        part: u16,
        inline_max: usize,
        size_max: u64,
    ) -> Receiver {
        Receiver {
            blobs: Arc::clone(&self.blobs),
            random: Arc::clone(&self.options.random),
            spec: self.options.stream,
            keys,
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
            let current = crate::versions::current(&inner.read(&bucket)?, &bucket, &name)?;
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
        // The key is wrapped below and committed later.
        let _held = self.wraps.hold(bucket.group);
        let name = stored.belongs.name.clone();
        let now = self.options.clock.now();
        let small = matches!(stored.received.content, ReceivedContent::Small(_));
        let sealing = Arc::new(Mutex::new(Sealing::Not(Box::new(stored))));
        if !small {
            // Naming a blob takes a sync: nobody else who writes this name has to wait for it.
            let (inner, at, job) = (Arc::clone(&self), Arc::clone(&bucket), Arc::clone(&sealing));
            blocking(move || sealed(&job, &inner, &at).map(drop)).await?;
        }
        let what = Replace { bucket: &bucket, name: &name, conditions: &conditions };
        let (inner, at, job) = (Arc::clone(&self), Arc::clone(&bucket), Arc::clone(&sealing));
        let replaced = self.replace(what, move |_| {
            let sealed = sealed(&job, &inner, &at)?;
            Ok(Some(change(now, &sealed.object, &sealed.body)))
        });
        let replaced = replaced.await;
        let taken = std::mem::replace(&mut *lock(&sealing), Sealing::Failed);
        let Sealing::Done(sealed, blob) = taken else {
            return Err(replaced.err().unwrap_or(ObjectError::Stopping));
        };
        if let Some(blob) = blob {
            blob.end(replaced.as_ref().err());
        }
        let done = replaced?;
        count_written(&sealed.body);
        Ok(PutResult {
            etag: sealed.object.etag,
            version: done.and_then(|done| done.version),
            checksums: sealed.object.checksums.clone(),
            sse: sealed.applied.clone(),
            size: sealed.object.size,
            mtime: now,
            tags: sealed.body.meta.tags.clone(),
        })
    }
}

/// How far the sealing of a new object is. It is done once, in the first job that needs it.
enum Sealing {
    Not(Box<NewObject>),
    Done(Arc<SealedObject>, Option<NewBlob>),
    Failed,
}

/// An object ready to be committed.
struct SealedObject {
    object: ObjectHead,
    body: Body,
    applied: SseApplied,
}

fn lock(sealing: &Mutex<Sealing>) -> MutexGuard<'_, Sealing> {
    sealing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seals what is not sealed yet, and names its blob. Blocks.
fn sealed(
    sealing: &Mutex<Sealing>,
    inner: &Inner,
    bucket: &Bucket,
) -> Result<Arc<SealedObject>, ObjectError> {
    let mut sealing = lock(sealing);
    match std::mem::replace(&mut *sealing, Sealing::Failed) {
        Sealing::Not(stored) => {
            let (object, blob) = seal(*stored, inner, bucket)?;
            let object = Arc::new(object);
            *sealing = Sealing::Done(Arc::clone(&object), blob);
            Ok(object)
        }
        Sealing::Done(object, blob) => {
            *sealing = Sealing::Done(Arc::clone(&object), blob);
            Ok(object)
        }
        Sealing::Failed => Err(ObjectError::Stopping),
    }
}

fn seal(
    stored: NewObject,
    inner: &Inner,
    bucket: &Bucket,
) -> Result<(SealedObject, Option<NewBlob>), ObjectError> {
    let NewObject { received, meta, belongs, wrapper, keys } = stored;
    let random = &*inner.options.random;
    let sse =
        wrapper.wrap(&inner.store, &belongs, &keys, random).map_err(|error| bucket.read_error(error))?;
    let etag = etag(&wrapper, &received.digested, random);
    let (content, blob) = match received.content {
        ReceivedContent::Small(plain) => {
            let sealed = layers::seal_all(&keys, &belongs.inline(), inner.options.stream, &plain, random);
            (ContentAt::Inline(sealed), None)
        }
        ReceivedContent::Blob(written) => {
            let mut blob = written.place()?;
            blob.commits();
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
    Ok((
        SealedObject {
            object,
            body: Body { sse, content, sealed_as: None, meta },
            applied: wrapper.applied(),
        },
        blob,
    ))
}

fn change(now: Timestamp, object: &ObjectHead, body: &Body) -> Change {
    let owned = |blob| Write::Put { key: rows::owner_key(&blob), value: rows::PRESENT.to_vec() };
    let writes = body.content.blobs().into_iter().map(owned).collect();
    let action = Action::New { object: object.clone(), body: Box::new(body.clone()), mtime: now };
    Change { writes, ..action.into() }
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
