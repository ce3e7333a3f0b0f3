//! The store's last word on writing.

use std::sync::OnceLock;

use metrics::gauge;
use strongroom_telemetry::names;

use crate::Cause;

/// Set once, by the first failure after which it is unknown what is durable. Never cleared: only opening the store
/// again finds out.
#[derive(Debug, Default)]
pub(crate) struct Poison(OnceLock<Cause>);

impl Poison {
    /// Records the first cause and gives back the one that counts.
    pub(crate) fn set(&self, cause: Cause) -> Cause {
        let first = self.0.get_or_init(|| {
            tracing::error!(%cause, "the store stopped taking writes; restart it when the cause is removed");
            gauge!(names::STORE_POISONED).set(1.0);
            cause
        });
        first.clone()
    }

    pub(crate) fn get(&self) -> Option<Cause> {
        self.0.get().cloned()
    }
}
