//! From file, environment and flags to one checked [`Config`].

mod check;
mod file;
mod limits;
mod webhooks;

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

pub(crate) use check::check;
pub(crate) use webhooks::{FileSecret, Streams, Webhook};

use crate::cli::ServerArgs;
use file::{Api, File, Keys};
use limits::{api_rate, data_keys, key_limits};
use strongroom_api::rest::RateLimit;
use strongroom_objects::DataKeyOptions;
use strongroom_store::KeyLimits;

/// Whether a text is a configuration, for tests with mangled ones.
#[cfg(test)]
pub(crate) fn is_file(text: &str) -> bool {
    File::parse(text).is_ok()
}

/// What a server runs with. Every value has been checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) s3_listen: SocketAddr,
    pub(crate) api_listen: SocketAddr,
    pub(crate) manager_listen: SocketAddr,
    pub(crate) domains: Vec<String>,
    pub(crate) region: String,
    pub(crate) tls: Tls,
    pub(crate) sse_c_over_http: bool,
    pub(crate) sse_c_in_new_buckets: bool,
    pub(crate) api_tokens_over_http: bool,
    pub(crate) api_rate: RateLimit,
    pub(crate) unlock: UnlockSource,
    /// How keys of the KMS are kept in memory.
    pub(crate) data_keys: DataKeyOptions,
    pub(crate) log_level: String,
    pub(crate) log_format: LogFormat,
    pub(crate) index_cache_bytes: usize,
    pub(crate) object_cache_bytes: usize,
    pub(crate) shutdown_grace_seconds: u64,
    pub(crate) key_limits: KeyLimits,
    pub(crate) reseal_workers: usize,
    pub(crate) webhooks: Vec<Webhook>,
}

/// How connections are protected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Plain HTTP.
    Off,
    /// HTTPS with this chain and key.
    Files { cert: PathBuf, key: PathBuf },
    /// HTTPS with a certificate made at start.
    SelfSigned,
}

/// What opens the local keyring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UnlockSource {
    /// A key file generated beside the data.
    Generated,
    /// The operator's key file.
    KeyFile(PathBuf),
    /// A passphrase in a file.
    PassphraseFile(PathBuf),
    /// A passphrase in the variable `STRONGROOM_KMS_PASSPHRASE`.
    PassphraseVariable,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The name of the variable that may hold the passphrase itself. Never a flag: flags are visible to others.
pub(crate) const PASSPHRASE_VARIABLE: &str = "STRONGROOM_KMS_PASSPHRASE";

/// Where everything is kept when nobody says otherwise.
pub(crate) const DATA_DIR: &str = "./data";

/// What holds when nobody says otherwise.
mod defaults {
    /// Everything listens on loopback until told otherwise, so a trial exposes nothing.
    pub(super) const S3_LISTEN: &str = "127.0.0.1:9000";
    pub(super) const API_LISTEN: &str = "127.0.0.1:8080";
    pub(super) const MANAGER_LISTEN: &str = "127.0.0.1:9400";
    /// What S3 clients assume when they are not told.
    pub(super) const REGION: &str = "us-east-1";
    /// An application that makes its buckets and brings its keys works unchanged. AWS blocks such keys in new buckets since April 2026
    /// (S3 User Guide, "Default SSE-C setting for new buckets FAQ"), for who steals credentials can hold objects to ransom with a
    /// key of their own: who does not need SSE-C switches it off here.
    pub(super) const SSE_C_IN_NEW_BUCKETS: bool = true;
    pub(super) const LOG_LEVEL: &str = "info";
    /// For the pages of all open buckets together; the rest of memory is better used by the page cache.
    pub(super) const INDEX_CACHE_MIB: u64 = 128;
    pub(super) const OBJECT_CACHE_MIB: u64 = 32;
    /// Longer than most requests, shorter than what service managers wait before they kill (30 s in
    /// Kubernetes).
    pub(super) const SHUTDOWN_GRACE_SECONDS: u64 = 25;
    /// Groups re-sealed at once: two go on while one waits for its disk, and more would take it from requests.
    pub(super) const RESEAL_WORKERS: usize = 2;
}

/// A mistake in the configuration: the key's name, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) key: String,
    pub(crate) problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// The configuration cannot be used; all mistakes at once.
#[derive(Debug)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration has a mistake: {one}"),
            many => {
                write!(f, "the configuration has {} mistakes:", many.len())?;
                many.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Reads the file that `args` names, lays environment and flags over it, and checks the whole.
    pub(crate) fn load(args: &ServerArgs) -> Result<Self, Mistakes> {
        let file = match &args.config {
            Some(path) => File::read(path).map_err(|mistake| Mistakes(vec![mistake]))?,
            None => File::default(),
        };
        let passphrase_set = std::env::var_os(PASSPHRASE_VARIABLE).is_some();
        Self::resolve(args, file, passphrase_set)
    }

    fn resolve(args: &ServerArgs, file: File, passphrase_set: bool) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let tuning = &args.tuning;
        let listen = |flag: &Option<String>,
                      in_file: Option<String>,
                      key: &str,
                      default: &str,
                      mistakes: &mut Vec<_>| {
            let text = flag.clone().or(in_file).unwrap_or_else(|| default.to_owned());
            address(key, &text).unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                SocketAddr::from(([127, 0, 0, 1], 0))
            })
        };
        let server = file.server;
        let s3_listen =
            listen(&args.s3_listen, server.s3_listen, "s3_listen", defaults::S3_LISTEN, &mut mistakes);
        let api_listen =
            listen(&args.api_listen, server.api_listen, "api_listen", defaults::API_LISTEN, &mut mistakes);
        let manager_listen = listen(
            &args.manager_listen,
            server.manager_listen,
            "manager_listen",
            defaults::MANAGER_LISTEN,
            &mut mistakes,
        );
        same_address("api_listen", api_listen, "s3_listen", s3_listen, &mut mistakes);
        same_address("manager_listen", manager_listen, "s3_listen", s3_listen, &mut mistakes);
        same_address("manager_listen", manager_listen, "api_listen", api_listen, &mut mistakes);

        let tls = tls(
            args.tls_cert.clone().or(server.tls_cert),
            args.tls_key.clone().or(server.tls_key),
            args.tls_self_signed.or(server.tls_self_signed).unwrap_or(false),
            &mut mistakes,
        );
        let mut domains = args.domains.clone().or(server.domains).unwrap_or_default();
        // An empty one is how a variable or flag says "none" over a file that names some.
        domains.retain(|domain| !domain.is_empty());
        for domain in &domains {
            if !is_domain(domain) {
                mistakes.push(Mistake {
                    key: "domains".into(),
                    problem: format!("`{domain}` is not a domain name such as s3.example.com"),
                });
            }
        }
        let region = args.region.clone().or(server.region).unwrap_or_else(|| defaults::REGION.into());
        if region.is_empty()
            || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            mistakes.push(Mistake {
                key: "region".into(),
                problem: format!("`{region}` is not a region name such as us-east-1"),
            });
        }
        let provider = args.kms_provider.clone().or(file.kms.provider).unwrap_or_else(|| "local".into());
        if provider != "local" {
            mistakes.push(Mistake {
                key: "kms.provider".into(),
                problem: format!("`{provider}` is not a provider of this version; it has: local"),
            });
        }
        let unlock = unlock(
            args.kms_key_file.clone().or(file.kms.key_file),
            args.kms_passphrase_file.clone().or(file.kms.passphrase_file),
            passphrase_set,
            &mut mistakes,
        );
        let data_keys = data_keys(
            tuning.kms_fresh_seconds.or(file.kms.fresh_seconds),
            tuning.kms_kept_seconds.or(file.kms.kept_seconds),
            &mut mistakes,
        );
        let log_format = match args.log_format.clone().or(file.monitoring.log_format).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                mistakes.push(Mistake {
                    key: "log_format".into(),
                    problem: format!("`{other}` is neither `text` nor `json`"),
                });
                LogFormat::Text
            }
        };
        let index_cache_mib =
            tuning.index_cache_mib.or(file.store.index_cache_mib).unwrap_or(defaults::INDEX_CACHE_MIB);
        if !(8..=1 << 20).contains(&index_cache_mib) {
            mistakes.push(Mistake {
                key: "store.index_cache_mib".into(),
                problem: "must be between 8 and 1048576".into(),
            });
        }
        let object_cache_mib =
            tuning.object_cache_mib.or(file.store.object_cache_mib).unwrap_or(defaults::OBJECT_CACHE_MIB);
        if object_cache_mib > 1 << 20 {
            mistakes.push(Mistake {
                key: "store.object_cache_mib".into(),
                problem: "must be at most 1048576; 0 keeps no objects in memory".into(),
            });
        }
        let reseal_workers =
            tuning.reseal_workers.or(file.keys.reseal_workers).unwrap_or(defaults::RESEAL_WORKERS);
        if !(1..=64).contains(&reseal_workers) {
            mistakes.push(Mistake {
                key: "keys.reseal_workers".into(),
                problem: "must be between 1 and 64; to let re-sealing rest: strongroom admin reseal pause"
                    .into(),
            });
        }
        let keys = Keys {
            rotate_after_days: tuning.rotate_after_days.or(file.keys.rotate_after_days),
            rotate_after_seals: tuning.rotate_after_seals.or(file.keys.rotate_after_seals),
            rotate_after_gib: tuning.rotate_after_gib.or(file.keys.rotate_after_gib),
            ..file.keys
        };
        let key_limits = key_limits(&keys, &mut mistakes);
        let api = Api {
            config_requests_per_second: (tuning.api_config_requests_per_second)
                .or(file.api.config_requests_per_second),
            config_requests_burst: tuning.api_config_requests_burst.or(file.api.config_requests_burst),
            ..file.api
        };
        let api_rate = api_rate(&api, &mut mistakes);
        let shutdown_grace_seconds = (tuning.shutdown_grace_seconds)
            .or(server.shutdown_grace_seconds)
            .unwrap_or(defaults::SHUTDOWN_GRACE_SECONDS);
        let webhooks = webhooks::resolve(file.webhooks, &mut mistakes);
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        Ok(Self {
            data_dir: args.data_dir.clone().or(file.data_dir).unwrap_or_else(|| DATA_DIR.into()),
            s3_listen,
            api_listen,
            manager_listen,
            domains,
            region,
            tls,
            sse_c_over_http: args.sse_c_over_http.or(server.sse_c_over_http).unwrap_or(false),
            sse_c_in_new_buckets: args
                .sse_c_in_new_buckets
                .or(server.sse_c_in_new_buckets)
                .unwrap_or(defaults::SSE_C_IN_NEW_BUCKETS),
            api_tokens_over_http: args.api_tokens_over_http.or(api.tokens_over_http).unwrap_or(false),
            api_rate,
            unlock,
            data_keys,
            log_level: args
                .log_level
                .clone()
                .or(file.monitoring.log_level)
                .unwrap_or_else(|| defaults::LOG_LEVEL.into()),
            log_format,
            index_cache_bytes: usize::try_from(index_cache_mib << 20).unwrap_or(usize::MAX),
            object_cache_bytes: usize::try_from(object_cache_mib << 20).unwrap_or(usize::MAX),
            shutdown_grace_seconds,
            key_limits,
            reseal_workers,
            webhooks,
        })
    }
}

fn address(key: &str, text: &str) -> Result<SocketAddr, Mistake> {
    let problem = |why: String| Mistake {
        key: key.to_owned(),
        problem: format!("`{text}` is not an address to listen on: {why}"),
    };
    if !text.contains(':') {
        return Err(problem("write host:port, for example 127.0.0.1:9000".into()));
    }
    text.to_socket_addrs()
        .map_err(|error| problem(error.to_string()))?
        .next()
        .ok_or_else(|| problem("the name has no address".into()))
}

fn same_address(
    key: &str,
    address: SocketAddr,
    other_key: &str,
    other: SocketAddr,
    mistakes: &mut Vec<Mistake>,
) {
    if address.port() != 0 && address == other {
        mistakes.push(Mistake {
            key: key.into(),
            problem: format!("{address} is also {other_key}; give each its own port"),
        });
    }
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>, self_signed: bool, mistakes: &mut Vec<Mistake>) -> Tls {
    match (cert, key, self_signed) {
        (None, None, false) => Tls::Off,
        (None, None, true) => Tls::SelfSigned,
        (Some(cert), Some(key), false) => {
            readable("tls_cert", &cert, mistakes);
            readable("tls_key", &key, mistakes);
            Tls::Files { cert, key }
        }
        (Some(_), Some(_), true) => {
            mistakes.push(Mistake {
                key: "tls_self_signed".into(),
                problem: "a certificate is given too; choose one".into(),
            });
            Tls::Off
        }
        (Some(_), None, _) => {
            mistakes.push(Mistake {
                key: "tls_key".into(),
                problem: "missing; tls_cert needs its private key".into(),
            });
            Tls::Off
        }
        (None, Some(_), _) => {
            mistakes.push(Mistake {
                key: "tls_cert".into(),
                problem: "missing; tls_key needs its certificate".into(),
            });
            Tls::Off
        }
    }
}

fn unlock(
    key_file: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    variable: bool,
    mistakes: &mut Vec<Mistake>,
) -> UnlockSource {
    match (key_file, passphrase_file, variable) {
        (None, None, false) => UnlockSource::Generated,
        (Some(path), None, false) => {
            readable("kms.key_file", &path, mistakes);
            UnlockSource::KeyFile(path)
        }
        (None, Some(path), false) => {
            readable("kms.passphrase_file", &path, mistakes);
            UnlockSource::PassphraseFile(path)
        }
        (None, None, true) => UnlockSource::PassphraseVariable,
        _ => {
            mistakes.push(Mistake {
                key: "kms".into(),
                problem: format!(
                    "give one of key_file, passphrase_file and {PASSPHRASE_VARIABLE}, not several"
                ),
            });
            UnlockSource::Generated
        }
    }
}

fn readable(key: &str, path: &Path, mistakes: &mut Vec<Mistake>) {
    if let Err(error) = std::fs::File::open(path) {
        mistakes
            .push(Mistake { key: key.into(), problem: format!("cannot read {}: {error}", path.display()) });
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    !text.is_empty() && text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests;
