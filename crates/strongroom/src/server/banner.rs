//! What a person sees when a server starts.

use std::net::SocketAddr;

use strongroom_iam::FirstStart;
use strongroom_store::Recovery;

use crate::config::{Config, Tls, UnlockSource};

pub(super) struct Facts<'a> {
    pub(super) config: &'a Config,
    pub(super) s3: SocketAddr,
    pub(super) api: SocketAddr,
    pub(super) manager: SocketAddr,
    pub(super) fresh: bool,
    pub(super) first_start: Option<FirstStart>,
    pub(super) recovery: &'a Recovery,
}

pub(super) fn print(facts: &Facts<'_>) {
    let config = facts.config;
    let scheme = if config.tls == Tls::Off { "http" } else { "https" };
    let state = match (facts.fresh, facts.recovery.clean) {
        (true, _) => "new store".to_owned(),
        (false, true) => "opened, was closed cleanly".to_owned(),
        (false, false) => format!(
            "opened, was not closed cleanly: {} commands replayed from the log",
            facts.recovery.replayed
        ),
    };
    println!("Strongroom {}", env!("CARGO_PKG_VERSION"));
    if !strongroom_seal::SEALS {
        println!("BENCHMARK BUILD: NOTHING IS SEALED. Never keep data in it.");
    }
    println!("  data      {} ({state})", config.data_dir.display());
    println!("  S3        {scheme}://{}", facts.s3);
    println!("  API       {scheme}://{}  (/api/v1, /health/live, /health/ready, /metrics)", facts.api);
    println!("  manager   http://{}", facts.manager);
    if config.tls == Tls::SelfSigned {
        println!(
            "  TLS       a certificate made at this start; clients must be told not to verify it (--no-verify-ssl, --no-verify-tls)"
        );
    }
    let no_verify = if config.tls == Tls::SelfSigned { " --no-verify-ssl" } else { "" };
    if let Some(FirstStart { credentials, .. }) = &facts.first_start {
        println!("\nRoot credentials, shown this once (kept sealed in the store):");
        println!("  export AWS_ACCESS_KEY_ID={}", credentials.access_key.as_str());
        println!("  export AWS_SECRET_ACCESS_KEY={}", credentials.secret.dangerous_expose());
        println!("  export AWS_DEFAULT_REGION={}", config.region);
        println!("  export AWS_ENDPOINT_URL={scheme}://{}", facts.s3);
        println!("\nThen, for example:");
        println!("  aws{no_verify} s3 mb s3://first");
        println!("  aws{no_verify} s3 cp README.md s3://first/");
        println!("  aws{no_verify} s3 ls s3://first");
    }
    println!();
    if config.unlock == UnlockSource::Generated {
        eprintln!(
            "warning: the key that opens this store lies beside its data ({}); for production keep it elsewhere with \
             --kms-key-file or --kms-passphrase-file, or use an external KMS",
            config.data_dir.join("kms/unlock.key").display()
        );
    }
}
