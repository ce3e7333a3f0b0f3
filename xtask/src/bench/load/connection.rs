//! One kept-alive HTTP/1.1 connection.
//!
//! What the client does with a reply counts against the server that it shares the machine with. So it is not a general HTTP
//! library: requests are bytes that were made beforehand, and a reply is read into one buffer and its body is passed over.

use std::net::SocketAddr;

use bytes::Buf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BLOCK, Signed, noise};
use crate::problem::Problem;

/// The head of a reply has to fit, and so much of a large body is read at once.
const BUFFER_LEN: usize = 256 << 10;
const HEADERS_MAX: usize = 64;
/// How much of a body is kept for who reads it: an error, or the id of an upload.
const SAID_LEN_MAX: usize = 4096;

/// An answer that somebody reads, and not only counts.
pub(super) struct Answer {
    pub(super) etag: String,
    /// The beginning of the body.
    pub(super) text: String,
}

/// A connection without a request under way.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

/// The head of a reply, in the buffer, and the length of its body.
struct Head {
    status: u16,
    body_len: u64,
    /// Where in the buffer the body starts.
    end: usize,
    /// How much of the buffer is filled.
    filled: usize,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Problem> {
        let stream = TcpStream::connect(address).await.map_err(failed("connecting"))?;
        stream.set_nodelay(true).map_err(failed("connecting"))?;
        Ok(Self { stream, buffer: vec![0; BUFFER_LEN].into() })
    }

    /// Sends one request and reads its reply to the end; returns the bytes of both bodies.
    pub(super) async fn send(&mut self, signed: &Signed) -> Result<u64, Problem> {
        self.write(signed).await?;
        let head = self.head(signed).await?;
        if !matches!(head.status, 200 | 206) {
            return Err(self.refusal(signed, &head).await);
        }
        let mut left = head.body_len.saturating_sub((head.filled - head.end) as u64);
        while left > 0 {
            left = left.saturating_sub(self.read(0).await? as u64);
        }
        Ok(signed.body_len + head.body_len)
    }

    /// As [`Self::send`], for a reply that somebody reads.
    pub(super) async fn ask(&mut self, signed: &Signed) -> Result<Answer, Problem> {
        self.write(signed).await?;
        let head = self.head(signed).await?;
        if !matches!(head.status, 200 | 206) {
            return Err(self.refusal(signed, &head).await);
        }
        let etag = self.parsed(head.end)?.and_then(|parsed| parsed.etag).unwrap_or_default();
        Ok(Answer { etag, text: self.text(&head).await? })
    }

    async fn write(&mut self, signed: &Signed) -> Result<(), Problem> {
        let block = match &signed.body {
            Some(body) => &body[..],
            None => noise(),
        };
        let first = usize::try_from(signed.body_len).unwrap_or(BLOCK).min(block.len());
        let mut start = Buf::chain(&signed.head[..], &block[..first]);
        self.stream.write_all_buf(&mut start).await.map_err(failed("sending a request"))?;
        let mut left = signed.body_len - first as u64;
        while left > 0 {
            let next = usize::try_from(left).unwrap_or(BLOCK).min(block.len());
            self.stream.write_all(&block[..next]).await.map_err(failed("sending a request"))?;
            left -= next as u64;
        }
        Ok(())
    }

    async fn head(&mut self, signed: &Signed) -> Result<Head, Problem> {
        let mut filled = 0;
        loop {
            filled += self.read(filled).await?;
            if let Some(Parsed { status, body_len, end, .. }) = self.parsed(filled)? {
                let body_len = if signed.is_head { 0 } else { body_len.ok_or_else(without_length)? };
                return Ok(Head { status, body_len, end, filled });
            }
        }
    }

    /// The head that is in so much of the buffer, if it is all there.
    fn parsed(&self, filled: usize) -> Result<Option<Parsed>, Problem> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut reply = httparse::Response::new(&mut headers);
        let unreadable = |reason: String| Problem::Unreadable { what: "a reply", reason };
        let status = reply.parse(&self.buffer[..filled]).map_err(|error| unreadable(error.to_string()))?;
        let httparse::Status::Complete(end) = status else { return Ok(None) };
        let value = |name: &str| {
            let found = reply.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        Ok(Some(Parsed {
            status: reply.code.unwrap_or(0),
            body_len: value("content-length").and_then(|length| length.parse().ok()),
            etag: value("etag").map(str::to_owned),
            end,
        }))
    }

    async fn text(&mut self, head: &Head) -> Result<String, Problem> {
        let mut said = self.buffer[head.end..head.filled].to_vec();
        while (said.len() as u64) < head.body_len {
            let more = self.read(0).await?;
            said.extend_from_slice(&self.buffer[..more]);
        }
        said.truncate(SAID_LEN_MAX);
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    async fn refusal(&mut self, signed: &Signed, head: &Head) -> Problem {
        match self.text(head).await {
            Ok(text) => Problem::Failed { what: format!("{} ({}: {text})", signed.name, head.status) },
            Err(problem) => problem,
        }
    }

    /// Reads into the buffer from `at` on; how much.
    async fn read(&mut self, at: usize) -> Result<usize, Problem> {
        match self.stream.read(&mut self.buffer[at..]).await.map_err(failed("reading a reply"))? {
            0 => {
                Err(Problem::Failed { what: "reading a reply (the server closed the connection)".to_owned() })
            }
            read => Ok(read),
        }
    }
}

struct Parsed {
    status: u16,
    body_len: Option<u64>,
    etag: Option<String>,
    end: usize,
}

fn without_length() -> Problem {
    Problem::Unreadable { what: "a reply", reason: "it has no Content-Length".to_owned() }
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Problem {
    move |error| Problem::Failed { what: format!("{what} ({error})") }
}
