//! What the server can be told to do.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_telemetry::RequestId;

use super::{
    AdminError, AuditPage, AuditPlace, BackupStatus, ChangeReseal, ChangeRootKey, Checkpoint, EventsReport,
    KeyReport, ResealStatus, RootKey, RootKeyChange, RotateKeys, RotatedKeys, StartBackup,
};
use crate::rest::Rest;

/// What the server does for whoever is let in. The binary implements it.
///
/// A call that changes something is carried out even if its caller goes away.
#[async_trait]
pub trait Admin: Send + Sync + 'static {
    /// The keys of all groups, or those of one bucket's group.
    async fn key_report(&self, bucket: Option<String>) -> Result<KeyReport, AdminError>;

    /// Gives groups a new key. New writes use it at once; what older keys sealed is moved in the background.
    async fn rotate_keys(&self, which: RotateKeys) -> Result<RotatedKeys, AdminError>;

    /// The root key that wraps the groups' keys, as the store and as the KMS know it.
    async fn root_key(&self) -> Result<RootKey, AdminError>;

    /// Wraps all groups' keys anew, under another root key or version.
    async fn change_root_key(&self, change: ChangeRootKey) -> Result<RootKeyChange, AdminError>;

    /// How far re-sealing is.
    async fn reseal_status(&self) -> Result<ResealStatus, AdminError>;

    /// Pauses or resumes re-sealing, or sets its rate. Holds over restarts.
    async fn change_reseal(&self, change: ChangeReseal) -> Result<ResealStatus, AdminError>;

    /// Makes the pages durable and gives back log that is not needed any more.
    async fn checkpoint(&self) -> Result<Checkpoint, AdminError>;

    /// Starts a backup. One runs at a time; it goes on whether or not anyone looks.
    async fn start_backup(&self, start: StartBackup) -> Result<BackupStatus, AdminError>;

    /// How far the backup is that runs, or what came of the last one since the server started.
    async fn backup_status(&self) -> Result<BackupStatus, AdminError>;

    /// Asks the backup that runs to stop.
    async fn stop_backup(&self) -> Result<BackupStatus, AdminError>;

    /// What was done to identities, buckets and keys after this place, oldest first; nothing if that was all.
    async fn audit(&self, after: AuditPlace) -> Result<AuditPage, AdminError>;

    /// Who is told of events, and how far that is.
    async fn events(&self) -> Result<EventsReport, AdminError>;
}

/// What the door works with.
#[derive(Clone)]
pub struct AdminDeps {
    /// Does what is asked for.
    pub admin: Arc<dyn Admin>,
    /// What else is served here, for whom no token is needed; none serves the paths of administration alone.
    pub rest: Option<Rest>,
    /// Makes the id of the next request.
    pub request_ids: Arc<dyn Fn() -> RequestId + Send + Sync>,
}

impl fmt::Debug for AdminDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminDeps").finish_non_exhaustive()
    }
}
