//! Answers that begin before their operation has ended.
//!
//! A copy of some gigabytes, or the completion of an upload, can take longer than clients wait for a first byte. As on
//! AWS the answer then starts with status 200 and white space, and ends with the result or with an error document;
//! SDKs look for the latter. What the operation would have said in headers is lost in that case.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::error::DECLARATION;

/// Between two pieces of white space.
const EVERY: Duration = Duration::from_secs(5);

/// White space until `result` is there, then the result.
pub(crate) struct KeepAlive {
    started: bool,
    result: Option<Pin<Box<dyn Future<Output = Bytes> + Send>>>,
    ticks: Interval,
}

impl KeepAlive {
    /// `result` is a document without its declaration.
    pub(crate) fn new(result: impl Future<Output = Bytes> + Send + 'static) -> Self {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { started: false, result: Some(Box::pin(result)), ticks }
    }

    /// The next piece of the answer.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(result) = &mut self.result else { return Poll::Ready(None) };
        if !self.started {
            self.started = true;
            self.ticks.reset();
            return Poll::Ready(Some(Bytes::from_static(DECLARATION.as_bytes())));
        }
        if let Poll::Ready(document) = result.as_mut().poll(cx) {
            self.result = None;
            return Poll::Ready(Some(document));
        }
        self.ticks.poll_tick(cx).map(|_| Some(Bytes::from_static(b" ")))
    }
}

/// A document without its declaration, which was sent already.
pub(crate) fn without_declaration(document: Bytes) -> Bytes {
    if !document.starts_with(b"<?xml") {
        return document;
    }
    match document.windows(2).position(|pair| pair == b"?>") {
        Some(at) => document.slice(at + 2..),
        None => document,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answer_is_one_well_formed_document_with_white_space_in_front() {
        let mut answer = KeepAlive::new(async {
            tokio::time::sleep(Duration::from_secs(12)).await;
            without_declaration(Bytes::from_static(b"<?xml version=\"1.0\"?><R/>"))
        });
        let mut text = Vec::new();
        while let Some(piece) = poll_fn(|cx| answer.poll_piece(cx)).await {
            text.extend_from_slice(&piece);
        }
        assert_eq!(text, format!("{DECLARATION}  <R/>").into_bytes());
    }
}
