//! Copying an object: opened with the source's key and sealed anew under the target's.

use futures::StreamExt;

use crate::conditions::check_source;
use crate::measure::counted;
use crate::objects::Objects;
use crate::ops::get::{Opened, Purpose, whole};
use crate::ops::keys_of::KmsUse;
use crate::ops::put::PUT_LEN_MAX;
use crate::ops::rewrap_copy::Onto;
use crate::request::{CopyRequest, CopyResult, CopySource, Directive, NotCopied, PutRequest, ToCopy};
use crate::rows::SseRow;
use crate::{
    ChecksumRequest, Content, ContentError, DefaultEncryption, ObjectBody, ObjectError, ObjectMeta,
    SseRequest,
};

/// The storage class of an object that has none of its own.
const STANDARD: &str = "STANDARD";

impl Objects {
    /// Copies an object. What the target has of metadata, tags and encryption is said by the request; encryption is
    /// never inherited.
    ///
    /// # Errors
    /// Those of reading the source and writing the target; [`ObjectError::CopyOntoItself`] if nothing would change.
    pub async fn copy(&self, request: CopyRequest) -> Result<CopyResult, ObjectError> {
        self.copy_if(request, |_| Ok(())).await.map_err(NotCopied::of_nobody)
    }

    /// [`Self::copy`], if `allow` has nothing against it. It is asked once, about the very version that would be copied and
    /// the key that its copy would be sealed with, before any key is unwrapped: what was true of the names a moment ago need
    /// not be true of what is opened under them.
    ///
    /// # Errors
    /// Those of [`Self::copy`], and what `allow` says.
    pub async fn copy_if<E: Send>(
        &self,
        request: CopyRequest,
        allow: impl FnOnce(ToCopy<'_>) -> Result<(), E> + Send,
    ) -> Result<CopyResult, NotCopied<E>> {
        counted("copy", async {
            let CopyRequest { source, bucket, name, mut meta, metadata, tagging, sse, conditions, checksum } =
                request;
            let onto_its_name = source.bucket == bucket && source.name == name;
            let onto_itself = onto_its_name && source.version.is_none();
            let target = self.0.bucket(&bucket)?;
            let named = sse != SseRequest::Default;
            // The bucket's default may change as well: what is asked about is what is done.
            let sse = sse.settled(&target.settings, self.0.keys.kms().default_key());
            let sealed_with = KmsUse::of_settled(&sse);
            let mut opened = self.open_source(source, sealed_with, allow).await?;
            let size = opened.object.size;
            if size > PUT_LEN_MAX {
                return Err(ObjectError::CopySourceTooLarge { most: PUT_LEN_MAX }.into());
            }
            // To name something is to ask for it, also where it is what the object has already (AWS).
            let changes = metadata == Directive::Replace
                || named
                || meta.system.website_redirect.is_some()
                || meta.system.storage_class.is_some()
                || target.settings.encryption != DefaultEncryption::S3
                // Nothing is inherited, so without a word of the target's encryption it becomes the bucket's.
                || !matches!(opened.body.sse, SseRow::Group { .. });
            // The usual class is stored as none.
            meta.system.storage_class = meta.system.storage_class.filter(|class| class != STANDARD);
            if onto_itself && !changes {
                return Err(ObjectError::CopyOntoItself.into());
            }
            let meta = target_meta(&opened, meta, metadata, tagging);
            let source_version = opened.shown_version();
            if onto_its_name {
                let conditions = &conditions;
                let onto = Onto { bucket: &target, sse: &sse, meta: &meta, tagging, conditions, checksum };
                if let Some(put) = Box::pin(self.0.rewrap_onto_itself(&mut opened, onto)).await? {
                    return Ok(CopyResult { put, source_version });
                }
            }
            // The source's algorithm is kept; its composite form is not, since the target has one part.
            let kept = opened.object.checksums.last().map(|checksum| checksum.value.algorithm());
            let checksums = ChecksumRequest { compute: checksum.or(kept), ..ChecksumRequest::default() };
            let content = content(opened.body(&self.0).await?);
            let put =
                PutRequest { bucket, name, content, meta, sse, conditions, checksums, content_md5: None };
            let put = Box::pin(self.put_uncounted(put)).await?;
            Ok(CopyResult { put, source_version })
        })
        .await
    }

    /// The source of a copy, if it may be copied and is as the client wants it.
    pub(crate) async fn open_source<E>(
        &self,
        source: CopySource,
        sealed_with: Option<KmsUse>,
        allow: impl FnOnce(ToCopy<'_>) -> Result<(), E>,
    ) -> Result<Opened, NotCopied<E>> {
        let mut request = whole(source.bucket, source.name, source.version);
        request.customer_key = source.customer_key;
        let opened = self.0.open_object(request, Purpose::Content).await?;
        let (sse, tags) = (opened.body.sse.applied(None), &opened.body.meta.tags);
        allow(ToCopy { sse, tags, sealed_with }).map_err(NotCopied::Refused)?;
        let (head, now) = (&opened.head, self.0.options.clock.now());
        check_source(&source.conditions, opened.object.etag, head.mtime, head.version, now)?;
        Ok(opened)
    }
}

/// A body as content: its errors come back out of the write as what they are.
pub(crate) fn content(body: ObjectBody) -> Content {
    let length = body.length();
    let own = |error: ObjectError| ContentError::Refused { source: Box::new(error) };
    Content::new(Some(length), body.map(move |piece| piece.map_err(own)))
}

fn target_meta(source: &Opened, mut meta: ObjectMeta, metadata: Directive, tagging: Directive) -> ObjectMeta {
    if metadata == Directive::Copy {
        // Storage class and redirect are the target's own on AWS.
        let storage_class = meta.system.storage_class.take();
        let website_redirect = meta.system.website_redirect.take();
        meta.system = source.body.meta.system.clone();
        meta.system.storage_class = storage_class;
        meta.system.website_redirect = website_redirect;
        meta.user = source.body.meta.user.clone();
    }
    if tagging == Directive::Copy {
        meta.tags = source.body.meta.tags.clone();
    }
    meta
}
