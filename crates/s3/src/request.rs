//! What is known of a request beside what its operation reads from it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use strongroom_iam::Identity;
use strongroom_telemetry::RequestId;
use tracing::{Dispatch, Span, dispatcher};

use crate::error::ApiError;

/// One request, from its head to the end of its answer. Travels in the request's extensions.
#[derive(Clone)]
pub(crate) struct RequestState(Arc<Inner>);

struct Inner {
    id: RequestId,
    secure: bool,
    peer: Option<SocketAddr>,
    span: Span,
    /// Where log lines of the operation go. The protocol library runs without a subscriber: it would log names of
    /// objects, headers with customers' keys, and whole documents.
    logs: Dispatch,
    operation: OnceLock<&'static str>,
    identity: OnceLock<Identity>,
    error: Mutex<Option<ApiError>>,
    received: AtomicU64,
    /// A document as it came, for operations whose headers carry its checksum.
    document: Mutex<Option<Vec<Bytes>>>,
}

impl RequestState {
    pub(crate) fn new(id: RequestId, secure: bool, peer: Option<SocketAddr>) -> Self {
        Self(Arc::new(Inner {
            id,
            secure,
            peer,
            span: tracing::info_span!("s3", request_id = %id),
            logs: dispatcher::get_default(Dispatch::clone),
            operation: OnceLock::new(),
            identity: OnceLock::new(),
            error: Mutex::new(None),
            received: AtomicU64::new(0),
            document: Mutex::new(None),
        }))
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.0.id
    }

    /// `x-amz-id-2`: longer than the request id and without further meaning, as AWS's is for its clients.
    pub(crate) fn host_id(&self) -> String {
        STANDARD.encode(self.0.id.as_str())
    }

    /// Whether it came over TLS.
    pub(crate) fn secure(&self) -> bool {
        self.0.secure
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    pub(crate) fn span(&self) -> &Span {
        &self.0.span
    }

    pub(crate) fn logs(&self) -> Dispatch {
        self.0.logs.clone()
    }

    /// The operation's name, once the request was understood that far.
    pub(crate) fn operation(&self) -> &'static str {
        self.0.operation.get().copied().unwrap_or("Unknown")
    }

    pub(crate) fn set_operation(&self, name: &'static str) {
        let _ = self.0.operation.set(name);
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.0.identity.get()
    }

    pub(crate) fn set_identity(&self, identity: Identity) {
        let _ = self.0.identity.set(identity);
    }

    /// Keeps an error until the answer is written: the library's own errors have no room for all of it.
    pub(crate) fn set_error(&self, error: ApiError) {
        *self.0.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn take_error(&self) -> Option<ApiError> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the body from now on: the library parses documents before the operation could digest them. It also
    /// bounds them, and stops reading what is too long.
    pub(crate) fn keep_document(&self) {
        *self.document() = Some(Vec::new());
    }

    /// The body, if it was kept.
    pub(crate) fn take_document(&self) -> Option<Vec<Bytes>> {
        self.document().take()
    }

    fn document(&self) -> MutexGuard<'_, Option<Vec<Bytes>>> {
        self.0.document.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_received(&self, bytes: &Bytes) {
        self.0.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if let Some(document) = &mut *self.document() {
            document.push(bytes.clone());
        }
    }

    /// Bytes of the body so far.
    pub(crate) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestState").field("id", &self.0.id).finish_non_exhaustive()
    }
}
