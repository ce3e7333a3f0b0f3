//! The sealed row of a pair of credentials (`docs/spec/credentials.md`).

use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_seal::{Context, GroupKey, Label, Random, SecretKey, Unsealable, derive, record};
use strongroom_store::GroupId;
use zeroize::Zeroizing;

use crate::{AccessKey, Credentials, Secret};

const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 4;

/// Why a row is not a pair of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowFault {
    TooNew { version: u8 },
    Damaged,
}

impl From<DecodeError> for RowFault {
    fn from(_: DecodeError) -> Self {
        Self::Damaged
    }
}

impl From<Unsealable> for RowFault {
    fn from(_: Unsealable) -> Self {
        Self::Damaged
    }
}

/// The value for the row `row_key` under the group's key `key_id`.
pub(crate) fn seal(
    credentials: &Credentials,
    row_key: &[u8],
    (key_id, key): (u32, &GroupKey),
    random: &dyn Random,
) -> Vec<u8> {
    let access_key = credentials.access_key.as_str();
    let secret = credentials.secret.dangerous_expose();
    // Reserved in full, because a buffer that grows leaves copies of the secret behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(2 * 4 + access_key.len() + secret.len()));
    for text in [access_key, secret] {
        let length = u32::try_from(text.len()).expect("both halves have at most 128 bytes");
        plain.extend_from_slice(&length.to_le_bytes());
        plain.extend_from_slice(text.as_bytes());
    }
    let mut out = Writer::new();
    out.u8(VERSION).u32(key_id);
    let (key, context) = bound(row_key, key_id, key);
    out.raw(&record::seal(&key, &context, &plain, random));
    out.finish()
}

/// The id of the group key that opens this value.
pub(crate) fn key_id(value: &[u8]) -> Result<u32, RowFault> {
    let mut input = Reader::new(value);
    let version = input.u8("version")?;
    if version > VERSION {
        return Err(RowFault::TooNew { version });
    }
    if version != VERSION {
        return Err(RowFault::Damaged);
    }
    Ok(input.u32("key id")?)
}

/// Opens what [`seal`] made for the same row.
pub(crate) fn open(value: &[u8], row_key: &[u8], key: &GroupKey) -> Result<Credentials, RowFault> {
    let key_id = key_id(value)?;
    let (key, context) = bound(row_key, key_id, key);
    read(&record::open(&key, &context, &value[HEADER_LEN..])?)
}

/// What is inside the record.
pub(crate) fn read(plain: &[u8]) -> Result<Credentials, RowFault> {
    let mut input = Reader::new(plain);
    let access_key = AccessKey::parse(input.text(AccessKey::LEN_MAX, "access key")?);
    let secret = Secret::parse(input.text(Secret::LEN_MAX, "secret")?.to_owned());
    input.finish("credentials")?;
    match (access_key, secret) {
        (Ok(access_key), Ok(secret)) => Ok(Credentials { access_key, secret }),
        _ => Err(RowFault::Damaged),
    }
}

/// The key of this row's record and where the record belongs.
fn bound(row_key: &[u8], key_id: u32, key: &GroupKey) -> (SecretKey, Context) {
    let context = Context::new(Label::Credentials, GroupId::SYSTEM.0).and(key_id).and(row_key);
    (derive(key, &[], &context), context)
}

#[cfg(test)]
mod tests {
    use strongroom_seal::SeededRandom;

    use super::*;

    fn row() -> (Credentials, GroupKey, Vec<u8>) {
        let random = SeededRandom::dangerous_from_seed(1);
        let (credentials, key) = (Credentials::generate(&random), GroupKey::generate(&random));
        let value = seal(&credentials, b"iam/root", (3, &key), &random);
        (credentials, key, value)
    }

    #[test]
    fn row_opens_at_its_place_and_shows_nothing() {
        let (credentials, key, value) = row();
        assert_eq!(key_id(&value), Ok(3));
        assert_eq!(open(&value, b"iam/root", &key), Ok(credentials.clone()));
        assert_eq!(open(&value, b"iam/other", &key), Err(RowFault::Damaged));
        let other = GroupKey::generate(&SeededRandom::dangerous_from_seed(2));
        assert_eq!(open(&value, b"iam/root", &other), Err(RowFault::Damaged));
        for text in [credentials.access_key.as_str(), credentials.secret.dangerous_expose()] {
            assert!(!value.windows(text.len()).any(|window| window == text.as_bytes()));
        }
    }

    #[test]
    fn any_change_is_damage() {
        let (_, key, value) = row();
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 0x01;
            assert!(open(&changed, b"iam/root", &key).is_err(), "byte {at}");
            assert!(open(&value[..at], b"iam/root", &key).is_err(), "cut to {at}");
        }
        let newer = [&[2], &value[1..]].concat();
        assert_eq!(open(&newer, b"iam/root", &key), Err(RowFault::TooNew { version: 2 }));
        assert_eq!(open(&[value.as_slice(), &[0]].concat(), b"iam/root", &key), Err(RowFault::Damaged));
    }
}
