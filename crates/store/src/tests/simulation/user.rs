//! A user of group keys, as a store's users are: values in rows that a group's key wraps, which only it can open and wrap
//! anew. So a key that retired too early is missed.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_seal::{Context, Label, Random, record};

use super::history::Complaint;
use crate::sim::Dice;
use crate::{Check, Command, GroupId, KeyUser, KeyUserError, Outcome, Store, WeakStore, Write};

/// Rows whose values are wrapped have names that start so.
const WRAPPED: &[u8] = b"wrapped";
const ID_LEN: usize = 4;
const STAMP_LEN: usize = 16;

/// Wraps, opens and wraps anew.
#[derive(Debug)]
pub(super) struct User {
    store: WeakStore,
    random: Arc<dyn Random>,
    /// Held from the wrapping of a value until its command is answered, and by who wraps anew: so nobody has in hand what
    /// an older key wrapped when a run says that it found all.
    turn: Mutex<()>,
}

impl User {
    /// Registers the only user that a store has.
    pub(super) fn of(store: &Store, random: Arc<dyn Random>) -> Arc<Self> {
        let user = Arc::new(Self { store: store.downgrade(), random, turn: Mutex::default() });
        store.add_key_user(Arc::<Self>::clone(&user));
        store.key_users_are_complete();
        user
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row whose value only the group's active key opens; `None` if the key is not to be had.
    pub(super) fn row(&self, group: GroupId, dice: &mut Dice) -> Option<Write> {
        let key = [WRAPPED, &[b'0' + u8::try_from(dice.below(6)).expect("it is below six")]].concat();
        let mut stamp = [0; STAMP_LEN];
        stamp[..8].copy_from_slice(&dice.roll().to_le_bytes());
        let value = self.wrap(&self.store.upgrade()?, group, &key, &stamp)?;
        Some(Write::Put { key, value })
    }

    fn wrap(&self, store: &Store, group: GroupId, name: &[u8], stamp: &[u8]) -> Option<Vec<u8>> {
        let (key_id, key) = store.group_key(group).ok()?;
        let sealed = record::seal(&key, &context(group, key_id, name), stamp, &*self.random);
        store.note_key_use(group, key_id, 1, sealed.len() as u64);
        Some([&key_id.to_le_bytes()[..], stamp, &sealed].concat())
    }
}

impl KeyUser for User {
    fn rewrap(
        &self,
        group: GroupId,
        active: u32,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, KeyUserError> {
        let Some(store) = self.store.upgrade() else { return Ok(false) };
        let _turn = self.turn();
        let rows = {
            let reading = store.read(group).map_err(KeyUserError::new)?;
            let rows =
                reading.range(Bound::Included(WRAPPED), Bound::Unbounded).map_err(KeyUserError::new)?;
            let copied = rows.map(|row| row.map(|(name, value)| (name.to_vec(), value.to_vec())));
            copied.collect::<Result<Vec<_>, _>>().map_err(KeyUserError::new)?
        };
        for (name, value) in rows {
            let Some((key_id, stamp, _)) = parts(&name, &value).filter(|(key_id, ..)| *key_id != active)
            else {
                continue;
            };
            let opened = open(&store, group, &name, &value);
            opened.map_err(|complaint| KeyUserError::new(std::io::Error::other(complaint)))?;
            let Some(anew) = self.wrap(&store, group, &name, stamp) else { return Ok(false) };
            debug_assert_ne!(key_id, active);
            let command = Command {
                group,
                checks: vec![Check::Equals { key: name.clone(), value: value.clone() }],
                writes: vec![Write::Put { key: name.clone(), value: anew }],
            };
            match store.commit_blocking(command).map_err(KeyUserError::new)? {
                Outcome::Applied { .. } => {}
                Outcome::Refused { .. } => return Ok(false),
            }
            if !pace(value.len() as u64) {
                return Ok(false);
            }
        }
        let (now, _) = store.group_key(group).map_err(KeyUserError::new)?;
        Ok(now == active)
    }
}

/// Without what another key makes of it: what a row says, whichever key wraps it.
pub(super) fn said<'a>(name: &[u8], value: &'a [u8]) -> &'a [u8] {
    parts(name, value).map_or(value, |(_, stamp, _)| stamp)
}

/// Opens a value if it is wrapped.
pub(super) fn open(store: &Store, group: GroupId, name: &[u8], value: &[u8]) -> Result<(), Complaint> {
    let Some((key_id, stamp, sealed)) = parts(name, value) else { return Ok(()) };
    let what = || format!("{} in group {group}", String::from_utf8_lossy(name));
    let key = store.group_key_by_id(group, key_id);
    let key = key.map_err(|error| format!("the key of {} is not to be had: {error}", what()))?;
    let opened = record::open(&key, &context(group, key_id, name), sealed);
    let opened = opened.map_err(|_| format!("{} does not open under key {key_id}", what()))?;
    if opened[..] == *stamp { Ok(()) } else { Err(format!("{} holds another value", what())) }
}

fn parts<'a>(name: &[u8], value: &'a [u8]) -> Option<(u32, &'a [u8], &'a [u8])> {
    if !name.starts_with(WRAPPED) {
        return None;
    }
    let (key_id, rest) = value.split_first_chunk::<ID_LEN>()?;
    let (stamp, sealed) = rest.split_at_checked(STAMP_LEN)?;
    Some((u32::from_le_bytes(*key_id), stamp, sealed))
}

fn context(group: GroupId, key_id: u32, name: &[u8]) -> Context {
    Context::new(Label::ObjectKeyByGroup, group.0).and(key_id).and(name)
}
