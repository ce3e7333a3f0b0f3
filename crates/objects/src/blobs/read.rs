//! Reading a blob: any range of its plaintext, by the chunks that cover it.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use metrics::counter;
use strongroom_seal::TAG_LEN;
use strongroom_seal::stream::{Cover, HEADER_LEN, Header, HeaderError, Opener, StreamError, sealed_len};
use strongroom_store::GroupId;
use strongroom_store::disk::DiskFile;
use strongroom_telemetry::names;

use super::Blobs;
use super::buffers::{Buffer, Buffers};
use crate::Damaged;
use crate::layers::{ContentKeys, Places, fit};
use crate::rows::BlobId;

/// Content is opened in windows of this many bytes of plaintext: enough that a job is worth its start.
pub(crate) const WINDOW_LEN: u64 = 1 << 20;
/// Files are read in batches of this many bytes, which are still in a core's cache when they are opened.
const BATCH_LEN: usize = 256 << 10;
/// What tags add to a batch of the smallest chunks.
const TAGS_LEN: usize = BATCH_LEN / 4096 * TAG_LEN;
/// Buffers kept for the next reader, of each kind: at most 20 MiB in all.
const KEPT_MAX: usize = 16;

/// Where batches and windows come from.
pub(super) fn buffers() -> (Arc<Buffers>, Arc<Buffers>) {
    let window = usize::try_from(WINDOW_LEN).expect("a window fits in memory");
    (Buffers::new(BATCH_LEN + TAGS_LEN, KEPT_MAX), Buffers::new(window, KEPT_MAX))
}

/// An open blob. Removing the file does not disturb it.
#[derive(Clone)]
pub(crate) struct BlobReader {
    file: Arc<dyn DiskFile>,
    /// Opens what is in the file.
    opener: Opener,
    /// Opens what that gives, under DSSE-KMS.
    inner: Option<Opener>,
    batches: Arc<Buffers>,
    windows: Arc<Buffers>,
}

/// Why a blob was not read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    Damaged(Damaged),
    Io(io::Error),
}

impl Blobs {
    /// Opens a blob's file; also says how long it is, in bytes.
    pub(crate) fn open_file(
        &self,
        group: GroupId,
        blob: &BlobId,
    ) -> Result<(Arc<dyn DiskFile>, u64), ReadFault> {
        let file = self.disk.open(&self.path(group, blob)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ReadFault::Damaged(Damaged::Missing),
            _ => ReadFault::Io(error),
        })?;
        let length = file.len().map_err(ReadFault::Io)?;
        Ok((file, length))
    }

    /// Opens a blob of `plain_len` bytes and verifies its headers and its length.
    pub(crate) fn read(
        &self,
        group: GroupId,
        blob: &BlobId,
        plain_len: u64,
        keys: &ContentKeys,
        places: &Places,
    ) -> Result<BlobReader, ReadFault> {
        let (file, length) = self.open_file(group, blob)?;
        let mut header = [0; HEADER_LEN];
        if length < HEADER_LEN as u64 {
            return Err(ReadFault::Damaged(Damaged::Length));
        }
        file.read_at(&mut header, 0).map_err(short)?;
        counter!(names::BLOBS_READ_BYTES).increment(HEADER_LEN as u64);
        let (batches, windows) = (Arc::clone(&self.batches), Arc::clone(&self.windows));
        let Some(outer_key) = &keys.outer else {
            let opener = Opener::new(&keys.inner, &places.inner, &header, plain_len).map_err(damage)?;
            if opener.sealed_len() != length {
                return Err(ReadFault::Damaged(Damaged::Length));
            }
            return Ok(BlobReader { file, opener, inner: None, batches, windows });
        };
        let outer = Header::parse(&header).map_err(|error| damage(error.into()))?;
        // Both layers have chunks of one size, so the length of the inner one is known before its header is.
        let inner_len = sealed_len(plain_len, outer.spec().chunk_size);
        let opener = Opener::new(outer_key, &places.outer, &header, inner_len).map_err(damage)?;
        if opener.sealed_len() != length {
            return Err(ReadFault::Damaged(Damaged::Length));
        }
        let mut reader = BlobReader { file, opener, inner: None, batches, windows };
        let inner_header = reader.outermost(0..HEADER_LEN as u64)?;
        let inner = Header::parse(&inner_header).map_err(|error| damage(error.into()))?;
        if !fit(&outer, &inner) {
            return Err(ReadFault::Damaged(Damaged::Header));
        }
        let inner = Opener::new(&keys.inner, &places.inner, &inner_header, plain_len).map_err(damage)?;
        reader.inner = Some(inner);
        Ok(reader)
    }
}

impl BlobReader {
    /// How much plaintext a chunk holds, in bytes.
    pub(crate) fn chunk_size(&self) -> u64 {
        self.opener.chunk_size() as u64
    }

    /// The plaintext of `range`. Reads the chunks that cover it and nothing else.
    pub(crate) fn window(&self, range: Range<u64>) -> Result<Bytes, ReadFault> {
        let window = match &self.inner {
            None => self.outermost(range)?,
            Some(inner) => self.innermost(inner, range)?,
        };
        counter!(names::OBJECTS_OPENED_BYTES).increment(window.len() as u64);
        Ok(window)
    }

    /// [`Self::window`] of two layers.
    fn innermost(&self, opener: &Opener, range: Range<u64>) -> Result<Bytes, ReadFault> {
        let cover = opener.cover(range);
        let sealed = self.outermost(cover.sealed.clone()).map_err(|fault| match fault {
            ReadFault::Damaged(Damaged::Chunk(outer)) => {
                ReadFault::Damaged(Damaged::Chunk(self.inner_chunk(outer).max(cover.first_chunk)))
            }
            other => other,
        })?;
        if sealed.len() as u64 != cover.sealed.end - cover.sealed.start {
            return Err(ReadFault::Damaged(Damaged::Length));
        }
        let stride = opener.chunk_size() + TAG_LEN;
        let mut window = self.windows.take(sealed.len() - sealed.len().div_ceil(stride) * TAG_LEN);
        let opened = opener.open_to(cover.first_chunk, &sealed, window.as_mut()).map_err(damage)?;
        Ok(taken(window, &cover, opened))
    }

    /// The first chunk of the inner layer that needs a chunk of the outer one.
    fn inner_chunk(&self, outer: u64) -> u64 {
        let chunk = self.chunk_size();
        (outer * chunk).saturating_sub(HEADER_LEN as u64) / (chunk + TAG_LEN as u64)
    }

    /// What the layer in the file holds.
    fn outermost(&self, range: Range<u64>) -> Result<Bytes, ReadFault> {
        let cover = self.opener.cover(range);
        let sealed_len = usize::try_from(cover.sealed.end - cover.sealed.start)
            .map_err(|_| ReadFault::Io(io::Error::from(io::ErrorKind::OutOfMemory)))?;
        let stride = self.opener.chunk_size() + TAG_LEN;
        let chunks_at_a_time = (BATCH_LEN / self.opener.chunk_size()).max(1);
        let mut batch = self.batches.take(sealed_len.min(chunks_at_a_time * stride));
        let mut window = self.windows.take(sealed_len - sealed_len.div_ceil(stride) * TAG_LEN);
        let (mut at, mut chunk, mut opened, mut left) =
            (cover.sealed.start, cover.first_chunk, 0, sealed_len);
        while left > 0 {
            let sealed = &mut batch.as_mut()[..left.min(chunks_at_a_time * stride)];
            self.file.read_at(sealed, at).map_err(short)?;
            opened += self.opener.open_to(chunk, sealed, &mut window.as_mut()[opened..]).map_err(damage)?;
            at += sealed.len() as u64;
            chunk += chunks_at_a_time as u64;
            left -= sealed.len();
        }
        counter!(names::BLOBS_READ_BYTES).increment(sealed_len as u64);
        Ok(taken(window, &cover, opened))
    }
}

/// The part of what was opened that was asked for.
fn taken(window: Buffer, cover: &Cover, opened: usize) -> Bytes {
    let take = usize::try_from(cover.take).unwrap_or(usize::MAX).min(opened.saturating_sub(cover.skip));
    window.into_bytes(cover.skip..cover.skip + take)
}

/// What the sealed stream's answer means for a blob.
pub(crate) fn damage(error: StreamError) -> ReadFault {
    ReadFault::Damaged(match error {
        StreamError::Header(HeaderError::Short { .. }) => Damaged::Length,
        StreamError::Header(_) => Damaged::Header,
        StreamError::Unsealable { chunk } => Damaged::Chunk(chunk),
        _ => Damaged::Length,
    })
}

fn short(error: io::Error) -> ReadFault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadFault::Damaged(Damaged::Length),
        _ => ReadFault::Io(error),
    }
}
