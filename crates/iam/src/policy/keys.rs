//! The keys that conditions and policy variables may name.

/// Every condition key that has one name, in lower case and in order: each is given by this crate or by a face for the requests
/// that it has a meaning for. Names are compared without regard to case.
pub const CONDITION_KEYS: &[&str] = &[
    "aws:currenttime",
    "aws:epochtime",
    "aws:principalarn",
    "aws:principaltype",
    "aws:referer",
    "aws:securetransport",
    "aws:sourceip",
    "aws:tokenissuetime",
    "aws:useragent",
    "aws:userid",
    "aws:username",
    "iam:policyarn",
    "kms:encryptioncontextkeys",
    "kms:viaservice",
    "s3:authtype",
    "s3:delimiter",
    "s3:if-match",
    "s3:if-none-match",
    "s3:locationconstraint",
    "s3:max-keys",
    "s3:object-lock-legal-hold",
    "s3:object-lock-mode",
    "s3:object-lock-remaining-retention-days",
    "s3:object-lock-retain-until-date",
    "s3:objectcreationoperation",
    "s3:prefix",
    "s3:requestobjecttagkeys",
    "s3:resourceaccount",
    "s3:signatureage",
    "s3:signatureversion",
    "s3:tlsversion",
    "s3:versionid",
    "s3:x-amz-acl",
    "s3:x-amz-content-sha256",
    "s3:x-amz-copy-source",
    "s3:x-amz-grant-full-control",
    "s3:x-amz-grant-read",
    "s3:x-amz-grant-read-acp",
    "s3:x-amz-grant-write",
    "s3:x-amz-grant-write-acp",
    "s3:x-amz-metadata-directive",
    "s3:x-amz-object-ownership",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm",
    "s3:x-amz-storage-class",
    "s3:x-amz-website-redirect-location",
];

/// The beginnings, in lower case, of condition keys that end with a name of the client's.
pub const CONDITION_KEY_FAMILIES: &[&str] =
    &["kms:encryptioncontext:", "s3:existingobjecttag/", "s3:requestobjecttag/"];

/// A condition key, quick to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// An index into [`CONDITION_KEYS`].
    Fixed(u8),
    /// An index into [`CONDITION_KEY_FAMILIES`], and the client's name.
    InFamily(u8, Box<str>),
}

const FAMILY_NAME_LEN_MAX: usize = 128;

impl Key {
    pub(crate) const CURRENT_TIME: Self = known("aws:currenttime");
    pub(crate) const EPOCH_TIME: Self = known("aws:epochtime");
    pub(crate) const POLICY_ARN: Self = known("iam:policyarn");
    pub(crate) const PRINCIPAL_ARN: Self = known("aws:principalarn");
    pub(crate) const PRINCIPAL_TYPE: Self = known("aws:principaltype");
    pub(crate) const COPY_SOURCE: Self = known("s3:x-amz-copy-source");
    pub(crate) const IF_MATCH: Self = known("s3:if-match");
    pub(crate) const IF_NONE_MATCH: Self = known("s3:if-none-match");
    pub(crate) const RESOURCE_ACCOUNT: Self = known("s3:resourceaccount");
    pub(crate) const SOURCE_IP: Self = known("aws:sourceip");
    pub(crate) const TOKEN_ISSUE_TIME: Self = known("aws:tokenissuetime");
    pub(crate) const USER_ID: Self = known("aws:userid");
    pub(crate) const USER_NAME: Self = known("aws:username");
    pub(crate) const SSE_KMS_KEY_ID: Self = known("s3:x-amz-server-side-encryption-aws-kms-key-id");

    /// The key of this name in any case; `None` if there is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Longer than any.
        if text.len() > 256 {
            return None;
        }
        let lower = text.to_ascii_lowercase();
        fixed(&lower).or_else(|| {
            let family = CONDITION_KEY_FAMILIES.iter().find(|family| lower.starts_with(**family))?;
            Self::in_family(family, text.get(family.len()..)?)
        })
    }

    pub(crate) fn in_family(family: &str, name: &str) -> Option<Self> {
        let at = CONDITION_KEY_FAMILIES.iter().position(|known| *known == family)?;
        let fits = !name.is_empty() && name.chars().count() <= FAMILY_NAME_LEN_MAX;
        fits.then(|| Self::InFamily(u8::try_from(at).expect("there are three families"), name.into()))
    }
}

/// The key with exactly this lower-case name.
pub(crate) fn fixed(name: &str) -> Option<Key> {
    let at = CONDITION_KEYS.binary_search(&name).ok()?;
    Some(Key::Fixed(u8::try_from(at).expect("there are fewer than 256 keys")))
}

/// [`fixed`] for names in this file, at compile time.
const fn known(name: &str) -> Key {
    let mut at: u8 = 0;
    while (at as usize) < CONDITION_KEYS.len() {
        if same(CONDITION_KEYS[at as usize].as_bytes(), name.as_bytes()) {
            return Key::Fixed(at);
        }
        at += 1;
    }
    unreachable!()
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order_and_lower_case_so_that_they_are_found() {
        assert!(CONDITION_KEYS.is_sorted());
        for key in CONDITION_KEYS.iter().chain(CONDITION_KEY_FAMILIES) {
            assert_eq!(*key, key.to_ascii_lowercase());
        }
        for key in CONDITION_KEYS {
            assert_eq!(Key::parse(&key.to_ascii_uppercase()), fixed(key));
            assert!(fixed(key).is_some());
        }
        assert_eq!(Key::SOURCE_IP, fixed("aws:sourceip").unwrap());
    }

    #[test]
    fn name_in_a_family_keeps_its_case() {
        let key = Key::parse("S3:existingObjectTag/Project").unwrap();
        assert_eq!(Some(&key), Key::in_family("s3:existingobjecttag/", "Project").as_ref());
        assert_ne!(Some(&key), Key::in_family("s3:existingobjecttag/", "project").as_ref());
        assert_eq!(Key::parse("s3:ExistingObjectTag/"), None);
        assert_eq!(Key::parse("s3:ExistingObjectTagK/"), None);
        assert_eq!(Key::parse("aws:SourceIps"), None);
    }
}
