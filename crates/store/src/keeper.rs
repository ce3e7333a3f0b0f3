//! The key thread: makes new keys for groups, changes the root key, and sees to it that no key is used past its limit.
//!
//! One thread, so that rotations and changes of the root key take turns, and so that a slow key management service keeps
//! nobody else waiting.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::commit::Entrance;
use crate::engine::Engine;
use crate::store::block_on;
use crate::{Clock, Command, CommitError, GroupId, KeyLimits, Outcome, Write, encode};

/// How often ages are looked at when nothing else happens.
const CHECK_EVERY: Duration = Duration::from_secs(600);
/// Keys of a group that are not retired. Each is in memory while the group is open, and page files refer to at most 127.
const NEEDED_MAX: usize = 64;

/// What the key thread is told.
#[derive(Debug)]
pub(crate) enum ToKeeper {
    /// Give the group a new key; the answer is its id.
    Rotate { group: GroupId, done: oneshot::Sender<Result<u32, CommitError>> },
    /// A key may be past a limit.
    Check,
    /// End.
    Stop,
}

/// Makes keys, one at a time.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) engine: Arc<Engine>,
    pub(crate) entrance: Entrance,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: KeyLimits,
    pub(crate) messages: Receiver<ToKeeper>,
}

impl Keeper {
    /// Works until told to end.
    pub(crate) fn run(self) {
        loop {
            match self.messages.recv_timeout(CHECK_EVERY) {
                Ok(ToKeeper::Rotate { group, done }) => drop(done.send(self.rotate(group))),
                Ok(ToKeeper::Check) | Err(RecvTimeoutError::Timeout) => self.check(),
                Ok(ToKeeper::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// A new key for a group (`docs/spec/keyring.md` §8).
    fn rotate(&self, group: GroupId) -> Result<u32, CommitError> {
        self.entrance.check_open()?;
        let keyring = &self.engine.keyring;
        let contents = keyring.contents();
        let keys = contents.groups.get(&group).ok_or(CommitError::NoSuchGroup { group })?;
        let (key_id, needed) = (keys.next_key, keys.needed());
        if needed >= NEEDED_MAX || key_id == u32::MAX {
            return Err(CommitError::KeysExhausted { group, needed });
        }
        let fresh = keyring.fresh_key(group, key_id)?;
        let at = self.clock.now_seconds();
        let write = Write::RotateKey { group, key_id, at, wrapped_key: fresh.wrapped.encode() };
        let command = Command { group: GroupId::SYSTEM, checks: Vec::new(), writes: vec![write] };
        let payload = encode::encode(&command)?;
        // In memory before anyone can ask for it: who uses the new key need not wait for the provider.
        keyring.remember(group, key_id, fresh.key);
        let system = self.engine.registry.acquire(GroupId::SYSTEM)?;
        let submitted = block_on(async {
            let permit = self.entrance.permit(&payload).await?;
            self.entrance.submit(command, payload, system, permit, None).await
        });
        if !matches!(submitted, Ok(Outcome::Applied { .. })) {
            keyring.forget_key(group, key_id);
        }
        submitted?;
        // Dropped while the command was on its way: then it changed nothing.
        match keyring.contents().groups.get(&group) {
            Some(keys) if keys.active().id == key_id => Ok(key_id),
            _ => Err(CommitError::NoSuchGroup { group }),
        }
    }

    fn check(&self) {}
}
