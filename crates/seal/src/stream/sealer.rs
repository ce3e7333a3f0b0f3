//! Sealing: one owner of the chunk numbers.

use std::fmt;
use std::sync::Arc;

use super::cipher::Cipher;
use super::header::Header;
use super::layout::plain_len_max;
use super::{ChunkSize, HEADER_LEN, StreamError};
use crate::{Context, ObjectKey, Random, Suite, TAG_LEN};

/// What a writer chooses; a reader finds it in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSpec {
    /// The cipher.
    pub suite: Suite,
    /// How much plaintext a chunk holds.
    pub chunk_size: ChunkSize,
}

impl Default for StreamSpec {
    /// AES-256-GCM in chunks of 64 KiB.
    fn default() -> Self {
        Self { suite: Suite::Aes256Gcm, chunk_size: ChunkSize::default() }
    }
}

/// Whether what is sealed ends the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// More follows.
    No,
    /// This is the end.
    Yes,
}

/// Seals the chunks of one stream, in order, under a key that no other stream has.
///
/// It cannot be cloned, and a chunk's number is spent when the chunk is handed in, so no two chunks are ever
/// sealed with one nonce. A stream that is dropped before its last chunk does not open as a whole.
pub struct Sealer {
    cipher: Arc<Cipher>,
    next: u64,
    finished: bool,
}

impl Sealer {
    /// A sealer and the header that goes before everything it seals. Each has a fresh salt from `random`.
    pub fn new(
        key: &ObjectKey,
        context: &Context,
        spec: StreamSpec,
        random: &dyn Random,
    ) -> (Self, [u8; HEADER_LEN]) {
        let (header, cipher) = Header::fresh(key, context, spec, random);
        (Self { cipher: Arc::new(cipher), next: 0, finished: false }, header)
    }

    /// How much plaintext a chunk holds, in bytes.
    pub fn chunk_size(&self) -> usize {
        self.cipher.chunk_size().bytes()
    }

    /// Seals the next chunk in place and returns its tag, which goes right behind it.
    ///
    /// Every chunk but the last is exactly [`Self::chunk_size`] long. The last is not empty, unless it is the
    /// only one.
    ///
    /// # Errors
    /// [`StreamError::ChunkLength`], [`StreamError::Finished`] and [`StreamError::TooLong`]; nothing was sealed
    /// then.
    pub fn seal_next(&mut self, chunk: &mut [u8], last: Last) -> Result<[u8; TAG_LEN], StreamError> {
        if chunk.is_empty() && last == Last::No || chunk.len() > self.chunk_size() {
            return Err(StreamError::ChunkLength { length: chunk.len() });
        }
        let run = self.reserve(chunk.len(), last)?;
        Ok(self.cipher.seal(run.first, run.last, chunk))
    }

    /// Seals `plain` and appends it to `out`, chunks and tags.
    ///
    /// `plain` is a multiple of the chunk size, unless it is the last: then any length, but empty only if
    /// nothing went before. Growing `out` costs a tenth of the sealing or more; one who has a buffer of the right
    /// length uses [`Self::reserve`] and [`SealRun::seal_to`].
    ///
    /// # Errors
    /// As [`Self::seal_next`].
    pub fn seal_batch(&mut self, plain: &[u8], last: Last, out: &mut Vec<u8>) -> Result<(), StreamError> {
        let run = self.reserve(plain.len(), last)?;
        out.reserve(run.sealed_len());
        for (chunk, piece, ends) in run.pieces(plain) {
            // Room is made chunk by chunk, so that it is still in the cache when it is sealed into.
            let at = out.len();
            out.resize(at + piece.len() + TAG_LEN, 0);
            self.cipher.seal_to(chunk, ends, piece, &mut out[at..]);
        }
        Ok(())
    }

    /// Sets the numbers of the chunks of `plain_len` bytes aside, to be sealed whenever and on whatever thread.
    /// The lengths are those of [`Self::seal_batch`].
    ///
    /// # Errors
    /// As [`Self::seal_next`].
    pub fn reserve(&mut self, plain_len: usize, last: Last) -> Result<SealRun, StreamError> {
        let chunk_size = self.chunk_size();
        let last = last == Last::Yes;
        if self.finished {
            return Err(StreamError::Finished);
        }
        let fits = if last { plain_len > 0 || self.next == 0 } else { plain_len.is_multiple_of(chunk_size) };
        if !fits {
            return Err(StreamError::ChunkLength { length: plain_len });
        }
        let chunks = if last { plain_len.div_ceil(chunk_size).max(1) } else { plain_len / chunk_size };
        let plain_len_max = plain_len_max(self.cipher.chunk_size());
        let end = self.next.saturating_add(chunks as u64);
        if end > plain_len_max >> self.cipher.chunk_size().log2() {
            return Err(StreamError::TooLong { plain_len_max });
        }
        let run = SealRun { cipher: Arc::clone(&self.cipher), first: self.next, chunks, plain_len, last };
        self.next = end;
        self.finished = last;
        Ok(run)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("next", &self.next)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

/// Consecutive chunk numbers that are this run's alone. Sealing consumes it.
pub struct SealRun {
    pub(super) cipher: Arc<Cipher>,
    pub(super) first: u64,
    pub(super) chunks: usize,
    pub(super) plain_len: usize,
    pub(super) last: bool,
}

impl SealRun {
    /// How many bytes the run has once sealed.
    pub fn sealed_len(&self) -> usize {
        self.plain_len + self.chunks * TAG_LEN
    }

    /// Seals `plain`, as long as was reserved, into `out`, which is [`Self::sealed_len`] long.
    ///
    /// # Errors
    /// [`StreamError::ChunkLength`] if one of them is not that long. The numbers are spent all the same.
    pub fn seal_to(self, plain: &[u8], out: &mut [u8]) -> Result<(), StreamError> {
        self.check(plain.len(), out.len())?;
        let mut rest = out;
        for (chunk, piece, ends) in self.pieces(plain) {
            let (sealed, after) = rest.split_at_mut(piece.len() + TAG_LEN);
            self.cipher.seal_to(chunk, ends, piece, sealed);
            rest = after;
        }
        Ok(())
    }

    pub(super) fn check(&self, plain_len: usize, out_len: usize) -> Result<(), StreamError> {
        if plain_len == self.plain_len && out_len == self.sealed_len() {
            Ok(())
        } else {
            Err(StreamError::ChunkLength { length: plain_len })
        }
    }

    /// Each chunk's number and plaintext, and whether it ends the stream. An empty last chunk is a piece too.
    fn pieces<'a>(&self, plain: &'a [u8]) -> impl Iterator<Item = (u64, &'a [u8], bool)> + use<'a> {
        let (first, chunks, last, size) =
            (self.first, self.chunks, self.last, self.cipher.chunk_size().bytes());
        (first..).zip(0..chunks).map(move |(number, index)| {
            let end = plain.len().min((index + 1) * size);
            (number, &plain[index * size..end], last && index + 1 == chunks)
        })
    }
}

impl fmt::Debug for SealRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealRun")
            .field("first", &self.first)
            .field("chunks", &self.chunks)
            .finish_non_exhaustive()
    }
}
