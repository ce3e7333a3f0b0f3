//! The root key, had the way the server has it, and what is done without it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use strongroom_kms::{LocalKms, LocalKmsOptions, Provider};
use strongroom_store::inspect::{InspectError, Offline};
use strongroom_store::{OpenError, RootKeys};
use tokio::runtime::Runtime;

use super::Failure;
use crate::cli::ServerArgs;
use crate::config::Config;
use crate::server::{self, KmsRootKeys};

/// How the root key is had: the server's flags and variables.
#[derive(Debug, Default, Args)]
pub(super) struct UnlockArgs {
    /// Show only what is readable without the root key
    #[arg(long, help_heading = "Keys")]
    pub(super) no_keys: bool,
    /// The server's TOML file, for what it says of keys
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CONFIG", help_heading = "Keys")]
    config: Option<PathBuf>,
    /// File whose content unlocks the local keyring
    #[arg(long, value_name = "FILE", env = "STRONGROOM_KMS_KEY_FILE", help_heading = "Keys")]
    kms_key_file: Option<PathBuf>,
    /// File with the passphrase that unlocks the local keyring (or the variable STRONGROOM_KMS_PASSPHRASE)
    #[arg(long, value_name = "FILE", env = "STRONGROOM_KMS_PASSPHRASE_FILE", help_heading = "Keys")]
    kms_passphrase_file: Option<PathBuf>,
}

/// An open KMS and what asks it.
pub(super) struct Kms {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) local: LocalKms,
    pub(super) runtime: Runtime,
}

impl UnlockArgs {
    /// Opens the KMS of a data directory. Changes nothing there.
    pub(super) fn kms(&self, dir: &Path) -> Result<Kms, Failure> {
        let config = Config::load(&ServerArgs {
            config: self.config.clone(),
            data_dir: Some(dir.to_owned()),
            kms_key_file: self.kms_key_file.clone(),
            kms_passphrase_file: self.kms_passphrase_file.clone(),
            ..ServerArgs::default()
        })?;
        let options = LocalKmsOptions::new(dir.join("kms"), server::unlock(&config)?);
        let local = LocalKms::open(options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Kms { provider: Arc::new(local.clone()), local, runtime })
    }

    /// [`Self::kms`], or `None` after saying on standard error what is missing.
    pub(super) fn kms_or_say(&self, dir: &Path) -> Option<Kms> {
        if self.no_keys {
            return None;
        }
        self.kms(dir).inspect_err(|error| say_without_keys(&**error)).ok()
    }
}

impl Kms {
    pub(super) fn root_keys(&self) -> Arc<dyn RootKeys> {
        Arc::new(KmsRootKeys::new(Arc::clone(&self.provider), self.runtime.handle().clone()))
    }
}

/// Whether the root key is what is missing, so that a listing without keys is the next best thing.
pub(super) fn lacks_root_key(error: &InspectError) -> bool {
    matches!(error, InspectError::Open(OpenError::RootKey { .. } | OpenError::NoRootKey { .. }))
}

pub(super) fn say_without_keys(error: &(dyn std::error::Error + 'static)) {
    eprintln!("strongroom: the root key is not to be had: {error}");
    eprintln!("strongroom: listing without keys; contents are not shown and nothing is authenticated");
}

/// Says that a server runs, since what is listed may be changing.
pub(super) fn say_in_use(offline: &Offline) -> Result<(), Failure> {
    if offline.in_use()? {
        eprintln!("strongroom: a server has this store open; what it is writing now may look incomplete");
    }
    Ok(())
}
