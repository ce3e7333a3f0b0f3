//! What each operation is called in policies.
//!
//! AWS, "Actions, resources, and condition keys for Amazon S3", and the permissions that the page of each operation asks
//! for. The table has every operation of the face; a test compares the two.

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderName};

/// When an operation is authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Before its body is read.
    Head,
    /// After its document is read: what it says is a fact that conditions ask for.
    Document,
    /// The operation asks itself, for each thing that it touches.
    Itself,
}

/// How one operation is authorised.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) operation: &'static str,
    /// The action, and the one in its place if the request names a version.
    action: &'static str,
    of_version: &'static str,
    /// A second action that is needed as well, and the one in its place for a version.
    also: Option<(&'static str, &'static str)>,
    pub(crate) when: When,
    /// Whether tags of the object that is there are a fact.
    pub(crate) of_existing: bool,
    /// Whether the encryption of the upload that it names is a fact.
    pub(crate) of_upload: bool,
}

impl Rule {
    const fn new(operation: &'static str, action: &'static str) -> Self {
        Self {
            operation,
            action,
            of_version: action,
            also: None,
            when: When::Head,
            of_existing: false,
            of_upload: false,
        }
    }

    const fn version(mut self, of_version: &'static str) -> Self {
        self.of_version = of_version;
        self
    }

    const fn also(mut self, action: &'static str, of_version: &'static str) -> Self {
        self.also = Some((action, of_version));
        self
    }

    const fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// About an object that is there already.
    const fn of_existing(mut self) -> Self {
        self.of_existing = true;
        self
    }

    /// Adds to an upload, whose encryption was chosen when it was begun.
    const fn of_upload(mut self) -> Self {
        self.of_upload = true;
        self
    }

    /// The actions that this request needs, the operation's own first.
    pub(crate) fn actions(&self, names_version: bool, headers: &HeaderMap) -> Vec<&'static str> {
        let pick = |(plain, of_version)| if names_version { of_version } else { plain };
        let mut all = vec![pick((self.action, self.of_version))];
        all.extend(self.also.map(pick));
        for extra in &EXTRAS {
            if extra.operations.contains(&self.operation) && extra.is_asked_for(self.operation, headers) {
                all.push(extra.action);
            }
        }
        all
    }
}

/// Whether the answer tells something of the object that is there, which only who may read it is to learn.
///
/// AWS, "How to perform conditional deletes": with an entity tag `s3:GetObject` is needed, with `*` it is not. A write with a tag
/// tells the same: an entity tag under SSE-S3 is the MD5 of the content, so 412 or not answers any guess of it. So does a delete
/// by size or time.
pub(crate) fn reads_existing(operation: &str, headers: &HeaderMap) -> bool {
    const WITH_TAG: [&str; 4] = ["PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject"];
    const OF_DELETE: [&str; 2] = ["x-amz-if-match-size", "x-amz-if-match-last-modified-time"];
    let tag = || headers.get_all(IF_MATCH).iter().any(|tag| names_tag(tag.as_bytes()));
    WITH_TAG.contains(&operation) && tag()
        || operation == "DeleteObject" && OF_DELETE.iter().any(|name| headers.contains_key(*name))
}

/// Whether a condition compares the content, and not only asks whether there is something.
pub(crate) fn names_tag(condition: &[u8]) -> bool {
    condition != b"*"
}

/// An action that a header makes necessary.
struct Extra {
    operations: &'static [&'static str],
    header: HeaderName,
    action: &'static str,
}

impl Extra {
    fn is_asked_for(&self, operation: &str, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(&self.header) else { return false };
        match self.header.as_str() {
            // A copy takes these tags only if it is told to; otherwise they are those of the source.
            "x-amz-tagging" => {
                let replaces = headers.get("x-amz-tagging-directive").is_some_and(|value| value == "REPLACE");
                !value.is_empty() && (replaces || operation != "CopyObject")
            }
            "x-amz-bucket-object-lock-enabled" => value.as_bytes().eq_ignore_ascii_case(b"true"),
            _ => true,
        }
    }
}

const WRITES: &[&str] = &["PutObject", "CopyObject", "CreateMultipartUpload"];
const CREATES: &[&str] = &["CreateBucket"];

const fn extra(operations: &'static [&'static str], header: &'static str, action: &'static str) -> Extra {
    Extra { operations, header: HeaderName::from_static(header), action }
}

static EXTRAS: [Extra; 19] = [
    extra(WRITES, "x-amz-tagging", "s3:PutObjectTagging"),
    extra(WRITES, "x-amz-object-lock-mode", "s3:PutObjectRetention"),
    extra(WRITES, "x-amz-object-lock-retain-until-date", "s3:PutObjectRetention"),
    extra(WRITES, "x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"),
    extra(WRITES, "x-amz-acl", "s3:PutObjectAcl"),
    extra(WRITES, "x-amz-grant-full-control", "s3:PutObjectAcl"),
    extra(WRITES, "x-amz-grant-read", "s3:PutObjectAcl"),
    extra(WRITES, "x-amz-grant-read-acp", "s3:PutObjectAcl"),
    extra(WRITES, "x-amz-grant-write", "s3:PutObjectAcl"),
    extra(WRITES, "x-amz-grant-write-acp", "s3:PutObjectAcl"),
    extra(CREATES, "x-amz-acl", "s3:PutBucketAcl"),
    extra(CREATES, "x-amz-grant-full-control", "s3:PutBucketAcl"),
    extra(CREATES, "x-amz-grant-read", "s3:PutBucketAcl"),
    extra(CREATES, "x-amz-grant-read-acp", "s3:PutBucketAcl"),
    extra(CREATES, "x-amz-grant-write", "s3:PutBucketAcl"),
    extra(CREATES, "x-amz-grant-write-acp", "s3:PutBucketAcl"),
    extra(CREATES, "x-amz-object-ownership", "s3:PutBucketOwnershipControls"),
    extra(CREATES, "x-amz-bucket-object-lock-enabled", "s3:PutBucketObjectLockConfiguration"),
    extra(CREATES, "x-amz-bucket-object-lock-enabled", "s3:PutBucketVersioning"),
];

const fn rule(operation: &'static str, action: &'static str) -> Rule {
    Rule::new(operation, action)
}

/// Every operation of the face.
pub(crate) static RULES: [Rule; 81] = [
    // The service and its buckets.
    rule("ListBuckets", "s3:ListAllMyBuckets").when(When::Itself),
    rule("CreateBucket", "s3:CreateBucket").when(When::Document),
    rule("HeadBucket", "s3:ListBucket"),
    rule("DeleteBucket", "s3:DeleteBucket"),
    rule("GetBucketLocation", "s3:GetBucketLocation"),
    // Settings of buckets.
    rule("GetBucketVersioning", "s3:GetBucketVersioning"),
    rule("PutBucketVersioning", "s3:PutBucketVersioning"),
    rule("GetBucketEncryption", "s3:GetEncryptionConfiguration"),
    rule("PutBucketEncryption", "s3:PutEncryptionConfiguration"),
    rule("DeleteBucketEncryption", "s3:PutEncryptionConfiguration"),
    rule("GetBucketRequestPayment", "s3:GetBucketRequestPayment"),
    rule("PutBucketRequestPayment", "s3:PutBucketRequestPayment"),
    rule("GetBucketAccelerateConfiguration", "s3:GetAccelerateConfiguration"),
    rule("PutBucketAccelerateConfiguration", "s3:PutAccelerateConfiguration"),
    rule("GetBucketLogging", "s3:GetBucketLogging"),
    rule("PutBucketLogging", "s3:PutBucketLogging"),
    rule("GetBucketNotificationConfiguration", "s3:GetBucketNotification"),
    rule("PutBucketNotificationConfiguration", "s3:PutBucketNotification"),
    rule("GetBucketOwnershipControls", "s3:GetBucketOwnershipControls"),
    rule("PutBucketOwnershipControls", "s3:PutBucketOwnershipControls"),
    rule("DeleteBucketOwnershipControls", "s3:PutBucketOwnershipControls"),
    rule("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
    rule("PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
    rule("DeletePublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
    rule("GetBucketPolicy", "s3:GetBucketPolicy"),
    rule("PutBucketPolicy", "s3:PutBucketPolicy"),
    rule("DeleteBucketPolicy", "s3:DeleteBucketPolicy"),
    rule("GetBucketPolicyStatus", "s3:GetBucketPolicyStatus"),
    rule("GetBucketCors", "s3:GetBucketCORS"),
    rule("PutBucketCors", "s3:PutBucketCORS"),
    rule("DeleteBucketCors", "s3:PutBucketCORS"),
    rule("GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
    rule("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
    rule("DeleteBucketLifecycle", "s3:PutLifecycleConfiguration"),
    rule("GetBucketTagging", "s3:GetBucketTagging"),
    rule("PutBucketTagging", "s3:PutBucketTagging"),
    rule("DeleteBucketTagging", "s3:PutBucketTagging"),
    rule("GetBucketWebsite", "s3:GetBucketWebsite"),
    rule("PutBucketWebsite", "s3:PutBucketWebsite"),
    rule("DeleteBucketWebsite", "s3:DeleteBucketWebsite"),
    rule("GetBucketReplication", "s3:GetReplicationConfiguration"),
    rule("PutBucketReplication", "s3:PutReplicationConfiguration"),
    rule("DeleteBucketReplication", "s3:PutReplicationConfiguration"),
    rule("ListBucketAnalyticsConfigurations", "s3:GetAnalyticsConfiguration"),
    rule("ListBucketIntelligentTieringConfigurations", "s3:GetIntelligentTieringConfiguration"),
    rule("ListBucketInventoryConfigurations", "s3:GetInventoryConfiguration"),
    rule("ListBucketMetricsConfigurations", "s3:GetMetricsConfiguration"),
    rule("GetObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration"),
    rule("PutObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration"),
    rule("GetBucketAcl", "s3:GetBucketAcl"),
    rule("PutBucketAcl", "s3:PutBucketAcl"),
    // Listings.
    rule("ListObjects", "s3:ListBucket"),
    rule("ListObjectsV2", "s3:ListBucket"),
    rule("ListObjectVersions", "s3:ListBucketVersions"),
    rule("ListMultipartUploads", "s3:ListBucketMultipartUploads"),
    // Objects.
    rule("GetObject", "s3:GetObject").version("s3:GetObjectVersion").of_existing(),
    rule("HeadObject", "s3:GetObject").version("s3:GetObjectVersion").of_existing(),
    rule("GetObjectAttributes", "s3:GetObjectAttributes")
        .version("s3:GetObjectVersionAttributes")
        .also("s3:GetObject", "s3:GetObjectVersion")
        .of_existing(),
    rule("PutObject", "s3:PutObject"),
    rule("PostObject", "s3:PutObject"),
    rule("CopyObject", "s3:PutObject"),
    rule("DeleteObject", "s3:DeleteObject").version("s3:DeleteObjectVersion"),
    rule("DeleteObjects", "s3:DeleteObject").version("s3:DeleteObjectVersion").when(When::Itself),
    rule("GetObjectTagging", "s3:GetObjectTagging").version("s3:GetObjectVersionTagging").of_existing(),
    rule("PutObjectTagging", "s3:PutObjectTagging")
        .version("s3:PutObjectVersionTagging")
        .when(When::Document)
        .of_existing(),
    rule("DeleteObjectTagging", "s3:DeleteObjectTagging")
        .version("s3:DeleteObjectVersionTagging")
        .of_existing(),
    rule("GetObjectAcl", "s3:GetObjectAcl").version("s3:GetObjectVersionAcl").of_existing(),
    rule("PutObjectAcl", "s3:PutObjectAcl").version("s3:PutObjectVersionAcl").of_existing(),
    rule("GetObjectRetention", "s3:GetObjectRetention"),
    rule("PutObjectRetention", "s3:PutObjectRetention").when(When::Document),
    rule("GetObjectLegalHold", "s3:GetObjectLegalHold"),
    rule("PutObjectLegalHold", "s3:PutObjectLegalHold").when(When::Document),
    rule("GetObjectTorrent", "s3:GetObjectTorrent"),
    rule("RestoreObject", "s3:RestoreObject"),
    rule("SelectObjectContent", "s3:GetObject").of_existing(),
    // Multipart uploads.
    rule("CreateMultipartUpload", "s3:PutObject"),
    rule("UploadPart", "s3:PutObject").of_upload(),
    rule("UploadPartCopy", "s3:PutObject").of_upload(),
    rule("CompleteMultipartUpload", "s3:PutObject").of_upload(),
    rule("AbortMultipartUpload", "s3:AbortMultipartUpload"),
    rule("ListParts", "s3:ListMultipartUploadParts"),
];

/// How an operation is authorised. What is not in the table is not there at all.
pub(crate) fn rule_of(operation: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.operation == operation)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn actions(
        operation: &str,
        versioned: bool,
        headers: &[(&'static str, &'static str)],
    ) -> Vec<&'static str> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        rule_of(operation).unwrap().actions(versioned, &headers)
    }

    #[test]
    fn every_operation_of_the_face_has_an_action() {
        for method in crate::face::METHODS {
            // get_object_acl is called GetObjectAcl.
            let name: String =
                method.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
            assert!(rule_of(&name).is_some(), "{name} has no action, so nobody would be asked");
        }
    }

    #[test]
    fn no_operation_stands_twice() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.operation).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn versions_have_actions_of_their_own() {
        for (operation, plain, of_version) in [
            ("GetObject", "s3:GetObject", "s3:GetObjectVersion"),
            ("HeadObject", "s3:GetObject", "s3:GetObjectVersion"),
            ("DeleteObject", "s3:DeleteObject", "s3:DeleteObjectVersion"),
            ("GetObjectTagging", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
            ("PutObjectTagging", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
            ("DeleteObjectTagging", "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
            ("GetObjectAcl", "s3:GetObjectAcl", "s3:GetObjectVersionAcl"),
        ] {
            assert_eq!(actions(operation, false, &[]), [plain]);
            assert_eq!(actions(operation, true, &[]), [of_version]);
        }
        assert_eq!(
            actions("GetObjectAttributes", true, &[]),
            ["s3:GetObjectVersionAttributes", "s3:GetObjectVersion"]
        );
    }

    #[test]
    fn conditions_on_what_is_there_are_for_those_who_may_read_it() {
        let reads = |operation, name, value| {
            let pair = (HeaderName::from_static(name), HeaderValue::from_static(value));
            reads_existing(operation, &HeaderMap::from_iter([pair]))
        };
        for operation in ["PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject"] {
            assert!(reads(operation, "if-match", "\"x\""), "{operation}");
            assert!(
                !reads(operation, "if-match", "*") && !reads(operation, "if-none-match", "*"),
                "{operation}"
            );
        }
        assert!(!reads("UploadPart", "if-match", "\"x\""));
        assert!(reads("DeleteObject", "x-amz-if-match-size", "1"));
        assert!(reads("DeleteObject", "x-amz-if-match-last-modified-time", "x"));
        assert!(!reads("PutObject", "x-amz-if-match-size", "1"));
    }

    #[test]
    fn headers_that_do_more_than_the_operation_need_more() {
        assert_eq!(
            actions("PutObject", false, &[("x-amz-tagging", "a=b"), ("x-amz-object-lock-legal-hold", "ON")]),
            ["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectLegalHold"]
        );
        assert_eq!(
            actions("PutObject", false, &[("x-amz-object-lock-mode", "GOVERNANCE")]),
            ["s3:PutObject", "s3:PutObjectRetention"]
        );
        let copy = ("x-amz-copy-source", "/b/k");
        assert_eq!(actions("CopyObject", false, &[copy, ("x-amz-tagging", "a=b")]), ["s3:PutObject"]);
        // A header that means nothing to an operation takes no permission away from it.
        assert_eq!(
            actions("CreateMultipartUpload", false, &[copy, ("x-amz-tagging", "a=b")]),
            ["s3:PutObject", "s3:PutObjectTagging"]
        );
        assert_eq!(
            actions(
                "CopyObject",
                false,
                &[copy, ("x-amz-tagging", "a=b"), ("x-amz-tagging-directive", "REPLACE")]
            ),
            ["s3:PutObject", "s3:PutObjectTagging"]
        );
        assert_eq!(
            actions("CreateBucket", false, &[("x-amz-bucket-object-lock-enabled", "true")]),
            ["s3:CreateBucket", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]
        );
        assert_eq!(
            actions("CreateBucket", false, &[("x-amz-bucket-object-lock-enabled", "false")]),
            ["s3:CreateBucket"]
        );
        assert_eq!(actions("UploadPart", false, &[("x-amz-acl", "private")]), ["s3:PutObject"]);
    }
}
