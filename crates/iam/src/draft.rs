//! Changing identities: one command with its change, and then what is in memory.

use std::sync::{Arc, PoisonError};

use strongroom_store::{Check, Command, GroupId, Outcome, Write};

use crate::iam::{Iam, Inner};
use crate::state::State;
use crate::{Change, ChangeKind, IamError, Identity, rows, sealed};

/// How often a change is tried again when others changed identities meanwhile. In one process nobody does.
const ATTEMPTS: usize = 3;
/// How many changes are kept (`docs/spec/iam.md` §2).
pub(crate) const CHANGES_KEPT: u64 = 65_536;

/// Identities as they will be, and what has to be written for it.
pub(crate) struct Draft<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) state: State,
    /// Seconds since 1970.
    pub(crate) now: u64,
    by: String,
    writes: Vec<Write>,
}

impl Draft<'_> {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(Write::Put { key, value });
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.writes.push(Write::Delete { key });
    }

    /// Puts a value that holds a secret.
    pub(crate) fn put_sealed(&mut self, key: Vec<u8>, body: &[u8], secret: &[u8]) -> Result<(), IamError> {
        let (key_id, group_key) = self.inner.store.group_key(GroupId::SYSTEM)?;
        let value = sealed::seal(secret, &key, body, (key_id, &group_key), &*self.inner.options.random);
        self.inner.store.note_key_use(GroupId::SYSTEM, key_id, 1, value.len() as u64);
        self.put(key, value);
        Ok(())
    }

    /// Tells of what is done. What is not told of is not written.
    pub(crate) fn tell(&mut self, kind: ChangeKind, subject: impl Into<String>, target: Option<String>) {
        self.state.seq += 1;
        let seq = self.state.seq;
        let (by, subject) = (self.by.clone(), subject.into());
        let change = Change { seq, at: self.now, by, kind, subject, target };
        self.put(rows::change_key(seq), change.encode());
        if let Some(old) = seq.checked_sub(CHANGES_KEPT)
            && old > 0
        {
            self.delete(rows::change_key(old));
        }
    }
}

impl Iam {
    /// Runs `edit` on a draft and makes it durable and visible, or nothing of it. It may run several times. Dropping the future does
    /// not take it back: memory follows what was written.
    pub(crate) async fn change<T, F>(&self, by: &Identity, edit: F) -> Result<T, IamError>
    where
        T: Send + 'static,
        F: Fn(&mut Draft<'_>) -> Result<T, IamError> + Send + 'static,
    {
        let (inner, by) = (Arc::clone(&self.0), by.to_string());
        let task = tokio::task::spawn_blocking(move || inner.change(&by, edit));
        task.await.unwrap_or_else(|failed| match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down.
            Err(_) => Err(IamError::Busy),
        })
    }
}

impl Inner {
    pub(crate) fn change<T>(
        &self,
        by: &str,
        edit: impl Fn(&mut Draft<'_>) -> Result<T, IamError>,
    ) -> Result<T, IamError> {
        // Held until the command was carried out, so that memory changes in the order of the commands, and a rotation can wait for
        // whoever sealed under the older key.
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            let before = self.state();
            let now = self.options.clock.now_seconds();
            let mut draft =
                Draft { inner: self, state: (*before).clone(), now, by: by.into(), writes: vec![] };
            let result = edit(&mut draft)?;
            let Draft { state, writes, .. } = draft;
            if state.seq == before.seq {
                return Ok(result);
            }
            // Whoever else changed identities took this number.
            let checks = vec![Check::Absent { key: rows::change_key(before.seq + 1) }];
            match self.store.commit_blocking(Command { group: GroupId::SYSTEM, checks, writes }) {
                Ok(Outcome::Applied { .. }) => {
                    self.set_state(state);
                    return Ok(result);
                }
                Ok(Outcome::Refused { .. }) => self.set_state(State::load(&self.store)?),
                Err(error) => {
                    // It may have been logged all the same; memory must not be behind it.
                    if let Ok(state) = State::load(&self.store) {
                        self.set_state(state);
                    }
                    return Err(error.into());
                }
            }
        }
        Err(IamError::Busy)
    }
}
