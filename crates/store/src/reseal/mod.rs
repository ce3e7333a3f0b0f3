//! Re-sealing: what older keys of a group sealed goes to the active one in the background, and then they retire.
//!
//! | module | is |
//! |---|---|
//! | `pace` | how fast bytes may be moved: pure |
//! | `board` | which groups there are to work on, and how far each is |
//! | `worker` | the threads that do it |
//!
//! For each group with a readable key, in this order: its pages (`docs/spec/pages.md` §13), the values in its rows that
//! such a key wraps ([`KeyUser`]), and then the log, which needs the key as long as it has segments from its time. A key that
//! nothing of these needs any more retires. All of it starts again from what is on the disk when the store is opened
//! again; what was moved is seen to be.

mod board;
mod pace;
mod worker;

use std::sync::Arc;

pub(crate) use self::board::Board;
pub(crate) use self::worker::Resealer;
#[cfg(test)]
pub(crate) use self::worker::Step;
use crate::{GroupId, KeyUser, ResealSettings, Store, StoreError};

/// What is being done in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResealStage {
    /// Pages are sealed anew.
    Pages,
    /// Values in rows are wrapped anew, or who has such values has not said yet who they are
    /// ([`Store::key_users_are_complete`]).
    Values,
    /// The log still has segments from the time of the key.
    Log,
}

/// How far a group is whose older keys are to retire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResealProgress {
    /// The group.
    pub group: GroupId,
    /// The keys that are to retire, ascending.
    pub key_ids: Vec<u32>,
    /// What is being done.
    pub stage: ResealStage,
    /// Pages that were looked at, and moved if need be.
    pub pages_done: u64,
    /// Pages of the group's file; 0 if it was not looked at yet.
    pub pages_total: u64,
    /// Bytes of pages and values that were moved since the store opened.
    pub bytes_moved: u64,
    /// What went wrong last, if the work rests for that reason.
    pub trouble: Option<String>,
}

/// How re-sealing is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResealStatus {
    /// As last set.
    pub settings: ResealSettings,
    /// How many groups are worked on at once.
    pub workers: usize,
    /// Groups with readable keys, ascending.
    pub groups: Vec<ResealProgress>,
}

impl Store {
    /// How re-sealing is doing.
    pub fn reseal_status(&self) -> ResealStatus {
        self.resealer().status()
    }

    /// Pauses re-sealing, lets it go on, or changes how fast it may be: now, and whenever the store is opened from now on.
    /// Groups that rest because something went wrong are tried again.
    ///
    /// # Errors
    /// The settings could not be made durable; nothing changed.
    pub async fn set_reseal(&self, settings: ResealSettings) -> Result<(), StoreError> {
        let resealer = self.resealer().clone();
        let done = self.run(move || resealer.set(settings));
        done.await.map_err(|_| StoreError::Closed)?
    }

    /// Registers one who keeps values that group keys wrap. Keep the store in it by [`Store::downgrade`] only.
    pub fn add_key_user(&self, user: Arc<dyn KeyUser>) {
        self.resealer().board().add_user(user);
    }

    /// Says that all users of group keys are registered; there may be none. Before this is said no key retires: a value
    /// that nobody told of would be lost.
    pub fn key_users_are_complete(&self) {
        self.resealer().board().complete_users();
    }
}
