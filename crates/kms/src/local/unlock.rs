//! From a passphrase or a key file to the keys of the key file (`docs/spec/local-kms.md` §4).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use strongroom_seal::{Context, Label, SecretKey, UnlockKey, derive, derive_from_secret};
use zeroize::Zeroizing;

use super::error::LocalKmsError;
use super::header::Fixed;
use crate::Passphrase;

const PASSPHRASE_LEN_MIN: usize = 8;
const KEY_FILE_LENS: std::ops::RangeInclusive<usize> = 32..=KEY_FILE_LEN_MAX;
const KEY_FILE_LEN_MAX: usize = 64 * 1024;

/// What opens the key file.
#[derive(Debug)]
pub enum Unlock {
    /// A secret that is generated beside the key file: for trials, since whoever copies both can open them.
    Generated,
    /// A file with at least 32 unpredictable bytes that only its owner can read.
    KeyFile(PathBuf),
    /// A passphrase.
    Passphrase(Passphrase),
}

/// How a keyring opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// With a key file, generated or given.
    KeyFile,
    /// With a passphrase.
    Passphrase,
}

impl Method {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::Passphrase => 2,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::KeyFile),
            2 => Some(Self::Passphrase),
            _ => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyFile => "key file",
            Self::Passphrase => "passphrase",
        })
    }
}

/// What one guess at a passphrase costs: the parameters of Argon2id (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// 64 MiB and three passes: a few tenths of a second, once per start.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

impl Cost {
    pub(super) const NONE: Self = Self { memory_kib: 0, passes: 0, lanes: 0 };

    /// Whether reader and writer accept it.
    pub(super) fn is_bounded(&self) -> bool {
        (8 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (1..=32).contains(&self.passes)
            && (1..=8).contains(&self.lanes)
    }
}

/// The key of the body, and proof that the unlock key is the right one.
pub(super) struct Unlocked {
    pub(super) file_key: SecretKey,
    pub(super) commitment: [u8; 32],
}

impl Unlocked {
    fn new(unlock: &UnlockKey, fixed: &Fixed) -> Self {
        let encoded = fixed.encode();
        let context = |what| Context::new(Label::LocalKmsUnlock, what).and(&encoded);
        let commitment: SecretKey = derive(unlock, &fixed.salt, &context("commitment"));
        Self {
            file_key: derive(unlock, &fixed.salt, &context("file key")),
            // Made public on purpose: it only lets the holder of the unlock key be recognised.
            commitment: *commitment.dangerous_expose(),
        }
    }
}

/// Stretches the passphrase with the cost in `fixed`, which is checked first.
pub(super) fn by_passphrase(
    passphrase: &Passphrase,
    fixed: &Fixed,
    path: &Path,
) -> Result<Unlocked, LocalKmsError> {
    let Cost { memory_kib, passes, lanes } = fixed.cost;
    let out_of_bounds = || LocalKmsError::Cost { path: path.to_owned(), memory_kib, passes, lanes };
    if !fixed.cost.is_bounded() {
        return Err(out_of_bounds());
    }
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| out_of_bounds())?;
    let mut memory = Zeroizing::new(Vec::new());
    let blocks = params.block_count();
    memory.try_reserve_exact(blocks).map_err(|_| LocalKmsError::NoMemory { memory_kib })?;
    memory.resize(blocks, Block::default());
    let mut bytes = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(
            passphrase.as_bytes(),
            &fixed.salt,
            bytes.as_mut_slice(),
            memory.as_mut_slice(),
        )
        .map_err(|_| out_of_bounds())?;
    Ok(Unlocked::new(&UnlockKey::from_bytes(&mut bytes), fixed))
}

/// Refuses passphrases that are guessed at once. Only for new files: an old one opens with what it was made with.
pub(super) fn check_new_passphrase(passphrase: &Passphrase) -> Result<(), LocalKmsError> {
    if passphrase.as_bytes().len() < PASSPHRASE_LEN_MIN {
        return Err(LocalKmsError::PassphraseTooShort);
    }
    Ok(())
}

/// The keys for a key file's content.
pub(super) fn by_secret(content: &[u8], fixed: &Fixed) -> Unlocked {
    let context = Context::new(Label::LocalKmsUnlock, "key file");
    let unlock: UnlockKey = derive_from_secret(content, &fixed.salt, &context);
    Unlocked::new(&unlock, fixed)
}

/// A key file's content, or `None` if there is no such file. Files that others can open are refused.
pub(super) fn read_key_file(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, LocalKmsError> {
    let io = |source| LocalKmsError::Io { action: "read the unlock key", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(LocalKmsError::UnlockKeyShape { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(LocalKmsError::Exposed { path: path.to_owned(), mode });
    }
    // Room for more than is taken, so that reading never moves the secret to a larger buffer and leaves a copy.
    let mut content = Zeroizing::new(Vec::with_capacity(KEY_FILE_LEN_MAX + 64));
    file.take(KEY_FILE_LEN_MAX as u64 + 1).read_to_end(&mut content).map_err(io)?;
    if !KEY_FILE_LENS.contains(&content.len()) {
        return Err(LocalKmsError::UnlockKeyShape { path: path.to_owned() });
    }
    Ok(Some(content))
}
