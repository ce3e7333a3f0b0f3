//! What is stored of identities, and how (`docs/spec/iam.md` §2).

use strongroom_seal::codec::{DecodeError, Reader, Writer};

use crate::row::RowFault;
use crate::sealed::check_version;
use crate::{AccessKey, Change, ChangeKind, Identity, Name, Policy, Scope};

/// All rows of identities, and nothing else, start with this.
pub(crate) const PREFIX: &[u8] = b"iam/";
/// The first key past them.
pub(crate) const PREFIX_END: &[u8] = b"iam0";
pub(crate) const USER: &str = "iam/user/";
pub(crate) const GROUP: &str = "iam/group/";
pub(crate) const POLICY: &str = "iam/policy/";
pub(crate) const KEY: &str = "iam/key/";
pub(crate) const TOKEN: &str = "iam/token/";
pub(crate) const SESSION_KEY: &[u8] = b"iam/session-key";
pub(crate) const CHANGE: &[u8] = b"iam/change/";

/// Policies that may be attached to one user or group.
pub(crate) const ATTACHED_MAX: usize = 32;
/// Groups that one user may be in.
pub(crate) const GROUPS_OF_USER_MAX: usize = 32;
/// The longest description, in bytes.
pub(crate) const DESCRIPTION_LEN_MAX: usize = 256;

const VERSION: u8 = 1;
pub(crate) const ID_LEN: usize = 16;
const BY_LEN_MAX: usize = 512;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) disabled: bool,
    pub(crate) created_at: u64,
    /// In order.
    pub(crate) policies: Vec<Name>,
    /// In order.
    pub(crate) groups: Vec<Name>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) created_at: u64,
    /// In order.
    pub(crate) policies: Vec<Name>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPolicy {
    pub(crate) created_at: u64,
    pub(crate) updated_at: u64,
    pub(crate) policy: Policy,
}

/// The root or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    Root,
    User(Name),
}

impl Owner {
    /// `None` for who cannot own anything.
    pub(crate) fn of(identity: &Identity) -> Option<Self> {
        match identity {
            Identity::Root => Some(Self::Root),
            Identity::User { name } => Some(Self::User(name.clone())),
            _ => None,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Root => Identity::Root,
            Self::User(name) => Identity::User { name: name.clone() },
        }
    }
}

/// A user's access key or a service account, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyBody {
    pub(crate) service_account: bool,
    pub(crate) owner: Owner,
    pub(crate) disabled: bool,
    pub(crate) created_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) policy: Option<Policy>,
    pub(crate) description: String,
}

/// A token for the REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) salt: [u8; 16],
    pub(crate) verifier: [u8; 32],
    pub(crate) owner: Owner,
    /// In order.
    pub(crate) scopes: Vec<Scope>,
    pub(crate) created_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) description: String,
}

pub(crate) fn key_of(prefix: &str, name: &str) -> Vec<u8> {
    [prefix.as_bytes(), name.as_bytes()].concat()
}

pub(crate) fn change_key(seq: u64) -> Vec<u8> {
    [CHANGE, &seq.to_be_bytes()].concat()
}

impl User {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).text(&self.id).u8(self.disabled.into()).u64(self.created_at);
        put_names(&mut out, &self.policies);
        put_names(&mut out, &self.groups);
        out.finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowFault> {
        let mut input = versioned(value)?;
        let id = input.text(ID_LEN, "id")?;
        if id.len() != ID_LEN || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(RowFault::Damaged);
        }
        let user = Self {
            id: id.to_owned(),
            disabled: input.flag("disabled")?,
            created_at: input.u64("created")?,
            policies: names(&mut input, ATTACHED_MAX)?,
            groups: names(&mut input, GROUPS_OF_USER_MAX)?,
        };
        input.finish("user")?;
        Ok(user)
    }
}

impl Group {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).u64(self.created_at);
        put_names(&mut out, &self.policies);
        out.finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowFault> {
        let mut input = versioned(value)?;
        let created_at = input.u64("created")?;
        let group = Self { created_at, policies: names(&mut input, ATTACHED_MAX)? };
        input.finish("group")?;
        Ok(group)
    }
}

impl NamedPolicy {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).u64(self.created_at).u64(self.updated_at).text(&self.policy.to_json());
        out.finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowFault> {
        let mut input = versioned(value)?;
        let (created_at, updated_at) = (input.u64("created")?, input.u64("updated")?);
        let policy = document(&mut input)?;
        input.finish("policy")?;
        Ok(Self { created_at, updated_at, policy })
    }
}

impl KeyBody {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(self.service_account.into());
        put_owner(&mut out, &self.owner);
        out.u8(self.disabled.into()).u64(self.created_at).u64(self.expires_at.unwrap_or(0));
        put_bound(&mut out, self.policy.as_ref());
        out.text(&self.description);
        out.finish()
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, RowFault> {
        let mut input = Reader::new(body);
        let key = Self {
            service_account: input.flag("service account")?,
            owner: owner(&mut input)?,
            disabled: input.flag("disabled")?,
            created_at: input.u64("created")?,
            expires_at: end(&mut input)?,
            policy: bound(&mut input)?,
            description: input.text(DESCRIPTION_LEN_MAX, "description")?.to_owned(),
        };
        input.finish("access key")?;
        // Users' own access keys have neither.
        let plain = key.policy.is_none() && key.owner != Owner::Root;
        if key.service_account || plain { Ok(key) } else { Err(RowFault::Damaged) }
    }
}

impl Token {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).raw(&self.salt).raw(&self.verifier);
        put_owner(&mut out, &self.owner);
        let bits = Scope::ALL.iter().enumerate().filter(|(_, scope)| self.scopes.contains(scope));
        out.u16(bits.fold(0, |bits, (at, _)| bits | 1 << at));
        out.u64(self.created_at).u64(self.expires_at.unwrap_or(0)).text(&self.description);
        out.finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, RowFault> {
        let mut input = versioned(value)?;
        let (salt, verifier) = (*input.array("salt")?, *input.array("verifier")?);
        let owner = owner(&mut input)?;
        let bits = input.u16("scopes")?;
        if bits == 0 || bits >> Scope::ALL.len() != 0 {
            return Err(RowFault::Damaged);
        }
        let scopes = Scope::ALL.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        let token = Self {
            salt,
            verifier,
            owner,
            scopes: scopes.map(|(_, scope)| *scope).collect(),
            created_at: input.u64("created")?,
            expires_at: end(&mut input)?,
            description: input.text(DESCRIPTION_LEN_MAX, "description")?.to_owned(),
        };
        input.finish("token")?;
        Ok(token)
    }
}

impl Change {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(VERSION).u16(self.kind as u16).u64(self.at).text(&self.by).text(&self.subject);
        out.u8(self.target.is_some().into()).text(self.target.as_deref().unwrap_or(""));
        out.finish()
    }

    pub(crate) fn decode(seq: u64, value: &[u8]) -> Result<Self, RowFault> {
        let mut input = versioned(value)?;
        let number = input.u16("kind")?;
        let kind = ChangeKind::ALL.iter().find(|kind| **kind as u16 == number).ok_or(RowFault::Damaged)?;
        let at = input.u64("at")?;
        let by = input.text(BY_LEN_MAX, "by")?.to_owned();
        let subject = input.text(BY_LEN_MAX, "subject")?.to_owned();
        let targeted = input.flag("targeted")?;
        let target = input.text(BY_LEN_MAX, "target")?;
        if !targeted && !target.is_empty() {
            return Err(RowFault::Damaged);
        }
        let target = targeted.then(|| target.to_owned());
        input.finish("change")?;
        Ok(Self { seq, at, by, kind: *kind, subject, target })
    }
}

/// The number of a change in its row's key.
pub(crate) fn change_seq(key: &[u8]) -> Result<u64, RowFault> {
    let number = key.strip_prefix(CHANGE).and_then(|number| number.try_into().ok());
    Ok(u64::from_be_bytes(number.ok_or(RowFault::Damaged)?))
}

fn versioned(value: &[u8]) -> Result<Reader<'_>, RowFault> {
    let mut input = Reader::new(value);
    check_version(input.u8("version")?, VERSION)?;
    Ok(input)
}

fn put_names(out: &mut Writer, names: &[Name]) {
    out.u32(u32::try_from(names.len()).expect("lists of names are bounded"));
    for name in names {
        out.text(name.as_str());
    }
}

fn names(input: &mut Reader<'_>, most: usize) -> Result<Vec<Name>, RowFault> {
    let count = input.count(4 + 1, "names")?;
    if count > most {
        return Err(RowFault::Damaged);
    }
    let names: Vec<Name> = (0..count).map(|_| name(input)).collect::<Result<_, _>>()?;
    if names.is_sorted_by(|one, next| one < next) { Ok(names) } else { Err(RowFault::Damaged) }
}

pub(crate) fn name(input: &mut Reader<'_>) -> Result<Name, RowFault> {
    Name::parse(input.text(Name::LEN_MAX, "name")?).map_err(|_| RowFault::Damaged)
}

fn put_owner(out: &mut Writer, owner: &Owner) {
    match owner {
        Owner::Root => out.u8(0),
        Owner::User(name) => out.u8(1).text(name.as_str()),
    };
}

fn owner(input: &mut Reader<'_>) -> Result<Owner, RowFault> {
    Ok(match input.flag("owner")? {
        false => Owner::Root,
        true => Owner::User(name(input)?),
    })
}

fn end(input: &mut Reader<'_>) -> Result<Option<u64>, DecodeError> {
    Ok(Some(input.u64("end")?).filter(|end| *end != 0))
}

pub(crate) fn put_bound(out: &mut Writer, policy: Option<&Policy>) {
    out.u8(policy.is_some().into()).text(&policy.map(Policy::to_json).unwrap_or_default());
}

pub(crate) fn bound(input: &mut Reader<'_>) -> Result<Option<Policy>, RowFault> {
    if input.flag("bounded")? {
        return document(input).map(Some);
    }
    match input.text(0, "policy") {
        Ok(_) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

fn document(input: &mut Reader<'_>) -> Result<Policy, RowFault> {
    Policy::parse_identity(input.text(Policy::LEN_MAX, "policy")?).map_err(|_| RowFault::Damaged)
}

/// An access key in a row's key or in a token.
pub(crate) fn access_key(text: &str) -> Result<AccessKey, RowFault> {
    AccessKey::parse(text).map_err(|_| RowFault::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{self, Sample};

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn what_is_read_is_what_was_written_and_has_one_encoding() {
        for Sample { value, again, .. } in samples::rows() {
            assert_eq!(again(&value).unwrap(), value);
            assert!(again(&[value.as_slice(), &[0]].concat()).is_err(), "trailing byte");
            for at in 0..value.len() {
                assert!(again(&value[..at]).is_err(), "cut to {at}");
                for bit in 0..8 {
                    let mut changed = value.clone();
                    changed[at] ^= 1 << bit;
                    if let Ok(encoded) = again(&changed) {
                        assert_eq!(encoded, changed, "bit {bit} of byte {at}");
                    }
                }
            }
        }
    }

    /// The worked example, as it stands on the page.
    #[test]
    fn rows_have_the_bytes_of_the_specification() {
        let page = include_str!("../../../docs/spec/iam.md");
        let (_, example) = page.split_once("**Worked example.**").unwrap();
        let block = example.split("```").nth(1).unwrap();
        let mut written: Vec<String> = Vec::new();
        for line in block.lines().skip(1) {
            match line.strip_prefix("  ") {
                Some(hex) => written.last_mut().unwrap().push_str(hex),
                None => written.push(String::new()),
            }
        }
        let hex = |value: &[u8]| value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let encoded: Vec<String> = samples::rows().iter().map(|sample| hex(&sample.value)).collect();
        assert_eq!(encoded, written);
    }

    #[test]
    fn lists_that_nobody_writes_are_refused() {
        let user = |policies: &[&str]| User {
            id: "ABCDEFGHIJKLMNOP".into(),
            disabled: false,
            created_at: 0,
            policies: policies.iter().map(|text| name(text)).collect(),
            groups: vec![],
        };
        for policies in [&["b", "a"][..], &["a", "a"]] {
            assert_eq!(User::decode(&user(policies).encode()), Err(RowFault::Damaged), "{policies:?}");
        }
        let many: Vec<String> = (10..43).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(User::decode(&user(&many).encode()), Err(RowFault::Damaged));
        assert!(User::decode(&user(&many[1..]).encode()).is_ok());
    }

    #[test]
    fn newer_rows_are_told_from_damaged_ones() {
        let mut value = Group { created_at: 7, policies: vec![] }.encode();
        value[0] = 2;
        assert_eq!(Group::decode(&value), Err(RowFault::TooNew { version: 2 }));
        value[0] = 0;
        assert_eq!(Group::decode(&value), Err(RowFault::Damaged));
    }
}
