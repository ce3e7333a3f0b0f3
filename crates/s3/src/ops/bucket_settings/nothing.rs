//! Settings that no bucket has here: that they are off is told, and that they be off is taken. Clients such as Terraform and backup
//! tools ask for and set them on their way. What would switch one on is refused, since nothing would come of it.

use s3s::S3Response;
use s3s::dto::*;

use super::bucket;
use crate::error::ApiError;
use crate::face::{Answer, Call};

fn not_there(what: &str) -> ApiError {
    ApiError::not_implemented(format!("{what} is not implemented; only what switches it off is taken."))
}

pub(crate) async fn accelerate(
    call: Call,
    input: PutBucketAccelerateConfigurationInput,
) -> Answer<PutBucketAccelerateConfigurationOutput> {
    bucket(&call, &input.bucket).await?;
    match input.accelerate_configuration.status.as_ref().map(BucketAccelerateStatus::as_str) {
        Some(BucketAccelerateStatus::SUSPENDED) => {
            Ok(S3Response::new(PutBucketAccelerateConfigurationOutput::default()))
        }
        Some(BucketAccelerateStatus::ENABLED) => Err(not_there("Transfer acceleration")),
        _ => Err(ApiError::malformed_xml()),
    }
}

pub(crate) async fn request_payment(
    call: Call,
    input: PutBucketRequestPaymentInput,
) -> Answer<PutBucketRequestPaymentOutput> {
    bucket(&call, &input.bucket).await?;
    match input.request_payment_configuration.payer.as_str() {
        Payer::BUCKET_OWNER => Ok(S3Response::new(PutBucketRequestPaymentOutput::default())),
        Payer::REQUESTER => Err(not_there("Payment by the requester")),
        _ => Err(ApiError::malformed_xml()),
    }
}

pub(crate) async fn logging(call: Call, input: PutBucketLoggingInput) -> Answer<PutBucketLoggingOutput> {
    bucket(&call, &input.bucket).await?;
    match input.bucket_logging_status.logging_enabled {
        None => Ok(S3Response::new(PutBucketLoggingOutput::default())),
        Some(_) => Err(not_there("Logging of requests into a bucket")),
    }
}

pub(crate) async fn website(
    call: Call,
    input: DeleteBucketWebsiteInput,
) -> Answer<DeleteBucketWebsiteOutput> {
    bucket(&call, &input.bucket).await?;
    Ok(S3Response::new(DeleteBucketWebsiteOutput::default()))
}

pub(crate) async fn replication(
    call: Call,
    input: DeleteBucketReplicationInput,
) -> Answer<DeleteBucketReplicationOutput> {
    bucket(&call, &input.bucket).await?;
    Ok(S3Response::new(DeleteBucketReplicationOutput::default()))
}

macro_rules! empty_lists {
    ($($name:ident($input:ident) -> $output:ident;)+) => {$(
        pub(crate) async fn $name(call: Call, input: $input) -> Answer<$output> {
            bucket(&call, &input.bucket).await?;
            // There is one page, so nobody was given a token.
            if let Some(token) = input.continuation_token {
                let message = "The continuation token provided is incorrect";
                return Err(ApiError::invalid_argument("continuation-token", token, message));
            }
            Ok(S3Response::new($output { is_truncated: Some(false), ..$output::default() }))
        }
    )+};
}

empty_lists! {
    analytics(ListBucketAnalyticsConfigurationsInput) -> ListBucketAnalyticsConfigurationsOutput;
    tiering(ListBucketIntelligentTieringConfigurationsInput) -> ListBucketIntelligentTieringConfigurationsOutput;
    inventory(ListBucketInventoryConfigurationsInput) -> ListBucketInventoryConfigurationsOutput;
    metrics(ListBucketMetricsConfigurationsInput) -> ListBucketMetricsConfigurationsOutput;
}
