//! Changing the versions of a name: the one way in which objects come, change and go
//! (`docs/spec/object-entry.md` §3.1).

mod command;

use std::sync::{Arc, Mutex, PoisonError};

use strongroom_store::{Check, Command, CommitError, Outcome, Reading, Value, Write};

use crate::buckets::Bucket;
use crate::conditions;
use crate::events;
use crate::objects::{Inner, blocking};
use crate::rows::{self, BlobId, Body, ObjectHead, RowError};
use crate::sweep::Garbage;
use crate::versions::{Version, current};
use crate::{DamagePlace, Damaged, ObjectError, ObjectName, Timestamp, VersionId, WriteConditions};

/// How often a write is tried while others of the same name come first. Within one process they take turns, so
/// even the second attempt is rare.
const ATTEMPTS: usize = 64;

/// A name as it is before it changes.
pub(crate) struct Seen<'a> {
    pub(crate) reading: &'a Reading,
    /// The bucket as it is set now, which may not be as it was when the operation began.
    pub(crate) bucket: &'a Arc<Bucket>,
    pub(crate) name: &'a ObjectName,
    pub(crate) current: Option<&'a Version>,
}

/// What happens to the versions of a name.
#[derive(Debug)]
pub(crate) enum Action {
    /// This becomes the current version. Its id and order are found when it does. Content that it shares with the
    /// version it replaces stays.
    New { object: ObjectHead, body: Box<Body>, mtime: Timestamp },
    /// This version has another body, with the same content.
    Amend { version: Version, body: Box<Body> },
    /// There is no current object any more: it is removed, or hidden by a delete marker.
    Delete { mtime: Timestamp },
    /// This version goes, and the one before it is current if it was.
    Remove { version: Version },
}

/// What a write does.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) action: Action,
    /// Further checks and writes of the same command.
    pub(crate) checks: Vec<Check>,
    pub(crate) writes: Vec<Write>,
    /// Further blobs that nothing refers to any more; their owner rows go here.
    pub(crate) dropped: Vec<BlobId>,
}

impl From<Action> for Change {
    fn from(action: Action) -> Self {
        Self { action, checks: Vec::new(), writes: Vec::new(), dropped: Vec::new() }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Done {
    /// The version that came, changed or went; `None` where there never were versions.
    pub(crate) version: Option<VersionId>,
    /// Whether it is a delete marker.
    pub(crate) delete_marker: bool,
}

/// A write of one name.
pub(crate) struct Replace<'a> {
    pub(crate) bucket: &'a Arc<Bucket>,
    pub(crate) name: &'a ObjectName,
    pub(crate) conditions: &'a WriteConditions,
}

impl Inner {
    /// Carries out what `plan` says about a name, in one command. `plan` may be asked again if another write came in
    /// between; `None` from it means that there is nothing to do. Blocks nowhere but in jobs of its own.
    pub(crate) async fn replace<P>(
        self: &Arc<Self>,
        what: Replace<'_>,
        plan: P,
    ) -> Result<Option<Done>, ObjectError>
    where
        P: Fn(&Seen<'_>) -> Result<Option<Change>, ObjectError> + Send + Sync + 'static,
    {
        let Replace { bucket, name, conditions } = what;
        // From the first reading to the commit: a body may be moved with its key as it was read, and a change of the
        // bucket's versioning waits for those who read the one before.
        let _held = self.wraps.hold(bucket.group);
        let row: Arc<[u8]> = rows::head_key(name).into();
        let plan = Arc::new(plan);
        let origin = events::current();
        let _turn = self.locks.alone(bucket.group, &row).await;
        for _ in 0..ATTEMPTS {
            let job =
                (Arc::clone(self), Arc::clone(bucket), name.clone(), conditions.clone(), Arc::clone(&plan));
            let from = Arc::clone(&origin);
            let prepared = blocking(move || {
                let (inner, bucket, name, conditions, plan) = job;
                let bucket = inner.bucket_now(&bucket)?;
                let reading = inner.read(&bucket)?;
                let current = current(&reading, &bucket, &name)?;
                conditions::check_write(&conditions, current.as_ref(), &name)?;
                let seen =
                    Seen { reading: &reading, bucket: &bucket, name: &name, current: current.as_ref() };
                let Some(change) = plan(&seen)? else { return Ok(None) };
                let mut prepared = command::of(&inner, &seen, change)?;
                let told =
                    inner.tell(&bucket, &name, &prepared.happened, &from, &mut prepared.command.writes);
                Ok(Some((prepared, told)))
            });
            let Some((prepared, told)) = prepared.await? else { return Ok(None) };
            let command::Prepared { command, dropped, done, .. } = prepared;
            match self.commit(bucket, command).await? {
                Outcome::Applied { .. } => {
                    let moment = self.leases.now();
                    let garbage = |blob| Garbage { group: bucket.group, blob, row: Arc::clone(&row), moment };
                    self.sweeper.dropped(dropped.into_iter().map(garbage).collect());
                    if let Some(told) = told {
                        self.told(told).await;
                    }
                    return Ok(Some(done));
                }
                Outcome::Refused { check: 0 } => self.refused(bucket).await?,
                Outcome::Refused { .. } => {}
            }
        }
        Err(ObjectError::ConditionalConflict)
    }

    /// Carries out a command that may bring or drop blobs.
    pub(crate) async fn commit(&self, bucket: &Bucket, command: Command) -> Result<Outcome, ObjectError> {
        let outcome = self.store.commit(command).await.map_err(|error| bucket.commit_error(error));
        if outcome.as_ref().is_err_and(outcome_unknown) {
            // If it counts in the end, nobody is told of what it dropped.
            self.blobs.set_unclean();
        }
        outcome
    }

    /// The bucket as it is set now.
    fn bucket_now(&self, bucket: &Bucket) -> Result<Arc<Bucket>, ObjectError> {
        self.buckets.find(&bucket.name).filter(|now| now.group == bucket.group).ok_or_else(|| bucket.gone())
    }
}

/// Something that a plan found out and that is wanted after its change was carried out.
#[derive(Debug)]
pub(crate) struct Note<T>(Arc<Mutex<Option<T>>>);

impl<T> Note<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Puts it down, in the place of what an earlier attempt found.
    pub(crate) fn put(&self, found: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> Clone for Note<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The body of an object.
pub(crate) fn body(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
    version: VersionId,
    object: &ObjectHead,
) -> Result<Body, ObjectError> {
    body_and_check(reading, bucket, name, version, object).map(|(body, _)| body)
}

/// The body of an object, and the check that it is as it was read: a head does not change with the tags and locks of
/// its body.
pub(crate) fn body_and_check(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
    version: VersionId,
    object: &ObjectHead,
) -> Result<(Body, BodyCheck), ObjectError> {
    let key = rows::body_key(name, &object.content);
    let row = reading.get(&key).map_err(|error| bucket.read_error(error))?;
    let row = row.ok_or_else(|| damaged(bucket, name, version, 0, Damaged::Entry))?;
    let mut body = Body::decode(&row).map_err(|error| damaged_row(error, bucket, name, version))?;
    body.meta.system.storage_class.clone_from(&object.storage_class);
    Ok((body, BodyCheck { key, row }))
}

/// A body's row as it was read.
pub(crate) struct BodyCheck {
    key: Vec<u8>,
    row: Value,
}

impl BodyCheck {
    /// The check that it is still the same.
    pub(crate) fn is_the_same(&self) -> Check {
        Check::Equals { key: self.key.clone(), value: self.row.to_vec() }
    }
}

/// The error that names a damaged place.
pub(crate) fn damaged(
    bucket: &Bucket,
    name: &ObjectName,
    version: VersionId,
    part: u16,
    what: Damaged,
) -> ObjectError {
    metrics::counter!(strongroom_telemetry::names::STORE_DAMAGE, "what" => match what {
        Damaged::Entry | Damaged::Key | Damaged::Inline => "entry",
        _ => "blob",
    })
    .increment(1);
    let bucket = bucket.name.as_str().to_owned();
    ObjectError::Damaged(Box::new(DamagePlace { bucket, name: name.clone(), version, part, what }))
}

/// Whether a failed write may have taken effect all the same. Then its blobs stay, and the sweep decides.
pub(crate) fn outcome_unknown(error: &ObjectError) -> bool {
    match error {
        ObjectError::Commit(error) => !matches!(
            error,
            CommitError::NoSuchGroup { .. } | CommitError::TooLong { .. } | CommitError::Misplaced { .. }
        ),
        ObjectError::Stopping => true,
        _ => false,
    }
}

pub(crate) fn damaged_row(
    error: RowError,
    bucket: &Bucket,
    name: &ObjectName,
    version: VersionId,
) -> ObjectError {
    match error {
        RowError::TooNew(_) => error.of("object"),
        RowError::Malformed(_) => damaged(bucket, name, version, 0, Damaged::Entry),
    }
}

/// Passes over a row that cannot be read, for those who look at many and whom one must not keep from the others. What is wrong
/// with more than one row is an error still.
pub(crate) fn pass_over(error: ObjectError) -> Result<(), ObjectError> {
    match error {
        // Counted when it was found.
        ObjectError::Damaged(_) => Ok(()),
        ObjectError::DamagedRow { .. } | ObjectError::TooNew { .. } => {
            metrics::counter!(strongroom_telemetry::names::STORE_DAMAGE, "what" => "entry").increment(1);
            Ok(())
        }
        other => Err(other),
    }
}

#[cfg(test)]
mod tests;
