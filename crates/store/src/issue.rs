//! Keys for who holds no root key. `docs/spec/keyring.md` §11.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_seal::{Envelope, GroupKey};

use crate::{Command, CommitError, GroupId, Outcome, Store};

/// Issued keys that may be outstanding; when there are more, the oldest lapses.
const OUTSTANDING_MAX: usize = 1024;

/// The wrapped key of a group that does not exist yet. It holds no secret, and is good once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedKey {
    /// The group that it is for, and no other: its wrapping names it.
    pub group: GroupId,
    /// The key, wrapped by the issuer's root key.
    pub wrapped: Envelope,
}

/// Who holds the root key and makes group keys for roles that do not.
///
/// A role asks for keys, has a group made with one ([`Store::create_group_with`]), and sees neither the root key nor a key
/// in the clear, unless it asks for that one with [`Self::unwrap_issued`].
pub trait GroupKeyIssuer: Send + Sync + fmt::Debug {
    /// Fresh keys for `count` groups that it allocates. They lapse when the issuer restarts, and when many more are issued
    /// and not used. Blocks: the root key's provider is asked for each.
    ///
    /// # Errors
    /// The provider's, or the store takes no commands.
    fn issue(&self, count: usize) -> Result<Vec<IssuedKey>, CommitError>;

    /// The key itself, while it is outstanding.
    ///
    /// # Errors
    /// [`CommitError::NotIssued`] for any other envelope or group.
    fn unwrap_issued(&self, issued: &IssuedKey) -> Result<GroupKey, CommitError>;
}

impl GroupKeyIssuer for Store {
    fn issue(&self, count: usize) -> Result<Vec<IssuedKey>, CommitError> {
        self.check_open()?;
        let mut keys = Vec::with_capacity(count.min(OUTSTANDING_MAX));
        for _ in 0..count {
            let group = self.next_group()?;
            // Nobody may need it in the clear: it is not kept in memory.
            let wrapped = self.engine().keyring.fresh_key(group, 1)?.wrapped;
            self.engine().issued.add(group, wrapped.clone());
            keys.push(IssuedKey { group, wrapped });
        }
        Ok(keys)
    }

    fn unwrap_issued(&self, issued: &IssuedKey) -> Result<GroupKey, CommitError> {
        let group = issued.group;
        if !self.engine().issued.has(issued) {
            return Err(CommitError::NotIssued { group });
        }
        Ok(self.engine().keyring.open_first_key(group, &issued.wrapped)?)
    }
}

impl Store {
    /// Makes a group with a key that this store issued since it opened, and has not made a group with. `command` is one of
    /// the system group: group and rows come into being together, or on refusal not at all, and then the key is good for
    /// another try.
    ///
    /// # Errors
    /// As [`Self::create_group`], and [`CommitError::NotIssued`].
    pub async fn create_group_with(
        &self,
        issued: IssuedKey,
        command: Command,
    ) -> Result<Outcome, CommitError> {
        self.check_open()?;
        let group = issued.group;
        let engine = Arc::clone(self.engine());
        // Taken out at once, so that nobody else can use it meanwhile.
        if !engine.issued.take(&issued) {
            return Err(CommitError::NotIssued { group });
        }
        let outcome = self.make_group(group, command, {
            let issued = issued.clone();
            move || {
                let keyring = &engine.keyring;
                let key = keyring.open_first_key(group, &issued.wrapped)?;
                // The root key may have been changed since.
                let root = keyring.root();
                let wrapped = match root.is_ahead_of(&issued.wrapped) {
                    true => keyring.rewrap(group, 1, &issued.wrapped, &root.key_id)?,
                    false => issued.wrapped,
                };
                Ok(crate::keyring::FreshKey { key, wrapped })
            }
        });
        let outcome = outcome.await;
        let unused = match &outcome {
            Ok(Outcome::Applied { .. }) | Err(CommitError::Poisoned { .. }) => false,
            Ok(Outcome::Refused { .. }) | Err(_) => true,
        };
        if unused {
            self.engine().issued.add(group, issued.wrapped);
        }
        outcome
    }
}

/// Keys that were issued and not used yet.
#[derive(Debug, Default)]
pub(crate) struct Issued(Mutex<BTreeMap<GroupId, Envelope>>);

impl Issued {
    fn add(&self, group: GroupId, wrapped: Envelope) {
        let mut outstanding = self.lock();
        outstanding.insert(group, wrapped);
        while outstanding.len() > OUTSTANDING_MAX {
            outstanding.pop_first();
        }
    }

    fn has(&self, issued: &IssuedKey) -> bool {
        self.lock().get(&issued.group) == Some(&issued.wrapped)
    }

    fn take(&self, issued: &IssuedKey) -> bool {
        let mut outstanding = self.lock();
        let same = outstanding.get(&issued.group) == Some(&issued.wrapped);
        if same {
            outstanding.remove(&issued.group);
        }
        same
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupId, Envelope>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
