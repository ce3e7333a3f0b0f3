//! One way to derive keys: HKDF-SHA256 (RFC 5869) with a label and a context.

use aws_lc_rs::hkdf;
use zeroize::Zeroize;

use crate::keys::Material;
use crate::{Context, Label};

/// The key for `context` from `source` and `salt`. The context's label names the purpose.
pub fn derive<To: Material>(source: &impl Material, salt: &[u8], context: &Context) -> To {
    let mut bytes = [0; 32];
    expand(source.bytes(), salt, &[context.as_bytes()], &mut bytes);
    let key = To::from_array(bytes);
    bytes.zeroize();
    key
}

/// The key for `context` from a secret of any length, such as a key file's content, and `salt`. The secret is
/// extracted, not stretched: for what people can guess a password hash comes first.
pub fn derive_from_secret<To: Material>(secret: &[u8], salt: &[u8], context: &Context) -> To {
    let mut bytes = [0; 32];
    expand(secret, salt, &[context.as_bytes()], &mut bytes);
    let key = To::from_array(bytes);
    bytes.zeroize();
    key
}

/// A key and a commitment to it and to everything in `info`.
pub(crate) struct KeyAndCommitment {
    pub(crate) key: [u8; 32],
    pub(crate) commitment: [u8; 32],
}

impl Drop for KeyAndCommitment {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// Both halves of one 64-byte expansion, so that the commitment fixes the key (`docs/spec/sealed-stream.md` §3).
///
/// The leading zero keeps this apart from [`derive`], whose contexts start with their version, 1.
pub(crate) fn key_and_commitment(
    source: &[u8; 32],
    salt: &[u8],
    label: Label,
    header: &[u8],
    context: &Context,
) -> KeyAndCommitment {
    let mut both = [0; 64];
    let label = label.number().to_le_bytes();
    expand(source, salt, &[&[0], &label, header, context.as_bytes()], &mut both);
    let mut out = KeyAndCommitment { key: [0; 32], commitment: [0; 32] };
    out.key.copy_from_slice(&both[..32]);
    out.commitment.copy_from_slice(&both[32..]);
    both.zeroize();
    out
}

fn expand(source: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let length = out.len();
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(source)
        .expand(info, Length(length))
        .and_then(|material| material.fill(out))
        .expect("HKDF-SHA256 gives up to 8160 bytes");
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupKey, PageKey};

    #[test]
    fn a_derived_key_is_never_the_key_of_a_record_or_stream() {
        let source = GroupKey::from_bytes(&mut [1; 32]);
        let context = Context::new(Label::PageFileKey, 1u64);
        let key: PageKey = derive(&source, b"salt", &context);
        for label in [Label::Stream, Label::Record, Label::PageFileKey] {
            // A header that completes the label to what a context starts with.
            for header in [&[][..], &[0], &[30, 0]] {
                let other = key_and_commitment(source.bytes(), b"salt", label, header, &context);
                assert_ne!(&other.key, key.bytes());
                assert_ne!(&other.commitment, key.bytes());
                assert_ne!(other.key, other.commitment);
            }
        }
    }
}
