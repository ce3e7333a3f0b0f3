//! Looking at a data directory that no server has open, with keys and without. Never changes a byte of it.
//!
//! ```text
//! Offline::look ── names, FORMAT ──┬─ log, pages, keyring: what they show without keys
//!                                  └─ unlock(root keys) ─ Unlocked ─┬─ the same, decoded
//!                                                                   └─ verify ─ Image: rows as recovery would have them
//! ```
//!
//! Files are opened for reading alone. Where ordinary recovery is needed it runs over an [`OverlayDisk`], which keeps
//! in memory what recovery writes. What may be looked at while a server runs: `docs/operations/inspect.md`.

mod image;
mod offline;
#[cfg(test)]
mod tests;
mod unlocked;
mod verify;

pub use crate::keyring::KeyringHeader;
pub use crate::overlay::OverlayDisk;
pub use crate::pages::{PageFileOutline, SlotOutline, SlotState};
pub use image::Image;
pub use offline::{InspectError, Offline};
pub use unlocked::{KeyringDetails, LogItem, LogRecord, PageFileReport, PageKeyReport, RecordKind, Unlocked};
pub use verify::{Counts, Finding, Note, Verified, Watch};
