//! Where the log's keys come from, and those of one segment (`docs/spec/log.md` §3).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use strongroom_seal::detached::Detached;
use strongroom_seal::{Context, GroupKey, Label, LogKey, Random, derive};

use super::SegmentId;
use super::format::{SALT_LEN, STORE_ID_LEN};
use crate::GroupId;

/// Ciphers kept at most per segment. More groups than this in one segment only cost another derivation.
const CIPHERS_MAX: usize = 4096;

/// The keys of groups; the keyring.
pub(crate) trait LogKeys: Send + Sync + fmt::Debug {
    /// The store's id.
    fn store_id(&self) -> [u8; STORE_ID_LEN];

    /// The group's key with this id, or with its id the one that seals new records. The latter must come without input
    /// or output, since all commits wait for it; the former, to read with, may be asked of whoever holds the root key.
    fn log_key(&self, group: GroupId, key_id: Option<u32>) -> Result<(u32, GroupKey), LogKeyError>;

    /// This key, or one derived from it, sealed so often and so much. Who only reads need not listen.
    fn used(&self, group: GroupId, key_id: u32, seals: u64, bytes: u64) {
        let _ = (group, key_id, seals, bytes);
    }
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogKeyError {
    /// The group was dropped and its keys are gone on purpose. Its records are passed over.
    #[error("the keys of group {group} were forgotten")]
    Forgotten {
        /// Which group.
        group: GroupId,
    },
    /// The keyring never heard of this key, though the log was sealed with it.
    #[error("the keyring has no key {key_id:?} of group {group}")]
    Unknown {
        /// Which group.
        group: GroupId,
        /// Which of its keys; `None` for the active one.
        key_id: Option<u32>,
    },
    /// The keyring has this key, and it was not unwrapped: its root key's provider did not do that, or was not asked.
    #[error("key {key_id:?} of group {group} was not unwrapped")]
    Locked {
        /// Which group.
        group: GroupId,
        /// Which of its keys; `None` for the active one.
        key_id: Option<u32>,
    },
}

/// The ciphers of one segment.
#[derive(Debug)]
pub(crate) struct SegmentKeys {
    source: Arc<dyn LogKeys>,
    random: Arc<dyn Random>,
    segment: SegmentId,
    salt: [u8; SALT_LEN],
    /// Authenticates headers. The system group's frames use the same cipher, so that one counter gives all
    /// nonces of that key.
    system: Cipher,
    by_id: HashMap<(GroupId, u32), Arc<Detached>>,
    active: HashMap<GroupId, Cipher>,
}

/// A log key's cipher with the id of the group key it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Cipher {
    pub(crate) key_id: u32,
    pub(crate) cipher: Arc<Detached>,
}

impl SegmentKeys {
    /// The keys of `segment`, whose header is under the system group's key with this id, or the active one.
    pub(crate) fn new(
        source: Arc<dyn LogKeys>,
        random: Arc<dyn Random>,
        segment: SegmentId,
        salt: [u8; SALT_LEN],
        system_key_id: Option<u32>,
    ) -> Result<Self, LogKeyError> {
        let (key_id, key) = source.log_key(GroupId::SYSTEM, system_key_id)?;
        let cipher = Arc::new(cipher(&key, &salt, GroupId::SYSTEM, segment, &*random));
        let system = Cipher { key_id, cipher };
        let by_id = HashMap::from([((GroupId::SYSTEM, key_id), Arc::clone(&system.cipher))]);
        let active = HashMap::from([(GroupId::SYSTEM, system.clone())]);
        Ok(Self { source, random, segment, salt, system, by_id, active })
    }

    /// What authenticates headers.
    pub(crate) fn system(&self) -> &Cipher {
        &self.system
    }

    /// What seals new records of `group`: the key that was active when it was first asked for, in this segment or since
    /// [`Self::look_up_again`].
    pub(crate) fn active(&mut self, group: GroupId) -> Result<Cipher, LogKeyError> {
        if let Some(known) = self.active.get(&group) {
            return Ok(known.clone());
        }
        let (key_id, key) = self.source.log_key(group, None)?;
        let cipher = Cipher { key_id, cipher: self.cached(group, key_id, &key) };
        if self.active.len() >= CIPHERS_MAX {
            self.active.retain(|&group, _| group == GroupId::SYSTEM);
        }
        self.active.insert(group, cipher.clone());
        Ok(cipher)
    }

    /// The group has another active key. The system group's stays for the segment, whose headers are under it.
    pub(crate) fn look_up_again(&mut self, group: GroupId) {
        if group != GroupId::SYSTEM {
            self.active.remove(&group);
        }
    }

    /// What opens records of `group` sealed under its key `key_id`.
    pub(crate) fn by_id(&mut self, group: GroupId, key_id: u32) -> Result<Arc<Detached>, LogKeyError> {
        if let Some(known) = self.by_id.get(&(group, key_id)) {
            return Ok(Arc::clone(known));
        }
        let (_, key) = self.source.log_key(group, Some(key_id))?;
        Ok(self.cached(group, key_id, &key))
    }

    fn cached(&mut self, group: GroupId, key_id: u32, key: &GroupKey) -> Arc<Detached> {
        if self.by_id.len() >= CIPHERS_MAX {
            let system = (GroupId::SYSTEM, self.system.key_id);
            self.by_id.retain(|&of, _| of == system);
        }
        let (salt, segment, random) = (&self.salt, self.segment, &*self.random);
        Arc::clone(
            self.by_id
                .entry((group, key_id))
                .or_insert_with(|| Arc::new(cipher(key, salt, group, segment, random))),
        )
    }
}

fn cipher(
    key: &GroupKey,
    salt: &[u8; SALT_LEN],
    group: GroupId,
    segment: SegmentId,
    random: &dyn Random,
) -> Detached {
    let context = Context::new(Label::LogSegmentKey, group.0).and(segment.0);
    Detached::new(&derive::<LogKey>(key, salt, &context), random)
}
