//! A connection that is closed so that its last answer arrives.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long the client may send nothing before it is taken to have read the answer, or never to read it.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long the whole takes at most.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// How many bytes are read and forgotten at most.
const BYTES_MAX: usize = 64 << 20;

/// Asks for the connection to linger when it is closed: its client is still sending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Linger(Arc<AtomicBool>);

impl Linger {
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Closes its own side first and reads what the client still sends, within limits, if that was asked for. Closing
/// with unread bytes would reset the connection, and a reset overtakes the answer (RFC 9112, section 9.6).
pub(super) struct Lingering<S> {
    stream: S,
    linger: Linger,
    closed: Option<Closed>,
}

struct Closed {
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S, linger: Linger) -> Self {
        Self { stream, linger, closed: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closed.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        if !this.linger.0.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let closed = this.closed.get_or_insert_with(|| Closed {
            deadline: Instant::now() + LINGER_MAX,
            timer: Box::pin(sleep(PAUSE_MAX)),
            left: BYTES_MAX,
        });
        let mut bytes = [0; 16 << 10];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && closed.left > 0 => {
                    closed.left = closed.left.saturating_sub(buf.filled().len());
                    let pause = Instant::now() + PAUSE_MAX;
                    closed.timer.as_mut().reset(pause.min(closed.deadline));
                }
                // The client closed too, or broke off, or sends more than anybody reads.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return closed.timer.as_mut().poll(cx).map(Ok),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_a_client_that_still_sends_and_not_for_a_silent_one() {
        let (near, mut far) = duplex(8);
        let linger = Linger::default();
        linger.ask();
        let mut lingering = Lingering::new(near, linger);
        let client = tokio::spawn(async move {
            far.write_all(&[0; 100_000]).await.unwrap();
            let mut end = Vec::new();
            far.read_to_end(&mut end).await.unwrap();
            far
        });
        let started = Instant::now();
        lingering.shutdown().await.unwrap();
        let _silent = client.await.unwrap();
        assert_eq!(started.elapsed(), PAUSE_MAX);
    }

    #[tokio::test]
    async fn closing_is_immediate_unless_lingering_was_asked_for() {
        let (near, _far) = duplex(8);
        Lingering::new(near, Linger::default()).shutdown().await.unwrap();
    }
}
