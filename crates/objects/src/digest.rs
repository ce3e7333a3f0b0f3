//! Digests of content on its way in.

use std::hash::Hasher as _;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum_combine};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use twox_hash::{XxHash3_64, XxHash3_128, XxHash64};

use crate::{Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, ObjectError};

/// Digests that are being computed.
pub(crate) struct Digests {
    md5: Option<Md5>,
    checksums: Vec<(ChecksumAlgorithm, Running)>,
}

enum Running {
    Crc(crc_fast::Digest),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
    /// What [`Digests::md5`] computes: the entity tag needs it too.
    Md5,
    XxHash64(XxHash64),
    XxHash3(Box<XxHash3_64>),
    XxHash128(Box<XxHash3_128>),
}

/// Digests that were computed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digested {
    pub(crate) md5: Option<[u8; 16]>,
    /// Ascending by algorithm.
    pub(crate) checksums: Vec<ChecksumValue>,
}

impl Digests {
    /// Computes these checksums, each once, and MD5 if asked for.
    pub(crate) fn new(md5: bool, algorithms: impl IntoIterator<Item = ChecksumAlgorithm>) -> Self {
        let mut algorithms: Vec<_> = algorithms.into_iter().collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let md5 = md5 || algorithms.contains(&ChecksumAlgorithm::Md5);
        let checksums =
            algorithms.into_iter().map(|algorithm| (algorithm, Running::new(algorithm))).collect();
        Self { md5: md5.then(Md5::new), checksums }
    }

    /// Whether a digest is among them that takes longer than sealing does.
    pub(crate) fn are_slow(&self) -> bool {
        let slow =
            |running: &Running| matches!(running, Running::Sha1(_) | Running::Sha256(_) | Running::Sha512(_));
        self.md5.is_some() || self.checksums.iter().any(|(_, running)| slow(running))
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        for (_, running) in &mut self.checksums {
            match running {
                Running::Crc(crc) => crc.update(bytes),
                Running::Sha1(sha) => sha.update(bytes),
                Running::Sha256(sha) => sha.update(bytes),
                Running::Sha512(sha) => sha.update(bytes),
                Running::Md5 => {}
                Running::XxHash64(hash) => hash.write(bytes),
                Running::XxHash3(hash) => hash.write(bytes),
                Running::XxHash128(hash) => hash.write(bytes),
            }
        }
    }

    /// Takes the next pieces.
    pub(crate) fn update_all(&mut self, pieces: &[Bytes]) {
        for piece in pieces {
            self.update(piece);
        }
    }

    /// The digests.
    pub(crate) fn finish(self) -> Digested {
        let md5: Option<[u8; 16]> = self.md5.map(|md5| md5.finalize().into());
        // xxHash values are written as its specification has their canonical form: the highest byte first.
        let value = |(algorithm, running): (ChecksumAlgorithm, Running)| {
            let bytes = match running {
                Running::Crc(crc) => crc_bytes(algorithm, crc.finalize()),
                Running::Sha1(sha) => sha.finalize().to_vec(),
                Running::Sha256(sha) => sha.finalize().to_vec(),
                Running::Sha512(sha) => sha.finalize().to_vec(),
                Running::Md5 => md5.expect("it is computed where it is a checksum").to_vec(),
                Running::XxHash64(hash) => hash.finish().to_be_bytes().to_vec(),
                Running::XxHash3(hash) => hash.finish().to_be_bytes().to_vec(),
                Running::XxHash128(hash) => hash.finish_128().to_be_bytes().to_vec(),
            };
            ChecksumValue::new(algorithm, bytes).expect("each algorithm has its own length")
        };
        Digested { md5, checksums: self.checksums.into_iter().map(value).collect() }
    }
}

impl Running {
    fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Sha1 => Self::Sha1(Sha1::new()),
            ChecksumAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            ChecksumAlgorithm::Sha512 => Self::Sha512(Sha512::new()),
            ChecksumAlgorithm::Md5 => Self::Md5,
            ChecksumAlgorithm::XxHash64 => Self::XxHash64(XxHash64::default()),
            ChecksumAlgorithm::XxHash3 => Self::XxHash3(Box::default()),
            ChecksumAlgorithm::XxHash128 => Self::XxHash128(Box::default()),
            ChecksumAlgorithm::Crc32 => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            ChecksumAlgorithm::Crc32c => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            ChecksumAlgorithm::Crc64Nvme => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
        }
    }
}

impl Digested {
    /// The value of one algorithm.
    pub(crate) fn checksum(&self, algorithm: ChecksumAlgorithm) -> Option<&ChecksumValue> {
        self.checksums.iter().find(|value| value.algorithm() == algorithm)
    }
}

/// MD5 of bytes that are there.
pub(crate) fn md5_of(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// The tag of an object made of parts: MD5 of their tags' bytes.
pub(crate) fn multipart_etag(parts: &[ETag]) -> ETag {
    let mut md5 = Md5::new();
    for etag in parts {
        match etag {
            ETag::Md5(digest) | ETag::Opaque(digest) | ETag::Multipart { digest, .. } => md5.update(digest),
        }
    }
    ETag::Multipart { digest: md5.finalize().into(), parts: count(parts.len()) }
}

/// The checksum of an object made of parts: their sizes and checksums of one algorithm.
pub(crate) fn multipart_checksum(
    algorithm: ChecksumAlgorithm,
    kind: ChecksumKind,
    parts: &[(u64, ChecksumValue)],
) -> Result<Checksum, ObjectError> {
    match kind {
        ChecksumKind::Composite => {
            let mut digests = Digests::new(false, [algorithm]);
            for (_, value) in parts {
                digests.update(value.as_bytes());
            }
            let value = digests.finish().checksums.pop().expect("one algorithm was asked for");
            Ok(Checksum { value, kind, parts: count(parts.len()) })
        }
        ChecksumKind::FullObject => {
            let (crc, width) = crc_of(algorithm).ok_or(ObjectError::ChecksumKindUnsupported { algorithm })?;
            let number = |value: &ChecksumValue| {
                value.as_bytes().iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
            };
            let mut combined: Option<u64> = None;
            for (size, value) in parts {
                combined = Some(match combined {
                    None => number(value),
                    Some(so_far) => checksum_combine(crc, so_far, number(value), *size),
                });
            }
            let bytes = combined.unwrap_or(0).to_be_bytes()[8 - width..].to_vec();
            let value = ChecksumValue::new(algorithm, bytes).expect("a CRC has its width");
            Ok(Checksum { value, kind, parts: 0 })
        }
    }
}

fn crc_bytes(algorithm: ChecksumAlgorithm, value: u64) -> Vec<u8> {
    value.to_be_bytes()[8 - algorithm.value_len()..].to_vec()
}

fn crc_of(algorithm: ChecksumAlgorithm) -> Option<(CrcAlgorithm, usize)> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Some((CrcAlgorithm::Crc32IsoHdlc, 4)),
        ChecksumAlgorithm::Crc32c => Some((CrcAlgorithm::Crc32Iscsi, 4)),
        ChecksumAlgorithm::Crc64Nvme => Some((CrcAlgorithm::Crc64Nvme, 8)),
        _ => None,
    }
}

fn count(parts: usize) -> u16 {
    u16::try_from(parts).expect("there are at most 10,000 parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> String {
        let mut digests = Digests::new(false, [algorithm]);
        digests.update(bytes);
        digests.finish().checksums[0].to_string()
    }

    #[test]
    fn checksums_have_the_check_values_of_their_catalogues() {
        // The CRC catalogue's check values are of the ASCII digits 1 to 9: cbf43926, e3069283, ae8b14860a799888.
        let digits = b"123456789";
        assert_eq!(text_of(ChecksumAlgorithm::Crc32, digits), "y/Q5Jg==");
        assert_eq!(text_of(ChecksumAlgorithm::Crc32c, digits), "4waSgw==");
        assert_eq!(text_of(ChecksumAlgorithm::Crc64Nvme, digits), "rosUhgp5mIg=");
        assert_eq!(text_of(ChecksumAlgorithm::Sha1, b""), "2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
        assert_eq!(text_of(ChecksumAlgorithm::Sha256, b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(hex::encode(md5_of(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(text_of(ChecksumAlgorithm::Md5, b""), "1B2M2Y8AsgTpgAmY7PhCfg==");
        // FIPS 180-4, and NIST's example of "abc": ddaf35a1…a54ca49f.
        assert_eq!(
            text_of(ChecksumAlgorithm::Sha512, b"abc"),
            "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
        );
    }

    /// The sanity checks of the reference implementation (xxHash, `cli/xsum_sanity_check.c`): beginnings of one sequence, seed 0, as
    /// canonical hexadecimal. Each of the lengths takes another way through XXH3.
    #[test]
    fn xxhash_values_are_those_of_the_reference_implementation() {
        let mut state = 2_654_435_761u64;
        let next = |_| {
            let byte = (state >> 56) as u8;
            state = state.wrapping_mul(11_400_714_785_074_694_797);
            byte
        };
        let sequence: Vec<u8> = (0..2367).map(next).collect();
        for (length, xxh64, xxh3, xxh128) in [
            (0, "ef46db3751d8e999", "2d06800538d394c2", "99aa06d3014798d86001c324468d497f"),
            (1, "e934a84adb052768", "c44bdff4074eecdb", "a6cd5e9392000f6ac44bdff4074eecdb"),
            (14, "8282dcc4994e35c8", "1ac0bbda2b9fcf03", "b2623398aa0bda1e352b80797cda6247"),
            (222, "b641ae8cb691c174", "b9163b558664d356", "337e09641b948717f1aebd597cec6b3a"),
            (403, "d99858fee82283df", "cdeb804d65c6dea4", "1b6de21e332dd73dcdeb804d65c6dea4"),
            (2367, "a82418ddec0ea581", "cb37aeb9e5d361ed", "e89c0f6ff369b427cb37aeb9e5d361ed"),
        ] {
            for (algorithm, expected) in [
                (ChecksumAlgorithm::XxHash64, xxh64),
                (ChecksumAlgorithm::XxHash3, xxh3),
                (ChecksumAlgorithm::XxHash128, xxh128),
            ] {
                for piece_len in [1, 100, 4096] {
                    let mut digests = Digests::new(false, [algorithm]);
                    sequence[..length].chunks(piece_len).for_each(|piece| digests.update(piece));
                    let value = digests.finish().checksums.remove(0);
                    assert_eq!(hex::encode(value.as_bytes()), expected, "{algorithm:?} of {length}");
                }
            }
        }
    }

    #[test]
    fn md5_is_computed_once_for_the_entity_tag_and_the_checksum() {
        for md5 in [false, true] {
            let mut digests = Digests::new(md5, [ChecksumAlgorithm::Md5, ChecksumAlgorithm::Crc32]);
            digests.update(b"123456789");
            let digested = digests.finish();
            assert_eq!(digested.md5, Some(md5_of(b"123456789")));
            let value = digested.checksum(ChecksumAlgorithm::Md5).unwrap();
            assert_eq!(value.as_bytes(), md5_of(b"123456789"));
        }
    }

    #[test]
    fn every_algorithm_covers_whole_uploads_or_composes() {
        let value = |algorithm: ChecksumAlgorithm| vec![1; algorithm.value_len()];
        for algorithm in ChecksumAlgorithm::ALL {
            assert!(algorithm.composes() || algorithm.covers_whole_uploads());
            let parts = [(5, ChecksumValue::new(algorithm, value(algorithm)).unwrap())];
            let whole = multipart_checksum(algorithm, ChecksumKind::FullObject, &parts);
            assert_eq!(whole.is_ok(), algorithm.covers_whole_uploads(), "{algorithm:?}");
        }
    }

    #[test]
    fn crcs_of_parts_combine_to_the_crc_of_the_whole() {
        let whole: Vec<u8> = (0..100_000u32).map(|n| (n * 7 % 251) as u8).collect();
        for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32c, ChecksumAlgorithm::Crc64Nvme] {
            let parts: Vec<_> = [&whole[..1], &whole[1..60_000], &whole[60_000..]]
                .iter()
                .map(|part| {
                    let mut digests = Digests::new(false, [algorithm]);
                    digests.update(part);
                    (part.len() as u64, digests.finish().checksums.remove(0))
                })
                .collect();
            let combined = multipart_checksum(algorithm, ChecksumKind::FullObject, &parts).unwrap();
            assert_eq!(combined.to_string(), text_of(algorithm, &whole));
        }
    }

    #[test]
    fn composite_checksums_say_how_many_parts() {
        let value = ChecksumValue::new(ChecksumAlgorithm::Sha256, vec![1; 32]).unwrap();
        let parts = [(5, value.clone()), (6, value)];
        let checksum =
            multipart_checksum(ChecksumAlgorithm::Sha256, ChecksumKind::Composite, &parts).unwrap();
        assert_eq!(checksum.to_string(), format!("{}-2", text_of(ChecksumAlgorithm::Sha256, &[1; 64])));
        assert!(multipart_checksum(ChecksumAlgorithm::Sha1, ChecksumKind::FullObject, &parts).is_err());
    }
}
