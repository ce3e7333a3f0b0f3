//! What metadata and tags may be.

use std::collections::BTreeSet;

use crate::{ObjectError, ObjectMeta, TagFault, Tags};

/// AWS S3 User Guide, "Working with object metadata": names and values in bytes of UTF-8.
const USER_META_LEN_MAX: usize = 2 * 1024;
/// AWS S3 User Guide, "Categorizing your storage using tags".
const TAGS_MAX: usize = 10;
/// AWS S3 User Guide, "Using cost allocation S3 bucket tags".
const BUCKET_TAGS_MAX: usize = 50;
const TAG_NAME_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;

/// Refuses what S3 does not take.
pub(crate) fn check(meta: &ObjectMeta) -> Result<(), ObjectError> {
    let size = pairs_len(&meta.user);
    if size > USER_META_LEN_MAX {
        return Err(ObjectError::MetadataTooLarge { size, most: USER_META_LEN_MAX });
    }
    let size = system_lens(meta).max().unwrap_or(0);
    let class = meta.system.storage_class.as_ref().map_or(0, String::len);
    if size > crate::rows::TEXT_LEN_MAX || class > crate::rows::STORAGE_CLASS_LEN_MAX {
        return Err(ObjectError::MetadataTooLarge { size: size.max(class), most: crate::rows::TEXT_LEN_MAX });
    }
    check_tags(&meta.tags)
}

/// Bytes of its names and values.
pub(crate) fn len(meta: &ObjectMeta) -> usize {
    pairs_len(&meta.user) + pairs_len(&meta.tags) + system_lens(meta).sum::<usize>()
}

fn pairs_len(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn system_lens(meta: &ObjectMeta) -> impl Iterator<Item = usize> {
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
    texts.into_iter().flatten().map(String::len)
}

/// Refuses tags that no object may have.
pub(crate) fn check_tags(tags: &Tags) -> Result<(), ObjectError> {
    check_tag_set(tags, TAGS_MAX, TagFault::TooMany)
}

/// Refuses tags that no bucket may have.
pub(crate) fn check_bucket_tags(tags: &Tags) -> Result<(), ObjectError> {
    check_tag_set(tags, BUCKET_TAGS_MAX, TagFault::TooManyOfBucket)
}

fn check_tag_set(tags: &Tags, most: usize, too_many: TagFault) -> Result<(), ObjectError> {
    let fault = |fault, tag: Option<&(String, String)>| {
        Err(ObjectError::InvalidTags { fault, tag: tag.cloned().map(Box::new) })
    };
    if tags.len() > most {
        return fault(too_many, None);
    }
    // AWS keeps these for itself; a client that could set one could pass for it.
    let reserved = |(name, _): &&(String, String)| name.to_ascii_lowercase().starts_with("aws:");
    if let Some(tag) = tags.iter().find(reserved) {
        return fault(TagFault::Reserved, Some(tag));
    }
    let mut names = BTreeSet::new();
    for tag in tags {
        let (name, value) = tag;
        if !is_tag_text(name, TAG_NAME_CHARS_MAX) || name.is_empty() {
            return fault(TagFault::Name, Some(tag));
        }
        if !is_tag_text(value, TAG_VALUE_CHARS_MAX) {
            return fault(TagFault::Value, Some(tag));
        }
        if !names.insert(name) {
            return fault(TagFault::Duplicate, Some(tag));
        }
    }
    Ok(())
}

/// Whether an object could have this tag.
pub(crate) fn is_tag(name: &str, value: &str) -> bool {
    !name.is_empty() && is_tag_text(name, TAG_NAME_CHARS_MAX) && is_tag_text(value, TAG_VALUE_CHARS_MAX)
}

/// Letters, digits and spaces of any script, and a few signs. Lengths are in UTF-16 units, as AWS counts them.
fn is_tag_text(text: &str, most: usize) -> bool {
    let allowed = |sign: char| {
        sign.is_alphanumeric() || (sign.is_whitespace() && !sign.is_control()) || "+-=._:/@".contains(sign)
    };
    text.encode_utf16().count() <= most && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(count: usize) -> Tags {
        (0..count).map(|number| (format!("name {number}"), "väl_ue:1/2@=+-.".to_owned())).collect()
    }

    fn fault(result: Result<(), ObjectError>) -> Option<TagFault> {
        match result {
            Err(ObjectError::InvalidTags { fault, .. }) => Some(fault),
            _ => None,
        }
    }

    #[test]
    fn objects_have_ten_tags_and_buckets_fifty() {
        assert_eq!(fault(check_tags(&tags(10))), None);
        assert_eq!(fault(check_tags(&tags(11))), Some(TagFault::TooMany));
        assert_eq!(fault(check_bucket_tags(&tags(50))), None);
        assert_eq!(fault(check_bucket_tags(&tags(51))), Some(TagFault::TooManyOfBucket));
    }

    #[test]
    fn tags_are_bounded_distinct_and_of_letters_digits_and_a_few_signs() {
        let one = |name: &str, value: &str| fault(check_tags(&vec![(name.to_owned(), value.to_owned())]));
        assert_eq!(one(&"n".repeat(128), &"v".repeat(256)), None);
        assert_eq!(one(&"n".repeat(129), ""), Some(TagFault::Name));
        assert_eq!(one("", ""), Some(TagFault::Name));
        assert_eq!(one("n", &"v".repeat(257)), Some(TagFault::Value));
        for bad in ["a<b", "a&b", "a,b", "a\nb", "a\0b", "a;b"] {
            assert_eq!(one(bad, ""), Some(TagFault::Name), "{bad:?}");
            assert_eq!(one("n", bad), Some(TagFault::Value), "{bad:?}");
        }
        let twice = vec![("n".to_owned(), "1".to_owned()), ("n".to_owned(), "2".to_owned())];
        assert_eq!(fault(check_tags(&twice)), Some(TagFault::Duplicate));
        assert_eq!(one("AWS:x", "y"), Some(TagFault::Reserved));
    }
}
