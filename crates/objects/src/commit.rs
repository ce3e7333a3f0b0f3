//! Replacing the current version of a name: the one way in which objects come, change and go.

use std::sync::Arc;

use strongroom_store::{Check, Command, CommitError, Outcome, Reading, Write};

use crate::buckets::Bucket;
use crate::conditions;
use crate::events::{self, Happened, What};
use crate::objects::{Inner, blocking};
use crate::rows::{self, BlobId, Body, Head, HeadKind, ObjectHead, RowError};
use crate::sweep::Garbage;
use crate::{
    DamagePlace, Damaged, EntityTags, ObjectError, ObjectName, Timestamp, VersionId, WriteConditions,
};

/// How often a write is tried while others of the same name come first. Within one process they take turns, so
/// even the second attempt is rare.
const ATTEMPTS: usize = 64;

/// The current version of a name and its row as it is.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) head: Head,
    pub(crate) row: Vec<u8>,
}

impl Current {
    /// The object, if it is not a delete marker.
    pub(crate) fn object(&self) -> Option<&ObjectHead> {
        match &self.head.kind {
            HeadKind::Object(object) => Some(object),
            HeadKind::DeleteMarker => None,
        }
    }
}

/// What a write puts in place of the current version.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// The new head and body; `None` removes the object.
    pub(crate) new: Option<(Head, Body)>,
    /// Further checks and writes of the same command.
    pub(crate) checks: Vec<Check>,
    pub(crate) writes: Vec<Write>,
    /// Further blobs that nothing refers to any more; their owner rows go here.
    pub(crate) dropped: Vec<BlobId>,
}

/// A write of one name.
pub(crate) struct Replace<'a> {
    pub(crate) bucket: &'a Arc<Bucket>,
    pub(crate) name: &'a ObjectName,
    pub(crate) conditions: &'a WriteConditions,
}

impl Inner {
    /// Carries out what `plan` says about the current version, in one command. `plan` may be asked again if another
    /// write came in between; `None` from it means that there is nothing to do. Blocks nowhere but in jobs of its own.
    pub(crate) async fn replace<P>(self: &Arc<Self>, what: Replace<'_>, plan: P) -> Result<(), ObjectError>
    where
        P: Fn(&Reading, Option<&Current>) -> Result<Option<Change>, ObjectError> + Send + Sync + 'static,
    {
        let Replace { bucket, name, conditions } = what;
        // From the first reading to the commit: a body may be moved with its key as it was read.
        let _held = self.wraps.hold();
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
                let reading = inner.read(&bucket)?;
                let current = current(&reading, &bucket, &name)?;
                conditions::check_write(&conditions, current.as_ref(), &name)?;
                let Some(change) = plan(&reading, current.as_ref())? else { return Ok(None) };
                let happened = happened(current.as_ref(), &change);
                let (mut command, dropped) = command(&inner, &reading, &bucket, &name, current, change)?;
                let told = inner.tell(&bucket, &name, &happened, &from, &mut command.writes);
                Ok(Some((command, dropped, told)))
            });
            let Some((command, dropped, told)) = prepared.await? else { return Ok(()) };
            match self.store.commit(command).await.map_err(|error| bucket.commit_error(error))? {
                Outcome::Applied { .. } => {
                    let moment = self.leases.now();
                    let garbage = |blob| Garbage { group: bucket.group, blob, row: Arc::clone(&row), moment };
                    self.sweeper.dropped(dropped.into_iter().map(garbage).collect());
                    if let Some(told) = told {
                        self.told(told).await;
                    }
                    return Ok(());
                }
                Outcome::Refused { check: 0 } => return Err(bucket.gone()),
                Outcome::Refused { .. } => {}
            }
        }
        Err(ObjectError::ConditionalConflict)
    }
}

/// The current version of a name, delete markers included.
pub(crate) fn current(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
) -> Result<Option<Current>, ObjectError> {
    let Some(value) = reading.get(&rows::head_key(name)).map_err(|error| bucket.read_error(error))? else {
        return Ok(None);
    };
    let row = value.as_ref().to_vec();
    let head = Head::decode(&row).map_err(|error| damaged_row(error, bucket, name, VersionId::Null))?;
    Ok(Some(Current { head, row }))
}

/// The body of an object.
pub(crate) fn body(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
    version: VersionId,
    object: &ObjectHead,
) -> Result<Body, ObjectError> {
    let row =
        reading.get(&rows::body_key(name, &object.content)).map_err(|error| bucket.read_error(error))?;
    let row = row.ok_or_else(|| damaged(bucket, name, version, 0, Damaged::Entry))?;
    let mut body = Body::decode(&row).map_err(|error| damaged_row(error, bucket, name, version))?;
    body.meta.system.storage_class.clone_from(&object.storage_class);
    Ok(body)
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

/// A head that is newer than `current`.
pub(crate) fn newer_head(
    current: Option<&Current>,
    now: Timestamp,
    mtime: Timestamp,
    object: ObjectHead,
) -> Head {
    let least = current.map_or(0, |current| current.head.order.saturating_add(1));
    Head { version: VersionId::Null, order: now.0.max(least), mtime, kind: HeadKind::Object(object) }
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

/// Conditions of a delete are those of a write.
pub(crate) fn if_match(tags: Option<EntityTags>) -> WriteConditions {
    WriteConditions { if_match: tags, if_none_match: None }
}

fn damaged_row(error: RowError, bucket: &Bucket, name: &ObjectName, version: VersionId) -> ObjectError {
    match error {
        RowError::TooNew(_) => error.of("object"),
        RowError::Malformed(_) => damaged(bucket, name, version, 0, Damaged::Entry),
    }
}

/// What a change is to those who are told of events.
fn happened(current: Option<&Current>, change: &Change) -> Happened {
    let removed = Happened { what: What::Removed, version: None, size: None, etag: None };
    let Some((head, _)) = &change.new else { return removed };
    match &head.kind {
        HeadKind::Object(object) => {
            let same = current.and_then(Current::object).is_some_and(|old| old.content == object.content);
            let what = if same { What::Amended } else { What::Created };
            Happened {
                what,
                size: (!same).then_some(object.size),
                etag: Some(object.etag.to_string()),
                ..removed
            }
        }
        HeadKind::DeleteMarker => Happened { what: What::Marked, ..removed },
    }
}

/// The command of a change, and the blobs it drops.
fn command(
    inner: &Inner,
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
    current: Option<Current>,
    change: Change,
) -> Result<(Command, Vec<BlobId>), ObjectError> {
    let key = rows::head_key(name);
    let Change { new, mut checks, mut writes, mut dropped } = change;
    let keeps = new.as_ref().and_then(|(head, _)| match &head.kind {
        HeadKind::Object(object) => Some(object.content),
        HeadKind::DeleteMarker => None,
    });
    if let Some(object) =
        current.as_ref().and_then(Current::object).filter(|object| Some(object.content) != keeps)
    {
        let version = current.as_ref().map_or(VersionId::Null, |current| current.head.version);
        dropped.extend(body(reading, bucket, name, version, object)?.content.blobs());
        writes.push(Write::Delete { key: rows::body_key(name, &object.content) });
    }
    let same = match current {
        Some(current) => Check::Equals { key: key.clone(), value: current.row },
        None => Check::Absent { key: key.clone() },
    };
    checks.splice(0..0, [bucket.is_active(), same]);
    match new {
        Some((head, body)) => {
            if let HeadKind::Object(object) = &head.kind {
                let value = body.encode();
                debug_assert!(Body::decode(&value).is_ok(), "limits are checked before a row is made");
                writes.push(Write::Put { key: rows::body_key(name, &object.content), value });
            }
            writes.push(Write::Put { key, value: head.encode() });
        }
        None => writes.push(Write::Delete { key }),
    }
    let epoch = rows::encode_epoch(inner.blobs.epoch());
    for blob in &dropped {
        writes.push(Write::Delete { key: rows::owner_key(blob) });
        writes.push(Write::Put { key: rows::garbage_key(blob), value: epoch.clone() });
    }
    Ok((Command { group: bucket.group, checks, writes }, dropped))
}
