//! Elements of documents that nobody knows: AWS refuses a document with one, and the protocol library passes over those at its top. A public access
//! block with a misspelled name would open the bucket, and a tag set would be emptied.

use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::error::ApiError;

/// The elements at the top of an operation's document, by the library's name of the operation (AWS S3 API reference, their request syntaxes).
const KNOWN: [(&str, &[&str]); 17] = [
    ("delete_objects", &["Object", "Quiet"]),
    ("put_bucket_accelerate_configuration", &["Status"]),
    ("put_bucket_acl", &["Owner", "AccessControlList"]),
    ("put_bucket_cors", &["CORSRule"]),
    ("put_bucket_lifecycle_configuration", &["Rule"]),
    ("put_bucket_logging", &["LoggingEnabled"]),
    (
        "put_bucket_notification_configuration",
        &[
            "CloudFunctionConfiguration",
            "EventBridgeConfiguration",
            "QueueConfiguration",
            "TopicConfiguration",
        ],
    ),
    ("put_bucket_ownership_controls", &["Rule"]),
    ("put_bucket_request_payment", &["Payer"]),
    ("put_bucket_tagging", &["TagSet"]),
    ("put_bucket_versioning", &["MfaDelete", "Status"]),
    ("put_object_acl", &["Owner", "AccessControlList"]),
    ("put_object_legal_hold", &["Status"]),
    ("put_object_lock_configuration", &["ObjectLockEnabled", "Rule"]),
    ("put_object_retention", &["Mode", "RetainUntilDate"]),
    ("put_object_tagging", &["TagSet"]),
    (
        "put_public_access_block",
        &["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"],
    ),
];

/// Refuses a document with an element that the operation does not have. The library has read it, so it is well-formed.
pub(crate) fn check(operation: &str, document: &[Bytes]) -> Result<(), ApiError> {
    let Some((_, known)) = KNOWN.iter().find(|(name, _)| *name == operation) else { return Ok(()) };
    let in_tags = *known == ["TagSet"];
    let is_known = |depth, name: &[u8]| match depth {
        1 => known.iter().any(|known| known.as_bytes() == name),
        2 => !in_tags || name == b"Tag",
        _ => true,
    };
    let document = document.concat();
    let mut reader = Reader::from_reader(document.as_slice());
    let mut depth = 0_usize;
    loop {
        let (element, opens) = match reader.read_event() {
            Ok(Event::Start(element)) => (element, true),
            Ok(Event::Empty(element)) => (element, false),
            Ok(Event::End(_)) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            // What is not well-formed is for the document's own reader to say.
            Ok(Event::Eof) | Err(_) => return Ok(()),
            Ok(_) => continue,
        };
        if !is_known(depth, element.name().as_ref()) {
            return Err(ApiError::malformed_xml());
        }
        depth += usize::from(opens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(operation: &str, document: &str) -> bool {
        check(operation, &[Bytes::copy_from_slice(document.as_bytes())]).is_err()
    }

    #[test]
    fn elements_that_nobody_knows_are_found() {
        for (operation, document) in [
            ("put_bucket_tagging", "<Tagging><TagSet><tag/></TagSet></Tagging>"),
            ("put_bucket_tagging", "<Tagging><TagSet/><Tags/></Tagging>"),
            ("put_public_access_block", "<X><BlockPublicPolcy>true</BlockPublicPolcy></X>"),
            ("put_object_retention", "<X><s:Mode>GOVERNANCE</s:Mode></X>"),
            ("delete_objects", "<Delete><Object><Key>a</Key></Object><!-- > --><Objct a='>'/></Delete>"),
        ] {
            assert!(refused(operation, document), "{document}");
        }
    }

    #[test]
    fn what_is_known_or_no_element_is_let_through() {
        for (operation, document) in [
            (
                "put_bucket_tagging",
                "<?xml version='1.0'?>\n<Tagging xmlns=\"x\">\n <TagSet ><Tag><Foo/></Tag></TagSet></Tagging>",
            ),
            (
                "delete_objects",
                "<Delete><Quiet/><Object><Key><![CDATA[<a>]]></Key><VersionId>x</VersionId></Object></Delete>",
            ),
            ("put_object_legal_hold", "<!DOCTYPE x><LegalHold><Status a='/>'>ON</Status></LegalHold>"),
            ("put_bucket_policy", "<X><Y/></X>"),
            ("put_bucket_tagging", "<Tagging><TagSet"),
            ("put_bucket_tagging", "</x></x><y"),
            ("put_bucket_tagging", ""),
        ] {
            assert!(!refused(operation, document), "{document}");
        }
    }
}
