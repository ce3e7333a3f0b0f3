//! Content on its way in: hashed and sealed off the async threads, in constant memory.
//!
//! The content is taken in windows. While one window is being sealed and another one hashed, each by a job of its own
//! on the blocking pool, the next is being received. Between windows no job runs, so a slow client holds no thread.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use metrics::counter;
use strongroom_seal::Random;
use strongroom_seal::stream::StreamSpec;
use strongroom_telemetry::names;
use tokio::task::JoinHandle;

use crate::blobs::{BlobWriter, Blobs, WrittenBlob};
use crate::digest::{Digested, Digests};
use crate::layers::ContentKeys;
use crate::sse::Belongs;
use crate::{ChecksumAlgorithm, ChecksumRequest, ChecksumValue, Content, ContentError, ObjectError};

/// How much content is handed to a job at once, in bytes.
const WINDOW_LEN: usize = 1 << 20;

/// What is needed to receive content.
pub(crate) struct Receiver {
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) spec: StreamSpec,
    pub(crate) keys: ContentKeys,
    pub(crate) belongs: Belongs,
    pub(crate) part: u16,
    /// Content up to this many bytes stays in memory.
    pub(crate) inline_max: usize,
    /// The most content there may be, in bytes.
    pub(crate) size_max: u64,
}

/// The digests a write needs.
pub(crate) struct DigestPlan {
    /// MD5 is the entity tag.
    pub(crate) md5: bool,
    /// Content-MD5.
    pub(crate) content_md5: Option<[u8; 16]>,
    /// What the client asked for.
    pub(crate) checksums: ChecksumRequest,
    /// What is computed in any case.
    pub(crate) always: Option<ChecksumAlgorithm>,
}

/// Content that has arrived whole and is what the client said it would be.
pub(crate) struct Received {
    pub(crate) size: u64,
    pub(crate) digested: Digested,
    pub(crate) content: ReceivedContent,
}

/// Where it is now.
pub(crate) enum ReceivedContent {
    /// In memory, as it came.
    Small(Vec<u8>),
    /// In a durable file of a temporary name.
    Blob(WrittenBlob),
}

impl DigestPlan {
    /// The algorithms in the order that names the object's checksum: what the client asked for, or the default.
    fn algorithms(&self) -> Vec<ChecksumAlgorithm> {
        let request = &self.checksums;
        let mut all: Vec<_> = request.expected.iter().map(|value| value.algorithm()).collect();
        all.extend(request.compute);
        all.extend(request.trailer.as_ref().map(|(algorithm, _)| *algorithm));
        all.extend(self.always);
        if all.is_empty() {
            all.push(ChecksumAlgorithm::Crc64Nvme);
        }
        all
    }

    /// The algorithm of the checksum that the client named, if it named one.
    pub(crate) fn checksums_named(&self) -> Option<ChecksumAlgorithm> {
        let request = &self.checksums;
        let expected = request.expected.first().map(ChecksumValue::algorithm);
        expected.or(request.compute).or(request.trailer.as_ref().map(|(algorithm, _)| *algorithm))
    }

    /// Whether the content is what the client said.
    fn verify(self, digested: &Digested) -> Result<(), ObjectError> {
        if let (Some(expected), Some(computed)) = (self.content_md5, digested.md5)
            && expected != computed
        {
            return Err(ObjectError::BadDigest { expected, computed });
        }
        let mut expected = self.checksums.expected;
        if let Some((algorithm, trailer)) = self.checksums.trailer {
            let value = trailer().filter(|value| value.algorithm() == algorithm);
            expected.push(value.ok_or(ObjectError::ChecksumMismatch { algorithm })?);
        }
        match expected.iter().find(|value| digested.checksum(value.algorithm()) != Some(value)) {
            Some(wrong) => Err(ObjectError::ChecksumMismatch { algorithm: wrong.algorithm() }),
            None => Ok(()),
        }
    }
}

impl Receiver {
    /// Receives all of `content`. On any error, and if the future is dropped, nothing is left.
    pub(crate) async fn receive(self, content: Content, plan: DigestPlan) -> Result<Received, ObjectError> {
        self.receive_as(content, plan, true).await
    }

    /// [`Self::receive`] into a blob, however short the content is.
    pub(crate) async fn receive_to_blob(
        self,
        content: Content,
        plan: DigestPlan,
    ) -> Result<Received, ObjectError> {
        self.receive_as(content, plan, false).await
    }

    async fn receive_as(
        self,
        mut content: Content,
        plan: DigestPlan,
        may_stay_small: bool,
    ) -> Result<Received, ObjectError> {
        if let Some(size) = content.length.filter(|size| *size > self.size_max) {
            return Err(ObjectError::EntityTooLarge { size, most: self.size_max });
        }
        let md5 = plan.md5 || plan.content_md5.is_some();
        let digests = Digests::new(md5, plan.algorithms());
        let mut window = Window { received: 0, ended: false, length: content.length, most: self.size_max };
        let first =
            window.fill(&mut content, if may_stay_small { self.inline_max } else { WINDOW_LEN }).await?;
        let small = may_stay_small && window.ended && window.received <= self.inline_max as u64;
        let (digested, content) = if small {
            let mut digests = digests;
            digests.update_all(&first);
            (digests.finish(), ReceivedContent::Small(first.concat()))
        } else {
            self.receive_blob(first, &mut window, &mut content, digests).await?
        };
        plan.verify(&digested)?;
        counter!(names::OBJECTS_SEALED_BYTES).increment(window.received);
        Ok(Received { size: window.received, digested, content })
    }

    async fn receive_blob(
        self,
        first: Vec<Bytes>,
        window: &mut Window,
        content: &mut Content,
        digests: Digests,
    ) -> Result<(Digested, ReceivedContent), ObjectError> {
        // Fast digests are computed where the content is sealed; slow ones beside it, so that the two do not add up.
        let (mut beside, with) =
            if digests.are_slow() { (Some(Job::idle(digests)), None) } else { (None, Some(digests)) };
        let mut sealing = Job::start(move || {
            let id = self.blobs.new_id(&*self.random);
            let places = self.belongs.blob(self.part, &id);
            let stream = (&self.keys, &places, self.spec);
            let writer = BlobWriter::create(&self.blobs, self.belongs.group, id, stream, &*self.random)?;
            Ok((writer, with))
        });
        let mut pieces = first;
        loop {
            if let Some(hashing) = &mut beside {
                let pieces = pieces.clone();
                hashing
                    .next(move |mut digests| {
                        digests.update_all(&pieces);
                        Ok(digests)
                    })
                    .await?;
            }
            sealing
                .next(move |(mut writer, mut digests)| {
                    if let Some(digests) = &mut digests {
                        digests.update_all(&pieces);
                    }
                    writer.write(&pieces)?;
                    Ok((writer, digests))
                })
                .await?;
            if window.ended {
                break;
            }
            pieces = window.fill(content, WINDOW_LEN).await?;
        }
        let digests = match beside {
            Some(mut hashing) => Some(hashing.state().await?),
            None => None,
        };
        let (writer, with) = sealing.state().await?;
        let mut finishing = Job::start(move || writer.finish());
        let blob = finishing.state().await?;
        let digests = digests.or(with).expect("the digests are in one of the two jobs");
        Ok((digests.finish(), ReceivedContent::Blob(blob)))
    }
}

/// The content as it comes, and what was announced of it.
struct Window {
    received: u64,
    ended: bool,
    length: Option<u64>,
    most: u64,
}

impl Window {
    /// The next pieces: more than `least` bytes, or all there is.
    async fn fill(&mut self, content: &mut Content, least: usize) -> Result<Vec<Bytes>, ObjectError> {
        let mut pieces = Vec::new();
        let mut filled = 0;
        while filled <= least {
            let Some(piece) = content.stream.next().await else {
                self.ended = true;
                break;
            };
            let piece = piece.map_err(unwrapped)?;
            if piece.is_empty() {
                continue;
            }
            filled += piece.len();
            self.received += piece.len() as u64;
            if self.received > self.most {
                return Err(ObjectError::EntityTooLarge { size: self.received, most: self.most });
            }
            if let Some(expected) = self.length.filter(|expected| *expected < self.received) {
                return Err(ObjectError::IncompleteBody { expected, received: self.received });
            }
            pieces.push(piece);
        }
        match self.length {
            Some(expected) if self.ended && expected != self.received => {
                Err(ObjectError::IncompleteBody { expected, received: self.received })
            }
            _ => Ok(pieces),
        }
    }
}

/// An error that the content of a copy brings along is the copy's own.
fn unwrapped(error: ContentError) -> ObjectError {
    match error {
        ContentError::Refused { source } => match source.downcast::<ObjectError>() {
            Ok(own) => *own,
            Err(source) => ObjectError::Content(ContentError::Refused { source }),
        },
        other => ObjectError::Content(other),
    }
}

/// A state that one job after the other works on, on the blocking pool.
struct Job<S> {
    idle: Option<S>,
    busy: Option<JoinHandle<Result<S, ObjectError>>>,
}

impl<S: Send + 'static> Job<S> {
    fn idle(state: S) -> Self {
        Self { idle: Some(state), busy: None }
    }

    fn start(make: impl FnOnce() -> Result<S, ObjectError> + Send + 'static) -> Self {
        Self { idle: None, busy: Some(tokio::task::spawn_blocking(make)) }
    }

    /// Waits for the job before and starts this one.
    async fn next(
        &mut self,
        work: impl FnOnce(S) -> Result<S, ObjectError> + Send + 'static,
    ) -> Result<(), ObjectError> {
        let state = self.state().await?;
        self.busy = Some(tokio::task::spawn_blocking(move || work(state)));
        Ok(())
    }

    /// Waits for the last job and takes the state out.
    async fn state(&mut self) -> Result<S, ObjectError> {
        match (self.idle.take(), self.busy.take()) {
            (Some(state), _) => Ok(state),
            // A job that did not end was cut off by the runtime's shutdown, or by a defect that was reported there.
            (None, Some(job)) => job.await.map_err(|_| ObjectError::Stopping)?,
            (None, None) => Err(ObjectError::Stopping),
        }
    }
}
