//! What of a bucket is due, found batch by batch (`docs/spec/lifecycle.md` §2).

use std::ops::Bound;

use strongroom_store::Reading;

use super::{LifecycleConfig, Subject};
use crate::buckets::Bucket;
use crate::commit::{body, damaged_row, pass_over};
use crate::rows::{self, Head, HeadKind, end_of_prefix, table};
use crate::{ObjectError, ObjectName, Tags, Timestamp, UploadId, VersionId, versions};

/// Heads that one reading looks at: a few milliseconds.
const HEADS: usize = 512;
/// What one batch may find: names whose versions are all read count as one head, so this bounds them.
const FOUND_MAX: usize = 1024;

/// What is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// The current object of a name.
    Current(ObjectName),
    /// A delete marker that hides nothing.
    Marker(ObjectName, VersionId),
    /// A version that is not current.
    Noncurrent(ObjectName, VersionId),
    /// An upload, and when it was begun.
    Upload(ObjectName, UploadId, Timestamp),
}

/// What a batch found, and the key after which the next one begins.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) due: Vec<Due>,
    pub(super) seen: u64,
    /// Names and uploads of which a row cannot be read.
    pub(super) damaged: u64,
    pub(super) next: Option<Vec<u8>>,
}

/// What rules make it necessary to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    pub(super) objects: bool,
    pub(super) uploads: bool,
    versions: bool,
    tags: bool,
}

impl Needs {
    pub(super) fn of(config: &LifecycleConfig) -> Self {
        Self {
            objects: config.any(|rule| rule.expiration.is_some() || rule.noncurrent.is_some()),
            uploads: config.any(|rule| rule.abort_uploads_after_days.is_some()),
            versions: config.any(|rule| rule.noncurrent.is_some()),
            tags: config.any(|rule| !rule.filter.tags.is_empty()),
        }
    }
}

/// One look at a bucket under its rules.
pub(super) struct Look<'a> {
    pub(super) reading: &'a Reading,
    pub(super) bucket: &'a Bucket,
    pub(super) config: &'a LifecycleConfig,
    pub(super) needs: Needs,
    pub(super) now: Timestamp,
}

impl Look<'_> {
    /// The objects and versions that are due among the names after `after`. A name with a row that cannot be read is passed
    /// over from that row on: what is not known is not deleted, and others do not wait for it. Blocks.
    pub(super) fn objects(&self, after: Option<&[u8]>) -> Result<Batch, ObjectError> {
        let (from, to) = (vec![table::HEAD], vec![table::HEAD + 1]);
        let from = after.map_or(Bound::Included(from), |key| Bound::Excluded(key.to_vec()));
        let range = self.reading.range(as_ref(&from), Bound::Excluded(&to));
        let mut batch = Batch::default();
        for row in range.map_err(|error| self.bucket.read_error(error))? {
            let (key, value) = row.map_err(|error| self.bucket.read_error(error))?;
            if let Err(error) = self.head(&key, &value, &mut batch.due) {
                pass_over(error)?;
                batch.damaged += 1;
            }
            batch.seen += 1;
            if batch.seen >= HEADS as u64 || batch.due.len() >= FOUND_MAX {
                batch.next = Some(key);
                break;
            }
        }
        Ok(batch)
    }

    fn head(&self, key: &[u8], value: &[u8], due: &mut Vec<Due>) -> Result<(), ObjectError> {
        let name = key.get(1..).and_then(|name| String::from_utf8(name.to_vec()).ok());
        let name = name.and_then(|name| ObjectName::parse(name).ok());
        let name = name.ok_or(ObjectError::DamagedRow { table: "heads" })?;
        let head =
            Head::decode(value).map_err(|error| damaged_row(error, self.bucket, &name, VersionId::Null))?;
        self.name(&name, &head, due)
    }

    fn name(&self, name: &ObjectName, head: &Head, due: &mut Vec<Due>) -> Result<(), ObjectError> {
        let is_marker = matches!(head.kind, HeadKind::DeleteMarker);
        if !is_marker && self.current_is_due(name, head)? {
            due.push(Due::Current(name.clone()));
        }
        if !(is_marker || self.needs.versions) {
            return Ok(());
        }
        let before = due.len();
        let any = self.noncurrent(name, head, due)?;
        // A marker whose last versions go now is alone when the next run comes.
        if is_marker && !any && due.len() == before && self.marker_is_due(name, head) {
            due.push(Due::Marker(name.clone(), head.version));
        }
        Ok(())
    }

    /// Whether an object that is current now is due. Asked again when it is to be deleted.
    pub(super) fn current_is_due(&self, name: &ObjectName, head: &Head) -> Result<bool, ObjectError> {
        let tags = self.tags(name, head)?;
        let expires = self.config.current_expires(&subject(name, head, &tags));
        Ok(expires.is_some_and(|(at, _)| at <= self.now))
    }

    /// Whether a delete marker that hides nothing is due.
    pub(super) fn marker_is_due(&self, name: &ObjectName, head: &Head) -> bool {
        let expires = self.config.lone_marker_expires(&subject(name, head, &Tags::new()));
        expires.is_some_and(|at| at <= self.now)
    }

    /// Whether a version that is not current is due. Asked again when it is to be deleted; reads no more versions than rules
    /// keep.
    pub(super) fn noncurrent_is_due(
        &self,
        name: &ObjectName,
        current: &Head,
        id: VersionId,
    ) -> Result<bool, ObjectError> {
        let Some(version) = versions::noncurrent(self.reading, self.bucket, name, id)? else {
            return Ok(false);
        };
        let from = rows::versions_of(name.as_bytes());
        let newer = || {
            let range = self.reading.range(Bound::Included(&from), Bound::Excluded(&version.key));
            range.map_err(|error| self.bucket.read_error(error))
        };
        let since = match newer()?.next_back() {
            None => current.order,
            Some(row) => {
                let (_, value) = row.map_err(|error| self.bucket.read_error(error))?;
                let head = Head::decode(&value);
                head.map_err(|error| damaged_row(error, self.bucket, name, VersionId::Null))?.order
            }
        };
        let kept = self.config.noncurrent_kept_max();
        let newer = newer()?.take(kept as usize).count();
        let tags = self.tags(name, &version.head)?;
        let newer = u32::try_from(newer).unwrap_or(u32::MAX);
        let subject = subject(name, &version.head, &tags);
        let expires = self.config.noncurrent_expires(&subject, Timestamp(since), newer);
        Ok(expires.is_some_and(|at| at <= self.now))
    }

    /// The versions of a name that are not current. Whether there are any.
    fn noncurrent(&self, name: &ObjectName, current: &Head, due: &mut Vec<Due>) -> Result<bool, ObjectError> {
        let from = rows::versions_of(name.as_bytes());
        let to = end_of_prefix(&from);
        let range = self.reading.range(Bound::Included(&from), Bound::Excluded(&to));
        let mut since = Timestamp(current.order);
        let mut newer = 0;
        for row in range.map_err(|error| self.bucket.read_error(error))? {
            let (_, value) = row.map_err(|error| self.bucket.read_error(error))?;
            let head = Head::decode(&value)
                .map_err(|error| damaged_row(error, self.bucket, name, VersionId::Null))?;
            if !self.needs.versions {
                return Ok(true);
            }
            let tags = self.tags(name, &head)?;
            let expires = self.config.noncurrent_expires(&subject(name, &head, &tags), since, newer);
            if expires.is_some_and(|at| at <= self.now) {
                due.push(Due::Noncurrent(name.clone(), head.version));
            }
            since = Timestamp(head.order);
            newer = newer.saturating_add(1);
            if due.len() >= 2 * FOUND_MAX {
                // The rest of a name with very many versions is for the next run.
                break;
            }
        }
        Ok(newer > 0)
    }

    /// The tags of an object, if a rule asks for any.
    fn tags(&self, name: &ObjectName, head: &Head) -> Result<Tags, ObjectError> {
        match &head.kind {
            HeadKind::Object(object) if self.needs.tags => {
                Ok(body(self.reading, self.bucket, name, head.version, object)?.meta.tags)
            }
            _ => Ok(Tags::new()),
        }
    }

    /// The uploads that are due among those after `after`; one whose row cannot be read is passed over. Blocks.
    pub(super) fn uploads(&self, after: Option<&[u8]>) -> Result<Batch, ObjectError> {
        let (from, to) = (vec![table::UPLOAD], vec![table::UPLOAD + 1]);
        let from = after.map_or(Bound::Included(from), |key| Bound::Excluded(key.to_vec()));
        let range = self.reading.range(as_ref(&from), Bound::Excluded(&to));
        let mut batch = Batch::default();
        for row in range.map_err(|error| self.bucket.read_error(error))? {
            let (key, value) = row.map_err(|error| self.bucket.read_error(error))?;
            match rows::upload_row(&key, &value) {
                Ok((name, upload, row)) => {
                    if self.config.upload_expires(&name, row.begun).is_some_and(|(at, _)| at <= self.now) {
                        batch.due.push(Due::Upload(name, upload, row.begun));
                    }
                }
                Err(error) => {
                    pass_over(error)?;
                    batch.damaged += 1;
                }
            }
            batch.seen += 1;
            if batch.seen >= HEADS as u64 {
                batch.next = Some(key);
                break;
            }
        }
        Ok(batch)
    }
}

fn as_ref(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn subject<'a>(name: &'a ObjectName, head: &Head, tags: &'a Tags) -> Subject<'a> {
    let size = match &head.kind {
        HeadKind::Object(object) => Some(object.size),
        HeadKind::DeleteMarker => None,
    };
    Subject { name, mtime: head.mtime, size, tags }
}
