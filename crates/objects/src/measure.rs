//! Figures about operations, for the metrics.

use metrics::counter;
use strongroom_telemetry::names;

use crate::ObjectError;

/// Counts an operation by how it ended.
pub(crate) async fn counted<T>(
    operation: &'static str,
    work: impl Future<Output = Result<T, ObjectError>>,
) -> Result<T, ObjectError> {
    let result = work.await;
    let outcome = match &result {
        Ok(_) => "ok",
        Err(error) if error.is_ours() => "failed",
        Err(_) => "refused",
    };
    counter!(names::OBJECTS_OPERATIONS, "operation" => operation, "outcome" => outcome).increment(1);
    result
}

/// Counts an object that could not be sealed or opened.
pub(crate) fn sse_failed(sse: &'static str, error: &'static str) {
    counter!(names::OBJECTS_SSE_ERRORS, "sse" => sse, "error" => error).increment(1);
}
