//! The keyring of a store that comes out of a backup (`docs/spec/backup.md` §8).

use std::sync::Arc;

use strongroom_seal::{KeyringKey, Random};

use super::file::Header;
use super::{Contents, KeyError, Keyring, LogFloor, Means, keyring_context, no_root_key};
use crate::directory::{Directory, StoreId};
use crate::{GroupId, OpenError, RootKeyError, RootKeys};

impl Keyring {
    /// What the durable keyring holds, and the same as bytes for [`contents_of`].
    pub(crate) fn snapshot(&self) -> (Arc<Contents>, Vec<u8>) {
        let contents = self.contents();
        let bytes = contents.encode();
        (contents, bytes)
    }

    /// What a backup needs to have its own key wrapped as this keyring's is.
    pub(crate) fn random_and_root_keys(&self) -> (Arc<dyn Random>, Arc<dyn RootKeys>) {
        (Arc::clone(&self.random), Arc::clone(&self.root_keys))
    }

    /// Makes a keyring with these contents, under a keyring key of its own. Proves that the root key is there by unwrapping
    /// the system group's key.
    pub(crate) fn restore(
        directory: &Directory,
        mut contents: Contents,
        means: &Means,
    ) -> Result<Self, OpenError> {
        contents.floor = LogFloor::default();
        let key = KeyringKey::generate(&*means.random);
        let root = contents.groups.get(&GroupId::SYSTEM).and_then(|system| system.active().wrapped.as_ref());
        let root = root.map(|wrapped| wrapped.key_id.as_str());
        let wrapped = means
            .root_keys
            .wrap(root, key.dangerous_expose(), &keyring_context(contents.store))
            .map_err(|source| no_root_key(None, source))?;
        let header = Header::new(contents.store, wrapped);
        let this = Self::assemble(directory, means, header, key, contents);
        this.check_system_key()?;
        this.replace(|_| ()).map_err(|error| crate::directory::io_error(&this.path, error))?;
        Ok(this)
    }

    fn check_system_key(&self) -> Result<(), OpenError> {
        let none = || RootKeyError::Missing { key_id: String::new() };
        self.key(GroupId::SYSTEM, None).map(drop).map_err(|error| {
            let source = match error {
                KeyError::RootKey(source) => source,
                KeyError::NoSuchGroup { .. } | KeyError::NoSuchKey { .. } | KeyError::NotInMemory { .. } => {
                    none()
                }
            };
            no_root_key(self.contents().groups[&GroupId::SYSTEM].active().wrapped.as_ref(), source)
        })
    }
}

/// Reads what [`Keyring::snapshot`] wrote, if it is of this store.
pub(crate) fn contents_of(bytes: &[u8], store: StoreId) -> Option<Contents> {
    Contents::decode(bytes).ok().filter(|contents| contents.store == store)
}
