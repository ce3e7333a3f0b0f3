//! What `strongroom admin` asks for, carried out over the store and its objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_api::admin::{
    Admin, AdminError, ChangeReseal, ChangeRootKey, Checkpoint, Fault, GroupKey, KeyGroup, KeyReport,
    KeyState, ResealStatus, RootKey, RootKeyChange, RootKeyName, RootKeyUse, RotateKeys, RotatedKeys,
};
use strongroom_kms::Provider;
use strongroom_objects::{BucketName, Objects};
use strongroom_store::{Clock, GroupId, Store, SystemClock};

/// The server, as an administrator sees it.
#[derive(Debug)]
pub(super) struct Administrator {
    store: Store,
    objects: Objects,
    kms: Arc<dyn Provider>,
}

impl Administrator {
    pub(super) fn new(store: Store, objects: Objects, kms: Arc<dyn Provider>) -> Self {
        Self { store, objects, kms }
    }

    fn group_of(&self, bucket: &str) -> Result<GroupId, AdminError> {
        let missing =
            || AdminError::new(Fault::Missing, "NoSuchBucket", format!("there is no bucket `{bucket}`"));
        let name = BucketName::parse(bucket).map_err(|_| missing())?;
        self.objects.group_of(&name).map_err(|_| missing())
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

fn later(what: &str) -> AdminError {
    AdminError::new(Fault::Unavailable, "Unavailable", format!("this build has no {what}"))
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

    async fn rotate_keys(&self, _which: RotateKeys) -> Result<RotatedKeys, AdminError> {
        Err(later("rotation of group keys"))
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

    async fn change_root_key(&self, _change: ChangeRootKey) -> Result<RootKeyChange, AdminError> {
        Err(later("change of the root key"))
    }

    async fn reseal_status(&self) -> Result<ResealStatus, AdminError> {
        Err(later("re-sealing"))
    }

    async fn change_reseal(&self, _change: ChangeReseal) -> Result<ResealStatus, AdminError> {
        Err(later("re-sealing"))
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
