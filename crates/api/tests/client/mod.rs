//! A small HTTP client that shows the bytes as they come.

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }
}

#[allow(dead_code, reason = "each test file uses its part")]
/// Sends `method path` on a connection of its own and reads to the end.
pub(crate) async fn request(to: std::net::SocketAddr, method: &str, path: &str) -> Answer {
    raw(to, &format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")).await
}

#[allow(dead_code, reason = "each test file uses its part")]
/// Sends these bytes and reads to the end.
pub(crate) async fn raw(to: std::net::SocketAddr, bytes: &str) -> Answer {
    exchange(TcpStream::connect(to).await.unwrap(), bytes).await
}

/// Sends these bytes on this connection and reads to the end.
pub(crate) async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &str) -> Answer {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    parse(&String::from_utf8(text).unwrap())
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}
