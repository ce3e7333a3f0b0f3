//! What operations are asked, and what they answer.

mod copy;

use strongroom_seal::CustomerKey;

use crate::{
    BucketName, Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumRequest, ChecksumValue, Content,
    DeleteConditions, ETag, ObjectBody, ObjectMeta, ObjectName, PartNumber, ReadConditions, SseApplied,
    SseRequest, Tags, Timestamp, UploadId, VersionId, WriteConditions,
};

pub use self::copy::{CopyRequest, CopyResult, CopySource, Directive, NotCopied, ToCopy};

/// A new bucket.
#[derive(Debug, Clone)]
pub struct CreateBucket {
    /// Who will own it.
    pub owner: String,
    /// What is set on it.
    pub settings: crate::BucketSettings,
}

/// A page of buckets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketListing {
    /// The buckets, by name.
    pub buckets: Vec<crate::BucketInfo>,
    /// The last name of this page, if more follow.
    pub next: Option<String>,
}

/// An object to store.
#[derive(Debug)]
pub struct PutRequest {
    /// Where.
    pub bucket: BucketName,
    /// Under which name.
    pub name: ObjectName,
    /// The bytes.
    pub content: Content,
    /// What goes with them.
    pub meta: ObjectMeta,
    /// How they are encrypted.
    pub sse: SseRequest,
    /// What must hold for the write to happen.
    pub conditions: WriteConditions,
    /// The checksums to verify and store.
    pub checksums: ChecksumRequest,
    /// Content-MD5.
    pub content_md5: Option<[u8; 16]>,
}

/// An object that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutResult {
    /// The entity tag.
    pub etag: ETag,
    /// The version; `None` in a bucket that never had versions.
    pub version: Option<VersionId>,
    /// The stored checksums.
    pub checksums: Vec<Checksum>,
    /// The encryption.
    pub sse: SseApplied,
    /// The size in bytes.
    pub size: u64,
    /// The time of the write.
    pub mtime: Timestamp,
    /// The tags, those that a copy took from its source or an upload began with as well.
    pub tags: Tags,
}

/// The bytes a read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeRequest {
    /// `bytes=first-` or `bytes=first-last`, both inclusive.
    From {
        /// The first byte.
        first: u64,
        /// The last byte; `None` is the object's last.
        last: Option<u64>,
    },
    /// `bytes=-count`: the last `count` bytes.
    Suffix(u64),
}

/// The bytes an answer has, both ends inclusive (Content-Range).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
    /// The size of the object in bytes.
    pub total: u64,
}

/// An object to read, or only to describe ([`crate::Objects::head`]).
#[derive(Debug, Clone)]
pub struct GetRequest {
    /// Where.
    pub bucket: BucketName,
    /// Its name.
    pub name: ObjectName,
    /// Which version; `None` is the current one.
    pub version: Option<VersionId>,
    /// Only this part.
    pub part: Option<PartNumber>,
    /// Only these bytes. Ignored if `part` is given.
    pub range: Option<RangeRequest>,
    /// What must hold.
    pub conditions: ReadConditions,
    /// The customer's key, for objects under SSE-C.
    pub customer_key: Option<CustomerKey>,
}

impl GetRequest {
    /// The whole current object without conditions.
    pub fn new(bucket: BucketName, name: ObjectName) -> Self {
        Self {
            bucket,
            name,
            version: None,
            part: None,
            range: None,
            conditions: ReadConditions::default(),
            customer_key: None,
        }
    }
}

/// What is known of an object without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The version; `None` in a bucket that never had versions.
    pub version: Option<VersionId>,
    /// The size in bytes.
    pub size: u64,
    /// The time of the write.
    pub mtime: Timestamp,
    /// The entity tag.
    pub etag: ETag,
    /// Metadata, tags, locks.
    pub meta: ObjectMeta,
    /// The stored checksums.
    pub checksums: Vec<Checksum>,
    /// The encryption.
    pub sse: SseApplied,
    /// How many parts it was uploaded in; `None` if in one piece.
    pub parts: Option<u16>,
    /// The checksum of the part that was asked for, if it has one of its own.
    pub part_checksum: Option<ChecksumValue>,
}

/// A description and the content it goes with.
#[derive(Debug)]
pub struct GetResult {
    /// The description.
    pub info: ObjectInfo,
    /// Which bytes, if not all were asked for (206).
    pub range: Option<ContentRange>,
    /// The bytes. Its `length()` is Content-Length.
    pub body: ObjectBody,
}

/// What a get would answer, without the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadResult {
    /// The description.
    pub info: ObjectInfo,
    /// Which bytes, if not all were asked for (206).
    pub range: Option<ContentRange>,
    /// Content-Length.
    pub length: u64,
}

/// An object to delete.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// Where.
    pub bucket: BucketName,
    /// Its name.
    pub name: ObjectName,
    /// Which version; `None` is the current one, which a delete marker hides if the bucket has versions.
    pub version: Option<VersionId>,
    /// What must hold.
    pub conditions: DeleteConditions,
}

impl DeleteRequest {
    /// The current object without conditions.
    pub fn new(bucket: BucketName, name: ObjectName) -> Self {
        Self { bucket, name, version: None, conditions: DeleteConditions::default() }
    }
}

/// One of many objects to delete.
#[derive(Debug, Clone)]
pub struct DeleteItem {
    /// Its name.
    pub name: ObjectName,
    /// Which version; `None` is the current one.
    pub version: Option<VersionId>,
    /// What must hold.
    pub conditions: DeleteConditions,
}

/// What a delete did. Deleting what is not there is a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeleteResult {
    /// The version that was removed or the delete marker that was made; `None` in unversioned buckets.
    pub version: Option<VersionId>,
    /// Whether that version is a delete marker.
    pub delete_marker: bool,
}

/// Which objects to list.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// Where.
    pub bucket: BucketName,
    /// Only names that start with this.
    pub prefix: String,
    /// Names that share what is before the first of this after the prefix are one common prefix. Not empty.
    pub delimiter: Option<String>,
    /// Only names after this one: `start-after`, `marker`, or [`Listing::next`] of the page before. If it is a
    /// common prefix of this listing (it ends with the delimiter), all names under it are passed over too.
    pub after: Option<String>,
    /// How many objects and common prefixes at most, 0 to 1000; more are cut to 1000.
    pub max: u32,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The name.
    pub name: ObjectName,
    /// The version.
    pub version: VersionId,
    /// The size in bytes.
    pub size: u64,
    /// The time of the write.
    pub mtime: Timestamp,
    /// The entity tag.
    pub etag: ETag,
    /// The storage class; `None` is STANDARD.
    pub storage_class: Option<String>,
    /// The algorithms and kind of its checksums.
    pub checksums: Vec<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The objects, by name.
    pub objects: Vec<ListedObject>,
    /// The common prefixes, by name.
    pub common_prefixes: Vec<String>,
    /// Whether more follow.
    pub truncated: bool,
    /// The last name or common prefix of this page, if more follow: [`ListRequest::after`] of the next one.
    pub next: Option<String>,
}

/// Which versions to list.
#[derive(Debug, Clone)]
pub struct ListVersions {
    /// Where.
    pub bucket: BucketName,
    /// Only names that start with this.
    pub prefix: String,
    /// As in [`ListRequest::delimiter`].
    pub delimiter: Option<String>,
    /// `key-marker`: only names after this one. As in [`ListRequest::after`].
    pub name_after: Option<String>,
    /// `version-id-marker`: with a name, versions of that name that are older than this one count too.
    pub version_after: Option<VersionId>,
    /// How many versions and common prefixes at most, up to 1000.
    pub max: u32,
}

/// A version in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// The name.
    pub name: ObjectName,
    /// The version.
    pub version: VersionId,
    /// The time of the write.
    pub mtime: Timestamp,
    /// Whether it is the current one.
    pub latest: bool,
    /// What is shown of the object; `None` of a delete marker.
    pub object: Option<ListedObject>,
}

/// A page of versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionListing {
    /// The versions and delete markers, by name, then by age, newest first.
    pub versions: Vec<ListedVersion>,
    /// The common prefixes, by name.
    pub common_prefixes: Vec<String>,
    /// Whether more follow.
    pub truncated: bool,
    /// `NextKeyMarker`, if more follow.
    pub next_name: Option<String>,
    /// `NextVersionIdMarker`, if more follow and the page does not end with a common prefix.
    pub next_version: Option<VersionId>,
}

/// A multipart upload to begin.
#[derive(Debug)]
pub struct CreateUpload {
    /// Where.
    pub bucket: BucketName,
    /// Under which name.
    pub name: ObjectName,
    /// What goes with the object.
    pub meta: ObjectMeta,
    /// How it is encrypted.
    pub sse: SseRequest,
    /// The checksum algorithm of the parts and its kind.
    pub checksum: Option<(ChecksumAlgorithm, Option<ChecksumKind>)>,
}

/// An upload that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadCreated {
    /// Its id.
    pub upload: UploadId,
    /// The encryption.
    pub sse: SseApplied,
    /// The checksum of its parts and object.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A part to store.
#[derive(Debug)]
pub struct PutPart {
    /// Where.
    pub bucket: BucketName,
    /// The object's name.
    pub name: ObjectName,
    /// The upload.
    pub upload: UploadId,
    /// The part. One that is already there is replaced.
    pub part: PartNumber,
    /// The bytes.
    pub content: Content,
    /// The checksums to verify and store.
    pub checksums: ChecksumRequest,
    /// Content-MD5.
    pub content_md5: Option<[u8; 16]>,
    /// The customer's key, if the upload is under SSE-C.
    pub customer_key: Option<CustomerKey>,
}

/// A part that is a copy.
#[derive(Debug)]
pub struct CopyPart {
    /// What.
    pub source: CopySource,
    /// Which bytes of it, both ends inclusive; `None` is all.
    pub range: Option<(u64, u64)>,
    /// Where to.
    pub bucket: BucketName,
    /// The object's name.
    pub name: ObjectName,
    /// The upload.
    pub upload: UploadId,
    /// The part.
    pub part: PartNumber,
    /// The customer's key of the target, if the upload is under SSE-C.
    pub customer_key: Option<CustomerKey>,
}

/// A part that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartStored {
    /// Its entity tag.
    pub etag: ETag,
    /// Its checksum.
    pub checksum: Option<ChecksumValue>,
    /// The encryption.
    pub sse: SseApplied,
    /// Its size in bytes.
    pub size: u64,
    /// The time of the write.
    pub mtime: Timestamp,
    /// The source's version, if it is a copy.
    pub source_version: Option<VersionId>,
}

/// A part as a completion names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// The part.
    pub part: PartNumber,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// Its checksum, if given.
    pub checksum: Option<ChecksumValue>,
}

/// An upload to complete.
#[derive(Debug)]
pub struct CompleteUpload {
    /// Where.
    pub bucket: BucketName,
    /// The object's name.
    pub name: ObjectName,
    /// The upload.
    pub upload: UploadId,
    /// The parts of the object, in ascending order.
    pub parts: Vec<CompletedPart>,
    /// What must hold of the target.
    pub conditions: WriteConditions,
    /// The checksum of the whole object, if given: full-object, or composite (without `-N`).
    pub checksum: Option<ChecksumValue>,
    /// The kind of checksum that the request names.
    pub checksum_kind: Option<ChecksumKind>,
    /// `x-amz-mp-object-size`.
    pub size: Option<u64>,
    /// The customer's key, if the request carries one. Not needed: completion opens nothing.
    pub customer_key: Option<CustomerKey>,
}

/// Which parts of an upload to list.
#[derive(Debug, Clone)]
pub struct ListParts {
    /// Where.
    pub bucket: BucketName,
    /// The object's name.
    pub name: ObjectName,
    /// The upload.
    pub upload: UploadId,
    /// Only parts after this number.
    pub after: u16,
    /// How many at most, up to 1000.
    pub max: u32,
}

/// A part in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// Its number.
    pub part: PartNumber,
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// The time of the write.
    pub mtime: Timestamp,
    /// Its checksum.
    pub checksum: Option<ChecksumValue>,
}

/// A page of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartListing {
    /// The parts, by number.
    pub parts: Vec<ListedPart>,
    /// Whether more follow.
    pub truncated: bool,
    /// The last number of this page; 0 if it is empty.
    pub next: u16,
    /// The upload's checksum.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// The upload's encryption.
    pub sse: SseApplied,
    /// The upload's storage class; `None` is STANDARD.
    pub storage_class: Option<String>,
}

/// Which uploads to list.
#[derive(Debug, Clone)]
pub struct ListUploads {
    /// Where.
    pub bucket: BucketName,
    /// Only names that start with this.
    pub prefix: String,
    /// As in [`ListRequest::delimiter`].
    pub delimiter: Option<String>,
    /// `key-marker`.
    pub name_after: Option<String>,
    /// `upload-id-marker`: with a name, uploads of that name after this one count too.
    pub upload_after: Option<UploadId>,
    /// How many at most, up to 1000.
    pub max: u32,
}

/// An upload in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// The object's name.
    pub name: ObjectName,
    /// Its id.
    pub upload: UploadId,
    /// When it began.
    pub begun: Timestamp,
    /// The storage class; `None` is STANDARD.
    pub storage_class: Option<String>,
    /// The checksum of its parts and object.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A page of uploads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadListing {
    /// The uploads, by name, then by age, oldest first.
    pub uploads: Vec<ListedUpload>,
    /// The common prefixes, by name.
    pub common_prefixes: Vec<String>,
    /// Whether more follow.
    pub truncated: bool,
    /// `NextKeyMarker`, if more follow.
    pub next_name: Option<String>,
    /// `NextUploadIdMarker`, if more follow and the page does not end with a common prefix.
    pub next_upload: Option<UploadId>,
}

/// What GetObjectAttributes answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The description.
    pub info: ObjectInfo,
    /// The parts of objects that were uploaded in parts: number, size in bytes, checksum.
    pub parts: Vec<(PartNumber, u64, Option<ChecksumValue>)>,
}

/// An object's tags and the version they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTags {
    /// The tags.
    pub tags: Tags,
    /// The version; `None` in a bucket that never had versions.
    pub version: Option<VersionId>,
}
