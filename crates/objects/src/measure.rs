//! Figures about operations, for the metrics.

use futures::FutureExt;
use metrics::counter;
use strongroom_telemetry::names;

use crate::ObjectError;

/// Counts an operation by how it ended. Not an `async fn`: that would have room for `work` twice.
pub(crate) fn counted<T>(
    operation: &'static str,
    work: impl Future<Output = Result<T, ObjectError>>,
) -> impl Future<Output = Result<T, ObjectError>> {
    work.inspect(move |result| {
        let outcome = match result {
            Ok(_) => "ok",
            Err(error) if error.is_ours() => "failed",
            Err(_) => "refused",
        };
        counter!(names::OBJECTS_OPERATIONS, "operation" => operation, "outcome" => outcome).increment(1);
    })
}

/// Counts an object that could not be sealed or opened.
pub(crate) fn sse_failed(sse: &'static str, error: &'static str) {
    counter!(names::OBJECTS_SSE_ERRORS, "sse" => sse, "error" => error).increment(1);
}
