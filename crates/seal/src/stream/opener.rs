//! Opening: any chunk of a stream of known length, or one after the other.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::cipher::Cipher;
use super::header::Header;
use super::layout::{Layout, plain_len_max};
use super::{Cover, Last, StreamError};
use crate::{Context, ObjectKey, TAG_LEN};

/// Opens chunks of one stream in any order. Cheap to clone, and usable from several threads.
///
/// The length of the plaintext comes from whoever refers to the stream. It fixes which chunk is the last, so a
/// stream that was cut or extended does not open.
#[derive(Clone)]
pub struct Opener {
    cipher: Arc<Cipher>,
    layout: Layout,
}

impl Opener {
    /// Verifies `header` (the stream's first bytes; more may follow) and opens chunks of `plain_len` bytes.
    ///
    /// # Errors
    /// [`StreamError::Header`] if the header is not one, or not for this key and context;
    /// [`StreamError::TooLong`] if no stream holds `plain_len` bytes.
    pub fn new(
        key: &ObjectKey,
        context: &Context,
        header: &[u8],
        plain_len: u64,
    ) -> Result<Self, StreamError> {
        Header::parse(header)?.unlock(key, context)?.with_plain_len(plain_len)
    }

    pub(super) fn over(layout: Layout, cipher: Arc<Cipher>) -> Self {
        Self { cipher, layout }
    }

    /// How much plaintext a chunk holds, in bytes.
    pub fn chunk_size(&self) -> usize {
        self.cipher.chunk_size().bytes()
    }

    /// How many chunks the stream has: at least one.
    pub fn chunk_count(&self) -> u64 {
        self.layout.chunk_count()
    }

    /// How much plaintext the stream holds, in bytes.
    pub fn plain_len(&self) -> u64 {
        self.layout.plain_len()
    }

    /// How long the sealed stream is, in bytes, header included. One who reads ranges compares it with the length
    /// of the file: bytes after the last chunk would go unnoticed otherwise.
    pub fn sealed_len(&self) -> u64 {
        self.layout.sealed_len()
    }

    /// What to read and open to have `plain`, which is cut to the stream's end.
    ///
    /// An empty range is covered by one chunk, so that even nothing is read from a stream that opens.
    pub fn cover(&self, plain: Range<u64>) -> Cover {
        self.layout.cover(plain)
    }

    /// Opens consecutive sealed chunks in place, from number `first_chunk`, moves their plaintext to the front
    /// of `sealed`, and returns how long it is.
    ///
    /// # Errors
    /// [`StreamError::Run`] if `sealed` is not one or more whole chunks of the stream;
    /// [`StreamError::Unsealable`] for the first chunk that does not open. `sealed` must not be used then; the
    /// chunk that did not open is wiped.
    pub fn open_run(&self, first_chunk: u64, sealed: &mut [u8]) -> Result<usize, StreamError> {
        let chunks = self.chunks_in(first_chunk, sealed.len())?;
        let stride = self.cipher.chunk_size().sealed_bytes();
        let mut opened = 0;
        for (number, at) in (first_chunk..first_chunk + chunks).zip((0..).step_by(stride)) {
            let end = sealed.len().min(at + stride);
            self.cipher
                .open(number, self.is_last(number), &mut sealed[at..end])
                .map_err(|_| StreamError::Unsealable { chunk: number })?;
            sealed.copy_within(at..end - TAG_LEN, opened);
            opened += end - at - TAG_LEN;
        }
        Ok(opened)
    }

    /// Opens consecutive sealed chunks, from number `first_chunk`, into the front of `out`, and returns how long
    /// the plaintext is: a tag shorter than `sealed` for each chunk. Spares the copying of [`Self::open_run`].
    ///
    /// # Errors
    /// As [`Self::open_run`], also with [`StreamError::Run`] if `out` is too short. What `out` holds must not be
    /// used then; the place of the chunk that did not open is wiped.
    pub fn open_to(&self, first_chunk: u64, sealed: &[u8], out: &mut [u8]) -> Result<usize, StreamError> {
        self.run(first_chunk, sealed.len())?.open_to(sealed, out)
    }

    /// The run of `sealed_len` bytes from number `first_chunk`, to be opened on whatever thread.
    ///
    /// # Errors
    /// [`StreamError::Run`] if that is not one or more whole chunks of the stream.
    pub fn run(&self, first_chunk: u64, sealed_len: usize) -> Result<OpenRun, StreamError> {
        let chunks = self.chunks_in(first_chunk, sealed_len)?;
        Ok(OpenRun {
            cipher: Arc::clone(&self.cipher),
            first: first_chunk,
            chunks: usize::try_from(chunks).expect("no more chunks than bytes in memory"),
            sealed_len,
            ends: self.is_last(first_chunk + chunks - 1),
            in_order: false,
        })
    }

    fn chunks_in(&self, first_chunk: u64, length: usize) -> Result<u64, StreamError> {
        self.layout.chunks_in(first_chunk, length).ok_or(StreamError::Run { first_chunk, length })
    }

    fn is_last(&self, chunk: u64) -> bool {
        chunk + 1 == self.chunk_count()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// Opens the chunks of a stream one after the other. The caller says where the stream ends, and is told if that
/// is not where its writer ended it.
pub struct InOrder {
    cipher: Arc<Cipher>,
    next: u64,
    finished: bool,
}

impl InOrder {
    pub(super) fn over(cipher: Arc<Cipher>) -> Self {
        Self { cipher, next: 0, finished: false }
    }

    /// How much plaintext a chunk holds, in bytes.
    pub fn chunk_size(&self) -> usize {
        self.cipher.chunk_size().bytes()
    }

    /// Takes the next `sealed_len` bytes of the stream: whole chunks, and with [`Last::Yes`] all that is left of
    /// it.
    ///
    /// # Errors
    /// [`StreamError::Truncated`] if that many bytes cannot end a stream here, [`StreamError::Run`] if they are
    /// not whole chunks, [`StreamError::Finished`] and [`StreamError::TooLong`].
    pub fn next_run(&mut self, sealed_len: usize, last: Last) -> Result<OpenRun, StreamError> {
        if self.finished {
            return Err(StreamError::Finished);
        }
        let stride = self.cipher.chunk_size().sealed_bytes();
        let (full, rest) = (sealed_len / stride, sealed_len % stride);
        let ends = last == Last::Yes;
        if !ends && rest != 0 {
            return Err(StreamError::Run { first_chunk: self.next, length: sealed_len });
        }
        let nothing_before = self.next == 0 && full == 0;
        // Only the stream that holds nothing ends in an empty chunk, and every stream has at least one.
        let complete = match rest {
            0 => !nothing_before && full > 0 || !ends,
            TAG_LEN => nothing_before,
            _ => rest > TAG_LEN,
        };
        if !complete {
            return Err(StreamError::Truncated { chunk: self.next + full as u64 });
        }
        let chunks = full + usize::from(rest != 0);
        let end = self.next.saturating_add(chunks as u64);
        let plain_len_max = plain_len_max(self.cipher.chunk_size());
        if end > plain_len_max >> self.cipher.chunk_size().log2() {
            return Err(StreamError::TooLong { plain_len_max });
        }
        let first = std::mem::replace(&mut self.next, end);
        self.finished = ends;
        Ok(OpenRun { cipher: Arc::clone(&self.cipher), first, chunks, sealed_len, ends, in_order: true })
    }
}

impl fmt::Debug for InOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InOrder")
            .field("next", &self.next)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

/// Consecutive sealed chunks at a known place of a stream.
pub struct OpenRun {
    pub(super) cipher: Arc<Cipher>,
    pub(super) first: u64,
    pub(super) chunks: usize,
    pub(super) sealed_len: usize,
    pub(super) ends: bool,
    pub(super) in_order: bool,
}

impl OpenRun {
    /// How many bytes the run holds once opened.
    pub fn plain_len(&self) -> usize {
        self.sealed_len - self.chunks * TAG_LEN
    }

    /// Opens `sealed`, as long as was asked for, into the front of `out` and returns [`Self::plain_len`].
    ///
    /// # Errors
    /// [`StreamError::Run`] if `sealed` has another length or `out` is too short; [`StreamError::Unsealable`] for
    /// the first chunk that does not open, or, from [`InOrder`], [`StreamError::Truncated`] and
    /// [`StreamError::Trailing`] where that is what is wrong with it. What `out` holds must not be used then; the
    /// place of the chunk that did not open is wiped.
    pub fn open_to(self, sealed: &[u8], out: &mut [u8]) -> Result<usize, StreamError> {
        let opened = self.plain_len();
        self.check(sealed.len(), out.len())?;
        let mut rest = out;
        for (index, piece) in sealed.chunks(self.cipher.chunk_size().sealed_bytes()).enumerate() {
            let (place, after) = rest.split_at_mut(piece.len() - TAG_LEN);
            let number = self.first + index as u64;
            let last = self.ends && index + 1 == self.chunks;
            self.cipher
                .open_to(number, last, piece, place)
                .map_err(|_| self.fault(number, last, piece, place))?;
            rest = after;
        }
        Ok(opened)
    }

    pub(super) fn check(&self, sealed_len: usize, out_len: usize) -> Result<(), StreamError> {
        if sealed_len == self.sealed_len && out_len >= self.plain_len() {
            Ok(())
        } else {
            Err(StreamError::Run { first_chunk: self.first, length: sealed_len })
        }
    }

    /// Names a stream that ends too early or too late: its chunk opens, but with the other flag.
    fn fault(&self, chunk: u64, last: bool, sealed: &[u8], place: &mut [u8]) -> StreamError {
        let otherwise = self.in_order && self.cipher.open_to(chunk, !last, sealed, place).is_ok();
        place.fill(0);
        match (otherwise, last) {
            (true, true) => StreamError::Truncated { chunk: chunk + 1 },
            (true, false) => StreamError::Trailing { chunk },
            (false, _) => StreamError::Unsealable { chunk },
        }
    }
}

impl fmt::Debug for OpenRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRun")
            .field("first", &self.first)
            .field("chunks", &self.chunks)
            .finish_non_exhaustive()
    }
}
