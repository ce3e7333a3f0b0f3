//! What clients see of a KMS whose keys are disabled, or that is away.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use strongroom_kms::{KeyInfo, KeyState, KmsError, LocalKms, Provider};
use strongroom_s3::S3Options;
use strongroom_seal::{Context, DataKey, Envelope};
use support::client::{Answer, Call, Client, hmac};
use support::{ACCESS_KEY, SECRET, Server};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The local KMS behind a line that can be cut.
#[derive(Debug)]
struct Line {
    kms: LocalKms,
    cut: AtomicBool,
    calls: AtomicU64,
}

impl Line {
    fn call(&self) -> Result<&LocalKms, KmsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.cut.load(Ordering::SeqCst) {
            let source = Arc::new(std::io::Error::other("the line is cut"));
            return Err(KmsError::Unavailable { provider: "line", source });
        }
        Ok(&self.kms)
    }
}

#[async_trait]
impl Provider for Line {
    fn name(&self) -> &'static str {
        "local"
    }
    fn default_key(&self) -> &str {
        self.kms.default_key()
    }
    fn changes(&self) -> u64 {
        self.kms.changes()
    }
    async fn generate(&self, key_id: &str, context: &Context) -> Result<(DataKey, Envelope), KmsError> {
        self.call()?.generate(key_id, context).await
    }
    async fn wrap(&self, key_id: &str, key: &[u8; 32], context: &Context) -> Result<Envelope, KmsError> {
        self.call()?.wrap(key_id, key, context).await
    }
    async fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<DataKey, KmsError> {
        self.call()?.unwrap(envelope, context).await
    }
    async fn create_key(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        self.kms.create_key(key_id).await
    }
    async fn rotate(&self, key_id: &str) -> Result<u32, KmsError> {
        self.kms.rotate(key_id).await
    }
    async fn set_state(&self, key_id: &str, state: KeyState) -> Result<KeyInfo, KmsError> {
        self.kms.set_state(key_id, state).await
    }
    async fn list(&self) -> Result<Vec<KeyInfo>, KmsError> {
        self.call()?.list().await
    }
    async fn describe(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        self.call()?.describe(key_id).await
    }
    async fn probe(&self) -> Result<Duration, KmsError> {
        self.call()?.probe().await
    }
}

async fn started() -> (Server, Client, Arc<Line>) {
    let mut line = None;
    let server = Server::with_kms(S3Options::default(), None, |kms| {
        let made = Arc::new(Line { kms, cut: AtomicBool::new(false), calls: AtomicU64::new(0) });
        line = Some(Arc::clone(&made));
        made
    })
    .await;
    let (client, line) = (server.client(), line.unwrap());
    client.bucket("bucket").await;
    line.create_key("blue").await.unwrap();
    (server, client, line)
}

fn put(key: &str, method: &str) -> Call {
    Call::put(&format!("/bucket/{key}"), "content")
        .header("x-amz-server-side-encryption", method)
        .header("x-amz-server-side-encryption-aws-kms-key-id", "blue")
}

fn begin() -> Call {
    let call = Call::new(Method::POST, "/bucket/new").query("uploads", "");
    call.header("x-amz-server-side-encryption", "aws:kms")
        .header("x-amz-server-side-encryption-aws-kms-key-id", "blue")
}

fn copy(source: &str, encrypted: bool) -> Call {
    let call = Call::new(Method::PUT, "/bucket/copied").header("x-amz-copy-source", source);
    if !encrypted {
        return call;
    }
    call.header("x-amz-server-side-encryption", "aws:kms")
        .header("x-amz-server-side-encryption-aws-kms-key-id", "blue")
}

fn is(answer: &Answer, status: u16, code: &str, message: &str) {
    assert_eq!(answer.error(), (status, code));
    assert_eq!(answer.element("Message"), message);
}

fn part(upload: &str) -> Call {
    Call::put("/bucket/new", "part").query("partNumber", "1").query("uploadId", upload)
}

fn part_copy(upload: &str, source: &str) -> Call {
    let call = Call::new(Method::PUT, "/bucket/new").header("x-amz-copy-source", source);
    call.query("partNumber", "2").query("uploadId", upload)
}

/// A form whose file is to be encrypted with the key.
fn form() -> (Call, Vec<(String, String)>) {
    let now = OffsetDateTime::now_utc();
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let stamp = now.format(format).unwrap();
    let scope = format!("{}/us-east-1/s3/aws4_request", &stamp[..8]);
    let mut fields = vec![
        ("key", "new".to_owned()),
        ("x-amz-server-side-encryption", "aws:kms".to_owned()),
        ("x-amz-server-side-encryption-aws-kms-key-id", "blue".to_owned()),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("x-amz-credential", format!("{ACCESS_KEY}/{scope}")),
        ("x-amz-date", stamp.clone()),
    ];
    let conditions = fields.iter().map(|(name, value)| format!("{{\"{name}\":\"{value}\"}}"));
    let conditions: Vec<String> = conditions.chain([r#"{"bucket":"bucket"}"#.to_owned()]).collect();
    let expires = (now + time::Duration::minutes(5)).format(&Rfc3339).unwrap();
    let policy = format!("{{\"expiration\":\"{expires}\",\"conditions\":[{}]}}", conditions.join(","));
    let policy = STANDARD.encode(policy);
    let mut key = hmac(format!("AWS4{SECRET}").as_bytes(), &stamp.as_bytes()[..8]);
    for part in ["us-east-1", "s3", "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let signature = hex::encode(hmac(&key, policy.as_bytes()));
    fields.extend([("policy", policy), ("x-amz-signature", signature), ("file", "content".to_owned())]);
    let part = |(name, value)| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body: String = fields.into_iter().map(part).chain(["--xyz--\r\n".to_owned()]).collect();
    let mut call = Call::new(Method::POST, "/bucket").body(body);
    call.headers.clear();
    (call, vec![("content-type".to_owned(), "multipart/form-data; boundary=xyz".to_owned())])
}

/// Writes and reads of each kind that need the key.
async fn everything(client: &Client, uploads: &Uploads) -> Vec<Answer> {
    let calls = [
        part(&uploads.encrypted),
        part_copy(&uploads.encrypted, "/bucket/plain"),
        part_copy(&uploads.plain, "/bucket/kms"),
        put("new", "aws:kms"),
        put("new", "aws:kms:dsse"),
        put("new", "aws:kms").header("x-amz-server-side-encryption-bucket-key-enabled", "true"),
        begin(),
        copy("/bucket/plain", true),
        Call::get("/bucket/kms"),
        Call::get("/bucket/dsse"),
        Call::get("/bucket/kms").header("range", "bytes=1-2"),
        copy("/bucket/kms", false),
    ];
    let mut answers = Vec::new();
    for call in calls {
        answers.push(client.send(call).await);
    }
    let (call, headers) = form();
    answers.push(client.send_as(call, headers).await);
    answers
}

/// Uploads that have begun.
struct Uploads {
    encrypted: String,
    plain: String,
    /// With its only part, and that part's tag.
    whole: (String, String),
}

impl Uploads {
    /// Nothing is encrypted when an upload is completed, so no key is needed.
    async fn complete(&self, client: &Client) -> Answer {
        let (upload, etag) = &self.whole;
        let part = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
        let document = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
        client.send(Call::new(Method::POST, "/bucket/new").query("uploadId", upload).body(document)).await
    }
}

async fn stored(client: &Client) -> Uploads {
    client.send(put("kms", "aws:kms")).await.ok();
    client.send(put("dsse", "aws:kms:dsse")).await.ok();
    client.send(Call::put("/bucket/plain", "content")).await.ok();
    let mut begun = Vec::new();
    for call in [begin(), begin(), Call::new(Method::POST, "/bucket/new").query("uploads", "")] {
        begun.push(client.send(call).await.ok().element("UploadId").to_owned());
    }
    let [whole, encrypted, plain] = begun.try_into().unwrap();
    let etag = client.send(part(&whole)).await.ok().header("etag").unwrap().to_owned();
    Uploads { encrypted, plain, whole: (whole, etag) }
}

#[tokio::test]
async fn a_disabled_key_and_one_that_waits_for_its_deletion_are_told_as_aws_does_on_writes_and_reads() {
    let (_server, client, kms) = started().await;
    let uploads = stored(&client).await;
    client.send(Call::get("/bucket/kms")).await.ok();
    kms.set_state("blue", KeyState::Disabled).await.unwrap();
    for answer in everything(&client, &uploads).await {
        is(&answer, 400, "KMS.DisabledException", "arn:aws:kms:::key/blue is disabled.");
    }
    kms.set_state("blue", KeyState::PendingDeletion { delete_after: u64::MAX }).await.unwrap();
    for answer in everything(&client, &uploads).await {
        is(&answer, 400, "KMS.KMSInvalidStateException", "arn:aws:kms:::key/blue is pending deletion.");
    }
    uploads.complete(&client).await.ok();
    // What is known without the key is told, and the others are not disturbed.
    let head = client.send(Call::new(Method::HEAD, "/bucket/kms")).await.ok();
    assert_eq!(head.header("x-amz-server-side-encryption"), Some("aws:kms"));
    client.send(Call::get("/bucket/plain")).await.ok();
    kms.set_state("blue", KeyState::Enabled).await.unwrap();
    assert_eq!(client.send(Call::get("/bucket/dsse")).await.ok().body, b"content");
}

#[tokio::test]
async fn a_kms_that_is_away_is_a_503_with_a_sentence_and_never_a_500_or_an_empty_answer() {
    let (_server, client, kms) = started().await;
    let uploads = stored(&client).await;
    kms.cut.store(true, Ordering::SeqCst);
    for answer in everything(&client, &uploads).await {
        let message = "The key management service cannot be reached. Please try again.";
        is(&answer, 503, "ServiceUnavailable", message);
        assert!(answer.header("retry-after").is_some());
    }
    let calls = kms.calls.load(Ordering::SeqCst);
    uploads.complete(&client).await.ok();
    let listed = client.send(Call::get("/bucket")).await.ok();
    for key in ["dsse", "kms", "plain"] {
        assert!(listed.text().contains(&format!("<Key>{key}</Key>")));
    }
    client.send(Call::get("/bucket").query("versions", "")).await.ok();
    client.send(Call::new(Method::HEAD, "/bucket/dsse")).await.ok();
    assert_eq!(kms.calls.load(Ordering::SeqCst), calls, "neither completions nor listings nor heads ask");
    kms.cut.store(false, Ordering::SeqCst);
    assert_eq!(client.send(Call::get("/bucket/kms")).await.ok().body, b"content");
}
