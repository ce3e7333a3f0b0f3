//! The keyring's bytes: plain header, sealed body. `docs/spec/keyring.md` §2.

use crc_fast::{CrcAlgorithm, checksum};
use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_seal::{Context, Envelope, EnvelopeError, KeyringKey, Label, Random, record};

use super::contents::{Contents, ENVELOPE_LEN_MAX};
use crate::directory::StoreId;

pub(super) const VERSION: u16 = 1;
pub(super) const LEN_MAX: u64 = 64 << 20;
const MAGIC: &[u8; 8] = b"SRKEYRNG";

/// What is readable without a key: whose keyring it is and who can open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: StoreId,
    pub(super) wrapped: Envelope,
    /// As in the file, checksum included: the body is bound to exactly these.
    bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    TooNew { version: u16 },
    Malformed { why: &'static str },
}

impl From<DecodeError> for HeaderError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed { why: "its header is malformed" }
    }
}

impl Header {
    pub(super) fn new(store: StoreId, wrapped: Envelope) -> Self {
        let bytes = Self::written(store, &wrapped.encode());
        Self { store, wrapped, bytes }
    }

    /// The bytes of a header with this envelope, with their checksum.
    pub(super) fn written(store: StoreId, envelope: &[u8]) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(MAGIC).u16(VERSION).u16(0).raw(&store.0).bytes(envelope);
        let mut bytes = out.finish();
        let sum = crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Splits a file into header and sealed body.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), HeaderError> {
        let mut input = Reader::new(bytes);
        if input.array::<8>("magic")? != MAGIC {
            return Err(HeaderError::Malformed { why: "it does not start as a keyring does" });
        }
        let version = input.u16("version")?;
        if version > VERSION {
            return Err(HeaderError::TooNew { version });
        }
        if version != VERSION || input.u16("reserved")? != 0 {
            return Err(HeaderError::Malformed { why: "its header is malformed" });
        }
        let store = StoreId(*input.array("store id")?);
        let wrapped = input.bytes(ENVELOPE_LEN_MAX, "keyring key")?;
        let summed = bytes.len() - input.remaining();
        if input.u32("header checksum")? != crc32c(&bytes[..summed]) {
            return Err(HeaderError::Malformed { why: "its header does not match its checksum" });
        }
        let wrapped = Envelope::decode(wrapped).map_err(|error| match error {
            EnvelopeError::TooNew { version } => HeaderError::TooNew { version: version.into() },
            _ => HeaderError::Malformed { why: "the envelope in its header is malformed" },
        })?;
        let (header, body) = bytes.split_at(bytes.len() - input.remaining());
        Ok((Self { store, wrapped, bytes: header.to_vec() }, body))
    }

    /// How much of the file it is, in bytes.
    #[cfg(feature = "fuzzing")]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn context(&self) -> Context {
        Context::new(Label::KeyringBody, self.bytes.as_slice())
    }
}

/// How long the whole file is, in bytes.
pub(super) fn len(header: &Header, contents: &Contents) -> usize {
    header.bytes.len() + contents.encode().len() + record::OVERHEAD
}

/// The whole file.
pub(super) fn seal(key: &KeyringKey, header: &Header, contents: &Contents, random: &dyn Random) -> Vec<u8> {
    let mut out = header.bytes.clone();
    out.extend(record::seal(key, &header.context(), &contents.encode(), random));
    out
}

/// The body behind a header, or what is wrong with it.
pub(super) fn open_body(key: &KeyringKey, header: &Header, body: &[u8]) -> Result<Contents, &'static str> {
    let plain = record::open(key, &header.context(), body).map_err(|_| "its body does not open")?;
    let contents = Contents::decode(&plain).map_err(|_| "its body opens and is malformed")?;
    if contents.store != header.store {
        return Err("header and body name different stores");
    }
    Ok(contents)
}

fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).expect("CRC-32C has 32 bits")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use strongroom_seal::SeededRandom;

    use super::super::contents::{GroupKeys, LogFloor};
    use super::*;
    use crate::keys::ResealSettings;
    use crate::{GroupId, Lsn};

    /// Lines of `name: value`; the values are numbers or hex.
    fn vector() -> HashMap<&'static str, &'static str> {
        let lines = include_str!("vector_v1.txt").lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split_once(": ")).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn envelope(blob: u8) -> Envelope {
        Envelope {
            provider: "local".into(),
            key_id: "strongroom-root".into(),
            key_version: 1,
            blob: vec![blob; 8],
        }
    }

    fn example() -> (Header, Contents, KeyringKey) {
        let store = StoreId([0x5c; 16]);
        let groups = BTreeMap::from([
            (GroupId::SYSTEM, GroupKeys::first(envelope(0xa0), Lsn(0), 1_700_000_000)),
            (GroupId(2), GroupKeys::first(envelope(0xa2), Lsn(17), 1_700_000_600)),
        ]);
        let floor = LogFloor { segment: 5, lsn: Lsn(40) };
        let reseal = ResealSettings { paused: false, kib_per_second: 2048 };
        let contents = Contents {
            store,
            generation: 4,
            epoch: 2,
            applied: Lsn(18),
            floor,
            next_group: 3,
            reseal,
            groups,
        };
        (Header::new(store, envelope(0xee)), contents, KeyringKey::from_bytes(&mut [0x11; 32]))
    }

    #[test]
    fn the_vector_of_version_1_opens_and_is_written_again() {
        let vector = vector();
        let (header, contents, key) = example();
        assert_eq!(hex(key.dangerous_expose()), vector["keyring key"]);
        let file = bytes(vector["file"]);
        let (parsed, body) = Header::parse(&file).unwrap();
        assert_eq!(parsed, header);
        assert_eq!(open_body(&key, &parsed, body).unwrap(), contents);
        assert_eq!(hex(&contents.encode()), vector["body"]);
        let random = SeededRandom::dangerous_from_seed(vector["seed"].parse().unwrap());
        assert_eq!(hex(&seal(&key, &header, &contents, &random)), vector["file"]);
    }

    #[test]
    fn a_body_does_not_open_under_another_header() {
        let (header, contents, key) = example();
        let file = seal(&key, &header, &contents, &SeededRandom::dangerous_from_seed(1));
        let (_, body) = Header::parse(&file).unwrap();
        let other = Header::new(header.store, envelope(0xef));
        assert_eq!(open_body(&key, &other, body), Err("its body does not open"));
        assert!(open_body(&KeyringKey::from_bytes(&mut [0x12; 32]), &header, body).is_err());
    }

    #[test]
    fn a_newer_version_is_refused_as_newer() {
        let (mut header, ..) = example();
        header.bytes[8] = 2;
        assert_eq!(Header::parse(&header.bytes), Err(HeaderError::TooNew { version: 2 }));
    }
}
