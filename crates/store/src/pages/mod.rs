//! Page files: the rows of one group at its last checkpoint, sealed page by page under a tag tree.
//!
//! The format, its crash cases and its security argument: `docs/spec/pages.md`.
//!
//! | module | is |
//! |---|---|
//! | `geometry` | where each page lies: pure arithmetic |
//! | `entry` | what a parent knows of a page, and a tag page full of it |
//! | `keys` | the key table and the ciphers made from it |
//! | `root` | the two root slots: encoding, choice of the newest |
//! | `tree` | the tag tree in memory: lookups, changes, bounded cache, copy-on-write flush |
//! | `file` | one page file as a redb storage backend |
//! | `survey` | opening every page of a file, whatever is wrong with some |
//! | `outline` | what a file shows without keys |
//! | `gate` | who may touch which pages while some are moved to another key |
//! | `journal` | what pages were before they are moved, on disk |
//! | `group` | rows: apply, checkpoint, read |
//! | `moment` | whether rows changed since they were read |

mod entry;
mod error;
mod figures;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gate;
mod geometry;
mod group;
mod journal;
mod keys;
mod moment;
mod outline;
mod reading;
mod root;
mod survey;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use error::PagesError;
pub(crate) use file::{Resealed, journal_path};
pub(crate) use geometry::pages_in;
pub(crate) use group::{Checkpointed, GroupDb, Verified};
pub(crate) use keys::PageKeys;
pub use moment::Moment;
pub(crate) use outline::outline;
pub use outline::{PageFileOutline, SlotOutline, SlotState};
pub(crate) use reading::{Range, Reading, Value};
pub(crate) use root::RootSeq;
pub(crate) use survey::{Survey, Surveying, survey};
