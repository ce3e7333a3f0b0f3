//! Administration: keys, re-sealing, checkpoints.
//!
//! [`Admin`] is what the server can do, [`router`](routes::router) its HTTP, and the types here are the JSON of both
//! sides: the client of `strongroom admin` uses the same. Errors are `{"error": {"code", "message", "request_id"}}`.
//!
//! | request under `/api/v1/admin` | body | answer |
//! |---|---|---|
//! | `GET /keys/groups[?bucket=NAME]` | | [`KeyReport`] |
//! | `POST /keys/rotate` | [`RotateKeys`] | [`RotatedKeys`] |
//! | `GET /keys/root` | | [`RootKey`] |
//! | `POST /keys/root/change` | [`ChangeRootKey`] | [`RootKeyChange`] |
//! | `GET /reseal` | | [`ResealStatus`] |
//! | `PATCH /reseal` | [`ChangeReseal`] | [`ResealStatus`] |
//! | `POST /checkpoint` | | [`Checkpoint`] |
//! | `POST /backup` | [`StartBackup`] | [`BackupStatus`] |
//! | `GET /backup` | | [`BackupStatus`] |
//! | `DELETE /backup` | | [`BackupStatus`] |
//! | `GET /audit[?after=PLACE]` | | [`AuditPage`] |
//! | `GET /events` | | [`EventsReport`] |
//!
//! Success is 200. Every field of a request is known or refused (400), a body is at most 64 KiB (413) and JSON (415), another
//! method is 405 with `Allow`, another path 404.
//!
//! # Who may ask
//!
//! The door is a Unix socket in the data directory, and its file permission (0600) is the authentication: who can
//! connect is the user that runs the server, or root, and both can read the files and the memory of the server anyway. So a
//! password would protect nothing and could be lost. Nothing of this table is on a TCP port: there a path of it is 404 as any
//! other.
//!
//! The paths of the REST API ([`crate::rest`]) are at the door as well, without tokens: who comes through it is root.

mod audit;
mod backup;
mod checkpoint;
mod door;
mod error;
mod keys;
mod reseal;
mod routes;
mod serve;

pub use audit::{AuditAct, AuditPage, AuditPlace, EventTarget, EventsReport};
pub use backup::{BackupProgress, BackupState, BackupStatus, RemovedBackups, Snapshot, StartBackup};
pub use checkpoint::Checkpoint;
pub use door::{Admin, AdminDeps};
pub use error::{AdminError, Fault};
pub use keys::{
    ChangeRootKey, GroupKey, KeyGroup, KeyReport, KeyState, NotRotated, RootKey, RootKeyChange, RootKeyName,
    RootKeyUse, RotateKeys, RotatedKey, RotatedKeys,
};
pub use reseal::{ChangeReseal, ResealProgress, ResealStage, ResealStatus};
pub use serve::serve;

/// What the paths of the door begin with.
pub const PREFIX: &str = "/api/v1/admin";

/// The name of the socket in the data directory (`docs/spec/data-directory.md` §1).
pub const SOCKET_NAME: &str = "admin.sock";
