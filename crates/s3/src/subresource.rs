//! Queries that name an operation which the library behind this face does not know.
//!
//! S3 tells many operations apart by a name in the query: `PUT /bucket/key?renameObject` is no upload. The library takes what it does
//! not know for the operation without a query, which would then overwrite or delete. So those operations look at
//! their queries here, before anything happens.

use http::StatusCode;

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

/// Headers of an object that a request may let appear otherwise, as `response-…`.
const OVERRIDES: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

/// Parameters of presigned URLs of Signature Version 2; those of Version 4 begin with `X-Amz-`.
const SIGNATURE_2: [&str; 3] = ["AWSAccessKeyId", "Signature", "Expires"];

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
        // AWS knows no upload without a part, nor a part without an upload.
        if other && name == "uploadId" {
            return Err(ApiError::method_not_allowed("OBJECT"));
        }
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
    match operation {
        "get_object" | "head_object" => check_overrides(query),
        _ => Ok(()),
    }
}

/// Whether a query names an operation.
pub(crate) fn is_named(query: &str) -> bool {
    query.split('&').any(|pair| SUBRESOURCES.contains(&pair.split('=').next().unwrap_or_default()))
}

/// Refuses to let other headers than those of <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
/// appear as a request likes.
fn check_overrides(query: &str) -> Result<(), ApiError> {
    let other = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        name.strip_prefix("response-").is_some_and(|header| !OVERRIDES.contains(&header))
    };
    let Some(pair) = query.split('&').find(other) else { return Ok(()) };
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let why = format!(
        "{name} is not in the set of overridable response headers. Please refer to the S3 API documentation for a \
         complete list of overridable response headers."
    );
    let error = ApiError::new(StatusCode::BAD_REQUEST, "InvalidArgument", why);
    Err(error.field("ArgumentName", name).field("ArgumentValue", value))
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
    fn upload_without_a_part_and_headers_that_are_not_to_be_changed_are_told_as_aws_does() {
        for (operation, query, status, code) in [
            ("put_object", "uploadId=x", 405, "MethodNotAllowed"),
            ("get_object", "versions", 400, "InvalidRequest"),
            ("get_object", "prefix=a&uploads=", 400, "InvalidRequest"),
            ("get_object", "website", 501, "NotImplemented"),
            ("get_object", "response-content-type=a&response-etag=b", 400, "InvalidArgument"),
            ("head_object", "response-x-amz-meta-a=b", 400, "InvalidArgument"),
        ] {
            let error = check(operation, query).unwrap_err();
            assert_eq!((error.status.as_u16(), error.code.as_ref()), (status, code), "{operation} {query}");
        }
        assert!(check("get_object", "response-expires=0&response=a&responsetype=b").is_ok());
        assert!(
            is_named("a=b&restore")
                && is_named("restore=")
                && !is_named("restored&a=restore")
                && !is_named("")
        );
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
