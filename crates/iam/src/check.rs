//! Looking at rows of identities offline: each is read as a server reads it, and its secret opened.

use strongroom_seal::GroupKey;

use crate::iam::ROOT_ROW;
use crate::row::{self, RowFault};
use crate::rows::{self, Group, KeyBody, NamedPolicy, Token, User};
use crate::sealed::SealedValue;
use crate::{Change, Name, Secret};

/// Which table a row of the system group is of, and whether it is authentic and as it must be. `None` if it is not one of
/// this crate's. `group_key` has the system group's keys.
pub fn check_row(
    key: &[u8],
    value: &[u8],
    group_key: &dyn Fn(u32) -> Option<GroupKey>,
) -> Option<(&'static str, bool)> {
    if !key.starts_with(rows::PREFIX) {
        return None;
    }
    let (table, read) = read(key, value, group_key)?;
    Some((table, read.is_ok()))
}

type Read = Result<(), RowFault>;

fn read(
    key: &[u8],
    value: &[u8],
    group_key: &dyn Fn(u32) -> Option<GroupKey>,
) -> Option<(&'static str, Read)> {
    if key == ROOT_ROW {
        let opened = row::key_id(value).and_then(|id| row::open(value, key, &have(group_key, id)?));
        return Some(("the root's credentials", opened.map(drop)));
    }
    let secret = || -> Result<_, RowFault> {
        let sealed = SealedValue::parse(value)?;
        Ok((sealed.body, sealed.open(key, &have(group_key, sealed.key_id)?)?))
    };
    if key == rows::SESSION_KEY {
        let right =
            secret().and_then(|(_, secret)| if secret.len() == 32 { Ok(()) } else { Err(RowFault::Damaged) });
        return Some(("the key of sessions", right));
    }
    if key.starts_with(rows::CHANGE) {
        let read = rows::change_seq(key).and_then(|seq| Change::decode(seq, value));
        return Some(("changes of identities", read.map(drop)));
    }
    let text = std::str::from_utf8(key).ok()?;
    let named =
        |prefix: &str| Some(Name::parse(text.strip_prefix(prefix)?).map(drop).map_err(|_| RowFault::Damaged));
    if let Some(name) = named(rows::USER) {
        return Some(("users", name.and(User::decode(value).map(drop))));
    }
    if let Some(name) = named(rows::GROUP) {
        return Some(("groups", name.and(Group::decode(value).map(drop))));
    }
    if let Some(name) = named(rows::POLICY) {
        return Some(("policies", name.and(NamedPolicy::decode(value).map(drop))));
    }
    if text.starts_with(rows::TOKEN) {
        return Some(("tokens", Token::decode(value).map(drop)));
    }
    let id = text.strip_prefix(rows::KEY)?;
    let opened = rows::access_key(id).and_then(|_| {
        let (body, secret) = secret()?;
        KeyBody::decode(body)?;
        let text = std::str::from_utf8(&secret).map_err(|_| RowFault::Damaged)?;
        Secret::parse(text.to_owned()).map(drop).map_err(|_| RowFault::Damaged)
    });
    Some(("access keys", opened))
}

fn have(group_key: &dyn Fn(u32) -> Option<GroupKey>, id: u32) -> Result<GroupKey, RowFault> {
    group_key(id).ok_or(RowFault::Damaged)
}

#[cfg(test)]
mod tests {
    use strongroom_seal::SeededRandom;

    use super::*;
    use crate::{Credentials, samples, sealed};

    #[test]
    fn every_kind_of_row_is_known_and_damage_in_it_is_seen() {
        let random = SeededRandom::dangerous_from_seed(1);
        let group_key = GroupKey::generate(&random);
        let bytes = group_key.dangerous_expose().to_owned();
        let have = |id| (id == 3).then(|| GroupKey::from_bytes(&mut bytes.clone()));
        let [user, group, policy, body, token, change] = samples::rows().map(|sample| sample.value);
        let seal = |secret: &[u8], key: &[u8], body: &[u8]| {
            sealed::seal(secret, key, body, (3, &group_key), &random)
        };
        let access = b"iam/key/AKIAIOSFODNN7EXAMPLE".to_vec();
        let found = [
            (
                ROOT_ROW.to_vec(),
                row::seal(&Credentials::generate(&random), ROOT_ROW, (3, &group_key), &random),
            ),
            (rows::SESSION_KEY.to_vec(), seal(&[7; 32], rows::SESSION_KEY, &[])),
            (rows::change_key(1), change),
            (b"iam/user/alice".to_vec(), user),
            (b"iam/group/ops".to_vec(), group),
            (b"iam/policy/all".to_vec(), policy),
            (b"iam/token/0123".to_vec(), token),
            (access.clone(), seal(b"a secret of some length", &access, &body)),
        ];
        let mut tables = Vec::new();
        for (key, value) in &found {
            let (table, good) = check_row(key, value, &have).unwrap();
            assert!(good, "{table}");
            tables.push(table);
            let cut = &value[..value.len() - 1];
            assert_eq!(check_row(key, cut, &have), Some((table, false)), "{table}, cut");
        }
        tables.dedup();
        assert_eq!(tables.len(), found.len());
        let (key, value) = &found[7];
        assert_eq!(check_row(key, value, &|_| None), Some(("access keys", false)), "without its key");
        assert_eq!(
            check_row(b"iam/key/AKIAANOTHER", value, &have),
            Some(("access keys", false)),
            "elsewhere"
        );
        assert_eq!(check_row(b"iam/nothing", value, &have), None);
        assert_eq!(check_row(b"bucket/a", value, &have), None);
    }
}
