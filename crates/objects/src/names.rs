//! Names of stored things, each parsed once and right from then on.

use std::fmt;
use std::num::NonZeroU16;

use strongroom_seal::Random;

use crate::Timestamp;

/// The longest object name in bytes of UTF-8 (AWS S3 User Guide, "Naming Amazon S3 objects").
pub const OBJECT_NAME_LEN_MAX: usize = 1024;
/// The highest part number (AWS S3 User Guide, "Amazon S3 multipart upload limits").
pub const PART_NUMBER_MAX: u16 = 10_000;

/// A bucket's name: 3 to 63 of `a-z 0-9 . -`, starting and ending with a letter or digit, no two dots in a row,
/// not formatted as an IPv4 address, and none of the prefixes and suffixes that AWS reserves (AWS S3 User
/// Guide, "General purpose bucket naming rules").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(String);

/// Why text is not a bucket name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BucketNameError {
    /// Shorter than 3 or longer than 63 bytes.
    #[error("a bucket name has 3 to 63 characters, not {0}")]
    Length(usize),
    /// A character that a name cannot have, or not where it stands.
    #[error(
        "a bucket name has lower-case letters, digits, dots and hyphens, with a letter or digit at both ends"
    )]
    Character,
    /// It reads as an IPv4 address.
    #[error("a bucket name must not be formatted as an IP address")]
    Address,
    /// A prefix or suffix that S3 keeps for itself.
    #[error("the bucket name has a prefix or suffix that S3 reserves")]
    Reserved,
}

const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

impl BucketName {
    /// The name, if `text` is one.
    pub fn parse(text: &str) -> Result<Self, BucketNameError> {
        if !(3..=63).contains(&text.len()) {
            return Err(BucketNameError::Length(text.len()));
        }
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = letter(bytes[0]) && letter(bytes[bytes.len() - 1]);
        let inside = bytes.iter().all(|byte| letter(*byte) || matches!(byte, b'.' | b'-'));
        if !ends || !inside || text.contains("..") {
            return Err(BucketNameError::Character);
        }
        if text.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(BucketNameError::Address);
        }
        let reserved = RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            || RESERVED_SUFFIXES.iter().any(|suffix| text.ends_with(suffix));
        if reserved { Err(BucketNameError::Reserved) } else { Ok(Self(text.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object's name in its bucket (what S3 calls its key): 1 to 1024 bytes of UTF-8, any characters.
///
/// Names order by their bytes, as S3 lists them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

/// Why text is not an object name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectNameError {
    /// No bytes at all.
    #[error("an object name has at least one character")]
    Empty,
    /// More than [`OBJECT_NAME_LEN_MAX`] bytes.
    #[error("an object name has at most {OBJECT_NAME_LEN_MAX} bytes, not {0}")]
    TooLong(usize),
}

impl ObjectName {
    /// The name, if `text` is one.
    pub fn parse(text: impl Into<String>) -> Result<Self, ObjectNameError> {
        let text = text.into();
        match text.len() {
            0 => Err(ObjectNameError::Empty),
            1..=OBJECT_NAME_LEN_MAX => Ok(Self(text)),
            length => Err(ObjectNameError::TooLong(length)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text is not an identifier that this store hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of this store")]
pub struct IdError;

/// Which version of an object: the null version of unversioned buckets, or one with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VersionId {
    /// Written while the bucket had no versioning; there is at most one per name.
    Null,
    /// Eight bytes of order (milliseconds, big-endian, not 0), eight random bytes.
    Id([u8; 16]),
}

impl VersionId {
    /// A new id of a version with this order.
    pub(crate) fn generate(order: u64, random: &dyn Random) -> Self {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&order.to_be_bytes());
        random.fill(&mut id[8..]);
        Self::Id(id)
    }

    /// The order of the version, which its id begins with.
    pub(crate) fn order(&self) -> Option<u64> {
        match self {
            Self::Null => None,
            Self::Id(id) => id.first_chunk::<8>().map(|order| u64::from_be_bytes(*order)),
        }
    }

    /// The id in a row's key: zeros for the null version, which no id is.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        match self {
            Self::Null => [0; 16],
            Self::Id(id) => id,
        }
    }

    /// Reads [`Self::to_bytes`]'s output.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        if bytes == [0; 16] { Self::Null } else { Self::Id(bytes) }
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text == "null" {
            return Ok(Self::Null);
        }
        match from_hex(text).map(Self::from_bytes) {
            Ok(Self::Null) => Err(IdError),
            other => other,
        }
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Id(id) => f.write_str(&hex::encode(id)),
        }
    }
}

/// A multipart upload: eight bytes of time, so that uploads of one name list in the order they began, and
/// sixteen random ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub(crate) [u8; 24]);

impl UploadId {
    /// A new id of an upload that began at `now`.
    pub(crate) fn generate(now: Timestamp, random: &dyn Random) -> Self {
        let mut id = [0; 24];
        id[..8].copy_from_slice(&now.0.to_be_bytes());
        random.fill(&mut id[8..]);
        Self(id)
    }

    /// When the upload began.
    pub fn begun(&self) -> Timestamp {
        Timestamp(u64::from_be_bytes(*self.0.first_chunk().expect("an id has 24 bytes")))
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        from_hex(text).map(Self)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A part's number, 1 to [`PART_NUMBER_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartNumber(NonZeroU16);

impl PartNumber {
    /// The number, if it is in range.
    pub fn new(number: u32) -> Option<Self> {
        let number = NonZeroU16::new(u16::try_from(number).ok()?)?;
        (number.get() <= PART_NUMBER_MAX).then_some(Self(number))
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    // One spelling per id: upper-case digits would be a second one.
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(IdError);
    }
    let mut id = [0; N];
    hex::decode_to_slice(text, &mut id).map_err(|_| IdError)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules_of_aws() {
        for good in ["abc", "my-bucket.example", "0ab", "a1.b2", &"a".repeat(63)] {
            assert!(BucketName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "ab",
            &"a".repeat(64),
            "Abc",
            "-abc",
            "abc-",
            ".abc",
            "abc.",
            "a..b",
            "a_b",
            "192.168.5.4",
            "xn--abc",
            "sthree-x",
            "amzn-s3-demo-x",
            "abc-s3alias",
            "abc--ol-s3",
            "abc.mrap",
            "abc--x-s3",
            "a/b",
            "äbc",
        ] {
            assert!(BucketName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn identifiers_have_one_spelling() {
        let id = VersionId::Id([0xAB; 16]);
        assert_eq!(VersionId::parse(&id.to_string()), Ok(id));
        assert_eq!(VersionId::parse(&id.to_string().to_uppercase()), Err(IdError));
        assert_eq!(VersionId::parse("null"), Ok(VersionId::Null));
        assert_eq!(UploadId::parse("00"), Err(IdError));
    }

    #[test]
    fn part_numbers_are_one_to_ten_thousand() {
        assert!(PartNumber::new(0).is_none());
        assert!(PartNumber::new(10_001).is_none());
        assert_eq!(PartNumber::new(10_000).map(PartNumber::number), Some(10_000));
    }
}
