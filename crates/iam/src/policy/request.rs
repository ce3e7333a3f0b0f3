//! What a policy is evaluated against.

use std::borrow::Cow;

use super::keys::Key;
use crate::{ACCOUNT, Facts, Identity};

/// One question, prepared.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The action in lower case.
    pub(crate) action: &'a str,
    /// The resource's ARN, or `*`.
    pub(crate) resource: &'a str,
    /// Who.
    pub(crate) identity: &'a Identity,
    /// What no other user has or had: of the user whom the identity acts for.
    pub(crate) user_id: Option<&'a str>,
    /// What the faces know.
    pub(crate) facts: &'a Facts,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Request<'_> {
    /// The values of a key, in no order that means something. What follows from identity and clock is never taken from the facts.
    pub(super) fn values<'s>(&'s self, key: &'s Key) -> impl Iterator<Item = Cow<'s, str>> + Clone {
        let own = match key {
            Key::Fixed(_) => self.own(key),
            Key::InFamily(..) => Own::NotMine,
        };
        let (one, facts) = match own {
            Own::Value(value) => (Some(value), None),
            Own::Absent => (None, None),
            Own::NotMine => (None, Some(self.facts)),
        };
        one.into_iter().chain(facts.into_iter().flat_map(|facts| facts.values(key)).map(Cow::Borrowed))
    }

    /// The value of a key that has one; `None` if it has none or several.
    pub(super) fn single<'s>(&'s self, key: &'s Key) -> Option<Cow<'s, str>> {
        let mut values = self.values(key);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    fn own(&self, key: &Key) -> Own<'_> {
        let value = match *key {
            Key::USER_NAME => self.identity.user().map(|name| Cow::Borrowed(name.as_str())),
            Key::USER_ID => id_of(self.identity, self.user_id),
            Key::PRINCIPAL_TYPE => Some(Cow::Borrowed(principal_type(self.identity))),
            Key::PRINCIPAL_ARN => match self.identity.owner() {
                Some(Identity::Root) => Some(Cow::Owned(format!("arn:aws:iam::{ACCOUNT}:root"))),
                Some(owner) => Some(Cow::Owned(owner.to_string())),
                None => None,
            },
            // There is one account, and each bucket is its.
            Key::RESOURCE_ACCOUNT => self.action.starts_with("s3:").then_some(Cow::Borrowed(ACCOUNT)),
            Key::EPOCH_TIME => Some(Cow::Owned(self.now.to_string())),
            Key::CURRENT_TIME => super::dates::text(self.now).map(Cow::Owned),
            Key::TOKEN_ISSUE_TIME => match self.identity {
                Identity::Session { issued_at, .. } => super::dates::text(*issued_at).map(Cow::Owned),
                _ => None,
            },
            _ => return Own::NotMine,
        };
        value.map_or(Own::Absent, Own::Value)
    }
}

/// What `aws:userid` is for an identity that acts for the user with this id.
pub(crate) fn id_of<'a>(identity: &Identity, user_id: Option<&'a str>) -> Option<Cow<'a, str>> {
    Some(match identity {
        Identity::Root => Cow::Borrowed(ACCOUNT),
        Identity::User { .. } => Cow::Borrowed(user_id?),
        Identity::ServiceAccount { parent, .. } => id_of(parent, user_id)?,
        Identity::Session { name, parent, .. } => Cow::Owned(format!("{}:{name}", id_of(parent, user_id)?)),
        Identity::Anonymous => Cow::Borrowed("anonymous"),
    })
}

enum Own<'a> {
    Value(Cow<'a, str>),
    Absent,
    NotMine,
}

fn principal_type(identity: &Identity) -> &'static str {
    match identity {
        Identity::Root => "Account",
        Identity::User { .. } => "User",
        Identity::ServiceAccount { parent, .. } => principal_type(parent),
        Identity::Session { .. } => "AssumedRole",
        Identity::Anonymous => "Anonymous",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{AccessKey, Name};

    /// Calls `then` with a request for `s3:GetObject` of `b/k` by the user in `aws:username`, or else by nobody.
    pub(crate) fn request<T>(
        facts: &[(&'static str, &str)],
        then: impl for<'a> FnOnce(&'a Request<'a>) -> T,
    ) -> T {
        let mut known = Facts::new();
        let mut identity = Identity::Anonymous;
        for (key, value) in facts {
            match (*key, key.split_once('/')) {
                ("aws:username", _) => identity = Identity::User { name: Name::parse(value).unwrap() },
                ("s3:requestobjecttagkeys", _) => known.add(key, *value),
                (_, Some((family, name))) => {
                    let family = match family {
                        "s3:existingobjecttag" => "s3:existingobjecttag/",
                        _ => "s3:requestobjecttag/",
                    };
                    known.set_tag(family, name, *value);
                }
                _ => known.set(key, *value),
            }
        }
        then(&Request {
            action: "s3:getobject",
            resource: "arn:aws:s3:::b/k",
            identity: &identity,
            user_id: Some("UID1"),
            facts: &known,
            now: 1_600_000_000,
        })
    }

    fn user() -> Identity {
        Identity::User { name: Name::parse("bob").unwrap() }
    }

    fn own(identity: &Identity, key: &str) -> Option<String> {
        let facts = Facts::new();
        let request = Request {
            action: "s3:getobject",
            resource: "*",
            identity,
            user_id: Some("UID1"),
            facts: &facts,
            now: 1_600_000_000,
        };
        request.single(&Key::parse(key).unwrap()).map(Cow::into_owned)
    }

    #[test]
    fn identity_and_clock_give_their_keys() {
        let access_key = AccessKey::parse("AKID").unwrap();
        let account = Identity::ServiceAccount { access_key: access_key.clone(), parent: Box::new(user()) };
        let session = Identity::Session {
            access_key,
            name: Name::parse("job").unwrap(),
            issued_at: 1_599_996_400,
            parent: Box::new(user()),
            policy: None,
        };
        let arn = "arn:aws:iam::000000000000:user/bob";
        assert_eq!(own(&session, "aws:TokenIssueTime").as_deref(), Some("2020-09-13T11:26:40Z"));
        assert_eq!(own(&account, "aws:TokenIssueTime"), None, "it does not end by itself");
        for (identity, name, id, kind, principal) in [
            (Identity::Root, None, "000000000000", "Account", Some("arn:aws:iam::000000000000:root")),
            (user(), Some("bob"), "UID1", "User", Some(arn)),
            (account, Some("bob"), "UID1", "User", Some(arn)),
            (session, Some("bob"), "UID1:job", "AssumedRole", Some(arn)),
            (Identity::Anonymous, None, "anonymous", "Anonymous", None),
        ] {
            assert_eq!(own(&identity, "aws:username").as_deref(), name);
            assert_eq!(own(&identity, "aws:userid").as_deref(), Some(id));
            assert_eq!(own(&identity, "aws:PrincipalType").as_deref(), Some(kind));
            assert_eq!(own(&identity, "aws:PrincipalArn").as_deref(), principal);
        }
        assert_eq!(own(&user(), "aws:EpochTime").as_deref(), Some("1600000000"));
        assert_eq!(own(&user(), "s3:ResourceAccount").as_deref(), Some("000000000000"));
        assert_eq!(own(&user(), "aws:CurrentTime").as_deref(), Some("2020-09-13T12:26:40Z"));
    }

    #[test]
    fn facts_cannot_say_who_asks() {
        let mut facts = Facts::new();
        facts.set("aws:username", "root");
        let request = Request {
            action: "s3:getobject",
            resource: "*",
            identity: &Identity::Anonymous,
            user_id: None,
            facts: &facts,
            now: 0,
        };
        assert_eq!(request.single(&Key::USER_NAME), None);
    }
}
