//! Queries that name an operation which the library behind this face does not know.
//!
//! S3 tells many operations apart by a name in the query: `PUT /bucket/key?renameObject` is no upload. The library takes what it does
//! not know for the operation without a query, which would then overwrite or delete. So those operations look at
//! their queries here, before anything happens.

use crate::error::ApiError;

/// Names that choose an operation (AWS S3 API reference, all of its request syntaxes).
const SUBRESOURCES: [&str; 40] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploads",
    "versioning",
    "versions",
    "website",
];

/// Operations that change something and have no name in their query, with the parameters that they know.
const WRITES: [(&str, &[&str]); 5] = [
    ("put_object", &[]),
    ("copy_object", &[]),
    ("delete_object", &["versionId"]),
    ("create_bucket", &[]),
    ("delete_bucket", &[]),
];

/// Those that only read. AWS ignores what it does not know in their queries, and so does every cache buster.
const READS: [&str; 6] =
    ["get_object", "head_object", "head_bucket", "list_objects", "list_objects_v2", "list_buckets"];

/// Parameters of presigned URLs of Signature Version 2; those of Version 4 begin with `X-Amz-`.
const SIGNATURE_2: [&str; 3] = ["AWSAccessKeyId", "Signature", "Expires"];

/// Whether a query names an operation.
pub(crate) fn is_named(query: &str) -> bool {
    query.split('&').any(|pair| SUBRESOURCES.contains(&pair.split('=').next().unwrap_or_default()))
}

/// Refuses a query that asks for something else than `operation`, by its name in the library.
pub(crate) fn check(operation: &str, query: &str) -> Result<(), ApiError> {
    let reads = READS.contains(&operation);
    let known = WRITES.iter().find(|(name, _)| *name == operation).map(|(_, known)| *known);
    if query.is_empty() || !reads && known.is_none() {
        return Ok(());
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        if ["get_object", "head_object"].contains(&operation) {
            match name {
                "uploads" => {
                    return Err(ApiError::invalid_request(
                        "Key is not expected for the GET method ?uploads subresource",
                    ));
                }
                "versions" => {
                    return Err(ApiError::invalid_request(
                        "There is no such thing as the ?versions sub-resource for a key",
                    ));
                }
                _ => {}
            }
        }
        let other = match known {
            None => SUBRESOURCES.contains(&name),
            // Parameters that begin with `x-` are for logs and for the SDKs themselves.
            Some(known) => {
                !known.contains(&name)
                    && !SIGNATURE_2.contains(&name)
                    && !name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
            }
        };
        if other && name == "partNumber" {
            let number = pair.split_once('=').map_or("", |(_, number)| number);
            let why = "This operation does not accept partNumber without uploadId";
            return Err(ApiError::invalid_argument("partNumber", number, why));
        }
        if other {
            return Err(ApiError::not_implemented(
                "A parameter you provided in the query implies functionality that is not implemented",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_with_a_name_that_it_does_not_know_is_another_operation() {
        for (operation, query) in [
            ("put_object", "renameObject"),
            ("put_object", "encryption="),
            ("put_object", "x-id=UpdateObjectEncryption&encryption"),
            ("put_object", "something-of-next-year"),
            ("put_object", "partNumber=1"),
            ("delete_object", "versionId=null&annotation"),
            ("delete_bucket", "metadataConfiguration"),
            ("create_bucket", "abac"),
            ("get_object", "annotation"),
            ("list_objects", "metadataConfiguration"),
        ] {
            assert!(check(operation, query).is_err(), "{operation} {query}");
        }
    }

    #[test]
    fn part_of_no_upload_is_told_as_aws_does() {
        let error = check("put_object", "x-id=UploadPart&partNumber=7").unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_ref()), (400, "InvalidArgument"));
        assert_eq!(error.fields[1], ("ArgumentValue", "7".to_owned()));
    }

    #[test]
    fn lists_of_a_bucket_are_not_for_a_key() {
        for query in ["uploads", "versions=", "x-id=GetObject&uploads"] {
            assert_eq!(check("get_object", query).unwrap_err().code, "InvalidRequest", "{query}");
        }
        assert!(check("list_object_versions", "versions").is_ok());
    }

    #[test]
    fn what_belongs_to_an_operation_is_let_through() {
        for (operation, query) in [
            ("put_object", ""),
            ("put_object", "x-id=PutObject"),
            ("put_object", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0&x-amz-acl=private"),
            ("put_object", "AWSAccessKeyId=a&Signature=b&Expires=1"),
            ("delete_object", "versionId=null&x-id=DeleteObject"),
            ("get_object", "response-content-type=a&nocache&versionId=x"),
            ("list_objects", "prefix=policy&delimiter=/&encoding-type=url"),
            ("put_bucket_acl", "acl"),
            ("upload_part", "partNumber=1&uploadId=x"),
        ] {
            assert!(check(operation, query).is_ok(), "{operation} {query}");
        }
    }
}
