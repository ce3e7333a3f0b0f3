//! Versions of a name: where their rows are (`docs/spec/object-entry.md` §3.1).

use std::ops::Bound;

use strongroom_store::{Check, Reading};

use crate::buckets::Bucket;
use crate::commit::damaged_row;
use crate::rows::{self, ContentId, Head, HeadKind, ObjectHead, end_of_prefix};
use crate::{ETag, ObjectError, ObjectName, Timestamp, VersionId, Versioning};

/// What listings call a current version whose row cannot be read. Its order is above all others of the name.
pub(crate) const UNKNOWN: VersionId = VersionId::Id([0xff; 16]);

/// A version of a name and its row as it is.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) head: Head,
    pub(crate) row: Vec<u8>,
    /// The row's key, which says whether the version is current.
    pub(crate) key: Vec<u8>,
}

impl Version {
    /// The object, if it is not a delete marker.
    pub(crate) fn object(&self) -> Option<&ObjectHead> {
        match &self.head.kind {
            HeadKind::Object(object) => Some(object),
            HeadKind::DeleteMarker => None,
        }
    }

    /// Whether it is the one that a request without a version means.
    pub(crate) fn is_current(&self) -> bool {
        self.key.first() == Some(&rows::table::HEAD)
    }

    /// The check that it is as it was read, and where it was read.
    pub(crate) fn is_the_same(&self) -> Check {
        Check::Equals { key: self.key.clone(), value: self.row.clone() }
    }
}

/// The current version of a name, delete markers included.
pub(crate) fn current(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
) -> Result<Option<Version>, ObjectError> {
    at(reading, bucket, name, rows::head_key(name))
}

/// The version of a name with this id, delete markers included.
pub(crate) fn version(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
    id: VersionId,
) -> Result<Option<Version>, ObjectError> {
    match current(reading, bucket, name)? {
        Some(current) if current.head.version == id => Ok(Some(current)),
        // Where there is nothing current there is nothing.
        None => Ok(None),
        Some(_) => noncurrent(reading, bucket, name, id),
    }
}

/// The version of a name with this id, if it is not current.
pub(crate) fn noncurrent(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
    id: VersionId,
) -> Result<Option<Version>, ObjectError> {
    let order = match id.order() {
        Some(order) => order,
        None => {
            let row = reading.get(&rows::null_version_key(name)).map_err(|error| bucket.read_error(error))?;
            let Some(row) = row else { return Ok(None) };
            rows::decode_order(&row).map_err(|error| damaged_row(error, bucket, name, id))?
        }
    };
    at(reading, bucket, name, rows::version_key(name, order, id))
}

/// The order of a name's null version, if there is one.
pub(crate) fn order_of_null(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
) -> Result<Option<u64>, ObjectError> {
    match current(reading, bucket, name) {
        Ok(Some(current)) if current.head.version == VersionId::Null => return Ok(Some(current.head.order)),
        Ok(None) => return Ok(None),
        // One that cannot be read is listed all the same, and under another id.
        Ok(Some(_)) | Err(ObjectError::Damaged(_)) => {}
        Err(error) => return Err(error),
    }
    let row = reading.get(&rows::null_version_key(name)).map_err(|error| bucket.read_error(error))?;
    let order = row.map(|row| rows::decode_order(&row)).transpose();
    order.map_err(|error| damaged_row(error, bucket, name, VersionId::Null))
}

/// The newest version of a name that is not current.
pub(crate) fn newest_noncurrent(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
) -> Result<Option<Version>, ObjectError> {
    let from = rows::versions_of(name.as_bytes());
    let to = end_of_prefix(&from);
    let range = reading.range(Bound::Included(&from), Bound::Excluded(&to));
    match range.map_err(|error| bucket.read_error(error))?.next() {
        Some(row) => {
            let (key, value) = row.map_err(|error| bucket.read_error(error))?;
            decoded(bucket, name, key, value.to_vec()).map(Some)
        }
        None => Ok(None),
    }
}

fn at(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
    key: Vec<u8>,
) -> Result<Option<Version>, ObjectError> {
    let value = reading.get(&key).map_err(|error| bucket.read_error(error))?;
    value.map(|value| decoded(bucket, name, key, value.to_vec())).transpose()
}

fn decoded(bucket: &Bucket, name: &ObjectName, key: Vec<u8>, row: Vec<u8>) -> Result<Version, ObjectError> {
    let head = Head::decode(&row).map_err(|error| damaged_row(error, bucket, name, VersionId::Null))?;
    Ok(Version { head, row, key })
}

/// A head for a listing: where its row cannot be read, what its key says, with no size and no time. One such row does not
/// keep others from being listed, and its object is not missing in the list: what else is known of it, a read says.
pub(crate) fn listed_head(row: &[u8], version: VersionId, order: u64) -> Head {
    Head::decode(row).unwrap_or_else(|_| {
        metrics::counter!(strongroom_telemetry::names::STORE_DAMAGE, "what" => "entry").increment(1);
        tracing::error!("the row of an object that is listed cannot be read");
        let unknown = ObjectHead {
            size: 0,
            etag: ETag::Opaque([0; 16]),
            content: ContentId([0; 16]),
            storage_class: None,
            checksums: Vec::new(),
        };
        Head { version, order, mtime: Timestamp(0), kind: HeadKind::Object(unknown) }
    })
}

/// The version as answers name it: not at all where there never were versions.
pub(crate) fn shown(versioning: Versioning, version: VersionId) -> Option<VersionId> {
    Some(version).filter(|version| versioning != Versioning::Off || *version != VersionId::Null)
}
