//! DeleteBucket, in three steps: the mark in the bucket's row, the state row of its group that takes no more writes, and the
//! command that removes everything (`docs/spec/object-entry.md` §2).
//!
//! Until the third is carried out the bucket is there. A deletion that fails before is taken back, so that nobody finds a
//! bucket gone later, and open uploads with it, whose deletion was answered with an error. What cannot be taken back
//! at once is by the first write that finds the bucket stopped, and by the next opening, which also takes back what a
//! crash cut short.

use std::sync::Arc;

use strongroom_store::{Check, Command, GroupId, Outcome, Write};

use super::{Bucket, activate};
use crate::commit::outcome_unknown;
use crate::events::AuditKind;
use crate::measure::counted;
use crate::objects::{Inner, Objects, carried_out};
use crate::rows::{self, GroupState, table};
use crate::{BucketName, ObjectError, Versioning};

impl Objects {
    /// Deletes a bucket that has no objects and no versions, and forgets its key. Uploads that nobody completed do not
    /// keep it, as on AWS; their parts go with it.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], [`ObjectError::BucketNotEmpty`].
    pub async fn delete_bucket(&self, name: &BucketName) -> Result<(), ObjectError> {
        counted("delete_bucket", async {
            let (this, name) = (self.clone(), name.clone());
            carried_out(async move { this.delete_bucket_now(&name).await }).await
        })
        .await
    }

    async fn delete_bucket_now(&self, name: &BucketName) -> Result<(), ObjectError> {
        let inner = &self.0;
        let _changing = inner.buckets.changing.lock().await;
        let bucket = inner.bucket(name)?;
        if !inner.store.groups().contains(&bucket.group) {
            // An earlier attempt whose outcome was not known did it.
            inner.buckets.forget(&bucket.name);
            inner.sweeper.drop_group(bucket.group);
            return Ok(());
        }
        let marked = Arc::new(Bucket { state: GroupState::Deleting, ..(*bucket).clone() });
        self.replace_row(&bucket, &marked).await?;
        let failed = match self.stop_writes(&marked).await {
            // Where it is not known whether writes stopped, taking back settles it.
            Err(error) => error,
            Ok(()) => match self.remove_bucket(&marked).await {
                Ok(()) => return Ok(()),
                // It may be gone at the next opening, and then with what was written meanwhile: so nothing is.
                Err(error) if outcome_unknown(&error) => return Err(error),
                Err(error) => error,
            },
        };
        if let Err(error) = self.take_back(&marked).await {
            tracing::warn!(group = %marked.group, %error, "a bucket whose deletion failed keeps its mark for now");
        }
        Err(failed)
    }

    /// Lets the bucket's group take no more writes, if it is empty.
    async fn stop_writes(&self, bucket: &Bucket) -> Result<(), ObjectError> {
        let empty = |table: u8| Check::RangeEmpty { from: vec![table], to: vec![table + 1] };
        let command = Command {
            group: bucket.group,
            checks: [table::HEAD, table::VERSION].map(empty).to_vec(),
            writes: vec![Write::Put { key: rows::STATE.to_vec(), value: GroupState::Deleting.encode() }],
        };
        match self.0.store.commit(command).await.map_err(|error| bucket.commit_error(error))? {
            Outcome::Applied { .. } => Ok(()),
            Outcome::Refused { .. } => {
                let versions = bucket.settings.versioning != Versioning::Off;
                Err(ObjectError::BucketNotEmpty { bucket: bucket.name.clone(), versions })
            }
        }
    }

    /// Removes the bucket's rows in the system group, and its group.
    async fn remove_bucket(&self, bucket: &Arc<Bucket>) -> Result<(), ObjectError> {
        let inner = &self.0;
        let documents = bucket.documents.kinds().map(|kind| rows::document_key(kind, bucket.group));
        let keys = documents.chain([rows::bucket_key(&bucket.name)]);
        let mut writes: Vec<_> = keys.map(|key| Write::Delete { key }).collect();
        writes.push(Write::DropGroup { group: bucket.group });
        let command = Command { group: GroupId::SYSTEM, checks: vec![bucket.row_is_the_same()], writes };
        self.commit_audited(bucket, command, AuditKind::BucketDeleted, "").await?;
        inner.buckets.forget(&bucket.name);
        inner.sweeper.drop_group(bucket.group);
        inner.wraps.forget(bucket.group);
        Ok(())
    }

    /// The bucket stays: its group takes writes again, and then the mark goes.
    async fn take_back(&self, marked: &Arc<Bucket>) -> Result<(), ObjectError> {
        let (key, stopped) = (rows::STATE.to_vec(), GroupState::Deleting.encode());
        let command = Command {
            group: marked.group,
            checks: vec![Check::Equals { key: key.clone(), value: stopped }],
            writes: vec![Write::Put { key, value: GroupState::Active.encode() }],
        };
        // Refused where they never stopped.
        self.0.store.commit(command).await.map_err(|error| marked.commit_error(error))?;
        let active = Arc::new(Bucket { state: GroupState::Active, ..(**marked).clone() });
        self.replace_row(marked, &active).await
    }

    /// Takes back deletions that did not come to their end before the store was opened: nobody was told that they did. What
    /// is wrong with one bucket keeps no other from being served: it keeps its mark, and answers with what is wrong.
    pub(crate) async fn settle_buckets(&self) {
        for bucket in self.0.buckets.being_deleted() {
            if let Err(error) = self.take_back(&bucket).await {
                tracing::warn!(group = %bucket.group, %error, "a bucket that was being deleted keeps its mark");
            }
        }
    }
}

impl Inner {
    /// A command was refused because the bucket does not take writes. If the step that lets it take them is missing, that is
    /// made up for and the command can be tried again; otherwise the bucket is gone or about to go.
    pub(crate) async fn refused(self: &Arc<Self>, bucket: &Bucket) -> Result<(), ObjectError> {
        let known = |inner: &Self| inner.buckets.find(&bucket.name).filter(|now| now.group == bucket.group);
        let now = known(self).ok_or_else(|| bucket.gone())?;
        if now.state == GroupState::Active {
            // A making that failed before its last step.
            return if activate(&self.store, &now).await? { Ok(()) } else { Err(bucket.gone()) };
        }
        // A deletion that failed and could not be taken back. Whoever changes buckets now may be deleting this one, and may
        // be waiting for the caller: so it is not waited for.
        let Ok(_changing) = self.buckets.changing.try_lock() else { return Err(bucket.gone()) };
        let now = known(self).ok_or_else(|| bucket.gone())?;
        if now.state == GroupState::Deleting {
            Objects(Arc::clone(self)).take_back(&now).await?;
        }
        Ok(())
    }
}
