//! `strongroom config check`: what a server would run with, or every mistake.

use super::{Config, Mistakes, Tls, UnlockSource};
use crate::cli::ServerArgs;

/// Prints the configuration that `server` would run with.
pub(crate) fn check(args: &ServerArgs) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let config = Config::load(args)?;
    strongroom_telemetry::logs::check(&config.log_level).map_err(|error| {
        Mistakes(vec![super::Mistake { key: "log_level".into(), problem: error.to_string() }])
    })?;
    let tls = match &config.tls {
        Tls::Off => "off (plain HTTP)".to_owned(),
        Tls::SelfSigned => "a certificate made at start (trials only)".to_owned(),
        Tls::Files { cert, .. } => format!("{}", cert.display()),
    };
    let unlock = match &config.unlock {
        UnlockSource::Generated => {
            "a key file generated beside the data (move it away for production)".to_owned()
        }
        UnlockSource::KeyFile(path) => format!("key file {}", path.display()),
        UnlockSource::PassphraseFile(path) => format!("passphrase in {}", path.display()),
        UnlockSource::PassphraseVariable => format!("passphrase in {}", super::PASSPHRASE_VARIABLE),
    };
    let domains = if config.domains.is_empty() {
        "none (path style only)".to_owned()
    } else {
        config.domains.join(", ")
    };
    let limits = config.key_limits;
    let age = match limits.age_seconds {
        0 => "no age".to_owned(),
        seconds => format!("{} days", seconds / 86_400),
    };
    let rotation = format!("after {age}, {} seals or {} GiB", limits.seals, limits.bytes >> 30);
    let api_tokens = match (&config.tls, config.api_tokens_over_http) {
        (Tls::Off, false) => "taken from this machine only, because there is no TLS",
        (Tls::Off, true) => "taken over plain HTTP from everywhere (trials only)",
        _ => "taken over TLS",
    };
    let api_rate = match config.api_rate.per_second {
        0 => "no limit".to_owned(),
        per_second => {
            format!("{per_second} requests per second and identity, {} at once", config.api_rate.burst)
        }
    };
    let webhooks: Vec<_> = config
        .webhooks
        .iter()
        .map(|hook| format!("{} to {}", hook.id, hook.url.origin().ascii_serialization()))
        .collect();
    let webhooks = if webhooks.is_empty() { "none".to_owned() } else { webhooks.join(", ") };
    println!("The configuration is sound. A server would run with:");
    for (name, value) in [
        ("data directory", config.data_dir.display().to_string()),
        ("S3", config.s3_listen.to_string()),
        ("API", config.api_listen.to_string()),
        ("manager", config.manager_listen.to_string()),
        ("domains", domains),
        ("region", config.region.clone()),
        ("TLS", tls),
        (
            "SSE-C over HTTP",
            if config.sse_c_over_http { "allowed (trials only)" } else { "refused" }.to_owned(),
        ),
        (
            "SSE-C in new buckets",
            if config.sse_c_in_new_buckets { "allowed" } else { "blocked until it is unblocked" }.to_owned(),
        ),
        ("API tokens", api_tokens.to_owned()),
        ("API configuration", api_rate),
        ("keyring unlocked by", unlock),
        ("keys rotate", rotation),
        (
            "keys of a KMS",
            format!(
                "used for {} s without asking, kept for {} s",
                config.data_keys.fresh_for.as_secs(),
                config.data_keys.kept_for.as_secs()
            ),
        ),
        ("re-sealing", format!("{} groups at once", config.reseal_workers)),
        ("webhooks", webhooks),
        ("index cache", format!("{} MiB", config.index_cache_bytes >> 20)),
        ("object cache", format!("{} MiB", config.object_cache_bytes >> 20)),
        ("requests may take", format!("{} s to end after a signal", config.shutdown_grace_seconds)),
        ("log", format!("{} as {:?}", config.log_level, config.log_format).to_lowercase()),
    ] {
        println!("  {name:<20} {value}");
    }
    for hook in config.webhooks.iter().filter(|hook| hook.shows_its_token()) {
        println!(
            "Warning: the token of webhook {} goes to another machine in the clear, for everybody on the way to read: use https.",
            hook.id
        );
    }
    Ok(())
}
