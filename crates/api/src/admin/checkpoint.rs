//! `POST /checkpoint`.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::AdminDeps;
use super::routes::Answer;

/// A checkpoint that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Every command up to this log sequence number is durable in the pages.
    pub applied_lsn: u64,
    /// Bytes of log left on the disk.
    pub log_bytes: u64,
}

pub(super) async fn post(State(deps): State<AdminDeps>) -> Answer<Checkpoint> {
    Ok(Json(deps.admin.checkpoint().await?))
}
