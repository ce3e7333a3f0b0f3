//! Which events of a bucket go where (`docs/spec/events.md` §2).

use serde::{Deserialize, Serialize};

/// Rules of one bucket at most (AWS S3 API Reference, PutBucketNotificationConfiguration).
pub const NOTIFICATION_RULES_MAX: usize = 100;
/// The longest id of a rule, in characters.
pub const RULE_ID_LEN_MAX: usize = 255;
/// The longest prefix or suffix of a rule, in bytes: as long as a name can be.
pub const RULE_FILTER_LEN_MAX: usize = 1024;
/// The longest id of a target, in bytes.
pub const TARGET_ID_LEN_MAX: usize = 64;

/// The notification configuration of a bucket. Its JSON is the document that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationConfig {
    /// The rules, in the client's order.
    pub rules: Vec<NotificationRule>,
}

/// Which events go to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationRule {
    /// The rule's id: in every event of it, and unique in the bucket.
    pub id: String,
    /// Where events go.
    pub target: TargetArn,
    /// Which events; at least one.
    pub events: Vec<EventType>,
    /// Only objects whose name starts with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only objects whose name ends with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
}

impl NotificationRule {
    /// Whether an event of this kind on an object of this name is meant.
    pub fn matches(&self, kind: EventKind, name: &str) -> bool {
        name.starts_with(self.prefix())
            && name.ends_with(self.suffix())
            && self.events.iter().any(|event| event.covers(kind))
    }

    fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    fn suffix(&self) -> &str {
        self.suffix.as_deref().unwrap_or_default()
    }

    /// Whether some event would match both. Prefixes share a name if one begins with the other.
    fn overlaps(&self, other: &Self) -> Option<Overlap> {
        let shared = self.events.iter().any(|one| other.events.iter().any(|two| one.overlaps(*two)));
        let (one, two) = (self.prefix(), other.prefix());
        let prefixes = one.starts_with(two) || two.starts_with(one);
        let (three, four) = (self.suffix(), other.suffix());
        let suffixes = three.ends_with(four) || four.ends_with(three);
        let filtered = [one, two, three, four].iter().any(|filter| !filter.is_empty());
        (shared && prefixes && suffixes).then_some(if filtered { Overlap::Filters } else { Overlap::Events })
    }
}

/// How two rules overlap; AWS says it in different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overlap {
    Events,
    Filters,
}

/// What happens to objects, as it is named in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// Stored in one piece.
    CreatedPut,
    /// Stored by a form.
    CreatedPost,
    /// Copied.
    CreatedCopy,
    /// Put together from parts.
    CreatedCompleteMultipartUpload,
    /// A version, or the only one, was removed.
    RemovedDelete,
    /// A delete marker became the current version.
    RemovedDeleteMarkerCreated,
    /// Tags were set.
    TaggingPut,
    /// Tags were removed.
    TaggingDelete,
    /// A lifecycle rule removed a version.
    LifecycleDelete,
    /// A lifecycle rule made a delete marker.
    LifecycleDeleteMarkerCreated,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::CreatedPut,
        Self::CreatedPost,
        Self::CreatedCopy,
        Self::CreatedCompleteMultipartUpload,
        Self::RemovedDelete,
        Self::RemovedDeleteMarkerCreated,
        Self::TaggingPut,
        Self::TaggingDelete,
        Self::LifecycleDelete,
        Self::LifecycleDeleteMarkerCreated,
    ];

    /// The name in an event, such as `ObjectCreated:Put`. In a configuration `s3:` stands before it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreatedPut => "ObjectCreated:Put",
            Self::CreatedPost => "ObjectCreated:Post",
            Self::CreatedCopy => "ObjectCreated:Copy",
            Self::CreatedCompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
            Self::RemovedDelete => "ObjectRemoved:Delete",
            Self::RemovedDeleteMarkerCreated => "ObjectRemoved:DeleteMarkerCreated",
            Self::TaggingPut => "ObjectTagging:Put",
            Self::TaggingDelete => "ObjectTagging:Delete",
            Self::LifecycleDelete => "LifecycleExpiration:Delete",
            Self::LifecycleDeleteMarkerCreated => "LifecycleExpiration:DeleteMarkerCreated",
        }
    }

    /// The family, which `*` stands for.
    fn family(self) -> EventFamily {
        match self {
            Self::CreatedPut
            | Self::CreatedPost
            | Self::CreatedCopy
            | Self::CreatedCompleteMultipartUpload => EventFamily::Created,
            Self::RemovedDelete | Self::RemovedDeleteMarkerCreated => EventFamily::Removed,
            Self::TaggingPut | Self::TaggingDelete => EventFamily::Tagging,
            Self::LifecycleDelete | Self::LifecycleDeleteMarkerCreated => EventFamily::Lifecycle,
        }
    }

    /// The version of the event structure that AWS names for this kind (S3 User Guide, "Event message structure").
    pub fn structure_version(self) -> &'static str {
        match self.family() {
            EventFamily::Created | EventFamily::Removed => "2.1",
            EventFamily::Tagging | EventFamily::Lifecycle => "2.3",
        }
    }

    /// The number of this kind in a row.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::CreatedPut => 1,
            Self::CreatedPost => 2,
            Self::CreatedCopy => 3,
            Self::CreatedCompleteMultipartUpload => 4,
            Self::RemovedDelete => 5,
            Self::RemovedDeleteMarkerCreated => 6,
            Self::TaggingPut => 7,
            Self::TaggingDelete => 8,
            Self::LifecycleDelete => 9,
            Self::LifecycleDeleteMarkerCreated => 10,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// What a rule asks for: one kind of event, or a family of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EventType {
    /// Exactly this.
    One(EventKind),
    /// All of a family.
    Family(EventFamily),
}

/// Kinds of events that `*` stands for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventFamily {
    /// `ObjectCreated`
    Created,
    /// `ObjectRemoved`
    Removed,
    /// `ObjectTagging`
    Tagging,
    /// `LifecycleExpiration`
    Lifecycle,
}

impl EventFamily {
    const ALL: [Self; 4] = [Self::Created, Self::Removed, Self::Tagging, Self::Lifecycle];

    /// What the names of its kinds begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "ObjectCreated",
            Self::Removed => "ObjectRemoved",
            Self::Tagging => "ObjectTagging",
            Self::Lifecycle => "LifecycleExpiration",
        }
    }
}

impl EventType {
    /// Reads `s3:ObjectCreated:Put` or `s3:ObjectCreated:*`. `None` for what never happens here.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("s3:")?;
        if let Some(family) = name.strip_suffix(":*") {
            return EventFamily::ALL.into_iter().find(|is| is.name() == family).map(Self::Family);
        }
        EventKind::ALL.into_iter().find(|kind| kind.name() == name).map(Self::One)
    }

    /// Whether events of this kind are meant.
    pub fn covers(self, kind: EventKind) -> bool {
        match self {
            Self::One(one) => one == kind,
            Self::Family(family) => kind.family() == family,
        }
    }

    fn overlaps(self, other: Self) -> bool {
        EventKind::ALL.into_iter().any(|kind| self.covers(kind) && other.covers(kind))
    }
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(kind) => write!(f, "s3:{}", kind.name()),
            Self::Family(family) => write!(f, "s3:{}:*", family.name()),
        }
    }
}

impl From<EventType> for String {
    fn from(event: EventType) -> Self {
        event.to_string()
    }
}

impl TryFrom<String> for EventType {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        Self::parse(&text).ok_or(RuleError::UnknownEvent { event: text })
    }
}

/// The name of a target in a configuration: `arn:strongroom:sqs::ID:webhook`, or with `minio` in the place of
/// `strongroom`. It is shown as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetArn {
    text: String,
    id: String,
}

impl TargetArn {
    /// Reads an ARN.
    ///
    /// # Errors
    /// [`RuleError::Arn`] if it is none of a webhook.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let parts: Vec<_> = text.split(':').collect();
        match parts.as_slice() {
            // The fourth field is a region, which clients fill in as they like and which says nothing here.
            ["arn", "strongroom" | "minio", "sqs", _, id, "webhook"] if is_target_id(id) => {
                Ok(Self { text: text.to_owned(), id: (*id).to_owned() })
            }
            _ => Err(RuleError::Arn { arn: text.to_owned() }),
        }
    }

    /// The ARN of this target, as we write it.
    pub fn of_target(id: &str) -> Option<Self> {
        Self::parse(&format!("arn:strongroom:sqs::{id}:webhook")).ok()
    }

    /// The target's id in the server's configuration.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for TargetArn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<TargetArn> for String {
    fn from(arn: TargetArn) -> Self {
        arn.text
    }
}

impl TryFrom<String> for TargetArn {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        Self::parse(&text)
    }
}

/// Whether this can name a target: letters, digits, `-` and `_`, at most [`TARGET_ID_LEN_MAX`] of them.
pub fn is_target_id(text: &str) -> bool {
    (1..=TARGET_ID_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Why a configuration is refused. The words are AWS's where AWS has the case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not an event, or one that never happens here.
    #[error("The event is not supported for notifications")]
    UnknownEvent {
        /// As given.
        event: String,
    },
    /// Not the name of a webhook.
    #[error("The ARN is not well formed")]
    Arn {
        /// As given.
        arn: String,
    },
    /// No webhook of the server has this id.
    #[error("Unable to validate the following destination configurations")]
    NoSuchTarget {
        /// The ARN as given.
        arn: String,
    },
    /// A rule without events.
    #[error("A notification configuration must name at least one event")]
    NoEvents {
        /// The rule's id.
        id: String,
    },
    /// A rule that an event would match twice.
    #[error("Configurations overlap. Configurations on the same bucket cannot share a common event type.")]
    OverlappingEvents,
    /// Two rules with filters that an event would match both.
    #[error(
        "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."
    )]
    OverlappingFilters,
    /// The same id twice.
    #[error("Same ID used for multiple configurations. IDs must be unique")]
    SameId {
        /// The id.
        id: String,
    },
    /// An id, prefix or suffix over its length.
    #[error("{field} must be at most {most} bytes long")]
    TooLong {
        /// Which.
        field: &'static str,
        /// The limit.
        most: usize,
    },
    /// More rules than a bucket may have.
    #[error("A bucket has at most {NOTIFICATION_RULES_MAX} notification configurations")]
    TooManyRules,
    /// The stored document is not one.
    #[error("the stored notification configuration is damaged")]
    Document,
}

impl NotificationConfig {
    /// Checks what AWS checks: limits, ids, and that no event matches two rules. `is_target` says which targets the
    /// server has.
    ///
    /// # Errors
    /// The first that is found.
    pub fn check(&self, is_target: impl Fn(&str) -> bool) -> Result<(), RuleError> {
        if self.rules.len() > NOTIFICATION_RULES_MAX {
            return Err(RuleError::TooManyRules);
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let lengths = [
                ("ID", rule.id.len(), RULE_ID_LEN_MAX),
                ("prefix", rule.prefix().len(), RULE_FILTER_LEN_MAX),
                ("suffix", rule.suffix().len(), RULE_FILTER_LEN_MAX),
            ];
            if let Some((field, _, most)) = lengths.into_iter().find(|(_, len, most)| len > most) {
                return Err(RuleError::TooLong { field, most });
            }
            if rule.events.is_empty() {
                return Err(RuleError::NoEvents { id: rule.id.clone() });
            }
            for earlier in &self.rules[..at] {
                if earlier.id == rule.id {
                    return Err(RuleError::SameId { id: rule.id.clone() });
                }
                match rule.overlaps(earlier) {
                    Some(Overlap::Events) => return Err(RuleError::OverlappingEvents),
                    Some(Overlap::Filters) => return Err(RuleError::OverlappingFilters),
                    None => {}
                }
            }
            let twice = |at: usize, event: &EventType| {
                rule.events.iter().take(at).any(|earlier| earlier.overlaps(*event))
            };
            if rule.events.iter().enumerate().any(|(at, event)| twice(at, event)) {
                return Err(RuleError::OverlappingEvents);
            }
        }
        match self.rules.iter().find(|rule| !is_target(rule.target.id())) {
            Some(rule) => Err(RuleError::NoSuchTarget { arn: rule.target.as_str().to_owned() }),
            None => Ok(()),
        }
    }

    /// The rule that an event matches. [`Self::check`] makes sure that there is at most one.
    pub fn rule_for(&self, kind: EventKind, name: &str) -> Option<&NotificationRule> {
        self.rules.iter().find(|rule| rule.matches(kind, name))
    }

    /// The document to store.
    pub fn to_document(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and lists of text have a JSON form")
    }

    /// Reads [`Self::to_document`]'s output.
    ///
    /// # Errors
    /// [`RuleError::Document`] for everything else.
    pub fn from_document(bytes: &[u8]) -> Result<Self, RuleError> {
        let config: Self = serde_json::from_slice(bytes).map_err(|_| RuleError::Document)?;
        config.check(|_| true).map_err(|_| RuleError::Document)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, events: &[&str], prefix: &str, suffix: &str) -> NotificationRule {
        NotificationRule {
            id: id.to_owned(),
            target: TargetArn::of_target("orders").unwrap(),
            events: events.iter().map(|event| EventType::parse(event).unwrap()).collect(),
            prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            suffix: (!suffix.is_empty()).then(|| suffix.to_owned()),
        }
    }

    fn check(rules: &[NotificationRule]) -> Result<(), RuleError> {
        NotificationConfig { rules: rules.to_vec() }.check(|id| id == "orders")
    }

    #[test]
    fn a_rule_means_its_events_and_names() {
        let rule = rule("a", &["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"], "in/", ".jpg");
        assert!(rule.matches(EventKind::CreatedCopy, "in/x.jpg"));
        assert!(rule.matches(EventKind::RemovedDelete, "in/x.jpg"));
        assert!(!rule.matches(EventKind::RemovedDeleteMarkerCreated, "in/x.jpg"));
        assert!(!rule.matches(EventKind::CreatedPut, "out/x.jpg"));
        assert!(!rule.matches(EventKind::CreatedPut, "in/x.png"));
        assert!(!rule.matches(EventKind::LifecycleDelete, "in/x.jpg"), "lifecycle has a family of its own");
    }

    #[test]
    fn every_kind_has_one_name_and_one_number() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_number(kind.number()), Some(kind));
            let text = format!("s3:{}", kind.name());
            assert_eq!(EventType::parse(&text), Some(EventType::One(kind)));
            assert_eq!(EventType::One(kind).to_string(), text);
        }
        for text in
            ["s3:ObjectRestore:*", "ObjectCreated:Put", "s3:ObjectCreated:", "s3:ObjectCreated", "s3:*"]
        {
            assert_eq!(EventType::parse(text), None, "{text}");
        }
    }

    #[test]
    fn rules_that_one_event_could_match_are_refused_together() {
        let put = &["s3:ObjectCreated:Put"][..];
        let all = &["s3:ObjectCreated:*"][..];
        let removed = &["s3:ObjectRemoved:*"][..];
        let two = |one, two| check(&[one, two]);
        assert_eq!(two(rule("a", put, "", ""), rule("b", all, "", "")), Err(RuleError::OverlappingEvents));
        assert_eq!(two(rule("a", put, "", ""), rule("b", removed, "", "")), Ok(()));
        assert_eq!(two(rule("a", all, "x/", ""), rule("b", all, "y/", "")), Ok(()));
        assert_eq!(
            two(rule("a", all, "x", ""), rule("b", all, "x/y", "")),
            Err(RuleError::OverlappingFilters)
        );
        assert_eq!(two(rule("a", all, "x", ".jpg"), rule("b", all, "x", ".png")), Ok(()));
        assert_eq!(
            two(rule("a", all, "", ".jpg"), rule("b", all, "x", "jpg")),
            Err(RuleError::OverlappingFilters)
        );
        assert_eq!(
            check(&[rule("a", &["s3:ObjectCreated:*", "s3:ObjectCreated:Put"], "", "")]),
            Err(RuleError::OverlappingEvents)
        );
    }

    #[test]
    fn what_aws_refuses_is_refused() {
        let put = &["s3:ObjectCreated:Put"][..];
        let same = [rule("a", put, "", ""), rule("a", &["s3:ObjectRemoved:*"], "", "")];
        assert_eq!(check(&same), Err(RuleError::SameId { id: "a".into() }));
        assert_eq!(check(&[rule("a", &[], "", "")]), Err(RuleError::NoEvents { id: "a".into() }));
        assert!(matches!(check(&[rule(&"i".repeat(256), put, "", "")]), Err(RuleError::TooLong { .. })));
        let config = NotificationConfig { rules: vec![rule("a", put, "", "")] };
        assert!(matches!(config.check(|_| false), Err(RuleError::NoSuchTarget { .. })));
        let many: Vec<_> = (0..101).map(|n| rule(&format!("r{n}"), put, &format!("{n:03}/"), "")).collect();
        assert_eq!(check(&many), Err(RuleError::TooManyRules));
        assert_eq!(check(&many[..100]), Ok(()));
    }

    #[test]
    fn arns_name_webhooks_only() {
        for good in ["arn:strongroom:sqs::orders:webhook", "arn:minio:sqs:us-east-1:orders:webhook"] {
            let arn = TargetArn::parse(good).unwrap();
            assert_eq!((arn.id(), arn.as_str()), ("orders", good));
        }
        for bad in [
            "",
            "orders",
            "arn:aws:sqs:us-east-1:1234:queue",
            "arn:minio:sqs::orders:kafka",
            "arn:minio:sqs:::webhook",
            "arn:minio:sqs::or/ders:webhook",
            "arn:minio:sqs::orders:webhook:",
        ] {
            assert!(TargetArn::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn documents_come_back_and_nothing_else_does() {
        let config = NotificationConfig {
            rules: vec![
                rule("a", &["s3:ObjectCreated:*"], "in/", ""),
                rule("b", &["s3:ObjectTagging:Put"], "", ""),
            ],
        };
        let bytes = config.to_document();
        assert_eq!(NotificationConfig::from_document(&bytes), Ok(config));
        let text = String::from_utf8(bytes).unwrap();
        for bad in [
            text.replace("ObjectCreated:*", "ObjectEaten:*"),
            text.replace("\"suffix\"", "\"x\"").replace("\"prefix\"", "\"prefixes\""),
            text.replace("webhook", "kafka"),
            text.replace("\"id\":\"b\"", "\"id\":\"a\""),
        ] {
            assert_eq!(NotificationConfig::from_document(bad.as_bytes()), Err(RuleError::Document), "{bad}");
        }
    }
}
