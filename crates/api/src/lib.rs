//! REST, health and metrics over HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `GET /health/live` | 200 while the process serves |
//! | `GET /health/ready` | 200 if every [`Check`] succeeded within the last seconds, else 503 and which did not |
//! | `GET /metrics` | the metrics as Prometheus text |
//!
//! Everything else is a JSON error. The crate knows no file, no key and no bucket: what readiness means comes in
//! as [`Check`]s. Nobody has to log in here, so an answer never holds more than names of parts and kinds of errors;
//! the whole error goes to the log.

mod answers;
mod ready;
mod routes;
mod serve;

pub use ready::{Check, CheckError};
pub use routes::ApiDeps;
pub use serve::serve;
