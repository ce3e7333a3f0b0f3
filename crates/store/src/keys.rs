//! Keys as their owner sees them: reports, rotation, change of the root key. `docs/spec/keyring.md`.

use std::fmt;

use strongroom_seal::Envelope;

use crate::keeper::ToKeeper;
use crate::keyring::{KeyEntry, Keyring};
use crate::uses::Used;
use crate::{CommitError, GroupId, Lsn, RootKeyChangeError, Store};

/// What a group key may be used for (`docs/spec/keyring.md` §2, *States*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyState {
    /// Seals and opens; each group has exactly one.
    Active = 1,
    /// Opens what it sealed before another key took its place.
    Readable = 2,
    /// Nothing needs it any more, and its wrapped form is gone.
    Retired = 3,
}

/// A version of a root key, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKeyName {
    /// The provider that has it.
    pub provider: String,
    /// Its id there.
    pub key_id: String,
    /// Its version there; 0 if the provider does not tell.
    pub key_version: u32,
}

impl RootKeyName {
    /// Whether another root key than this one wrapped the key in `envelope`, or an older version of it.
    pub(crate) fn is_ahead_of(&self, envelope: &Envelope) -> bool {
        self.provider != envelope.provider
            || self.key_id != envelope.key_id
            || self.key_version > envelope.key_version
    }
}

impl fmt::Display for RootKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} version {} of {}", self.key_id, self.key_version, self.provider)
    }
}

/// What a change of the root key did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootKeyChange {
    /// What wrapped the keys before.
    pub from: RootKeyName,
    /// What wraps them now. The same if there was nothing to change.
    pub to: RootKeyName,
    /// How many group keys were wrapped anew.
    pub keys: u64,
}

/// What is known of one key of a group. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyReport {
    /// Its id, counted from 1 in its group and never used again.
    pub id: u32,
    /// What it is used for.
    pub state: KeyState,
    /// The command that made it; 0 if it is as old as the store.
    pub created_lsn: Lsn,
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
    /// How often it sealed. After a crash this can be more than it was, and never less.
    pub seals: u64,
    /// How many bytes it sealed. After a crash this can be more than it was, and never less.
    pub sealed_bytes: u64,
    /// When it last sealed, in seconds since 1970; 0 if it never did.
    pub last_used_at: u64,
    /// The root key that wraps it; `None` once it is retired.
    pub root: Option<RootKeyName>,
}

/// A group's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupReport {
    /// Whose keys.
    pub group: GroupId,
    /// Ascending by id.
    pub keys: Vec<KeyReport>,
}

/// All keys of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyringReport {
    /// The root key that the store needs to open.
    pub root: RootKeyName,
    /// How often the keyring was replaced.
    pub generation: u64,
    /// Ascending by group.
    pub groups: Vec<GroupReport>,
}

impl Store {
    /// All keys with their states, ages and uses as of now.
    pub fn key_report(&self) -> KeyringReport {
        report(&self.engine().keyring)
    }

    /// Gives a group a new key, which seals everything from the answer on; the answer is its id. Older keys stay readable
    /// until nothing needs them. Durable when it returns; dropping the future does not take it back.
    ///
    /// # Errors
    /// As [`Self::commit`], and [`CommitError::KeysExhausted`] while too many of the group's keys are still needed.
    pub async fn rotate_group_key(&self, group: GroupId) -> Result<u32, CommitError> {
        self.ask_keeper(|done| ToKeeper::Rotate { group, done }).await?
    }

    /// Wraps all keys under another root key, or under the newest version of the present one if none is named: all of them
    /// or, on an error or after a crash, none. What the old root key is still needed for afterwards:
    /// `docs/spec/keyring.md` §10.
    ///
    /// # Errors
    /// [`RootKeyChangeError`]; only after `Poisoned` it is not known which root key the keyring on the disk needs.
    pub async fn change_root_key(&self, key_id: Option<String>) -> Result<RootKeyChange, RootKeyChangeError> {
        self.ask_keeper(|done| ToKeeper::ChangeRoot { key_id, done }).await?
    }

    /// Checks that wait ([`crate::StoreOptions`]) are made by the time that this returns.
    #[cfg(test)]
    pub(crate) async fn check_keys_now(&self) -> Result<(), CommitError> {
        self.ask_keeper(|done| ToKeeper::CheckNow { done }).await
    }

    /// Counts what was sealed under a group key outside of the store: who wraps a value under [`Store::group_key`]
    /// says so.
    pub fn note_key_use(&self, group: GroupId, key_id: u32, seals: u64, bytes: u64) {
        self.engine().uses.add(group, key_id, seals, bytes);
    }
}

/// All keys of a keyring with what was counted since it was opened.
pub(crate) fn report(keyring: &Keyring) -> KeyringReport {
    let (contents, uses) = (keyring.contents(), keyring.uses());
    let groups = contents.groups.iter().map(|(group, keys)| GroupReport {
        group: *group,
        keys: keys.keys.iter().map(|key| key_report(key, uses.used(*group, key.id))).collect(),
    });
    KeyringReport { root: keyring.root(), generation: contents.generation, groups: groups.collect() }
}

/// What was counted since the store opened starts from what the keyring had then; a key that was not used since is as
/// the keyring says.
fn key_report(key: &KeyEntry, used: Option<Used>) -> KeyReport {
    let used = used.unwrap_or_else(|| key.used());
    KeyReport {
        id: key.id,
        state: key.state,
        created_lsn: key.created,
        created_at: key.created_at,
        seals: used.seals,
        sealed_bytes: used.bytes,
        last_used_at: used.last_at,
        root: key.wrapped.as_ref().map(RootKeyName::from),
    }
}

impl KeyReport {
    /// Whether the key is to seal and did so as often as a key may: its group takes no writes until it has another.
    pub fn is_used_up(&self) -> bool {
        self.state == KeyState::Active && self.seals >= crate::uses::SEALS_USED_UP
    }
}

impl From<&Envelope> for RootKeyName {
    fn from(envelope: &Envelope) -> Self {
        Self {
            provider: envelope.provider.clone(),
            key_id: envelope.key_id.clone(),
            key_version: envelope.key_version,
        }
    }
}

/// How the moving of pages and values from readable keys to the active one goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResealSettings {
    /// Nothing is moved.
    pub paused: bool,
    /// How much is moved at most, in KiB/s; 0 if there is no limit.
    pub kib_per_second: u32,
}
