//! A server of the API on a free port, and the same on a socket, over a store in a temporary directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_api::rest::{RateLimit, Rest, RestOptions};
use strongroom_api::{ApiDeps, serve};
use strongroom_iam::{Credentials, Iam, IamOptions, Identity, Scope, TokenSpec};
use strongroom_kms::{LocalKms, LocalKmsOptions, Provider, Unlock, WhenMissing};
use strongroom_objects::{Objects, ObjectsOptions};
use strongroom_seal::{Context, Envelope, OsRandom, RootKey, record};
use strongroom_store::{Clock, RootKeyError, RootKeys, Store, StoreOptions, SystemClock};
use strongroom_telemetry::{Metrics, RequestId};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use zeroize::Zeroizing;

use crate::client::{Answer, exchange};

/// A webhook that buckets may name; nobody sends to it, so its events stay to be looked at.
pub(crate) const TARGET: &str = "hook";

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

/// The system's clock, which a test can put forward.
#[derive(Debug, Default)]
pub(crate) struct Ahead(AtomicU64);

impl Ahead {
    pub(crate) fn by(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Ahead {
    fn now_seconds(&self) -> u64 {
        SystemClock.now_seconds() + self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Server {
    dir: tempfile::TempDir,
    /// By what the time of identities is decided.
    pub(crate) clock: Arc<Ahead>,
    pub(crate) address: SocketAddr,
    pub(crate) iam: Iam,
    pub(crate) objects: Objects,
    /// A token of root with all scopes.
    pub(crate) root: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(RateLimit { per_second: 0, burst: 0 }).await
    }

    pub(crate) async fn with(rate: RateLimit) -> Self {
        Self::with_kms(rate, |kms| Arc::new(kms)).await
    }

    /// With a KMS made from the local one.
    pub(crate) async fn with_kms(
        rate: RateLimit,
        kms_of: impl FnOnce(LocalKms) -> Arc<dyn Provider>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Ahead::default());
        let (objects, iam) = parts(dir.path(), Arc::clone(&clock) as Arc<dyn Clock>, kms_of).await;
        let options = RestOptions { rate, tokens_over_http: false, region: "us-east-1".into() };
        let rest = Rest::new(objects.clone(), iam.clone(), options);
        let request_ids: Arc<dyn Fn() -> RequestId + Send + Sync> =
            Arc::new(|| RequestId::from_random([9; 16]));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deps = ApiDeps {
            checks: Arc::new([]),
            metrics: Metrics::install().unwrap(),
            key_metrics: Arc::new(|| "# keys\n".to_owned()),
            rest: Some(rest.clone()),
            request_ids: Arc::clone(&request_ids),
            connections_max: 64,
        };
        tokio::spawn(serve(listener, None, deps, std::future::pending()));
        let door = UnixListener::bind(dir.path().join("door")).unwrap();
        let deps =
            strongroom_api::admin::AdminDeps { admin: Arc::new(NoAdmin), rest: Some(rest), request_ids };
        tokio::spawn(strongroom_api::admin::serve(door, deps, std::future::pending()));

        let root = token(&iam, &Identity::Root, &Scope::ALL).await;
        Self { dir, clock, address, iam, objects, root }
    }

    /// A request of root's.
    pub(crate) async fn root(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        self.ask(&self.root, method, path, headers, body).await
    }

    /// A request with a token; an empty one is none.
    pub(crate) async fn ask(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> Answer {
        let authorization = format!("Authorization: Bearer {token}");
        let mut all = headers.to_vec();
        if !token.is_empty() {
            all.push(&authorization);
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        exchange(stream, &request(method, path, &all, body)).await
    }

    /// A request at the door, without a token.
    pub(crate) async fn door(&self, method: &str, path: &str, body: &str) -> Answer {
        let stream = UnixStream::connect(self.socket()).await.unwrap();
        exchange(stream, &request(method, path, &[], body)).await
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("door")
    }

    /// A user with these policies, and a token of it with these scopes.
    pub(crate) async fn user(&self, name: &str, policies: &[&str], scopes: &[Scope]) -> String {
        let by = Identity::Root;
        let made = self.iam.create_user(&by, name).await.unwrap();
        for policy in policies {
            let target = strongroom_iam::Target::User(name.to_owned());
            self.iam.attach_policy(&by, policy, &target).await.unwrap();
        }
        token(&self.iam, &Identity::User { name: made.name }, scopes).await
    }

    /// A bucket with one object, `a`.
    pub(crate) async fn bucket(&self, name: &str) {
        let made = self.root("POST", "/api/v1/buckets", &[], &format!("{{\"name\":\"{name}\"}}")).await;
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("/api/v1/buckets/{name}/objects/a");
        let stored = self.root("PUT", &path, &["Content-Type: text/plain"], "content of a").await;
        assert_eq!(stored.status, 201, "{stored:?}");
    }
}

pub(crate) async fn token(iam: &Iam, owner: &Identity, scopes: &[Scope]) -> String {
    let spec = TokenSpec { scopes: scopes.to_vec(), ..TokenSpec::default() };
    let (_, secret) = iam.create_token(&Identity::Root, owner, spec).await.unwrap();
    secret.dangerous_expose().to_owned()
}

fn request(method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for header in headers {
        text += &format!("{header}\r\n");
    }
    let typed = headers.iter().any(|header| header.to_lowercase().starts_with("content-type:"));
    if !body.is_empty() && !typed {
        text += "Content-Type: application/json\r\n";
    }
    if !body.is_empty() || matches!(method, "PUT" | "POST") {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

async fn parts(
    dir: &Path,
    clock: Arc<dyn Clock>,
    kms_of: impl FnOnce(LocalKms) -> Arc<dyn Provider>,
) -> (Objects, Iam) {
    let root_keys = Arc::new(MemoryKeys(RootKey::from_bytes(&mut [7; 32])));
    let (store_dir, kms_dir) = (dir.join("store"), dir.join("kms"));
    let (store, iam, kms) = tokio::task::spawn_blocking(move || {
        let store = Store::create_or_open(StoreOptions::new(store_dir, root_keys)).unwrap();
        let credentials = Credentials::from_parts(Some("ROOT".into()), Some("root's secret".into())).unwrap();
        let (iam, _) = Iam::open(&store, IamOptions { clock, ..IamOptions::default() }, credentials).unwrap();
        let options = LocalKmsOptions {
            when_missing: WhenMissing::Create,
            ..LocalKmsOptions::new(kms_dir, Unlock::Generated)
        };
        (store, iam, LocalKms::open(options).unwrap())
    })
    .await
    .unwrap();
    let options = ObjectsOptions {
        event_targets: [TARGET.to_owned()].into(),
        ..ObjectsOptions::new(dir.join("blobs"))
    };
    let objects = Objects::open(store, kms_of(kms), options).await.unwrap();
    (objects, iam)
}

/// What the door does beside this API is tried elsewhere.
struct NoAdmin;

mod no_admin {
    use async_trait::async_trait;
    use strongroom_api::admin::{
        Admin, AdminError, AuditPage, AuditPlace, BackupStatus, ChangeReseal, ChangeRootKey, Checkpoint,
        EventsReport, Fault, KeyReport, ResealStatus, RootKey, RootKeyChange, RotateKeys, RotatedKeys,
        StartBackup,
    };

    use super::NoAdmin;

    fn no<T>() -> Result<T, AdminError> {
        Err(AdminError::new(Fault::Unavailable, "NotHere", "not in this test"))
    }

    #[async_trait]
    impl Admin for NoAdmin {
        async fn key_report(&self, _: Option<String>) -> Result<KeyReport, AdminError> {
            no()
        }
        async fn rotate_keys(&self, _: RotateKeys) -> Result<RotatedKeys, AdminError> {
            no()
        }
        async fn root_key(&self) -> Result<RootKey, AdminError> {
            no()
        }
        async fn change_root_key(&self, _: ChangeRootKey) -> Result<RootKeyChange, AdminError> {
            no()
        }
        async fn reseal_status(&self) -> Result<ResealStatus, AdminError> {
            no()
        }
        async fn change_reseal(&self, _: ChangeReseal) -> Result<ResealStatus, AdminError> {
            no()
        }
        async fn checkpoint(&self) -> Result<Checkpoint, AdminError> {
            no()
        }
        async fn start_backup(&self, _: StartBackup) -> Result<BackupStatus, AdminError> {
            no()
        }
        async fn backup_status(&self) -> Result<BackupStatus, AdminError> {
            no()
        }
        async fn stop_backup(&self) -> Result<BackupStatus, AdminError> {
            no()
        }
        async fn audit(&self, _: AuditPlace) -> Result<AuditPage, AdminError> {
            no()
        }
        async fn events(&self) -> Result<EventsReport, AdminError> {
            no()
        }
    }
}
