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

/// Some of them.
struct Found {
    rows: Vec<OldRow>,
    /// The last row that was looked at, if others may follow.
    last: Option<Vec<u8>>,
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
        let mut pass = Pass::default();
        let mut after = None;
        loop {
            let found = self.old_rows(after.as_deref(), active, &mut pass)?;
            let last = found.last;
            if !self.replace(&found.rows, &mut pass, pace)? {
                return Ok(pass);
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(pass),
            }
        }
    }

    /// The next rows under an older key, from the first on or after a key. What was read is let go before anything is
    /// written: pages that failed for lack of space are made again only when nobody reads the old ones, and the commands
    /// of this group wait for that.
    fn old_rows(&self, after: Option<&[u8]>, active: u32, pass: &mut Pass) -> Result<Found, IamError> {
        let reading = self.store.read(GroupId::SYSTEM)?;
        let alone: &[&[u8]] = if after.is_none() { &[ROOT_ROW, rows::SESSION_KEY] } else { &[] };
        let alone = alone.iter().filter_map(|key| {
            reading.get(key).map(|value| value.map(|value| (key.to_vec(), value))).transpose()
        });
        let start = after.map_or(Bound::Included(rows::KEY.as_bytes()), Bound::Excluded);
        let end = [rows::KEY.as_bytes(), &[0xff]].concat();
        let mut found = Found { rows: Vec::new(), last: None };
        for row in alone.chain(reading.range(start, Bound::Excluded(&end))?) {
            let (key, value) = row?;
            match self.sealed_anew(&key, &value, active) {
                Ok(None) => {}
                Ok(Some(new)) => found.rows.push(OldRow { key: key.clone(), old: value.to_vec(), new }),
                Err(error @ (IamError::Damaged { .. } | IamError::TooNew { .. })) => {
                    pass.damaged = pass.damaged.take().or(Some(error));
                }
                Err(error) => return Err(error),
            }
            if found.rows.len() == BATCH {
                found.last = Some(key);
                break;
            }
        }
        Ok(found)
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
    fn replace(
        &self,
        rows: &[OldRow],
        pass: &mut Pass,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, IamError> {
        if rows.is_empty() {
            return Ok(true);
        }
        pass.found += rows.len();
        let mut written = self.commit(rows)?;
        if written == 0 {
            for row in rows {
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
