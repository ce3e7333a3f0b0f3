//! Sealed records: small things sealed in one piece, each under a key of its own.
//!
//! Layout and argument: `docs/spec/sealed-record.md` §3.

use aws_lc_rs::constant_time;
use zeroize::Zeroizing;

use crate::aead::{Aead, NONCE_LEN, Suite, TAG_LEN};
use crate::derive::key_and_commitment;
use crate::keys::Material;
use crate::{Context, Label, Random, Unsealable};

const VERSION: u8 = 1;
const SALT_LEN: usize = 32;
const COMMITMENT_LEN: usize = 32;
const SALT_AT: usize = 4; // version, suite, two reserved zeros
const COMMITMENT_AT: usize = SALT_AT + SALT_LEN;
const BODY_AT: usize = COMMITMENT_AT + COMMITMENT_LEN;

/// How many bytes longer a sealed record is than what it holds.
pub const OVERHEAD: usize = BODY_AT + TAG_LEN;
const _: () = assert!(OVERHEAD == 84, "the on-disk layout is frozen");

/// Seals `plaintext` under a key derived afresh from `key`, bound to `context`.
pub fn seal(key: &impl Material, context: &Context, plaintext: &[u8], random: &dyn Random) -> Vec<u8> {
    let mut out = vec![0; plaintext.len() + OVERHEAD];
    out[0] = VERSION;
    out[1] = Suite::Aes256Gcm.number();
    random.fill(&mut out[SALT_AT..COMMITMENT_AT]);
    let (header, body) = out.split_at_mut(BODY_AT);
    let derived = derived(key, header, context);
    header[COMMITMENT_AT..].copy_from_slice(&derived.commitment);
    let (text, tag) = body.split_at_mut(plaintext.len());
    text.copy_from_slice(plaintext);
    // The key is used once, so the nonce can be constant.
    let sealed = Aead::new(Suite::Aes256Gcm, &derived.key).seal([0; NONCE_LEN], context.as_bytes(), text);
    tag.copy_from_slice(&sealed);
    out
}

/// Opens what [`seal`] made with the same key and context. The plaintext is wiped when dropped.
pub fn open(key: &impl Material, context: &Context, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
    let (header, body) = sealed.split_at_checked(BODY_AT).ok_or(Unsealable)?;
    let (text, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(Unsealable)?;
    if header[0] != VERSION || header[2..SALT_AT] != [0, 0] {
        return Err(Unsealable);
    }
    let suite = Suite::from_number(header[1]).ok_or(Unsealable)?;
    let derived = derived(key, header, context);
    constant_time::verify_slices_are_equal(&derived.commitment, &header[COMMITMENT_AT..])
        .map_err(|_| Unsealable)?;
    let mut out = Zeroizing::new(text.to_vec());
    Aead::new(suite, &derived.key).open([0; NONCE_LEN], context.as_bytes(), &mut out, tag)?;
    Ok(out)
}

fn derived(key: &impl Material, header: &[u8], context: &Context) -> crate::derive::KeyAndCommitment {
    key_and_commitment(
        key.bytes(),
        &header[SALT_AT..COMMITMENT_AT],
        Label::Record,
        &header[..SALT_AT],
        context,
    )
}
