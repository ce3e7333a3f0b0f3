//! A connection to a store: one signed request at a time.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Response, StatusCode};
use rusty_s3::signing::sign;
use rusty_s3::{Credentials, Method, UrlStyle};
use serde::de::DeserializeOwned;

use super::xml::{self, DeleteResult, ErrorAnswer, InitiateMultipartUpload, ListBuckets, ListObjects};
use super::{ClientError, ConnectionArgs, interrupt};

/// How long a signed request stays valid: long enough for its first byte to arrive.
const SIGNATURE_SECONDS: u64 = 900;

/// What it takes to ask a store.
#[derive(Clone)]
pub(super) struct Connection {
    endpoint: reqwest::Url,
    region: String,
    credentials: Credentials,
    http: reqwest::Client,
    pub(super) quiet: bool,
}

/// One request to be signed and sent.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: Body,
}

impl Connection {
    pub(super) fn new(args: &ConnectionArgs) -> Result<Self, ClientError> {
        let endpoint = args.endpoint.clone().or_else(|| std::env::var("AWS_ENDPOINT_URL").ok());
        let endpoint = endpoint.as_deref().unwrap_or("http://127.0.0.1:9000");
        let endpoint = endpoint
            .parse()
            .map_err(|error| ClientError::Usage(format!("the endpoint {endpoint}: {error}")))?;
        let region = args.region.clone().or_else(|| std::env::var("AWS_DEFAULT_REGION").ok());
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let mut http = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).tcp_nodelay(true);
        if args.no_verify_tls {
            http = http.danger_accept_invalid_certs(true);
        }
        if let Some(path) = &args.ca_cert {
            let file_error = |source| ClientError::File { path: path.display().to_string(), source };
            let pem = std::fs::read(path).map_err(file_error)?;
            let certificate = reqwest::Certificate::from_pem(&pem)
                .map_err(|error| ClientError::Usage(format!("{}: {error}", path.display())))?;
            http = http.add_root_certificate(certificate);
        }
        let http = http.build().map_err(|source| ClientError::http("setting up HTTP", source))?;
        Ok(Self { endpoint, region, credentials: credentials()?, http, quiet: args.quiet })
    }

    /// Sends one request; an answer that is an error becomes one.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Response, ClientError> {
        interrupt::or(self.send_anyway(request)).await
    }

    /// The same, also after a signal came: for what cleans up.
    async fn send_anyway(&self, request: Request<'_>) -> Result<Response, ClientError> {
        let what = what(&request);
        let url = self.signed(&request);
        let mut builder = match request.method {
            Method::Get => self.http.get(url),
            Method::Head => self.http.head(url),
            // S3 wants to be told that there is nothing, which the HTTP library leaves out.
            Method::Put if request.body.as_bytes().is_some_and(<[u8]>::is_empty) => {
                self.http.put(url).header(CONTENT_LENGTH, 0)
            }
            Method::Put => self.http.put(url),
            Method::Post => self.http.post(url),
            Method::Delete => self.http.delete(url),
        };
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        let answer = builder
            .body(request.body)
            .send()
            .await
            .map_err(|source| ClientError::http(what.clone(), source))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(what, answer).await) }
    }

    fn signed(&self, request: &Request<'_>) -> reqwest::Url {
        let url = if request.bucket.is_empty() {
            self.endpoint.clone()
        } else {
            match rusty_s3::Bucket::new(
                self.endpoint.clone(),
                UrlStyle::Path,
                request.bucket.to_owned(),
                self.region.clone(),
            ) {
                Ok(bucket) => bucket.object_url(request.key),
                // The endpoint was parsed as a URL; a bucket name that cannot be in one is refused by the store.
                Err(_) => self.endpoint.clone(),
            }
        };
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let mut pairs: Vec<_> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            pairs.sort();
            pairs
        };
        let (query, headers) = (own(request.query), own(request.headers));
        let mut headers: Vec<(Cow<'_, str>, Cow<'_, str>)> =
            headers.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        headers.push(("host".into(), host.into()));
        headers.sort();
        sign(
            &jiff::Timestamp::now(),
            request.method,
            url,
            self.credentials.key(),
            self.credentials.secret(),
            self.credentials.token(),
            &self.region,
            SIGNATURE_SECONDS,
            query.iter().map(|(n, v)| (n.as_str(), v.as_str())),
            headers.iter().map(|(n, v)| (n.as_ref(), v.as_ref())),
        )
    }

    async fn simple(
        &self,
        method: Method,
        bucket: &str,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Response, ClientError> {
        self.send(Request { method, bucket, key, query, headers: &[], body: Body::default() }).await
    }

    pub(super) async fn create_bucket(&self, bucket: &str) -> Result<(), ClientError> {
        self.simple(Method::Put, bucket, "", &[]).await.map(drop)
    }

    pub(super) async fn delete_bucket(&self, bucket: &str) -> Result<(), ClientError> {
        self.simple(Method::Delete, bucket, "", &[]).await.map(drop)
    }

    pub(super) async fn buckets(&self) -> Result<ListBuckets, ClientError> {
        parsed("listing buckets", self.simple(Method::Get, "", "", &[]).await?).await
    }

    pub(super) async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        recursive: bool,
        token: Option<&str>,
    ) -> Result<ListObjects, ClientError> {
        let mut query = vec![("list-type", "2"), ("prefix", prefix)];
        if !recursive {
            query.push(("delimiter", "/"));
        }
        query.extend(token.map(|token| ("continuation-token", token)));
        parsed(
            &format!("listing s3://{bucket}/{prefix}"),
            self.simple(Method::Get, bucket, "", &query).await?,
        )
        .await
    }

    pub(super) async fn head(&self, bucket: &str, key: &str) -> Result<Response, ClientError> {
        self.simple(Method::Head, bucket, key, &[]).await
    }

    pub(super) async fn get(&self, bucket: &str, key: &str) -> Result<Response, ClientError> {
        let headers = [("x-amz-checksum-mode", "ENABLED")];
        self.send(Request {
            method: Method::Get,
            bucket,
            key,
            query: &[],
            headers: &headers,
            body: Body::default(),
        })
        .await
    }

    pub(super) async fn delete(&self, bucket: &str, key: &str) -> Result<(), ClientError> {
        self.simple(Method::Delete, bucket, key, &[]).await.map(drop)
    }

    /// Removes up to 1,000 objects in one request; answers which could not be.
    pub(super) async fn delete_many(
        &self,
        bucket: &str,
        keys: &[String],
    ) -> Result<Vec<xml::DeleteError>, ClientError> {
        let mut body = String::from("<Delete><Quiet>true</Quiet>");
        for key in keys {
            let _infallible = write!(body, "<Object><Key>{}</Key></Object>", xml::escaped(key));
        }
        body.push_str("</Delete>");
        let checksum = crc64(body.as_bytes());
        let headers = [("x-amz-checksum-crc64nvme", checksum.as_str())];
        let query = [("delete", "")];
        let answer = self
            .send(Request {
                method: Method::Post,
                bucket,
                key: "",
                query: &query,
                headers: &headers,
                body: body.into(),
            })
            .await?;
        Ok(parsed::<DeleteResult>("removing objects", answer).await?.error)
    }

    pub(super) async fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        content_type: &str,
    ) -> Result<String, ClientError> {
        let headers = [
            ("content-type", content_type),
            ("x-amz-checksum-algorithm", "CRC64NVME"),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ];
        let query = [("uploads", "")];
        let answer = self
            .send(Request {
                method: Method::Post,
                bucket,
                key,
                query: &query,
                headers: &headers,
                body: Body::default(),
            })
            .await?;
        Ok(parsed::<InitiateMultipartUpload>("starting an upload", answer).await?.upload_id)
    }

    /// Sends content in one request, or as one part; answers its `ETag`.
    pub(super) async fn put(
        &self,
        bucket: &str,
        key: &str,
        query: &[(&str, &str)],
        content_type: Option<&str>,
        content: bytes::Bytes,
    ) -> Result<String, ClientError> {
        let checksum = crc64(&content);
        let mut headers = vec![("x-amz-checksum-crc64nvme", checksum.as_str())];
        headers.extend(content_type.map(|value| ("content-type", value)));
        let answer = self
            .send(Request {
                method: Method::Put,
                bucket,
                key,
                query,
                headers: &headers,
                body: content.into(),
            })
            .await?;
        let etag = answer.headers().get("etag").and_then(|value| value.to_str().ok());
        etag.map(str::to_owned).ok_or_else(|| ClientError::Answer {
            what: format!("s3://{bucket}/{key}"),
            why: "no ETag".into(),
        })
    }

    pub(super) async fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        etags: &[String],
    ) -> Result<(), ClientError> {
        let mut body = String::from("<CompleteMultipartUpload>");
        for (index, etag) in etags.iter().enumerate() {
            let number = index + 1;
            let _infallible = write!(
                body,
                "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>",
                xml::escaped(etag)
            );
        }
        body.push_str("</CompleteMultipartUpload>");
        let query = [("uploadId", upload)];
        let what = format!("s3://{bucket}/{key}");
        let answer = self
            .send(Request {
                method: Method::Post,
                bucket,
                key,
                query: &query,
                headers: &[],
                body: body.into(),
            })
            .await?;
        outcome(what, answer, "CompleteMultipartUploadResult").await
    }

    pub(super) async fn abort_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
    ) -> Result<(), ClientError> {
        let query = [("uploadId", upload)];
        let request = Request {
            method: Method::Delete,
            bucket,
            key,
            query: &query,
            headers: &[],
            body: Body::default(),
        };
        self.send_anyway(request).await.map(drop)
    }

    /// Copies inside the store, and comes back when the copy is there.
    pub(super) async fn copy(&self, from: (&str, &str), to: (&str, &str)) -> Result<(), ClientError> {
        let (from_bucket, from_key) = from;
        let source: String = rusty_s3::Bucket::new(
            self.endpoint.clone(),
            UrlStyle::Path,
            from_bucket.to_owned(),
            self.region.clone(),
        )
        .map_err(|error| ClientError::Usage(format!("s3://{from_bucket}: {error}")))?
        .object_url(from_key)
        .path()
        .to_owned();
        let headers = [("x-amz-copy-source", source.as_str())];
        let answer = self
            .send(Request {
                method: Method::Put,
                bucket: to.0,
                key: to.1,
                query: &[],
                headers: &headers,
                body: Body::default(),
            })
            .await?;
        outcome(format!("s3://{}/{}", to.0, to.1), answer, "CopyObjectResult").await
    }
}

/// The checksum that S3 calls CRC64NVME, as it stands in a header.
pub(super) fn crc64(content: &[u8]) -> String {
    encode_crc64(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, content))
}

pub(super) fn encode_crc64(value: u64) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(value.to_be_bytes())
}

fn credentials() -> Result<Credentials, ClientError> {
    credentials_among(|name| std::env::var(name).ok()).ok_or(ClientError::NoCredentials)
}

/// The first complete pair, with the session token of the same family: one of another family would spoil the signature.
fn credentials_among(variable: impl Fn(&str) -> Option<String>) -> Option<Credentials> {
    const FAMILIES: [(&str, &str, Option<&str>); 3] = [
        ("STRONGROOM_ACCESS_KEY", "STRONGROOM_SECRET_KEY", Some("STRONGROOM_SESSION_TOKEN")),
        ("STRONGROOM_ROOT_ACCESS_KEY", "STRONGROOM_ROOT_SECRET_KEY", None),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", Some("AWS_SESSION_TOKEN")),
    ];
    FAMILIES.iter().find_map(|(key, secret, token)| {
        let (key, secret) = (variable(key)?, variable(secret)?);
        // An empty one is how shells spell "none".
        let token = token.and_then(&variable).filter(|token| !token.is_empty());
        Some(match token {
            Some(token) => Credentials::new_with_token(key, secret, token),
            None => Credentials::new(key, secret),
        })
    })
}

fn what(request: &Request<'_>) -> String {
    match (request.bucket, request.key) {
        ("", _) => "the store".into(),
        (bucket, "") => format!("s3://{bucket}"),
        (bucket, key) => format!("s3://{bucket}/{key}"),
    }
}

/// How a copy or a completion ended. What takes long is answered with 200 before its end is known, then white space keeps
/// the connection alive, and only the document that comes last says whether it was done: its root is then `done`.
async fn outcome(what: String, answer: Response, done: &str) -> Result<(), ClientError> {
    let status = answer.status();
    let text = async { answer.text().await.map_err(|source| ClientError::http(what.clone(), source)) };
    let text = interrupt::or(text).await?;
    match xml::root(&text).as_deref() {
        Some(root) if root == done => Ok(()),
        Some("Error") => Err(refused(what, &text, status)),
        Some(root) => Err(ClientError::Answer { what, why: format!("a {root} where a {done} was expected") }),
        None => Err(ClientError::Answer { what, why: "it ends without saying whether it was done".into() }),
    }
}

async fn parsed<T: DeserializeOwned>(what: &str, answer: Response) -> Result<T, ClientError> {
    let text = answer.text().await.map_err(|source| ClientError::http(what, source))?;
    quick_xml::de::from_str(&text)
        .map_err(|error| ClientError::Answer { what: what.to_owned(), why: error.to_string() })
}

async fn refusal(what: String, answer: Response) -> ClientError {
    let status = answer.status();
    let request_id = answer
        .headers()
        .get("x-amz-request-id")
        .and_then(|v| v.to_str().ok())
        .unwrap_or("unknown")
        .to_owned();
    match answer.text().await {
        Ok(text) if text.contains("<Error>") => refused(what, &text, status),
        // The answer to HEAD has no body to explain itself.
        _ => {
            let code = status.as_str().to_owned();
            let message = match status {
                StatusCode::NOT_FOUND => "there is no such bucket or object".into(),
                StatusCode::FORBIDDEN => "access denied".into(),
                _ => status.canonical_reason().unwrap_or("the store refused").to_lowercase(),
            };
            ClientError::Refused { what, code, message, request_id }
        }
    }
}

fn refused(what: String, text: &str, status: StatusCode) -> ClientError {
    match quick_xml::de::from_str::<ErrorAnswer>(text) {
        Ok(error) => ClientError::Refused {
            what,
            code: error.code,
            message: error.message.trim_end_matches('.').to_owned(),
            request_id: error.request_id,
        },
        Err(error) => ClientError::Answer { what, why: format!("{status}, {error}") },
    }
}

#[cfg(test)]
mod tests;
