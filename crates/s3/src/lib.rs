//! The S3 face: HTTP and XML in, calls of `objects` out.
//!
//! ```text
//! listener ─ TLS ─ HTTP ─ limits, request id ─ protocol library ─ signature ─ gate ─ operation ─ objects
//!                          (wire)               (s3s)                         (access) (ops)
//! answer   ◄── headers, error documents, metrics, log line ◄──────────────────────────┘
//! ```
//!
//! The library `s3s` knows routes, signatures and XML. What it leaves out or does otherwise than AWS is put right in
//! [`wire`](self) before and after it: framing of huge chunks, stalled bodies, error documents with all their
//! fields, signatures that do not cover their headers. Which operation does what: `docs/s3-compatibility.md`.

// The set-up of tests names the crate as they do from outside.
#[cfg(test)]
extern crate self as strongroom_s3;

mod access;
mod checksum;
mod checksum_document;
mod convert;
mod cors;
mod elements;
mod encryption_document;
mod error;
mod face;
mod form;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hoisted;
mod host;
mod lenient;
mod ops;
mod options;
mod request;
mod routes;
mod server;
mod sigv4;
mod sse;
mod sts;
mod subresource;
mod tag_list;
mod undone;
mod wire;

pub use options::{Limits, S3Options, SseCTransport};
pub use server::{Drained, ServeError, serve};
