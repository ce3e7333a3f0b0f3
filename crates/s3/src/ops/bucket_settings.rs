//! What is set on a bucket, as far as it can be asked. Settings that do not exist yet are answered as AWS answers for
//! a bucket that has none of them, so that clients which look before they act go on.

use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::BucketInfo;

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

async fn bucket(call: &Call, name: &str) -> Result<BucketInfo, ApiError> {
    Ok(call.objects().head_bucket(&convert::bucket_name(name)?).await?)
}

/// Answers "not configured" if the bucket is there.
async fn absent<T>(call: &Call, name: &str, code: &'static str, message: &'static str) -> Answer<T> {
    bucket(call, name).await?;
    Err(ApiError::no_configuration(code, message, name))
}

pub(crate) async fn location(call: Call, input: GetBucketLocationInput) -> Answer<GetBucketLocationOutput> {
    bucket(&call, &input.bucket).await?;
    // AWS's first region has no name here.
    let constraint = Some(call.region()).filter(|region| *region != "us-east-1");
    let location_constraint = constraint.map(|region| BucketLocationConstraint::from(region.to_owned()));
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
}

pub(crate) async fn request_payment(
    call: Call,
    input: GetBucketRequestPaymentInput,
) -> Answer<GetBucketRequestPaymentOutput> {
    bucket(&call, &input.bucket).await?;
    let payer = Some(Payer::from_static(Payer::BUCKET_OWNER));
    Ok(S3Response::new(GetBucketRequestPaymentOutput { payer }))
}

pub(crate) async fn accelerate(
    call: Call,
    input: GetBucketAccelerateConfigurationInput,
) -> Answer<GetBucketAccelerateConfigurationOutput> {
    bucket(&call, &input.bucket).await?;
    Ok(S3Response::new(GetBucketAccelerateConfigurationOutput::default()))
}

pub(crate) async fn logging(call: Call, input: GetBucketLoggingInput) -> Answer<GetBucketLoggingOutput> {
    bucket(&call, &input.bucket).await?;
    Ok(S3Response::new(GetBucketLoggingOutput::default()))
}

pub(crate) async fn notification(
    call: Call,
    input: GetBucketNotificationConfigurationInput,
) -> Answer<GetBucketNotificationConfigurationOutput> {
    bucket(&call, &input.bucket).await?;
    Ok(S3Response::new(GetBucketNotificationConfigurationOutput::default()))
}

pub(crate) async fn ownership(
    call: Call,
    input: GetBucketOwnershipControlsInput,
) -> Answer<GetBucketOwnershipControlsOutput> {
    bucket(&call, &input.bucket).await?;
    let rule = OwnershipControlsRule {
        object_ownership: ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED),
    };
    let ownership_controls = Some(OwnershipControls { rules: vec![rule] });
    Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls }))
}

pub(crate) async fn public_access_block(
    call: Call,
    input: GetPublicAccessBlockInput,
) -> Answer<GetPublicAccessBlockOutput> {
    bucket(&call, &input.bucket).await?;
    let on = Some(true);
    let block = PublicAccessBlockConfiguration {
        block_public_acls: on,
        block_public_policy: on,
        ignore_public_acls: on,
        restrict_public_buckets: on,
    };
    Ok(S3Response::new(GetPublicAccessBlockOutput { public_access_block_configuration: Some(block) }))
}

macro_rules! absent {
    ($($(#[$doc:meta])* $name:ident($input:ident) -> $output:ident = $code:literal, $message:literal;)+) => {$(
        pub(crate) async fn $name(call: Call, input: $input) -> Answer<$output> {
            absent(&call, &input.bucket, $code, $message).await
        }
    )+};
}

absent! {
    policy(GetBucketPolicyInput) -> GetBucketPolicyOutput
        = "NoSuchBucketPolicy", "The bucket policy does not exist";
    policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput
        = "NoSuchBucketPolicy", "The bucket policy does not exist";
    cors(GetBucketCorsInput) -> GetBucketCorsOutput
        = "NoSuchCORSConfiguration", "The CORS configuration does not exist";
    lifecycle(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput
        = "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist";
    tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput
        = "NoSuchTagSet", "The TagSet does not exist";
    website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput
        = "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration";
    replication(GetBucketReplicationInput) -> GetBucketReplicationOutput
        = "ReplicationConfigurationNotFoundError", "The replication configuration was not found";
    object_lock(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput
        = "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket";
}
