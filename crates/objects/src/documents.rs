//! Documents of buckets: settings that have a text of their own, each one row of the system group
//! (`docs/spec/object-entry.md` §2).
//!
//! All of them are in memory, in the bucket they belong to, so that asking takes no reading. What a document says is
//! read at most once: whoever interprets it keeps the outcome in its slot.

mod public_access;
mod tagging;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use strongroom_store::{Check, Command, GroupId, Write};

use crate::buckets::Bucket;
use crate::events::AuditKind;
use crate::measure::counted;
use crate::objects::{Objects, carried_out};
use crate::rows;
use crate::{BucketName, Condition, ObjectError};

pub use public_access::PublicAccessBlock;
pub(crate) use tagging::documents as tagged;
#[cfg(feature = "fuzzing")]
pub(crate) use tagging::{read_tags, tag_seeds};

/// What a document of a bucket is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DocumentKind {
    /// The bucket policy: the client's JSON.
    Policy,
    /// The public access block.
    PublicAccessBlock,
    /// Ownership controls.
    OwnershipControls,
    /// Cross-origin rules.
    Cors,
    /// Tags of the bucket.
    Tagging,
    /// Lifecycle rules.
    Lifecycle,
    /// Event notifications.
    Notification,
    /// Object lock and its default retention.
    ObjectLock,
}

impl DocumentKind {
    /// All kinds, by number.
    pub const ALL: [Self; 8] = [
        Self::Policy,
        Self::PublicAccessBlock,
        Self::OwnershipControls,
        Self::Cors,
        Self::Tagging,
        Self::Lifecycle,
        Self::Notification,
        Self::ObjectLock,
    ];

    /// The number in the row's key.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Policy => 1,
            Self::PublicAccessBlock => 2,
            Self::OwnershipControls => 3,
            Self::Cors => 4,
            Self::Tagging => 5,
            Self::Lifecycle => 6,
            Self::Notification => 7,
            Self::ObjectLock => 8,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The longest document of this kind, in bytes.
    pub fn len_max(self) -> usize {
        match self {
            // AWS's own limit.
            Self::Policy => 20 * 1024,
            Self::PublicAccessBlock | Self::OwnershipControls | Self::ObjectLock => 1024,
            // 100 rules; AWS takes 64 KB of XML, which is longer than the same in JSON unless all of it is escaped.
            Self::Cors => 256 * 1024,
            // 50 tags of 128 and 256 characters, four bytes each, are 75 KiB.
            Self::Tagging => 128 * 1024,
            // 1,000 rules of half a KiB, which no row could hold much more of.
            Self::Lifecycle => 512 * 1024,
            // 100 rules with two filters of a name's length.
            Self::Notification => 384 * 1024,
        }
    }

    /// What errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::PublicAccessBlock => "public access block",
            Self::OwnershipControls => "ownership controls",
            Self::Cors => "cross-origin configuration",
            Self::Tagging => "tags",
            Self::Lifecycle => "lifecycle configuration",
            Self::Notification => "notification configuration",
            Self::ObjectLock => "object lock configuration",
        }
    }
}

/// What a reader made of a document, or that it could not.
type Parsed = Option<Arc<dyn Any + Send + Sync>>;

/// One document and what was made of it.
pub(crate) struct Document {
    bytes: Arc<[u8]>,
    parsed: OnceLock<Parsed>,
}

impl Document {
    fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), parsed: OnceLock::new() }
    }

    /// SHA-256 of the bytes, in hexadecimal.
    fn tag(&self) -> String {
        hex::encode(Sha256::digest(&self.bytes))
    }

    /// What `parse` makes of the bytes, asked once. Whoever asks for another type than the first gets it every time
    /// anew.
    fn parsed<T: Send + Sync + 'static>(&self, parse: impl Fn(&[u8]) -> Option<T>) -> Option<Arc<T>> {
        let once = self.parsed.get_or_init(|| {
            parse(&self.bytes).map(|parsed| -> Arc<dyn Any + Send + Sync> { Arc::new(parsed) })
        });
        let once = once.as_ref()?;
        Arc::clone(once).downcast().ok().or_else(|| parse(&self.bytes).map(Arc::new))
    }
}

/// All documents of one bucket. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Documents([Option<Arc<Document>>; DocumentKind::ALL.len()]);

impl Documents {
    fn at(kind: DocumentKind) -> usize {
        usize::from(kind.number()) - 1
    }

    /// The bytes of the document of this kind.
    pub(crate) fn bytes(&self, kind: DocumentKind) -> Option<Arc<[u8]>> {
        self.get(kind).map(|document| Arc::clone(&document.bytes))
    }

    fn get(&self, kind: DocumentKind) -> Option<&Arc<Document>> {
        self.0[Self::at(kind)].as_ref()
    }

    /// Puts a document in, or takes one out.
    pub(crate) fn set(&mut self, kind: DocumentKind, bytes: Option<&[u8]>) {
        self.0[Self::at(kind)] = bytes.map(|bytes| Arc::new(Document::new(bytes)));
    }

    /// The writes that put all of them in their rows.
    pub(crate) fn writes(&self, group: GroupId) -> Vec<Write> {
        let documents = self.kinds().filter_map(|kind| Some((kind, self.get(kind)?)));
        let put = |(kind, document): (DocumentKind, &Arc<Document>)| Write::Put {
            key: rows::document_key(kind, group),
            value: rows::encode_document(&document.bytes),
        };
        documents.map(put).collect()
    }

    /// The kinds that are there.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = DocumentKind> {
        DocumentKind::ALL.into_iter().filter(|kind| self.get(*kind).is_some())
    }

    /// The JSON document of this kind; `None` if there is none.
    pub(crate) fn json<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        kind: DocumentKind,
    ) -> Result<Option<Arc<T>>, ObjectError> {
        self.parsed(kind, |bytes| serde_json::from_slice(bytes).ok())
    }

    fn parsed<T: Send + Sync + 'static>(
        &self,
        kind: DocumentKind,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Arc<T>>, ObjectError> {
        let Some(document) = self.get(kind) else { return Ok(None) };
        document.parsed(parse).map(Some).ok_or(ObjectError::DamagedRow { table: kind.name() })
    }
}

impl PartialEq for Documents {
    fn eq(&self, other: &Self) -> bool {
        DocumentKind::ALL.into_iter().all(|kind| self.bytes(kind) == other.bytes(kind))
    }
}

impl Eq for Documents {}

impl fmt::Debug for Documents {
    /// Which there are. What they say may name objects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds()).finish()
    }
}

impl Objects {
    /// A document of a bucket; `None` if it has none of this kind. Reads nothing.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn bucket_document(
        &self,
        bucket: &BucketName,
        kind: DocumentKind,
    ) -> Result<Option<Arc<[u8]>>, ObjectError> {
        Ok(self.0.bucket(bucket)?.documents.bytes(kind))
    }

    /// The entity tag of a document: SHA-256 of its bytes in hexadecimal.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`].
    pub fn bucket_document_tag(
        &self,
        bucket: &BucketName,
        kind: DocumentKind,
    ) -> Result<Option<String>, ObjectError> {
        Ok(self.0.bucket(bucket)?.documents.get(kind).map(|document| document.tag()))
    }

    /// What a document says, read by `parse`. The first answer is kept with the document, so `parse` has to be the same
    /// for all callers who ask for the same kind.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`]; [`ObjectError::DamagedRow`] if `parse` cannot read it.
    pub fn bucket_document_parsed<T: Send + Sync + 'static>(
        &self,
        bucket: &BucketName,
        kind: DocumentKind,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Arc<T>>, ObjectError> {
        self.0.bucket(bucket)?.documents.parsed(kind, parse)
    }

    /// What a document says that is JSON: [`Self::bucket_document_parsed`].
    ///
    /// # Errors
    /// The same.
    pub fn bucket_document_json<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        bucket: &BucketName,
        kind: DocumentKind,
    ) -> Result<Option<Arc<T>>, ObjectError> {
        self.0.bucket(bucket)?.documents.json(kind)
    }

    /// Puts a document in place of the one that is there, or removes it. Durable when it returns.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], [`ObjectError::DocumentTooLong`].
    pub async fn set_bucket_document(
        &self,
        bucket: &BucketName,
        kind: DocumentKind,
        bytes: Option<Vec<u8>>,
    ) -> Result<(), ObjectError> {
        self.set_bucket_document_if(bucket, kind, bytes, |_| true).await
    }

    /// [`Self::set_bucket_document`] if `holds` says so of the entity tag of the document that is there.
    ///
    /// # Errors
    /// Also [`ObjectError::PreconditionFailed`].
    pub async fn set_bucket_document_if(
        &self,
        bucket: &BucketName,
        kind: DocumentKind,
        bytes: Option<Vec<u8>>,
        holds: impl FnOnce(Option<&str>) -> bool + Send + 'static,
    ) -> Result<(), ObjectError> {
        counted("set_bucket_document", async {
            if let Some(size) = bytes.as_ref().map(Vec::len)
                && !(1..=kind.len_max()).contains(&size)
            {
                return Err(ObjectError::DocumentTooLong { kind, size, most: kind.len_max() });
            }
            let (this, bucket) = (self.clone(), bucket.clone());
            carried_out(async move {
                let _changing = this.0.buckets.changing().await;
                let bucket = this.0.bucket(&bucket)?;
                let there = bucket.documents.get(kind);
                if !holds(there.map(|document| document.tag()).as_deref()) {
                    return Err(ObjectError::PreconditionFailed { condition: Condition::IfMatch });
                }
                if there.map(|document| &*document.bytes) == bytes.as_deref() {
                    return Ok(());
                }
                this.replace_document(&bucket, kind, bytes).await
            })
            .await
        })
        .await
    }

    pub(crate) async fn replace_document(
        &self,
        bucket: &Arc<Bucket>,
        kind: DocumentKind,
        bytes: Option<Vec<u8>>,
    ) -> Result<(), ObjectError> {
        let mut changed = (**bucket).clone();
        changed.documents.set(kind, bytes.as_deref());
        let key = rows::document_key(kind, bucket.group);
        let same = match bucket.documents.get(kind) {
            Some(document) => {
                Check::Equals { key: key.clone(), value: rows::encode_document(&document.bytes) }
            }
            None => Check::Absent { key: key.clone() },
        };
        let write = match bytes {
            Some(bytes) => Write::Put { key, value: rows::encode_document(&bytes) },
            None => Write::Delete { key },
        };
        let command = Command {
            group: GroupId::SYSTEM,
            // The bucket's own row as well: a document must not come to a bucket that is gone.
            checks: vec![bucket.row_is_the_same(), same],
            writes: vec![write],
        };
        self.commit_audited(bucket, command, AuditKind::BucketSettingsChanged, kind.name()).await?;
        self.0.buckets.set(&Arc::new(changed));
        Ok(())
    }
}

/// The bytes of a document that is JSON.
pub(crate) fn to_json<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("text, numbers and lists of them have a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_number_and_a_place_of_its_own() {
        for (at, kind) in DocumentKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.number()), at + 1);
            assert_eq!(DocumentKind::of_number(kind.number()), Some(kind));
            assert!(kind.len_max() < strongroom_store::VALUE_LEN_MAX, "{kind:?}");
        }
        assert_eq!(DocumentKind::of_number(0), None);
        assert_eq!(DocumentKind::of_number(9), None);
    }

    #[test]
    fn a_document_is_read_once_and_only_by_its_reader_kept() {
        let mut documents = Documents::default();
        documents.set(DocumentKind::Cors, Some(b"7"));
        let first: Arc<u32> = documents.json(DocumentKind::Cors).unwrap().unwrap();
        let again: Arc<u32> = documents.json(DocumentKind::Cors).unwrap().unwrap();
        assert!(*first == 7 && Arc::ptr_eq(&first, &again));
        let other: Arc<f64> = documents.json(DocumentKind::Cors).unwrap().unwrap();
        assert!((*other - 7.0).abs() < f64::EPSILON);
        documents.set(DocumentKind::Cors, Some(b"not JSON"));
        let broken = documents.json::<u32>(DocumentKind::Cors);
        assert!(matches!(broken, Err(ObjectError::DamagedRow { .. })));
        documents.set(DocumentKind::Cors, None);
        assert!(documents.json::<u32>(DocumentKind::Cors).unwrap().is_none());
    }
}
