//! `GetBucketVersioning`, `PutBucketVersioning`.

use http::StatusCode;
use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::Versioning;

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn get(call: Call, input: GetBucketVersioningInput) -> Answer<GetBucketVersioningOutput> {
    let bucket = call.objects().head_bucket(&convert::bucket_name(&input.bucket)?).await?;
    let status = match bucket.settings.versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED)),
        Versioning::Suspended => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::SUSPENDED)),
    };
    Ok(S3Response::new(GetBucketVersioningOutput { status, ..GetBucketVersioningOutput::default() }))
}

pub(crate) async fn put(call: Call, input: PutBucketVersioningInput) -> Answer<PutBucketVersioningOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    let asked = input.versioning_configuration;
    let versioning = match asked.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        Some(_) => return Err(ApiError::malformed_xml()),
        None => {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "IllegalVersioningConfigurationException",
                "The Versioning element must be specified",
            ));
        }
    };
    let known = [MFADelete::ENABLED, MFADelete::DISABLED];
    if asked.mfa_delete.as_ref().is_some_and(|mfa| !known.contains(&mfa.as_str())) {
        return Err(ApiError::malformed_xml());
    }
    // A second factor for deletes: nobody here has one, and to promise it would be worse than to refuse it.
    if asked.mfa_delete.as_ref().is_some_and(|mfa| mfa.as_str() == MFADelete::ENABLED) {
        return Err(ApiError::not_implemented("MFA delete is not implemented."));
    }
    call.objects().set_versioning(&bucket, versioning).await?;
    Ok(S3Response::new(PutBucketVersioningOutput {}))
}
