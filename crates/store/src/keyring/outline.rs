//! What a keyring shows without keys (`docs/spec/keyring.md` §2, *File*).

use std::path::Path;

use super::file::{self, Header, HeaderError};
use crate::directory::{StoreId, read_whole};
use crate::disk::Disk;
use crate::{Damage, OpenError, Place};

/// The part of a keyring that is not sealed. Nothing of it is authenticated, since that takes the root key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyringHeader {
    /// Which store it is of.
    pub store: [u8; 16],
    /// The provider that has the root key.
    pub provider: String,
    /// The root key.
    pub key_id: String,
    /// Its version.
    pub key_version: u32,
    /// How long the file is, in bytes.
    pub len: u64,
}

/// Reads the header of a keyring and checks what can be checked without keys.
pub(crate) fn outline(disk: &dyn Disk, path: &Path, store: StoreId) -> Result<KeyringHeader, OpenError> {
    let bytes = bytes(disk, path)?;
    let (header, _) = parse(path, store, &bytes)?;
    Ok(KeyringHeader {
        store: header.store.0,
        provider: header.wrapped.provider,
        key_id: header.wrapped.key_id,
        key_version: header.wrapped.key_version,
        len: bytes.len() as u64,
    })
}

/// The file's content.
pub(super) fn bytes(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, OpenError> {
    read_whole(disk, path, file::LEN_MAX)?
        .ok_or_else(|| damage(path, "it is longer than a keyring can be").into())
}

/// Header and sealed body of a file of this store.
pub(super) fn parse<'a>(
    path: &Path,
    store: StoreId,
    bytes: &'a [u8],
) -> Result<(Header, &'a [u8]), OpenError> {
    let (header, body) = Header::parse(bytes).map_err(|error| match error {
        HeaderError::TooNew { version } => {
            OpenError::TooNew { dir: path.into(), found: version.into(), supported: file::VERSION.into() }
        }
        HeaderError::Malformed { why } => damage(path, why).into(),
    })?;
    if header.store != store {
        return Err(damage(path, "it is the keyring of another store").into());
    }
    Ok((header, body))
}

fn damage(path: &Path, why: &'static str) -> Damage {
    Damage { file: path.into(), at: Place::Whole, why }
}
