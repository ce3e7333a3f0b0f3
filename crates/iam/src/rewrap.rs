//! Sealing the stored secrets anew after the system group got a new key.
//!
//! Who changes identities takes the active key and commits under one lock. A run passes through that lock before it looks: whoever took the
//! older key has committed then, and whoever comes later takes the new one. So nobody can still write what the older key seals, and
//! passes that find nothing mean that nothing is left. The rows of the first start are written before this is made.

use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, Weak};

use strongroom_store::{Check, Command, GroupId, KeyUser, KeyUserError, Outcome, Write};

use crate::iam::{Inner, ROOT, ROOT_ROW};
use crate::row::{self, RowFault};
use crate::sealed::{self, SealedValue};
use crate::{IamError, rows};

/// Rows of one command.
const BATCH: usize = 64;
/// How often it is looked again for what others changed meanwhile.
const PASSES: usize = 8;

/// The user of the system group's keys that stored secrets are. Weak, because the store that owns it is owned by the identities.
struct StoredSecrets(Weak<Inner>);

pub(crate) fn key_user(inner: &Arc<Inner>) -> Arc<dyn KeyUser> {
    Arc::new(StoredSecrets(Arc::downgrade(inner)))
}

impl fmt::Debug for StoredSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredSecrets")
    }
}

/// A row under an older key, and what it shall be.
struct OldRow {
    key: Vec<u8>,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// What a pass came to.
#[derive(Default)]
struct Pass {
    /// Rows under an older key, sealed anew or not.
    found: usize,
    /// The first of them that does not open. It is not the pass's to judge, and keeps its key.
    damaged: Option<IamError>,
    stopped: bool,
}

impl KeyUser for StoredSecrets {
    fn rewrap(
        &self,
        group: GroupId,
        _active: u32,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, KeyUserError> {
        if group != GroupId::SYSTEM {
            return Ok(true);
        }
        let Some(inner) = self.0.upgrade() else { return Ok(false) };
        drop(inner.writer.lock().unwrap_or_else(PoisonError::into_inner));
        for _ in 0..PASSES {
            match inner.pass(pace).map_err(KeyUserError::new)? {
                Pass { stopped: true, .. } => return Ok(false),
                Pass { found: 0, damaged: None, .. } => return Ok(true),
                Pass { found: 0, damaged: Some(error), .. } => return Err(KeyUserError::new(error)),
                _ => {}
            }
        }
        Ok(false)
    }
}

impl Inner {
    fn pass(&self, pace: &mut dyn FnMut(u64) -> bool) -> Result<Pass, IamError> {
        let (active, _) = self.store.group_key(GroupId::SYSTEM)?;
        let reading = self.store.read(GroupId::SYSTEM)?;
        let mut pass = Pass::default();
        let mut batch = Vec::new();
        let after_keys = [rows::KEY.as_bytes(), &[0xff]].concat();
        let keys = reading.range(Bound::Included(rows::KEY.as_bytes()), Bound::Excluded(&after_keys))?;
        let alone = [ROOT_ROW, rows::SESSION_KEY].into_iter().filter_map(|key| {
            reading.get(key).map(|value| value.map(|value| (key.to_vec(), value))).transpose()
        });
        for row in alone.chain(keys) {
            let (key, value) = row?;
            match self.sealed_anew(&key, &value, active) {
                Ok(None) => {}
                Ok(Some(new)) => batch.push(OldRow { key, old: value.to_vec(), new }),
                Err(error @ (IamError::Damaged { .. } | IamError::TooNew { .. })) => {
                    pass.damaged = pass.damaged.or(Some(error));
                }
                Err(error) => return Err(error),
            }
            if batch.len() == BATCH && !self.flush(&mut batch, &mut pass, pace)? {
                return Ok(pass);
            }
        }
        self.flush(&mut batch, &mut pass, pace)?;
        Ok(pass)
    }

    /// The value under the active key; `None` if it is already.
    fn sealed_anew(&self, row_key: &[u8], value: &[u8], active: u32) -> Result<Option<Vec<u8>>, IamError> {
        let root = row_key == ROOT_ROW;
        let damaged = |fault: RowFault| fault.of(if root { ROOT } else { "identities" });
        let key_id = match root {
            true => row::key_id(value).map_err(damaged)?,
            false => SealedValue::parse(value).map_err(damaged)?.key_id,
        };
        if key_id == active {
            return Ok(None);
        }
        let old_key = self.store.group_key_by_id(GroupId::SYSTEM, key_id)?;
        let (active, key) = self.store.group_key(GroupId::SYSTEM)?;
        let random = &*self.options.random;
        let new = if root {
            let credentials = row::open(value, row_key, &old_key).map_err(damaged)?;
            row::seal(&credentials, row_key, (active, &key), random)
        } else {
            let parsed = SealedValue::parse(value).map_err(damaged)?;
            let secret = parsed.open(row_key, &old_key).map_err(damaged)?;
            sealed::seal(&secret, row_key, parsed.body, (active, &key), random)
        };
        self.store.note_key_use(GroupId::SYSTEM, active, 1, new.len() as u64);
        Ok(Some(new))
    }

    /// Puts the rows in their place, together or else one by one: a row that somebody changed meanwhile stays as that one left it.
    /// Says whether to go on.
    fn flush(
        &self,
        batch: &mut Vec<OldRow>,
        pass: &mut Pass,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, IamError> {
        let rows = std::mem::take(batch);
        if rows.is_empty() {
            return Ok(true);
        }
        pass.found += rows.len();
        let mut written = self.commit(&rows)?;
        if written == 0 {
            for row in &rows {
                written += self.commit(std::slice::from_ref(row))?;
            }
        }
        pass.stopped = !pace(written);
        Ok(!pass.stopped)
    }

    /// The bytes that were written; 0 if a row is another one by now.
    fn commit(&self, rows: &[OldRow]) -> Result<u64, IamError> {
        let same = |row: &OldRow| Check::Equals { key: row.key.clone(), value: row.old.clone() };
        let put = |row: &OldRow| Write::Put { key: row.key.clone(), value: row.new.clone() };
        let checks = rows.iter().map(same).collect();
        let writes = rows.iter().map(put).collect();
        let outcome = self.store.commit_blocking(Command { group: GroupId::SYSTEM, checks, writes })?;
        let bytes = rows.iter().map(|row| row.new.len() as u64).sum();
        Ok(if matches!(outcome, Outcome::Applied { .. }) { bytes } else { 0 })
    }
}
