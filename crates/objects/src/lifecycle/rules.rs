//! The rules and what they say of one version. Takes no clock: the time is an argument.

use serde::{Deserialize, Serialize};

use crate::{ObjectName, Tags, Timestamp};

/// Rules of one bucket at most (AWS S3 API Reference, PutBucketLifecycleConfiguration).
pub const LIFECYCLE_RULES_MAX: usize = 1000;
/// Most versions that a rule keeps beside the current one.
pub const NEWER_VERSIONS_MAX: u32 = 100;
const ID_CHARS_MAX: usize = 255;
const PREFIX_LEN_MAX: usize = 1024;
/// One day, in milliseconds. AWS counts in days of UTC, which know no leap seconds here.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// The lifecycle configuration of a bucket. Its JSON is the document that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleConfig {
    /// The rules, in the client's order.
    pub rules: Vec<LifecycleRule>,
    /// Which objects are too small for a transition. There are none, so it is kept for those who ask whether it is what they set.
    #[serde(default, skip_serializing_if = "TransitionMinimum::is_default")]
    pub transition_minimum: TransitionMinimum,
}

/// Below which size an object stays in its storage class unless a rule says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransitionMinimum {
    /// 128 KiB, whatever the class.
    #[default]
    AllClasses,
    /// 128 KiB, but for the classes of archives.
    VariesByClass,
}

impl TransitionMinimum {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to the versions and uploads that a filter means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleRule {
    /// The rule's id, unique in the bucket.
    pub id: String,
    /// Whether it is carried out.
    pub enabled: bool,
    /// Which objects.
    pub filter: LifecycleFilter,
    /// What happens to current versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Expiration>,
    /// What happens to versions that are not current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noncurrent: Option<NoncurrentExpiration>,
    /// Uploads are aborted this many days after they began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_uploads_after_days: Option<u32>,
}

/// Which objects a rule means: those that fit everything that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleFilter {
    /// Whether the client gave the prefix in the rule itself, as before there were filters.
    pub outside: bool,
    /// Names that start with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Objects that have all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Tags,
    /// Objects with more bytes than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<u64>,
    /// Objects with fewer bytes than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smaller_than: Option<u64>,
}

impl LifecycleFilter {
    /// How many conditions there are.
    pub fn conditions(&self) -> usize {
        usize::from(self.prefix.is_some())
            + self.tags.len()
            + usize::from(self.larger_than.is_some())
            + usize::from(self.smaller_than.is_some())
    }

    /// Whether it means objects by something else than their name.
    fn looks_inside(&self) -> bool {
        !self.tags.is_empty() || self.larger_than.is_some() || self.smaller_than.is_some()
    }

    fn means_name(&self, name: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix))
    }
}

/// When current versions expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiration {
    /// So many days after they were made.
    Days(u32),
    /// At this midnight, and whatever is made later at once.
    Date(u64),
    /// Delete markers that hide nothing any more.
    DeleteMarkers,
}

/// When versions expire that are not current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoncurrentExpiration {
    /// So many days after they stopped being current.
    pub days: u32,
    /// The newest ones among them stay, so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<u32>,
}

/// A version as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a ObjectName,
    /// The time of the write.
    pub mtime: Timestamp,
    /// Bytes of content; `None` of a delete marker.
    pub size: Option<u64>,
    /// Its tags.
    pub tags: &'a Tags,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleFault {
    /// None, or more than [`LIFECYCLE_RULES_MAX`].
    #[error("a configuration has 1 to {LIFECYCLE_RULES_MAX} rules")]
    Count,
    /// An id is longer than 255 characters.
    #[error("ID length should not exceed allowed limit of 255")]
    IdTooLong,
    /// Two rules have the same id.
    #[error("Rule ID must be unique. Found same ID for more than one rule")]
    SameId,
    /// A rule that does nothing.
    #[error("At least one action needs to be specified in a rule.")]
    NoAction,
    /// A prefix over 1024 bytes.
    #[error("The maximum size of a prefix is 1024.")]
    PrefixTooLong,
    /// Zero days of an expiration.
    #[error("'Days' for Expiration action must be a positive integer")]
    Days,
    /// A date that is not a midnight of UTC.
    #[error("'Date' must be at midnight GMT")]
    Date,
    /// Zero days of versions that are not current.
    #[error("'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer")]
    NoncurrentDays,
    /// Not one to a hundred versions to keep.
    #[error(
        "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be a positive integer between 1 and 100"
    )]
    NewerVersions,
    /// Zero days of uploads.
    #[error("'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer")]
    UploadDays,
    /// Uploads have no tags and no size yet.
    #[error("AbortIncompleteMultipartUpload cannot be specified with Tags or object sizes.")]
    UploadFilter,
    /// Delete markers have no tags and no size.
    #[error("ExpiredObjectDeleteMarker cannot be specified with Tags or object sizes.")]
    MarkerFilter,
    /// A tag twice.
    #[error("Duplicate Tag Keys are not allowed.")]
    SameTag,
    /// A tag that no object can have.
    #[error("The tag provided was not a valid tag.")]
    Tag,
    /// No object is larger and smaller at once.
    #[error("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")]
    Sizes,
}

impl LifecycleConfig {
    /// Checks what AWS checks.
    ///
    /// # Errors
    /// The first that is found.
    pub fn check(&self) -> Result<(), LifecycleFault> {
        if !(1..=LIFECYCLE_RULES_MAX).contains(&self.rules.len()) {
            return Err(LifecycleFault::Count);
        }
        let mut ids = std::collections::BTreeSet::new();
        for rule in &self.rules {
            rule.check()?;
            if !ids.insert(&rule.id) {
                return Err(LifecycleFault::SameId);
            }
        }
        Ok(())
    }

    /// The rules that are carried out.
    fn active(&self) -> impl Iterator<Item = &LifecycleRule> {
        self.rules.iter().filter(|rule| rule.enabled)
    }

    /// When a current version expires, and by which rule: the earliest that is found.
    pub fn current_expires(&self, subject: &Subject<'_>) -> Option<(Timestamp, &LifecycleRule)> {
        subject.size?;
        let due = |rule: &LifecycleRule| match rule.expiration? {
            Expiration::Days(days) => Some(midnight_after(subject.mtime, days)),
            Expiration::Date(date) => Some(Timestamp(date)),
            Expiration::DeleteMarkers => None,
        };
        self.active()
            .filter(|rule| rule.means(subject))
            .filter_map(|rule| Some((due(rule)?, rule)))
            .min_by_key(|(at, _)| *at)
    }

    /// When a delete marker goes that is the last version of its name: at once if a rule is about such markers, and
    /// with the days or the date of a rule about objects.
    pub fn lone_marker_expires(&self, subject: &Subject<'_>) -> Option<Timestamp> {
        if subject.size.is_some() {
            return None;
        }
        let due = |rule: &LifecycleRule| match rule.expiration? {
            Expiration::DeleteMarkers => Some(Timestamp(0)),
            Expiration::Days(days) => Some(midnight_after(subject.mtime, days)),
            Expiration::Date(date) => Some(Timestamp(date)),
        };
        self.active().filter(|rule| rule.means(subject)).filter_map(due).min()
    }

    /// When a version expires that is not current: `since` is when it stopped being, and `newer` how many that are not
    /// current either are newer.
    pub fn noncurrent_expires(
        &self,
        subject: &Subject<'_>,
        since: Timestamp,
        newer: u32,
    ) -> Option<Timestamp> {
        let due = |rule: &LifecycleRule| {
            let expiration = rule.noncurrent?;
            let enough = expiration.newer.is_none_or(|kept| newer >= kept);
            enough.then(|| midnight_after(since, expiration.days))
        };
        self.active().filter(|rule| rule.means(subject)).filter_map(due).min()
    }

    /// The most versions that a rule keeps although they are not current.
    pub(super) fn noncurrent_kept_max(&self) -> u32 {
        self.active().filter_map(|rule| rule.noncurrent?.newer).max().unwrap_or(0)
    }

    /// When an upload is aborted, and by which rule.
    pub fn upload_expires(&self, name: &ObjectName, begun: Timestamp) -> Option<(Timestamp, &LifecycleRule)> {
        self.active()
            .filter(|rule| rule.filter.means_name(name.as_str()))
            .filter_map(|rule| Some((midnight_after(begun, rule.abort_uploads_after_days?), rule)))
            .min_by_key(|(at, _)| *at)
    }

    /// Whether some rule that is carried out asks for this.
    pub(super) fn any(&self, asks: impl Fn(&LifecycleRule) -> bool) -> bool {
        self.active().any(asks)
    }
}

impl LifecycleRule {
    fn check(&self) -> Result<(), LifecycleFault> {
        let filter = &self.filter;
        if self.id.chars().count() > ID_CHARS_MAX {
            return Err(LifecycleFault::IdTooLong);
        }
        if filter.prefix.as_ref().is_some_and(|prefix| prefix.len() > PREFIX_LEN_MAX) {
            return Err(LifecycleFault::PrefixTooLong);
        }
        let named = |at: usize, name: &str| filter.tags[..at].iter().any(|(earlier, _)| earlier == name);
        for (at, (name, value)) in filter.tags.iter().enumerate() {
            if !crate::meta::is_tag(name, value) {
                return Err(LifecycleFault::Tag);
            }
            if named(at, name) {
                return Err(LifecycleFault::SameTag);
            }
        }
        if let (Some(larger), Some(smaller)) = (filter.larger_than, filter.smaller_than)
            && smaller <= larger
        {
            return Err(LifecycleFault::Sizes);
        }
        match self.expiration {
            Some(Expiration::Days(0)) => return Err(LifecycleFault::Days),
            Some(Expiration::Date(date)) if date % DAY != 0 => return Err(LifecycleFault::Date),
            Some(Expiration::DeleteMarkers) if filter.looks_inside() => {
                return Err(LifecycleFault::MarkerFilter);
            }
            _ => {}
        }
        if let Some(noncurrent) = self.noncurrent {
            if noncurrent.days == 0 {
                return Err(LifecycleFault::NoncurrentDays);
            }
            if noncurrent.newer.is_some_and(|newer| !(1..=NEWER_VERSIONS_MAX).contains(&newer)) {
                return Err(LifecycleFault::NewerVersions);
            }
        }
        if self.abort_uploads_after_days == Some(0) {
            return Err(LifecycleFault::UploadDays);
        }
        if self.abort_uploads_after_days.is_some() && filter.looks_inside() {
            return Err(LifecycleFault::UploadFilter);
        }
        if self.expiration.is_none() && self.noncurrent.is_none() && self.abort_uploads_after_days.is_none() {
            return Err(LifecycleFault::NoAction);
        }
        Ok(())
    }

    /// Whether the rule is about this version. Delete markers have neither tags nor a size.
    fn means(&self, subject: &Subject<'_>) -> bool {
        let filter = &self.filter;
        filter.means_name(subject.name.as_str())
            && filter.tags.iter().all(|tag| subject.tags.contains(tag))
            && match subject.size {
                Some(size) => {
                    filter.larger_than.is_none_or(|least| size > least)
                        && filter.smaller_than.is_none_or(|most| size < most)
                }
                None => filter.larger_than.is_none() && filter.smaller_than.is_none(),
            }
    }
}

/// The first midnight of UTC after `days` more days (AWS S3 User Guide, "Understanding lifecycle rules": the result is rounded up to
/// the next day).
fn midnight_after(at: Timestamp, days: u32) -> Timestamp {
    Timestamp((at.0 / DAY + 1 + u64::from(days)).saturating_mul(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2014-01-15T10:30:00Z, from AWS's example.
    const WRITTEN: Timestamp = Timestamp(1_389_781_800_000);
    /// 2014-01-19T00:00:00Z.
    const EXPECTED: Timestamp = Timestamp(1_390_089_600_000);

    fn rule(id: &str) -> LifecycleRule {
        LifecycleRule {
            id: id.to_owned(),
            enabled: true,
            filter: LifecycleFilter::default(),
            expiration: Some(Expiration::Days(3)),
            noncurrent: None,
            abort_uploads_after_days: None,
        }
    }

    fn config(rules: &[LifecycleRule]) -> LifecycleConfig {
        LifecycleConfig { rules: rules.to_vec(), ..LifecycleConfig::default() }
    }

    fn name(text: &str) -> ObjectName {
        ObjectName::parse(text).unwrap()
    }

    fn object<'a>(name: &'a ObjectName, tags: &'a Tags, size: u64) -> Subject<'a> {
        Subject { name, mtime: WRITTEN, size: Some(size), tags }
    }

    #[test]
    fn days_are_rounded_up_to_the_next_midnight() {
        let (name, tags) = (name("logs/a"), Tags::new());
        let config = config(&[rule("a")]);
        let (at, by) = config.current_expires(&object(&name, &tags, 1)).unwrap();
        assert_eq!((at, by.id.as_str()), (EXPECTED, "a"));
        assert_eq!(midnight_after(Timestamp(0), 0), Timestamp(DAY));
        assert_eq!(midnight_after(Timestamp(DAY - 1), 1), Timestamp(2 * DAY));
        assert_eq!(midnight_after(Timestamp(u64::MAX), u32::MAX), Timestamp(u64::MAX));
    }

    #[test]
    fn of_several_rules_the_earliest_counts_and_those_switched_off_do_not() {
        let (name, tags) = (name("logs/a"), Tags::new());
        let sooner = LifecycleRule { expiration: Some(Expiration::Days(1)), ..rule("sooner") };
        let off = LifecycleRule { enabled: false, expiration: Some(Expiration::Date(0)), ..rule("off") };
        let config = config(&[rule("later"), sooner, off]);
        assert_eq!(config.current_expires(&object(&name, &tags, 1)).unwrap().1.id, "sooner");
    }

    #[test]
    fn a_filter_means_what_fits_all_of_it() {
        let filter = LifecycleFilter {
            outside: false,
            prefix: Some("logs/".into()),
            tags: vec![("k".into(), "v".into())],
            larger_than: Some(10),
            smaller_than: Some(20),
        };
        assert_eq!(filter.conditions(), 4);
        let config = config(&[LifecycleRule { filter, ..rule("a") }]);
        let tags: Tags = vec![("x".into(), "y".into()), ("k".into(), "v".into())];
        let (inside, outside) = (name("logs/a"), name("log/a"));
        let expires = |name, tags, size| config.current_expires(&object(name, tags, size)).is_some();
        assert!(expires(&inside, &tags, 11) && expires(&inside, &tags, 19));
        assert!(!expires(&inside, &tags, 10) && !expires(&inside, &tags, 20));
        assert!(!expires(&outside, &tags, 11));
        assert!(!expires(&inside, &Tags::new(), 11));
        let marker = Subject { name: &inside, mtime: WRITTEN, size: None, tags: &Tags::new() };
        assert_eq!(config.lone_marker_expires(&marker), None, "a marker has no tags and no size");
    }

    #[test]
    fn versions_that_are_not_current_wait_for_their_days_and_for_newer_ones() {
        let (name, tags) = (name("a"), Tags::new());
        let noncurrent = Some(NoncurrentExpiration { days: 3, newer: Some(2) });
        let config = config(&[LifecycleRule { expiration: None, noncurrent, ..rule("a") }]);
        let subject = object(&name, &tags, 1);
        assert_eq!(config.noncurrent_expires(&subject, WRITTEN, 1), None);
        assert_eq!(config.noncurrent_expires(&subject, WRITTEN, 2), Some(EXPECTED));
        assert_eq!(config.current_expires(&subject), None);
    }

    #[test]
    fn uploads_are_meant_by_their_name_alone() {
        let filter = LifecycleFilter { prefix: Some("in/".into()), ..LifecycleFilter::default() };
        let aborts = LifecycleRule { filter, abort_uploads_after_days: Some(3), ..rule("a") };
        let config = config(&[aborts]);
        assert_eq!(config.upload_expires(&name("in/x"), WRITTEN).unwrap().0, EXPECTED);
        assert!(config.upload_expires(&name("out/x"), WRITTEN).is_none());
    }

    #[test]
    fn what_can_never_be_meant_is_refused() {
        type Change = fn(&mut LifecycleRule);
        let cases: [(Change, LifecycleFault); 14] = [
            (|rule| rule.id = "x".repeat(256), LifecycleFault::IdTooLong),
            (|rule| rule.filter.prefix = Some("x".repeat(1025)), LifecycleFault::PrefixTooLong),
            (|rule| rule.expiration = Some(Expiration::Days(0)), LifecycleFault::Days),
            (|rule| rule.expiration = Some(Expiration::Date(DAY + 1)), LifecycleFault::Date),
            (|rule| rule.expiration = None, LifecycleFault::NoAction),
            (
                |rule| rule.noncurrent = Some(NoncurrentExpiration { days: 0, newer: None }),
                LifecycleFault::NoncurrentDays,
            ),
            (
                |rule| rule.noncurrent = Some(NoncurrentExpiration { days: 1, newer: Some(101) }),
                LifecycleFault::NewerVersions,
            ),
            (
                |rule| rule.noncurrent = Some(NoncurrentExpiration { days: 1, newer: Some(0) }),
                LifecycleFault::NewerVersions,
            ),
            (|rule| rule.abort_uploads_after_days = Some(0), LifecycleFault::UploadDays),
            (
                |rule| {
                    rule.abort_uploads_after_days = Some(1);
                    rule.filter.larger_than = Some(1);
                },
                LifecycleFault::UploadFilter,
            ),
            (
                |rule| {
                    rule.expiration = Some(Expiration::DeleteMarkers);
                    rule.filter.tags = vec![("a".into(), "b".into())];
                },
                LifecycleFault::MarkerFilter,
            ),
            (
                |rule| rule.filter.tags = vec![("a".into(), "b".into()), ("a".into(), "c".into())],
                LifecycleFault::SameTag,
            ),
            (|rule| rule.filter.tags = vec![(String::new(), "b".into())], LifecycleFault::Tag),
            (
                |rule| {
                    rule.filter.larger_than = Some(5);
                    rule.filter.smaller_than = Some(5);
                },
                LifecycleFault::Sizes,
            ),
        ];
        for (change, fault) in cases {
            let mut changed = rule("a");
            change(&mut changed);
            assert_eq!(config(&[changed]).check(), Err(fault));
        }
        assert_eq!(config(&[rule("a"), rule("a")]).check(), Err(LifecycleFault::SameId));
        assert_eq!(config(&[]).check(), Err(LifecycleFault::Count));
        assert_eq!(config(&[rule("a"), rule("b")]).check(), Ok(()));
    }

    #[test]
    fn a_configuration_is_stored_as_it_was_given_and_nothing_unknown_is_read() {
        let mut full = rule("full");
        full.filter.tags = vec![("k".into(), "v".into())];
        full.noncurrent = Some(NoncurrentExpiration { days: 1, newer: Some(2) });
        let marker = LifecycleRule { expiration: Some(Expiration::DeleteMarkers), ..rule("marker") };
        let dated = LifecycleRule { expiration: Some(Expiration::Date(DAY)), ..rule("dated") };
        let config = config(&[full, marker, dated]);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LifecycleConfig>(&text).unwrap(), config);
        let unknown = text.replacen("\"id\"", "\"more\":1,\"id\"", 1);
        assert!(serde_json::from_str::<LifecycleConfig>(&unknown).is_err());
    }
}
