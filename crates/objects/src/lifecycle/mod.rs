//! Lifecycle rules: what goes by itself, and when (`docs/spec/lifecycle.md`).

mod due;
mod rules;
mod worker;

pub use rules::{
    Expiration, LIFECYCLE_RULES_MAX, LifecycleConfig, LifecycleFault, LifecycleFilter, LifecycleRule,
    NEWER_VERSIONS_MAX, NoncurrentExpiration, Subject, TransitionMinimum,
};
pub use worker::{LifecycleRun, run};
