//! The local key management service for commands that need no server: it is opened where its files are.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use strongroom_kms::{LocalKms, LocalKmsOptions, Passphrase, Provider, Unlock};
use strongroom_store::disk::{Disk, OsDisk, make_dir_durably};
use strongroom_store::{RootKeyName, RootKeys};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::error::AdminFailure;
use crate::config::PASSPHRASE_VARIABLE;
use crate::server::{KmsRootKeys, passphrase_in};

/// The files of the local service.
const KEYS: &str = "local.kms";
const UNLOCK_KEY: &str = "unlock.key";
/// What it writes before it has its name.
const TEMPORARY: &str = "local.kms.tmp";

/// Where the keys are that a backup does not contain, and what unlocks them.
#[derive(Debug, Args)]
pub(super) struct UnlockArgs {
    /// Directory with the local key files (`kms/` of the original data directory, or your copy of it): the root key is not in
    /// the backup [default: kms/ in the data directory]
    #[arg(long, value_name = "DIR", help_heading = "Keys")]
    pub(super) kms_from: Option<PathBuf>,
    /// File whose content unlocks the local keyring, as for `server`
    #[arg(long, value_name = "FILE", env = "STRONGROOM_KMS_KEY_FILE", help_heading = "Keys")]
    kms_key_file: Option<PathBuf>,
    /// File with the passphrase that unlocks the local keyring (or the variable STRONGROOM_KMS_PASSPHRASE)
    #[arg(
        long,
        value_name = "FILE",
        env = "STRONGROOM_KMS_PASSPHRASE_FILE",
        help_heading = "Keys",
        conflicts_with = "kms_key_file"
    )]
    kms_passphrase_file: Option<PathBuf>,
}

/// The local service, opened.
#[derive(Debug)]
pub(super) struct LocalKeys {
    dir: PathBuf,
    root_keys: Arc<dyn RootKeys>,
    /// What it runs on.
    _runtime: Runtime,
}

impl LocalKeys {
    /// Opens the service in the directory that was named, or in `data_dir`. `needed` is the root key that is looked for.
    pub(super) fn open(
        args: &UnlockArgs,
        data_dir: &Path,
        needed: Option<&RootKeyName>,
    ) -> Result<Self, AdminFailure> {
        let named = args.kms_from.clone().unwrap_or_else(|| data_dir.join("kms"));
        // A data directory is as good as the `kms` in it.
        let dir = [named.clone(), named.join("kms")].into_iter().find(|dir| dir.join(KEYS).exists());
        let dir = dir.ok_or_else(|| AdminFailure::NoKeys { dir: named, needed: needed.cloned() })?;
        let unlock = match (&args.kms_key_file, &args.kms_passphrase_file) {
            (Some(file), _) => Unlock::KeyFile(file.clone()),
            (None, Some(file)) => Unlock::Passphrase(passphrase_in(file).map_err(keys_failed)?),
            (None, None) => match std::env::var(PASSPHRASE_VARIABLE) {
                Ok(passphrase) => Unlock::Passphrase(Passphrase::new(passphrase)),
                Err(_) => Unlock::Generated,
            },
        };
        let kms = LocalKms::open(LocalKmsOptions::new(&dir, unlock)).map_err(keys_failed)?;
        let provider: Arc<dyn Provider> = Arc::new(kms);
        // Whoever asks for a key waits on a thread of its own, so the answer needs another.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let root_keys = Arc::new(KmsRootKeys::new(provider, runtime.handle().clone()));
        Ok(Self { dir, root_keys, _runtime: runtime })
    }

    pub(super) fn root_keys(&self) -> &dyn RootKeys {
        &*self.root_keys
    }

    pub(super) fn shared(&self) -> Arc<dyn RootKeys> {
        Arc::clone(&self.root_keys)
    }

    /// Copies the key files to where a server looks for them. Copies that are there already, as of a restoring that was cut
    /// short, stay; keys of another store are not written over.
    pub(super) fn bring_to(&self, data_dir: &Path) -> Result<Brought, AdminFailure> {
        let to = data_dir.join("kms");
        let mut brought = Brought { dirs: Vec::new(), files: Vec::new() };
        if same(&self.dir, &to) {
            return Ok(brought);
        }
        let copied = brought.copy(&self.dir, data_dir, &to);
        if copied.is_err() {
            brought.take_back();
        }
        copied?;
        Ok(brought)
    }
}

/// What was copied, to be taken back if it was for nothing.
#[derive(Debug)]
pub(super) struct Brought {
    dirs: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Brought {
    fn copy(&mut self, from: &Path, data_dir: &Path, to: &Path) -> Result<(), AdminFailure> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| {
                AdminFailure::Keys(format!("the local key files could not be copied to {path}: {error}"))
            }
        };
        self.dirs = make_dir_durably(&OsDisk, to).map_err(failed(to))?;
        for name in [KEYS, UNLOCK_KEY] {
            let original = from.join(name);
            let Some(content) = read(&original).map_err(failed(to))? else { continue };
            let path = to.join(name);
            match read(&path).map_err(failed(&path))? {
                Some(there) if there == content => {}
                Some(_) => return Err(AdminFailure::OtherKeys { path, original }),
                None => {
                    write_whole(&path, &content).map_err(failed(&path))?;
                    self.files.push(path);
                }
            }
        }
        // What is there already may be left by one that was cut short before it got here.
        for dir in [to, data_dir] {
            OsDisk.sync_dir(dir).map_err(failed(dir))?;
        }
        Ok(())
    }

    /// Removes the copies. What cannot be removed is a copy of what the user has.
    pub(super) fn take_back(&self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        for dir in self.dirs.iter().rev() {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// A file's content, or `None` if there is no file.
fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(|content| Some(Zeroizing::new(content))),
    }
}

/// Writes a new secret file in one piece: it is there with all of `content`, or not at all. Its directory is synced by the
/// caller.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    // The local service has this name for the same, so whatever is left there is of no use to anyone.
    let temporary = path.with_file_name(TEMPORARY);
    let write = || {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn keys_failed(error: impl std::fmt::Display) -> AdminFailure {
    AdminFailure::Keys(error.to_string())
}
