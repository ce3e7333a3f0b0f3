//! What a person sees when a server starts.

use std::io::{self, Write};
use std::net::SocketAddr;

use strongroom_iam::FirstStart;
use strongroom_store::Recovery;

use super::{ROOT_ACCESS_KEY_VARIABLE, ROOT_SECRET_KEY_VARIABLE};
use crate::config::{Config, Tls, UnlockSource};

pub(super) struct Facts<'a> {
    pub(super) config: &'a Config,
    pub(super) s3: SocketAddr,
    pub(super) api: SocketAddr,
    pub(super) manager: SocketAddr,
    pub(super) fresh: bool,
    pub(super) first_start: Option<&'a FirstStart>,
    pub(super) recovery: &'a Recovery,
}

/// # Errors
/// Standard output takes no more, so nobody may have seen it.
pub(super) fn print(facts: &Facts<'_>) -> io::Result<()> {
    let told = tell(facts, &mut io::stdout().lock());
    if facts.config.unlock == UnlockSource::Generated {
        eprintln!(
            "warning: the key that opens this store lies beside its data ({}); for production keep it elsewhere with \
             --kms-key-file or --kms-passphrase-file, or use an external KMS",
            facts.config.data_dir.join("kms/unlock.key").display()
        );
    }
    told
}

fn tell(facts: &Facts<'_>, out: &mut impl Write) -> io::Result<()> {
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
    writeln!(out, "Strongroom {}", env!("CARGO_PKG_VERSION"))?;
    if !strongroom_seal::SEALS {
        writeln!(out, "BENCHMARK BUILD: NOTHING IS SEALED. Never keep data in it.")?;
    }
    writeln!(out, "  data      {} ({state})", config.data_dir.display())?;
    writeln!(out, "  S3        {scheme}://{}", facts.s3)?;
    writeln!(out, "  API       {scheme}://{}  (/api/v1, /health/live, /health/ready, /metrics)", facts.api)?;
    writeln!(out, "  manager   http://{}", facts.manager)?;
    if config.tls == Tls::SelfSigned {
        writeln!(
            out,
            "  TLS       a certificate made at this start; clients must be told not to verify it (--no-verify-ssl, --no-verify-tls)"
        )?;
    }
    let no_verify = if config.tls == Tls::SelfSigned { " --no-verify-ssl" } else { "" };
    if let Some(FirstStart { credentials, .. }) = facts.first_start {
        writeln!(
            out,
            "\nRoot credentials, shown this once (kept sealed in the store; who loses them starts it with others in\n\
             {ROOT_ACCESS_KEY_VARIABLE} and {ROOT_SECRET_KEY_VARIABLE}):"
        )?;
        writeln!(out, "  export AWS_ACCESS_KEY_ID={}", credentials.access_key.as_str())?;
        writeln!(out, "  export AWS_SECRET_ACCESS_KEY={}", credentials.secret.dangerous_expose())?;
        writeln!(out, "  export AWS_DEFAULT_REGION={}", config.region)?;
        writeln!(out, "  export AWS_ENDPOINT_URL={scheme}://{}", facts.s3)?;
        writeln!(out, "\nThen, for example:")?;
        writeln!(out, "  aws{no_verify} s3 mb s3://first")?;
        writeln!(out, "  aws{no_verify} s3 cp README.md s3://first/")?;
        writeln!(out, "  aws{no_verify} s3 ls s3://first")?;
    }
    writeln!(out)?;
    out.flush()
}
