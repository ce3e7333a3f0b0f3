//! `strongroom server`: opens the store, serves it, and leaves it clean.

mod admin;
mod admin_socket;
mod audit;
mod backup;
mod banner;
mod key_metrics;
mod keys;
mod kms_generation;
mod manager;
mod open_files;
mod probe;
mod roles;
mod root_keys;
mod tls;

use std::convert::Infallible;
use std::env::VarError;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_api::ApiDeps;
use strongroom_api::admin::AdminDeps;
use strongroom_api::rest::{Rest, RestOptions};
use strongroom_iam::{Credentials, FirstStart, Iam, IamOptions};
use strongroom_kms::{LocalKms, LocalKmsOptions, Passphrase, Provider, Unlock, WhenMissing};
use strongroom_objects::{Objects, ObjectsOptions, PatientDisk, lifecycle};
use strongroom_s3::{Limits, S3Options, SseCTransport};
use strongroom_seal::{OsRandom, Random};
use strongroom_store::disk::OsDisk;
use strongroom_store::{KeyLimits, Store, StoreOptions};
use strongroom_telemetry::{Metrics, RequestId, logs, names};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::cli::ServerArgs;
use crate::config::{Config, LogFormat, PASSPHRASE_VARIABLE, UnlockSource};
use crate::events::{Acts, Events};
pub(crate) use kms_generation::of_image as kms_generation_of;
use open_files::Connections;
use roles::Roles;
pub(crate) use root_keys::KmsRootKeys;

/// Of a row of the system group that the server itself keeps: its table, and whether it is as it must be.
pub(crate) fn check_row(key: &[u8], value: &[u8]) -> Option<(&'static str, bool)> {
    let note = kms_generation::check_row(key, value).map(|good| ("notes of the KMS", good));
    note.or_else(|| probe::check_row(key, value).map(|good| ("probes", good)))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ROOT_ACCESS_KEY_VARIABLE: &str = "STRONGROOM_ROOT_ACCESS_KEY";
const ROOT_SECRET_KEY_VARIABLE: &str = "STRONGROOM_ROOT_SECRET_KEY";

/// Serves until a signal comes.
pub(crate) fn run(args: &ServerArgs) -> Result<(), Failure> {
    let config = Config::load(args)?;
    forbid_core_dumps()?;
    let format = match config.log_format {
        LogFormat::Text => logs::Format::Human,
        LogFormat::Json => logs::Format::Json,
    };
    logs::init(&config.log_level, format)?;
    let connections = open_files::raise()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("strongroom").build()?;
    let result = runtime.block_on(serve(config, connections));
    // Whatever still runs has had its grace period.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A core dump would be the process's memory, keys and all, in the clear on a disk.
fn forbid_core_dumps() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

async fn serve(mut config: Config, connections: Connections) -> Result<(), Failure> {
    let webhooks = std::mem::take(&mut config.webhooks);
    let event_targets: Vec<_> = webhooks.iter().map(|webhook| webhook.id.clone()).collect();
    let config = &config;
    // Ports first: a busy one must not leave a half-made store behind.
    let s3_listener = listen("S3", config.s3_listen).await?;
    let api_listener = listen("API", config.api_listen).await?;
    let manager_listener = listen("manager", config.manager_listen).await?;
    let s3_address = s3_listener.local_addr()?;
    let tls = tls::config(&config.tls, &s3_address.ip().to_string())?;
    let prometheus = Metrics::install()?;
    metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let mut signals = Signals::new()?;

    let opening = Opening::of(config)?;
    let runtime = Handle::current();
    let opened = tokio::task::spawn_blocking(move || opening.open(runtime)).await??;
    let Opened { store, kms, noting, iam, first_start, fresh } = opened;
    if let Some(newer) = store.recovered().newer_root {
        let root = store.key_report().root;
        tracing::warn!(
            "the keyring is wrapped by version {} of the root key {:?}, which has version {newer} by now; \
             `strongroom admin keys root change` moves it there, and the older one is needed until then",
            root.key_version,
            root.key_id
        );
    }
    let options = ObjectsOptions {
        data_keys: config.data_keys,
        hot_bytes: config.object_cache_bytes,
        customer_keys_in_new_buckets: config.sse_c_in_new_buckets,
        event_targets: event_targets.iter().cloned().collect(),
        ..ObjectsOptions::new(config.data_dir.join("blobs"))
    };
    let objects = Objects::open(store.clone(), Arc::clone(&kms), options).await?;

    let told = banner::print(&banner::Facts {
        config,
        s3: s3_address,
        api: api_listener.local_addr()?,
        manager: manager_listener.local_addr()?,
        fresh,
        first_start: first_start.as_ref(),
        recovery: &store.recovered(),
    });
    match told {
        Ok(()) if first_start.is_some() => {
            let iam = iam.clone();
            tokio::task::spawn_blocking(move || iam.root_was_shown()).await??;
        }
        Ok(()) => {}
        Err(error) => {
            tracing::warn!(%error, "standard output takes nothing; credentials are shown at the next start")
        }
    }

    store.add_key_user(objects.key_user());
    store.add_key_user(iam.key_user());
    store.key_users_are_complete();
    let (admin_listener, admin_socket) = admin_socket::bind(&config.data_dir)?;
    let (stop, stopped) = watch::channel(false);
    let acts = Acts { objects: objects.clone(), iam: iam.clone() };
    let checks = [strongroom_api::Check::kms(Arc::clone(&kms)), probe::store(store.clone())];
    let rest_options = RestOptions {
        rate: config.api_rate,
        tokens_over_http: config.api_tokens_over_http,
        region: config.region.clone(),
    };
    let rest = Some(Rest::new(objects.clone(), iam.clone(), rest_options));
    let api_deps = ApiDeps {
        checks: Arc::new(checks),
        metrics: prometheus,
        key_metrics: key_metrics::of(store.clone()),
        rest: rest.clone(),
        request_ids: Arc::new(request_id),
        connections_max: connections.api,
    };
    let mut roles = Roles::default();
    let s3 = strongroom_s3::serve(
        s3_listener,
        tls.clone(),
        s3_options(config, event_targets, connections.s3),
        objects.clone(),
        iam,
        on(stopped.clone()),
    );
    roles.start("S3", async { s3.await.map(drop) });
    roles.start("the API", strongroom_api::serve(api_listener, tls, api_deps, on(stopped.clone())));
    let manager = manager::serve(manager_listener, connections.manager, on(stopped.clone()));
    roles.start("the manager", unfailing(manager));
    let (events, seen) = Events::new(webhooks, acts, &config.region)?;
    let admin_deps = AdminDeps {
        admin: Arc::new(admin::Administrator::new(
            store.clone(),
            objects.clone(),
            Arc::clone(&kms),
            noting,
            seen,
        )),
        rest,
        request_ids: Arc::new(request_id),
    };
    roles.start("lifecycle", unfailing(lifecycle::run(objects.clone(), on(stopped.clone()))));
    roles.start("sending of events", unfailing(events.run(on(stopped.clone()))));
    roles.start("the watch over keys", unfailing(keys::watch(store.clone(), on(stopped.clone()))));
    roles.start("administration", strongroom_api::admin::serve(admin_listener, admin_deps, on(stopped)));

    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopping: finishing requests; a second signal stops at once");
            Ok(())
        }
        ended = roles.first_to_end() => {
            tracing::error!("{ended}; stopping");
            Err(ended)
        }
    };
    stop.send_replace(true);
    let drained = async {
        let ended = ended.and(roles.all_to_end().await);
        admin_socket.remove();
        objects.close().await;
        drop(objects);
        tokio::task::spawn_blocking(move || store.close()).await??;
        Ok::<(), Failure>(ended?)
    };
    tokio::select! {
        result = drained => result?,
        signal = signals.next() => return Err(StoppedAtOnce { signal }.into()),
    }
    tracing::info!("stopped; the store is clean");
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("stopped at once by a second {signal}; the next start replays the log")]
struct StoppedAtOnce {
    signal: &'static str,
}

fn request_id() -> RequestId {
    let mut random = [0; 16];
    OsRandom.fill(&mut random);
    RequestId::from_random(random)
}

/// What has no way to fail, as what has.
async fn unfailing(work: impl Future<Output = ()>) -> Result<(), Infallible> {
    work.await;
    Ok(())
}

fn s3_options(config: &Config, event_targets: Vec<String>, connections_max: usize) -> S3Options {
    let defaults = S3Options::default();
    S3Options {
        domains: config.domains.clone(),
        event_targets,
        region: config.region.clone(),
        sse_c: if config.sse_c_over_http {
            SseCTransport::DangerousAnyTransport
        } else {
            SseCTransport::TlsOnly
        },
        limits: Limits {
            drain: Duration::from_secs(config.shutdown_grace_seconds),
            connections_max,
            ..defaults.limits
        },
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { what, address, source })
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {what}: {}", reason(.source))]
struct ListenError {
    what: &'static str,
    address: SocketAddr,
    source: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port; stop it or choose another (port 0 picks a free one)".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        io::ErrorKind::PermissionDenied => "this user may not use that port; choose one above 1023".into(),
        _ => error.to_string(),
    }
}

/// What opening needs, read before anything is opened.
struct Opening {
    dir: PathBuf,
    cache_bytes: usize,
    key_limits: KeyLimits,
    reseal_workers: usize,
    unlock: Unlock,
    root_credentials: Option<Credentials>,
}

struct Opened {
    store: Store,
    kms: Arc<dyn Provider>,
    noting: kms_generation::Noting,
    iam: Iam,
    first_start: Option<FirstStart>,
    fresh: bool,
}

impl Opening {
    fn of(config: &Config) -> Result<Self, Failure> {
        let unlock = unlock(config)?;
        let root_credentials =
            Credentials::from_parts(variable(ROOT_ACCESS_KEY_VARIABLE)?, variable(ROOT_SECRET_KEY_VARIABLE)?)
                .map_err(RootCredentialsError)?;
        Ok(Self {
            dir: config.data_dir.clone(),
            cache_bytes: config.index_cache_bytes,
            key_limits: config.key_limits,
            reseal_workers: config.reseal_workers,
            unlock,
            root_credentials,
        })
    }

    fn open(self, runtime: Handle) -> Result<Opened, Failure> {
        let fresh = !Store::is_initialised(&self.dir)?;
        let kms = LocalKms::open(LocalKmsOptions {
            when_missing: if fresh { WhenMissing::Create } else { WhenMissing::Refuse },
            ..LocalKmsOptions::new(self.dir.join("kms"), self.unlock)
        })?;
        let provider: Arc<dyn Provider> = Arc::new(kms.clone());
        let root_keys = Arc::new(KmsRootKeys::new(Arc::clone(&provider), runtime));
        let store = Store::create_or_open(StoreOptions {
            cache_bytes: self.cache_bytes,
            key_limits: self.key_limits,
            reseal_workers: self.reseal_workers,
            disk: Arc::new(PatientDisk::new(Arc::new(OsDisk))),
            ..StoreOptions::new(&self.dir, root_keys)
        })?;
        let noting = kms_generation::Noting::new(store.clone(), kms);
        noting.note()?;
        let (iam, first_start) = Iam::open(&store, IamOptions::default(), self.root_credentials)?;
        Ok(Opened { store, kms: provider, noting, iam, first_start, fresh })
    }
}

/// What opens the local keyring, as the configuration says.
pub(crate) fn unlock(config: &Config) -> Result<Unlock, Failure> {
    Ok(match &config.unlock {
        UnlockSource::Generated => Unlock::Generated,
        UnlockSource::KeyFile(path) => Unlock::KeyFile(path.clone()),
        UnlockSource::PassphraseFile(path) => Unlock::Passphrase(passphrase_in(path)?),
        UnlockSource::PassphraseVariable => {
            Unlock::Passphrase(Passphrase::new(variable(PASSPHRASE_VARIABLE)?.unwrap_or_default()))
        }
    })
}

#[derive(Debug, thiserror::Error)]
#[error("{ROOT_ACCESS_KEY_VARIABLE} and {ROOT_SECRET_KEY_VARIABLE}: {0}")]
struct RootCredentialsError(strongroom_iam::CredentialsError);

/// The first line of a file, without its end.
pub(crate) fn passphrase_in(path: &Path) -> Result<Passphrase, Failure> {
    let mut text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(Passphrase::new(text))
}

fn variable(name: &'static str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is not valid text").into()),
    }
}

/// Resolves when the server is to stop.
async fn on(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a reason to stop as well.
    let _told = stopped.wait_for(|stopped| *stopped).await;
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
