//! A lean S3 client: kept-alive connections, requests signed and written beforehand, bodies that cost nothing to make.

mod connection;
mod sigv4;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusty_s3::actions::{CreateMultipartUpload, HeadBucket};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use self::connection::Connection;
use crate::problem::Problem;

/// The credentials of every server that we measure.
pub(super) const ACCESS_KEY: &str = "SRBENCHROOT000000001";
pub(super) const SECRET_KEY: &str = "only-for-measuring-0123456789abcdefghijk";
/// Ours seals whether asked or not; a peer has to be asked.
const SSE: (&str, &str) = ("x-amz-server-side-encryption", "AES256");
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const BLOCK: usize = 1 << 20;

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    address: SocketAddr,
    bucket: Bucket,
    credentials: Credentials,
}

/// One request, signed.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    /// For messages: method and path.
    name: String,
    /// Request line and headers as they go over the wire.
    head: Bytes,
    /// A reply to it has no body, whatever length it says.
    is_head: bool,
    body_len: u64,
    /// What the body is, if it matters.
    body: Option<Bytes>,
}

/// Where a request carries its signature.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// In its headers, as SDKs send it. Good for a quarter of an hour.
    Headers,
    /// In its query, as a URL that somebody else may use.
    Url,
}

/// How long a run lasts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Seconds(f64),
    Requests(usize),
}

/// What a run gave.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) operations: usize,
    pub(super) body_bytes: u64,
    pub(super) seconds: f64,
    /// Sorted, in seconds.
    latencies: Vec<f64>,
}

impl Measured {
    pub(super) fn per_second(&self) -> f64 {
        count(self.operations) / self.seconds
    }

    /// Body bytes in 10^6 per second, sent or received.
    pub(super) fn mb_per_second(&self) -> f64 {
        bytes(self.body_bytes) / 1e6 / self.seconds
    }

    /// The latency that this share of requests stays below, in milliseconds.
    pub(super) fn latency_ms(&self, share: f64) -> f64 {
        let rank = share * count(self.latencies.len().saturating_sub(1));
        // A rank is at most the number of requests, far below where the cast would lose anything.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the length"
        )]
        let rank = rank.round() as usize;
        self.latencies.get(rank).map_or(0.0, |seconds| seconds * 1e3)
    }
}

/// Exact up to 2^53, which no count here reaches.
#[allow(clippy::cast_precision_loss, reason = "no count here reaches 2^53")]
pub(super) fn bytes(value: u64) -> f64 {
    value as f64
}

/// As [`bytes`].
#[allow(clippy::cast_precision_loss, reason = "no count here reaches 2^53")]
pub(super) fn count(value: usize) -> f64 {
    value as f64
}

impl Endpoint {
    /// A bucket of a server that listens at `http://HOST:PORT`.
    pub(super) fn new(url: &str, bucket: &str) -> Result<Self, Problem> {
        let unreadable = |reason: String| Problem::Unreadable { what: "the address of the server", reason };
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let address = address.parse().map_err(|_| unreadable(url.to_owned()))?;
        let parsed = url.parse().map_err(|error| unreadable(format!("{url}: {error}")))?;
        let bucket = Bucket::new(parsed, UrlStyle::Path, bucket.to_owned(), "us-east-1")
            .map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { address, bucket, credentials: Credentials::new(ACCESS_KEY, SECRET_KEY) })
    }

    /// The same place with another's credentials.
    pub(super) fn by(&self, access_key: &str, secret_key: &str) -> Self {
        Self { credentials: Credentials::new(access_key, secret_key), ..self.clone() }
    }

    fn signed(
        &self,
        method: &str,
        url: &str,
        body_len: u64,
        headers: &[(&str, &str)],
    ) -> Result<Signed, Problem> {
        let target = self.target(url)?;
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("a String takes everything");
        }
        if matches!(method, "PUT" | "POST") {
            write!(head, "content-length: {body_len}\r\n").expect("a String takes everything");
        }
        head.push_str("\r\n");
        let name = format!("{method} {}", target.split('?').next().unwrap_or_default());
        Ok(Signed { name, head: head.into(), is_head: method == "HEAD", body_len, body: None })
    }

    pub(super) fn create_bucket(&self) -> Result<Signed, Problem> {
        self.signed("PUT", self.bucket.create_bucket(&self.credentials).sign(DAY).as_str(), 0, &[])
    }

    pub(super) fn head_bucket(&self, form: Form) -> Result<Signed, Problem> {
        let action = HeadBucket::new(&self.bucket, Some(&self.credentials));
        match form {
            Form::Url => self.signed("HEAD", action.sign(DAY).as_str(), 0, &[]),
            Form::Headers => self.signed_in_headers("HEAD", self.bucket.base_url().as_str()),
        }
    }

    /// A page of so many keys behind a name.
    pub(super) fn list_after(&self, name: &str, keys: usize) -> Result<Signed, Problem> {
        let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
        action.with_start_after(name);
        action.with_max_keys(keys);
        self.signed("GET", action.sign(DAY).as_str(), 0, &[])
    }

    pub(super) fn put(&self, key: &str, size: u64) -> Result<Signed, Problem> {
        let mut action = self.bucket.put_object(Some(&self.credentials), key);
        action.headers_mut().insert(SSE.0, SSE.1);
        self.signed("PUT", action.sign(DAY).as_str(), size, &[SSE])
    }

    pub(super) fn get(&self, key: &str) -> Result<Signed, Problem> {
        self.got(key, &[])
    }

    /// [`Self::get`], signed either way.
    pub(super) fn get_as(&self, form: Form, key: &str) -> Result<Signed, Problem> {
        match form {
            Form::Url => self.get(key),
            Form::Headers => self.signed_in_headers("GET", self.bucket.object_url(key).as_str()),
        }
    }

    fn signed_in_headers(&self, method: &str, url: &str) -> Result<Signed, Problem> {
        let host = self.address.to_string();
        let by = (self.credentials.key(), self.credentials.secret());
        let headers = sigv4::headers(by, method, self.target(url)?, &host);
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.signed(method, url, 0, &headers)
    }

    /// What of a URL follows the host.
    fn target<'a>(&self, url: &'a str) -> Result<&'a str, Problem> {
        let unreadable = || Problem::Unreadable { what: "a signed URL", reason: url.to_owned() };
        let (_, target) = url.split_once(&self.address.to_string()).ok_or_else(unreadable)?;
        Some(target).filter(|target| target.starts_with('/')).ok_or_else(unreadable)
    }

    pub(super) fn get_range(&self, key: &str, first: u64, last: u64) -> Result<Signed, Problem> {
        self.got(key, &[("range", &format!("bytes={first}-{last}"))])
    }

    fn got(&self, key: &str, headers: &[(&str, &str)]) -> Result<Signed, Problem> {
        let action = self.bucket.get_object(Some(&self.credentials), key);
        self.signed("GET", action.sign(DAY).as_str(), 0, headers)
    }

    /// Uploads an object in so many parts, some of them at once.
    pub(super) fn upload_in_parts(
        &self,
        key: &str,
        part_bytes: u64,
        parts: u16,
        connections: usize,
    ) -> Result<(), Problem> {
        runtime()?.block_on(self.drive_parts(key, part_bytes, parts, connections))
    }

    async fn drive_parts(
        &self,
        key: &str,
        part_bytes: u64,
        parts: u16,
        connections: usize,
    ) -> Result<(), Problem> {
        let credentials = Some(&self.credentials);
        let create = self.bucket.create_multipart_upload(credentials, key);
        let create = self.signed("POST", create.sign(DAY).as_str(), 0, &[])?;
        let answer = Connection::open(self.address).await?.ask(&create).await?;
        let created = CreateMultipartUpload::parse_response(&answer.text).map_err(|error| {
            Problem::Unreadable { what: "the id of an upload", reason: error.to_string() }
        })?;
        let upload = created.upload_id();
        let requests = (1..=parts).map(|number| {
            let part = self.bucket.upload_part(credentials, key, number, upload);
            self.signed("PUT", part.sign(DAY).as_str(), part_bytes, &[])
        });
        let requests: Arc<[Signed]> = requests.collect::<Result<Vec<_>, _>>()?.into();
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::with_capacity(connections);
        for _ in 0..connections {
            let (requests, next, address) = (Arc::clone(&requests), Arc::clone(&next), self.address);
            tasks.push(tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut tags = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(at) else { return Ok::<_, Problem>(tags) };
                    tags.push((at, connection.ask(request).await?.etag));
                }
            }));
        }
        let mut tags = Vec::new();
        for task in tasks {
            tags.extend(task.await.map_err(|error| refused("a client task", &error))??);
        }
        tags.sort();
        let tags: Vec<_> = tags.iter().map(|(_, tag)| tag.as_str()).collect();
        let complete = self.bucket.complete_multipart_upload(credentials, key, upload, tags.iter().copied());
        let signed = complete.sign(DAY);
        let body = Bytes::from(complete.body());
        let mut request = self.signed("POST", signed.as_str(), body.len() as u64, &[])?;
        request.body = Some(body);
        let answer = Connection::open(self.address).await?.ask(&request).await?;
        // A completion may fail after its answer began.
        if answer.text.contains("CompleteMultipartUploadResult") {
            Ok(())
        } else {
            Err(Problem::Failed { what: format!("completing an upload ({})", answer.text) })
        }
    }

    /// Sends the requests in turn over so many connections until it is time to stop.
    pub(super) fn run(
        &self,
        requests: &[Signed],
        connections: usize,
        until: Until,
    ) -> Result<Measured, Problem> {
        runtime()?.block_on(self.drive(Arc::from(requests), connections, until))
    }

    async fn drive(
        &self,
        requests: Arc<[Signed]>,
        connections: usize,
        until: Until,
    ) -> Result<Measured, Problem> {
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let mut tasks = Vec::with_capacity(connections);
        for _ in 0..connections {
            let (requests, next, address) = (Arc::clone(&requests), Arc::clone(&next), self.address);
            tasks.push(tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut latencies = Vec::new();
                let mut body_bytes = 0;
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let over = match until {
                        Until::Seconds(seconds) => begun.elapsed().as_secs_f64() >= seconds,
                        Until::Requests(number) => turn >= number,
                    };
                    if over {
                        return Ok::<_, Problem>((latencies, body_bytes));
                    }
                    let sent = Instant::now();
                    body_bytes += connection.send(&requests[turn % requests.len()]).await?;
                    latencies.push(sent.elapsed().as_secs_f64());
                }
            }));
        }
        let mut latencies = Vec::new();
        let mut body_bytes = 0;
        for task in tasks {
            let (more, bytes) = task.await.map_err(|error| refused("a client task", &error))??;
            latencies.extend(more);
            body_bytes += bytes;
        }
        latencies.sort_by(f64::total_cmp);
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Measured { operations: latencies.len(), body_bytes, seconds, latencies })
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Problem::Start { program: "the load generator".to_owned(), source })
}

fn refused(what: &str, error: &dyn std::error::Error) -> Problem {
    Problem::Failed { what: format!("{what} ({error})") }
}

/// A block that nobody can compress, made once. xorshift64*: quick, and as good as random to a compressor.
fn noise() -> &'static [u8] {
    static BLOCKS: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCKS.get_or_init(|| {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            block.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        block
    })
}
