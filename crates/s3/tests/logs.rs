//! Nothing a client named or sent rests in a log, at any level.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use strongroom_s3::{S3Options, SseCTransport};
use support::Server;
use support::client::Call;
use tracing_subscriber::EnvFilter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_line_holds_a_name_a_key_or_content_even_where_the_library_would_write_it() {
    let lines = Lines::default();
    let to = lines.clone();
    // The protocol library is asked for everything it would say.
    let filter =
        EnvFilter::new("off,s3s=trace,strongroom_s3=trace,strongroom_objects=trace,strongroom_store=trace");
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || to.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let options = S3Options { sse_c: SseCTransport::DangerousAnyTransport, ..S3Options::default() };
    let server = Server::with(options, None).await;
    let client = server.client();
    client.bucket("canary-bucket").await;
    let key = STANDARD.encode(b"canary-key-of-a-customer-32-byte");
    let put = Call::put("/canary-bucket/canary-name", "canary-content")
        .header("x-amz-meta-canary", "canary-metadata")
        .header("x-amz-tagging", "canary=tag")
        .header("x-amz-server-side-encryption-customer-algorithm", "AES256")
        .header("x-amz-server-side-encryption-customer-key", &key);
    client.send(put).await;
    client.send(Call::put("/canary-bucket/canary-name", "canary-content")).await.ok();
    client.send(Call::get("/canary-bucket/canary-missing")).await;
    client.send(Call::get("/canary-bucket").query("prefix", "canary-")).await.ok();
    let malformed = "<Delete><Object><Key>canary-name</Key></Objekt></Delete>";
    let answer =
        client.send(Call::new(Method::POST, "/canary-bucket").query("delete", "").body(malformed)).await;
    assert_eq!(answer.error(), (400, "MalformedXML"));

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("answered"), "our own lines are written");
    let request_id = answer.header("x-amz-request-id").unwrap();
    assert!(text.contains(request_id), "the answer's request id is on its line");
    for secret in ["canary", key.as_str(), support::SECRET] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}
