//! Keyed hashes: names and digests that say nothing to who does not have the key.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};

use crate::keys::Material;

/// How many bytes a keyed hash has.
pub const MAC_LEN: usize = 32;

/// HMAC-SHA256 under one key. Derive a key for each purpose: nothing else keeps two purposes apart.
#[derive(Clone)]
pub struct MacKey(hmac::Key);

/// A keyed hash that is being taken.
#[derive(Clone)]
pub struct Mac(hmac::Context);

impl MacKey {
    /// The keyed hash under this key.
    pub fn new(key: &impl Material) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.bytes()))
    }

    /// The keyed hash of bytes that are at hand.
    pub fn hash(&self, bytes: &[u8]) -> [u8; MAC_LEN] {
        array(hmac::sign(&self.0, bytes))
    }

    /// Begins the keyed hash of bytes that come in pieces.
    pub fn begin(&self) -> Mac {
        Mac(hmac::Context::with_key(&self.0))
    }
}

impl Mac {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The keyed hash of all pieces, one after the other.
    pub fn finish(self) -> [u8; MAC_LEN] {
        array(self.0.sign())
    }

    /// Whether the pieces have this keyed hash, in constant time.
    pub fn matches(self, expected: &[u8; MAC_LEN]) -> bool {
        constant_time::verify_slices_are_equal(&self.finish(), expected).is_ok()
    }
}

fn array(tag: hmac::Tag) -> [u8; MAC_LEN] {
    tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    /// RFC 4231 §4.2 needs a key of 20 bytes, which no key type has; computed with Python's `hmac` instead:
    /// `hmac.new(bytes(range(32)), b"strongroom", "sha256")`.
    const EXPECTED: &str = "8c8f9b0514deca2665ad38e32c4deb372d7f5224c01b7b05891a49f0ca5c6159";

    #[test]
    fn it_is_hmac_sha256_in_one_piece_and_in_several() {
        let mut bytes = [0; 32];
        for (at, byte) in (0u8..).zip(bytes.iter_mut()) {
            *byte = at;
        }
        let key = MacKey::new(&SecretKey::from_bytes(&mut bytes));
        let whole = key.hash(b"strongroom");
        let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, EXPECTED);
        let mut pieces = key.begin();
        pieces.update(b"strong");
        pieces.update(b"");
        pieces.update(b"room");
        assert!(pieces.clone().matches(&whole));
        pieces.update(b"s");
        assert!(!pieces.matches(&whole));
    }
}
