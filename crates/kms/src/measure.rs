//! Counting and timing calls, the same way for every provider.

use std::future::Future;
use std::time::Instant;

use metrics::{counter, gauge, histogram};
use strongroom_telemetry::names;

use crate::{KeyInfo, KeyState, KmsError};

/// Runs one call and records that it happened, how long it took and how it failed.
pub(crate) async fn measured<T>(
    provider: &'static str,
    operation: &'static str,
    call: impl Future<Output = Result<T, KmsError>>,
) -> Result<T, KmsError> {
    let started = Instant::now();
    let result = call.await;
    counter!(names::KMS_CALLS, "provider" => provider, "operation" => operation).increment(1);
    histogram!(names::KMS_CALL_SECONDS, "provider" => provider, "operation" => operation)
        .record(started.elapsed().as_secs_f64());
    if let Err(error) = &result {
        counter!(
            names::KMS_ERRORS, "provider" => provider, "operation" => operation, "error" => error.kind()
        )
        .increment(1);
    }
    result
}

/// Records how many keys are in which state.
pub(crate) fn observe_keys(provider: &'static str, keys: &[KeyInfo]) {
    let (mut enabled, mut disabled, mut pending) = (0_u32, 0_u32, 0_u32);
    for key in keys {
        match key.state {
            KeyState::Enabled => enabled += 1,
            KeyState::Disabled => disabled += 1,
            KeyState::PendingDeletion { .. } => pending += 1,
        }
    }
    for (state, count) in [("enabled", enabled), ("disabled", disabled), ("pending_deletion", pending)] {
        gauge!(names::KMS_KEYS, "provider" => provider, "state" => state).set(count);
    }
}
