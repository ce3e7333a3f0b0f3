//! A copy of an object onto itself: its key is wrapped anew and its content stays where it is, or is there once more under
//! further names (`docs/spec/object-entry.md` §12).

use std::sync::Arc;

use futures::StreamExt;
use md5::{Digest, Md5};
use strongroom_seal::Random;
use strongroom_store::Write;

use crate::blobs::NewBlob;
use crate::buckets::Bucket;
use crate::commit::{Action, Change, Done, Replace, Seen, body_and_check};
use crate::layers::ContentKeys;
use crate::objects::{Inner, blocking, carried_out};
use crate::ops::get::{Opened, Purpose, whole};
use crate::ops::put::opaque_etag;
use crate::request::{Directive, GetRequest, PutResult};
use crate::rows::{self, BlobId, Body, ContentAt, ContentId, Head, ObjectHead, SealedAs, SseRow};
use crate::sse::{Belongs, Wrapper};
use crate::{
    ChecksumAlgorithm, ETag, ObjectError, ObjectMeta, SseRequest, Timestamp, Versioning, WriteConditions,
    versions,
};

/// What a copy of a version onto its own name makes of it.
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
    /// Wraps the object's key anew, if its content can stay as it is. Where there are versions that makes a new one, which has the
    /// same blobs under names of its own. `None`: it has to be copied, and nothing happened.
    pub(crate) async fn rewrap_onto_itself(
        self: &Arc<Self>,
        opened: &mut Opened,
        onto: Onto<'_>,
    ) -> Result<Option<PutResult>, ObjectError> {
        let Onto { bucket, sse, meta, tagging, conditions, checksum } = onto;
        let kept = opened.object.checksums.last().map(|checksum| checksum.value.algorithm());
        crate::meta::check(meta)?;
        bucket.check_locks(meta, self.options.clock.now())?;
        let stays = Wrapper::layers_for(sse, &bucket.settings) == opened.body.sse.layers()
            && (checksum.is_none() || checksum == kept);
        if !stays {
            return Ok(None);
        }
        let mut belongs = opened.belongs.clone();
        let in_place = bucket.settings.versioning == Versioning::Off;
        if !in_place && !opened.body.content.has_room_for_names() {
            return Ok(None);
        }
        if !in_place {
            belongs.content = ContentId::generate(&*self.options.random);
        }
        // Before the KMS is asked for the target's key, and before content is read.
        let keys = opened.unwrap_now(self).await?;
        let wrapper = Wrapper::choose(sse.clone(), &bucket.settings, &belongs, &self.keys).await?;
        let Some(etag) = self.etag_after(opened, &wrapper).await? else { return Ok(None) };
        let mtime = self.options.clock.now();
        let object = ObjectHead {
            etag,
            content: belongs.content,
            storage_class: meta.system.storage_class.clone(),
            ..opened.object.clone()
        };
        let result = PutResult {
            etag,
            version: None,
            checksums: object.checksums.clone(),
            sse: wrapper.applied(),
            size: object.size,
            mtime,
            tags: meta.tags.clone(),
        };
        let copy = Rewrapped {
            inner: Arc::clone(self),
            source: (opened.head.clone(), opened.object.clone()),
            in_place,
            belongs,
            keys,
            wrapper,
            object,
            content: opened.body.content.clone(),
            sealed_as: opened.body.sealed_as.clone(),
            meta: meta.clone(),
            tagging,
            mtime,
        };
        let (inner, bucket, conditions) = (Arc::clone(self), Arc::clone(bucket), conditions.clone());
        // Until the command is carried out, also if nobody waits for it.
        carried_out(async move {
            let done = if in_place {
                inner.commit_rewrapped(&bucket, &conditions, copy).await?
            } else {
                // The lease of who opened the source keeps its blobs until then. If that one went away, they may have gone too,
                // and nobody is there to miss the copy.
                let linking = blocking(move || copy.linked());
                let Some((copy, mut blobs)) = linking.await? else { return Ok(None) };
                blobs.iter_mut().for_each(NewBlob::commits);
                let done = inner.commit_rewrapped(&bucket, &conditions, copy).await;
                blobs.into_iter().for_each(|blob| blob.end(done.as_ref().err()));
                done?
            };
            Ok(done.map(|done| PutResult { version: done.version, ..result }))
        })
        .await
    }

    /// Puts the copy there. `None` if the object cannot be changed in place any more.
    async fn commit_rewrapped(
        self: &Arc<Self>,
        bucket: &Arc<Bucket>,
        conditions: &WriteConditions,
        copy: Rewrapped,
    ) -> Result<Option<Done>, ObjectError> {
        let name = copy.belongs.name.clone();
        let what = Replace { bucket, name: &name, conditions };
        self.replace(what, move |seen| copy.change(seen)).await
    }

    /// The entity tag that the object has then. `None` if somebody replaces or removes the version meanwhile.
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
        let request = whole(belongs.bucket.clone(), belongs.name.clone(), Some(opened.head.version));
        let request = GetRequest { customer_key: opened.customer_key().cloned(), ..request };
        let again = match self.open_object(request, Purpose::Content).await {
            Err(ObjectError::NoSuchKey { .. } | ObjectError::NoSuchVersion { .. }) => return Ok(None),
            again => again?,
        };
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

/// An object whose key is about to be wrapped anew.
struct Rewrapped {
    inner: Arc<Inner>,
    source: (Head, ObjectHead),
    /// It takes the place of its source, with the same content id and the same blobs.
    in_place: bool,
    belongs: Belongs,
    keys: ContentKeys,
    wrapper: Wrapper,
    object: ObjectHead,
    content: ContentAt,
    sealed_as: Option<SealedAs>,
    /// With the tags that the source had when it was opened, if those are kept.
    meta: ObjectMeta,
    tagging: Directive,
    mtime: Timestamp,
}

impl Rewrapped {
    /// The same with blobs of its own, whose content is that of the source's. `None` if there can be none. Blocks.
    fn linked(mut self) -> Result<Option<(Self, Vec<NewBlob>)>, ObjectError> {
        let Inner { blobs, options, .. } = &*self.inner;
        let were = self.content.blobs();
        let Some(linked) = blobs.link(self.belongs.group, &were, &*options.random)? else { return Ok(None) };
        let ids: Vec<BlobId> = linked.iter().map(NewBlob::id).collect();
        self.content = self.content.in_blobs(&ids);
        // Who was made in this way passes on what the first was sealed as.
        self.sealed_as.get_or_insert(SealedAs { content: self.source.1.content, blobs: were });
        Ok(Some((self, linked)))
    }

    /// `None` if the object was to be changed where it is, and is another one by now.
    fn change(&self, seen: &Seen<'_>) -> Result<Option<Change>, ObjectError> {
        let (head, object) = &self.source;
        let there = versions::version(seen.reading, seen.bucket, seen.name, head.version)?;
        let there = there.filter(|version| version.head == *head);
        let unversioned = seen.bucket.settings.versioning == Versioning::Off;
        if self.in_place && (there.is_none() || !unversioned) {
            return Ok(None);
        }
        let (mut meta, mut checks) = (self.meta.clone(), Vec::new());
        // A version that went since it was opened is copied as it was then, as in any copy.
        if there.is_some() {
            let (now, read) = body_and_check(seen.reading, seen.bucket, seen.name, head.version, object)?;
            if self.tagging == Directive::Copy {
                // Tags may have changed since the object was opened, which its head does not show.
                meta.tags = now.meta.tags;
            }
            checks.push(read.is_the_same());
        }
        let Inner { store, options, .. } = &*self.inner;
        let sse = self.wrapper.wrap(store, &self.belongs, &self.keys, &*options.random);
        let sse = sse.map_err(|error| seen.bucket.read_error(error))?;
        let body = Body { sse, content: self.content.clone(), sealed_as: self.sealed_as.clone(), meta };
        let blobs = if self.in_place { Vec::new() } else { self.content.blobs() };
        let owned = |blob| Write::Put { key: rows::owner_key(&blob), value: rows::PRESENT.to_vec() };
        let writes = blobs.into_iter().map(owned).collect();
        let action = Action::New { object: self.object.clone(), body: Box::new(body), mtime: self.mtime };
        Ok(Some(Change { checks, writes, ..action.into() }))
    }
}

fn drawn(random: &dyn Random) -> [u8; 16] {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes
}
