//! What the operator can set, and what it is if nobody does.

use std::time::Duration;

/// How the S3 face behaves.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The region clients are told (`GetBucketLocation`, `x-amz-bucket-region`) and may ask for in `CreateBucket`.
    pub region: String,
    /// Domains under which `bucket.domain` addresses a bucket. None: path style only.
    pub domains: Vec<String>,
    /// The ids of the webhooks that event notifications may name.
    pub event_targets: Vec<String>,
    /// Whether customer keys are taken over a connection without TLS.
    pub sse_c: SseCTransport,
    /// Limits and time-outs.
    pub limits: Limits,
}

/// Over which connections a customer's key (SSE-C) may travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SseCTransport {
    /// Only TLS, as AWS has it: a key sent in the clear is a key lost.
    TlsOnly,
    /// Any connection. For trials, and for servers behind something that ends TLS.
    DangerousAnyTransport,
}

/// Limits and time-outs of the listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections served at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// A TLS handshake must be over by then.
    pub handshake_timeout: Duration,
    /// A request's head must be complete this long after the connection became ready for it; it is also how long an
    /// idle connection is kept.
    pub head_timeout: Duration,
    /// Bytes of request line and headers together.
    pub head_bytes_max: usize,
    /// Number of headers.
    pub headers_max: usize,
    /// Longest pause inside a request's body.
    pub body_idle_timeout: Duration,
    /// Longest time a client may leave an answer unread.
    pub reply_idle_timeout: Duration,
    /// Bytes of an XML body.
    pub xml_bytes_max: usize,
    /// Bytes of one signed chunk of a streaming upload: it is held until its signature is checked.
    pub signed_chunk_bytes_max: u64,
    /// Clock difference allowed between client and server.
    pub skew_max: Duration,
    /// A copy or a completion that takes longer starts its answer and keeps the connection busy with white space.
    pub keep_alive_after: Duration,
    /// Requests still running this long after shutdown began are cut off.
    pub drain: Duration,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            // What clients assume when nobody configured one.
            region: "us-east-1".to_owned(),
            domains: Vec::new(),
            event_targets: Vec::new(),
            sse_c: SseCTransport::TlsOnly,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A connection costs about 50 KiB while it waits: 4096 of them 200 MiB at worst.
            connections_max: 4096,
            // Two round trips of a bad mobile link, with room.
            handshake_timeout: Duration::from_secs(10),
            // Longer than the pause between two requests of a busy client, shorter than load balancers' idle limit.
            head_timeout: Duration::from_secs(55),
            // AWS takes 8 KiB of headers; presigned URLs with session tokens need more.
            head_bytes_max: 16 << 10,
            // More than the 2 KiB of user metadata can fill together with the protocol's own.
            headers_max: 200,
            // AWS gives up after about 20 seconds without a byte; slow disks of clients get some more.
            body_idle_timeout: Duration::from_secs(30),
            reply_idle_timeout: Duration::from_secs(60),
            // 10,000 parts with checksums are 2.5 MB; 1,000 keys of 1 KiB, all of it escaped, 6 MB.
            xml_bytes_max: 8 << 20,
            // SDKs sign chunks of 64 KiB to 1 MiB.
            signed_chunk_bytes_max: 16 << 20,
            // As AWS.
            skew_max: Duration::from_secs(15 * 60),
            // SDKs wait 60 seconds for the first byte of an answer.
            keep_alive_after: Duration::from_secs(15),
            // Shorter than the 30 seconds that process managers wait before they kill.
            drain: Duration::from_secs(25),
        }
    }
}
