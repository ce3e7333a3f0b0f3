//! Reading an object: all of it, a range, a part, or only what is known of it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use strongroom_seal::CustomerKey;
use strongroom_store::Moment;
use tokio::task::JoinHandle;

use crate::blobs::{BlobReader, ReadFault, WINDOW_LEN};
use crate::buckets::Bucket;
use crate::commit::{body, damaged};
use crate::conditions::{check_read, range_applies};
use crate::data_keys::DataKeys;
use crate::hot::HotObject;
use crate::layers::{ContentKeys, open_all};
use crate::leases::Lease;
use crate::measure::counted;
use crate::objects::{Inner, Objects, Place, blocking};
use crate::range::{self, Wanted};
use crate::request::{GetRequest, GetResult, HeadResult, ObjectInfo};
use crate::rows::{self, BlobId, Body, ContentAt, Head, HeadKind, ObjectHead, PartAt};
use crate::sse::{Belongs, UnwrapError, Unwrapper};
use crate::versions::{self, Version};
use crate::wraps::WrapHeld;
use crate::{BucketName, Damaged, ObjectBody, ObjectError, ObjectName, ReadConditions, VersionId};

impl Objects {
    /// An object's description and content. The content is read as the body is polled, the chunks that cover the range
    /// and one window ahead.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchKey`], those of conditions and ranges, and [`ObjectError::Damaged`], also in the body.
    pub async fn get(&self, request: GetRequest) -> Result<GetResult, ObjectError> {
        self.0.reads.counted(self.get_uncounted(request)).await
    }

    async fn get_uncounted(&self, request: GetRequest) -> Result<GetResult, ObjectError> {
        let bucket = self.0.bucket(&request.bucket)?;
        if let Some(hot) = self.0.find_hot(&bucket, &request) {
            // Without this a task that reads nothing else keeps its thread for itself.
            tokio::task::consume_budget().await;
            let wanted = self.0.wanted(&hot.head, &hot.object, &hot.body, &request)?;
            let body = ObjectBody::ready(hot.plain.slice(usize_range(&wanted.bytes)));
            let info = info(&bucket, &hot.head, &hot.object, &hot.body, &wanted, None);
            return Ok(GetResult { info, range: wanted.range, body });
        }
        // What waits for the store or the KMS holds much meanwhile, which is not to be room that every answer has to make.
        Box::pin(self.get_from_store(bucket, request)).await
    }

    async fn get_from_store(
        &self,
        bucket: Arc<Bucket>,
        request: GetRequest,
    ) -> Result<GetResult, ObjectError> {
        let (inner, group) = (Arc::clone(&self.0), bucket.group);
        let found = self.0.reading(group, move |place| {
            let opened = inner.find_object(bucket, request, Purpose::Content)?;
            let (info, range) = (opened.info(), opened.wanted.range);
            // One job is enough for all that needs no answer from the KMS. Blobs are files, so they need a job.
            let found = match opened.local_unwrapper(&inner.keys) {
                Some(unwrapper) if place == Place::Job || opened.is_inline() => {
                    Found::Started(opened.start(&inner, &unwrapper)?)
                }
                _ => Found::Later(Box::new(opened)),
            };
            Ok((info, range, found))
        });
        let (info, range, found) = found.await?;
        let body = match found {
            Found::Started(started) => started.into_body(),
            Found::Later(opened) => opened.body(&self.0).await?,
        };
        Ok(GetResult { info, range, body })
    }

    /// What [`Self::get`] would answer, without the content.
    pub async fn head(&self, request: GetRequest) -> Result<HeadResult, ObjectError> {
        counted("head", async {
            let opened = self.0.open_object(request, Purpose::Description).await?;
            Ok(HeadResult { info: opened.info(), range: opened.wanted.range, length: opened.wanted.length() })
        })
        .await
    }
}

/// What an entry is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Content,
    Description,
}

/// An entry that was found and whose conditions hold.
pub(crate) struct Opened {
    bucket: Arc<Bucket>,
    pub(crate) belongs: Belongs,
    pub(crate) head: Head,
    pub(crate) object: ObjectHead,
    pub(crate) body: Body,
    pub(crate) wanted: Wanted,
    customer_key: Option<CustomerKey>,
    /// Keeps the blobs until they are open or read.
    lease: Option<Lease>,
    /// The keys of the content, if they were unwrapped already.
    keys: Option<ContentKeys>,
    /// Keeps the group's key that wraps the object key until that is unwrapped.
    held: Option<WrapHeld>,
    /// When the entry was read, if it is that of the current version.
    moment: Option<Moment>,
}

/// What is read of an object, and from where.
struct Source {
    bucket: Arc<Bucket>,
    /// Where it belonged when it was sealed.
    sealed: Belongs,
    version: VersionId,
    keys: ContentKeys,
    parts: Vec<PartAt>,
    /// What the blob of each part was when it was sealed. Empty: what it is.
    sealed_blobs: Vec<BlobId>,
    inner: Arc<Inner>,
}

impl Inner {
    /// Finds an object and checks what the request says of it.
    pub(crate) async fn open_object(
        self: &Arc<Self>,
        request: GetRequest,
        purpose: Purpose,
    ) -> Result<Opened, ObjectError> {
        let bucket = self.bucket(&request.bucket)?;
        let (inner, group) = (Arc::clone(self), bucket.group);
        self.reading(group, move |_| inner.find_object(bucket, request, purpose)).await
    }

    /// What is kept of an object, opened. Nothing of it has to be looked up.
    fn find_hot(&self, bucket: &Bucket, request: &GetRequest) -> Option<Arc<HotObject>> {
        if request.version.is_some() || request.customer_key.is_some() {
            return None;
        }
        self.hot.find(bucket.group, &request.name, || self.store.keep_open(bucket.group))
    }

    /// What of an object a request wants, if its conditions hold.
    fn wanted(
        &self,
        head: &Head,
        object: &ObjectHead,
        body: &Body,
        request: &GetRequest,
    ) -> Result<Wanted, ObjectError> {
        let GetRequest { part, range, conditions, .. } = request;
        check_read(conditions, object.etag, head.mtime, head.version, self.options.clock.now())?;
        let range = range.filter(|_| range_applies(conditions.if_range.as_ref(), object.etag, head.mtime));
        range::resolve(object, &body.content, *part, range)
    }

    /// [`Self::open_object`] where it may block.
    fn find_object(
        &self,
        bucket: Arc<Bucket>,
        request: GetRequest,
        purpose: Purpose,
    ) -> Result<Opened, ObjectError> {
        // Before the entry is read: what the entry names then stays.
        let lease = (purpose == Purpose::Content)
            .then(|| self.leases.take(bucket.group, &rows::head_key(&request.name)));
        let held = self.wraps.hold(bucket.group);
        let reading = self.read(&bucket)?;
        let current = request.version.is_none();
        let (head, object) = find(&reading, &bucket, &request.name, request.version)?;
        let body = body(&reading, &bucket, &request.name, head.version, &object)?;
        let belongs = Belongs {
            bucket: request.bucket.clone(),
            group: bucket.group,
            name: request.name.clone(),
            content: object.content,
        };
        body.sse.admits(request.customer_key.as_ref(), &belongs)?;
        let wanted = self.wanted(&head, &object, &body, &request)?;
        let moment = reading.moment().filter(|_| current);
        // Nobody waits for who needs another key than the group's: the KMS may take long to unwrap with it.
        let held = body.sse.is_wrapped_by_group().then_some(held);
        let customer_key = request.customer_key;
        Ok(Opened {
            bucket,
            belongs,
            head,
            object,
            body,
            wanted,
            customer_key,
            lease,
            keys: None,
            held,
            moment,
        })
    }
}

/// The version that a request means.
pub(crate) fn find(
    reading: &strongroom_store::Reading,
    bucket: &Bucket,
    name: &ObjectName,
    version: Option<VersionId>,
) -> Result<(Head, ObjectHead), ObjectError> {
    let found = find_version(reading, bucket, name, version)?;
    match &found.head.kind {
        HeadKind::Object(object) => {
            let object = object.clone();
            Ok((found.head, object))
        }
        HeadKind::DeleteMarker if version.is_none() => {
            let delete_marker = Some(found.head.version);
            Err(ObjectError::NoSuchKey { name: name.clone(), delete_marker })
        }
        HeadKind::DeleteMarker => {
            Err(ObjectError::IsDeleteMarker { version: found.head.version, mtime: found.head.mtime })
        }
    }
}

/// The version that a request means, also if it is a delete marker.
pub(crate) fn find_version(
    reading: &strongroom_store::Reading,
    bucket: &Bucket,
    name: &ObjectName,
    version: Option<VersionId>,
) -> Result<Version, ObjectError> {
    match version {
        None => versions::current(reading, bucket, name)?
            .ok_or_else(|| ObjectError::NoSuchKey { name: name.clone(), delete_marker: None }),
        Some(version) => versions::version(reading, bucket, name, version)?
            .ok_or_else(|| ObjectError::NoSuchVersion { name: name.clone(), version }),
    }
}

impl Opened {
    /// The version as answers name it.
    pub(crate) fn shown_version(&self) -> Option<VersionId> {
        versions::shown(self.bucket.settings.versioning, self.head.version)
    }

    /// What answers say.
    pub(crate) fn info(&self) -> ObjectInfo {
        let Self { bucket, head, object, body, wanted, customer_key, .. } = self;
        info(bucket, head, object, body, wanted, customer_key.as_ref())
    }

    /// The bytes that are wanted.
    pub(crate) async fn body(self, inner: &Arc<Inner>) -> Result<ObjectBody, ObjectError> {
        let unwrapper =
            self.body.sse.unwrapper(self.customer_key.clone(), &self.belongs, &inner.keys).await?;
        let inner = Arc::clone(inner);
        Ok(blocking(move || self.start(&inner, &unwrapper)).await?.into_body())
    }

    /// Unwraps the keys of the content now, for who does something else first and may take its time.
    pub(crate) async fn unwrap_now(&mut self, inner: &Arc<Inner>) -> Result<ContentKeys, ObjectError> {
        let keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.content_keys(inner).await?,
        };
        self.held = None;
        self.keys = Some(keys.clone());
        Ok(keys)
    }

    /// The customer's key that the request brought.
    pub(crate) fn customer_key(&self) -> Option<&CustomerKey> {
        self.customer_key.as_ref()
    }

    /// The keys of the content.
    async fn content_keys(&self, inner: &Arc<Inner>) -> Result<ContentKeys, ObjectError> {
        let unwrapper = match self.local_unwrapper(&inner.keys) {
            Some(unwrapper) => unwrapper,
            None => {
                let customer = self.customer_key.clone();
                self.body.sse.unwrapper(customer, &self.belongs, &inner.keys).await?
            }
        };
        let job = (Arc::clone(inner), Arc::clone(&self.bucket), self.body.clone(), self.belongs.clone());
        let version = self.head.version;
        blocking(move || {
            let (inner, bucket, body, belongs) = job;
            unwrap(&inner, &bucket, &unwrapper, &body, &belongs, version)
        })
        .await
    }

    fn is_inline(&self) -> bool {
        matches!(self.body.content, ContentAt::Inline(_))
    }

    /// What unwraps the object key, if the KMS is not needed for it.
    fn local_unwrapper(&self, keys: &DataKeys) -> Option<Unwrapper> {
        self.body.sse.local_unwrapper(self.customer_key.as_ref(), &self.belongs, keys)
    }

    /// Opens the content and its first window: most requests need no other, and an error now is still a clean
    /// answer. Blocks.
    fn start(self, inner: &Arc<Inner>, unwrapper: &Unwrapper) -> Result<Started, ObjectError> {
        let Self { bucket, belongs, head, object, body, wanted, lease, keys, held, moment, .. } = self;
        let version = head.version;
        let keys = match keys {
            Some(keys) => keys,
            None => unwrap(inner, &bucket, unwrapper, &body, &belongs, version)?,
        };
        drop(held);
        let Body { content, sealed_as, sse, meta } = body;
        let sealed = belongs.when_sealed(sealed_as.as_ref());
        let parts = match content {
            ContentAt::Inline(bytes) => {
                let plain = open_inline(&bytes, &keys, &bucket, &sealed, version, object.size)?;
                let started = Started::Inline(plain.slice(usize_range(&wanted.bytes)));
                if let Some(moment) = moment.filter(|_| sse.is_wrapped_by_group()) {
                    let content = ContentAt::Inline(Vec::new());
                    let body = Body { content, sealed_as: None, sse, meta };
                    let hot = HotObject { moment, head, object, body, plain };
                    inner.hot.keep(bucket.group, belongs.name, hot);
                }
                return Ok(started);
            }
            ContentAt::Blob(blob) => vec![PartAt { number: 1, size: object.size, blob, checksum: None }],
            ContentAt::Parts(parts) => parts,
        };
        let sealed_blobs = sealed_as.map(|sealed| sealed.blobs).unwrap_or_default();
        let inner = Arc::clone(inner);
        let source = Source { bucket, sealed, version, keys, parts, sealed_blobs, inner };
        let mut cursor = Cursor::new(Arc::new(source), &wanted.bytes, lease);
        let window = cursor.next_window()?;
        Ok(Started::Blobs(Box::new(cursor), window))
    }
}

fn info(
    bucket: &Bucket,
    head: &Head,
    object: &ObjectHead,
    body: &Body,
    wanted: &Wanted,
    customer_key: Option<&CustomerKey>,
) -> ObjectInfo {
    ObjectInfo {
        version: versions::shown(bucket.settings.versioning, head.version),
        size: object.size,
        mtime: head.mtime,
        etag: object.etag,
        meta: body.meta.clone(),
        checksums: object.checksums.clone(),
        sse: body.sse.applied(customer_key),
        parts: match &body.content {
            ContentAt::Parts(parts) => u16::try_from(parts.len()).ok(),
            ContentAt::Inline(_) | ContentAt::Blob(_) => None,
        },
        part_checksum: wanted.checksum.clone(),
    }
}

/// An object whose entry was found.
enum Found {
    Started(Started),
    /// Its content needs an answer from the KMS or a job of its own.
    Later(Box<Opened>),
}

/// Content whose beginning is there.
enum Started {
    Inline(Bytes),
    Blobs(Box<Cursor>, Option<Bytes>),
}

impl Started {
    fn into_body(self) -> ObjectBody {
        match self {
            Self::Inline(plain) => ObjectBody::ready(plain),
            Self::Blobs(cursor, window) => {
                let first = window.as_ref().map_or(0, |window| window.len() as u64);
                let length = first + (cursor.rest.end - cursor.rest.start);
                ObjectBody::new(length, windows(cursor, window))
            }
        }
    }
}

fn usize_range(range: &Range<u64>) -> Range<usize> {
    let number = |at| usize::try_from(at).expect("inline content fits in memory");
    number(range.start)..number(range.end)
}

fn unwrap(
    inner: &Inner,
    bucket: &Bucket,
    unwrapper: &Unwrapper,
    body: &Body,
    belongs: &Belongs,
    version: VersionId,
) -> Result<ContentKeys, ObjectError> {
    unwrapper.unwrap(&body.sse, belongs, &inner.store).map_err(|error| match error {
        UnwrapError::Read(error) => bucket.read_error(error),
        UnwrapError::Unsealable => damaged(bucket, &belongs.name, version, 0, Damaged::Key),
    })
}

fn open_inline(
    sealed: &[u8],
    keys: &ContentKeys,
    bucket: &Bucket,
    belongs: &Belongs,
    version: VersionId,
    size: u64,
) -> Result<Bytes, ObjectError> {
    let opened = open_all(keys, &belongs.inline(), sealed).filter(|plain| plain.len() as u64 == size);
    let mut plain = opened.ok_or_else(|| damaged(bucket, &belongs.name, version, 1, Damaged::Inline))?;
    metrics::counter!(strongroom_telemetry::names::OBJECTS_OPENED_BYTES).increment(size);
    Ok(Bytes::from(std::mem::take(&mut *plain)))
}

/// A place in an object's content, on its way to the end of a range.
struct Cursor {
    source: Arc<Source>,
    /// What is left of the range, in bytes of the object.
    rest: Range<u64>,
    /// The part that `rest` starts in, and where in the object that part starts.
    part: usize,
    part_start: u64,
    open: Option<BlobReader>,
    /// With one blob, which stays open, nothing needs to be kept.
    lease: Option<Lease>,
}

impl Cursor {
    fn new(source: Arc<Source>, range: &Range<u64>, lease: Option<Lease>) -> Self {
        let mut cursor = Self { source, rest: range.clone(), part: 0, part_start: 0, open: None, lease };
        cursor.pass_parts();
        cursor
    }

    /// Goes on to the part that the rest starts in. Parts of no bytes are passed over.
    fn pass_parts(&mut self) {
        while let Some(part) = self.source.parts.get(self.part) {
            let end = self.part_start + part.size;
            if self.rest.start < end || self.part + 1 == self.source.parts.len() {
                return;
            }
            self.part_start = end;
            self.part += 1;
            self.open = None;
        }
    }

    /// Reads and opens the next bytes; `None` at the end of the range. Blocks.
    fn next_window(&mut self) -> Result<Option<Bytes>, ObjectError> {
        self.pass_parts();
        let Some(part) = self.source.parts.get(self.part).cloned() else {
            return Ok(None);
        };
        let reader = match &self.open {
            Some(reader) => reader.clone(),
            // Also for a range of nothing: an empty object has a chunk that must open.
            None => self.open_part(&part)?,
        };
        if self.rest.is_empty() {
            if part.size == 0 {
                reader.window(0..0).map_err(|fault| self.fault(&part, fault))?;
            }
            return Ok(None);
        }
        let start = self.rest.start - self.part_start;
        // A window ends where a chunk does, so that no chunk is opened twice.
        let whole = (start + WINDOW_LEN.max(reader.chunk_size())) / reader.chunk_size() * reader.chunk_size();
        let end = whole.min(part.size).min(self.rest.end - self.part_start);
        let bytes = reader.window(start..end).map_err(|fault| self.fault(&part, fault))?;
        if bytes.len() as u64 != end - start {
            return Err(self.fault(&part, ReadFault::Damaged(Damaged::Length)));
        }
        self.rest.start += end - start;
        Ok(Some(bytes))
    }

    fn open_part(&mut self, part: &PartAt) -> Result<BlobReader, ObjectError> {
        let source = &self.source;
        let sealed_blob = source.sealed_blobs.get(self.part).unwrap_or(&part.blob);
        let places = source.sealed.blob(part.number, sealed_blob);
        let group = source.sealed.group;
        let reader = source.inner.blobs.read(group, &part.blob, part.size, &source.keys, &places);
        let reader = reader.map_err(|fault| self.fault(part, fault))?;
        if self.source.parts.len() == 1 {
            self.lease = None;
        }
        self.open = Some(reader.clone());
        Ok(reader)
    }

    fn fault(&self, part: &PartAt, fault: ReadFault) -> ObjectError {
        let source = &self.source;
        match fault {
            ReadFault::Io(error) => ObjectError::Io { doing: "reading a blob", source: error },
            ReadFault::Damaged(what) => {
                damaged(&source.bucket, &source.sealed.name, source.version, part.number, what)
            }
        }
    }
}

type Ahead = JoinHandle<Result<(Box<Cursor>, Option<Bytes>), ObjectError>>;

enum Step {
    Ready(Box<Cursor>, Bytes),
    Ahead(Ahead),
    Done,
}

/// The windows of a range, one being read while the one before is on its way out.
fn windows(
    cursor: Box<Cursor>,
    first: Option<Bytes>,
) -> impl futures::Stream<Item = Result<Bytes, ObjectError>> + Send + 'static {
    let start = match first {
        Some(window) => Step::Ready(cursor, window),
        None => Step::Done,
    };
    stream::unfold(start, |step| async move {
        let (cursor, window) = match step {
            Step::Done => return None,
            Step::Ready(cursor, window) => (cursor, window),
            Step::Ahead(job) => match job.await {
                Ok(Ok((cursor, Some(window)))) => (cursor, window),
                Ok(Ok((_, None))) => return None,
                Ok(Err(error)) => return Some((Err(error), Step::Done)),
                Err(_) => return Some((Err(ObjectError::Stopping), Step::Done)),
            },
        };
        let next = if cursor.rest.is_empty() { Step::Done } else { Step::Ahead(read_ahead(cursor)) };
        Some((Ok(window), next))
    })
}

fn read_ahead(mut cursor: Box<Cursor>) -> Ahead {
    tokio::task::spawn_blocking(move || {
        let window = cursor.next_window()?;
        Ok((cursor, window))
    })
}

/// A request for the whole of a source, as copies make it.
pub(crate) fn whole(bucket: BucketName, name: ObjectName, version: Option<VersionId>) -> GetRequest {
    GetRequest {
        bucket,
        name,
        version,
        part: None,
        range: None,
        conditions: ReadConditions::default(),
        customer_key: None,
    }
}
