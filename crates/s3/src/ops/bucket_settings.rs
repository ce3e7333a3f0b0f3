//! What is set on a bucket, one setting per file. Settings that do not exist here are answered as AWS answers for a bucket that
//! has none of them, so that clients which look before they act go on.

pub(crate) mod cors;
pub(crate) mod lifecycle;
pub(crate) mod nothing;
pub(crate) mod notification;
pub(crate) mod ownership;
pub(crate) mod policy;
pub(crate) mod public_access;
pub(crate) mod tagging;

use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::BucketInfo;

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

/// The bytes of a document that is JSON.
fn json<T: serde::Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("text, numbers and lists of them have a JSON form")
}

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

macro_rules! absent {
    ($($(#[$doc:meta])* $name:ident($input:ident) -> $output:ident = $code:literal, $message:literal;)+) => {$(
        pub(crate) async fn $name(call: Call, input: $input) -> Answer<$output> {
            absent(&call, &input.bucket, $code, $message).await
        }
    )+};
}

absent! {
    website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput
        = "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration";
    replication(GetBucketReplicationInput) -> GetBucketReplicationOutput
        = "ReplicationConfigurationNotFoundError", "The replication configuration was not found";
}
