//! The key thread: makes new keys for groups, changes the root key, and sees to it that no key is used past its limit.
//!
//! One thread, so that rotations and changes of the root key take turns, and so that a slow key management service keeps
//! nobody else waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use strongroom_seal::Envelope;
use tokio::sync::oneshot;

use crate::checkpoint::ToCheckpoint;
use crate::commit::{Entrance, ToLog};
use crate::disk::is_no_space;
use crate::engine::Engine;
use crate::keyring::is_too_long;
use crate::keys::{RootKeyChange, RootKeyName};
use crate::store::block_on;
use crate::{
    Cause, Clock, Command, CommitError, GroupId, Outcome, RootKeyChangeError, StoreError, Write, encode,
};

/// How often ages are looked at when nothing else happens.
const CHECK_EVERY: Duration = Duration::from_secs(600);
/// Keys of a group that are not retired. Each is in memory while the group is open, and page files refer to at most 127.
const NEEDED_MAX: usize = 64;

/// Keys by group and id, wrapped anew.
type Wrapped = BTreeMap<(GroupId, u32), Envelope>;

/// What the key thread is told.
#[derive(Debug)]
pub(crate) enum ToKeeper {
    /// Give the group a new key; the answer is its id.
    Rotate { group: GroupId, done: oneshot::Sender<Result<u32, CommitError>> },
    /// Wrap all keys under another root key, or the newest version of the present one.
    ChangeRoot { key_id: Option<String>, done: oneshot::Sender<Result<RootKeyChange, RootKeyChangeError>> },
    /// A key may be past a limit, or wrapped by another root key than the rest.
    Check,
    /// Do now what there was to check since the last time, if checks wait for this.
    #[cfg(test)]
    CheckNow { done: oneshot::Sender<()> },
    /// End.
    Stop,
}

/// Makes keys, one at a time.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) engine: Arc<Engine>,
    pub(crate) entrance: Entrance,
    pub(crate) logger: Sender<ToLog>,
    pub(crate) checkpointer: Sender<ToCheckpoint>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) messages: Receiver<ToKeeper>,
    #[cfg(test)]
    pub(crate) waits: std::cell::Cell<Waits>,
}

/// Checks wait until a test asks for them, and there is one to make.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    No,
    ForNothing,
    ForCheck,
}

impl Keeper {
    /// Works until told to end.
    pub(crate) fn run(self) {
        loop {
            match self.messages.recv_timeout(CHECK_EVERY) {
                Ok(ToKeeper::Rotate { group, done }) => drop(done.send(self.rotate(group))),
                Ok(ToKeeper::ChangeRoot { key_id, done }) => drop(done.send(self.change_root(key_id))),
                #[cfg(test)]
                Ok(ToKeeper::Check) if self.waits.get() != Waits::No => self.waits.set(Waits::ForCheck),
                #[cfg(test)]
                Ok(ToKeeper::CheckNow { done }) => {
                    if self.waits.get() == Waits::ForCheck {
                        self.waits.set(Waits::ForNothing);
                        self.check();
                    }
                    let _ = done.send(());
                }
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
        self.engine.check_system()?;
        let at = self.clock.now_seconds();
        let write = Write::RotateKey { group, key_id, at, wrapped_key: fresh.wrapped.encode() };
        let command = Command { group: GroupId::SYSTEM, checks: Vec::new(), writes: vec![write] };
        let payload = encode::encode(&command)?;
        keyring.prepare(payload.len(), crate::groups::growth(&command).unwrap_or_default())?;
        // In memory before anyone can ask for it, and kept there until those who use the group have it: none of them waits
        // for the provider.
        let _pin = keyring.pin(group);
        keyring.remember(group, key_id, fresh.key);
        let system = self.engine.registry.acquire(GroupId::SYSTEM)?;
        system.check()?;
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

    /// All keys under another root key (`docs/spec/keyring.md` §10).
    fn change_root(&self, key_id: Option<String>) -> Result<RootKeyChange, RootKeyChangeError> {
        self.entrance.check_open()?;
        let keyring = &self.engine.keyring;
        let from = keyring.root();
        let wanted = key_id.unwrap_or_else(|| from.key_id.clone());
        let own = keyring.wrap_own_key(&wanted).map_err(|source| RootKeyChangeError::NewKey { source })?;
        let to = RootKeyName::from(&own);
        // A provider that tells no versions may have changed its key all the same.
        let stays = |wrapped: &Envelope| !to.is_ahead_of(wrapped) && to.key_version != 0;
        let mut wrapped = Wrapped::new();
        self.wrap_anew(&to, &stays, &mut wrapped)?;
        // Who makes a group now has its key from the old root key; the others wait for the new one.
        let making = block_on(self.engine.making.write());
        // A group whose making waited until the store gave up is in the log, with a key from the old root key.
        self.entrance.check_open()?;
        self.wrap_anew(&to, &stays, &mut wrapped)?;
        let keys = wrapped.len() as u64;
        if from == to && to.key_version != 0 && keys == 0 {
            return Ok(RootKeyChange { from, to, keys });
        }
        self.replace_wrapped(Some(own), &wrapped)?;
        drop(making);
        tracing::info!(%from, %to, keys, "the keyring and all group keys are wrapped by another root key");
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "there is no checkpoint yet after the change of the root key");
        }
        Ok(RootKeyChange { from, to, keys })
    }

    /// Wraps the keys that are not in `wrapped` yet and whose root key does not stay.
    fn wrap_anew(
        &self,
        to: &RootKeyName,
        stays: &dyn Fn(&Envelope) -> bool,
        wrapped: &mut Wrapped,
    ) -> Result<(), RootKeyChangeError> {
        let keyring = &self.engine.keyring;
        for (group, keys) in &keyring.contents().groups {
            for key in &keys.keys {
                let Some(envelope) = &key.wrapped else { continue };
                if stays(envelope) || wrapped.contains_key(&(*group, key.id)) {
                    continue;
                }
                let key_id = key.id;
                let anew = keyring.rewrap(*group, key_id, envelope, &to.key_id);
                let anew =
                    anew.map_err(|source| RootKeyChangeError::Key { group: *group, key_id, source })?;
                wrapped.insert((*group, key_id), anew);
            }
        }
        Ok(())
    }

    /// One replacement of the keyring with all of it.
    fn replace_wrapped(&self, own: Option<Envelope>, wrapped: &Wrapped) -> Result<(), RootKeyChangeError> {
        let keyring = &self.engine.keyring;
        let replaced = keyring.replace_under(own, |contents| {
            for (group, keys) in &mut contents.groups {
                for key in keys.keys.iter_mut().filter(|key| key.wrapped.is_some()) {
                    if let Some(anew) = wrapped.get(&(*group, key.id)) {
                        key.wrapped = Some(anew.clone());
                    }
                }
            }
        });
        replaced.map_err(|error| {
            if is_no_space(&error) {
                return RootKeyChangeError::NoSpace;
            }
            if is_too_long(&error) {
                return RootKeyChangeError::KeyringFull;
            }
            let cause = self.engine.poison.set(Cause::Keyring { error: error.to_string() });
            RootKeyChangeError::Poisoned { cause }
        })?;
        self.tell_generation();
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        let (done, answer) = mpsc::channel();
        self.checkpointer.send(ToCheckpoint::Now(done)).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    fn check(&self) {
        if self.entrance.check_open().is_err() {
            return;
        }
        self.mend();
        let Engine { keyring, uses, .. } = &*self.engine;
        if uses.need_reserve(&keyring.contents()) {
            match keyring.replace(|_| ()) {
                Ok(()) => self.tell_generation(),
                // Whoever uses the rest of the reserve tries again.
                Err(error) => {
                    tracing::warn!(%error, "the keyring could not be told how often its keys sealed")
                }
            }
        }
        for group in uses.past_limits(&keyring.contents()) {
            match self.rotate(group) {
                Ok(key_id) => tracing::info!(%group, key_id, "a key reached its limit and has a successor"),
                Err(error) => {
                    tracing::warn!(%group, %error, "a key reached its limit and could not be followed by another")
                }
            }
        }
    }

    fn tell_generation(&self) {
        let generation = self.engine.keyring.contents().generation;
        let _ = self.logger.send(ToLog::KeyringChanged { generation, rotated: Vec::new() });
    }

    /// Wraps keys under the root key that the header names which came with another one, or with an older version.
    fn mend(&self) {
        let root = self.engine.keyring.root();
        if self.engine.keyring.contents().behind(&root) == 0 {
            return;
        }
        let mut wrapped = Wrapped::new();
        let mended = self
            .wrap_anew(&root, &|wrapped| !root.is_ahead_of(wrapped), &mut wrapped)
            .and_then(|()| self.replace_wrapped(None, &wrapped));
        match mended {
            Ok(()) => {
                tracing::info!(%root, keys = wrapped.len(), "keys of an earlier root key are wrapped anew")
            }
            Err(error) => tracing::warn!(%error, "keys of an earlier root key could not be wrapped anew"),
        }
    }
}
