//! REST, health and metrics over HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `GET /health/live` | 200 while the process serves |
//! | `GET /health/ready` | 200 if every [`Check`] succeeded within the last seconds, else 503 and which did not |
//! | `GET /metrics` | the metrics as Prometheus text |
//! | `GET /metrics/keys` | those of each key of each group, which are as many as there are keys |
//! | `/api/v1/…` | buckets, objects and identities, for who has a token: [`rest`] |
//!
//! Everything else is a JSON error. What tells the server itself what to do is behind a door of its own: [`admin`].
//!
//! The crate knows no file and no key: what readiness means comes in as [`Check`]s, what administration does as
//! [`admin::Admin`], buckets and identities as handles. Nobody has to log in for health and metrics, so an answer there never
//! holds more than names of parts and kinds of errors; the whole error goes to the log.

pub mod admin;
mod answers;
mod patient;
mod peer;
mod ready;
mod refusal;
pub mod rest;
mod routes;
mod serve;

pub use ready::{Check, CheckError};
pub use routes::ApiDeps;
pub use serve::serve;
