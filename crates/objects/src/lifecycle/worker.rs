//! Carries rules out (`docs/spec/lifecycle.md` §3).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use strongroom_store::{GroupId, Reading};
use strongroom_telemetry::names;

use super::LifecycleConfig;
use super::due::{Batch, Due, Look, Needs};
use crate::buckets::Bucket;
use crate::commit::Seen;
use crate::events::{Cause, Origin, scope};
use crate::objects::{Objects, blocking};
use crate::request::DeleteRequest;
use crate::{DocumentKind, ObjectError, Timestamp, versions};

/// How often it looks whether there is something to do. Looking reads nothing.
const TICK: Duration = Duration::from_secs(5);
/// The rest between two batches, so that clients have the disk most of the time.
const PACE: Duration = Duration::from_millis(20);
/// How long a bucket that failed is left alone.
const PATIENCE: Timestamp = Timestamp(10 * 60 * 1000);
const PASSED_OVER: &str = "lifecycle rules passed over names and uploads whose rows cannot be read: `strongroom inspect verify` says which";
const DAY: u64 = 24 * 60 * 60 * 1000;

/// What one run over a bucket did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LifecycleRun {
    /// Names and uploads that were looked at.
    pub seen: u64,
    /// Current objects that were removed or hidden.
    pub current: u64,
    /// Versions that were not current.
    pub noncurrent: u64,
    /// Delete markers that hid nothing.
    pub markers: u64,
    /// Uploads.
    pub uploads: u64,
    /// What stayed because it is locked.
    pub locked: u64,
    /// What could not be deleted for another reason.
    pub failed: u64,
    /// Names and uploads that were passed over because a row of theirs cannot be read. Another run soon would find the same.
    pub damaged: u64,
}

/// When a bucket's rules were carried out, so that nothing is looked at twice.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    rules: Arc<[u8]>,
    day: u64,
    /// Not before this moment again, if it failed.
    again_at: Option<Timestamp>,
}

/// Carries out the rules of all buckets until `stop` resolves: after each midnight of UTC, and when rules change.
pub async fn run(objects: Objects, stop: impl Future<Output = ()>) {
    let mut done = HashMap::new();
    let work = async {
        loop {
            tick(&objects, &mut done, PACE).await;
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop => {}
    }
}

async fn tick(objects: &Objects, done: &mut HashMap<GroupId, Done>, pace: Duration) {
    let buckets = objects.0.buckets.with_document(DocumentKind::Lifecycle);
    done.retain(|group, _| buckets.iter().any(|(bucket, _)| bucket.group == *group));
    for (bucket, rules) in buckets {
        let now = objects.0.options.clock.now();
        let day = now.0 / DAY;
        let before = done.get(&bucket.group).filter(|before| before.rules == rules && before.day == day);
        if before.is_some_and(|before| before.again_at.is_none_or(|at| now < at)) {
            continue;
        }
        let result = objects.expire(&bucket, now, pace).await;
        let good = result.as_ref().is_ok_and(|run| run.failed == 0);
        let again_at = (!good).then_some(Timestamp(now.0.saturating_add(PATIENCE.0)));
        // No name of a bucket: logs rest in the clear.
        match result {
            Ok(run) => {
                tracing::info!(group = %bucket.group, ?run, "lifecycle rules were carried out");
                if run.damaged > 0 {
                    let rows = run.damaged;
                    tracing::error!(group = %bucket.group, rows, "{PASSED_OVER}");
                }
            }
            Err(ObjectError::NoSuchBucket { .. }) => {}
            Err(error) => {
                tracing::warn!(group = %bucket.group, %error, "lifecycle rules were not carried out")
            }
        }
        done.insert(bucket.group, Done { rules, day, again_at });
    }
}

impl Objects {
    /// Carries out the lifecycle rules of a bucket once, with what is due now.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], and what reading the bucket says. What fails for one object is counted.
    pub async fn run_lifecycle(&self, bucket: &crate::BucketName) -> Result<LifecycleRun, ObjectError> {
        let bucket = self.0.bucket(bucket)?;
        self.expire(&bucket, self.0.options.clock.now(), Duration::ZERO).await
    }

    async fn expire(
        &self,
        bucket: &Arc<Bucket>,
        now: Timestamp,
        pace: Duration,
    ) -> Result<LifecycleRun, ObjectError> {
        let mut run = LifecycleRun::default();
        for uploads in [false, true] {
            let mut after: Option<Vec<u8>> = None;
            loop {
                // A run over a large bucket takes long, and rules may go meanwhile.
                let Some(rules) = self.rules_now(bucket)? else { return Ok(run) };
                if !(if uploads { rules.needs.uploads } else { rules.needs.objects }) {
                    break;
                }
                let inner = Arc::clone(&self.0);
                let batch = blocking(move || {
                    let reading = inner.read(&rules.bucket)?;
                    let look = rules.look(&reading, now);
                    if uploads { look.uploads(after.as_deref()) } else { look.objects(after.as_deref()) }
                })
                .await?;
                let Batch { due, seen, damaged, next } = batch;
                run.seen += seen;
                run.damaged += damaged;
                // The oldest versions of a name first: how long one is not current is known by the next newer one.
                for due in due.into_iter().rev() {
                    self.delete_due(bucket, now, due, &mut run).await?;
                }
                if next.is_none() {
                    break;
                }
                after = next;
                tokio::time::sleep(pace).await;
            }
        }
        Ok(run)
    }

    /// The bucket's rules as they are now.
    fn rules_now(&self, bucket: &Bucket) -> Result<Option<Rules>, ObjectError> {
        let now = self.0.buckets.find(&bucket.name).filter(|now| now.group == bucket.group);
        Rules::of(&now.ok_or_else(|| bucket.gone())?)
    }

    /// Deletes what is due, if it still is under the rules that the bucket has then.
    pub(super) async fn delete_due(
        &self,
        bucket: &Arc<Bucket>,
        now: Timestamp,
        due: Due,
        run: &mut LifecycleRun,
    ) -> Result<(), ObjectError> {
        let origin = Origin { cause: Cause::Lifecycle, ..Origin::default() };
        let (kind, count) = match &due {
            Due::Current(_) => ("current", &mut run.current),
            Due::Noncurrent(..) => ("noncurrent", &mut run.noncurrent),
            Due::Marker(..) => ("marker", &mut run.markers),
            Due::Upload(..) => ("upload", &mut run.uploads),
        };
        let result = match due {
            Due::Upload(name, upload, begun) => {
                let rules = self.rules_now(bucket)?;
                let expires = rules.as_ref().and_then(|rules| rules.config.upload_expires(&name, begun));
                if expires.is_none_or(|(at, _)| at > now) {
                    return Ok(());
                }
                scope(origin, self.abort_upload(&bucket.name, &name, upload)).await.map(|()| true)
            }
            Due::Current(name) => {
                let still = still(now, |look: &Look<'_>, seen: &Seen<'_>| match seen.current {
                    Some(current) if current.object().is_some() => {
                        look.current_is_due(seen.name, &current.head)
                    }
                    _ => Ok(false),
                });
                let request = DeleteRequest::new(bucket.name.clone(), name);
                scope(origin, self.delete_if(request, still)).await
            }
            Due::Noncurrent(name, version) => {
                let still = still(now, move |look: &Look<'_>, seen: &Seen<'_>| match seen.current {
                    Some(current) => look.noncurrent_is_due(seen.name, &current.head, version),
                    None => Ok(false),
                });
                let request =
                    DeleteRequest { version: Some(version), ..DeleteRequest::new(bucket.name.clone(), name) };
                scope(origin, self.delete_if(request, still)).await
            }
            Due::Marker(name, version) => {
                let still = still(now, move |look: &Look<'_>, seen: &Seen<'_>| {
                    let is = seen.current.is_some_and(|current| {
                        current.head.version == version
                            && current.object().is_none()
                            && look.marker_is_due(seen.name, &current.head)
                    });
                    Ok(is && versions::newest_noncurrent(seen.reading, seen.bucket, seen.name)?.is_none())
                });
                let request =
                    DeleteRequest { version: Some(version), ..DeleteRequest::new(bucket.name.clone(), name) };
                scope(origin, self.delete_if(request, still)).await
            }
        };
        match result {
            Ok(true) => {
                *count += 1;
                counter!(names::LIFECYCLE_EXPIRED, "what" => kind).increment(1);
            }
            // Somebody was faster, and it is not due any more.
            Ok(false) | Err(ObjectError::NoSuchUpload { .. }) => {}
            Err(ObjectError::Locked) => run.locked += 1,
            Err(
                error @ (ObjectError::NoSuchBucket { .. } | ObjectError::Stopping | ObjectError::NoSpace),
            ) => {
                return Err(error);
            }
            Err(error) => {
                // Which object it was is in the line of damage, if it is that; here only that it stays.
                tracing::warn!(group = %bucket.group, %error, "something that is due could not be deleted");
                counter!(names::LIFECYCLE_FAILED, "what" => kind).increment(1);
                run.failed += 1;
            }
        }
        Ok(())
    }
}

/// A bucket's rules, and what they make it necessary to read.
struct Rules {
    bucket: Arc<Bucket>,
    config: Arc<LifecycleConfig>,
    needs: Needs,
}

impl Rules {
    fn of(bucket: &Arc<Bucket>) -> Result<Option<Self>, ObjectError> {
        let config = bucket.documents.json::<LifecycleConfig>(DocumentKind::Lifecycle)?;
        Ok(config.map(|config| Self { bucket: Arc::clone(bucket), needs: Needs::of(&config), config }))
    }

    fn look<'a>(&'a self, reading: &'a Reading, now: Timestamp) -> Look<'a> {
        Look { reading, bucket: &self.bucket, config: &self.config, needs: self.needs, now }
    }
}

/// Asks `is_due` under the rules that the bucket has when something is to be deleted.
fn still(
    now: Timestamp,
    is_due: impl Fn(&Look<'_>, &Seen<'_>) -> Result<bool, ObjectError> + Send + Sync + 'static,
) -> impl Fn(&Seen<'_>) -> Result<bool, ObjectError> + Send + Sync + 'static {
    move |seen| {
        let Some(rules) = Rules::of(seen.bucket)? else { return Ok(false) };
        is_due(&rules.look(seen.reading, now), seen)
    }
}

#[cfg(test)]
mod tests;
