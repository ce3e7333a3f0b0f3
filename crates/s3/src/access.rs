//! Who is asking, and whether they may.

use std::fmt;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};
use strongroom_iam::{Iam, Identity};

use crate::error::ApiError;
use crate::lenient::Verified;
use crate::request::RequestState;
use crate::sigv4::Signed;

/// What an action is done to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resource<'a> {
    /// The service as a whole.
    Service,
    /// A bucket.
    Bucket(&'a str),
    /// An object.
    Object(&'a str, &'a str),
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("*"),
            Self::Bucket(bucket) => write!(f, "arn:aws:s3:::{bucket}"),
            Self::Object(bucket, key) => write!(f, "arn:aws:s3:::{bucket}/{key}"),
        }
    }
}

/// Decides whether `identity` may do `action` to `resource`. Every operation asks here, and operations that touch a
/// second object ask again for it; the decision itself is one place.
pub(crate) fn authorise(
    identity: &Identity,
    action: &'static str,
    resource: Resource<'_>,
) -> Result<(), ApiError> {
    match identity {
        // Only the root identity exists so far, and it may do everything.
        Identity::Root => Ok(()),
        other => Err(ApiError::access_denied(format!(
            "User: {other} is not authorized to perform: {action} on resource: \"{resource}\""
        ))),
    }
}

/// Secrets of access keys, for the library's signature check.
#[derive(Debug)]
pub(crate) struct Secrets(pub(crate) Iam);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.secret_for(access_key) {
            Some(secret) => Ok(SecretKey::from(secret.dangerous_expose())),
            None => Err(S3Error::new(S3ErrorCode::InvalidAccessKeyId)),
        }
    }
}

/// The check between signature and operation.
#[derive(Debug)]
pub(crate) struct Gate(pub(crate) Iam);

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let state = cx.extensions_mut().get::<RequestState>().cloned();
        let state = state.expect("the service puts the state into every request");
        state.set_operation(known(cx.s3_op().name()).0);
        self.admit(cx, &state).map_err(|error| {
            state.set_error(error);
            S3Error::new(S3ErrorCode::AccessDenied)
        })
    }
}

impl Gate {
    fn admit(&self, cx: &mut S3AccessContext<'_>, state: &RequestState) -> Result<(), ApiError> {
        let Some(access_key) = Self::signed_by(cx)? else {
            return Err(ApiError::access_denied("Access Denied"));
        };
        let Some(identity) = self.0.identity(&access_key) else {
            return Err(ApiError::access_denied("Access Denied"));
        };
        let path = cx.s3_path();
        let resource = match (path.get_bucket_name(), path.get_object_key()) {
            (Some(bucket), Some(key)) => Resource::Object(bucket, key),
            (Some(bucket), None) => Resource::Bucket(bucket),
            (None, _) => Resource::Service,
        };
        authorise(&identity, known(cx.s3_op().name()).1, resource)?;
        state.set_identity(identity);
        Ok(())
    }

    /// The access key whose signature covers what it has to cover.
    fn signed_by(cx: &mut S3AccessContext<'_>) -> Result<Option<String>, ApiError> {
        if let Some(verified) = cx.extensions_mut().get::<Verified>() {
            return Ok(Some(verified.access_key.clone()));
        }
        let Some(credentials) = cx.credentials() else { return Ok(None) };
        match Signed::parse(cx.uri().query().unwrap_or_default(), cx.headers()) {
            Some(signed) => signed.check_coverage(cx.headers())?,
            // A presigned URL of Signature Version 2, which leaves most of the query unsigned.
            None if OLD_PRESIGNED.contains(&cx.s3_op().name()) => {}
            None => {
                return Err(ApiError::invalid_request(
                    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
                ));
            }
        }
        Ok(Some(credentials.access_key.clone()))
    }
}

/// What a presigned URL of Signature Version 2 may ask for: operations on one object whose query it does cover.
const OLD_PRESIGNED: [&str; 5] = ["GetObject", "HeadObject", "PutObject", "UploadPart", "DeleteObject"];

/// The operations that exist, each with the action that policies know it by. Most actions are called like their
/// operation; see AWS, "Actions, resources, and condition keys for Amazon S3".
const OPERATIONS: [(&str, &str); 47] = [
    ("ListBuckets", "s3:ListAllMyBuckets"),
    ("CreateBucket", "s3:CreateBucket"),
    ("HeadBucket", "s3:ListBucket"),
    ("DeleteBucket", "s3:DeleteBucket"),
    ("GetBucketLocation", "s3:GetBucketLocation"),
    ("GetBucketVersioning", "s3:GetBucketVersioning"),
    ("GetBucketEncryption", "s3:GetEncryptionConfiguration"),
    ("GetBucketRequestPayment", "s3:GetBucketRequestPayment"),
    ("GetBucketAccelerateConfiguration", "s3:GetAccelerateConfiguration"),
    ("GetBucketLogging", "s3:GetBucketLogging"),
    ("GetBucketNotificationConfiguration", "s3:GetBucketNotification"),
    ("GetBucketOwnershipControls", "s3:GetBucketOwnershipControls"),
    ("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
    ("GetBucketPolicy", "s3:GetBucketPolicy"),
    ("GetBucketPolicyStatus", "s3:GetBucketPolicyStatus"),
    ("GetBucketCors", "s3:GetBucketCORS"),
    ("GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
    ("GetBucketTagging", "s3:GetBucketTagging"),
    ("GetBucketWebsite", "s3:GetBucketWebsite"),
    ("GetBucketReplication", "s3:GetReplicationConfiguration"),
    ("GetObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration"),
    ("GetBucketAcl", "s3:GetBucketAcl"),
    ("GetObjectAcl", "s3:GetObjectAcl"),
    ("ListObjects", "s3:ListBucket"),
    ("ListObjectsV2", "s3:ListBucket"),
    ("ListObjectVersions", "s3:ListBucketVersions"),
    ("PutObject", "s3:PutObject"),
    ("GetObject", "s3:GetObject"),
    ("HeadObject", "s3:GetObject"),
    ("GetObjectAttributes", "s3:GetObjectAttributes"),
    ("CopyObject", "s3:PutObject"),
    ("DeleteObject", "s3:DeleteObject"),
    ("DeleteObjects", "s3:DeleteObject"),
    ("GetObjectTagging", "s3:GetObjectTagging"),
    ("PutObjectTagging", "s3:PutObjectTagging"),
    ("DeleteObjectTagging", "s3:DeleteObjectTagging"),
    ("CreateMultipartUpload", "s3:PutObject"),
    ("UploadPart", "s3:PutObject"),
    ("UploadPartCopy", "s3:PutObject"),
    ("CompleteMultipartUpload", "s3:PutObject"),
    ("AbortMultipartUpload", "s3:AbortMultipartUpload"),
    ("ListParts", "s3:ListMultipartUploadParts"),
    ("ListMultipartUploads", "s3:ListBucketMultipartUploads"),
    ("PutBucketEncryption", "s3:PutEncryptionConfiguration"),
    ("DeleteBucketEncryption", "s3:PutEncryptionConfiguration"),
    ("PutBucketVersioning", "s3:PutBucketVersioning"),
    ("PutBucketPolicy", "s3:PutBucketPolicy"),
];

/// An operation's name and action. What is not in the table is answered with `NotImplemented` by the library.
fn known(operation: &str) -> (&'static str, &'static str) {
    OPERATIONS.into_iter().find(|(name, _)| *name == operation).unwrap_or(("Other", "s3:Other"))
}
