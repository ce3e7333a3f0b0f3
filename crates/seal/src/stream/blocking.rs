//! Faces that block.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use super::pump::{Opening, Pump, Step};
use super::{Last, Sealer, StreamError, StreamSpec};
use crate::{Context, ObjectKey, Random};

/// How much is sealed before it is written on, when the caller hands in that much at once.
const BATCH: usize = 256 * 1024;

/// Seals what is written to it and writes it on.
///
/// [`Self::finish`] seals the last chunk. Without it the stream stays unfinished, and no reader takes it for whole.
pub struct SealWriter<W: Write> {
    inner: W,
    sealer: Sealer,
    /// At most one chunk: it is sealed when more follows, as only then it is known not to be the last.
    held: Vec<u8>,
    sealed: Vec<u8>,
    broken: bool,
}

impl<W: Write> SealWriter<W> {
    /// Writes a header to `inner` and seals what follows.
    ///
    /// # Errors
    /// [`StreamError::Io`].
    pub fn new(
        key: &ObjectKey,
        context: &Context,
        spec: StreamSpec,
        random: &dyn Random,
        mut inner: W,
    ) -> Result<Self, StreamError> {
        let (sealer, header) = Sealer::new(key, context, spec, random);
        inner.write_all(&header)?;
        Ok(Self { inner, sealer, held: Vec::new(), sealed: Vec::new(), broken: false })
    }

    /// Seals the last chunk, flushes, and gives back what was written to.
    ///
    /// # Errors
    /// [`StreamError::Io`], and [`StreamError::Broken`] if a write failed before.
    pub fn finish(mut self) -> Result<W, StreamError> {
        self.seal_held(Last::Yes)?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn seal_held(&mut self, last: Last) -> Result<(), StreamError> {
        let held = std::mem::take(&mut self.held);
        let done = self.seal(&held, last);
        self.held = held;
        self.held.clear();
        done
    }

    /// A chunk that was sealed but not written leaves a hole, so nothing can follow it.
    fn seal(&mut self, plain: &[u8], last: Last) -> Result<(), StreamError> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(StreamError::Broken);
        }
        let length = self.sealer.step(plain, last, &mut self.sealed)?;
        self.inner.write_all(&self.sealed[..length])?;
        self.broken = false;
        Ok(())
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        let chunk = self.sealer.chunk_size();
        if plain.is_empty() {
            return Ok(0);
        }
        if self.held.len() == chunk {
            self.seal_held(Last::No)?;
        }
        if self.held.is_empty() && plain.len() > chunk {
            // Whole chunks straight from the caller's bytes, but not the very last one: it may end the stream.
            let most = BATCH.max(chunk);
            let whole = (plain.len() - 1).min(most) / chunk * chunk;
            self.seal(&plain[..whole], Last::No)?;
            return Ok(whole);
        }
        let taken = plain.len().min(chunk - self.held.len());
        self.held.extend_from_slice(&plain[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads plaintext from another reader and gives it sealed.
pub struct SealReader<R> {
    inner: R,
    pump: Pump<Sealer>,
}

impl<R> SealReader<R> {
    /// A reader of the sealed stream of what `inner` gives.
    pub fn new(key: &ObjectKey, context: &Context, spec: StreamSpec, random: &dyn Random, inner: R) -> Self {
        let (sealer, header) = Sealer::new(key, context, spec, random);
        Self { inner, pump: Pump::new(sealer, &header) }
    }
}

/// Reads a sealed stream from another reader and gives its plaintext, chunk after chunk as they prove genuine.
///
/// What was read is the whole content only once a read has returned 0. A fault, be it truncation, comes as an
/// [`io::Error`] around a [`StreamError`] ([`StreamError::from_io`]), and every later read fails too.
pub struct OpenReader<R> {
    inner: R,
    pump: Pump<Opening>,
}

impl<R> OpenReader<R> {
    /// A reader of what is sealed in `inner`. The header is read with the first byte asked for.
    pub fn new(key: &ObjectKey, context: &Context, inner: R) -> Self {
        Self { inner, pump: Pump::new(Opening::new(key, context), &[]) }
    }
}

impl<R: Read> Read for SealReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill_buf()?;
        Ok(copy_out(&mut self.pump, out))
    }
}

impl<R: Read> BufRead for SealReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        fill(&mut self.pump, &mut self.inner)
    }

    fn consume(&mut self, count: usize) {
        self.pump.take(count);
    }
}

impl<R: Read> Read for OpenReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill_buf()?;
        Ok(copy_out(&mut self.pump, out))
    }
}

impl<R: Read> BufRead for OpenReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        fill(&mut self.pump, &mut self.inner)
    }

    fn consume(&mut self, count: usize) {
        self.pump.take(count);
    }
}

fn fill<'a, S: Step>(pump: &'a mut Pump<S>, inner: &mut impl Read) -> io::Result<&'a [u8]> {
    while pump.ready().is_empty() {
        let space = pump.space()?;
        if space.is_empty() {
            break;
        }
        match inner.read(space) {
            Ok(count) => pump.accept(count)?,
            Err(error) => {
                pump.failed(&error);
                return Err(error);
            }
        }
    }
    Ok(pump.ready())
}

fn copy_out<S: Step>(pump: &mut Pump<S>, out: &mut [u8]) -> usize {
    let count = pump.ready().len().min(out.len());
    out[..count].copy_from_slice(&pump.ready()[..count]);
    pump.take(count);
    count
}

impl<W: Write> fmt::Debug for SealWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealWriter").field("sealer", &self.sealer).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for SealReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealReader(..)")
    }
}

impl<R> fmt::Debug for OpenReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenReader(..)")
    }
}
