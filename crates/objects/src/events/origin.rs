//! Where a change comes from: who asked, from where, by which request.
//!
//! Only events and the audit trail want to know, and what they want is the same for every operation of a request. So it
//! travels beside the call, with the task, and not through the arguments of each operation.

use std::net::IpAddr;
use std::sync::Arc;

/// Which kind of request makes a change. A change says itself what it does; this says how, where events tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Cause {
    /// A put, a delete, or anything that events do not tell apart.
    #[default]
    Plain,
    /// A browser's form.
    Post,
    /// A copy.
    Copy,
    /// A completed multipart upload.
    CompleteMultipartUpload,
    /// Tags are set.
    PutTagging,
    /// Tags are removed.
    DeleteTagging,
    /// A lifecycle rule.
    Lifecycle,
}

/// Who asked, from where, by which request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Which kind of request.
    pub cause: Cause,
    /// The identity, as it is shown; empty if the store does it by itself.
    pub principal: String,
    /// The client's address.
    pub source: Option<IpAddr>,
    /// The request's id.
    pub request_id: String,
}

tokio::task_local! {
    static ORIGIN: Arc<Origin>;
}

/// Runs `work`, whose changes come from `origin`.
pub fn scope<F: Future>(origin: Origin, work: F) -> impl Future<Output = F::Output> {
    ORIGIN.scope(Arc::new(origin), work)
}

/// Where changes of this task come from.
pub(crate) fn current() -> Arc<Origin> {
    ORIGIN.try_with(Arc::clone).unwrap_or_default()
}

/// `work` for a task of its own, with the origin of this one.
pub(crate) fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> {
    ORIGIN.scope(current(), work)
}
