//! Where chunks lie: pure arithmetic (`docs/spec/sealed-stream.md` §2 and §5).

use std::ops::Range;

use super::{HEADER_LEN, StreamError};
use crate::TAG_LEN;

const TAG: u64 = TAG_LEN as u64;
const HEADER: u64 = HEADER_LEN as u64;

/// Most chunks in one stream.
const CHUNKS_MAX: u64 = 1 << 32;
/// Most plaintext in one stream: keeps what one key seals far from the cipher's birthday bound.
const PLAIN_MAX: u64 = 1 << 48;

/// How many bytes of plaintext a chunk holds: a power of two from 4 KiB to 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkSize(u8);

impl ChunkSize {
    /// 4 KiB.
    pub const MIN: Self = Self(12);
    /// 16 MiB.
    pub const MAX: Self = Self(24);

    /// The chunk size of this many bytes, if there is one.
    pub fn new(bytes: usize) -> Option<Self> {
        if bytes.is_power_of_two() {
            u8::try_from(bytes.ilog2()).ok().and_then(Self::from_log2)
        } else {
            None
        }
    }

    /// The chunk size of two to the power of `log2` bytes, if there is one.
    pub fn from_log2(log2: u8) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&log2).then_some(Self(log2))
    }

    /// The binary logarithm, which is what the header holds.
    pub fn log2(self) -> u8 {
        self.0
    }

    /// In bytes.
    pub fn bytes(self) -> usize {
        1 << self.0
    }

    /// A sealed chunk with its tag, in bytes.
    pub fn sealed_bytes(self) -> usize {
        self.bytes() + TAG_LEN
    }

    fn plain(self) -> u64 {
        1 << self.0
    }

    fn stride(self) -> u64 {
        self.plain() + TAG
    }
}

impl Default for ChunkSize {
    /// 64 KiB: small enough for range reads, large enough that tags cost 0.02 %.
    fn default() -> Self {
        Self(16)
    }
}

/// The most plaintext one stream may hold, in bytes: 2^32 chunks, and never more than 2^48 bytes.
pub fn plain_len_max(chunk: ChunkSize) -> u64 {
    (CHUNKS_MAX << chunk.0).min(PLAIN_MAX)
}

/// How long the sealed stream of `plain_len` bytes is, header included. Meaningful up to [`plain_len_max`];
/// saturates beyond.
pub fn sealed_len(plain_len: u64, chunk: ChunkSize) -> u64 {
    chunk_count(plain_len, chunk).saturating_mul(TAG).saturating_add(plain_len).saturating_add(HEADER)
}

/// How much plaintext a sealed stream of `sealed_len` bytes holds, header included.
///
/// # Errors
/// [`StreamError::Length`] if no stream is that long.
pub fn plain_len(sealed_len: u64, chunk: ChunkSize) -> Result<u64, StreamError> {
    let impossible = StreamError::Length { sealed_len };
    let Some(body) = sealed_len.checked_sub(HEADER) else { return Err(impossible) };
    let (full, rest) = (body / chunk.stride(), body % chunk.stride());
    let plain = match (full, rest) {
        (1.., 0) => full * chunk.plain(),
        (0, TAG) => 0,
        // Only the stream that holds nothing ends in an empty chunk.
        (_, 0..=TAG) => return Err(impossible),
        _ => full * chunk.plain() + (rest - TAG),
    };
    if plain > plain_len_max(chunk) { Err(impossible) } else { Ok(plain) }
}

/// What to read and open to have a range of plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Which bytes of the sealed stream, counted from its start with the header.
    pub sealed: Range<u64>,
    /// The number of the first chunk in them.
    pub first_chunk: u64,
    /// How many bytes of the opened plaintext come before the range.
    pub skip: usize,
    /// How many bytes the range has, after it was cut to the stream's end.
    pub take: u64,
}

/// The places of all chunks of one stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    chunk: ChunkSize,
    plain_len: u64,
}

impl Layout {
    pub(super) fn new(chunk: ChunkSize, plain_len: u64) -> Result<Self, StreamError> {
        let most = plain_len_max(chunk);
        if plain_len > most {
            Err(StreamError::TooLong { plain_len_max: most })
        } else {
            Ok(Self { chunk, plain_len })
        }
    }

    pub(super) fn plain_len(&self) -> u64 {
        self.plain_len
    }

    pub(super) fn sealed_len(&self) -> u64 {
        sealed_len(self.plain_len, self.chunk)
    }

    /// At least one: a stream that holds nothing has an empty chunk.
    pub(super) fn chunk_count(&self) -> u64 {
        chunk_count(self.plain_len, self.chunk)
    }

    pub(super) fn cover(&self, plain: Range<u64>) -> Cover {
        let start = plain.start.min(self.plain_len);
        let end = plain.end.clamp(start, self.plain_len);
        let last = self.chunk_count() - 1;
        let first_chunk = (start / self.chunk.plain()).min(last);
        let end_chunk = end.saturating_sub(1).max(start).div_euclid(self.chunk.plain()).min(last) + 1;
        let skip = start - first_chunk * self.chunk.plain();
        Cover {
            sealed: self.sealed_at(first_chunk)..self.sealed_at(end_chunk),
            first_chunk,
            skip: usize::try_from(skip).expect("at most one chunk"),
            take: end - start,
        }
    }

    /// How many chunks from `first` are exactly `length` sealed bytes, if any number is.
    pub(super) fn chunks_in(&self, first: u64, length: usize) -> Option<u64> {
        let length = u64::try_from(length).ok()?;
        let end = first.checked_add(length.div_ceil(self.chunk.stride()))?;
        let whole =
            first < end && end <= self.chunk_count() && self.sealed_at(end) - self.sealed_at(first) == length;
        whole.then_some(end - first)
    }

    fn sealed_at(&self, chunk: u64) -> u64 {
        if chunk >= self.chunk_count() { self.sealed_len() } else { HEADER + chunk * self.chunk.stride() }
    }
}

fn chunk_count(plain_len: u64, chunk: ChunkSize) -> u64 {
    plain_len.div_ceil(chunk.plain()).max(1)
}
