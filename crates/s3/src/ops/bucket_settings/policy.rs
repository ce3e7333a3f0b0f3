//! `GetBucketPolicy`, `GetBucketPolicyStatus`, `PutBucketPolicy`, `DeleteBucketPolicy`.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use s3s::S3Response;
use s3s::dto::{
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, PolicyStatus, PutBucketPolicyInput,
    PutBucketPolicyOutput,
};
use strongroom_iam::Policy;
use strongroom_objects::DocumentKind;

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

fn none(bucket: &str) -> ApiError {
    ApiError::no_configuration("NoSuchBucketPolicy", "The bucket policy does not exist", bucket)
}

fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "MalformedPolicy", message)
}

pub(crate) async fn get(call: Call, input: GetBucketPolicyInput) -> Answer<GetBucketPolicyOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    let document = call.objects().bucket_document(&bucket, DocumentKind::Policy)?;
    let document = document.ok_or_else(|| none(&input.bucket))?;
    let policy = String::from_utf8(document.to_vec()).map_err(|_| ApiError::internal())?;
    let mut response = S3Response::new(GetBucketPolicyOutput { policy: Some(policy) });
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

pub(crate) async fn status(
    call: Call,
    input: GetBucketPolicyStatusInput,
) -> Answer<GetBucketPolicyStatusOutput> {
    let policy = parsed(&call, &input.bucket)?.ok_or_else(|| none(&input.bucket))?;
    let policy_status = Some(PolicyStatus { is_public: Some(policy.is_public()) });
    Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status }))
}

fn parsed(call: &Call, name: &str) -> Result<Option<Arc<Policy>>, ApiError> {
    let bucket = convert::bucket_name(name)?;
    let read = |bytes: &[u8]| Policy::parse_bucket(std::str::from_utf8(bytes).ok()?, name).ok();
    Ok(call.objects().bucket_document_parsed(&bucket, DocumentKind::Policy, read)?)
}

pub(crate) async fn put(call: Call, input: PutBucketPolicyInput) -> Answer<PutBucketPolicyOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    // A bucket that is not there is told before what is wrong with the policy.
    let block = call.objects().public_access_block(&bucket)?;
    if input.policy.is_empty() {
        return Err(ApiError::no_document());
    }
    if input.policy.len() > DocumentKind::Policy.len_max() {
        return Err(malformed("Policy exceeds the maximum allowed document size.")
            .field("MaxSizeAllowed", DocumentKind::Policy.len_max()));
    }
    // AWS's sentences do not say where; that stands beside them.
    let policy = Policy::parse_bucket(&input.policy, &input.bucket).map_err(|error| {
        let told = malformed(error.sentence());
        error.detail().into_iter().fold(told, |told, detail| told.field("Detail", detail))
    })?;
    if block.is_some_and(|block| block.block_public_policy) && policy.is_public() {
        return Err(ApiError::access_denied(format!(
            "User: {} is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::{bucket}\" because \
             public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            call.identity()?
        )));
    }
    let bytes = input.policy.into_bytes();
    call.objects().set_bucket_document(&bucket, DocumentKind::Policy, Some(bytes)).await?;
    Ok(S3Response::new(PutBucketPolicyOutput::default()))
}

pub(crate) async fn delete(call: Call, input: DeleteBucketPolicyInput) -> Answer<DeleteBucketPolicyOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    call.objects().set_bucket_document(&bucket, DocumentKind::Policy, None).await?;
    Ok(S3Response::new(DeleteBucketPolicyOutput::default()))
}
