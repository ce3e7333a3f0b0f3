//! What an answer leaves unread of its request, and what that means for the connection.
//!
//! A client that is still sending when the server closes may lose the answer: bytes that nobody reads make the
//! kernel reset the connection. So a short rest is read, and what is longer ends the connection in order: the answer
//! says so, and the listener reads on for a while after it has closed its own side (RFC 9112, section 9.6).
//!
//! A client that waits for `100 Continue` and gets a final answer instead (RFC 9110, section 10.1.1) is told to
//! close as well. Otherwise it could not know whether the server still expects the body; and some clients keep the
//! status line they read early for the next answer on that connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

/// Longest rest that is read for the sake of the connection.
const REST_BYTES_MAX: usize = 256 << 10;
/// Longest wait for it: it is on its way if it comes at all.
const REST_WAIT: Duration = Duration::from_millis(200);

/// The body of one request, in the hands of the operation and of the service at once.
pub(crate) struct Shared<B>(Arc<Mutex<State<B>>>);

struct State<B> {
    body: B,
    asked_for: bool,
    ended: bool,
}

impl<B> Clone for Shared<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> Shared<B> {
    pub(crate) fn new(body: B) -> Self {
        Self(Arc::new(Mutex::new(State { body, asked_for: false, ended: false })))
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Shared<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut state = self.state();
        state.asked_for = true;
        let frame = Pin::new(&mut state.body).poll_frame(cx);
        state.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        let state = self.state();
        state.ended || state.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().body.size_hint()
    }
}

/// What may be left of a request when its answer is known.
pub(crate) struct Unread<B> {
    body: Shared<B>,
    /// HTTP/2 ends a stream without its connection.
    one_at_a_time: bool,
    waits_for_continue: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Unread<B> {
    /// Takes note of a request and shares its body.
    pub(crate) fn of(request: Request<B>) -> (Request<Shared<B>>, Self) {
        let request = request.map(Shared::new);
        let expects = request.headers().get(EXPECT);
        let unread = Self {
            body: request.body().clone(),
            one_at_a_time: request.version() <= Version::HTTP_11,
            waits_for_continue: expects
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        };
        (request, unread)
    }

    /// Whether the connection ends with this answer. The operation is over.
    pub(crate) async fn ends_connection(mut self) -> bool {
        if !self.one_at_a_time {
            return false;
        }
        if self.waits_for_continue && !self.body.state().asked_for {
            return true;
        }
        let rest = async {
            let mut left = REST_BYTES_MAX;
            while !self.body.is_end_stream() {
                match self.body.frame().await {
                    None => break,
                    Some(Err(_)) => return false,
                    Some(Ok(frame)) => match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                        Some(less) => left = less,
                        None => return false,
                    },
                }
            }
            true
        };
        !timeout(REST_WAIT, rest).await.unwrap_or(false)
    }
}

/// Says in an answer that it is the last one on its connection.
pub(crate) fn announce_end(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{Empty, Full, StreamBody};

    use super::*;

    fn request<B>(body: B, expect: bool) -> Request<B> {
        let mut request = Request::new(body);
        if expect {
            request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        request
    }

    async fn ends<B: Body<Data = Bytes> + Unpin>(body: B, expect: bool) -> bool {
        Unread::of(request(body, expect)).1.ends_connection().await
    }

    #[tokio::test(start_paused = true)]
    async fn connection_ends_if_much_is_unread_or_no_continue_was_sent() {
        let small = || Full::new(Bytes::from_static(b"x"));
        assert!(!ends(small(), false).await);
        assert!(!ends(Empty::new(), false).await);
        assert!(ends(small(), true).await);
        assert!(ends(Empty::new(), true).await);
        assert!(ends(Full::new(Bytes::from(vec![0; REST_BYTES_MAX + 1])), false).await);
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert!(ends(silent, false).await);
    }

    #[tokio::test]
    async fn body_that_was_read_keeps_the_connection_even_after_continue() {
        let (request, unread) = Unread::of(request(Full::new(Bytes::from_static(b"abc")), true));
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "abc");
        assert!(!unread.ends_connection().await);
    }
}
