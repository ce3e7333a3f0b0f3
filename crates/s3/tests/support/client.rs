//! Signature Version 4 by hand, so that every header can be wrong on purpose.

use std::fmt::Write;
use std::net::SocketAddr;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use super::{ACCESS_KEY, SECRET};

pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

pub fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(data).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

pub fn sha256_hex(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

/// Percent-encodes everything that is not unreserved; `/` stays if it is part of a path.
pub fn encoded(text: &str, path: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b'/' if path => out.push('/'),
            _ => write!(out, "%{byte:02X}").unwrap(),
        }
    }
    out
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The text of the first element with this name.
    pub fn element(&self, name: &str) -> &str {
        let text = self.text();
        let (_, rest) =
            text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {text}"));
        rest.split_once(&format!("</{name}>")).unwrap().0
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.is_success(), "{} {}", self.status, String::from_utf8_lossy(&self.body));
        self
    }

    /// Status and code of an error.
    pub fn error(&self) -> (u16, &str) {
        (self.status.as_u16(), self.element("Code"))
    }
}

/// A request that is not signed yet.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub unsigned_headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub payload: Option<String>,
    pub at: OffsetDateTime,
    pub access_key: String,
    pub secret: String,
}

impl Call {
    pub fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            unsigned_headers: Vec::new(),
            body: Vec::new(),
            payload: None,
            at: OffsetDateTime::now_utc(),
            access_key: ACCESS_KEY.to_owned(),
            secret: SECRET.to_owned(),
        }
    }

    pub fn put(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::PUT, path).body(body)
    }

    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What stands in `x-amz-content-sha256` instead of the body's hash.
    pub fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.to_owned());
        self
    }

    pub fn uri(&self) -> String {
        let mut query = self.query.clone();
        query.sort();
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false)))
            .collect();
        let path = encoded(&self.path, true);
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// All headers with the signature among them, and what further chunks are signed with.
    pub fn signed(&self, host: &str) -> (Vec<(String, String)>, Signing) {
        let stamp =
            self.at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap();
        let payload = self.payload.clone().unwrap_or_else(|| sha256_hex(&self.body));
        let mut headers = self.headers.clone();
        headers.push(("host".into(), host.into()));
        headers.push(("x-amz-date".into(), stamp.clone()));
        headers.push(("x-amz-content-sha256".into(), payload.clone()));
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let uri = self.uri();
        let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
        let canonical = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{payload}", self.method);
        let scope = format!("{}/us-east-1/s3/aws4_request", &stamp[..8]);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let mut key = hmac(format!("AWS4{}", self.secret).as_bytes(), &stamp.as_bytes()[..8]);
        for part in ["us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
        headers.push((
            "authorization".into(),
            format!(
                "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
                self.access_key
            ),
        ));
        headers.extend(self.unsigned_headers.iter().cloned());
        (headers, Signing { key, stamp, scope, last: signature })
    }
}

/// Signs the chunks of a streaming upload.
pub struct Signing {
    key: [u8; 32],
    stamp: String,
    scope: String,
    last: String,
}

impl Signing {
    pub fn chunk(&mut self, data: &[u8]) -> Vec<u8> {
        let to_sign = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{}",
            self.stamp,
            self.scope,
            self.last,
            sha256_hex(b""),
            sha256_hex(data)
        );
        self.last = hex::encode(hmac(&self.key, to_sign.as_bytes()));
        let mut out = format!("{:x};chunk-signature={}\r\n", data.len(), self.last).into_bytes();
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
        out
    }
}

#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub scheme: &'static str,
    pub host: String,
}

impl Client {
    pub fn new(addr: SocketAddr, scheme: &'static str) -> Self {
        Self { http: reqwest::Client::new(), scheme, host: addr.to_string() }
    }

    pub async fn send(&self, call: Call) -> Answer {
        let (headers, _) = call.signed(&self.host);
        self.send_as(call, headers).await
    }

    pub async fn send_as(&self, call: Call, headers: Vec<(String, String)>) -> Answer {
        let url = format!("{}://{}{}", self.scheme, self.host, call.uri());
        let mut request = self.http.request(call.method, url);
        for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        Answer::of(request.body(call.body).send().await.unwrap()).await
    }

    pub async fn bucket(&self, name: &str) {
        self.send(Call::put(&format!("/{name}"), "")).await.ok();
    }
}
