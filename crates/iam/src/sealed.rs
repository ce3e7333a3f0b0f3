//! Values of rows that hold a secret (`docs/spec/iam.md` §2).

use strongroom_seal::codec::{Reader, Writer};
use strongroom_seal::{Context, GroupKey, Label, Random, SecretKey, derive, record};
use strongroom_store::GroupId;
use zeroize::Zeroizing;

use crate::row::RowFault;

const VERSION: u8 = 1;
/// A policy, a description and names; far more than any.
const BODY_LEN_MAX: usize = 64 << 10;

/// A value, not opened yet.
#[derive(Debug)]
pub(crate) struct SealedValue<'a> {
    pub(crate) key_id: u32,
    pub(crate) body: &'a [u8],
    record: &'a [u8],
}

impl<'a> SealedValue<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, RowFault> {
        let mut input = Reader::new(value);
        check_version(input.u8("version")?, VERSION)?;
        let key_id = input.u32("key id")?;
        let body = input.bytes(BODY_LEN_MAX, "body")?;
        let record = input.raw(input.remaining(), "record")?;
        Ok(Self { key_id, body, record })
    }

    /// The secret, with the key whose id the value names.
    pub(crate) fn open(&self, row_key: &[u8], key: &GroupKey) -> Result<Zeroizing<Vec<u8>>, RowFault> {
        let (key, context) = bound(row_key, self.key_id, self.body, key);
        Ok(record::open(&key, &context, self.record)?)
    }
}

/// The value of the row `row_key`, with the secret sealed under the group's key.
pub(crate) fn seal(
    secret: &[u8],
    row_key: &[u8],
    body: &[u8],
    (key_id, key): (u32, &GroupKey),
    random: &dyn Random,
) -> Vec<u8> {
    let (key, context) = bound(row_key, key_id, body, key);
    let mut out = Writer::new();
    out.u8(VERSION).u32(key_id).bytes(body).raw(&record::seal(&key, &context, secret, random));
    out.finish()
}

fn bound(row_key: &[u8], key_id: u32, body: &[u8], key: &GroupKey) -> (SecretKey, Context) {
    let context = Context::new(Label::IdentitySecret, GroupId::SYSTEM.0).and(key_id).and(row_key).and(body);
    (derive(key, &[], &context), context)
}

/// Refuses other versions, and greater ones as newer.
pub(crate) fn check_version(version: u8, known: u8) -> Result<(), RowFault> {
    match version {
        _ if version == known => Ok(()),
        _ if version > known => Err(RowFault::TooNew { version }),
        _ => Err(RowFault::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_seal::SeededRandom;

    use super::*;

    #[test]
    fn value_opens_at_its_place_with_its_body_and_not_otherwise() {
        let random = SeededRandom::dangerous_from_seed(1);
        let key = GroupKey::generate(&random);
        let value = seal(b"a secret", b"iam/key/A", b"body", (3, &key), &random);
        let parsed = SealedValue::parse(&value).unwrap();
        assert_eq!((parsed.key_id, parsed.body), (3, &b"body"[..]));
        assert_eq!(**parsed.open(b"iam/key/A", &key).unwrap(), *b"a secret");
        assert!(parsed.open(b"iam/key/B", &key).is_err());
        assert!(!value.windows(8).any(|window| window == b"a secret"));
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            let opens =
                SealedValue::parse(&changed).is_ok_and(|value| value.open(b"iam/key/A", &key).is_ok());
            assert!(!opens, "byte {at}");
            let cut =
                SealedValue::parse(&value[..at]).is_ok_and(|value| value.open(b"iam/key/A", &key).is_ok());
            assert!(!cut, "cut to {at}");
        }
        let newer = [&[2], &value[1..]].concat();
        assert_eq!(SealedValue::parse(&newer).unwrap_err(), RowFault::TooNew { version: 2 });
    }
}
