//! Sealing the stored credentials anew after the system group got a new key.

use std::fmt;
use std::sync::Arc;

use strongroom_seal::Random;
use strongroom_store::{Check, Command, GroupId, KeyUser, KeyUserError, Outcome, Store, WeakStore, Write};

use crate::IamError;
use crate::iam::{ROOT, ROOT_ROW};
use crate::row;

/// How often the row is sealed anew while somebody changes it. Nobody does so far.
const ATTEMPTS: usize = 8;

/// The user of the system group's keys that stored credentials are.
///
/// The row is written by [`Iam::open`](crate::Iam::open) alone, which has ended when this is made from what it gave:
/// so nobody can still write one that an older key seals.
struct StoredCredentials {
    /// Weak, because the store owns its users.
    store: WeakStore,
    random: Arc<dyn Random>,
}

pub(crate) fn key_user(store: &Store, random: Arc<dyn Random>) -> Arc<dyn KeyUser> {
    Arc::new(StoredCredentials { store: store.downgrade(), random })
}

impl fmt::Debug for StoredCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredCredentials")
    }
}

impl KeyUser for StoredCredentials {
    fn rewrap(
        &self,
        group: GroupId,
        _active: u32,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, KeyUserError> {
        if group != GroupId::SYSTEM {
            return Ok(true);
        }
        let Some(store) = self.store.upgrade() else { return Ok(false) };
        for _ in 0..ATTEMPTS {
            match seal_anew(&store, &*self.random).map_err(KeyUserError::new)? {
                Some(0) => return Ok(true),
                Some(bytes) if !pace(bytes) => return Ok(false),
                // Once more: another key may be active by now.
                _ => {}
            }
        }
        Ok(false)
    }
}

/// The bytes that were written; 0 if there was nothing to do, and `None` if the row changed meanwhile.
fn seal_anew(store: &Store, random: &dyn Random) -> Result<Option<u64>, IamError> {
    let (active, key) = store.group_key(GroupId::SYSTEM)?;
    let Some(value) = store.read(GroupId::SYSTEM)?.get(ROOT_ROW)?.map(|value| value.to_vec()) else {
        return Ok(Some(0));
    };
    let key_id = row::key_id(&value).map_err(|fault| fault.of(ROOT))?;
    if key_id == active {
        return Ok(Some(0));
    }
    let old_key = store.group_key_by_id(GroupId::SYSTEM, key_id)?;
    let credentials = row::open(&value, ROOT_ROW, &old_key).map_err(|fault| fault.of(ROOT))?;
    let sealed = row::seal(&credentials, ROOT_ROW, (active, &key), random);
    let bytes = sealed.len() as u64;
    store.note_key_use(GroupId::SYSTEM, active, 1, bytes);
    let outcome = store.commit_blocking(Command {
        group: GroupId::SYSTEM,
        checks: vec![Check::Equals { key: ROOT_ROW.to_vec(), value }],
        writes: vec![Write::Put { key: ROOT_ROW.to_vec(), value: sealed }],
    })?;
    Ok(matches!(outcome, Outcome::Applied { .. }).then_some(bytes))
}
