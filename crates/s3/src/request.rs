//! What is known of a request beside what its operation reads from it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Uri};
use strongroom_iam::Identity;
use strongroom_objects::events::{Cause, Origin};
use strongroom_telemetry::RequestId;
use tracing::{Dispatch, Span, dispatcher};

use crate::access::{Asker, Decided};
use crate::error::ApiError;
use crate::sigv4::Signed;
use crate::wire::body::BodyFault;

tokio::task_local! {
    /// The request that this task answers: the library asks for secrets by their access key alone.
    static CURRENT: RequestState;
}

/// Runs `future` as part of answering the request.
pub(crate) async fn within<F: Future>(state: RequestState, future: F) -> F::Output {
    CURRENT.scope(state, future).await
}

/// The request that is being answered.
pub(crate) fn current() -> Option<RequestState> {
    CURRENT.try_with(Clone::clone).ok()
}

/// One request, from its head to the end of its answer. Travels in the request's extensions.
#[derive(Clone)]
pub(crate) struct RequestState(Arc<Inner>);

struct Inner {
    id: RequestId,
    secure: bool,
    /// `1.2` or `1.3`, over TLS.
    tls_version: OnceLock<&'static str>,
    peer: Option<SocketAddr>,
    span: Span,
    /// Where log lines of the operation go. The protocol library runs without a subscriber: it would log names of
    /// objects, headers with customers' keys, and whole documents.
    logs: Dispatch,
    operation: OnceLock<&'static str>,
    /// Who an access key belongs to whose signature is checked next.
    claim: OnceLock<(String, Identity)>,
    asker: OnceLock<Asker>,
    /// What was decided by tags, if anything was.
    decided: OnceLock<Decided>,
    session_token: OnceLock<String>,
    /// What the request said of its signature, where it does not say so any more.
    signed: OnceLock<Signed>,
    /// Where the source of a copy is.
    source_bucket: OnceLock<String>,
    form: OnceLock<()>,
    /// What kind of resource the request would do something to, if it named something to do.
    pointless: OnceLock<&'static str>,
    sts: OnceLock<()>,
    document_in_chunks: OnceLock<()>,
    /// Whether nothing says how long its body is.
    lengthless: OnceLock<()>,
    /// Where it was sent to, for errors that name it.
    address: OnceLock<(Uri, Option<HeaderValue>)>,
    /// The hash of its document, in hexadecimal, if its signature covers one.
    document_hash: OnceLock<String>,
    body_fault: OnceLock<BodyFault>,
    error: Mutex<Option<ApiError>>,
    received: AtomicU64,
    /// A document as it came, for operations whose headers carry its checksum.
    document: Mutex<Option<Document>>,
}

/// A document while it comes.
struct Document {
    pieces: Vec<Bytes>,
    /// How many more bytes it may become.
    left: usize,
}

impl RequestState {
    pub(crate) fn new(id: RequestId, secure: bool, peer: Option<SocketAddr>) -> Self {
        Self(Arc::new(Inner {
            id,
            secure,
            tls_version: OnceLock::new(),
            peer,
            // Of the level of errors, so that whatever level is logged, a line about a request says which.
            span: tracing::error_span!("s3", request_id = %id),
            logs: dispatcher::get_default(Dispatch::clone),
            operation: OnceLock::new(),
            claim: OnceLock::new(),
            asker: OnceLock::new(),
            decided: OnceLock::new(),
            session_token: OnceLock::new(),
            signed: OnceLock::new(),
            source_bucket: OnceLock::new(),
            form: OnceLock::new(),
            pointless: OnceLock::new(),
            sts: OnceLock::new(),
            document_in_chunks: OnceLock::new(),
            lengthless: OnceLock::new(),
            address: OnceLock::new(),
            document_hash: OnceLock::new(),
            body_fault: OnceLock::new(),
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

    /// Which version of TLS it came over.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        self.0.tls_version.get().copied()
    }

    pub(crate) fn set_tls_version(&self, version: Option<&'static str>) {
        if let Some(version) = version {
            let _ = self.0.tls_version.set(version);
        }
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

    /// The kind of resource for which there is no operation of this method, as far as that is known beforehand.
    pub(crate) fn pointless(&self) -> Option<&'static str> {
        self.0.pointless.get().copied()
    }

    pub(crate) fn set_pointless(&self, resource: &'static str) {
        let _ = self.0.pointless.set(resource);
    }

    /// Takes note of who has the access key. It is a claim until the signature is found right.
    pub(crate) fn set_claim(&self, access_key: &str, identity: Identity) {
        let _ = self.0.claim.set((access_key.to_owned(), identity));
    }

    /// Who has the access key with which the request is signed.
    pub(crate) fn claimed(&self, access_key: &str) -> Option<Identity> {
        self.0.claim.get().filter(|(claimed, _)| claimed == access_key).map(|(_, identity)| identity.clone())
    }

    /// Who sent it, once the signature was found right.
    pub(crate) fn asker(&self) -> Option<&Asker> {
        self.0.asker.get()
    }

    pub(crate) fn set_asker(&self, asker: Asker) {
        let _ = self.0.asker.set(asker);
    }

    /// What was decided by the tags that an object had then.
    pub(crate) fn decided(&self) -> Option<&Decided> {
        self.0.decided.get()
    }

    pub(crate) fn set_decided(&self, decided: Decided) {
        let _ = self.0.decided.set(decided);
    }

    /// The token that comes with temporary credentials.
    pub(crate) fn session_token(&self) -> Option<&str> {
        self.0.session_token.get().map(String::as_str)
    }

    pub(crate) fn set_session_token(&self, token: impl Into<String>) {
        let _ = self.0.session_token.set(token.into());
    }

    pub(crate) fn signed(&self) -> Option<&Signed> {
        self.0.signed.get()
    }

    pub(crate) fn set_signed(&self, signed: Signed) {
        let _ = self.0.signed.set(signed);
    }

    pub(crate) fn source_bucket(&self) -> Option<&str> {
        self.0.source_bucket.get().map(String::as_str)
    }

    pub(crate) fn set_source_bucket(&self, bucket: &str) {
        let _ = self.0.source_bucket.set(bucket.to_owned());
    }

    /// Whether it came as an HTML form: then the length of its content is not announced.
    pub(crate) fn is_form(&self) -> bool {
        self.0.form.get().is_some()
    }

    pub(crate) fn set_form(&self) {
        let _ = self.0.form.set(());
    }

    /// Whether it is for the token service, which has its own words for errors.
    pub(crate) fn is_sts(&self) -> bool {
        self.0.sts.get().is_some()
    }

    pub(crate) fn set_sts(&self) {
        let _ = self.0.sts.set(());
    }

    /// Whether its body is a document that comes in chunks, which the library takes for an incomplete one.
    pub(crate) fn has_document_in_chunks(&self) -> bool {
        self.0.document_in_chunks.get().is_some()
    }

    pub(crate) fn set_document_in_chunks(&self) {
        let _ = self.0.document_in_chunks.set(());
    }

    /// Whether no header says how long its body is, which has no bytes then.
    pub(crate) fn is_lengthless(&self) -> bool {
        self.0.lengthless.get().is_some()
    }

    pub(crate) fn set_lengthless(&self) {
        let _ = self.0.lengthless.set(());
    }

    /// The target and the host of the request.
    pub(crate) fn address(&self) -> Option<&(Uri, Option<HeaderValue>)> {
        self.0.address.get()
    }

    pub(crate) fn set_address(&self, uri: Uri, host: Option<HeaderValue>) {
        let _ = self.0.address.set((uri, host));
    }

    /// What the document has to hash to, as its signature says.
    pub(crate) fn document_hash(&self) -> Option<&str> {
        self.0.document_hash.get().map(String::as_str)
    }

    pub(crate) fn set_document_hash(&self, hash: &str) {
        let _ = self.0.document_hash.set(hash.to_owned());
    }

    /// Why the body could not be read to its end.
    pub(crate) fn body_fault(&self) -> Option<BodyFault> {
        self.0.body_fault.get().copied()
    }

    pub(crate) fn set_body_fault(&self, fault: BodyFault) {
        let _ = self.0.body_fault.set(fault);
    }

    /// What events and the audit trail are told of where a change comes from.
    pub(crate) fn origin(&self) -> Origin {
        let cause = match self.operation() {
            "PostObject" => Cause::Post,
            "CopyObject" => Cause::Copy,
            "CompleteMultipartUpload" => Cause::CompleteMultipartUpload,
            "PutObjectTagging" => Cause::PutTagging,
            "DeleteObjectTagging" => Cause::DeleteTagging,
            _ => Cause::Plain,
        };
        Origin {
            cause,
            principal: self
                .asker()
                .map_or_else(|| "anonymous".to_owned(), |asker| asker.identity().to_string()),
            source: self.peer().map(|peer| peer.ip()),
            request_id: self.id().as_str().to_owned(),
        }
    }

    /// Keeps an error until the answer is written: the library's own errors have no room for all of it.
    pub(crate) fn set_error(&self, error: ApiError) {
        *self.0.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn take_error(&self) -> Option<ApiError> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the document that the body is from now on: the library parses documents before the operation could digest them. What
    /// is longer than `most` bytes is none, and nothing of it is kept.
    pub(crate) fn keep_document(&self, most: usize) {
        *self.document() = Some(Document { pieces: Vec::new(), left: most });
    }

    /// What came of the document so far, if it is kept.
    pub(crate) fn seen_document(&self) -> Option<Vec<u8>> {
        self.document().as_ref().map(|document| document.pieces.concat())
    }

    /// The document, if it was kept.
    pub(crate) fn take_document(&self) -> Option<Vec<Bytes>> {
        self.document().take().map(|document| document.pieces)
    }

    fn document(&self) -> MutexGuard<'_, Option<Document>> {
        self.0.document.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes of the body as they came.
    pub(crate) fn add_received(&self, bytes: &Bytes) {
        self.0.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    /// Takes note of content, without the framing that it may have come in.
    pub(crate) fn add_content(&self, bytes: &Bytes) {
        let mut slot = self.document();
        let Some(document) = &mut *slot else { return };
        match document.left.checked_sub(bytes.len()) {
            Some(left) => {
                document.left = left;
                document.pieces.push(bytes.clone());
            }
            None => *slot = None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_for_a_document_is_not_kept() {
        let state = RequestState::new(RequestId::from_random([1; 16]), true, None);
        state.keep_document(4);
        state.add_content(&Bytes::from_static(b"ab"));
        state.add_content(&Bytes::from_static(b"cd"));
        assert_eq!(state.take_document().unwrap().concat(), b"abcd");
        state.keep_document(4);
        state.add_content(&Bytes::from_static(b"abcd"));
        state.add_content(&Bytes::from_static(b"e"));
        assert_eq!(state.take_document(), None);
    }
}
