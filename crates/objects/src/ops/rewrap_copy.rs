//! A copy of an object onto itself: its key is wrapped anew and its content stays where it is
//! (`docs/spec/object-entry.md` §12).

use std::sync::Arc;

use futures::StreamExt;
use md5::{Digest, Md5};
use strongroom_seal::Random;

use crate::buckets::Bucket;
use crate::commit::{Action, Change, Note, Replace, body_and_check};
use crate::objects::{Inner, blocking, carried_out};
use crate::ops::get::{Opened, Purpose, whole};
use crate::ops::put::opaque_etag;
use crate::request::{Directive, GetRequest, PutResult};
use crate::rows::{Body, ContentAt, ObjectHead, SseRow};
use crate::sse::Wrapper;
use crate::{ChecksumAlgorithm, ETag, ObjectError, ObjectMeta, SseRequest, Versioning, WriteConditions};

/// What a copy onto itself makes of an object.
pub(crate) struct Onto<'a> {
    pub(crate) bucket: &'a Arc<Bucket>,
    pub(crate) sse: &'a SseRequest,
    pub(crate) meta: &'a ObjectMeta,
    /// Whether the object keeps its tags, or gets those of `meta`.
    pub(crate) tagging: Directive,
    pub(crate) conditions: &'a WriteConditions,
    pub(crate) checksum: Option<ChecksumAlgorithm>,
}

impl Inner {
    /// Wraps the object's key anew, if its content can stay. `None`: it has to be copied, and nothing happened.
    pub(crate) async fn rewrap_onto_itself(
        self: &Arc<Self>,
        opened: &mut Opened,
        onto: Onto<'_>,
    ) -> Result<Option<PutResult>, ObjectError> {
        let Onto { bucket, sse, meta, tagging, conditions, checksum } = onto;
        let kept = opened.object.checksums.last().map(|checksum| checksum.value.algorithm());
        crate::meta::check(meta)?;
        // Locks are for versions, and whoever asks for one here is answered by the write.
        let stays = bucket.settings.versioning == Versioning::Off
            && meta.retention.is_none()
            && !meta.legal_hold
            && Wrapper::layers_for(sse, &bucket.settings) == opened.body.sse.layers()
            && (checksum.is_none() || checksum == kept);
        if !stays {
            return Ok(None);
        }
        // Before the KMS is asked for the target's key, and before content is read.
        let keys = opened.unwrap_now(self).await?;
        let wrapper = Wrapper::choose(sse.clone(), &bucket.settings, &opened.belongs, &self.keys).await?;
        let Some(etag) = self.etag_after(opened, &wrapper).await? else { return Ok(None) };
        let mtime = self.options.clock.now();
        let object =
            ObjectHead { etag, storage_class: meta.system.storage_class.clone(), ..opened.object.clone() };
        let result = PutResult {
            etag,
            version: None,
            checksums: object.checksums.clone(),
            sse: wrapper.applied(),
            size: object.size,
            mtime,
        };
        let (inner, bucket, belongs) = (Arc::clone(self), Arc::clone(bucket), opened.belongs.clone());
        let (head, was, content) = (opened.head.clone(), opened.object.clone(), opened.body.content.clone());
        let (meta, conditions) = (meta.clone(), conditions.clone());
        // Until the command is carried out, also if nobody waits for it.
        carried_out(async move {
            let changed = Note::new();
            let what = Replace { bucket: &bucket, name: &belongs.name.clone(), conditions: &conditions };
            let (job, note) = (Arc::clone(&inner), changed.clone());
            let done = inner.replace(what, move |seen| {
                let same = seen.current.is_some_and(|current| current.head == head);
                if !same || seen.bucket.settings.versioning != Versioning::Off {
                    note.put(());
                    return Ok(None);
                }
                let (now, read) = body_and_check(seen.reading, seen.bucket, seen.name, head.version, &was)?;
                let mut meta = meta.clone();
                if tagging == Directive::Copy {
                    // Tags may have changed since the object was opened, which its head does not show.
                    meta.tags = now.meta.tags;
                }
                let random = &*job.options.random;
                let sse = wrapper.wrap(&job.store, &belongs, &keys, random);
                let sse = sse.map_err(|error| seen.bucket.read_error(error))?;
                let body = Box::new(Body { sse, content: content.clone(), meta });
                let action = Action::New { object: object.clone(), body, mtime };
                Ok(Some(Change { checks: vec![read.is_the_same()], ..action.into() }))
            });
            let done = done.await?;
            Ok(match changed.take() {
                Some(()) => None,
                None => Some(PutResult { version: done.and_then(|done| done.version), ..result }),
            })
        })
        .await
    }

    /// The entity tag that the object has then. `None` if somebody replaces the object meanwhile.
    async fn etag_after(
        self: &Arc<Self>,
        opened: &Opened,
        wrapper: &Wrapper,
    ) -> Result<Option<ETag>, ObjectError> {
        let random = &*self.options.random;
        let shown = matches!(opened.body.sse, SseRow::Group { .. });
        Ok(Some(match (opened.object.etag, wrapper.shows_md5()) {
            // A tag of digests is the object's under SSE-S3 only; elsewhere it was random from the beginning.
            (etag, true) if shown => etag,
            (etag @ ETag::Multipart { .. }, true) => etag,
            (_, true) => match self.md5_of(opened).await? {
                Some(md5) => ETag::Md5(md5),
                None => return Ok(None),
            },
            (ETag::Multipart { parts, .. }, false) => ETag::Multipart { digest: drawn(random), parts },
            (_, false) => opaque_etag(random),
        }))
    }

    /// The MD5 of the content, which is read for it.
    async fn md5_of(self: &Arc<Self>, opened: &Opened) -> Result<Option<[u8; 16]>, ObjectError> {
        debug_assert!(!matches!(opened.body.content, ContentAt::Parts(_)), "those have a tag of their own");
        let belongs = &opened.belongs;
        let request = whole(belongs.bucket.clone(), belongs.name.clone(), None);
        let request = GetRequest { customer_key: opened.customer_key().cloned(), ..request };
        let again = self.open_object(request, Purpose::Content).await?;
        if again.head != opened.head {
            return Ok(None);
        }
        let mut content = again.body(self).await?;
        let mut md5 = Md5::new();
        while let Some(piece) = content.next().await {
            let piece = piece?;
            md5 = blocking(move || {
                md5.update(&piece);
                Ok(md5)
            })
            .await?;
        }
        Ok(Some(md5.finalize().into()))
    }
}

fn drawn(random: &dyn Random) -> [u8; 16] {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes
}
