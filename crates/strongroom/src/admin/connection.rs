//! One JSON request at a time: over the server's socket, or to the API of one elsewhere.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::header::{AUTHORIZATION, ETAG, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strongroom_api::admin::PREFIX as DOOR_PREFIX;
use strongroom_api::rest::{PREFIX as API_PREFIX, Paged};
use zeroize::Zeroizing;

use super::error::AdminFailure;
use super::socket::SocketPath;

/// Where the server is.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// The data directory of the server, whose socket needs no token [default: ./data]
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA_DIR", global = true)]
    pub(super) data_dir: Option<PathBuf>,
    /// The API of a server elsewhere, such as https://store.example.com:8080; needs a token
    #[arg(
        long,
        value_name = "URL",
        env = "STRONGROOM_API_URL",
        global = true,
        help_heading = "A server elsewhere"
    )]
    api_url: Option<reqwest::Url>,
    /// File with the token for --api-url (or the variable STRONGROOM_TOKEN)
    #[arg(long, value_name = "FILE", global = true, help_heading = "A server elsewhere")]
    token_file: Option<PathBuf>,
    /// Certificate (PEM) to trust besides the system's
    #[arg(long, value_name = "FILE", global = true, help_heading = "A server elsewhere")]
    api_ca_file: Option<PathBuf>,
    /// Send the token over plain HTTP to another machine: for trials only
    #[arg(long, global = true, help_heading = "A server elsewhere")]
    token_over_http: bool,
}

/// The name of the variable that may hold a token. Never a flag: flags are visible to others.
const TOKEN_VARIABLE: &str = "STRONGROOM_TOKEN";

/// A way to a server.
#[derive(Debug)]
pub(super) struct Connection {
    to: To,
    http: reqwest::Client,
}

#[derive(Debug)]
enum To {
    /// The socket of a data directory.
    Door {
        dir: PathBuf,
        /// The path that `http` connects to.
        _socket: SocketPath,
    },
    /// The API's port, with a token in every request.
    Api { url: reqwest::Url },
}

/// What the server answers of something that has versions.
#[derive(Debug, Serialize)]
pub(super) struct Versioned<A> {
    #[serde(flatten)]
    pub(super) value: A,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
}

/// The version that a change is for.
#[derive(Debug, Default, Args)]
pub(super) struct IfMatch {
    /// Only if the version is still this one, as it is shown; `*` is any that there is
    #[arg(long, value_name = "VERSION")]
    if_match: Option<String>,
}

impl IfMatch {
    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        match self.if_match.as_deref() {
            None => request,
            Some("*") => request.header(IF_MATCH, "*"),
            Some(version) => request.header(IF_MATCH, format!("\"{}\"", version.trim_matches('"'))),
        }
    }
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
    pub(super) fn open(args: &ServerArgs) -> Result<Self, AdminFailure> {
        match &args.api_url {
            Some(url) => Self::to_api(url.clone(), args),
            None => Self::to_door(&args.dir()),
        }
    }

    fn to_door(dir: &Path) -> Result<Self, AdminFailure> {
        let no_server = |source| AdminFailure::NoServer { dir: dir.to_owned(), source };
        let socket = SocketPath::of(dir).map_err(no_server)?;
        let http =
            reqwest::Client::builder().unix_socket(socket.as_path()).build().map_err(AdminFailure::SetUp)?;
        Ok(Self { to: To::Door { dir: dir.to_owned(), _socket: socket }, http })
    }

    fn to_api(url: reqwest::Url, args: &ServerArgs) -> Result<Self, AdminFailure> {
        let wrong = AdminFailure::Api;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(wrong(format!("{url} is not the address of a server: write https://host:port")));
        }
        if url.scheme() == "http" && !is_loopback(&url) && !args.token_over_http {
            return Err(wrong(format!(
                "the token would be sent to {url} in the clear, for everybody on the way to read; use https, or \
                 --token-over-http for a trial"
            )));
        }
        let token = match &args.token_file {
            Some(path) => std::fs::read_to_string(path)
                .map(Zeroizing::new)
                .map_err(|error| wrong(format!("the token cannot be read: {}: {error}", path.display())))?,
            None => std::env::var(TOKEN_VARIABLE).map(Zeroizing::new).map_err(|_| {
                wrong(format!(
                    "--api-url needs a token: name its file with --token-file, or set {TOKEN_VARIABLE}"
                ))
            })?,
        };
        let header = Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut value = HeaderValue::from_str(&header).map_err(|_| {
            wrong("what was given is not a token: it has characters that tokens do not have".into())
        })?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        // The token is for this server and not for one that it names.
        let mut http = reqwest::Client::builder().default_headers(headers).redirect(Policy::none());
        if let Some(path) = &args.api_ca_file {
            let problem = |error: &dyn Error| wrong(format!("{}: {error}", path.display()));
            let pem = std::fs::read(path).map_err(|error| problem(&error))?;
            let certificate = reqwest::Certificate::from_pem(&pem).map_err(|error| problem(&error))?;
            http = http.add_root_certificate(certificate);
        }
        Ok(Self { to: To::Api { url }, http: http.build().map_err(AdminFailure::SetUp)? })
    }

    /// Asks the door without a body.
    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: Option<(&str, &str)>,
    ) -> Result<A, AdminFailure> {
        let mut url = self.door(path)?;
        if let Some((name, value)) = query {
            url.query_pairs_mut().append_pair(name, value);
        }
        self.send(self.http.request(method, url)).await
    }

    /// Asks the door with a body.
    pub(super) async fn tell<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, AdminFailure> {
        let request = self.http.request(method, self.door(path)?);
        self.send(with_json(request, body)?).await
    }

    /// Asks the API, here or elsewhere.
    pub(super) async fn get<A: DeserializeOwned>(&self, path: &[&str]) -> Result<A, AdminFailure> {
        self.send(self.http.get(self.api(path))).await
    }

    /// Asks the API for a list, page by page.
    pub(super) async fn get_all<A: DeserializeOwned + Paged>(
        &self,
        path: &[&str],
    ) -> Result<A, AdminFailure> {
        let mut all: A = self.get(path).await?;
        while let Some(after) = all.page().1.take() {
            let mut url = self.api(path);
            url.query_pairs_mut().append_pair("after", &after);
            let mut more: A = self.send(self.http.get(url)).await?;
            let (entries, next) = more.page();
            all.page().0.append(entries);
            // A server that does not go forward is not asked for ever.
            *all.page().1 = next.take().filter(|next| *next > after);
        }
        Ok(all)
    }

    /// Tells the API something.
    pub(super) async fn call<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<A, AdminFailure> {
        let request = self.http.request(method, self.api(path));
        self.send(match body {
            Some(body) => with_json(request, body)?,
            None => request,
        })
        .await
    }

    /// Asks the API for something that has versions.
    pub(super) async fn get_versioned<A: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> Result<Versioned<A>, AdminFailure> {
        self.send_versioned(self.http.get(self.api(path))).await
    }

    /// Changes something that has versions, if it is the one that is meant.
    pub(super) async fn change<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        if_match: &IfMatch,
        body: Option<&impl Serialize>,
    ) -> Result<Versioned<A>, AdminFailure> {
        let request = if_match.on(self.http.request(method, self.api(path)));
        self.send_versioned(match body {
            Some(body) => with_json(request, body)?,
            None => request,
        })
        .await
    }

    /// Tells the API something that it answers with nothing.
    pub(super) async fn carry_out(&self, method: Method, path: &[&str]) -> Result<(), AdminFailure> {
        self.carry_out_if(method, path, &IfMatch::default()).await
    }

    /// The same for something that has versions, if it is the one that is meant.
    pub(super) async fn carry_out_if(
        &self,
        method: Method,
        path: &[&str],
        if_match: &IfMatch,
    ) -> Result<(), AdminFailure> {
        self.answer(if_match.on(self.http.request(method, self.api(path)))).await.map(drop)
    }

    /// An address of the door. The host is never looked up: all connections go to the socket.
    fn door(&self, path: &str) -> Result<reqwest::Url, AdminFailure> {
        match &self.to {
            To::Door { .. } => Ok(format!("http://strongroom{DOOR_PREFIX}{path}")
                .parse()
                .expect("the paths of the door are parts of an address")),
            To::Api { .. } => Err(AdminFailure::Api(
                "this can be told only to the server of a data directory, on its own machine: leave --api-url out".into(),
            )),
        }
    }

    /// An address of the API. Names in it may have any characters.
    fn api(&self, path: &[&str]) -> reqwest::Url {
        let mut url = match &self.to {
            To::Door { .. } => "http://strongroom/".parse().expect("this is an address"),
            To::Api { url } => url.clone(),
        };
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(API_PREFIX.trim_start_matches('/').split('/')).extend(path);
        }
        url
    }

    async fn send<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, AdminFailure> {
        Ok(self.send_versioned(request).await?.value)
    }

    async fn send_versioned<A: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<Versioned<A>, AdminFailure> {
        let (body, version) = self.answer(request).await?;
        let value = serde_json::from_slice(&body).map_err(|error| AdminFailure::Answer(error.to_string()))?;
        Ok(Versioned { value, version })
    }

    /// The body, and the entity tag if there is one.
    async fn answer(
        &self,
        request: RequestBuilder,
    ) -> Result<(Zeroizing<Vec<u8>>, Option<String>), AdminFailure> {
        let answer = request.send().await.map_err(|error| self.failure(error))?;
        let status = answer.status();
        let version = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let version = version.map(|tag| tag.trim_matches('"').to_owned());
        let body = answer.bytes().await.map_err(|error| self.failure(error))?;
        // It may have a secret.
        let body = Zeroizing::new(body.to_vec());
        if status.is_success() {
            return Ok((body, version));
        }
        match serde_json::from_slice(&body) {
            Ok(Refusal { error: RefusalError { code, message, request_id } }) => {
                Err(AdminFailure::Refused { code, message, request_id })
            }
            Err(_) => Err(AdminFailure::Answer(format!("HTTP status {status}"))),
        }
    }

    fn failure(&self, error: reqwest::Error) -> AdminFailure {
        match (&self.to, error.is_connect(), io_cause(&error)) {
            (To::Door { dir, .. }, true, Some(source)) => AdminFailure::NoServer { dir: dir.clone(), source },
            (To::Api { url }, true, _) => {
                AdminFailure::Api(format!("the server at {url} cannot be reached: {}", innermost(&error)))
            }
            _ => AdminFailure::Broken(error.without_url()),
        }
    }
}

impl ServerArgs {
    /// The data directory, also if nobody named it.
    pub(super) fn dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| crate::config::DATA_DIR.into())
    }
}

fn with_json(request: RequestBuilder, body: &impl Serialize) -> Result<RequestBuilder, AdminFailure> {
    let body = serde_json::to_vec(body).map_err(|error| AdminFailure::Answer(error.to_string()))?;
    Ok(request.header("content-type", "application/json").body(body))
}

/// Whether a connection to this address stays on the machine.
fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What lies behind a failed connection: wrong certificates, for example.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        let of = |url: &str| is_loopback(&url.parse().unwrap());
        for url in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080/"] {
            assert!(of(url), "{url}");
        }
        for url in ["http://192.0.2.1", "http://localhost.example.com", "http://[2001:db8::1]"] {
            assert!(!of(url), "{url}");
        }
    }

    #[test]
    fn names_in_addresses_are_escaped_and_a_path_before_the_api_stays() {
        let url = "https://example.com/store/".parse().unwrap();
        let connection = Connection { to: To::Api { url }, http: reqwest::Client::new() };
        let made = connection.api(&["users", "a/b", "policies", "x+y"]);
        assert_eq!(made.as_str(), "https://example.com/store/api/v1/users/a%2Fb/policies/x+y");
    }
}
