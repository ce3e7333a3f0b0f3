//! What the threads of an open store share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::sync::RwLock;

use crate::issue::Issued;
use crate::keyring::Keyring;
use crate::poison::Poison;
use crate::registry::Registry;
use crate::reseal::Board;
use crate::uses::KeyUses;
use crate::{CommitError, GroupId};

/// An open store without its threads.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) uses: Arc<KeyUses>,
    pub(crate) registry: Registry,
    pub(crate) poison: Arc<Poison>,
    pub(crate) figures: Figures,
    /// What there is to re-seal.
    pub(crate) board: Board,
    /// No command is taken any more.
    pub(crate) closed: AtomicBool,
    /// A command of the system group is durable in the log and waits for space, for its rows or for the keyring.
    pub(crate) system_waits: AtomicBool,
    /// The id that the next new group gets.
    pub(crate) next_group: AtomicU32,
    pub(crate) checkpoint_bytes: u64,
    /// Read while a key is made that is not in the keyring yet, written while the root key is changed.
    pub(crate) making: Arc<RwLock<()>>,
    pub(crate) issued: Issued,
}

impl Engine {
    /// How many groups are on their way into the keyring, or about to be: each has its hand on the lock.
    pub(crate) fn groups_being_made(&self) -> usize {
        Arc::strong_count(&self.making) - 1
    }

    /// Refuses what a group's key would seal that sealed as often as any may, or the system group's, which seals the headers
    /// of all frames. What seals by itself is what was taken before, and the rotation that ends this.
    pub(crate) fn check_key(&self, group: GroupId) -> Result<(), CommitError> {
        if !self.uses.some_used_up() {
            return Ok(());
        }
        let contents = self.keyring.contents();
        for group in [group, GroupId::SYSTEM] {
            let key_id = contents.groups.get(&group).map(|keys| keys.active().id);
            if let Some(key_id) = key_id.filter(|key_id| self.uses.is_used_up(group, *key_id)) {
                return Err(CommitError::KeyUsedUp { group, key_id });
            }
        }
        Ok(())
    }

    /// Refuses a command of the system group while earlier ones wait for space: it would have to wait behind them.
    pub(crate) fn check_system(&self) -> Result<(), CommitError> {
        match self.system_waits.load(Ordering::Acquire) {
            true => Err(CommitError::NoSpace),
            false => Ok(()),
        }
    }
}

/// Counts since the store opened, and places in the log.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) lsn: AtomicU64,
    pub(crate) durable: AtomicU64,
    pub(crate) applied: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    /// The id of the log's first segment.
    pub(crate) log_first: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) logged: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) fsyncs: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    /// The next checkpoint is made even if nothing was logged: the log may be let go of that was pinned before.
    pub(crate) checkpoint_forced: AtomicBool,
    /// A checkpoint is due and has not begun.
    pub(crate) checkpoint_wanted: AtomicBool,
}
