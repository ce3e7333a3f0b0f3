//! What S3 says, in a map: each name has its versions, the newest first.
//!
//! AWS S3 User Guide: "How S3 Versioning works", "Working with delete markers", "Adding objects to
//! versioning-suspended buckets", "Conditional requests".

use std::collections::BTreeMap;

use strongroom_objects::{ETag, EntityTags, Tags, UploadId, VersionId, Versioning};

use crate::steps::Condition;

/// A version of an object, or a delete marker.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) id: VersionId,
    pub(crate) object: Option<Object>,
}

/// What a version holds.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) content: Vec<u8>,
    pub(crate) etag: ETag,
    pub(crate) user: Vec<(String, String)>,
    pub(crate) tags: Tags,
    pub(crate) parts: Option<u16>,
}

/// An upload that is open.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) id: UploadId,
    pub(crate) key: &'static str,
    pub(crate) user: Vec<(String, String)>,
    pub(crate) tags: Tags,
    pub(crate) parts: BTreeMap<u32, (ETag, Vec<u8>)>,
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoSuchKey { marker: Option<VersionId> },
    NoSuchVersion,
    IsDeleteMarker,
    PreconditionFailed,
    NotModified,
}

/// A bucket.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) versioning: Versioning,
    pub(crate) names: BTreeMap<&'static str, Vec<Version>>,
    pub(crate) uploads: Vec<Upload>,
    /// Uploads that were completed or aborted.
    pub(crate) ended: Vec<Upload>,
    /// Every version id that was ever given out.
    pub(crate) given: Vec<(&'static str, VersionId)>,
}

impl Model {
    pub(crate) fn versions(&self, key: &str) -> &[Version] {
        self.names.get(key).map_or(&[], Vec::as_slice)
    }

    /// The object that a read without a version sees.
    pub(crate) fn current(&self, key: &str) -> Option<&Object> {
        self.versions(key).first()?.object.as_ref()
    }

    /// What a read of this version finds.
    pub(crate) fn find(&self, key: &str, version: Option<VersionId>) -> Result<&Version, Refusal> {
        let versions = self.versions(key);
        match version {
            None => match versions.first() {
                None => Err(Refusal::NoSuchKey { marker: None }),
                Some(Version { id, object: None }) => Err(Refusal::NoSuchKey { marker: Some(*id) }),
                Some(version) => Ok(version),
            },
            Some(id) => match versions.iter().find(|version| version.id == id) {
                None => Err(Refusal::NoSuchVersion),
                Some(Version { object: None, .. }) => Err(Refusal::IsDeleteMarker),
                Some(version) => Ok(version),
            },
        }
    }

    /// A new newest version. Where none are made, it takes the place of the null version.
    pub(crate) fn came(&mut self, key: &'static str, id: VersionId, object: Option<Object>) {
        let versions = self.names.entry(key).or_default();
        if self.versioning == Versioning::Enabled {
            assert_ne!(id, VersionId::Null);
            assert!(!self.given.contains(&(key, id)), "a version id came twice");
        } else {
            assert_eq!(id, VersionId::Null);
            versions.retain(|version| version.id != VersionId::Null);
        }
        self.given.push((key, id));
        versions.insert(0, Version { id, object });
    }

    /// A version that goes for good; whether it was a delete marker, if it was there.
    pub(crate) fn went(&mut self, key: &'static str, id: VersionId) -> Option<bool> {
        let versions = self.names.get_mut(key)?;
        let at = versions.iter().position(|version| version.id == id)?;
        let gone = versions.remove(at);
        if versions.is_empty() {
            self.names.remove(key);
        }
        Some(gone.object.is_none())
    }

    /// How answers name a version: not at all where there never were any.
    pub(crate) fn shown(&self, id: VersionId) -> Option<VersionId> {
        (self.versioning != Versioning::Off).then_some(id)
    }

    /// Names that a listing sees, with their objects.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (&'static str, &Object)> {
        self.names.iter().filter_map(|(name, versions)| Some((*name, versions.first()?.object.as_ref()?)))
    }
}

/// The tags of a condition about an object, or about none, as requests carry them.
pub(crate) fn entity_tags(condition: Condition, object: Option<&Object>) -> Option<EntityTags> {
    let current = || object.map_or_else(|| "0".repeat(32), |object| object.etag.to_string());
    Some(match condition {
        Condition::MatchAny | Condition::NoneMatchAny => EntityTags::Any,
        Condition::MatchCurrent | Condition::NoneMatchCurrent => EntityTags::Tags(vec![current()]),
        Condition::MatchOther | Condition::NoneMatchOther => EntityTags::Tags(vec!["f".repeat(32)]),
        Condition::None | Condition::SizeIsCurrent | Condition::SizeIsOther => return None,
    })
}

/// Whether a write may go on over what is current.
pub(crate) fn may_write(condition: Condition, current: Option<&Object>) -> Result<(), Refusal> {
    match (condition, current) {
        (Condition::MatchAny | Condition::MatchCurrent | Condition::MatchOther, None) => {
            Err(Refusal::NoSuchKey { marker: None })
        }
        (Condition::MatchOther, Some(_)) => Err(Refusal::PreconditionFailed),
        (Condition::NoneMatchAny | Condition::NoneMatchCurrent, Some(_)) => Err(Refusal::PreconditionFailed),
        _ => Ok(()),
    }
}

/// Whether a read may go on.
pub(crate) fn may_read(condition: Condition) -> Result<(), Refusal> {
    match condition {
        Condition::MatchOther => Err(Refusal::PreconditionFailed),
        Condition::NoneMatchAny | Condition::NoneMatchCurrent => Err(Refusal::NotModified),
        _ => Ok(()),
    }
}

/// Whether a delete may go on; `newest` is the current version, also if it is a delete marker.
pub(crate) fn may_delete(condition: Condition, newest: Option<&Version>) -> Result<(), Refusal> {
    let object = newest.and_then(|version| version.object.as_ref());
    match condition {
        Condition::MatchAny | Condition::MatchCurrent | Condition::MatchOther => match (newest, object) {
            (None, _) => Err(Refusal::NoSuchKey { marker: None }),
            (Some(_), None) => Err(Refusal::PreconditionFailed),
            _ if matches!(condition, Condition::MatchOther) => Err(Refusal::PreconditionFailed),
            _ => Ok(()),
        },
        Condition::SizeIsOther if object.is_some() => Err(Refusal::PreconditionFailed),
        _ => Ok(()),
    }
}
