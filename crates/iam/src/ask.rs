//! What is asked of a decision, and what it answers.

use std::collections::BTreeMap;
use std::fmt;

use crate::policy::keys::{self, Key};
use crate::policy::spelling;
use crate::{ACCOUNT, Identity};

/// What an action is done to: an Amazon resource name, with [`ACCOUNT`] where AWS has an account's number, or `*` for
/// an action that is done to no particular thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arn(String);

impl Arn {
    /// A bucket: `arn:aws:s3:::BUCKET`.
    pub fn bucket(bucket: &str) -> Self {
        Self(format!("arn:aws:s3:::{bucket}"))
    }

    /// An object: `arn:aws:s3:::BUCKET/KEY`.
    pub fn object(bucket: &str, key: &str) -> Self {
        Self(format!("arn:aws:s3:::{bucket}/{key}"))
    }

    /// A key of the key management service: `arn:aws:kms:::key/ID`.
    pub fn kms_key(id: &str) -> Self {
        Self(format!("arn:aws:kms:::key/{id}"))
    }

    /// A user: `arn:aws:iam::000000000000:user/NAME`.
    pub fn user(name: &str) -> Self {
        Self(format!("arn:aws:iam::{ACCOUNT}:user/{name}"))
    }

    /// A group: `arn:aws:iam::000000000000:group/NAME`.
    pub fn group(name: &str) -> Self {
        Self(format!("arn:aws:iam::{ACCOUNT}:group/{name}"))
    }

    /// A policy: `arn:aws:iam::000000000000:policy/NAME`.
    pub fn policy(name: &str) -> Self {
        Self(format!("arn:aws:iam::{ACCOUNT}:policy/{name}"))
    }

    /// A role, by what the client calls it. There are no roles, so this is whatever text it is, in the spelling that policies are read in.
    pub fn role(named: &str) -> Self {
        Self(spelling::of_arn(named).into_owned())
    }

    /// No particular thing: `*`.
    pub fn all() -> Self {
        Self("*".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a request beside who asks for what: the values of the keys that conditions name.
///
/// [`Iam::decide`](crate::Iam::decide) adds what follows from the identity and the clock (`aws:username`, `aws:userid`,
/// `aws:PrincipalType`, `aws:PrincipalArn`, `aws:TokenIssueTime`, `aws:CurrentTime`, `aws:EpochTime`).
#[derive(Debug, Clone, Default)]
pub struct Facts(Vec<(Key, String)>);

impl Facts {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The one value of a key, in the place of others it had. `key` is lower case, and one of [`CONDITION_KEYS`](crate::CONDITION_KEYS);
    /// no policy can ask for another one, so it is dropped.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>) {
        if let Some(key) = known(key) {
            self.0.retain(|(other, _)| *other != key);
            let value = value.into();
            let value = match key {
                // With quotes or without it is the same tag to who carries the request out, so it is to who decides.
                Key::IF_MATCH | Key::IF_NONE_MATCH => spelling::of_entity_tag(&value).to_owned(),
                _ => value,
            };
            self.0.push((key, value));
        }
    }

    /// No value of a key: what a request says of the whole is not said of the thing that is asked about.
    pub fn unset(&mut self, key: &'static str) {
        if let Some(key) = known(key) {
            self.0.retain(|(other, _)| *other != key);
        }
    }

    /// One more value of a key that has several, such as `s3:requestobjecttagkeys`.
    pub fn add(&mut self, key: &'static str, value: impl Into<String>) {
        if let Some(key) = known(key) {
            self.0.push((key, value.into()));
        }
    }

    /// The value of a key that ends with a name of the client's, such as `s3:existingobjecttag/` with `project`. `family` is
    /// one of [`CONDITION_KEY_FAMILIES`](crate::CONDITION_KEY_FAMILIES). The name's case counts. A name that no policy can write, empty
    /// or longer than a tag's, is not kept: nobody can ask for it.
    pub fn set_tag(&mut self, family: &'static str, name: &str, value: impl Into<String>) {
        debug_assert!(
            keys::CONDITION_KEY_FAMILIES.contains(&family),
            "{family} is not a family of condition keys"
        );
        if let Some(key) = Key::in_family(family, name) {
            self.0.retain(|(other, _)| *other != key);
            self.0.push((key, value.into()));
        }
    }

    /// What a key of the KMS is used with: the client's encryption context, a JSON object of texts, and as on AWS the ARN of the
    /// object, or of the bucket whose key it is.
    pub fn set_encryption_context(&mut self, client: &str, of: &Arn) {
        const OWN: &str = "aws:s3:arn";
        const FAMILY: &str = "kms:encryptioncontext:";
        let client: BTreeMap<String, String> = serde_json::from_str(client).unwrap_or_default();
        let client = client.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // What the object is, is not for clients to say.
        for (name, value) in client.filter(|(name, _)| *name != OWN).chain([(OWN, of.as_str())]) {
            self.add("kms:encryptioncontextkeys", name);
            self.set_tag(FAMILY, name, value);
        }
    }

    pub(crate) fn values<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a str> + Clone {
        self.0.iter().filter(move |(other, _)| other == key).map(|(_, value)| value.as_str())
    }
}

fn known(key: &'static str) -> Option<Key> {
    let known = keys::fixed(key);
    debug_assert!(known.is_some(), "{key} is not a condition key");
    known
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// Does what, by its name in policies: `s3:GetObject`, `kms:Decrypt`, `iam:CreateUser`.
    pub action: &'static str,
    /// To what.
    pub resource: &'a Arn,
    /// Under which circumstances.
    pub facts: &'a Facts,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Something allows it and nothing denies it.
    Allow,
    /// A statement denies it, whatever others allow.
    ExplicitDeny,
    /// Nothing allows it.
    ImplicitDeny,
}

/// Why something may not be done, in the terms of AWS's sentences ("Troubleshoot access denied error messages").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Denial {
    /// Whether a statement denies it; otherwise nothing allows it.
    pub explicit: bool,
    /// The kind of policy that denies it, or that has to allow it and does not.
    pub by: PolicyKind,
}

/// Where a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Of a user or one of its groups.
    Identity,
    /// What bounds a service account or a session.
    Session,
    /// Of a bucket.
    Resource,
}

impl PolicyKind {
    /// Its name, with the article that goes with it.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Identity => "an identity-based policy",
            Self::Session => "a session policy",
            Self::Resource => "a resource-based policy",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.with_article();
        f.write_str(name.split_once(' ').map_or(name, |(_, name)| name))
    }
}

impl Decision {
    /// Whether it may be done.
    pub fn is_allowed(self) -> bool {
        self == Self::Allow
    }
}
