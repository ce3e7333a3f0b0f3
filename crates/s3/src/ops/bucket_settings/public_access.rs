//! `GetPublicAccessBlock`, `PutPublicAccessBlock`, `DeletePublicAccessBlock`.

use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::PublicAccessBlock;

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn get(call: Call, input: GetPublicAccessBlockInput) -> Answer<GetPublicAccessBlockOutput> {
    let Some(block) = call.objects().public_access_block(&convert::bucket_name(&input.bucket)?)? else {
        return Err(ApiError::no_configuration(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
            &input.bucket,
        ));
    };
    let configuration = PublicAccessBlockConfiguration {
        block_public_acls: Some(block.block_public_acls),
        ignore_public_acls: Some(block.ignore_public_acls),
        block_public_policy: Some(block.block_public_policy),
        restrict_public_buckets: Some(block.restrict_public_buckets),
    };
    Ok(S3Response::new(GetPublicAccessBlockOutput { public_access_block_configuration: Some(configuration) }))
}

pub(crate) async fn put(call: Call, input: PutPublicAccessBlockInput) -> Answer<PutPublicAccessBlockOutput> {
    let given = input.public_access_block_configuration;
    // What is not given is off, as on AWS.
    let block = PublicAccessBlock {
        block_public_acls: given.block_public_acls.unwrap_or_default(),
        ignore_public_acls: given.ignore_public_acls.unwrap_or_default(),
        block_public_policy: given.block_public_policy.unwrap_or_default(),
        restrict_public_buckets: given.restrict_public_buckets.unwrap_or_default(),
    };
    call.objects().set_public_access_block(&convert::bucket_name(&input.bucket)?, Some(block)).await?;
    Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
}

pub(crate) async fn delete(
    call: Call,
    input: DeletePublicAccessBlockInput,
) -> Answer<DeletePublicAccessBlockOutput> {
    call.objects().set_public_access_block(&convert::bucket_name(&input.bucket)?, None).await?;
    Ok(S3Response::new(DeletePublicAccessBlockOutput::default()))
}
