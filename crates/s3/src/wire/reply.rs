//! An answer's body on its way out, and what is recorded when its last byte is gone.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use metrics::{counter, gauge, histogram};
use s3s::StdError;
use strongroom_telemetry::names;
use tokio::time::Instant;

use super::keep_alive::KeepAlive;
use crate::request::RequestState;

/// The bytes of an answer.
pub(crate) enum Source {
    /// No bytes.
    Empty,
    /// A document.
    Document(Bytes),
    /// What the library made.
    Library(s3s::Body),
    /// White space, then a document.
    KeepAlive(Box<KeepAlive>),
}

/// The body of one answer.
pub(crate) struct ReplyBody {
    source: Source,
    record: Record,
}

/// What is known of a request once it is answered.
pub(crate) struct Record {
    pub(crate) state: RequestState,
    pub(crate) method: Method,
    pub(crate) started: Instant,
    pub(crate) status: StatusCode,
    pub(crate) sent: u64,
    pub(crate) failed: bool,
    pub(crate) _open: Open,
}

/// Counts the requests being served while it lives.
#[derive(Debug)]
pub(crate) struct Open(());

impl Open {
    pub(crate) fn new() -> Self {
        gauge!(names::S3_REQUESTS_OPEN).increment(1);
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(names::S3_REQUESTS_OPEN).decrement(1);
    }
}

impl ReplyBody {
    pub(crate) fn new(source: Source, record: Record) -> Self {
        Self { source, record }
    }

    /// The status that goes with it.
    pub(crate) fn status(&self) -> StatusCode {
        self.record.status
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Empty => Poll::Ready(None),
            Source::Document(bytes) => {
                let bytes = std::mem::take(bytes);
                this.source = Source::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Library(body) => Pin::new(body).poll_frame(cx),
            Source::KeepAlive(body) => {
                body.poll_piece(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
            }
        };
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                this.record.sent += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
            }
            Poll::Ready(Some(Err(_))) => this.record.failed = true,
            Poll::Ready(None) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Document(bytes) => bytes.is_empty(),
            Source::Library(body) => body.is_end_stream(),
            Source::KeepAlive(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Document(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Library(body) => body.size_hint(),
            Source::KeepAlive(_) => SizeHint::default(),
        }
    }
}

/// The class of a status, as metrics name it.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let operation = self.state.operation();
        let elapsed = self.started.elapsed();
        counter!(names::S3_REQUESTS, "operation" => operation, "status" => class(self.status)).increment(1);
        histogram!(names::S3_REQUEST_SECONDS, "operation" => operation).record(elapsed.as_secs_f64());
        counter!(names::S3_RECEIVED_BYTES).increment(self.state.received());
        counter!(names::S3_SENT_BYTES).increment(self.sent);
        let _inside = self.state.span().enter();
        // No names of buckets or objects: they rest nowhere in the clear, and logs rest.
        tracing::debug!(
            operation,
            method = %self.method,
            status = self.status.as_u16(),
            received = self.state.received(),
            sent = self.sent,
            milliseconds = elapsed.as_secs_f64() * 1000.0,
            peer = self.state.peer().map(tracing::field::display),
            cut = self.failed,
            "answered"
        );
    }
}
