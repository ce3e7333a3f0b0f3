//! Keys of rows, so that the order of their bytes is the order S3 lists in (`docs/spec/object-entry.md` §1–3).

use std::fmt;

use strongroom_seal::Random;

use crate::{BucketName, ObjectName, UploadId, VersionId};

/// The newest epoch of which no orphan is left; in the system group.
pub(crate) const BLOBS_SWEPT: &[u8] = b"blobs/swept";
/// The state of a bucket's group.
pub(crate) const STATE: &[u8] = b"s";

const BUCKETS: &[u8] = b"bucket/";
/// What the keys of documents begin with; in the system group.
pub(super) const DOCUMENTS: &[u8] = b"config/";

/// The tables of a bucket's group.
pub(crate) mod table {
    /// Heads of current versions.
    pub(crate) const HEAD: u8 = b'o';
    /// Heads of other versions.
    pub(crate) const VERSION: u8 = b'v';
    /// Where the null version of a name is, if it is not current.
    pub(crate) const NULL: u8 = b'z';
    /// Bodies.
    pub(crate) const BODY: u8 = b'c';
    /// Uploads.
    pub(crate) const UPLOAD: u8 = b'u';
    /// Parts of uploads.
    pub(crate) const PART: u8 = b'p';
    /// Owners of blobs.
    pub(crate) const OWNER: u8 = b'w';
    /// Blobs to remove.
    pub(crate) const GARBAGE: u8 = b'g';
    /// Events that wait for their targets (`docs/spec/events.md` §3).
    pub(crate) const EVENT: u8 = b'n';
}

/// What joins a head, its body, its object key and its blobs: random, made once per write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ContentId(pub(crate) [u8; 16]);

impl ContentId {
    pub(crate) fn generate(random: &dyn Random) -> Self {
        let mut id = [0; 16];
        random.fill(&mut id);
        Self(id)
    }
}

/// A blob file's name: the run of the store that wrote it, and random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BlobId {
    pub(crate) epoch: u32,
    pub(crate) id: [u8; 16],
}

impl BlobId {
    pub(crate) const LEN: usize = 20;

    pub(crate) fn generate(epoch: u32, random: &dyn Random) -> Self {
        let mut id = [0; 16];
        random.fill(&mut id);
        Self { epoch, id }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[4..].copy_from_slice(&self.id);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (epoch, id) = bytes.split_first_chunk::<4>().expect("twenty bytes have four");
        let mut out = Self { epoch: u32::from_be_bytes(*epoch), id: [0; 16] };
        out.id.copy_from_slice(id);
        out
    }

    /// The blob that an owner or garbage row's key names.
    pub(crate) fn of_key(key: &[u8]) -> Option<Self> {
        Some(Self::from_bytes(key.get(1..)?.try_into().ok()?))
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}/{}", self.epoch, hex::encode(self.id))
    }
}

/// The row of a bucket in the system group.
pub(crate) fn bucket(name: &BucketName) -> Vec<u8> {
    [BUCKETS, name.as_str().as_bytes()].concat()
}

/// The first key of bucket rows and the first past them.
pub(crate) fn system_buckets() -> (Vec<u8>, Vec<u8>) {
    (BUCKETS.to_vec(), end_of_prefix(BUCKETS))
}

/// The row of a current version's head.
pub(crate) fn head(name: &ObjectName) -> Vec<u8> {
    [&[table::HEAD], name.as_bytes()].concat()
}

/// The row of a head that is not current.
pub(crate) fn version(name: &ObjectName, order: u64, version: VersionId) -> Vec<u8> {
    let mut key = versions_of(name.as_bytes());
    // The newest first.
    key.extend_from_slice(&(!order).to_be_bytes());
    key.extend_from_slice(&version.to_bytes());
    key
}

/// What the rows of all versions of a name that are not current begin with.
pub(crate) fn versions_of(name: &[u8]) -> Vec<u8> {
    let mut key = shifted(table::VERSION, name);
    key.push(0);
    key
}

/// The row that says where the null version of a name is.
pub(crate) fn null_version(name: &ObjectName) -> Vec<u8> {
    [&[table::NULL], name.as_bytes()].concat()
}

/// The name, order and id that the key of a version's row has.
pub(crate) fn version_of_key(key: &[u8]) -> Option<(ObjectName, u64, VersionId)> {
    let (rest, id) = key.get(1..)?.split_last_chunk::<16>()?;
    let (name, order) = rest.split_last_chunk::<8>()?;
    Some((name_of_shifted(name)?, !u64::from_be_bytes(*order), VersionId::from_bytes(*id)))
}

/// The row of a body.
pub(crate) fn body(name: &ObjectName, content: &ContentId) -> Vec<u8> {
    let mut key = shifted(table::BODY, name.as_bytes());
    key.push(0);
    key.extend_from_slice(&content.0);
    key
}

/// The row of an upload.
pub(crate) fn upload(name: &ObjectName, upload: &UploadId) -> Vec<u8> {
    let mut key = uploads_of(name.as_bytes());
    key.extend_from_slice(&upload.0);
    key
}

/// What the rows of all uploads of a name begin with.
pub(crate) fn uploads_of(name: &[u8]) -> Vec<u8> {
    let mut key = shifted(table::UPLOAD, name);
    key.push(0);
    key
}

/// The row of a part.
pub(crate) fn part(upload: &UploadId, number: u16) -> Vec<u8> {
    let mut key = vec![table::PART];
    key.extend_from_slice(&upload.0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The row that says a blob is referred to.
pub(crate) fn owner(blob: &BlobId) -> Vec<u8> {
    [&[table::OWNER], blob.to_bytes().as_slice()].concat()
}

/// The row that says a blob is to be removed.
pub(crate) fn garbage(blob: &BlobId) -> Vec<u8> {
    [&[table::GARBAGE], blob.to_bytes().as_slice()].concat()
}

/// The name and id that the key of an upload's row has.
pub(crate) fn upload_of_key(key: &[u8]) -> Option<(ObjectName, UploadId)> {
    let (name, id) = key.get(1..)?.split_last_chunk::<24>()?;
    Some((name_of_shifted(name)?, UploadId(*id)))
}

/// The name and content id that the key of a body's row has.
pub(crate) fn body_of_key(key: &[u8]) -> Option<(ObjectName, ContentId)> {
    let (name, id) = key.get(1..)?.split_last_chunk::<16>()?;
    Some((name_of_shifted(name)?, ContentId(*id)))
}

fn name_of_shifted(shifted: &[u8]) -> Option<ObjectName> {
    let name = shifted.strip_suffix(&[0])?.iter().map(|byte| byte.wrapping_sub(1)).collect();
    ObjectName::parse(String::from_utf8(name).ok()?).ok()
}

/// How a table's keys hold names, for scans by prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// As they are.
    Plain(u8),
    /// Shifted.
    Shifted(u8),
}

impl Prefix {
    /// What the keys of all names that start with `name` begin with.
    pub(crate) fn of(self, name: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain(table) => [&[table], name].concat(),
            Self::Shifted(table) => shifted(table, name),
        }
    }
}

/// The least key past all keys that begin with `prefix`.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xFF {
            end.push(last + 1);
            return end;
        }
    }
    // Only for a prefix of nothing but ff, which no table has: past every key there is.
    vec![0xFF; strongroom_store::KEY_LEN_MAX]
}

/// A table and a name that something can follow: UTF-8 has no byte above f4, so each byte has a next one.
fn shifted(table: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 26);
    key.push(table);
    key.extend(name.iter().map(|byte| byte.wrapping_add(1)));
    key
}
