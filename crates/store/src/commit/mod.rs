//! The way of a command: queue → log thread (one append, one sync for all that waited) → apply thread → answer.
//!
//! ```text
//! callers ──ToLog──► log thread ──ToApply──► apply thread ──► answers
//!    ▲                  ▲  │ bytes               ▲
//!    │                  │  ▼                     │ barrier, hold, release
//!    └── permits        checkpoint thread ───────┘
//! ```
//!
//! While one batch is being synced the next one gathers, and the one before is applied. A command that comes alone is applied by the
//! log thread itself, which saves its writer a change of threads. Nothing waits for a lock over I/O:
//! the log belongs to its thread, and what is applied in which order follows from one channel. The channels are not
//! bounded, since each command in them holds a permit for its bytes; control messages are few.
//!
//! A command that makes or rotates a key changes the keyring when it is applied. The key thread (`keeper`) is one more
//! caller: rotations and changes of the root key wait there for the key management service, and nobody waits for them.

mod applier;
mod entrance;
mod logger;

use std::sync::Arc;
use std::sync::mpsc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, oneshot};

use crate::log::{Pin, SegmentId, WriteError};
use crate::registry::OpenGroup;
use crate::{Command, CommitError, GroupId, Lsn, Outcome};

pub(crate) use self::applier::{Applier, ApplyThread, SharedApplier};
pub(crate) use self::entrance::Entrance;
pub(crate) use self::logger::Logger;

pub(crate) type Answer = Result<Outcome, CommitError>;

/// Held while a key that is not in the keyring yet is on its way there. A change of the root key waits for it.
pub(crate) type Making = OwnedRwLockReadGuard<()>;

/// A command on its way. Whoever drops it without an answer leaves the caller with a named error.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Command,
    /// The command, encoded.
    pub(crate) payload: Vec<u8>,
    /// Keeps the group's pages open until the command is applied.
    pub(crate) group: Arc<OpenGroup>,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Bounds the bytes on their way.
    pub(crate) permit: OwnedSemaphorePermit,
    /// If the command makes a key.
    pub(crate) making: Option<Making>,
}

impl Request {
    fn refuse(self, error: CommitError) {
        // Whoever does not wait any more does not need the answer.
        let _ = self.answer.send(Err(error));
    }
}

/// What the log thread is told.
#[derive(Debug)]
pub(crate) enum ToLog {
    Commit(Request),
    /// Continue in a new segment, and let `reached` know when everything before it is applied.
    Rotate {
        rotated: mpsc::Sender<Result<Rotated, WriteError>>,
        reached: mpsc::Sender<Reached>,
    },
    /// Make this checkpoint record durable, then give back the segments before `keep`, if any may go.
    Checkpoint {
        payload: Vec<u8>,
        keep: Option<SegmentId>,
        done: mpsc::Sender<Result<Lsn, WriteError>>,
    },
    /// Keep the log from here on, and let `reached` know when everything that was logged before is applied.
    Pin {
        pinned: mpsc::Sender<Pin>,
        reached: mpsc::Sender<Reached>,
    },
    /// The keyring has this generation, durably, and these groups have another active key in it.
    KeyringChanged {
        generation: u64,
        rotated: Vec<GroupId>,
    },
    /// Refuse what still comes, mark the log clean and end.
    Close {
        done: mpsc::Sender<Result<(), WriteError>>,
    },
    /// End.
    Stop,
}

/// Where the log continues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotated {
    pub(crate) segment: SegmentId,
    /// The last command before it.
    pub(crate) last: Lsn,
}

/// A barrier was reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// Commands of the system group from before it wait for space.
    pub(crate) system_waits: bool,
}

/// What the apply thread is told.
#[derive(Debug)]
pub(crate) enum ToApply {
    /// Durable commands in log order; those of one group stand together.
    Batch(Vec<(Lsn, Request)>),
    /// Everything sent before is applied, or waits for what the answer says.
    Barrier(mpsc::Sender<Reached>),
    /// Keep this group's commands until it is released; the others go on. The answer is `false`, and nothing is held, while
    /// the group's rows must not become durable.
    Hold(GroupId, mpsc::Sender<bool>),
    Release(GroupId),
    /// End.
    Stop,
}
