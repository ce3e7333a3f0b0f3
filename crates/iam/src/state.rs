//! All identities in memory, as the rows have them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use strongroom_seal::SecretKey;
use strongroom_store::{GroupId, Reading, Store};

use crate::iam::{ROOT_ROW, UNSHOWN_ROW};
use crate::policy::canned;
use crate::row::RowFault;
use crate::rows::{self, Group, KeyBody, NamedPolicy, Owner, Token, User};
use crate::sealed::SealedValue;
use crate::{AccessKey, IamError, Name, Policy, Secret};

/// What errors call a row that does not open.
const IDENTITIES: &str = "identities";

/// An access key or service account, with its secret.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) body: KeyBody,
    pub(crate) secret: Secret,
}

/// Identities at one moment. Cheap to clone: a change copies the table that it changes.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) users: Arc<BTreeMap<Name, Arc<User>>>,
    pub(crate) groups: Arc<BTreeMap<Name, Arc<Group>>>,
    pub(crate) policies: Arc<BTreeMap<Name, Arc<NamedPolicy>>>,
    pub(crate) keys: Arc<BTreeMap<AccessKey, Arc<Key>>>,
    pub(crate) tokens: Arc<BTreeMap<String, Arc<Token>>>,
    /// What session tokens are sealed under. `None` only before the first one is made.
    pub(crate) session_key: Option<Arc<SecretKey>>,
    /// The number of the last change.
    pub(crate) seq: u64,
}

impl State {
    /// Reads all rows. Blocks.
    pub(crate) fn load(store: &Store) -> Result<Self, IamError> {
        let reading = store.read(GroupId::SYSTEM)?;
        let mut users = BTreeMap::new();
        let mut groups = BTreeMap::new();
        let mut policies = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let mut tokens = BTreeMap::new();
        let mut session_key = None;
        let damaged = |fault: RowFault| fault.of(IDENTITIES);
        let name = |text: &str| Name::parse(text).map_err(|_| damaged(RowFault::Damaged));
        for row in before_changes(&reading)?.chain(after_changes(&reading)?) {
            let (key, value) = row?;
            if key == ROOT_ROW || key == UNSHOWN_ROW {
                continue;
            }
            if key == rows::SESSION_KEY {
                let bytes = opened(store, &key, &value)?;
                let sealing = SecretKey::from_slice(&bytes).ok_or(damaged(RowFault::Damaged))?;
                session_key = Some(Arc::new(sealing));
                continue;
            }
            let text = std::str::from_utf8(&key).map_err(|_| damaged(RowFault::Damaged))?;
            if let Some(text) = text.strip_prefix(rows::USER) {
                users.insert(name(text)?, Arc::new(User::decode(&value).map_err(damaged)?));
            } else if let Some(text) = text.strip_prefix(rows::GROUP) {
                groups.insert(name(text)?, Arc::new(Group::decode(&value).map_err(damaged)?));
            } else if let Some(text) = text.strip_prefix(rows::POLICY) {
                policies.insert(name(text)?, Arc::new(NamedPolicy::decode(&value).map_err(damaged)?));
            } else if let Some(text) = text.strip_prefix(rows::TOKEN) {
                tokens.insert(text.to_owned(), Arc::new(Token::decode(&value).map_err(damaged)?));
            } else if let Some(text) = text.strip_prefix(rows::KEY) {
                let access_key = rows::access_key(text).map_err(damaged)?;
                keys.insert(access_key, Arc::new(Self::key(store, &key, &value)?));
            } else {
                return Err(damaged(RowFault::Damaged));
            }
        }
        let seq = match changes(&reading, 0)?.next_back() {
            None => 0,
            Some(row) => rows::change_seq(&row?.0).map_err(damaged)?,
        };
        Ok(Self {
            users: Arc::new(users),
            groups: Arc::new(groups),
            policies: Arc::new(policies),
            keys: Arc::new(keys),
            tokens: Arc::new(tokens),
            session_key,
            seq,
        })
    }

    fn key(store: &Store, row_key: &[u8], value: &[u8]) -> Result<Key, IamError> {
        let damaged = |fault: RowFault| fault.of(IDENTITIES);
        let body = KeyBody::decode(SealedValue::parse(value).map_err(damaged)?.body).map_err(damaged)?;
        let secret = opened(store, row_key, value)?;
        let text = std::str::from_utf8(&secret).map_err(|_| damaged(RowFault::Damaged))?;
        let secret = Secret::parse(text.to_owned()).map_err(|_| damaged(RowFault::Damaged))?;
        Ok(Key { body, secret })
    }

    /// The policy of this name, stored or canned.
    pub(crate) fn policy(&self, name: &Name) -> Option<&Policy> {
        match self.policies.get(name) {
            Some(named) => Some(&named.policy),
            None => canned::named(name.as_str()).map(|canned| &canned.policy),
        }
    }

    /// The policies of a user and of its groups.
    pub(crate) fn policies_of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Policy> {
        let groups = user.groups.iter().filter_map(|name| self.groups.get(name));
        let names = user.policies.iter().chain(groups.flat_map(|group| &group.policies));
        names.filter_map(|name| self.policy(name))
    }

    /// Whether the owner is there and enabled.
    pub(crate) fn stands(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Root => true,
            Owner::User(name) => self.users.get(name).is_some_and(|user| !user.disabled),
        }
    }
}

/// Changes after a number. They are by far the most rows, so they are left out of what is loaded.
pub(crate) fn changes(reading: &Reading, after: u64) -> Result<strongroom_store::Range, IamError> {
    let (from, to) = (rows::change_key(after), rows::change_key(u64::MAX));
    Ok(reading.range(Bound::Excluded(&from), Bound::Included(&to))?)
}

fn before_changes(reading: &Reading) -> Result<strongroom_store::Range, IamError> {
    Ok(reading.range(Bound::Included(rows::PREFIX), Bound::Excluded(rows::CHANGE))?)
}

fn after_changes(reading: &Reading) -> Result<strongroom_store::Range, IamError> {
    let last = rows::change_key(u64::MAX);
    Ok(reading.range(Bound::Excluded(&last), Bound::Excluded(rows::PREFIX_END))?)
}

/// The secret in a row's value.
fn opened(store: &Store, row_key: &[u8], value: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, IamError> {
    let sealed = SealedValue::parse(value).map_err(|fault| fault.of(IDENTITIES))?;
    let key = store.group_key_by_id(GroupId::SYSTEM, sealed.key_id)?;
    sealed.open(row_key, &key).map_err(|fault| fault.of(IDENTITIES))
}
