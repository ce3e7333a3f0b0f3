//! A connection whose client may be slow, but not for ever.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may send nothing, once the server has closed its side, before it is taken to have its answer.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How many bytes are read and forgotten then, at most.
const REST_BYTES_MAX: usize = 16 << 20;

/// Fails writes that made no progress for a while, and closes so that the last answer arrives.
///
/// A client that is still sending when it is answered, such as one whose upload is refused, would lose the answer: bytes
/// that nobody reads make the kernel reset the connection, and a reset overtakes what was sent (RFC 9112 §9.6). So the
/// server closes its own side first and reads on for a moment.
pub(crate) struct Patient<S> {
    stream: S,
    stall_time: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    closed: Option<Closed>,
}

/// The server's side is closed.
struct Closed {
    pause: Pin<Box<Sleep>>,
    left: usize,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, stall_time: Duration) -> Self {
        Self { stream, stall_time, stalled: None, closed: None }
    }

    fn guard<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.stall_time)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.guard(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.guard(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(cx);
        self.guard(cx, progress)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closed.is_none() {
            let progress = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.guard(cx, progress))?;
        }
        let closed = this
            .closed
            .get_or_insert_with(|| Closed { pause: Box::pin(sleep(PAUSE_MAX)), left: REST_BYTES_MAX });
        let mut bytes = [0; 16 << 10];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && closed.left > 0 => {
                    closed.left = closed.left.saturating_sub(buf.filled().len());
                    closed.pause.as_mut().reset(Instant::now() + PAUSE_MAX);
                }
                // The client closed too, or broke off, or sends more than anybody reads.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return closed.pause.as_mut().poll(cx).map(Ok),
            }
        }
    }
}

impl<S> fmt::Debug for Patient<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").field("stall_time", &self.stall_time).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::*;

    const STALL: Duration = Duration::from_millis(200);
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn write_to_a_client_that_does_not_read_times_out() {
        let (near, _far) = duplex(8);
        let mut near = Patient::new(near, STALL);
        let written = timeout(MINUTE, near.write_all(&[0; 64])).await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn reader_that_pauses_is_served_to_the_end() {
        let (near, mut far) = duplex(8);
        let writer = tokio::spawn(async move { Patient::new(near, MINUTE).write_all(&[0; 64]).await });
        let (mut got, mut bytes) = (0, [0; 4]);
        while got < 64 {
            tokio::task::yield_now().await;
            got += far.read(&mut bytes).await.unwrap();
        }
        writer.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn closing_reads_what_the_client_still_sends_and_ends() {
        let (near, mut far) = duplex(8);
        let closing = tokio::spawn(async move { Patient::new(near, STALL).shutdown().await });
        far.write_all(&[0; 4096]).await.unwrap();
        // The client never closes its side.
        timeout(MINUTE, closing).await.unwrap().unwrap().unwrap();
    }
}
