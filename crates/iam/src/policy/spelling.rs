//! Names that can be spelled in several ways, as the one that requests are told by. Otherwise a policy that spells one in
//! another way than a request would silently never meet it, and a `Deny` of it would deny nothing.

use std::borrow::Cow;

use super::keys::Key;

/// A condition's value in the spelling that the facts of a request have.
pub(super) fn of_value<'a>(key: &Key, text: &'a str) -> Cow<'a, str> {
    match *key {
        Key::SSE_KMS_KEY_ID => of_kms_key(text),
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

/// An ARN. There is one KMS, so partition, region and account of its keys say nothing, in policies as in requests; others stay as they are.
pub(super) fn of_arn(text: &str) -> Cow<'_, str> {
    let mut parts = text.splitn(6, ':');
    let parts = [(); 6].map(|()| parts.next());
    match parts {
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
