//! S3's actions, for the checks of bucket policies: identity policies may name any.
//!
//! See AWS, "Actions, resources, and condition keys for Amazon S3". Those that are not carried out here are taken too, so that a
//! policy from elsewhere need not be changed.

use super::pattern::Pattern;

/// What an action is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Bucket,
    Object,
}

/// In lower case, as they are compared.
const OBJECT: &[&str] = &[
    "abortmultipartupload",
    "bypassgovernanceretention",
    "deleteobject",
    "deleteobjecttagging",
    "deleteobjectversion",
    "deleteobjectversiontagging",
    "getobject",
    "getobjectacl",
    "getobjectattributes",
    "getobjectlegalhold",
    "getobjectretention",
    "getobjecttagging",
    "getobjecttorrent",
    "getobjectversion",
    "getobjectversionacl",
    "getobjectversionattributes",
    "getobjectversionforreplication",
    "getobjectversiontagging",
    "getobjectversiontorrent",
    "initiatereplication",
    "listmultipartuploadparts",
    "objectowneroverridetobucketowner",
    "putobject",
    "putobjectacl",
    "putobjectlegalhold",
    "putobjectretention",
    "putobjecttagging",
    "putobjectversionacl",
    "putobjectversiontagging",
    "replicatedelete",
    "replicateobject",
    "replicatetags",
    "restoreobject",
];

const BUCKET: &[&str] = &[
    "createbucket",
    "deletebucket",
    "deletebucketownershipcontrols",
    "deletebucketpolicy",
    "deletebucketpublicaccessblock",
    "deletebucketwebsite",
    "getaccelerateconfiguration",
    "getanalyticsconfiguration",
    "getbucketacl",
    "getbucketcors",
    "getbucketlocation",
    "getbucketlogging",
    "getbucketnotification",
    "getbucketobjectlockconfiguration",
    "getbucketownershipcontrols",
    "getbucketpolicy",
    "getbucketpolicystatus",
    "getbucketpublicaccessblock",
    "getbucketrequestpayment",
    "getbuckettagging",
    "getbucketversioning",
    "getbucketwebsite",
    "getencryptionconfiguration",
    "getintelligenttieringconfiguration",
    "getinventoryconfiguration",
    "getlifecycleconfiguration",
    "getmetricsconfiguration",
    "getreplicationconfiguration",
    "listbucket",
    "listbucketmultipartuploads",
    "listbucketversions",
    "putaccelerateconfiguration",
    "putanalyticsconfiguration",
    "putbucketacl",
    "putbucketcors",
    "putbucketlogging",
    "putbucketnotification",
    "putbucketobjectlockconfiguration",
    "putbucketownershipcontrols",
    "putbucketpolicy",
    "putbucketpublicaccessblock",
    "putbucketrequestpayment",
    "putbuckettagging",
    "putbucketversioning",
    "putbucketwebsite",
    "putencryptionconfiguration",
    "putintelligenttieringconfiguration",
    "putinventoryconfiguration",
    "putlifecycleconfiguration",
    "putmetricsconfiguration",
    "putreplicationconfiguration",
    "tagresource",
];

/// The levels of S3's actions that a pattern with `s3:` taken off stands for: of buckets, and of objects.
pub(super) fn levels(pattern: &Pattern) -> Vec<Level> {
    let named = |names: &[&str]| names.iter().any(|name| pattern.matches_lower(&format!("s3:{name}")));
    let levels = [(Level::Bucket, BUCKET), (Level::Object, OBJECT)];
    levels.into_iter().filter(|(_, names)| named(names)).map(|(level, _)| level).collect()
}

/// Whether it is written as an action: `*`, or a service and a name.
pub(super) fn is_action(text: &str) -> bool {
    let Some((service, name)) = text.split_once(':') else { return text == "*" };
    let service_fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let name_fits = |byte: u8| byte.is_ascii_alphanumeric() || b"*?".contains(&byte);
    !service.is_empty()
        && service.bytes().all(service_fits)
        && !name.is_empty()
        && name.bytes().all(name_fits)
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Syntax;
    use super::*;

    #[test]
    fn patterns_find_what_their_actions_are_done_to() {
        let of =
            |text: &str| levels(&Pattern::parse(text, Syntax { wildcards: true, variables: false }).unwrap());
        assert_eq!(of("s3:getobject"), [Level::Object]);
        assert_eq!(of("s3:listbucket*"), [Level::Bucket]);
        assert_eq!(of("s3:*"), [Level::Bucket, Level::Object]);
        assert_eq!(of("*"), [Level::Bucket, Level::Object]);
        assert_eq!(of("s3:getobjct"), []);
        assert_eq!(of("kms:*"), []);
        assert!(BUCKET.is_sorted() && OBJECT.is_sorted());
    }
}
