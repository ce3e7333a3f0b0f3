//! The keyring as the log's source of keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_seal::{Envelope, GroupKey};

use crate::keyring::{KeyError, Keyring};
use crate::log::LogKeys;
use crate::{GroupId, LogKeyError, RootKeyError};

/// Answers from the keyring and, while the log is read, from the records that made groups and keys.
#[derive(Debug)]
pub(crate) struct KeySource {
    keyring: Arc<Keyring>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Keys whose making is in the log and not yet in the keyring.
    made: BTreeMap<(GroupId, u32), Envelope>,
    /// Why a key was not to be had, if the log cannot say it.
    failure: Option<RootKeyError>,
}

impl KeySource {
    pub(crate) fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring, found: Mutex::default() }
    }

    /// A record that makes a key was read.
    pub(crate) fn made(&self, group: GroupId, key_id: u32, key: Envelope) {
        self.lock().made.insert((group, key_id), key);
    }

    /// Why the last key was not to be had, if the root key was the reason.
    pub(crate) fn take_failure(&self) -> Option<RootKeyError> {
        self.lock().failure.take()
    }

    fn find(&self, group: GroupId, key_id: u32) -> Result<GroupKey, KeyError> {
        let error = match self.keyring.key(group, Some(key_id)) {
            Err(error @ (KeyError::NoSuchGroup { .. } | KeyError::NoSuchKey { .. })) => error,
            answer => return answer.map(|(_, key)| key),
        };
        let made = self.lock().made.get(&(group, key_id)).cloned();
        match made {
            Some(wrapped) => Ok(self.keyring.unwrap(group, key_id, &wrapped)?),
            None => Err(error),
        }
    }

    fn log_error(&self, group: GroupId, key_id: Option<u32>, error: KeyError) -> LogKeyError {
        match error {
            KeyError::NoSuchGroup { dropped: true } => LogKeyError::Forgotten { group },
            KeyError::NoSuchGroup { dropped: false } | KeyError::NoSuchKey { .. } => {
                LogKeyError::Unknown { group, key_id }
            }
            KeyError::RootKey(error) => {
                self.lock().failure = Some(error);
                LogKeyError::Locked { group, key_id }
            }
            KeyError::NotInMemory { .. } => LogKeyError::Locked { group, key_id },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogKeys for KeySource {
    fn store_id(&self) -> [u8; 16] {
        self.keyring.store().0
    }

    fn used(&self, group: GroupId, key_id: u32, seals: u64, bytes: u64) {
        self.keyring.uses().add(group, key_id, seals, bytes);
    }

    fn log_key(&self, group: GroupId, key_id: Option<u32>) -> Result<(u32, GroupKey), LogKeyError> {
        let found = match key_id {
            None => self.keyring.active_in_memory(group),
            Some(id) => self.find(group, id).map(|key| (id, key)),
        };
        found.map_err(|error| self.log_error(group, key_id, error))
    }
}
