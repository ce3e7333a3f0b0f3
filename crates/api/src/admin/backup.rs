//! `POST`, `GET` and `DELETE /backup`.

use std::num::NonZeroU64;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::routes::{Answer, Body};
use super::{AdminDeps, RootKeyName};

/// A backup to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBackup {
    /// The directory of the backups: an absolute path on the server's machine.
    pub target: String,
    /// How many of the newest snapshots stay once the new one is there; all if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<NonZeroU64>,
}

/// The backup that runs, or the last one since the server started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupStatus {
    /// Where it goes.
    pub target: String,
    /// Whether it runs.
    pub state: BackupState,
    /// How far it is.
    pub progress: BackupProgress,
    /// What came of it, if it is done.
    pub snapshot: Option<Snapshot>,
    /// What was removed of older ones, if that was asked for and done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedBackups>,
    /// Why it failed, if it did. With a snapshot: why older ones were not removed.
    pub error: Option<String>,
}

/// What was removed from a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedBackups {
    /// The numbers of the snapshots, ascending.
    pub snapshots: Vec<u64>,
    /// Chunks of rows that no other snapshot named.
    pub chunks: u64,
    /// Files of content that no other snapshot named.
    pub files: u64,
    /// The bytes of both.
    pub bytes: u64,
}

/// Whether a backup runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackupState {
    /// It runs.
    Running,
    /// There is a new snapshot.
    Done,
    /// There is none.
    Failed,
}

/// How far a backup is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupProgress {
    /// What is being done: `rows`, `log`, `files`, `ending`.
    pub stage: String,
    /// Buckets, and the system group, whose rows are done.
    pub groups: u64,
    /// How many there are.
    pub groups_total: u64,
    /// Rows of the index read.
    pub rows: u64,
    /// Files of content looked at.
    pub files: u64,
    /// Bytes of those files.
    pub file_bytes: u64,
    /// Bytes written to the target.
    pub written_bytes: u64,
}

/// A snapshot in a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its number in the target, from 1.
    pub number: u64,
    /// When it was taken.
    pub taken_unix_seconds: u64,
    /// The last command in it.
    pub lsn: u64,
    /// Buckets, and the system group.
    pub groups: u64,
    /// Rows of the index.
    pub rows: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Files of content.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Files that no snapshot before it had.
    pub new_files: u64,
    /// Bytes that were written for it.
    pub new_bytes: u64,
    /// The root key that opens it.
    pub root: RootKeyName,
}

pub(super) async fn post(
    State(deps): State<AdminDeps>,
    Body(start): Body<StartBackup>,
) -> Answer<BackupStatus> {
    Ok(Json(deps.admin.start_backup(start).await?))
}

pub(super) async fn get(State(deps): State<AdminDeps>) -> Answer<BackupStatus> {
    Ok(Json(deps.admin.backup_status().await?))
}

pub(super) async fn delete(State(deps): State<AdminDeps>) -> Answer<BackupStatus> {
    Ok(Json(deps.admin.stop_backup().await?))
}
