//! What the operations on multipart uploads share.

use std::ops::Bound;
use std::sync::Arc;

use strongroom_store::{Check, Reading, Write};

use crate::buckets::Bucket;
use crate::objects::{Inner, blocking};
use crate::rows::{self, PartRow, UploadRow};
use crate::{ObjectError, ObjectName, UploadId};

/// An upload and its row as it is.
#[derive(Debug)]
pub(crate) struct FoundUpload {
    pub(crate) row: UploadRow,
    pub(crate) value: Vec<u8>,
}

/// A part and its row as it is.
#[derive(Debug)]
pub(crate) struct FoundPart {
    pub(crate) number: u16,
    pub(crate) row: PartRow,
    pub(crate) value: Vec<u8>,
}

/// The upload of this name with this id.
pub(crate) fn upload(
    reading: &Reading,
    bucket: &Bucket,
    name: &ObjectName,
    upload: UploadId,
) -> Result<FoundUpload, ObjectError> {
    let value = reading.get(&rows::upload_key(name, &upload)).map_err(|error| bucket.read_error(error))?;
    let value = value.ok_or(ObjectError::NoSuchUpload { upload })?.to_vec();
    let row = UploadRow::decode(&value).map_err(|error| error.of("upload"))?;
    Ok(FoundUpload { row, value })
}

/// The part with this number.
pub(crate) fn part(
    reading: &Reading,
    upload: UploadId,
    number: u16,
) -> Result<Option<FoundPart>, ObjectError> {
    let Some(value) = reading.get(&rows::part_key(&upload, number))? else { return Ok(None) };
    let row = PartRow::decode(&value).map_err(|error| error.of("part"))?;
    Ok(Some(FoundPart { number, row, value: value.to_vec() }))
}

/// All parts after a number, in order.
pub(crate) fn parts_after(
    reading: &Reading,
    upload: UploadId,
    after: u16,
    most: usize,
) -> Result<Vec<FoundPart>, ObjectError> {
    let (from, to) = (rows::part_key(&upload, after), rows::part_key(&upload, u16::MAX));
    let found = reading.range(Bound::Excluded(&from), Bound::Included(&to))?.take(most).map(|entry| {
        let (key, value) = entry?;
        let damaged = ObjectError::DamagedRow { table: "part" };
        let number = u16::from_be_bytes(*key.last_chunk::<2>().ok_or(damaged)?);
        let row = PartRow::decode(&value).map_err(|error| error.of("part"))?;
        Ok(FoundPart { number, row, value: value.to_vec() })
    });
    found.collect()
}

/// The checks and writes that end an upload: its row and all its parts go.
///
/// Whoever calls it has the upload's lock alone, so that no part comes after the reading.
pub(crate) fn end(
    name: &ObjectName,
    id: UploadId,
    found: FoundUpload,
    parts: &[FoundPart],
) -> (Vec<Check>, Vec<Write>) {
    let key = rows::upload_key(name, &id);
    let mut writes = vec![Write::Delete { key: key.clone() }];
    let mut checks = vec![Check::Equals { key, value: found.value }];
    for part in parts {
        let key = rows::part_key(&id, part.number);
        checks.push(Check::Equals { key: key.clone(), value: part.value.clone() });
        writes.push(Write::Delete { key });
    }
    (checks, writes)
}

impl Inner {
    /// The upload of this name with this id, now.
    pub(crate) async fn upload_now(
        self: &Arc<Self>,
        bucket: &Arc<Bucket>,
        name: &ObjectName,
        id: UploadId,
    ) -> Result<FoundUpload, ObjectError> {
        let (inner, bucket, name) = (Arc::clone(self), Arc::clone(bucket), name.clone());
        blocking(move || upload(&inner.read(&bucket)?, &bucket, &name, id)).await
    }
}

#[cfg(test)]
mod tests;
