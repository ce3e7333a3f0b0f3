//! What happened to identities, for who wants to be told.

use std::fmt;
use std::time::Duration;

use strongroom_store::GroupId;

use crate::row::RowFault;
use crate::{Iam, IamError, rows, state};

/// One change. Written in the same command as what it tells of, so neither is there without the other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Who did it, as an identity is written.
    pub by: String,
    /// What was done.
    pub kind: ChangeKind,
    /// The name of what it was done to.
    pub subject: String,
    /// The other one: what a policy was attached to, which group a user was put into, whose service account it is.
    pub target: Option<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)+) => {
        /// What was done. The numbers are in rows; a retired one keeps its slot.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ChangeKind {$(
            $(#[$doc])*
            $name = $number,
        )+}

        impl ChangeKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name in events, such as `PolicyCreated`.
            pub fn as_str(self) -> &'static str {
                match self {$(Self::$name => stringify!($name),)+}
            }
        }
    };
}

kinds! {
    /// A policy is new.
    PolicyCreated = 1;
    /// A policy has another document.
    PolicyUpdated = 2;
    /// A policy is gone.
    PolicyDeleted = 3;
    /// A policy was attached to a user or a group.
    PolicyAttached = 4;
    /// A policy was detached from a user or a group.
    PolicyDetached = 5;
    /// A user is new.
    UserCreated = 6;
    /// A user was enabled or disabled.
    UserUpdated = 7;
    /// A user is gone. Its access keys, service accounts, tokens, policies and groups were told of one by one before.
    UserDeleted = 8;
    /// A group is new.
    GroupCreated = 9;
    /// A user was put into a group.
    GroupMemberAdded = 10;
    /// A user was taken out of a group.
    GroupMemberRemoved = 11;
    /// A group is gone. The policies that were attached to it were told of before.
    GroupDeleted = 12;
    /// A user has another access key.
    AccessKeyCreated = 13;
    /// An access key was enabled or disabled.
    AccessKeyUpdated = 14;
    /// An access key is gone.
    AccessKeyDeleted = 15;
    /// A service account is new.
    ServiceAccountCreated = 16;
    /// A service account was enabled or disabled, or has another policy.
    ServiceAccountUpdated = 17;
    /// A service account is gone.
    ServiceAccountDeleted = 18;
    /// A token for the REST API is new.
    TokenCreated = 19;
    /// A token was revoked.
    TokenRevoked = 20;
    /// All temporary credentials were revoked.
    SessionsRevoked = 21;
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Iam {
    /// The next changes after number `seq`, up to `max`. If the first has a number greater than `seq + 1`, those between were too long
    /// ago to be kept. Blocks on the disk.
    ///
    /// # Errors
    /// A row that does not open, or the store's own.
    pub fn changes_after(&self, seq: u64, max: usize) -> Result<Vec<Change>, IamError> {
        let reading = self.0.store.read(GroupId::SYSTEM)?;
        let damaged = |fault: RowFault| fault.of("changes of identities");
        state::changes(&reading, seq)?
            .take(max)
            .map(|row| {
                let (key, value) = row?;
                let seq = rows::change_seq(&key).map_err(damaged)?;
                Change::decode(seq, &value).map_err(damaged)
            })
            .collect()
    }

    /// The number of the last change, or 0.
    pub fn last_change(&self) -> u64 {
        *self.0.last_change.borrow()
    }

    /// Returns when there are changes after number `seq`, or after `at_most`.
    pub async fn wait_changes(&self, seq: u64, at_most: Duration) {
        let mut last = self.0.last_change.subscribe();
        // The sender lives as long as this, so only time ends it otherwise.
        let _ended = tokio::time::timeout(at_most, last.wait_for(|last| *last > seq)).await;
    }
}
