//! A real server on a free port, over a store in a temporary directory, and a client that signs by hand.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses what it needs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, also where an example borrows this")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use strongroom_iam::{Credentials, Iam, IamOptions};
use strongroom_kms::{LocalKms, LocalKmsOptions, Provider, Unlock, WhenMissing};
use strongroom_objects::{Objects, ObjectsOptions};
use strongroom_s3::{Drained, S3Options, serve};
use strongroom_seal::{Context, Envelope, OsRandom, RootKey, record};
use strongroom_store::{RootKeyError, RootKeys, Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::ServerConfig;
use zeroize::Zeroizing;

pub mod client;

pub const ACCESS_KEY: &str = "AKIDTEST";
pub const SECRET: &str = "a secret that only tests know";

/// Wraps the store's keys under one key in memory.
#[derive(Debug)]
struct MemoryKeys(RootKey);

impl RootKeys for MemoryKeys {
    fn wrap(&self, _: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        let blob = record::seal(&self.0, context, key, &OsRandom);
        Ok(Envelope { provider: "memory".into(), key_id: "root".into(), key_version: 1, blob })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let key = record::open(&self.0, context, &envelope.blob);
        let key = key.map_err(|_| RootKeyError::Wrong { key_id: envelope.key_id.clone() })?;
        Ok(Zeroizing::new(key.as_slice().try_into().unwrap()))
    }
}

/// The parts of a server, in `dir`.
pub async fn parts(dir: &Path) -> (Objects, Iam) {
    parts_with(dir, |kms| Arc::new(kms)).await
}

/// [`parts`] with a KMS made from the local one.
pub async fn parts_with(dir: &Path, kms_of: impl FnOnce(LocalKms) -> Arc<dyn Provider>) -> (Objects, Iam) {
    let root_keys = Arc::new(MemoryKeys(RootKey::from_bytes(&mut [7; 32])));
    let (store_dir, kms_dir) = (dir.join("store"), dir.join("kms"));
    let (store, iam, kms) = tokio::task::spawn_blocking(move || {
        let store = Store::create_or_open(StoreOptions::new(store_dir, root_keys)).unwrap();
        let credentials = Credentials::from_parts(Some(ACCESS_KEY.into()), Some(SECRET.into())).unwrap();
        let (iam, _) = Iam::open(&store, IamOptions::default(), credentials).unwrap();
        let mut options = LocalKmsOptions::new(kms_dir, Unlock::Generated);
        options.when_missing = WhenMissing::Create;
        (store, iam, LocalKms::open(options).unwrap())
    })
    .await
    .unwrap();
    let objects = Objects::open(store, kms_of(kms), ObjectsOptions::new(dir.join("blobs"))).await.unwrap();
    (objects, iam)
}

/// A server that runs until it is dropped or stopped.
pub struct Server {
    pub addr: SocketAddr,
    pub dir: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Drained>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(S3Options::default(), None).await
    }

    pub async fn with(options: S3Options, tls: Option<Arc<ServerConfig>>) -> Self {
        Self::with_kms(options, tls, |kms| Arc::new(kms)).await
    }

    pub async fn with_kms(
        options: S3Options,
        tls: Option<Arc<ServerConfig>>,
        kms_of: impl FnOnce(LocalKms) -> Arc<dyn Provider>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (objects, iam) = parts_with(dir.path(), kms_of).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            serve(listener, tls, options, objects, iam, shutdown).await.unwrap()
        });
        Self { addr, dir, stop: Some(stop), running: Some(running) }
    }

    pub fn client(&self) -> client::Client {
        client::Client::new(self.addr, "http")
    }

    /// Asks the server to stop, and returns what it says when it has.
    pub fn stop(&mut self) -> JoinHandle<Drained> {
        drop(self.stop.take());
        self.running.take().unwrap()
    }
}

/// A certificate for 127.0.0.1, and the server that presents it.
pub fn self_signed() -> (Arc<ServerConfig>, Vec<u8>) {
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.der().to_vec())
}
