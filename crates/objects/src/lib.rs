//! Buckets, objects, multipart uploads, blobs and the choice of keys.
//!
//! What S3 calls a bucket is a group of the store: rows under a key of their own. An object is one row in it, its
//! *entry*, and its content is inside the entry if it is small, or in *blobs*: files that hold one sealed stream
//! each.
//!
//! ```text
//! put ─ content ─┬─ hashes ───────────────┐
//!                └─ seal ─ blob (fsynced) ─┴─ one command: entry + owner row − old entry + garbage rows
//! get ─ entry ─ unwrap the object key ─ read and open the chunks that cover the range
//! ```
//!
//! Formats: `docs/spec/object-entry.md`, `docs/spec/blobs.md`. Nothing here knows HTTP or XML.

#[cfg(test)]
// What tests outside of the crate use is used by those inside too.
extern crate self as strongroom_objects;

pub mod backup;
mod blobs;
mod bucket_key;
mod buckets;
mod checksum;
mod commit;
mod conditions;
mod content;
mod data_keys;
mod digest;
mod documents;
mod error;
pub mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hot;
mod key_names;
mod layers;
mod leases;
pub mod lifecycle;
mod locks;
mod measure;
mod meta;
mod names;
mod object_lock;
mod objects;
mod ops;
mod patient;
mod range;
mod receive;
pub mod request;
mod rewrap;
mod rows;
mod scan;
mod sse;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod sweep;
mod types;
mod uploads;
pub mod verify;
mod versions;
mod wraps;

pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumRequest, ChecksumValue, TrailerValue};
pub use content::{Content, ContentError, ObjectBody};
/// Inside [`ObjectError::Kms`]: who matches on that error needs no other crate for it.
pub use strongroom_kms::KmsError;

pub use data_keys::DataKeyOptions;
pub use documents::{DocumentKind, PublicAccessBlock};
pub use error::{Condition, DamagePlace, Damaged, ObjectError, TagFault, UploadSseFault};
pub use key_names::{kms_key_id, kms_key_region};
pub use names::{
    BucketName, BucketNameError, IdError, OBJECT_NAME_LEN_MAX, ObjectName, ObjectNameError, PART_NUMBER_MAX,
    PartNumber, UploadId, VersionId,
};
pub use object_lock::{
    DefaultRetention, ObjectLockConfig, RETENTION_DAYS_MAX, RETENTION_YEARS_MAX, RetentionPeriod,
};
pub use objects::{Objects, ObjectsOptions};
pub use ops::keys_of::KmsUse;
pub use patient::{PatientDisk, patiently};
pub use types::{
    BucketInfo, BucketSettings, Clock, DefaultEncryption, DeleteConditions, ETag, EntityTags, IfRange,
    LegalHold, ObjectMeta, ReadConditions, Retention, RetentionMode, SseApplied, SseRequest, SystemClock,
    SystemMeta, Tags, Timestamp, Versioning, WriteConditions,
};
