//! One JSON request at a time over the server's socket.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strongroom_api::admin::PREFIX;

use super::error::AdminFailure;
use super::socket::SocketPath;

/// A way to the server of a data directory.
#[derive(Debug)]
pub(super) struct Connection {
    dir: PathBuf,
    http: reqwest::Client,
    /// The path that `http` connects to.
    _socket: SocketPath,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Debug, Deserialize)]
struct RefusalError {
    code: String,
    message: String,
    #[serde(default)]
    request_id: String,
}

impl Connection {
    /// Prepares to connect; nothing is sent yet.
    pub(super) fn open(dir: &Path) -> Result<Self, AdminFailure> {
        let no_server = |source| AdminFailure::NoServer { dir: dir.to_owned(), source };
        let socket = SocketPath::of(dir).map_err(no_server)?;
        let http =
            reqwest::Client::builder().unix_socket(socket.as_path()).build().map_err(AdminFailure::SetUp)?;
        Ok(Self { dir: dir.to_owned(), http, _socket: socket })
    }

    /// Asks without a body.
    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: Option<(&str, &str)>,
    ) -> Result<A, AdminFailure> {
        let mut url = address(path);
        if let Some((name, value)) = query {
            url.query_pairs_mut().append_pair(name, value);
        }
        self.send(self.http.request(method, url)).await
    }

    /// Asks with a body.
    pub(super) async fn tell<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, AdminFailure> {
        let body = serde_json::to_vec(body).map_err(|error| AdminFailure::Answer(error.to_string()))?;
        let request = self.http.request(method, address(path)).header("content-type", "application/json");
        self.send(request.body(body)).await
    }

    async fn send<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, AdminFailure> {
        let answer = request.send().await.map_err(|error| self.failure(error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.failure(error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| AdminFailure::Answer(error.to_string()));
        }
        match serde_json::from_slice(&body) {
            Ok(Refusal { error: RefusalError { code, message, request_id } }) => {
                Err(AdminFailure::Refused { code, message, request_id })
            }
            Err(_) => Err(AdminFailure::Answer(format!("HTTP status {status}"))),
        }
    }

    fn failure(&self, error: reqwest::Error) -> AdminFailure {
        match (error.is_connect(), io_cause(&error)) {
            (true, Some(source)) => AdminFailure::NoServer { dir: self.dir.clone(), source },
            _ => AdminFailure::Broken(error.without_url()),
        }
    }
}

/// The host is never looked up: all connections go to the socket.
fn address(path: &str) -> reqwest::Url {
    format!("http://strongroom{PREFIX}{path}").parse().expect("the paths of the door are parts of an address")
}

/// The operating system's word, from deep inside.
fn io_cause(error: &reqwest::Error) -> Option<io::Error> {
    let mut cause: &dyn Error = error;
    loop {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io.raw_os_error().map_or_else(|| io.kind().into(), io::Error::from_raw_os_error));
        }
        cause = cause.source()?;
    }
}
