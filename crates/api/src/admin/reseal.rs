//! `/reseal`: moving what older keys sealed under the newest ones.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::AdminDeps;
use super::routes::{Answer, Body};

/// How far re-sealing is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResealStatus {
    /// Whether it rests until it is resumed.
    pub paused: bool,
    /// The most it moves, in KiB per second; 0 is as fast as it can.
    pub rate_kib_per_second: u32,
    /// How many groups it works on at once.
    pub workers: usize,
    /// Groups with keys that are to retire. None means that nothing is left to do.
    pub groups: Vec<ResealProgress>,
}

/// How far re-sealing is in one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResealProgress {
    /// The group's id.
    pub group: u32,
    /// The bucket that has the group; none for the system group.
    pub bucket: Option<String>,
    /// The keys that will retire.
    pub key_ids: Vec<u32>,
    /// What is being done.
    pub stage: ResealStage,
    /// Pages that are sealed under the newest key.
    pub pages_done: u64,
    /// Pages there are.
    pub pages_total: u64,
    /// Bytes of pages and values that were moved since the server started.
    pub moved_bytes: u64,
    /// What went wrong last, if the group rests for that reason.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// What re-sealing does in a group, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResealStage {
    /// Seals pages anew.
    Pages,
    /// Wraps the keys inside rows anew.
    Values,
    /// Waits until the log has nothing of the old keys any more, which checkpoints bring about.
    Log,
}

/// How re-sealing shall go on. What is left out stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeReseal {
    /// Whether it rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The most it moves, in KiB per second; 0 is as fast as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_kib_per_second: Option<u32>,
}

pub(super) async fn get(State(deps): State<AdminDeps>) -> Answer<ResealStatus> {
    Ok(Json(deps.admin.reseal_status().await?))
}

pub(super) async fn patch(
    State(deps): State<AdminDeps>,
    Body(change): Body<ChangeReseal>,
) -> Answer<ResealStatus> {
    Ok(Json(deps.admin.change_reseal(change).await?))
}
