//! Buckets: made, listed, set, deleted. All that is known of them goes through here, so that the map in memory is always
//! what the system group says.

mod delete;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use strongroom_store::{Check, Command, CommitError, GroupId, Outcome, Reading, Store, Write};
use tokio::sync::{Mutex, MutexGuard};

use crate::documents::{Documents, tagged};
use crate::events::{self, AuditKind};
use crate::measure::counted;
use crate::objects::{Objects, carried_out};
use crate::request::{BucketListing, CreateBucket};
use crate::rows::{self, BucketRow, GroupState};
use crate::{
    BucketInfo, BucketName, BucketSettings, DefaultEncryption, DocumentKind, ObjectError, Tags, Timestamp,
};

/// Buckets of one answer at most.
const LIST_MAX: u32 = 10_000;

/// A bucket as operations use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) name: BucketName,
    pub(crate) group: GroupId,
    pub(crate) created: Timestamp,
    pub(crate) owner: String,
    pub(crate) settings: BucketSettings,
    pub(crate) documents: Documents,
    state: GroupState,
}

impl Bucket {
    fn info(&self) -> BucketInfo {
        BucketInfo {
            name: self.name.clone(),
            created: self.created,
            owner: self.owner.clone(),
            settings: self.settings.clone(),
        }
    }

    fn row(&self) -> BucketRow {
        BucketRow {
            group: self.group,
            state: self.state,
            created: self.created,
            owner: self.owner.clone(),
            settings: self.settings.clone(),
        }
    }

    /// The error of operations on a bucket that went away meanwhile.
    pub(crate) fn gone(&self) -> ObjectError {
        ObjectError::NoSuchBucket { bucket: self.name.clone() }
    }

    /// What an error of a commit means for this bucket.
    pub(crate) fn commit_error(&self, error: CommitError) -> ObjectError {
        match error {
            CommitError::NoSuchGroup { group } if group == self.group => self.gone(),
            CommitError::NoSpace => ObjectError::NoSpace,
            CommitError::KeyringFull { .. } | CommitError::GroupsExhausted => ObjectError::TooManyBuckets,
            other => other.into(),
        }
    }

    /// The check that the bucket's row in the system group is the one that is known here.
    pub(crate) fn row_is_the_same(&self) -> Check {
        Check::Equals { key: rows::bucket_key(&self.name), value: self.row().encode() }
    }

    /// The check of every command that writes to the bucket.
    pub(crate) fn is_active(&self) -> Check {
        Check::Equals { key: rows::STATE.to_vec(), value: GroupState::Active.encode() }
    }
}

/// All buckets, in memory.
#[derive(Debug)]
pub(crate) struct Buckets {
    by_name: RwLock<BTreeMap<String, Arc<Bucket>>>,
    /// Held by whoever changes buckets, over the commit and the change of the map.
    changing: Mutex<()>,
}

impl Buckets {
    /// Reads all buckets. Blocks.
    pub(crate) fn load(store: &Store) -> Result<Self, ObjectError> {
        let reading = store.read(GroupId::SYSTEM)?;
        let (from, to) = rows::system_buckets();
        let mut documents = load_documents(&reading)?;
        let mut by_name = BTreeMap::new();
        for row in reading.range(Bound::Included(&from), Bound::Excluded(&to))? {
            let (key, value) = row?;
            let row = BucketRow::decode(&value).map_err(|error| error.of("bucket"))?;
            let name =
                std::str::from_utf8(&key[from.len()..]).ok().and_then(|name| BucketName::parse(name).ok());
            let name = name.ok_or(ObjectError::DamagedRow { table: "bucket" })?;
            let BucketRow { group, state, created, owner, settings } = row;
            let documents = documents.remove(&group).unwrap_or_default();
            let bucket = Bucket { name, group, created, owner, settings, documents, state };
            by_name.insert(bucket.name.as_str().to_owned(), Arc::new(bucket));
        }
        // A bucket takes its documents with it in the command that removes its row.
        if !documents.is_empty() {
            return Err(ObjectError::DamagedRow { table: "documents" });
        }
        Ok(Self { by_name: RwLock::new(by_name), changing: Mutex::new(()) })
    }

    /// The bucket with this name.
    pub(crate) fn find(&self, name: &BucketName) -> Option<Arc<Bucket>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name.as_str()).cloned()
    }

    /// Waits until nobody else changes buckets.
    pub(crate) async fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    pub(crate) fn set(&self, bucket: &Arc<Bucket>) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(bucket.name.as_str().to_owned(), Arc::clone(bucket));
    }

    fn forget(&self, name: &BucketName) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
    }

    fn page(&self, prefix: &str, after: Option<&str>, max: usize) -> BucketListing {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut found = by_name
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(_, bucket)| bucket)
            .take_while(|bucket| bucket.name.as_str().starts_with(prefix));
        let buckets: Vec<_> = found.by_ref().take(max).map(|bucket| bucket.info()).collect();
        let more = found.next().is_some();
        let next = buckets.last().filter(|_| more).map(|last| last.name.as_str().to_owned());
        BucketListing { buckets, next }
    }

    pub(crate) fn names(&self) -> BTreeMap<GroupId, BucketName> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.values().map(|bucket| (bucket.group, bucket.name.clone())).collect()
    }

    /// The bucket that has this group.
    pub(crate) fn of_group(&self, group: GroupId) -> Option<Arc<Bucket>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.values().find(|bucket| bucket.group == group).cloned()
    }

    /// The buckets that have a document of this kind, with its bytes.
    pub(crate) fn with_document(&self, kind: DocumentKind) -> Vec<(Arc<Bucket>, Arc<[u8]>)> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name
            .values()
            .filter_map(|bucket| Some((Arc::clone(bucket), bucket.documents.bytes(kind)?)))
            .collect()
    }

    fn being_deleted(&self) -> Vec<Arc<Bucket>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.values().filter(|bucket| bucket.state == GroupState::Deleting).cloned().collect()
    }
}

impl Objects {
    /// Makes a bucket: a group with a key of its own.
    ///
    /// # Errors
    /// [`ObjectError::BucketAlreadyOwnedByYou`], [`ObjectError::BucketAlreadyExists`].
    pub async fn create_bucket(
        &self,
        name: &BucketName,
        request: CreateBucket,
    ) -> Result<BucketInfo, ObjectError> {
        self.create_tagged_bucket(name, request, Tags::new()).await
    }

    /// What a bucket is made with whose maker asks for nothing.
    pub fn new_bucket_settings(&self) -> BucketSettings {
        let customer_keys_blocked = !self.0.options.customer_keys_in_new_buckets;
        BucketSettings { customer_keys_blocked, ..BucketSettings::default() }
    }

    /// [`Self::create_bucket`] with tags, which come with the bucket in one command: nobody sees it without them.
    ///
    /// # Errors
    /// Also [`ObjectError::InvalidTags`].
    pub async fn create_tagged_bucket(
        &self,
        name: &BucketName,
        request: CreateBucket,
        tags: Tags,
    ) -> Result<BucketInfo, ObjectError> {
        counted("create_bucket", async {
            let (this, name, documents) = (self.clone(), name.clone(), tagged(tags)?);
            carried_out(async move { this.create_bucket_now(name, request, documents).await }).await
        })
        .await
    }

    pub(crate) async fn create_bucket_now(
        &self,
        name: BucketName,
        request: CreateBucket,
        documents: Documents,
    ) -> Result<BucketInfo, ObjectError> {
        let size = request.owner.len();
        if size > rows::OWNER_LEN_MAX {
            return Err(ObjectError::MetadataTooLarge { size, most: rows::OWNER_LEN_MAX });
        }
        let inner = &self.0;
        let _changing = inner.buckets.changing.lock().await;
        if let Some(bucket) = inner.buckets.find(&name) {
            if bucket.owner != request.owner {
                return Err(ObjectError::BucketAlreadyExists { bucket: name });
            }
            // What an attempt before left half made is made whole, and this is the answer which that one did not give.
            let asked = bucket.settings == request.settings && bucket.documents == documents;
            if bucket.state == GroupState::Active && activate(&inner.store, &bucket).await? && asked {
                return Ok(bucket.info());
            }
            return Err(ObjectError::BucketAlreadyOwnedByYou { bucket: name });
        }
        let mut bucket = Bucket {
            name,
            group: GroupId::SYSTEM,
            created: inner.options.clock.now(),
            owner: request.owner,
            settings: request.settings,
            documents,
            state: GroupState::Active,
        };
        let key = rows::bucket_key(&bucket.name);
        let turn = inner.audit_turn().await?;
        let what = (AuditKind::BucketCreated, bucket.name.as_str(), "");
        let audit = turn.writes(bucket.created, what, &events::current().principal);
        let made = inner.store.create_group(|group| {
            let row = BucketRow { group, ..bucket.row() };
            let mut writes = vec![Write::Put { key: key.clone(), value: row.encode() }];
            writes.extend(bucket.documents.writes(group));
            writes.extend(audit.iter().cloned());
            Command { group: GroupId::SYSTEM, checks: vec![Check::Absent { key: key.clone() }], writes }
        });
        let (group, outcome) = made.await.map_err(|error| bucket.commit_error(error))?;
        if let Outcome::Refused { .. } = outcome {
            // Only another process on the same log could have been faster; its row is not in our map.
            return Err(ObjectError::BucketAlreadyExists { bucket: bucket.name });
        }
        turn.done();
        bucket.group = group;
        let bucket = Arc::new(bucket);
        // It exists from here on, whatever becomes of the next step, and everybody shall see that it does.
        inner.buckets.set(&bucket);
        // The first write to the bucket's own pages, which makes their file. If it fails, whoever writes first or makes
        // the bucket once more does it (`Inner::refused`).
        activate(&inner.store, &bucket).await?;
        Ok(bucket.info())
    }

    /// What is known of a bucket.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub async fn head_bucket(&self, name: &BucketName) -> Result<BucketInfo, ObjectError> {
        Ok(self.0.bucket(name)?.info())
    }

    /// The group of the store that has the bucket's rows and keys.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn group_of(&self, name: &BucketName) -> Result<GroupId, ObjectError> {
        Ok(self.0.bucket(name)?.group)
    }

    /// The buckets by their groups.
    pub fn bucket_names(&self) -> BTreeMap<GroupId, BucketName> {
        self.0.buckets.names()
    }

    /// A page of buckets: names that start with `prefix`, after `after`, at most `max`.
    pub async fn list_buckets(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<BucketListing, ObjectError> {
        Ok(self.0.buckets.page(prefix, after, max.min(LIST_MAX) as usize))
    }

    /// Sets what writes get that ask for no encryption.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], and [`ObjectError::Kms`] if the key does not exist or cannot be used.
    pub async fn set_default_encryption(
        &self,
        name: &BucketName,
        encryption: DefaultEncryption,
    ) -> Result<(), ObjectError> {
        counted("set_default_encryption", async {
            self.check_default_encryption(&encryption).await?;
            self.change_settings(name, move |settings| settings.encryption = encryption).await
        })
        .await
    }

    /// Asks the KMS for the key that `encryption` names, if it names one.
    ///
    /// # Errors
    /// [`ObjectError::Kms`] if it does not exist or cannot be used.
    pub async fn check_default_encryption(&self, encryption: &DefaultEncryption) -> Result<(), ObjectError> {
        if let DefaultEncryption::Kms { key_id: Some(key_id), .. }
        | DefaultEncryption::Dsse { key_id: Some(key_id), .. } = encryption
        {
            let kms = self.0.keys.kms();
            kms.describe(crate::key_names::key_meant(Some(key_id), kms.default_key())).await?;
        }
        Ok(())
    }

    /// What is set on a bucket. From memory.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn bucket_settings(&self, name: &BucketName) -> Result<BucketSettings, ObjectError> {
        Ok(self.0.bucket(name)?.settings.clone())
    }

    /// Changes what is set on a bucket, durably and in one step with what was read. What is set must be possible: keys are not
    /// asked about here, see [`Self::set_default_encryption`].
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub async fn set_bucket_settings(
        &self,
        name: &BucketName,
        change: impl FnOnce(&mut BucketSettings) + Send + 'static,
    ) -> Result<(), ObjectError> {
        counted("set_bucket_settings", self.change_settings(name, change)).await
    }

    /// [`Self::set_bucket_settings`] unless `change` says no to what it finds; then nothing is changed.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub async fn try_set_bucket_settings<T: Send + 'static, E: Send + 'static>(
        &self,
        name: &BucketName,
        change: impl FnOnce(&mut BucketSettings) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, ObjectError> {
        counted("set_bucket_settings", self.try_change_settings(name, change)).await
    }

    pub(crate) async fn change_settings(
        &self,
        name: &BucketName,
        change: impl FnOnce(&mut BucketSettings) + Send + 'static,
    ) -> Result<(), ObjectError> {
        let always = |settings: &mut BucketSettings| {
            change(settings);
            Ok::<(), Infallible>(())
        };
        let Ok(()) = self.try_change_settings(name, always).await?;
        Ok(())
    }

    async fn try_change_settings<T: Send + 'static, E: Send + 'static>(
        &self,
        name: &BucketName,
        change: impl FnOnce(&mut BucketSettings) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, ObjectError> {
        let (this, name) = (self.clone(), name.clone());
        carried_out(async move {
            let _changing = this.0.buckets.changing.lock().await;
            let bucket = this.0.bucket(&name)?;
            let mut changed = (*bucket).clone();
            let outcome = change(&mut changed.settings);
            if outcome.is_ok() {
                this.replace_row(&bucket, &Arc::new(changed)).await?;
            }
            Ok(outcome)
        })
        .await
    }

    pub(crate) async fn replace_row(&self, old: &Arc<Bucket>, new: &Arc<Bucket>) -> Result<(), ObjectError> {
        let command = Command {
            group: GroupId::SYSTEM,
            checks: vec![old.row_is_the_same()],
            writes: vec![Write::Put { key: rows::bucket_key(&old.name), value: new.row().encode() }],
        };
        if old.settings == new.settings {
            self.commit_system(old, command).await?;
        } else {
            self.commit_audited(old, command, AuditKind::BucketSettingsChanged, settings_changed(old, new))
                .await?;
        }
        self.0.buckets.set(new);
        Ok(())
    }

    /// [`Self::commit_system`], with an entry of the audit trail.
    pub(crate) async fn commit_audited(
        &self,
        bucket: &Bucket,
        mut command: Command,
        kind: AuditKind,
        detail: &str,
    ) -> Result<(), ObjectError> {
        let turn = self.0.audit_turn().await?;
        let what = (kind, bucket.name.as_str(), detail);
        command.writes.extend(turn.writes(self.0.options.clock.now(), what, &events::current().principal));
        self.commit_system(bucket, command).await?;
        turn.done();
        Ok(())
    }

    pub(crate) async fn commit_system(&self, bucket: &Bucket, command: Command) -> Result<(), ObjectError> {
        match self.0.store.commit(command).await.map_err(|error| bucket.commit_error(error))? {
            Outcome::Applied { .. } => Ok(()),
            // The map and the rows change together under one lock, so the row is the one we know.
            Outcome::Refused { .. } => Err(ObjectError::DamagedRow { table: "bucket" }),
        }
    }
}

/// The documents of all buckets, by their groups.
fn load_documents(reading: &Reading) -> Result<BTreeMap<GroupId, Documents>, ObjectError> {
    let (from, to) = rows::system_documents();
    let mut documents = BTreeMap::<GroupId, Documents>::new();
    for row in reading.range(Bound::Included(&from), Bound::Excluded(&to))? {
        let (key, value) = row?;
        let (kind, group) =
            rows::document_of_key(&key).ok_or(ObjectError::DamagedRow { table: "documents" })?;
        let bytes = rows::decode_document(kind, &value).map_err(|error| error.of(kind.name()))?;
        documents.entry(group).or_default().set(kind, Some(bytes));
    }
    Ok(documents)
}

/// What the audit trail says of a change.
fn settings_changed(old: &Bucket, new: &Bucket) -> &'static str {
    if old.settings.versioning != new.settings.versioning { "versioning" } else { "encryption" }
}

/// Lets a bucket take writes whose group has no state row yet: the second step of making it. `false` if there is one.
async fn activate(store: &Store, bucket: &Bucket) -> Result<bool, ObjectError> {
    let command = Command {
        group: bucket.group,
        checks: vec![Check::Absent { key: rows::STATE.to_vec() }],
        writes: vec![Write::Put { key: rows::STATE.to_vec(), value: GroupState::Active.encode() }],
    };
    let outcome = store.commit(command).await.map_err(|error| bucket.commit_error(error))?;
    Ok(matches!(outcome, Outcome::Applied { .. }))
}
