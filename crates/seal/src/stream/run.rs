//! What sealing and opening runs of chunks have in common, for those who spread them over threads.

use super::{InOrder, Last, OpenRun, SealRun, Sealer, StreamError};
use crate::TAG_LEN;

/// Consecutive chunks, to be worked on once.
pub(super) trait Run: Sized + Send {
    fn chunks(&self) -> usize;
    /// How long `chunks` whole chunks are before and after.
    fn lengths(&self, chunks: usize) -> (usize, usize);
    fn output_len(&self) -> usize;
    fn check(&self, input_len: usize, output_len: usize) -> Result<(), StreamError>;
    fn split_at(self, chunks: usize) -> (Self, Self);
    fn work(self, input: &[u8], output: &mut [u8]) -> Result<(), StreamError>;
}

/// What hands out runs, in order.
pub(super) trait Runs: Send {
    type Run: Run;
    /// How long a whole chunk is before it is worked on.
    fn chunk_len(&self) -> usize;
    fn next(&mut self, input_len: usize, last: Last) -> Result<Self::Run, StreamError>;
}

impl Runs for Sealer {
    type Run = SealRun;

    fn chunk_len(&self) -> usize {
        self.chunk_size()
    }

    fn next(&mut self, input_len: usize, last: Last) -> Result<SealRun, StreamError> {
        self.reserve(input_len, last)
    }
}

impl Runs for InOrder {
    type Run = OpenRun;

    fn chunk_len(&self) -> usize {
        self.chunk_size() + TAG_LEN
    }

    fn next(&mut self, input_len: usize, last: Last) -> Result<OpenRun, StreamError> {
        self.next_run(input_len, last)
    }
}

impl Run for SealRun {
    fn chunks(&self) -> usize {
        self.chunks
    }

    fn lengths(&self, chunks: usize) -> (usize, usize) {
        let size = self.cipher.chunk_size();
        (chunks * size.bytes(), chunks * size.sealed_bytes())
    }

    fn output_len(&self) -> usize {
        self.sealed_len()
    }

    fn check(&self, input_len: usize, output_len: usize) -> Result<(), StreamError> {
        self.check(input_len, output_len)
    }

    fn split_at(self, chunks: usize) -> (Self, Self) {
        let (before, _) = self.lengths(chunks);
        let cipher = self.cipher.clone();
        let head = Self { cipher, first: self.first, chunks, plain_len: before, last: false };
        let first = self.first + chunks as u64;
        let tail = Self { first, chunks: self.chunks - chunks, plain_len: self.plain_len - before, ..self };
        (head, tail)
    }

    fn work(self, input: &[u8], output: &mut [u8]) -> Result<(), StreamError> {
        self.seal_to(input, output)
    }
}

impl Run for OpenRun {
    fn chunks(&self) -> usize {
        self.chunks
    }

    fn lengths(&self, chunks: usize) -> (usize, usize) {
        let size = self.cipher.chunk_size();
        (chunks * size.sealed_bytes(), chunks * size.bytes())
    }

    fn output_len(&self) -> usize {
        self.plain_len()
    }

    fn check(&self, input_len: usize, output_len: usize) -> Result<(), StreamError> {
        self.check(input_len, output_len)
    }

    fn split_at(self, chunks: usize) -> (Self, Self) {
        let (before, _) = self.lengths(chunks);
        let cipher = self.cipher.clone();
        let (first, in_order) = (self.first, self.in_order);
        let head = Self { cipher, first, chunks, sealed_len: before, ends: false, in_order };
        let first = first + chunks as u64;
        let tail = Self { first, chunks: self.chunks - chunks, sealed_len: self.sealed_len - before, ..self };
        (head, tail)
    }

    fn work(self, input: &[u8], output: &mut [u8]) -> Result<(), StreamError> {
        self.open_to(input, output).map(drop)
    }
}
