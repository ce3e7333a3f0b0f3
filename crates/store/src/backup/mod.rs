//! Backups: consistent sealed snapshots of a store that serves, and stores made from them.
//!
//! ```text
//! groups ─ rows ──┐                          ┌─ page files
//! log ─ commands ─┼─ chunks ─┐               ├─ (replayed)
//! keyring ────────┼──────────┴─ manifest ──► ├─ keyring, log, mark
//! files ─ copies ─┘            (last)        └─ files
//! ```
//!
//! Format, order of steps and argument: `docs/spec/backup.md`. Whoever uses the store says which rows stand for files
//! ([`Attachments`]); what is in the files is not the store's business.

mod attachments;
mod chunk;
mod error;
mod format;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod keys;
mod manifest;
mod progress;
mod prune;
mod read;
mod restore;
mod take;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use attachments::{Attachments, FilePath};
pub use error::BackupError;
pub use progress::{BackupProgress, BackupStage};
pub use prune::Pruned;
pub use restore::{RestoreOptions, Restored, restore};
pub use take::BackupOptions;
pub use verify::{BackupOutline, SnapshotInfo, Verified, outline, snapshots, verify};
