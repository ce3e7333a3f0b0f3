//! What objects carry: times, tags of entities, metadata, encryption, locks.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_seal::CustomerKey;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The whole seconds; HTTP dates carry no more.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// Where the time of writes comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// An entity tag. `Display` gives it without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ETag {
    /// MD5 of the content: single uploads under SSE-S3.
    Md5([u8; 16]),
    /// MD5 of the parts' MD5s and their count.
    Multipart {
        /// The digest.
        digest: [u8; 16],
        /// How many parts.
        parts: u16,
    },
    /// Random, so that it tells nothing of the content: SSE-KMS and SSE-C.
    Opaque([u8; 16]),
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Md5(digest) | Self::Opaque(digest) | Self::Multipart { digest, .. }) = self;
        let mut digits = [0; 32];
        hex::encode_to_slice(digest, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)?;
        match self {
            Self::Md5(_) | Self::Opaque(_) => Ok(()),
            Self::Multipart { parts, .. } => write!(f, "-{parts}"),
        }
    }
}

/// The entity tags of a condition, without quotes and `W/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: any object that exists.
    Any,
    /// One of these. A caller leaves weak tags out where the comparison is strong (If-Match).
    Tags(Vec<String>),
}

impl EntityTags {
    /// Whether `etag` is meant.
    pub fn matches(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => {
                let text = etag.to_string();
                tags.contains(&text)
            }
        }
    }
}

/// Conditions of a read (RFC 9110 §13).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadConditions {
    /// If-Match.
    pub if_match: Option<EntityTags>,
    /// If-None-Match.
    pub if_none_match: Option<EntityTags>,
    /// If-Modified-Since.
    pub if_modified_since: Option<Timestamp>,
    /// If-Unmodified-Since.
    pub if_unmodified_since: Option<Timestamp>,
    /// If-Range: a range is answered only of the object that the client has the beginning of.
    pub if_range: Option<IfRange>,
}

/// What a client that goes on with a download says of the object it began with (RFC 9110 §13.1.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfRange {
    /// It has this tag. A weak tag never matches, so there is none of those.
    Tag(String),
    /// It has exactly this date.
    Date(Timestamp),
    /// What cannot be read or compared, which matches nothing.
    Never,
}

/// Conditions of a write (AWS S3 User Guide, "Conditional writes").
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteConditions {
    /// The current object has one of these tags.
    pub if_match: Option<EntityTags>,
    /// No current object has one of these tags; with `*`: there is none.
    pub if_none_match: Option<EntityTags>,
}

/// Conditions of a delete (AWS S3 User Guide, "How to perform conditional deletes"). They are about the current version,
/// also if the delete names another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteConditions {
    /// The current object has one of these tags.
    pub if_match: Option<EntityTags>,
    /// The current object, if there is one, has this many bytes.
    pub if_size: Option<u64>,
    /// The current object, if there is one, was written in this second.
    pub if_modified_at: Option<Timestamp>,
    /// Whether retention in governance mode does not bind the one who asks.
    pub bypass_governance: bool,
}

/// System metadata: stored and returned as given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemMeta {
    /// Content-Type.
    pub content_type: Option<String>,
    /// Content-Encoding, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// Content-Language.
    pub content_language: Option<String>,
    /// Content-Disposition.
    pub content_disposition: Option<String>,
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Expires, as the client wrote it.
    pub expires: Option<String>,
    /// x-amz-website-redirect-location.
    pub website_redirect: Option<String>,
    /// x-amz-storage-class; `None` is STANDARD.
    pub storage_class: Option<String>,
}

/// An object's tags: at most ten, names unique.
pub type Tags = Vec<(String, String)>;

/// Everything a client says about an object that is not its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectMeta {
    /// The headers that S3 knows.
    pub system: SystemMeta,
    /// `x-amz-meta-*`, names without the prefix and in lower case. At most 2 KiB in all.
    pub user: Vec<(String, String)>,
    /// The tags.
    pub tags: Tags,
    /// Retention, if any.
    pub retention: Option<Retention>,
    /// The legal hold; `None` if there never was one.
    pub legal_hold: Option<LegalHold>,
}

/// What was last said of a version's legal hold. One that never was is not one that was taken off: S3 answers the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegalHold {
    /// The version must stay.
    On,
    /// The hold was taken off, or the version was written without it by name.
    Off,
}

/// How a retention can be shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionMode {
    /// By those with a special permission.
    Governance,
    /// By nobody.
    Compliance,
}

/// Until when a version must stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How strict.
    pub mode: RetentionMode,
    /// Until when.
    pub until: Timestamp,
}

/// The encryption a write asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SseRequest {
    /// The bucket's default.
    #[default]
    Default,
    /// SSE-S3: the object key is wrapped by the bucket's group key.
    S3,
    /// SSE-KMS: the object key is wrapped by a data key of the KMS.
    Kms {
        /// Which key; `None` is the provider's default key.
        key_id: Option<String>,
        /// The client's encryption context: JSON text, as decoded from the header.
        context: Option<String>,
        /// Whether a bucket key wraps the object key; `None` is the bucket's setting.
        bucket_key: Option<bool>,
    },
    /// DSSE-KMS: two layers, each under an object key of its own, each wrapped by a data key of its own.
    Dsse {
        /// Which key; `None` is the provider's default key.
        key_id: Option<String>,
        /// The client's encryption context.
        context: Option<String>,
    },
    /// SSE-C: the object key is wrapped by the client's key.
    Customer(CustomerKey),
}

/// The encryption an object has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseApplied {
    /// SSE-S3.
    S3,
    /// SSE-KMS.
    Kms {
        /// The KMS key's id.
        key_id: String,
        /// The client's encryption context.
        context: Option<String>,
        /// Whether a bucket key wraps the object key.
        bucket_key: bool,
    },
    /// DSSE-KMS.
    Dsse {
        /// The KMS key's id.
        key_id: String,
        /// The client's encryption context.
        context: Option<String>,
    },
    /// SSE-C.
    Customer {
        /// MD5 of the client's key, to echo. Computed from the request; it is not stored. `None` where the
        /// request carried no key (listing, completion).
        key_md5: Option<[u8; 16]>,
    },
}

/// What a bucket does for writes that ask for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DefaultEncryption {
    /// SSE-S3, as every new bucket.
    #[default]
    S3,
    /// SSE-S3, and somebody said so.
    S3Set {
        /// BucketKeyEnabled: for writes that ask for SSE-KMS.
        bucket_key: bool,
    },
    /// SSE-KMS.
    Kms {
        /// Which key; `None` is the provider's default key.
        key_id: Option<String>,
        /// BucketKeyEnabled.
        bucket_key: bool,
    },
    /// DSSE-KMS.
    Dsse {
        /// Which key; `None` is the provider's default key.
        key_id: Option<String>,
        /// BucketKeyEnabled: for writes that ask for SSE-KMS. DSSE-KMS has no bucket keys.
        bucket_key: bool,
    },
}

impl DefaultEncryption {
    /// BucketKeyEnabled.
    pub fn bucket_key(&self) -> bool {
        match self {
            Self::S3 => false,
            Self::S3Set { bucket_key } | Self::Kms { bucket_key, .. } | Self::Dsse { bucket_key, .. } => {
                *bucket_key
            }
        }
    }

    /// Whether somebody set it, to whatever: then a copy of an object onto itself may change nothing else.
    pub fn is_set(&self) -> bool {
        *self != Self::S3
    }
}

/// A bucket's versioning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versioning {
    /// Never switched on.
    #[default]
    Off,
    /// Each write makes a version.
    Enabled,
    /// Writes replace the null version; versions made before stay.
    Suspended,
}

/// What is set on a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketSettings {
    /// Versioning.
    pub versioning: Versioning,
    /// Default encryption.
    pub encryption: DefaultEncryption,
    /// Whether writes with SSE-C are refused.
    pub customer_keys_blocked: bool,
    /// Whether it was said that nothing is refused, rather than nothing said. Only answers differ, and nothing if keys are blocked.
    pub nothing_blocked: bool,
}

/// A bucket as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// The name.
    pub name: crate::BucketName,
    /// When it was made.
    pub created: Timestamp,
    /// Who owns it.
    pub owner: String,
    /// What is set on it.
    pub settings: BucketSettings,
}
