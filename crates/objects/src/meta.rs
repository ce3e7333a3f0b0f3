//! What metadata and tags may be.

use std::collections::BTreeSet;

use crate::{ObjectError, ObjectMeta, TagFault, Tags};

/// AWS S3 User Guide, "Working with object metadata": names and values in bytes of UTF-8.
const USER_META_LEN_MAX: usize = 2 * 1024;
/// AWS S3 User Guide, "Categorizing your storage using tags".
const TAGS_MAX: usize = 10;
const TAG_NAME_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;

/// Refuses what S3 does not take.
pub(crate) fn check(meta: &ObjectMeta) -> Result<(), ObjectError> {
    // Entries can carry locks, but nothing enforces them yet: promising one would be worse than refusing it.
    if meta.retention.is_some() || meta.legal_hold {
        return Err(ObjectError::ObjectLockOff);
    }
    let size = meta.user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > USER_META_LEN_MAX {
        return Err(ObjectError::MetadataTooLarge { size, most: USER_META_LEN_MAX });
    }
    let system = &meta.system;
    let texts = [
        &system.content_type,
        &system.content_encoding,
        &system.content_language,
        &system.content_disposition,
        &system.cache_control,
        &system.expires,
        &system.website_redirect,
    ];
    let size = texts.into_iter().flatten().map(String::len).max().unwrap_or(0);
    let class = system.storage_class.as_ref().map_or(0, String::len);
    if size > crate::rows::TEXT_LEN_MAX || class > crate::rows::STORAGE_CLASS_LEN_MAX {
        return Err(ObjectError::MetadataTooLarge { size: size.max(class), most: crate::rows::TEXT_LEN_MAX });
    }
    check_tags(&meta.tags)
}

/// Refuses tags that S3 does not take.
pub(crate) fn check_tags(tags: &Tags) -> Result<(), ObjectError> {
    let fault = |fault| Err(ObjectError::InvalidTags(fault));
    if tags.len() > TAGS_MAX {
        return fault(TagFault::TooMany);
    }
    let mut names = BTreeSet::new();
    for (name, value) in tags {
        if name.is_empty() || name.chars().count() > TAG_NAME_CHARS_MAX {
            return fault(TagFault::Name);
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX {
            return fault(TagFault::Value);
        }
        if !names.insert(name) {
            return fault(TagFault::Duplicate);
        }
    }
    Ok(())
}
