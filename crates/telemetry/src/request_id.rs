//! The id of one request.

use std::fmt;
use std::str;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// An id of 32 upper-case hexadecimal characters, sent to the client (`x-amz-request-id`) and written on every
/// log line of that request as the span field [`RequestId::FIELD`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// The name of the span field that carries the id.
    pub const FIELD: &str = "request_id";

    /// The id made of these bytes, which the caller draws at random for each request.
    pub fn from_random(random: [u8; 16]) -> Self {
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(random) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 0x0F)];
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("hexadecimal characters are ASCII")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_id_is_upper_case_hexadecimal_of_its_bytes() {
        let bytes: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 17).unwrap());
        assert_eq!(RequestId::from_random(bytes).as_str(), "00112233445566778899AABBCCDDEEFF");
    }
}
