//! Conditions of reads and writes.

use crate::versions::Version;
use crate::{
    Condition, DeleteConditions, ETag, IfRange, ObjectError, ObjectName, ReadConditions, Timestamp,
    VersionId, WriteConditions,
};

/// Whether a read may go on at `now`, in the order of RFC 9110 §13.2.2.
pub(crate) fn check_read(
    conditions: &ReadConditions,
    etag: ETag,
    mtime: Timestamp,
    version: VersionId,
    now: Timestamp,
) -> Result<(), ObjectError> {
    let failed = |condition| Err(ObjectError::PreconditionFailed { condition });
    // HTTP dates have whole seconds, so an object is as old as the start of its second.
    match (&conditions.if_match, conditions.if_unmodified_since) {
        (Some(tags), _) if !tags.matches(&etag) => return failed(Condition::IfMatch),
        (None, Some(since)) if mtime.seconds() > since.seconds() => {
            return failed(Condition::IfUnmodifiedSince);
        }
        _ => {}
    }
    // A date that is still to come cannot be when the client saw the object: AWS passes over it.
    let seen = conditions.if_modified_since.filter(|since| since.seconds() <= now.seconds());
    let not_modified = match (&conditions.if_none_match, seen) {
        (Some(tags), _) => tags.matches(&etag),
        (None, Some(since)) => mtime.seconds() <= since.seconds(),
        (None, None) => false,
    };
    if not_modified { Err(ObjectError::NotModified { etag, mtime, version }) } else { Ok(()) }
}

/// Whether the source of a copy is as the client wants it. There is no answer "not modified" to a copy.
pub(crate) fn check_source(
    conditions: &ReadConditions,
    etag: ETag,
    mtime: Timestamp,
    version: VersionId,
    now: Timestamp,
) -> Result<(), ObjectError> {
    let condition = match check_read(conditions, etag, mtime, version, now) {
        Err(ObjectError::NotModified { .. }) => match conditions.if_none_match {
            Some(_) => Condition::SourceIfNoneMatch,
            None => Condition::SourceIfModifiedSince,
        },
        Err(ObjectError::PreconditionFailed { condition: Condition::IfMatch }) => Condition::SourceIfMatch,
        Err(ObjectError::PreconditionFailed { .. }) => Condition::SourceIfUnmodifiedSince,
        other => return other,
    };
    Err(ObjectError::PreconditionFailed { condition })
}

/// Whether a range may be answered: it is of the object that the client has the beginning of, or it does not say.
pub(crate) fn range_applies(if_range: Option<&IfRange>, etag: ETag, mtime: Timestamp) -> bool {
    match if_range {
        None => true,
        Some(IfRange::Tag(tag)) => *tag == etag.to_string(),
        Some(IfRange::Date(date)) => date.seconds() == mtime.seconds(),
        Some(IfRange::Never) => false,
    }
}

/// Whether a write may replace `current`.
pub(crate) fn check_write(
    conditions: &WriteConditions,
    current: Option<&Version>,
    name: &ObjectName,
) -> Result<(), ObjectError> {
    let etag = current.and_then(Version::object).map(|object| object.etag);
    if let Some(tags) = &conditions.if_match {
        match etag {
            None => return Err(ObjectError::NoSuchKey { name: name.clone(), delete_marker: None }),
            Some(etag) if !tags.matches(&etag) => {
                return Err(ObjectError::PreconditionFailed { condition: Condition::IfMatch });
            }
            Some(_) => {}
        }
    }
    match (&conditions.if_none_match, etag) {
        (Some(tags), Some(etag)) if tags.matches(&etag) => {
            Err(ObjectError::PreconditionFailed { condition: Condition::IfNoneMatch })
        }
        _ => Ok(()),
    }
}

/// Whether a delete may go on.
pub(crate) fn check_delete(
    conditions: &DeleteConditions,
    current: Option<&Version>,
    name: &ObjectName,
) -> Result<(), ObjectError> {
    let failed = |condition| Err(ObjectError::PreconditionFailed { condition });
    let object = current.and_then(Version::object);
    if let Some(tags) = &conditions.if_match {
        match (current, object) {
            (None, _) => return Err(ObjectError::NoSuchKey { name: name.clone(), delete_marker: None }),
            (Some(_), Some(object)) if tags.matches(&object.etag) => {}
            _ => return failed(Condition::IfMatch),
        }
    }
    let (Some(current), Some(object)) = (current, object) else { return Ok(()) };
    if conditions.if_size.is_some_and(|size| size != object.size) {
        return failed(Condition::IfMatchSize);
    }
    if conditions.if_modified_at.is_some_and(|at| at.seconds() != current.head.mtime.seconds()) {
        return failed(Condition::IfMatchLastModified);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EntityTags;

    const ETAG: ETag = ETag::Md5([7; 16]);
    const MTIME: Timestamp = Timestamp(10_500);
    const NOW: Timestamp = Timestamp(100_000);

    fn read(conditions: &ReadConditions) -> Option<Condition> {
        match check_read(conditions, ETAG, MTIME, VersionId::Null, NOW) {
            Ok(()) => None,
            Err(ObjectError::PreconditionFailed { condition }) => Some(condition),
            Err(ObjectError::NotModified { .. }) => Some(Condition::IfNoneMatch),
            Err(other) => panic!("{other}"),
        }
    }

    fn tags(etag: ETag) -> Option<EntityTags> {
        Some(EntityTags::Tags(vec![etag.to_string()]))
    }

    #[test]
    fn entity_tags_go_before_dates() {
        let other = ETag::Md5([8; 16]);
        let old = Some(Timestamp(1000));
        let mut conditions =
            ReadConditions { if_match: tags(ETAG), if_unmodified_since: old, ..Default::default() };
        assert_eq!(read(&conditions), None);
        conditions.if_match = tags(other);
        assert_eq!(read(&conditions), Some(Condition::IfMatch));
        conditions.if_match = None;
        assert_eq!(read(&conditions), Some(Condition::IfUnmodifiedSince));
        let new = Some(Timestamp(99_000));
        let mut conditions =
            ReadConditions { if_none_match: tags(other), if_modified_since: new, ..Default::default() };
        assert_eq!(read(&conditions), None);
        conditions.if_none_match = None;
        assert_eq!(read(&conditions), Some(Condition::IfNoneMatch));
    }

    #[test]
    fn a_date_that_is_still_to_come_is_passed_over() {
        let since = |at| ReadConditions { if_modified_since: Some(Timestamp(at)), ..Default::default() };
        assert_eq!(read(&since(NOW.0)), Some(Condition::IfNoneMatch));
        assert_eq!(read(&since(NOW.0 + 1000)), None);
        let source = |conditions| check_source(&conditions, ETAG, MTIME, VersionId::Null, NOW);
        assert!(source(since(NOW.0 + 1000)).is_ok());
        let refused = source(since(NOW.0)).unwrap_err();
        let expected = Condition::SourceIfModifiedSince;
        assert!(matches!(refused, ObjectError::PreconditionFailed { condition } if condition == expected));
    }

    #[test]
    fn conditions_of_a_source_are_named_as_such() {
        let other = tags(ETag::Md5([8; 16]));
        let old = Some(Timestamp(1000));
        for (conditions, expected) in [
            (ReadConditions { if_match: other, ..Default::default() }, Condition::SourceIfMatch),
            (
                ReadConditions { if_none_match: tags(ETAG), ..Default::default() },
                Condition::SourceIfNoneMatch,
            ),
            (
                ReadConditions { if_unmodified_since: old, ..Default::default() },
                Condition::SourceIfUnmodifiedSince,
            ),
        ] {
            match check_source(&conditions, ETAG, MTIME, VersionId::Null, NOW) {
                Err(ObjectError::PreconditionFailed { condition }) => assert_eq!(condition, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_range_is_of_the_object_that_the_client_began_with() {
        let applies = |if_range: IfRange| range_applies(Some(&if_range), ETAG, MTIME);
        assert!(range_applies(None, ETAG, MTIME));
        assert!(applies(IfRange::Tag(ETAG.to_string())));
        assert!(!applies(IfRange::Tag(ETag::Md5([8; 16]).to_string())));
        assert!(applies(IfRange::Date(Timestamp(10_000))));
        // Neither an older nor a newer date is the object's: both dates tell of another one.
        assert!(!applies(IfRange::Date(Timestamp(9_000))));
        assert!(!applies(IfRange::Date(Timestamp(11_000))));
        assert!(!applies(IfRange::Never));
    }

    #[test]
    fn an_object_is_not_newer_than_its_own_last_modified_date() {
        let date = Some(Timestamp(10_000));
        assert_eq!(read(&ReadConditions { if_unmodified_since: date, ..Default::default() }), None);
        assert_eq!(
            read(&ReadConditions { if_modified_since: date, ..Default::default() }),
            Some(Condition::IfNoneMatch)
        );
    }
}
