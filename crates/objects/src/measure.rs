//! Figures about operations, for the metrics.

use futures::FutureExt;
use metrics::{Counter, counter};
use strongroom_telemetry::names;

use crate::ObjectError;
use crate::request::NotCopied;

/// How an operation fails.
pub(crate) trait Failure {
    /// Whether the store failed, and not the request or its client.
    fn is_ours(&self) -> bool;
}

impl Failure for ObjectError {
    fn is_ours(&self) -> bool {
        self.is_ours()
    }
}

impl<E> Failure for NotCopied<E> {
    fn is_ours(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_ours())
    }
}

/// Counts an operation by how it ended. Not an `async fn`: that would have room for `work` twice.
pub(crate) fn counted<T, E: Failure>(
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    work.inspect(move |result| {
        counter!(names::OBJECTS_OPERATIONS, "operation" => operation, "outcome" => outcome(result))
            .increment(1);
    })
}

fn outcome<T, E: Failure>(result: &Result<T, E>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) if error.is_ours() => "failed",
        Err(_) => "refused",
    }
}

/// Counts reads like [`counted`], without looking up the counter of those that succeed: they can be so short that it shows.
pub(crate) struct Reads {
    ok: Counter,
}

impl Reads {
    const OPERATION: &'static str = "get";

    pub(crate) fn new() -> Self {
        Self { ok: counter!(names::OBJECTS_OPERATIONS, "operation" => Self::OPERATION, "outcome" => "ok") }
    }

    pub(crate) fn counted<T, E: Failure>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        work.inspect(move |result| match outcome(result) {
            "ok" => self.ok.increment(1),
            outcome => {
                counter!(names::OBJECTS_OPERATIONS, "operation" => Self::OPERATION, "outcome" => outcome)
                    .increment(1)
            }
        })
    }
}

/// Counts an object that could not be sealed or opened.
pub(crate) fn sse_failed(sse: &'static str, error: &'static str) {
    counter!(names::OBJECTS_SSE_ERRORS, "sse" => sse, "error" => error).increment(1);
}
