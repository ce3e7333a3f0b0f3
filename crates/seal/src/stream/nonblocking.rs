//! Faces that do not block: they work one chunk at a time between two reads of what they wrap.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::pump::{Opening, Pump, Step};
use super::{Sealer, StreamSpec};
use crate::{Context, ObjectKey, Random};

/// Reads plaintext from another reader and gives it sealed.
pub struct AsyncSealReader<R> {
    inner: R,
    pump: Pump<Sealer>,
}

impl<R> AsyncSealReader<R> {
    /// A reader of the sealed stream of what `inner` gives.
    pub fn new(key: &ObjectKey, context: &Context, spec: StreamSpec, random: &dyn Random, inner: R) -> Self {
        let (sealer, header) = Sealer::new(key, context, spec, random);
        Self { inner, pump: Pump::new(sealer, &header) }
    }
}

/// Reads a sealed stream from another reader and gives its plaintext; see [`super::OpenReader`].
pub struct AsyncOpenReader<R> {
    inner: R,
    pump: Pump<Opening>,
}

impl<R> AsyncOpenReader<R> {
    /// A reader of what is sealed in `inner`. The header is read with the first byte asked for.
    pub fn new(key: &ObjectKey, context: &Context, inner: R) -> Self {
        Self { inner, pump: Pump::new(Opening::new(key, context), &[]) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for AsyncSealReader<R> {
    fn poll_read(self: Pin<&mut Self>, task: &mut Task<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        poll(&mut this.pump, Pin::new(&mut this.inner), task, out)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for AsyncOpenReader<R> {
    fn poll_read(self: Pin<&mut Self>, task: &mut Task<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        poll(&mut this.pump, Pin::new(&mut this.inner), task, out)
    }
}

/// When it is dropped while pending nothing is lost: what was read stays in the pump.
fn poll<S: Step, R: AsyncRead>(
    pump: &mut Pump<S>,
    mut inner: Pin<&mut R>,
    task: &mut Task<'_>,
    out: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    while pump.ready().is_empty() {
        let space = pump.space()?;
        if space.is_empty() {
            break;
        }
        let mut space = ReadBuf::new(space);
        match ready!(inner.as_mut().poll_read(task, &mut space)) {
            Ok(()) => {
                let count = space.filled().len();
                pump.accept(count)?;
            }
            Err(error) => {
                pump.failed(&error);
                return Poll::Ready(Err(error));
            }
        }
    }
    let count = pump.ready().len().min(out.remaining());
    out.put_slice(&pump.ready()[..count]);
    pump.take(count);
    Poll::Ready(Ok(()))
}

impl<R> fmt::Debug for AsyncSealReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncSealReader(..)")
    }
}

impl<R> fmt::Debug for AsyncOpenReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncOpenReader(..)")
    }
}
