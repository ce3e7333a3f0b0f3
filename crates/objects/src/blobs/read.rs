//! Reading a blob: any range of its plaintext, by the chunks that cover it.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use metrics::counter;
use strongroom_seal::stream::{HEADER_LEN, HeaderError, Opener, StreamError};
use strongroom_seal::{Context, ObjectKey};
use strongroom_store::GroupId;
use strongroom_store::disk::DiskFile;
use strongroom_telemetry::names;

use super::Blobs;
use crate::Damaged;
use crate::rows::BlobId;

/// An open blob. Removing the file does not disturb it.
#[derive(Clone)]
pub(crate) struct BlobReader {
    file: Arc<dyn DiskFile>,
    opener: Opener,
}

/// Why a blob was not read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    Damaged(Damaged),
    Io(io::Error),
}

impl Blobs {
    /// Opens a blob of `plain_len` bytes and verifies its header and its length.
    pub(crate) fn read(
        &self,
        group: GroupId,
        blob: &BlobId,
        plain_len: u64,
        key: &ObjectKey,
        context: &Context,
    ) -> Result<BlobReader, ReadFault> {
        let file = self.disk.open(&self.path(group, blob)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ReadFault::Damaged(Damaged::Missing),
            _ => ReadFault::Io(error),
        })?;
        let length = file.len().map_err(ReadFault::Io)?;
        let mut header = [0; HEADER_LEN];
        if length < HEADER_LEN as u64 {
            return Err(ReadFault::Damaged(Damaged::Length));
        }
        file.read_at(&mut header, 0).map_err(short)?;
        counter!(names::BLOBS_READ_BYTES).increment(HEADER_LEN as u64);
        let opener = Opener::new(key, context, &header, plain_len).map_err(damage)?;
        if opener.sealed_len() != length {
            return Err(ReadFault::Damaged(Damaged::Length));
        }
        Ok(BlobReader { file, opener })
    }
}

impl BlobReader {
    /// How much plaintext a chunk holds, in bytes.
    pub(crate) fn chunk_size(&self) -> u64 {
        self.opener.chunk_size() as u64
    }

    /// The plaintext of `range`. Reads the chunks that cover it and nothing else.
    pub(crate) fn window(&self, range: Range<u64>) -> Result<Bytes, ReadFault> {
        let cover = self.opener.cover(range);
        let length = usize::try_from(cover.sealed.end - cover.sealed.start)
            .map_err(|_| ReadFault::Io(io::Error::from(io::ErrorKind::OutOfMemory)))?;
        let mut buffer = vec![0; length];
        self.file.read_at(&mut buffer, cover.sealed.start).map_err(short)?;
        let opened = self.opener.open_run(cover.first_chunk, &mut buffer).map_err(damage)?;
        buffer.truncate(opened);
        counter!(names::BLOBS_READ_BYTES).increment(length as u64);
        counter!(names::OBJECTS_OPENED_BYTES).increment(opened as u64);
        let take = usize::try_from(cover.take).unwrap_or(usize::MAX).min(opened.saturating_sub(cover.skip));
        Ok(Bytes::from(buffer).slice(cover.skip..cover.skip + take))
    }
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
