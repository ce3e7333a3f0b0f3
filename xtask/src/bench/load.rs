//! A lean S3 client: kept-alive connections, URLs signed beforehand, bodies that cost nothing to make.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, RANGE};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rusty_s3::actions::{CreateMultipartUpload, HeadBucket};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use tokio::net::TcpStream;

use crate::problem::Problem;

/// The credentials of every server that we measure.
pub(super) const ACCESS_KEY: &str = "SRBENCHROOT000000001";
pub(super) const SECRET_KEY: &str = "only-for-measuring-0123456789abcdefghijk";
/// Ours seals whether asked or not; a peer has to be asked.
const SSE: (&str, &str) = ("x-amz-server-side-encryption", "AES256");
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const BLOCK: usize = 1 << 20;
/// How much of an answer is kept: an error, or the id of an upload.
const SAID_LEN_MAX: usize = 4096;

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
    method: Method,
    /// Path and query.
    target: Uri,
    host: HeaderValue,
    body_bytes: u64,
    /// What the body is, if it matters.
    body: Option<Bytes>,
    sse: bool,
    range: Option<HeaderValue>,
}

/// An answer that somebody reads, and not only counts.
struct Answer {
    etag: String,
    /// The beginning of the body.
    text: String,
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

    fn signed(&self, method: Method, url: &str, body_bytes: u64, sse: bool) -> Result<Signed, Problem> {
        let unreadable = || Problem::Unreadable { what: "a signed URL", reason: url.to_owned() };
        let target = url.parse().ok().and_then(|uri: Uri| Some(Uri::from(uri.path_and_query()?.clone())));
        let host = HeaderValue::from_str(&self.address.to_string()).map_err(|_| unreadable())?;
        let target = target.ok_or_else(unreadable)?;
        Ok(Signed { method, target, host, body_bytes, body: None, sse, range: None })
    }

    pub(super) fn create_bucket(&self) -> Result<Signed, Problem> {
        self.signed(Method::PUT, self.bucket.create_bucket(&self.credentials).sign(DAY).as_str(), 0, false)
    }

    pub(super) fn head_bucket(&self) -> Result<Signed, Problem> {
        let action = HeadBucket::new(&self.bucket, Some(&self.credentials));
        self.signed(Method::HEAD, action.sign(DAY).as_str(), 0, false)
    }

    /// A page of so many keys behind a name.
    pub(super) fn list_after(&self, name: &str, keys: usize) -> Result<Signed, Problem> {
        let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
        action.with_start_after(name);
        action.with_max_keys(keys);
        self.signed(Method::GET, action.sign(DAY).as_str(), 0, false)
    }

    pub(super) fn put(&self, key: &str, size: u64) -> Result<Signed, Problem> {
        let mut action = self.bucket.put_object(Some(&self.credentials), key);
        action.headers_mut().insert(SSE.0, SSE.1);
        self.signed(Method::PUT, action.sign(DAY).as_str(), size, true)
    }

    pub(super) fn get(&self, key: &str) -> Result<Signed, Problem> {
        let action = self.bucket.get_object(Some(&self.credentials), key);
        self.signed(Method::GET, action.sign(DAY).as_str(), 0, false)
    }

    pub(super) fn get_range(&self, key: &str, first: u64, last: u64) -> Result<Signed, Problem> {
        let range = format!("bytes={first}-{last}");
        let range = HeaderValue::from_str(&range)
            .map_err(|_| Problem::Unreadable { what: "a range", reason: range.clone() })?;
        Ok(Signed { range: Some(range), ..self.get(key)? })
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
        let create = self.signed(Method::POST, create.sign(DAY).as_str(), 0, false)?;
        let answer = Connection::open(self.address).await?.ask(&create).await?;
        let created = CreateMultipartUpload::parse_response(&answer.text).map_err(|error| {
            Problem::Unreadable { what: "the id of an upload", reason: error.to_string() }
        })?;
        let upload = created.upload_id();
        let requests = (1..=parts).map(|number| {
            let part = self.bucket.upload_part(credentials, key, number, upload);
            self.signed(Method::PUT, part.sign(DAY).as_str(), part_bytes, false)
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
        let mut request = self.signed(Method::POST, complete.sign(DAY).as_str(), 0, false)?;
        let body = Bytes::from(complete.body());
        (request.body_bytes, request.body) = (body.len() as u64, Some(body));
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

struct Connection(http1::SendRequest<Repeat>);

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Problem> {
        let stream = TcpStream::connect(address).await.map_err(|error| refused("connecting", &error))?;
        stream.set_nodelay(true).map_err(|error| refused("connecting", &error))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| refused("connecting", &error))?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends one request and reads its reply to the end; returns the bytes of both bodies. Looks at nothing but the status: what
    /// the client does with a reply counts against the server that it shares the machine with.
    async fn send(&mut self, signed: &Signed) -> Result<u64, Problem> {
        let reply = self.begin(signed).await?;
        let (status, mut body) = (reply.status(), reply.into_body());
        if !is_good(status) {
            return Err(refusal(signed, status, &read(&mut body).await?));
        }
        let mut received = 0;
        while let Some(data) = next_data(&mut body).await? {
            received += data.len() as u64;
        }
        Ok(signed.body_bytes + received)
    }

    /// As [`Self::send`], for a reply that somebody reads.
    async fn ask(&mut self, signed: &Signed) -> Result<Answer, Problem> {
        let reply = self.begin(signed).await?;
        let status = reply.status();
        let etag = reply.headers().get("etag").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let text = read(&mut reply.into_body()).await?;
        if !is_good(status) {
            return Err(refusal(signed, status, &text));
        }
        Ok(Answer { etag, text })
    }

    async fn begin(&mut self, signed: &Signed) -> Result<Response<Incoming>, Problem> {
        let body = signed.body.clone().map_or_else(|| Repeat::new(signed.body_bytes), Repeat::once);
        let mut request = Request::new(body);
        *request.method_mut() = signed.method.clone();
        *request.uri_mut() = signed.target.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, signed.host.clone());
        if signed.sse {
            headers.insert(SSE.0, HeaderValue::from_static(SSE.1));
        }
        if let Some(range) = &signed.range {
            headers.insert(RANGE, range.clone());
        }
        self.0.ready().await.map_err(|error| refused("waiting for the connection", &error))?;
        self.0.send_request(request).await.map_err(|error| refused("sending a request", &error))
    }
}

fn is_good(status: StatusCode) -> bool {
    matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT)
}

fn refusal(signed: &Signed, status: StatusCode, text: &str) -> Problem {
    Problem::Failed { what: format!("{} {} ({status}: {text})", signed.method, signed.target.path()) }
}

async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| refused("reading a reply", &error))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The beginning of a body as text.
async fn read(body: &mut Incoming) -> Result<String, Problem> {
    let mut said = Vec::new();
    while let Some(data) = next_data(body).await? {
        let room = SAID_LEN_MAX.saturating_sub(said.len());
        said.extend_from_slice(&data[..room.min(data.len())]);
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn refused(what: &str, error: &dyn std::error::Error) -> Problem {
    Problem::Failed { what: format!("{what} ({error})") }
}

/// A body of this many bytes that nobody can compress, from one block in memory.
struct Repeat {
    block: Bytes,
    left: u64,
}

impl Repeat {
    /// This content, which is no longer than a block.
    fn once(content: Bytes) -> Self {
        Self { left: content.len() as u64, block: content }
    }

    fn new(length: u64) -> Self {
        static BLOCKS: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
        Self { block: BLOCKS.get_or_init(noise).clone(), left: length }
    }
}

/// xorshift64*: quick, and as good as random to a compressor.
fn noise() -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut block = Vec::with_capacity(BLOCK);
    while block.len() < BLOCK {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        block.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    Bytes::from(block)
}

impl Body for Repeat {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK);
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(self.block.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
