//! The clear header of the key file (`docs/spec/local-kms.md` §3).

use sha2::{Digest, Sha256};
use strongroom_seal::codec::{Reader, Writer};

use super::unlock::{Cost, Method};

const MAGIC: &[u8; 8] = b"SRMKMS\r\n";
const VERSION: u16 = 1;
pub(super) const SALT_LEN: usize = 32;
const ID_LEN: usize = 8;
const COMMITMENT_LEN: usize = 32;
const CHECKSUM_LEN: usize = 32;
/// What commitment and file key cover.
pub(super) const FIXED_LEN: usize = 8 + 2 + 1 + 1 + 4 + 4 + 4 + SALT_LEN + ID_LEN;
pub(super) const COVERED_LEN: usize = FIXED_LEN + COMMITMENT_LEN + 8;
pub(super) const HEADER_LEN: usize = COVERED_LEN + CHECKSUM_LEN;
const _: () =
    assert!(FIXED_LEN == 64 && COVERED_LEN == 104 && HEADER_LEN == 136, "the on-disk layout is frozen");

/// The part that never changes in a file's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) method: Method,
    /// Zero in all fields unless the method is a passphrase.
    pub(super) cost: Cost,
    pub(super) salt: [u8; SALT_LEN],
    pub(super) id: [u8; ID_LEN],
}

impl Fixed {
    pub(super) fn encode(&self) -> [u8; FIXED_LEN] {
        let mut out = Writer::new();
        out.raw(MAGIC).u16(VERSION).u8(self.method.number()).u8(0);
        out.u32(self.cost.memory_kib).u32(self.cost.passes).u32(self.cost.lanes);
        out.raw(&self.salt).raw(&self.id);
        out.finish().try_into().expect("the fields are as long as the fixed part")
    }

    /// The keyring's id as text.
    pub(super) fn keyring(&self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.id))
    }
}

/// The whole header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fixed: Fixed,
    pub(super) commitment: [u8; COMMITMENT_LEN],
    pub(super) generation: u64,
}

/// Why bytes are not a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Damaged(&'static str),
    TooNew(u16),
}

impl Header {
    /// What the body's record is bound to.
    pub(super) fn covered(&self) -> [u8; COVERED_LEN] {
        let mut out = [0; COVERED_LEN];
        out[..FIXED_LEN].copy_from_slice(&self.fixed.encode());
        out[FIXED_LEN..FIXED_LEN + COMMITMENT_LEN].copy_from_slice(&self.commitment);
        out[FIXED_LEN + COMMITMENT_LEN..].copy_from_slice(&self.generation.to_le_bytes());
        out
    }

    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        summed(&self.covered())
    }

    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderFault> {
        let (covered, checksum) = bytes.split_at(COVERED_LEN);
        let mut input = Reader::new(covered);
        let short = |_| HeaderFault::Damaged("header");
        if input.array::<8>("magic").map_err(short)? != MAGIC {
            return Err(HeaderFault::Damaged("magic"));
        }
        // Another version may lay out everything after this differently, so it is looked at before the checksum.
        let version = input.u16("version").map_err(short)?;
        if version > VERSION {
            return Err(HeaderFault::TooNew(version));
        }
        if version != VERSION || Sha256::digest(covered).as_slice() != checksum {
            return Err(HeaderFault::Damaged("header checksum"));
        }
        let method = input.u8("method").map_err(short)?;
        let reserved = input.u8("reserved").map_err(short)?;
        let fixed = Fixed {
            method: Method::from_number(method).ok_or(HeaderFault::Damaged("unlock method"))?,
            cost: Cost {
                memory_kib: input.u32("memory").map_err(short)?,
                passes: input.u32("passes").map_err(short)?,
                lanes: input.u32("lanes").map_err(short)?,
            },
            salt: *input.array("salt").map_err(short)?,
            id: *input.array("id").map_err(short)?,
        };
        if reserved != 0 || (fixed.method == Method::KeyFile && fixed.cost != Cost::NONE) {
            return Err(HeaderFault::Damaged("header fields that must be zero"));
        }
        let header = Self {
            fixed,
            commitment: *input.array("commitment").map_err(short)?,
            generation: input.u64("generation").map_err(short)?,
        };
        if header.generation == 0 {
            return Err(HeaderFault::Damaged("generation"));
        }
        Ok(header)
    }
}

/// A header with its checksum.
pub(super) fn summed(covered: &[u8; COVERED_LEN]) -> [u8; HEADER_LEN] {
    let mut out = [0; HEADER_LEN];
    out[..COVERED_LEN].copy_from_slice(covered);
    out[COVERED_LEN..].copy_from_slice(&Sha256::digest(covered));
    out
}
