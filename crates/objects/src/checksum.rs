//! Checksums as S3 names, computes and combines them.
//!
//! AWS S3 User Guide, "Checking object integrity".

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::digest::Digests;

/// An algorithm of `x-amz-checksum-*`. The number is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32 = 1,
    /// CRC-32C (iSCSI).
    Crc32c = 2,
    /// CRC-64/NVME.
    Crc64Nvme = 3,
    /// SHA-1.
    Sha1 = 4,
    /// SHA-256.
    Sha256 = 5,
    /// SHA-512.
    Sha512 = 6,
    /// MD5, as a checksum beside the entity tag.
    Md5 = 7,
    /// XXH64 with seed 0.
    XxHash64 = 8,
    /// XXH3 with 64 bits and seed 0.
    XxHash3 = 9,
    /// XXH3 with 128 bits and seed 0.
    XxHash128 = 10,
}

impl ChecksumAlgorithm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// The algorithm of an on-disk number, if there is one.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| *algorithm as u8 == number)
    }

    /// How many bytes a value has.
    pub fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Whether a checksum of parts can be of the whole content: whether the values of parts can be put together to it.
    ///
    /// AWS S3 User Guide, "Checking object integrity for data uploads": full-object checksums of multipart uploads are those
    /// of CRC algorithms alone.
    pub fn covers_whole_uploads(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }

    /// Whether a checksum of parts can be made of theirs. CRC64NVME is always of the whole content.
    pub fn composes(self) -> bool {
        self != Self::Crc64Nvme
    }

    /// The name in S3's enumerations: `CRC32`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
        }
    }

    /// The algorithm with this name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }
}

/// What a checksum of an object with parts is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumKind {
    /// The whole content.
    FullObject,
    /// The parts' checksums, one after the other.
    Composite,
}

/// A checksum's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChecksumValue {
    algorithm: ChecksumAlgorithm,
    value: Vec<u8>,
}

impl ChecksumValue {
    /// The value, if it is as long as the algorithm's values are.
    pub fn new(algorithm: ChecksumAlgorithm, value: Vec<u8>) -> Option<Self> {
        (value.len() == algorithm.value_len()).then_some(Self { algorithm, value })
    }

    /// Reads the Base64 text of a header; `None` if it is not one or has the wrong length.
    pub fn parse(algorithm: ChecksumAlgorithm, text: &str) -> Option<Self> {
        Self::new(algorithm, STANDARD.decode(text).ok()?)
    }

    /// The checksum of bytes that are there.
    pub fn of(algorithm: ChecksumAlgorithm, pieces: &[Bytes]) -> Self {
        let mut digests = Digests::new(false, [algorithm]);
        digests.update_all(pieces);
        digests.finish().checksums.pop().expect("one was asked for")
    }

    /// The algorithm.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Display for ChecksumValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(&self.value))
    }
}

/// An object's checksum. `Display` gives the text of the header: Base64, and `-N` if it is composite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// The value.
    pub value: ChecksumValue,
    /// What it is of.
    pub kind: ChecksumKind,
    /// How many parts it is composed of; 0 if it is of the full object.
    pub parts: u16,
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)?;
        match self.kind {
            ChecksumKind::FullObject => Ok(()),
            ChecksumKind::Composite => write!(f, "-{}", self.parts),
        }
    }
}

/// A value that comes after the content, in a trailer.
pub type TrailerValue = Box<dyn FnOnce() -> Option<ChecksumValue> + Send>;

/// The checksums a write asks for.
#[derive(Default)]
pub struct ChecksumRequest {
    /// Values given beforehand; each is verified and stored.
    pub expected: Vec<ChecksumValue>,
    /// An algorithm named without a value: computed and stored.
    pub compute: Option<ChecksumAlgorithm>,
    /// An algorithm whose value follows the content; asked for once the content has ended. `None` from it means
    /// that the trailer is missing, which is a mismatch.
    pub trailer: Option<(ChecksumAlgorithm, TrailerValue)>,
}

impl fmt::Debug for ChecksumRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChecksumRequest")
            .field("expected", &self.expected)
            .field("compute", &self.compute)
            .field("trailer", &self.trailer.as_ref().map(|(algorithm, _)| algorithm))
            .finish()
    }
}
