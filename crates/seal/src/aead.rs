//! The one place where a cipher is called.

use aws_lc_rs::aead::{AES_256_GCM, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
#[cfg(not(feature = "bench-unsealed"))]
use aws_lc_rs::aead::{Aad, Nonce};

use crate::Unsealable;

#[cfg(feature = "bench-unsealed")]
const _: () = assert!(
    option_env!("STRONGROOM_BENCH_BUILD").is_some(),
    "bench-unsealed is for `cargo xtask bench` alone: a binary with it stores everything in the clear"
);

/// Length of an authentication tag in bytes.
pub const TAG_LEN: usize = 16;
/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;

/// The ciphers a sealed thing can be under. The number is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// AES-256-GCM (NIST SP 800-38D). The default.
    Aes256Gcm = 1,
    /// ChaCha20-Poly1305 (RFC 8439), for machines without AES instructions.
    ChaCha20Poly1305 = 2,
}

impl Suite {
    /// The suite of an on-disk number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Aes256Gcm),
            2 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// The on-disk number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// A cipher with its key. Callers in this crate own the discipline of nonces.
pub(crate) struct Aead(
    #[cfg_attr(feature = "bench-unsealed", expect(dead_code, reason = "such a build only makes the key"))]
    LessSafeKey,
);

impl Aead {
    pub(crate) fn new(suite: Suite, key: &[u8; 32]) -> Self {
        let algorithm = match suite {
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        Self(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("both suites take 32-byte keys")))
    }
}

#[cfg(not(feature = "bench-unsealed"))]
impl Aead {
    pub(crate) fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), buffer)
            .expect("lengths are bounded far below the cipher's limit");
        let mut out = [0; TAG_LEN];
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// Seals `plain` into `out`, which is as long, without touching `plain`.
    pub(crate) fn seal_to(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        out: &mut [u8],
        tag: &mut [u8; TAG_LEN],
    ) {
        self.0
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                plain,
                out,
                &[],
                tag.as_mut_slice(),
            )
            .expect("both sides are as long, and far below the cipher's limit");
    }

    /// On failure `buffer` is wiped.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unsealable> {
        let opened = self
            .0
            .open_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), tag, buffer)
            .is_ok();
        verdict(opened, buffer)
    }

    /// Opens `sealed` into `out`, which is as long. On failure `out` is wiped.
    pub(crate) fn open_to(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), Unsealable> {
        let opened = self
            .0
            .open_separate_gather(Nonce::assume_unique_for_key(nonce), Aad::from(aad), sealed, tag, out)
            .is_ok();
        verdict(opened, out)
    }
}

/// The library clears its output when it refuses; that it does is its business, that nothing unauthenticated
/// leaves this module is ours.
fn verdict(opened: bool, out: &mut [u8]) -> Result<(), Unsealable> {
    if opened {
        Ok(())
    } else {
        out.fill(0);
        Err(Unsealable)
    }
}

/// What a bench build does instead: the same bytes moved, nothing sealed.
#[cfg(feature = "bench-unsealed")]
impl Aead {
    const TAG: [u8; TAG_LEN] = [0xB5; TAG_LEN];

    pub(crate) fn seal(&self, _nonce: [u8; NONCE_LEN], _aad: &[u8], _buffer: &mut [u8]) -> [u8; TAG_LEN] {
        Self::TAG
    }

    pub(crate) fn seal_to(
        &self,
        _nonce: [u8; NONCE_LEN],
        _aad: &[u8],
        plain: &[u8],
        out: &mut [u8],
        tag: &mut [u8; TAG_LEN],
    ) {
        out.copy_from_slice(plain);
        *tag = Self::TAG;
    }

    pub(crate) fn open(
        &self,
        _nonce: [u8; NONCE_LEN],
        _aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unsealable> {
        verdict(*tag == Self::TAG, buffer)
    }

    pub(crate) fn open_to(
        &self,
        _nonce: [u8; NONCE_LEN],
        _aad: &[u8],
        sealed: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), Unsealable> {
        out.copy_from_slice(sealed);
        verdict(*tag == Self::TAG, out)
    }
}
