//! Every purpose a key or a sealed thing can have, in one place.

/// What a key is derived for or a sealed thing is. The number is on disk; a retired one keeps its slot.
///
/// Each label names a version with its purpose, so a change of format is a new label and old bytes can never
/// be read as the new kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
#[non_exhaustive]
pub enum Label {
    /// Key and commitment of a sealed stream, v1.
    Stream = 1,
    /// Key and commitment of a sealed record, v1.
    Record = 2,
    /// The store's keyring key under the root key, v1.
    KeyringKeyWrap = 10,
    /// The keyring's body under the keyring key, v1.
    KeyringBody = 11,
    /// A group key under the root key, v1.
    GroupKeyWrap = 12,
    /// From a group key: the key of one log segment's frames of that group, v1.
    LogSegmentKey = 20,
    /// A log segment's header, v1.
    LogSegmentHeader = 21,
    /// A frame of the log, v1.
    LogFrame = 22,
    /// The durable mark beside the log, v1.
    LogMark = 23,
    /// A frame's header in the log, v1.
    LogFrameHead = 24,
    /// From a group key: the key of one page file, v1.
    PageFileKey = 30,
    /// A data page, v1.
    PageData = 31,
    /// A tag page, v1.
    PageTags = 32,
    /// A page file's root slot, v1.
    PageRoot = 33,
    /// Which pages of a page file were being moved to another key, v1.
    PageMoves = 34,
    /// From a group key: the key that wraps object keys (SSE-S3), v1.
    ObjectWrapKey = 40,
    /// An object key under a group's wrapping key (SSE-S3), v1.
    ObjectKeyByGroup = 41,
    /// An object key under a KMS data key (SSE-KMS), v1.
    ObjectKeyByKms = 42,
    /// An object key under a customer's key (SSE-C), v1.
    ObjectKeyByCustomer = 43,
    /// The salted verifier of a customer's key, v1.
    CustomerKeyVerifier = 44,
    /// One part's content, sealed as a stream, v1.
    PartContent = 45,
    /// A small object's content inside its entry, v1.
    InlineContent = 46,
    /// The outer layer of one part's content under DSSE-KMS, v1.
    PartContentOuter = 47,
    /// The outer layer of a small object's content under DSSE-KMS, v1.
    InlineContentOuter = 48,
    /// An object key under a bucket key (SSE-KMS with BucketKeyEnabled), v1.
    ObjectKeyByBucketKey = 49,
    /// A data key from a KMS for SSE-KMS, v1.
    KmsDataKey = 50,
    /// The local KMS's key file, v1.
    LocalKmsFile = 51,
    /// From a passphrase or key file: the key that opens the local KMS's key file, v1.
    LocalKmsUnlock = 52,
    /// A key wrapped by a key of the local KMS, v1.
    LocalKmsWrap = 53,
    /// The KMS health probe, v1.
    KmsProbe = 54,
    /// A data key from a KMS for the outer layer of DSSE-KMS, v1.
    KmsDataKeyOuter = 55,
    /// A bucket key from a KMS, v1.
    KmsBucketKey = 56,
    /// The key of the outer layer under its own KMS data key (DSSE-KMS), v1.
    ObjectKeyByKmsOuter = 57,
    /// Stored credentials, v1.
    Credentials = 60,
    /// Opaque tokens handed to clients (list continuation, upload ids), v1.
    ClientToken = 61,
    /// A secret in an identity's row, v1.
    IdentitySecret = 62,
    /// What a session token holds, and what ties it to the root's credentials, v1.
    SessionToken = 63,
    /// The salted verifier of a token for the REST API, v1.
    TokenVerifier = 64,
    /// A backup target's key under the root key, v1.
    BackupKeyWrap = 70,
    /// From a backup key: the key that seals chunks, v1.
    BackupChunkKey = 71,
    /// From a backup key: the key that seals manifests, v1.
    BackupManifestKey = 72,
    /// From a backup key: the key of the hash that names chunks, v1.
    BackupNameKey = 73,
    /// From a backup key: the key of the hash that says where chunks are cut, v1.
    BackupCutKey = 74,
    /// From a backup key: the key of the digests of copied files, v1.
    BackupFileKey = 75,
    /// A chunk of a backup, v1.
    BackupChunk = 76,
    /// A snapshot's manifest in a backup, v1.
    BackupManifest = 77,
}

impl Label {
    /// The on-disk number.
    pub fn number(self) -> u16 {
        self as u16
    }
}
