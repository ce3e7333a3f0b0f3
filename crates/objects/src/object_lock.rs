//! Object lock: versions that must stay, for a time or until somebody says otherwise
//! (AWS S3 User Guide, "Locking objects with Object Lock").
//!
//! What locks a version is in its body. The bucket's document says that locks are possible, and what new versions get; once it
//! is there it never goes, and versioning stays on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::buckets::Bucket;
use crate::commit::{Replace, body};
use crate::measure::counted;
use crate::objects::{Objects, blocking, carried_out};
use crate::ops::{find, tags::amended};
use crate::request::CreateBucket;
use crate::rows::Body;
use crate::{
    BucketInfo, BucketName, DocumentKind, LegalHold, ObjectError, ObjectMeta, ObjectName, Retention,
    RetentionMode, Tags, Timestamp, VersionId, Versioning, WriteConditions,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const DAYS_OF_YEAR: u64 = 365;
/// The longest default retention, in years and in days (AWS).
pub const RETENTION_YEARS_MAX: u32 = 100;
/// See [`RETENTION_YEARS_MAX`].
pub const RETENTION_DAYS_MAX: u32 = 36_500;

/// What a bucket with object lock has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectLockConfig {
    /// The retention of new versions that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultRetention>,
}

/// The retention that new versions get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultRetention {
    /// How strict.
    pub mode: RetentionMode,
    /// How long.
    pub period: RetentionPeriod,
}

/// How long a default retention lasts. It is kept as it was given, since answers give it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RetentionPeriod {
    /// Days, 1 to [`RETENTION_DAYS_MAX`].
    Days(u32),
    /// Years of 365 days, 1 to [`RETENTION_YEARS_MAX`].
    Years(u32),
}

impl DefaultRetention {
    /// The retention of a version that is written now.
    fn starting(self, now: Timestamp) -> Retention {
        let days = match self.period {
            RetentionPeriod::Days(days) => u64::from(days),
            RetentionPeriod::Years(years) => u64::from(years) * DAYS_OF_YEAR,
        };
        Retention { mode: self.mode, until: Timestamp(now.0.saturating_add(days.saturating_mul(DAY_MS))) }
    }
}

impl Bucket {
    /// What is set on object lock; `None` in a bucket that has none.
    pub(crate) fn object_lock(&self) -> Result<Option<Arc<ObjectLockConfig>>, ObjectError> {
        self.documents.json(DocumentKind::ObjectLock)
    }

    /// Refuses locks that a new version cannot have.
    pub(crate) fn check_locks(&self, meta: &ObjectMeta, now: Timestamp) -> Result<(), ObjectError> {
        if meta.retention.is_none() && meta.legal_hold.is_none() {
            return Ok(());
        }
        if self.object_lock()?.is_none() {
            return Err(ObjectError::ObjectLockOff);
        }
        check_until(meta.retention, now)
    }

    /// Gives a new version the bucket's retention if it has none of its own.
    pub(crate) fn lock_new(&self, meta: &mut ObjectMeta, now: Timestamp) -> Result<(), ObjectError> {
        if meta.retention.is_none()
            && let Some(default) = self.object_lock()?.and_then(|config| config.default)
        {
            meta.retention = Some(default.starting(now));
        }
        Ok(())
    }
}

fn check_until(retention: Option<Retention>, now: Timestamp) -> Result<(), ObjectError> {
    match retention {
        Some(retention) if retention.until <= now => Err(ObjectError::RetentionPast),
        _ => Ok(()),
    }
}

/// Refuses to remove a version that must stay.
pub(crate) fn check_removal(body: &Body, now: Timestamp, bypass: bool) -> Result<(), ObjectError> {
    let kept = body.meta.retention.is_some_and(|retention| {
        retention.until > now && !(bypass && retention.mode == RetentionMode::Governance)
    });
    let held = body.meta.legal_hold == Some(LegalHold::On);
    if kept || held { Err(ObjectError::Locked) } else { Ok(()) }
}

/// Whether a retention may take the place of another. In compliance mode it only becomes longer, in governance mode so does it for
/// those who may not bypass it.
fn check_retention(
    old: Option<Retention>,
    new: Option<Retention>,
    now: Timestamp,
    bypass: bool,
) -> Result<(), ObjectError> {
    let Some(old) = old.filter(|old| old.until > now) else { return Ok(()) };
    let longer = new.is_some_and(|new| new.mode == old.mode && new.until >= old.until);
    let bypassed = bypass && old.mode == RetentionMode::Governance;
    if longer || bypassed { Ok(()) } else { Err(ObjectError::Locked) }
}

impl Objects {
    /// Makes a bucket with object lock, and so with versioning, and with tags.
    ///
    /// # Errors
    /// As [`Self::create_tagged_bucket`].
    pub async fn create_locked_bucket(
        &self,
        name: &BucketName,
        request: CreateBucket,
        tags: Tags,
    ) -> Result<BucketInfo, ObjectError> {
        counted("create_bucket", async {
            let (this, name, mut request) = (self.clone(), name.clone(), request);
            request.settings.versioning = Versioning::Enabled;
            let config = crate::documents::to_json(&ObjectLockConfig::default());
            let mut documents = crate::documents::tagged(tags)?;
            documents.set(DocumentKind::ObjectLock, Some(&config));
            carried_out(async move { this.create_bucket_now(name, request, documents).await }).await
        })
        .await
    }

    /// What is set on object lock; `None` in a bucket that has none. Reads nothing.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn object_lock(&self, bucket: &BucketName) -> Result<Option<ObjectLockConfig>, ObjectError> {
        Ok(self.0.bucket(bucket)?.object_lock()?.map(|config| *config))
    }

    /// Sets object lock on a bucket, which then cannot be taken away again. When this returns, no write goes on that
    /// began under the setting before.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], [`ObjectError::VersioningOff`] if versioning is not enabled.
    pub async fn set_object_lock(
        &self,
        bucket: &BucketName,
        config: ObjectLockConfig,
    ) -> Result<(), ObjectError> {
        counted("set_object_lock", async {
            let (this, bucket) = (self.clone(), bucket.clone());
            let group = carried_out(async move {
                let _changing = this.0.buckets.changing().await;
                let bucket = this.0.bucket(&bucket)?;
                if bucket.settings.versioning != Versioning::Enabled {
                    return Err(ObjectError::VersioningOff);
                }
                let bytes = crate::documents::to_json(&config);
                this.replace_document(&bucket, DocumentKind::ObjectLock, Some(bytes)).await?;
                Ok(bucket.group)
            })
            .await?;
            self.settled(group).await;
            Ok(())
        })
        .await
    }

    /// The retention and the legal hold of a version, as far as it ever had them.
    ///
    /// # Errors
    /// [`ObjectError::ObjectLockOff`], [`ObjectError::NoSuchKey`], [`ObjectError::NoSuchVersion`].
    pub async fn object_locks(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        version: Option<VersionId>,
    ) -> Result<(Option<Retention>, Option<LegalHold>), ObjectError> {
        counted("object_locks", async {
            let bucket = self.0.bucket(bucket)?;
            if bucket.object_lock()?.is_none() {
                return Err(ObjectError::ObjectLockOff);
            }
            let (inner, name) = (Arc::clone(&self.0), name.clone());
            blocking(move || {
                let reading = inner.read(&bucket)?;
                let (head, object) = find(&reading, &bucket, &name, version)?;
                let meta = body(&reading, &bucket, &name, head.version, &object)?.meta;
                Ok((meta.retention, meta.legal_hold))
            })
            .await
        })
        .await
    }

    /// Sets or removes the retention of a version. `bypass` says that governance mode does not bind the one who asks.
    ///
    /// # Errors
    /// [`ObjectError::Locked`], [`ObjectError::RetentionPast`], [`ObjectError::ObjectLockOff`], [`ObjectError::NoSuchKey`],
    /// [`ObjectError::NoSuchVersion`].
    pub async fn set_object_retention(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        version: Option<VersionId>,
        retention: Option<Retention>,
        bypass: bool,
    ) -> Result<(), ObjectError> {
        self.change_locks("set_object_retention", bucket, name, version, move |meta, now| {
            check_until(retention, now)?;
            check_retention(meta.retention, retention, now, bypass)?;
            meta.retention = retention;
            Ok(())
        })
        .await
    }

    /// Puts a legal hold on a version, or takes it off.
    ///
    /// # Errors
    /// [`ObjectError::ObjectLockOff`], [`ObjectError::NoSuchKey`], [`ObjectError::NoSuchVersion`].
    pub async fn set_object_legal_hold(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        version: Option<VersionId>,
        hold: LegalHold,
    ) -> Result<(), ObjectError> {
        self.change_locks("set_object_legal_hold", bucket, name, version, move |meta, _| {
            meta.legal_hold = Some(hold);
            Ok(())
        })
        .await
    }

    async fn change_locks(
        &self,
        operation: &'static str,
        bucket: &BucketName,
        name: &ObjectName,
        version: Option<VersionId>,
        change: impl Fn(&mut ObjectMeta, Timestamp) -> Result<(), ObjectError> + Send + Sync + 'static,
    ) -> Result<(), ObjectError> {
        counted(operation, async {
            let bucket = self.0.bucket(bucket)?;
            let (inner, name) = (Arc::clone(&self.0), name.clone());
            carried_out(async move {
                let conditions = WriteConditions::default();
                let what = Replace { bucket: &bucket, name: &name, conditions: &conditions };
                let clock = Arc::clone(&inner.options.clock);
                let done = inner.replace(what, move |seen| {
                    if seen.bucket.object_lock()?.is_none() {
                        return Err(ObjectError::ObjectLockOff);
                    }
                    amended(seen, version, |meta| change(meta, clock.now())).map(Some)
                });
                done.await.map(drop)
            })
            .await
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1000);

    fn retention(mode: RetentionMode, until: u64) -> Option<Retention> {
        Some(Retention { mode, until: Timestamp(until) })
    }

    #[test]
    fn retention_in_compliance_mode_only_becomes_longer() {
        use RetentionMode::{Compliance, Governance};
        let old = retention(Compliance, 5000);
        for bypass in [false, true] {
            let allowed = |new| check_retention(old, new, NOW, bypass).is_ok();
            assert!(allowed(retention(Compliance, 5000)) && allowed(retention(Compliance, 6000)));
            assert!(!allowed(retention(Compliance, 4999)) && !allowed(retention(Governance, 9000)));
            assert!(!allowed(None));
        }
        assert!(check_retention(old, None, Timestamp(5000), false).is_ok(), "it is over");
    }

    #[test]
    fn retention_in_governance_mode_is_bypassed_by_those_who_may() {
        use RetentionMode::{Compliance, Governance};
        let old = retention(Governance, 5000);
        for new in [retention(Governance, 2000), retention(Compliance, 9000), None] {
            assert!(check_retention(old, new, NOW, false).is_err());
            assert!(check_retention(old, new, NOW, true).is_ok());
        }
        assert!(check_retention(old, retention(Governance, 5001), NOW, false).is_ok());
    }

    #[test]
    fn default_retention_starts_with_the_write() {
        let days = DefaultRetention { mode: RetentionMode::Governance, period: RetentionPeriod::Days(2) };
        assert_eq!(days.starting(NOW).until, Timestamp(1000 + 2 * DAY_MS));
        let years = DefaultRetention { period: RetentionPeriod::Years(1), ..days };
        assert_eq!(years.starting(NOW).until, Timestamp(1000 + 365 * DAY_MS));
    }

    #[test]
    fn document_is_strict() {
        let read = |text: &str| serde_json::from_str::<ObjectLockConfig>(text);
        assert_eq!(read("{}").unwrap(), ObjectLockConfig::default());
        let full = r#"{"default":{"mode":"governance","period":{"days":7}}}"#;
        assert_eq!(serde_json::to_string(&read(full).unwrap()).unwrap(), full);
        assert!(read(r#"{"other":1}"#).is_err());
    }
}
