//! The command line.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};

use crate::admin::AdminArgs;
use crate::client::ClientCommand;
use crate::inspect::InspectCommand;

/// An S3-compatible object store in which nothing rests in the clear.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Start a store:        strongroom server --data-dir ./data\n\
                        Explain a config:     strongroom config check --config strongroom.toml\n\
                        Use a store:          strongroom cp ./photo.jpg s3://album/photo.jpg\n\
                        Show its keys:        strongroom admin keys groups --data-dir ./data\n\
                        Check its files:      strongroom inspect verify ./data")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a store: S3, REST API, health and metrics
    Server(ServerArgs),
    /// Look at the configuration without starting anything
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Tell a running server what to do: users, policies, tokens, keys, re-sealing, checkpoints, backups
    Admin(AdminArgs),
    /// Look at the files of a store that is not running: list, decode, verify. Changes nothing
    #[command(subcommand)]
    Inspect(InspectCommand),
    #[command(flatten)]
    Client(ClientCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check file, environment and flags as `server` would read them; print what holds and every mistake
    Check(ServerArgs),
}

/// What shapes a server. Flags win over `STRONGROOM_*`, which win over the file given with --config, whose names for the
/// same are in the table of docs/operations/configuration.md; webhooks stand in the file alone.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct ServerArgs {
    /// TOML file to read first
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept, sealed; made on the first start [default: ./data]
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where S3 clients connect; port 0 picks a free one and prints it [default: 127.0.0.1:9000]
    #[arg(long, value_name = "HOST:PORT", env = "STRONGROOM_S3_LISTEN", help_heading = "Addresses")]
    pub(crate) s3_listen: Option<String>,
    /// REST API, health and metrics; HTTPS if a certificate is given [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT", env = "STRONGROOM_API_LISTEN", help_heading = "Addresses")]
    pub(crate) api_listen: Option<String>,
    /// Peers' manager; answers "unimplemented" until peers exist [default: 127.0.0.1:9400]
    #[arg(long, value_name = "HOST:PORT", env = "STRONGROOM_MANAGER_LISTEN", help_heading = "Addresses")]
    pub(crate) manager_listen: Option<String>,
    /// Domain whose subdomains are bucket names (virtual-host style); may be given several times, and empty for none
    #[arg(
        long = "domain",
        value_name = "DOMAIN",
        env = "STRONGROOM_DOMAINS",
        value_delimiter = ',',
        help_heading = "Addresses"
    )]
    pub(crate) domains: Option<Vec<String>>,
    /// The region to answer as [default: us-east-1]
    #[arg(long, value_name = "NAME", env = "STRONGROOM_REGION", help_heading = "Addresses")]
    pub(crate) region: Option<String>,
    /// Certificate chain (PEM) to serve HTTPS with; needs --tls-key
    #[arg(long, value_name = "FILE", env = "STRONGROOM_TLS_CERT", help_heading = "TLS")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", env = "STRONGROOM_TLS_KEY", help_heading = "TLS")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Serve HTTPS with a certificate made at this start: for trials only
    #[arg(
        long,
        value_name = "BOOL",
        env = "STRONGROOM_TLS_SELF_SIGNED",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        help_heading = "TLS"
    )]
    pub(crate) tls_self_signed: Option<bool>,
    /// Accept customer keys (SSE-C) over plain HTTP: for trials only
    #[arg(
        long,
        value_name = "BOOL",
        env = "STRONGROOM_SSE_C_OVER_HTTP",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        help_heading = "TLS"
    )]
    pub(crate) sse_c_over_http: Option<bool>,
    /// Whether new buckets take objects under customer keys (SSE-C) at once; if not, they start with SSE-C blocked, as on AWS since
    /// April 2026, and PutBucketEncryption unblocks it [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        env = "STRONGROOM_SSE_C_IN_NEW_BUCKETS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        help_heading = "Keys"
    )]
    pub(crate) sse_c_in_new_buckets: Option<bool>,
    /// Take API tokens over plain HTTP from other machines too: for trials only
    #[arg(
        long,
        value_name = "BOOL",
        env = "STRONGROOM_API_TOKENS_OVER_HTTP",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new(),
        help_heading = "TLS"
    )]
    pub(crate) api_tokens_over_http: Option<bool>,
    /// Who holds the root key; this version has `local`, a keyring in the data directory [default: local]
    #[arg(long, value_name = "NAME", env = "STRONGROOM_KMS_PROVIDER", help_heading = "Keys")]
    pub(crate) kms_provider: Option<String>,
    /// File whose content unlocks the local keyring (at least 32 bytes; keep it away from the data)
    #[arg(long, value_name = "FILE", env = "STRONGROOM_KMS_KEY_FILE", help_heading = "Keys")]
    pub(crate) kms_key_file: Option<PathBuf>,
    /// File with the passphrase that unlocks the local keyring (or the variable STRONGROOM_KMS_PASSPHRASE)
    #[arg(long, value_name = "FILE", env = "STRONGROOM_KMS_PASSPHRASE_FILE", help_heading = "Keys")]
    pub(crate) kms_passphrase_file: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a filter such as `info,strongroom_store=debug` [default: info]
    #[arg(long, value_name = "LEVEL", env = "STRONGROOM_LOG_LEVEL", help_heading = "Monitoring")]
    pub(crate) log_level: Option<String>,
    /// How to log: `text` for people, `json` for machines [default: text]
    #[arg(long, value_name = "FORMAT", env = "STRONGROOM_LOG_FORMAT", help_heading = "Monitoring")]
    pub(crate) log_format: Option<String>,
    #[command(flatten)]
    pub(crate) tuning: TuningArgs,
}

/// What has good defaults and is numbers. `None` is what was not said.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct TuningArgs {
    /// How long requests may take to end after SIGTERM or Ctrl-C [default: 25]
    #[arg(long, value_name = "N", env = "STRONGROOM_SHUTDOWN_GRACE_SECONDS")]
    pub(crate) shutdown_grace_seconds: Option<u64>,
    /// Memory for index pages, of all buckets together [default: 128]
    #[arg(long, value_name = "N", env = "STRONGROOM_INDEX_CACHE_MIB")]
    pub(crate) index_cache_mib: Option<u64>,
    /// Memory for small objects, opened; 0 keeps none [default: 32]
    #[arg(long, value_name = "N", env = "STRONGROOM_OBJECT_CACHE_MIB")]
    pub(crate) object_cache_mib: Option<u64>,
    /// For how long a key of the KMS is used without asking again [default: 300]
    #[arg(long, value_name = "N", env = "STRONGROOM_KMS_FRESH_SECONDS")]
    pub(crate) kms_fresh_seconds: Option<u64>,
    /// For how long one is kept while the KMS cannot be asked [default: 3600]
    #[arg(long, value_name = "N", env = "STRONGROOM_KMS_KEPT_SECONDS")]
    pub(crate) kms_kept_seconds: Option<u64>,
    /// Age at which a bucket's key changes by itself; 0 is never [default: 0]
    #[arg(long, value_name = "N", env = "STRONGROOM_ROTATE_AFTER_DAYS")]
    pub(crate) rotate_after_days: Option<u64>,
    /// Seals after which one does [default: the most that are safe]
    #[arg(long, value_name = "N", env = "STRONGROOM_ROTATE_AFTER_SEALS")]
    pub(crate) rotate_after_seals: Option<u64>,
    /// GiB after which one does [default: the most that are safe]
    #[arg(long, value_name = "N", env = "STRONGROOM_ROTATE_AFTER_GIB")]
    pub(crate) rotate_after_gib: Option<u64>,
    /// Buckets re-sealed at once [default: 2]
    #[arg(long, value_name = "N", env = "STRONGROOM_RESEAL_WORKERS")]
    pub(crate) reseal_workers: Option<usize>,
    /// Requests about configuration that one identity may send to the API; 0 is no limit [default: 20]
    #[arg(long, value_name = "N", env = "STRONGROOM_API_CONFIG_REQUESTS_PER_SECOND")]
    pub(crate) api_config_requests_per_second: Option<u32>,
    /// How many of these at once after a pause [default: 200]
    #[arg(long, value_name = "N", env = "STRONGROOM_API_CONFIG_REQUESTS_BURST")]
    pub(crate) api_config_requests_burst: Option<u32>,
}
