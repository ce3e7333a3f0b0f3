//! Names that can be spelled in several ways, as the one that requests are told by. Otherwise a policy that spells one in
//! another way than a request would silently never meet it, and a `Deny` of it would deny nothing.

use std::borrow::Cow;

use super::keys::Key;
use super::pattern::{Pattern, Syntax};
use crate::ACCOUNT;
use crate::identity::ACCOUNT_EARLIER;

/// A condition's value in the spelling that the facts of a request have.
pub(super) fn of_value<'a>(key: &Key, text: &'a str) -> Cow<'a, str> {
    match *key {
        Key::SSE_KMS_KEY_ID => of_kms_key(text),
        Key::PRINCIPAL_ARN | Key::POLICY_ARN => of_identity(text),
        Key::RESOURCE_ACCOUNT => of_account(text),
        // The root's is the account's, and that of its sessions starts with it.
        Key::USER_ID => match text.strip_prefix(ACCOUNT_EARLIER) {
            Some(session) if session.is_empty() || session.starts_with(':') => {
                Cow::Owned(format!("{ACCOUNT}{session}"))
            }
            _ => Cow::Borrowed(text),
        },
        // `bucket/key`, where the header may begin with a slash.
        Key::COPY_SOURCE => Cow::Borrowed(text.strip_prefix('/').unwrap_or(text)),
        Key::IF_MATCH | Key::IF_NONE_MATCH => Cow::Borrowed(of_entity_tag(text)),
        _ => Cow::Borrowed(text),
    }
}

/// An entity tag, which requests may write with quotes and without, and policies too.
pub(crate) fn of_entity_tag(text: &str) -> &str {
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    bare.filter(|bare| !bare.contains('"')).unwrap_or(text)
}

/// A key of the KMS by its id or its ARN. Nothing that may stand for the beginning of an ARN is taken for an id.
fn of_kms_key(text: &str) -> Cow<'_, str> {
    if text.contains(':') || text.is_empty() || text.starts_with(['*', '?', '$']) {
        return of_arn(text);
    }
    Cow::Owned(format!("arn:aws:kms:::key/{}", text.strip_prefix("key/").unwrap_or(text)))
}

/// The account. It had a name in earlier versions, which policies may still write, or stand for by wildcards.
fn of_account(text: &str) -> Cow<'_, str> {
    let pattern = Pattern::parse(text, Syntax { wildcards: true, variables: false });
    let earlier =
        |pattern: Pattern| pattern.matches_lower(ACCOUNT_EARLIER) && !pattern.matches_lower(ACCOUNT);
    if pattern.is_ok_and(earlier) { Cow::Borrowed(ACCOUNT) } else { Cow::Borrowed(text) }
}

/// An ARN of an identity, or a pattern of such, which need not begin as they do.
fn of_identity(text: &str) -> Cow<'_, str> {
    let inside = format!(":{ACCOUNT_EARLIER}:");
    match of_arn(text) {
        Cow::Borrowed(text) if text.contains(&inside) => {
            Cow::Owned(text.replace(&inside, &format!(":{ACCOUNT}:")))
        }
        spelled => spelled,
    }
}

/// An ARN. There is one KMS, so partition, region and account of its keys say nothing, in policies as in requests. The account of users,
/// groups, policies, roles and sessions had a name in earlier versions. Others stay as they are.
pub(crate) fn of_arn(text: &str) -> Cow<'_, str> {
    let mut parts = text.splitn(6, ':');
    let parts = [(); 6].map(|()| parts.next());
    match parts {
        [
            Some("arn"),
            Some(partition),
            Some(service @ ("iam" | "sts" | "*")),
            Some(region),
            Some(account),
            resource,
        ] => {
            match (of_account(account), resource) {
                (now, _) if now == account => Cow::Borrowed(text),
                (now, Some(resource)) => {
                    Cow::Owned(format!("arn:{partition}:{service}:{region}:{now}:{resource}"))
                }
                // Wildcards at its end stand for a resource as well.
                (now, None) => {
                    let more = if account.ends_with('*') { "*" } else { "" };
                    Cow::Owned(format!("arn:{partition}:{service}:{region}:{now}{more}"))
                }
            }
        }
        [Some("arn"), Some(partition), Some("kms"), Some(region), Some(account), Some(resource)]
            if !region.contains('$') && !account.contains('$') =>
        {
            let partition = if partition.starts_with("aws-") { "aws" } else { partition };
            Cow::Owned(format!("arn:{partition}:kms:::{resource}"))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_key_are_one() {
        let one = "arn:aws:kms:::key/k1";
        for spelling in [
            "k1",
            "key/k1",
            one,
            "arn:aws:kms:us-east-1:111122223333:key/k1",
            "arn:aws:kms:*:*:key/k1",
            "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/k1",
        ] {
            assert_eq!(of_value(&Key::SSE_KMS_KEY_ID, spelling), one, "{spelling}");
        }
        for (pattern, spelled) in [
            ("k*", "arn:aws:kms:::key/k*"),
            ("arn:aws:kms:eu-west-1:*:key/*", "arn:aws:kms:::key/*"),
            ("*", "*"),
            ("*k1", "*k1"),
            ("${aws:username}", "${aws:username}"),
            ("arn:aws:s3:::b", "arn:aws:s3:::b"),
        ] {
            assert_eq!(of_value(&Key::SSE_KMS_KEY_ID, pattern), spelled);
        }
        assert_eq!(of_value(&Key::COPY_SOURCE, "/b/k"), "b/k");
        for key in [Key::PRINCIPAL_ARN, Key::POLICY_ARN] {
            let earlier = "arn:aws:iam::strongroom:user/a";
            assert_eq!(of_value(&key, earlier), "arn:aws:iam::000000000000:user/a");
            assert_eq!(of_value(&key, "arn:aws:iam::strongroom*"), "arn:aws:iam::000000000000*");
            assert_eq!(of_value(&key, "arn:aws:iam::str?ng*:user/a"), "arn:aws:iam::000000000000:user/a");
            assert_eq!(of_value(&key, "*:strongroom:user/a"), "*:000000000000:user/a");
            assert_eq!(of_value(&key, "arn:aws:iam::*:user/a"), "arn:aws:iam::*:user/a");
            assert_eq!(
                of_value(&key, "arn:aws:iam::111122223333:user/a"),
                "arn:aws:iam::111122223333:user/a"
            );
        }
        for (earlier, now) in [
            ("strongroom", "000000000000"),
            ("strongroom:job", "000000000000:job"),
            ("strongrooms", "strongrooms"),
        ] {
            assert_eq!(of_value(&Key::USER_ID, earlier), now);
        }
        assert_eq!(of_value(&Key::RESOURCE_ACCOUNT, "strongroom"), "000000000000");
        assert_eq!(
            of_arn("arn:aws:sts::strongroom:assumed-role/a/b"),
            "arn:aws:sts::000000000000:assumed-role/a/b"
        );
        assert_eq!(of_arn("arn:*:*:*:strongroom:user/a"), "arn:*:*:*:000000000000:user/a");
        assert_eq!(of_arn("arn:aws:s3:::strongroom/a"), "arn:aws:s3:::strongroom/a");
        assert_eq!(of_value(&Key::COPY_SOURCE, "b/k*"), "b/k*");
        assert_eq!(of_value(&Key::USER_NAME, "/b/k"), "/b/k");
        for (tag, spelled) in [
            ("\"a1\"", "a1"),
            ("a1", "a1"),
            ("*", "*"),
            ("\"a*\"", "a*"),
            ("\"a\", \"b\"", "\"a\", \"b\""),
            ("\"", "\""),
        ] {
            assert_eq!(of_value(&Key::IF_MATCH, tag), spelled);
            assert_eq!(of_value(&Key::IF_NONE_MATCH, tag), spelled);
        }
        assert_eq!(of_arn("arn:aws:s3:us-east-1::b/kms:x"), "arn:aws:s3:us-east-1::b/kms:x");
    }
}
