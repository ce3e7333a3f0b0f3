//! `CreateBucket`.

use http::StatusCode;
use s3s::S3Response;
use s3s::dto::{CreateBucketConfiguration, CreateBucketInput, CreateBucketOutput};
use strongroom_objects::BucketSettings;
use strongroom_objects::request::CreateBucket;

use super::common::grants_something;
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: CreateBucketInput) -> Answer<CreateBucketOutput> {
    let name = convert::bucket_name(&input.bucket)?;
    if grants_something(input.acl.as_ref().map(|acl| acl.as_str()), &call.headers) {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    if let Some(ownership) = &input.object_ownership
        && ownership.as_str() != "BucketOwnerEnforced"
    {
        return Err(ApiError::not_implemented(
            "Object ownership other than BucketOwnerEnforced is not implemented.",
        ));
    }
    let configuration = input.create_bucket_configuration;
    refuse_directories(configuration.as_ref())?;
    let constraint = configuration.and_then(|configuration| configuration.location_constraint);
    if let Some(constraint) = constraint
        && constraint.as_str() != call.region()
    {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "IllegalLocationConstraintException",
            format!(
                "The {} location constraint is incompatible for the region specific endpoint this request was sent to.",
                constraint.as_str()
            ),
        ));
    }
    let request = CreateBucket { owner: call.identity()?.to_string(), settings: BucketSettings::default() };
    match input.object_lock_enabled_for_bucket {
        Some(true) => call.objects().create_locked_bucket(&name, request).await?,
        _ => call.objects().create_bucket(&name, request).await?,
    };
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{name}")) }))
}

/// What of a configuration would be promised and not done.
fn refuse_directories(configuration: Option<&CreateBucketConfiguration>) -> Result<(), ApiError> {
    let Some(configuration) = configuration else { return Ok(()) };
    if configuration.bucket.is_some() || configuration.location.is_some() {
        return Err(ApiError::not_implemented("Directory buckets are not implemented."));
    }
    Ok(())
}
