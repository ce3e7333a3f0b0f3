//! What can go wrong on the client's side, in words for the person at the shell.

use std::io;

/// A client command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No credentials in the environment.
    #[error(
        "no credentials: set STRONGROOM_ACCESS_KEY and STRONGROOM_SECRET_KEY (the server printed them at its first start)"
    )]
    NoCredentials,
    /// The store refused.
    #[error("{what}: {message} ({code}, request {request_id})")]
    Refused {
        /// What was asked for.
        what: String,
        /// S3's error code.
        code: String,
        /// The store's words.
        message: String,
        /// To find the request in the store's log.
        request_id: String,
    },
    /// The store could not be reached, or the connection broke.
    #[error("{what}: {}{}", cause(.source), hint(.source))]
    Http {
        /// What was asked for.
        what: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The answer is not what S3 answers.
    #[error("{what}: the answer cannot be read: {why}")]
    Answer {
        /// What was asked for.
        what: String,
        /// Why not.
        why: String,
    },
    /// The bytes that arrived are not the bytes that were sent.
    #[error("{what}: the content that arrived does not match its checksum; it was not kept")]
    Checksum {
        /// What was asked for.
        what: String,
    },
    /// A signal came, and what was half done has been cleaned up.
    #[error("interrupted")]
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// A local file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What happened.
        source: io::Error,
    },
}

impl ClientError {
    /// The signed URL in a [`reqwest::Error`] is a credential for as long as it is valid, so it is left out.
    pub(super) fn http(what: impl Into<String>, source: reqwest::Error) -> Self {
        Self::Http { what: what.into(), source: source.without_url() }
    }
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn hint(error: &reqwest::Error) -> &'static str {
    if error.is_connect() { "; is the store running at --endpoint, and is it HTTP or HTTPS?" } else { "" }
}
