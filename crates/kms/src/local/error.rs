//! Why the local key file cannot be opened or made.

use std::io;
use std::path::PathBuf;

use super::unlock::Method;
use crate::ROOT_KEY_ID;

/// Each variant is one sentence for the operator; `docs/spec/local-kms.md` §7 says how they are told apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalKmsError {
    /// There is no key file although there should be.
    #[error(
        "the key file {path} is missing, and with it the root key \"{ROOT_KEY_ID}\": restore it from a backup; it is \
         never made anew for a store that exists"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file with the unlock secret is missing.
    #[error(
        "the unlock key {path} is missing: restore it, without it the root key \"{ROOT_KEY_ID}\" of keyring {keyring} \
         cannot be opened"
    )]
    UnlockKeyMissing {
        /// Where it should be.
        path: PathBuf,
        /// The keyring's id.
        keyring: String,
    },
    /// The keyring opens by another means than the one configured.
    #[error("the keyring {path} opens with a {made_with}, but a {given} was given")]
    OtherMethod {
        /// The key file.
        path: PathBuf,
        /// How it was made.
        made_with: Method,
        /// How it was to be opened.
        given: Method,
    },
    /// Passphrase or key file are not the ones the keyring was made with.
    #[error(
        "wrong {method}: it does not open keyring {keyring} in {path}, which holds the root key \"{ROOT_KEY_ID}\"; give \
         the {method} that the keyring was made with"
    )]
    WrongUnlockKey {
        /// The key file.
        path: PathBuf,
        /// The keyring's id.
        keyring: String,
        /// What was given.
        method: Method,
    },
    /// The file's bytes are not what was written.
    #[error(
        "the key file {path}, which holds the root key \"{ROOT_KEY_ID}\", is damaged ({what}): restore it from a backup"
    )]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// Which part.
        what: &'static str,
    },
    /// Written by a newer program.
    #[error("the key file {path} has version {version}, newer than this program reads: use a newer program")]
    TooNew {
        /// The key file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// Others than the owner could read the unlock secret.
    #[error("the unlock key {path} is open to others (mode {mode:04o}): run chmod 600 on it")]
    Exposed {
        /// The unlock key.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file of a sensible length.
    #[error("the unlock key {path} must be a regular file of 32 to 65536 bytes")]
    UnlockKeyShape {
        /// The unlock key.
        path: PathBuf,
    },
    /// Too easy to guess.
    #[error("the passphrase has fewer than 8 bytes: choose a longer one")]
    PassphraseTooShort,
    /// Argon2 parameters outside the bounds.
    #[error(
        "the passphrase cost of {path} is out of bounds (memory {memory_kib} KiB, {passes} passes, {lanes} lanes)"
    )]
    Cost {
        /// The key file.
        path: PathBuf,
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// There is not enough memory to try the passphrase.
    #[error("the passphrase needs {memory_kib} KiB of memory to be checked, and there is not so much")]
    NoMemory {
        /// Memory in KiB.
        memory_kib: u32,
    },
    /// Another process changed the file after this one read it.
    #[error(
        "the key file {path} was changed by another process (generation {found}, expected {expected}): restart to read it"
    )]
    ChangedUnderneath {
        /// The key file.
        path: PathBuf,
        /// The generation on disk.
        found: u64,
        /// The generation in memory.
        expected: u64,
    },
    /// The file system said no.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}
