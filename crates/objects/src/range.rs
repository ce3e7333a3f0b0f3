//! Which bytes of an object a request means.

use std::ops::Range;

use crate::request::{ContentRange, RangeRequest};
use crate::rows::{ContentAt, ObjectHead};
use crate::{ChecksumValue, ObjectError, PartNumber};

/// The bytes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) bytes: Range<u64>,
    /// What Content-Range says, if not everything was asked for.
    pub(crate) range: Option<ContentRange>,
    /// The checksum of the part that they are, if it has one of its own.
    pub(crate) checksum: Option<ChecksumValue>,
}

impl Wanted {
    pub(crate) fn length(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

/// The bytes of a part, of a range, or all.
pub(crate) fn resolve(
    object: &ObjectHead,
    content: &ContentAt,
    part: Option<PartNumber>,
    range: Option<RangeRequest>,
) -> Result<Wanted, ObjectError> {
    let size = object.size;
    let bytes = match (part, range) {
        (Some(part), _) => part_bytes(part, size, content)?,
        (None, Some(range)) => range_bytes(range, size)?,
        (None, None) => return Ok(Wanted { bytes: 0..size, range: None, checksum: None }),
    };
    // A range of nothing cannot be said in Content-Range: only the part of an empty object is one.
    let range = bytes.end.checked_sub(1).filter(|last| *last >= bytes.start);
    let range = range.map(|last| ContentRange { first: bytes.start, last, total: size });
    let checksum = match (part, content) {
        (Some(part), ContentAt::Parts(parts)) => {
            parts.get(usize::from(part.number()) - 1).and_then(|part| part.checksum.clone())
        }
        _ => None,
    };
    Ok(Wanted { bytes, range, checksum })
}

/// A part, counted from 1 in the order of the object. An object in one piece has one.
fn part_bytes(part: PartNumber, size: u64, content: &ContentAt) -> Result<Range<u64>, ObjectError> {
    let index = usize::from(part.number()) - 1;
    let ContentAt::Parts(parts) = content else {
        return if index == 0 { Ok(0..size) } else { Err(ObjectError::NoSuchPart { part, parts: 1 }) };
    };
    let count = u16::try_from(parts.len()).unwrap_or(u16::MAX);
    let wanted = parts.get(index).ok_or(ObjectError::NoSuchPart { part, parts: count })?;
    let start: u64 = parts[..index].iter().map(|part| part.size).sum();
    Ok(start..start + wanted.size)
}

/// RFC 9110 §14.1.2.
pub(crate) fn range_bytes(range: RangeRequest, size: u64) -> Result<Range<u64>, ObjectError> {
    let unsatisfiable = ObjectError::InvalidRange { size };
    match range {
        RangeRequest::From { first, .. } if first >= size => Err(unsatisfiable),
        RangeRequest::From { first, last: None } => Ok(first..size),
        RangeRequest::From { first, last: Some(last) } if last < first => Err(unsatisfiable),
        RangeRequest::From { first, last: Some(last) } => Ok(first..last.saturating_add(1).min(size)),
        RangeRequest::Suffix(0) => Err(unsatisfiable),
        RangeRequest::Suffix(_) if size == 0 => Err(unsatisfiable),
        RangeRequest::Suffix(count) => Ok(size.saturating_sub(count)..size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_object_and_start_inside_it() {
        let from = |first, last| range_bytes(RangeRequest::From { first, last }, 10).ok();
        assert_eq!(from(0, None), Some(0..10));
        assert_eq!(from(9, Some(u64::MAX)), Some(9..10));
        assert_eq!(from(3, Some(3)), Some(3..4));
        assert_eq!(from(10, None), None);
        assert_eq!(from(4, Some(3)), None);
        let suffix = |count, size| range_bytes(RangeRequest::Suffix(count), size).ok();
        assert_eq!(suffix(3, 10), Some(7..10));
        assert_eq!(suffix(30, 10), Some(0..10));
        assert_eq!(suffix(0, 10), None);
        assert_eq!(suffix(1, 0), None);
    }
}
