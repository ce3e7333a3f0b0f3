//! A request's body on its way in: counted, watched, and given up if the client stalls.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::chunks::ChunkWatch;
pub(crate) use super::chunks::Chunking;
use crate::request::RequestState;

/// Why a body could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// The client sent nothing for too long.
    #[error("the client sent nothing for too long")]
    Stalled,
    /// The connection broke.
    #[error("the connection broke")]
    Disconnected,
    /// The framing of an `aws-chunked` body is wrong.
    #[error("the framing of the chunks is wrong")]
    Framing,
    /// A signed chunk is longer than allowed.
    #[error("a signed chunk is too long")]
    ChunkTooLong,
    /// The body ended before its last chunk.
    #[error("the body ended before its last chunk")]
    Incomplete,
    /// A form is not framed as it says, or ends before its file does.
    #[error("the form is not well-formed")]
    Form,
    /// The file of a form is longer than its policy allows.
    #[error("the file of the form is longer than {most} bytes")]
    FormFileTooLarge {
        /// Bytes that are allowed.
        most: u64,
    },
    /// The file of a form is shorter than its policy allows.
    #[error("the file of the form has {size} bytes and not {least}")]
    FormFileTooSmall {
        /// Its bytes.
        size: u64,
        /// Bytes that are needed.
        least: u64,
    },
}

/// The body of one request.
pub(crate) struct RequestBody<B> {
    inner: B,
    state: RequestState,
    idle: Duration,
    /// Made at the first pause: most small bodies come together with their head.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    chunks: Option<ChunkWatch>,
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl<B> RequestBody<B> {
    pub(crate) fn new(inner: B, state: RequestState, idle: Duration, chunking: Option<Chunking>) -> Self {
        let chunks = chunking.map(ChunkWatch::new);
        Self { inner, state, idle, timer: None, waiting: false, chunks, ready: VecDeque::new(), ended: false }
    }

    /// Nothing more comes. What went wrong is noted: the library keeps it to itself if the body is a document.
    fn failed(&mut self, fault: BodyFault) -> BodyFault {
        self.ended = true;
        self.state.set_body_fault(fault);
        fault
    }

    /// The client sent nothing: whether that lasts too long already.
    fn stalled(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = Instant::now() + self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        loop {
            if let Some(bytes) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending if this.stalled(cx) => {
                    return Poll::Ready(Some(Err(this.failed(BodyFault::Stalled))));
                }
                Poll::Pending => return Poll::Pending,
            };
            this.waiting = false;
            match frame {
                Some(Ok(frame)) => {
                    // HTTP trailers are not S3's: those of `aws-chunked` are inside the data.
                    let Ok(bytes) = frame.into_data() else { continue };
                    this.state.add_received(&bytes);
                    match &mut this.chunks {
                        None => {
                            this.state.add_content(&bytes);
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                        Some(chunks) => {
                            let content = |piece: &Bytes| this.state.add_content(piece);
                            if let Err(fault) = chunks.feed(bytes, &mut this.ready, content) {
                                this.ready.clear();
                                return Poll::Ready(Some(Err(this.failed(fault))));
                            }
                        }
                    }
                }
                Some(Err(_)) => {
                    return Poll::Ready(Some(Err(this.failed(BodyFault::Disconnected))));
                }
                None => {
                    this.ended = true;
                    if let Some(Err(fault)) = this.chunks.as_ref().map(ChunkWatch::finish) {
                        return Poll::Ready(Some(Err(this.failed(fault))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && (self.ended || (self.chunks.is_none() && self.inner.is_end_stream()))
    }

    fn size_hint(&self) -> SizeHint {
        match self.chunks {
            None => self.inner.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{BodyExt, Full, StreamBody};
    use strongroom_telemetry::RequestId;

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn state() -> RequestState {
        RequestState::new(RequestId::from_random([0; 16]), false, None)
    }

    #[tokio::test]
    async fn bytes_pass_and_are_counted() {
        let state = state();
        let body = RequestBody::new(Full::new(Bytes::from_static(b"abc")), state.clone(), IDLE, None);
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(state.received(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_stalls_is_given_up_and_one_that_is_merely_slow_is_not() {
        let slow = stream::unfold(0, |sent| async move {
            if sent == 3 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(29)).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), sent + 1))
        });
        let started = Instant::now();
        let mut body = RequestBody::new(StreamBody::new(Box::pin(slow)), state(), IDLE, None);
        for _ in 0..3 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert_eq!(body.frame().await.unwrap().unwrap_err(), BodyFault::Stalled);
        assert_eq!(started.elapsed().as_secs(), 3 * 29 + 30);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn document_in_chunks_is_kept_without_its_framing() {
        for chunking in [Chunking::Unsigned, Chunking::Signed { chunk_bytes_max: 4 }] {
            let state = state();
            state.keep_document(5);
            let wire = b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
            let pieces = stream::iter(
                wire.chunks(2).map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece)))),
            );
            let body = RequestBody::new(StreamBody::new(pieces), state.clone(), IDLE, Some(chunking));
            body.collect().await.unwrap();
            assert_eq!(state.take_document().unwrap().concat(), b"abcde", "{chunking:?}");
            assert_eq!(state.received(), wire.len() as u64);
        }
    }

    #[tokio::test]
    async fn chunked_body_without_its_end_is_incomplete() {
        let wire = Full::new(Bytes::from_static(b"3\r\nabc\r\n"));
        let body = RequestBody::new(wire, state(), IDLE, Some(Chunking::Unsigned));
        assert_eq!(body.collect().await.unwrap_err(), BodyFault::Incomplete);
    }
}
