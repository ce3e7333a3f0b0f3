//! What is said when something could not be done.

use axum::http::StatusCode;

/// Whose fault it is, which is what the HTTP status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request makes no sense: 400.
    Request,
    /// What it names does not exist: 404.
    Missing,
    /// It makes sense, but not now: 409.
    Conflict,
    /// Something outside does not answer, such as a KMS, or the server stops: 503.
    Unavailable,
    /// The store could not do it: 500.
    Store,
}

/// A refusal, for the operator to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AdminError {
    /// Whose fault it is.
    pub fault: Fault,
    /// One word for programs: `NoSuchBucket`.
    pub code: &'static str,
    /// What happened and what to do, for people.
    pub message: String,
}

impl AdminError {
    /// An error of this kind.
    pub fn new(fault: Fault, code: &'static str, message: impl Into<String>) -> Self {
        Self { fault, code, message: message.into() }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self.fault {
            Fault::Request => StatusCode::BAD_REQUEST,
            Fault::Missing => StatusCode::NOT_FOUND,
            Fault::Conflict => StatusCode::CONFLICT,
            Fault::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Store => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
