//! The TOML file, as written. [`super::Config`] is what becomes of it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Mistake;
use super::webhooks::WebhookEntry;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) server: Server,
    pub(super) api: Api,
    pub(super) kms: Kms,
    pub(super) monitoring: Monitoring,
    pub(super) store: Store,
    pub(super) keys: Keys,
    pub(super) webhooks: Vec<WebhookEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) s3_listen: Option<String>,
    pub(super) api_listen: Option<String>,
    pub(super) manager_listen: Option<String>,
    pub(super) domains: Option<Vec<String>>,
    pub(super) region: Option<String>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) tls_self_signed: Option<bool>,
    pub(super) sse_c_over_http: Option<bool>,
    pub(super) sse_c_in_new_buckets: Option<bool>,
    pub(super) shutdown_grace_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Api {
    pub(super) tokens_over_http: Option<bool>,
    pub(super) config_requests_per_second: Option<u32>,
    pub(super) config_requests_burst: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Kms {
    pub(super) provider: Option<String>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) passphrase_file: Option<PathBuf>,
    pub(super) fresh_seconds: Option<u64>,
    pub(super) kept_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Monitoring {
    pub(super) log_level: Option<String>,
    pub(super) log_format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    pub(super) index_cache_mib: Option<u64>,
    pub(super) object_cache_mib: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    pub(super) rotate_after_days: Option<u64>,
    pub(super) rotate_after_seals: Option<u64>,
    pub(super) rotate_after_gib: Option<u64>,
    pub(super) reseal_workers: Option<usize>,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, Mistake> {
        let mistake = |problem: String| Mistake { key: path.display().to_string(), problem };
        let text =
            std::fs::read_to_string(path).map_err(|error| mistake(format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(|error| mistake(error.to_string().trim_end().to_owned()))
    }

    pub(super) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
