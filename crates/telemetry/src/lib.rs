//! What the program tells its operators: metrics, log lines, request ids.
//!
//! | what | where |
//! |---|---|
//! | every metric's name, kind, unit, labels and help | [`names`] |
//! | the recorder and its Prometheus text | [`Metrics`] |
//! | log set-up | [`logs`] |
//! | the id that links an S3 reply to its log lines | [`RequestId`] |
//!
//! Crates record with the macros of the `metrics` crate and the constants of [`names`]:
//!
//! ```
//! use strongroom_telemetry::names;
//! metrics::counter!(names::KMS_CALLS, "provider" => "local", "operation" => "wrap").increment(1);
//! ```
//!
//! Labels never carry what a client chose (bucket names, keys, access keys): they would be plaintext in
//! somebody else's database, and they would have no bound.

pub mod logs;
pub mod names;
mod process;
mod prometheus;
mod request_id;

pub use prometheus::{Metrics, MetricsError};
pub use request_id::RequestId;
