//! Authentication and authorisation through a real listener: who may do what to which thing, under which conditions.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod between;
mod conditions;
mod facts;
mod forms;
mod injection;
mod kms_keys;
mod matrix;
mod operations;
mod oracle;
mod people;
mod sample;
mod strangers;
mod tokens;

use std::sync::Arc;

use reqwest::Method;
use strongroom_iam::{Iam, Identity, Target};
use strongroom_objects::{BucketName, DocumentKind, Objects};
use strongroom_s3::{S3Options, SseCTransport, serve};
use support::client::{Answer, Call, Client};
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;

/// A server, and what is behind it.
struct Setup {
    client: Client,
    iam: Iam,
    objects: Objects,
    _dir: tempfile::TempDir,
}

/// An access key and what signs with it.
#[derive(Clone)]
struct Keys {
    access_key: String,
    secret: String,
    token: Option<String>,
}

impl Setup {
    /// With a bucket called `bkt` that has an object `k`.
    async fn new() -> Self {
        Self::with(None).await
    }

    /// The same behind TLS.
    async fn secure() -> Self {
        Self::with(Some(support::self_signed())).await
    }

    async fn with(tls: Option<(Arc<ServerConfig>, Vec<u8>)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (objects, iam) = support::parts(dir.path()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut client = Client::new(listener.local_addr().unwrap(), scheme);
        let tls = tls.map(|(tls, certificate)| {
            let trusted = reqwest::Certificate::from_der(&certificate).unwrap();
            client.http = reqwest::Client::builder().tls_certs_only([trusted]).build().unwrap();
            tls
        });
        let options = S3Options { sse_c: SseCTransport::DangerousAnyTransport, ..S3Options::default() };
        let forever = std::future::pending::<()>();
        tokio::spawn(serve(listener, tls, options, objects.clone(), iam.clone(), forever));
        let setup = Self { client, iam, objects, _dir: dir };
        setup.client.bucket("bkt").await;
        setup.root(Call::put("/bkt/k", "content")).await.ok();
        setup
    }

    async fn root(&self, call: Call) -> Answer {
        self.client.send(call).await
    }

    async fn by(&self, keys: &Keys, mut call: Call) -> Answer {
        call.access_key.clone_from(&keys.access_key);
        call.secret.clone_from(&keys.secret);
        if let Some(token) = &keys.token {
            call = call.header("x-amz-security-token", token);
        }
        self.client.send(call).await
    }

    async fn stranger(&self, call: Call) -> Answer {
        let headers = call.headers.clone();
        self.client.send_as(call, headers).await
    }

    /// A user with one policy, which can be replaced under the user's name.
    async fn user(&self, name: &str, statements: &str) -> Keys {
        self.iam.create_user(&Identity::Root, name).await.unwrap();
        self.policy(name, statements).await;
        self.iam.attach_policy(&Identity::Root, name, &Target::User(name.to_owned())).await.unwrap();
        let made = self.iam.create_access_key(&Identity::Root, name).await.unwrap();
        Keys {
            access_key: made.access_key.to_string(),
            secret: made.secret.dangerous_expose().to_owned(),
            token: None,
        }
    }

    async fn policy(&self, name: &str, statements: &str) {
        let json = policy(statements);
        self.iam.put_policy(&Identity::Root, name, &json, None).await.unwrap();
    }

    /// Sets the bucket's policy past all checks of the operation that sets one.
    async fn bucket_policy(&self, bucket: &str, statements: &str) {
        let bucket = BucketName::parse(bucket).unwrap();
        let json = policy(statements).into_bytes();
        self.objects.set_bucket_document(&bucket, DocumentKind::Policy, Some(json)).await.unwrap();
    }

    /// Takes the public access block away.
    async fn unblock(&self, bucket: &str) {
        self.objects.set_public_access_block(&BucketName::parse(bucket).unwrap(), None).await.unwrap();
    }
}

/// A policy of these statements.
fn policy(statements: &str) -> String {
    format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{statements}]}}")
}

/// A statement.
fn statement(effect: &str, actions: &[&str], resource: &str) -> String {
    let actions: Vec<_> = actions.iter().map(|action| format!("\"{action}\"")).collect();
    format!("{{\"Effect\":\"{effect}\",\"Action\":[{}],\"Resource\":\"{resource}\"}}", actions.join(","))
}

/// Whether the answer says that it may not be done.
fn denied(answer: &Answer) -> bool {
    answer.status == 403 && (answer.body.is_empty() || answer.element("Code") == "AccessDenied")
}

fn get(path: &str) -> Call {
    Call::new(Method::GET, path)
}
