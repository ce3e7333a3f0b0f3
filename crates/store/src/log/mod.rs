//! The log: where a command becomes durable.
//!
//! ```text
//! log/0000000000000001.log   header | frame | frame | ...      closed: length and last link are in the next header
//! log/0000000000000002.log   header | frame | (torn tail)      the newest: written by this opening only
//! log/mark                   two sealed slots: how far the log has been synced, which segment is the first
//! ```
//!
//! Format, rules and crash cases: `docs/spec/log.md`. [`Scanned`] is a log that was read and checked but not yet
//! changed; [`Log`] is one that can be appended to. Payloads are opaque here.

mod error;
mod format;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod keys;
pub(crate) mod live;
mod mark;
mod outline;
mod pin;
mod prepared;
mod reader;
mod recover;
mod segment;
mod survey;
mod writer;

pub use error::{LogError, LogFault, WriteError};
pub use format::SegmentId;
pub(crate) use format::{Kind, Payloads};
pub use keys::LogKeyError;
pub(crate) use keys::LogKeys;
pub use outline::{ChainBreak, Outline, OutlineItem, outline};
pub(crate) use pin::Pin;
pub(crate) use prepared::STEP as LOG_AHEAD;
pub(crate) use recover::{Checkpoint, Record, Scanned};
pub(crate) use segment::Surroundings;
pub(crate) use survey::{Sight, Surveyed, survey};
pub(crate) use writer::{Entry, Log, LogOptions};

#[cfg(test)]
mod tests;
