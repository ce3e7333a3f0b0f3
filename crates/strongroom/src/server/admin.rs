//! What `strongroom admin` asks for, carried out over the store and its objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_api::admin::{
    Admin, AdminError, AuditPage, AuditPlace, BackupStatus, ChangeReseal, ChangeRootKey, Checkpoint,
    EventsReport, Fault, GroupKey, KeyGroup, KeyReport, KeyState, NotRotated, ResealProgress, ResealStage,
    ResealStatus, RootKey, RootKeyChange, RootKeyName, RootKeyUse, RotateKeys, RotatedKey, RotatedKeys,
    StartBackup,
};
use strongroom_kms::{KmsError, Provider};
use strongroom_objects::events::AuditKind;
use strongroom_objects::{BucketName, Objects};
use strongroom_store::{Clock, CommitError, GroupId, RootKeyChangeError, RootKeyError, Store, SystemClock};
use tokio::sync::Mutex;

use super::audit;
use super::backup::BackupJob;
use super::kms_generation::Noting;
use crate::events::EventsView;

/// The server, as an administrator sees it.
#[derive(Debug, Clone)]
pub(super) struct Administrator {
    store: Store,
    objects: Objects,
    kms: Arc<dyn Provider>,
    noting: Noting,
    changing_reseal: Arc<Mutex<()>>,
    backup: BackupJob,
    events: EventsView,
}

impl Administrator {
    pub(super) fn new(
        store: Store,
        objects: Objects,
        kms: Arc<dyn Provider>,
        noting: Noting,
        events: EventsView,
    ) -> Self {
        let (changing_reseal, backup) = (Arc::default(), BackupJob::default());
        Self { store, objects, kms, noting, changing_reseal, backup, events }
    }

    fn group_of(&self, bucket: &str) -> Result<GroupId, AdminError> {
        let missing =
            || AdminError::new(Fault::Missing, "NoSuchBucket", format!("there is no bucket `{bucket}`"));
        let name = BucketName::parse(bucket).map_err(|_| missing())?;
        self.objects.group_of(&name).map_err(|_| missing())
    }
}

impl Administrator {
    /// Adds to the audit trail what was done through the socket, where the file permission is all that is known of who asks.
    async fn record(&self, kind: AuditKind, subject: &str, detail: &str) {
        if let Err(error) = self.objects.record("administrator", kind, subject, detail).await {
            tracing::error!(%error, act = kind.name(), subject, "the audit trail does not have an act");
        }
    }

    async fn rotate(&self, groups: Vec<GroupId>) -> Result<RotatedKeys, AdminError> {
        let names = self.objects.bucket_names();
        let single = groups.len() == 1;
        let mut done = RotatedKeys { rotated: Vec::new(), not_rotated: Vec::new() };
        for group in groups {
            let bucket = bucket_of(&names, group);
            match self.store.rotate_group_key(group).await {
                Ok(key_id) => {
                    tracing::info!(%group, key_id, "a group has a new key, as an administrator asked");
                    let subject = bucket.clone().unwrap_or_else(|| format!("group {group}"));
                    self.record(AuditKind::GroupKeyRotated, &subject, &format!("key {key_id}")).await;
                    done.rotated.push(RotatedKey { group: group.0, bucket, key_id });
                }
                // Dropped while others had their turn.
                Err(CommitError::NoSuchGroup { .. }) if !single => {}
                Err(error) if single => return Err(commit_failed(error)),
                Err(error) => {
                    tracing::warn!(%group, %error, "a group's key could not be rotated");
                    let AdminError { code, message, .. } = commit_failed(error);
                    done.not_rotated.push(NotRotated { group: group.0, bucket, code: code.into(), message });
                }
            }
        }
        Ok(done)
    }

    async fn change_root(&self, change: ChangeRootKey) -> Result<RootKeyChange, AdminError> {
        let ChangeRootKey { key_id, create_key, new_version } = change;
        let named = key_id.clone().unwrap_or_else(|| self.store.key_report().root.key_id);
        if create_key && key_id.is_none() {
            let message = "the key to be made has no name: give a key id";
            return Err(AdminError::new(Fault::Request, "KeyIdMissing", message));
        }
        if create_key {
            self.kms.create_key(&named).await.map_err(|error| kms_failed(&error))?;
            tracing::info!(key_id = named, "the KMS made a key, as an administrator asked");
            self.note_keys().await?;
        }
        if new_version {
            let version = self.kms.rotate(&named).await.map_err(|error| kms_failed(&error))?;
            tracing::info!(
                key_id = named,
                version,
                "the KMS made a new version of a key, as an administrator asked"
            );
            self.note_keys().await?;
        }
        let changed = self.store.change_root_key(key_id).await.map_err(root_change_failed)?;
        let (from, to) = (root_name(changed.from), root_name(changed.to));
        let detail =
            format!("from {} version {} to version {}", from.key_id, from.key_version, to.key_version);
        self.record(AuditKind::RootKeyChanged, &to.key_id, &detail).await;
        Ok(RootKeyChange { from, to, keys: changed.keys })
    }

    /// Notes that the file of the KMS was changed, before anything relies on what is new in it.
    async fn note_keys(&self) -> Result<(), AdminError> {
        let noting = self.noting.clone();
        blocking(move || noting.note().map_err(store_failed)).await
    }

    fn reseal(&self) -> ResealStatus {
        let names = self.objects.bucket_names();
        let status = self.store.reseal_status();
        let groups = status.groups.into_iter().map(|group| ResealProgress {
            bucket: bucket_of(&names, group.group),
            group: group.group.0,
            key_ids: group.key_ids,
            stage: match group.stage {
                strongroom_store::ResealStage::Pages => ResealStage::Pages,
                strongroom_store::ResealStage::Values => ResealStage::Values,
                strongroom_store::ResealStage::Log => ResealStage::Log,
            },
            pages_done: group.pages_done,
            pages_total: group.pages_total,
            moved_bytes: group.bytes_moved,
            trouble: group.trouble,
        });
        ResealStatus {
            paused: status.settings.paused,
            rate_kib_per_second: status.settings.kib_per_second,
            workers: status.workers,
            groups: groups.collect(),
        }
    }
}

/// Runs `work` where it may block, to its end even if the caller goes away.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
) -> Result<T, AdminError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| stopping())?
}

fn stopping() -> AdminError {
    AdminError::new(Fault::Unavailable, "Stopping", "the server is stopping")
}

fn store_failed(error: impl std::fmt::Display) -> AdminError {
    AdminError::new(Fault::Store, "Store", error.to_string())
}

fn commit_failed(error: CommitError) -> AdminError {
    match error {
        CommitError::NoSuchGroup { group } => {
            AdminError::new(Fault::Missing, "NoSuchGroup", format!("group {group} is gone"))
        }
        CommitError::KeysExhausted { .. } => {
            AdminError::new(Fault::Conflict, "KeysExhausted", error.to_string())
        }
        CommitError::KeyringFull { .. } => AdminError::new(Fault::Conflict, "KeyringFull", error.to_string()),
        CommitError::RootKey(error) => root_key_failed(&error, error.to_string()),
        CommitError::Closed => stopping(),
        other => store_failed(other),
    }
}

fn root_key_failed(error: &RootKeyError, message: String) -> AdminError {
    let (fault, code) = match error {
        RootKeyError::Missing { .. } => (Fault::Missing, "NoSuchRootKey"),
        RootKeyError::NoSuchVersion { .. } => (Fault::Missing, "NoSuchRootKeyVersion"),
        RootKeyError::Disabled { .. } => (Fault::Conflict, "RootKeyDisabled"),
        RootKeyError::Unavailable { .. } => (Fault::Unavailable, "RootKeyUnavailable"),
        _ => (Fault::Store, "RootKeyWrong"),
    };
    AdminError::new(fault, code, message)
}

fn root_change_failed(error: RootKeyChangeError) -> AdminError {
    let message = error.to_string();
    match &error {
        RootKeyChangeError::NewKey { source } | RootKeyChangeError::Key { source, .. } => {
            root_key_failed(source, message)
        }
        RootKeyChangeError::KeyringFull => AdminError::new(Fault::Conflict, "KeyringFull", message),
        RootKeyChangeError::Closed => stopping(),
        _ => store_failed(message),
    }
}

fn kms_failed(error: &KmsError) -> AdminError {
    let (fault, code) = match error {
        KmsError::NotFound { .. } => (Fault::Missing, "NoSuchRootKey"),
        KmsError::Exists { .. } => (Fault::Conflict, "RootKeyExists"),
        KmsError::InvalidKeyId => (Fault::Request, "InvalidKeyId"),
        KmsError::Disabled { .. } | KmsError::PendingDeletion { .. } => (Fault::Conflict, "RootKeyDisabled"),
        _ => (Fault::Unavailable, "KmsUnavailable"),
    };
    AdminError::new(fault, code, error.to_string())
}

/// Carries `work` out even if the caller goes away.
async fn carried_out<T: Send + 'static>(
    work: impl Future<Output = Result<T, AdminError>> + Send + 'static,
) -> Result<T, AdminError> {
    tokio::spawn(work).await.map_err(|_| stopping())?
}

#[async_trait]
impl Admin for Administrator {
    async fn key_report(&self, bucket: Option<String>) -> Result<KeyReport, AdminError> {
        let only = bucket.as_deref().map(|bucket| self.group_of(bucket)).transpose()?;
        let names = self.objects.bucket_names();
        let report = self.store.key_report();
        let now = SystemClock.now_seconds();
        let groups = report.groups.into_iter().filter(|group| only.is_none_or(|only| group.group == only));
        Ok(KeyReport {
            root: root_name(report.root),
            keyring_generation: report.generation,
            groups: groups.map(|group| key_group(group, &names, now)).collect(),
        })
    }

    async fn rotate_keys(&self, which: RotateKeys) -> Result<RotatedKeys, AdminError> {
        let groups = match which {
            RotateKeys::Bucket { bucket } => vec![self.group_of(&bucket)?],
            RotateKeys::System {} => vec![GroupId::SYSTEM],
            RotateKeys::All {} => self.store.groups(),
        };
        let this = self.clone();
        carried_out(async move { this.rotate(groups).await }).await
    }

    async fn root_key(&self) -> Result<RootKey, AdminError> {
        let report = self.store.key_report();
        let mut wraps: Vec<RootKeyUse> = Vec::new();
        for root in report.groups.into_iter().flat_map(|group| group.keys).filter_map(|key| key.root) {
            let root = root_name(root);
            match wraps.iter_mut().find(|known| known.root == root) {
                Some(known) => known.keys += 1,
                None => wraps.push(RootKeyUse { root, keys: 1 }),
            }
        }
        // What the KMS has is news; what the store needs is known without it.
        let newest = self.kms.describe(&report.root.key_id).await.ok().map(|key| key.version());
        Ok(RootKey { root: root_name(report.root), newest_version: newest, wraps })
    }

    async fn change_root_key(&self, change: ChangeRootKey) -> Result<RootKeyChange, AdminError> {
        let this = self.clone();
        carried_out(async move { this.change_root(change).await }).await
    }

    async fn reseal_status(&self) -> Result<ResealStatus, AdminError> {
        Ok(self.reseal())
    }

    async fn change_reseal(&self, change: ChangeReseal) -> Result<ResealStatus, AdminError> {
        let this = self.clone();
        carried_out(async move {
            // One after the other: each changes what the one before it left.
            let _changing = this.changing_reseal.lock().await;
            let mut settings = this.store.reseal_status().settings;
            settings.paused = change.paused.unwrap_or(settings.paused);
            settings.kib_per_second = change.rate_kib_per_second.unwrap_or(settings.kib_per_second);
            this.store.set_reseal(settings).await.map_err(store_failed)?;
            tracing::info!(
                paused = settings.paused,
                kib_per_second = settings.kib_per_second,
                "re-sealing was set"
            );
            Ok(this.reseal())
        })
        .await
    }

    async fn checkpoint(&self) -> Result<Checkpoint, AdminError> {
        let store = self.store.clone();
        blocking(move || {
            // Known to be applied before the checkpoint begins, and so in it.
            let applied = store.status().applied;
            store.checkpoint().map_err(store_failed)?;
            Ok(Checkpoint { applied_lsn: applied.0, log_bytes: store.status().log_bytes })
        })
        .await
    }

    async fn start_backup(&self, start: StartBackup) -> Result<BackupStatus, AdminError> {
        self.backup.start(&self.objects, start)
    }

    async fn backup_status(&self) -> Result<BackupStatus, AdminError> {
        self.backup.status()
    }

    async fn stop_backup(&self) -> Result<BackupStatus, AdminError> {
        self.backup.stop()
    }

    async fn audit(&self, after: AuditPlace) -> Result<AuditPage, AdminError> {
        audit::page(&self.events, after).await
    }

    async fn events(&self) -> Result<EventsReport, AdminError> {
        Ok(audit::events(&self.events))
    }
}

fn root_name(name: strongroom_store::RootKeyName) -> RootKeyName {
    RootKeyName { provider: name.provider, key_id: name.key_id, key_version: name.key_version }
}

fn bucket_of(names: &BTreeMap<GroupId, BucketName>, group: GroupId) -> Option<String> {
    names.get(&group).map(|name| name.as_str().to_owned())
}

fn key_group(
    group: strongroom_store::GroupReport,
    names: &BTreeMap<GroupId, BucketName>,
    now: u64,
) -> KeyGroup {
    let keys = group.keys.into_iter().map(|key| GroupKey {
        id: key.id,
        state: match key.state {
            strongroom_store::KeyState::Active => KeyState::Active,
            strongroom_store::KeyState::Readable => KeyState::Readable,
            strongroom_store::KeyState::Retired => KeyState::Retired,
        },
        created_lsn: key.created_lsn.0,
        created_unix_seconds: key.created_at,
        age_seconds: now.saturating_sub(key.created_at),
        seals: key.seals,
        sealed_bytes: key.sealed_bytes,
        last_used_unix_seconds: Some(key.last_used_at).filter(|at| *at > 0),
        root: key.root.map(root_name),
    });
    KeyGroup { group: group.group.0, bucket: bucket_of(names, group.group), keys: keys.collect() }
}
